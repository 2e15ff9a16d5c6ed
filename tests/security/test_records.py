"""Metadata files: how many are handled in the event loop, and what stands in their place."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.disks import needs_root, run, tmpfs, unmount
from tests.security.conftest import NEW

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.linux import GETATTR_BASIC, Errno
from ninep.node import Changes, WouldBlock, serve_in_this_thread
from ninep.security.records import ABANDONED, AT_ONCE, TEMPORARY

METADATA = ".virtfs_metadata"


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("mapped-file")


@contextmanager
def in_the_event_loop() -> Iterator[None]:
    serve_in_this_thread(1)
    try:
        yield
    finally:
        serve_in_this_thread(-1)


def stale(metadata: Path, count: int) -> None:
    """Records of nothing."""
    metadata.mkdir(mode=0o700)
    for number in range(count):
        (metadata / f"{number}").touch()


@contextmanager
def bound(file: Path, place: Path) -> Iterator[None]:
    """A file, mounted on another."""
    done = run("mount", "--bind", file, place)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        unmount(place)


@pytest.mark.parametrize("how", ["rmdir", "rename"])
@pytest.mark.parametrize("count", [AT_ONCE, AT_ONCE + 1])
def test_many_stale_records_are_removed_in_a_thread(root: LocalNode, folder: Path, how: str, count: int) -> None:
    """So that a folder which a host process emptied can go; the loop is not kept that long."""
    (folder / "full").mkdir()
    (folder / "empty").mkdir()
    stale(folder / "full" / METADATA, count)

    def act() -> None:
        if how == "rmdir":
            root.unlink(b"full", directory=True)
        else:
            root.rename(b"empty", root, b"full")

    if count > AT_ONCE:
        with in_the_event_loop(), pytest.raises(WouldBlock):
            act()
        assert len(os.listdir(folder / "full" / METADATA)) == count, "nothing is done yet"
        act()
    else:
        with in_the_event_loop():
            act()
    left = {path.name for path in folder.iterdir()} - {METADATA}
    assert left == ({"full"} if how == "rename" else {"empty"})


def test_many_records_are_not_looked_through(root: LocalNode, folder: Path) -> None:
    """For what a killed server left, in the event loop: it stays, hidden and in nobody's way. The
    request may have changed something already (here the size), and cannot begin again in a thread.
    """
    node, file = root.create(b"file", NEW, 0o600, 5, 6)
    file.close()
    old = folder / METADATA / os.fsdecode(TEMPORARY + b"1.1")
    old.touch()
    os.utime(old, (0, time.time() - 2 * ABANDONED))
    for number in range(AT_ONCE):
        (folder / METADATA / f"{number}").touch()
    with in_the_event_loop():
        node.setattr(Changes(size=5, mode=0o640))
    found = node.getattr(GETATTR_BASIC)
    assert (found.size, found.mode & 0o7777) == (5, 0o640)
    assert old.exists()


@needs_root
@pytest.mark.skipif(not host.SEES_MOUNTS, reason="needs openat2(2), Linux 5.6")
def test_what_is_mounted_on_a_record_is_none(root: LocalNode, folder: Path, tmp_path: Path) -> None:
    """It may be one that does not answer: it is not asked anything, and not written to."""
    node, file = root.create(b"file", NEW, 0o640, 5, 6)
    file.close()
    other = tmp_path / "other"
    other.write_bytes(b"virtfs.uid=0\nvirtfs.mode=35309\n")
    with bound(other, folder / METADATA / "file"), in_the_event_loop():
        seen = node.getattr(GETATTR_BASIC)
        assert (seen.uid, seen.mode & 0o7777) == ((folder / "file").stat().st_uid, 0o600)
        with pytest.raises(OSError) as caught:  # noqa: PT011
            node.setattr(Changes(uid=7))
        assert caught.value.errno == Errno.EBUSY
    assert other.read_bytes() == b"virtfs.uid=0\nvirtfs.mode=35309\n"
    assert node.getattr(GETATTR_BASIC).uid == 5


@needs_root
@pytest.mark.skipif(not host.SEES_MOUNTS, reason="needs openat2(2), Linux 5.6")
def test_what_is_mounted_on_the_folder_of_records_holds_none(root: LocalNode, folder: Path) -> None:
    node, file = root.create(b"file", NEW, 0o640, 5, 6)
    file.close()
    with tmpfs(folder / METADATA), in_the_event_loop():
        (folder / METADATA / "file").write_bytes(b"virtfs.uid=0\n")
        assert node.getattr(GETATTR_BASIC).uid == (folder / "file").stat().st_uid
    assert node.getattr(GETATTR_BASIC).uid == 5
