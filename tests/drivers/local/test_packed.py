"""Listings kept in the form of Rreaddir: the same entries as read one by one, never older than the directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.drivers.local import LocalNode
from ninep.drivers.local import packed as packed_module
from ninep.drivers.local.packed import PackedListing, Recorder
from ninep.node import Dirent, OpenDir
from ninep.wire.codec import unpack_dirents

LONG_AGO = 1_000_000_000 * 10**9


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories of these tests were changed a moment ago; take that for long ago."""
    monkeypatch.setattr(packed_module, "QUIET", 0)


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"entry {number:04d}").touch()


def read_packed(directory: OpenDir, room: int) -> list[Dirent]:
    found: list[Dirent] = []
    cookie = 0
    while data := directory.read_packed(cookie, room):
        assert len(data) <= room
        found += unpack_dirents(data)
        cookie = found[-1].cookie
    assert data is not None
    return found


def listing_of(root: LocalNode) -> PackedListing | None:
    return root.tree.listings.get((root.dev, root.ino), os.stat(root.held()))


@pytest.mark.parametrize("room", [100, 4096, 1 << 20])
def test_the_first_and_the_kept_listing_are_what_is_read_one_by_one(root: LocalNode, folder: Path, room: int) -> None:
    fill(folder, 200)
    plain = root.opendir()
    entries = []
    cookie = 0
    while batch := plain.read(cookie, 4096):
        entries += [Dirent(*entry) for entry in batch]
        cookie = entries[-1].cookie
    plain.close()
    directory = root.opendir()
    assert read_packed(directory, room) == entries
    assert listing_of(root) is not None
    assert read_packed(directory, room) == entries
    directory.close()


def test_a_change_is_seen_at_the_next_rewind(root: LocalNode, folder: Path) -> None:
    fill(folder, 10)
    directory = root.opendir()
    read_packed(directory, 4096)
    (folder / "new").touch()
    assert b"new" in [entry.name for entry in read_packed(directory, 4096)]
    (folder / "new").unlink()
    assert b"new" not in [entry.name for entry in read_packed(directory, 4096)]
    directory.close()


def test_a_directory_changed_while_it_is_read_is_not_kept(root: LocalNode, folder: Path) -> None:
    fill(folder, 50)
    directory = root.opendir()
    first = unpack_dirents(directory.read_packed(0, 300) or b"")
    os.utime(folder, ns=(LONG_AGO, LONG_AGO))
    cookie = first[-1].cookie
    while data := directory.read_packed(cookie, 300):
        cookie = unpack_dirents(data)[-1].cookie
    assert listing_of(root) is None
    directory.close()


def test_a_directory_changed_just_now_is_not_recorded(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_module, "QUIET", 3600 * 10**9)
    fill(folder, 5)
    directory = root.opendir()
    read_packed(directory, 4096)
    assert listing_of(root) is None
    directory.close()


def test_a_cookie_from_elsewhere_is_found_by_the_host(root: LocalNode, folder: Path) -> None:
    fill(folder, 100)
    directory = root.opendir()
    entries = read_packed(directory, 4096)
    directory.read_packed(0, 300)
    assert unpack_dirents(directory.read_packed(entries[60].cookie, 1 << 20) or b"") == entries[61:]
    directory.close()


def test_too_little_room_for_an_entry_is_left_to_read(root: LocalNode, folder: Path) -> None:
    fill(folder, 3)
    directory = root.opendir()
    assert directory.read_packed(0, 20) is None
    read_packed(directory, 4096)
    assert directory.read_packed(0, 20) is None
    directory.close()


def test_listings_are_bounded_together(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "BUDGET", 2000)
    nodes = []
    for name in (b"one", b"two", b"three"):
        (folder / name.decode()).mkdir()
        fill(folder / name.decode(), 20)
        nodes.append(root.walk(name))
        directory = nodes[-1].opendir()
        read_packed(directory, 4096)
        directory.close()
    assert [listing_of(node) is not None for node in nodes] == [False, True, True]
    for node in nodes:
        node.release()


def test_a_listing_larger_than_all_of_the_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "BUDGET", 30)
    recorder = Recorder((0, 0))
    assert recorder.add([b"x" * 24, b"name"], 1)
    assert not recorder.add([b"x" * 24, b"name"], 2)
