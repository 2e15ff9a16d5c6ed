"""Handles that are kept for when there are none left."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from tests.drivers.local.conftest import NEW
from tests.support.descriptors import open_descriptors

from ninep.drivers.local import LocalNode
from ninep.drivers.local.reserve import Reserve, exhausted
from ninep.errors import Refused
from ninep.linux import GETATTR_BASIC, O_RDONLY, O_RDWR, Errno
from ninep.node import Changes

T = TypeVar("T")


@contextmanager
def none_left() -> Iterator[None]:
    """All below the highest handle in use are taken."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling = [os.open("/", os.O_PATH) for _ in range(100)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(filling) + 1, limits[1]))
    try:
        with suppress(OSError):
            while True:
                filling.append(os.open("/", os.O_PATH))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for handle in filling:
            os.close(handle)


def test_it_is_given_and_filled_again() -> None:
    before = open_descriptors()
    reserve = Reserve(3)
    assert reserve.missing == 3
    assert reserve.fill()
    assert (reserve.missing, len(open_descriptors() - before)) == (0, 3)
    reserve.give()
    reserve.give()
    assert (reserve.missing, open_descriptors() - before) == (3, frozenset())
    with none_left():
        assert not reserve.fill()
    assert reserve.fill()
    del reserve
    assert not open_descriptors() - before


def test_only_the_hosts_limit_exhausts() -> None:
    assert exhausted(OSError(int(Errno.EMFILE), ""))
    assert exhausted(OSError(int(Errno.ENFILE), ""))
    assert not exhausted(OSError(int(Errno.ENOENT), ""))
    assert not exhausted(Refused(Errno.EMFILE, "a limit of the server's own"))


@pytest.fixture
def root(attach: Callable[..., LocalNode], model: str) -> LocalNode:
    return attach(model, handles=1000)


def test_attributes_of_open_files(root: LocalNode, folder: Path) -> None:
    """They are seen and changed, in whatever order, with no handle left but the reserve."""
    opened = [root.create(b"%d" % number, NEW, 0o600, 0, 0) for number in range(20)]
    with none_left():
        while root.table.handles.make_room():
            pass
        for node, file in (*opened, *reversed(opened)):
            file.write(0, b"contents")
            node.setattr(Changes(mode=0o640, size=4))
            seen = node.getattr(GETATTR_BASIC)
            assert (seen.size, seen.mode & 0o777) == (4, 0o640)
    for number in range(20):
        assert (folder / str(number)).read_bytes() == b"cont"


def until_refused(call: Callable[..., T], *arguments: object) -> list[T]:
    """Call it until the host has no handle left. Without an error that is kept: its frames hold
    handles.
    """
    made: list[T] = []
    while True:
        try:
            made.append(call(*arguments))
        except OSError as error:
            if not exhausted(error):
                raise
            return made


def test_what_stays_open_is_not_given_the_reserve(root: LocalNode) -> None:
    nodes = [root.create(b"%d" % number, NEW, 0o600, 0, 0) for number in range(20)]
    for _, file in nodes:
        file.close()
    reading = root.walk(b"2").open(O_RDONLY)
    with none_left():
        kept = [*until_refused(root.walk(b"0").open, O_RDWR), *until_refused(root.opendir)]
        for node, _ in nodes:
            assert node.getattr(GETATTR_BASIC).size == 0
            assert until_refused(node.open, O_RDWR) == []
            assert reading.read(0, 1) == b"", "it is open, though its handle was given to others"
    reading.close()
    for opened in kept:
        opened.close()
