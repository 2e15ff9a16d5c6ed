"""One guest for all tests of this folder, and one whose devices are our servers' for those of
virtio; each is started again when a test has lost it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.guest.debs import Unavailable
from tests.guest.devices import Devices
from tests.guest.machine import MAPPED, Machine
from tests.guest.qemu import Share


@pytest.fixture(scope="session")
def plain_machine() -> Iterator[Machine]:
    """The machine itself; tests use `guest`."""
    top = Path(tempfile.mkdtemp(prefix="ninep-shares."))
    shares = {model: Share(model, top / model, model) for model in MAPPED}
    for share in shares.values():
        share.folder.mkdir()
    made = Machine(shares)
    yield made
    made.stop()
    shutil.rmtree(top)


@pytest.fixture(scope="session")
def all_devices() -> Iterator[Devices]:
    """Servers and the machine themselves; tests use `virtio`."""
    with Devices() as made:
        yield made


@contextmanager
def running(machine: Machine) -> Iterator[None]:
    """A running guest whose kernel has nothing to complain about at the end.

    One that a test left with something mounted, as a test that failed does, is stopped: the next
    test begins with a new one.
    """
    if not machine.alive:
        try:
            machine.start()
        except Unavailable as missing:
            pytest.skip(f"no guest: {missing}")
        machine.kernel_complaints()
    try:
        yield
        if machine.alive:
            assert machine.kernel_complaints() == []
    finally:
        if machine.alive and machine.mounted():
            machine.stop()


@pytest.fixture
def guest(plain_machine: Machine) -> Iterator[Machine]:
    """A running guest."""
    with running(plain_machine):
        yield plain_machine


@pytest.fixture
def virtio(all_devices: Devices) -> Iterator[Devices]:
    """A running guest with a device of each of our servers."""
    all_devices.serve()
    with running(all_devices.guest):
        yield all_devices
