"""Listings kept in the form of Rreaddir: the same entries as read one by one, never older than the directory."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from weakref import ref

import pytest

from ninep.drivers.local import LocalNode
from ninep.drivers.local import packed as packed_module
from ninep.drivers.local.packed import Listings, PackedListing, Recorder
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
    monkeypatch.setattr(packed_module, "BUDGET", 3200)  # a listing has 1.5 KB
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


def test_recordings_are_bounded_together(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that read many listings to just before their end, and never the last of them."""
    monkeypatch.setattr(packed_module, "BUDGET", 3000)
    fill(folder, 50)
    listings = root.tree.listings
    directories = [root.opendir() for _ in range(10)]
    for directory in directories:
        assert directory.read_packed(0, 1000)
    assert sum(directory._recorder is not None for directory in directories) == 2  # type: ignore[attr-defined]
    assert 0 < listings._recorded <= 3000
    for directory in directories:
        directory.close()
    del directory, directories
    assert listings._recorded == 0


def test_a_listing_that_is_dropped_is_not_held_by_who_reads_it(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, 50)
    directory = root.opendir()
    entries = read_packed(directory, 4096)
    first = unpack_dirents(directory.read_packed(0, 1000) or b"")
    known = ref(listing_of(root))
    monkeypatch.setattr(packed_module, "BUDGET", 0)
    root.tree.listings.keep((0, 0), PackedListing((0, 0), b"", array("I")))
    assert known() is None
    assert first + unpack_dirents(directory.read_packed(first[-1].cookie, 1 << 20) or b"") == entries
    directory.close()


def test_a_small_part_does_not_hold_the_whole(root: LocalNode, folder: Path) -> None:
    fill(folder, 50)
    directory = root.opendir()
    read_packed(directory, 4096)
    assert isinstance(directory.read_packed(0, 500), bytes)
    assert isinstance(directory.read_packed(0, 1 << 20), memoryview)
    directory.close()


def test_the_last_few_directories_have_entries_at_hand(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_module, "READERS", 3)
    fill(folder, 50)
    directories = [root.opendir() for _ in range(10)]
    seen = [list(directory.read(0, 200)) for directory in directories]
    assert sum(bool(directory._rest[0]) for directory in directories) == 3  # type: ignore[attr-defined]
    for directory, begun in zip(directories, seen, strict=True):
        while more := directory.read(begun[-1][3], 200):
            begun.extend(more)
        assert len({entry[5] for entry in begun}) == len(begun) == 52
    directories[0].read(0, 200)
    assert len(root.tree.listings._readers) == 1
    for directory in directories:
        directory.close()
    assert not root.tree.listings._readers


def test_a_listing_larger_than_all_of_the_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "BUDGET", 40)
    recorder = Recorder(Listings(), (0, 0))
    assert recorder.add([b"x" * 24, b"name"], 1)
    assert not recorder.add([b"x" * 24, b"name"], 2)
