"""One guest for all tests of this folder; it is started again when a test has lost it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guest.debs import Unavailable
from tests.guest.machine import MAPPED, Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The machine itself; tests use `guest`."""
    top = Path(tempfile.mkdtemp(prefix="ninep-shares."))
    shares = {model: top / model for model in MAPPED}
    for folder in shares.values():
        folder.mkdir()
    made = Machine(shares)
    yield made
    made.stop()
    shutil.rmtree(top)


@pytest.fixture
def guest(machine: Machine) -> Iterator[Machine]:
    """A running guest whose kernel has nothing to complain about at the end."""
    if not machine.alive:
        try:
            machine.start()
        except Unavailable as missing:
            pytest.skip(f"no guest: {missing}")
        machine.kernel_complaints()
    yield machine
    if machine.alive:
        assert machine.kernel_complaints() == []
