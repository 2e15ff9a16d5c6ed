"""Listings kept in the form of Rreaddir: the same entries as read one by one, never older than the
directory.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.drivers.local import packed as packed_module
from ninep.drivers.local.directory import LocalDir
from ninep.drivers.local.packed import Listings, PackedListing, Recorder
from ninep.node import Dirent, OpenDir
from ninep.wire import cookies
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
    return root.table.listings.get((root.dev, root.ino), os.stat(root.get_path_handle()))


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
    listings = root.table.listings
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
    root.table.listings.keep((0, 0), PackedListing((0, 0), b"", array("I")))
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
    assert len(root.table.listings._readers) == 1
    for directory in directories:
        directory.close()
    assert not root.table.listings._readers


def test_a_listing_larger_than_all_of_the_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_module, "BUDGET", 40)
    recorder = Recorder(Listings(), (0, 0))
    assert recorder.add([b"x" * 24, b"name"], 1, array("Q", [7]))
    assert not recorder.add([b"x" * 24, b"name"], 2, array("Q", [8]))


def test_a_listing_is_kept_although_more_read_it_than_the_pool_has_numbers_for(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cookies, "POOL", 1000)
    fill(folder, 300)
    many = [root.opendir() for _ in range(8)]
    at = dict.fromkeys(many, 0)
    while at:  # each reads a little, in turn, so that each table is cleared before its reader is done
        for directory, cookie in list(at.items()):
            data = directory.read_packed(cookie, 4096)
            assert data is not None
            if data:
                at[directory] = unpack_dirents(data)[-1].cookie
            else:
                del at[directory]
    kept = listing_of(root)
    assert kept is not None
    asked: list[int] = []
    for directory in many:
        monkeypatch.setattr(LocalDir, "_fill", lambda _, number: asked.append(number) or [])
        assert len(read_packed(directory, 4096)) == 302
        directory.close()
    assert not asked


def packed_from(directory: OpenDir, cookie: int, room: int = 1 << 20) -> list[Dirent]:
    data = directory.read_packed(cookie, room)
    assert data is not None
    return unpack_dirents(data)


@pytest.mark.parametrize("folders", [3, 1000], ids=["many folders", "few folders"])
def test_back_through_several_batches(
    attach: Callable[..., LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch, folders: int
) -> None:
    """A jump back costs no batch of its own, whether entries have to be looked at or not."""
    monkeypatch.setattr(packed_module, "QUIET", 1 << 62)
    for number in range(2000):
        (folder / f"{number}").mkdir() if number % folders == 0 else (folder / f"{number}").touch()
    directory = attach("none").opendir()
    entries = read_packed(directory, 1 << 20)
    assert len(entries) == 2002
    batches = 0
    piece = LocalDir._piece

    def counted(self: LocalDir, cookie: int, size: int) -> Any:
        nonlocal batches
        batches += 1
        return piece(self, cookie, size)

    monkeypatch.setattr(LocalDir, "_piece", counted)
    for at in range(2000, -1, -1):
        assert packed_from(directory, entries[at].cookie)[0] == entries[at + 1]
    assert batches < 200
    directory.close()


@pytest.mark.parametrize("quiet", [0, 3600 * 10**9], ids=["kept", "from the host"])
@pytest.mark.parametrize("model", ["none", "mapped-file"])
class TestSeek:
    """Cookies are numbers below 2**31; each leads on to the entry after its own."""

    @pytest.fixture
    def root(
        self, attach: Callable[..., LocalNode], folder: Path, model: str, quiet: int, monkeypatch: pytest.MonkeyPatch
    ) -> LocalNode:
        monkeypatch.setattr(packed_module, "QUIET", quiet)
        fill(folder, 700)
        if model == "mapped-file":
            (folder / ".virtfs_metadata").mkdir()
            (folder / ".virtfs_metadata_root").touch()
        return attach(model)

    def test_after_every_entry(self, root: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = root.opendir()
        entries = read_packed(directory, 1 << 20)
        assert len(entries) == 702
        assert max(entry.cookie for entry in entries) < 1 << 31
        batches = 0
        shown = LocalDir._shown

        def counted(self: LocalDir, *args: Any) -> Any:
            nonlocal batches
            batches += 1
            return shown(self, *args)

        monkeypatch.setattr(LocalDir, "_shown", counted)
        for order in (range(701), range(700, -1, -1)):
            for at in order:
                found = packed_from(directory, entries[at].cookie)
                assert found[0] == entries[at + 1]
                assert len(found) < 200  # the client drops all but the first
        assert batches < 60  # of the host, with up to 1,000 entries
        assert packed_from(directory, entries[-1].cookie) == []
        directory.close()

    def test_a_reader_that_goes_on_after_a_jump_gets_more_each_time(self, root: LocalNode) -> None:
        directory = root.opendir()
        entries = read_packed(directory, 1 << 20)
        cookie, sizes = entries[100].cookie, []
        while found := packed_from(directory, cookie):
            sizes.append(len(found))
            cookie = found[-1].cookie
        assert sum(sizes) == 601
        assert sizes[0] * 3 < sizes[1]
        assert read_packed(directory, 1 << 20) == entries
        directory.close()

    def test_by_the_cookies_of_another_open_directory(self, root: LocalNode) -> None:
        directory = root.opendir()
        entries = read_packed(directory, 1 << 20)
        directory.close()
        for at in (0, 1, 300, 700, 701):
            directory = root.opendir()
            assert packed_from(directory, entries[at].cookie)[:1] == entries[at + 1 : at + 2]
            directory.close()

    def test_after_changes(self, root: LocalNode, folder: Path) -> None:
        directory = root.opendir()
        entries = read_packed(directory, 1 << 20)
        for number in range(0, 700, 3):
            (folder / f"entry {number:04d}").unlink()
            (folder / f"new {number}").touch()
        for rewound in (False, True, False):
            if rewound:
                assert len(read_packed(directory, 1 << 20)) == 702
            for at in (*range(0, 702, 50), 701, 1, 700):
                found = packed_from(directory, entries[at].cookie)
                names = [entry.name for entry in found if not entry.name.startswith(b"new")]
                left = [entry.name for entry in entries[at + 1 :] if os.path.lexists(folder / os.fsdecode(entry.name))]
                assert names == left[: len(names)]
                assert names or not left or len(found) > 50
        directory.close()

    def test_numbers_that_were_never_given(self, root: LocalNode) -> None:
        directory = root.opendir()
        for cookie in (703, 5000, (1 << 31) - 1):
            assert packed_from(directory, cookie) == []
        assert len(read_packed(directory, 4096)) == 702
        directory.close()

    def test_the_place_of_a_reader_is_kept_when_numbers_are_forgotten(
        self, root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cookies, "POOL", 2000)
        monkeypatch.setattr(packed_module, "BUDGET", 0)
        directories = [root.opendir() for _ in range(6)]
        seen: list[list[Dirent]] = [[] for _ in directories]
        for _ in range(30):
            for directory, found in zip(directories, seen, strict=True):
                found.extend(packed_from(directory, found[-1].cookie if found else 0, 2000))
            for entry in seen[0][-40:]:  # what all have read: the next cannot be found by counting
                if entry.name.startswith(b"entry"):
                    (folder / os.fsdecode(entry.name)).unlink(missing_ok=True)
        for directory, found in zip(directories, seen, strict=True):
            assert len(found) == len({entry.name for entry in found}) == 702
            directory.close()
        assert not root.table.listings.pool._sizes


def test_names_that_no_client_takes(
    attach: Callable[..., LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As an NTFS folder has them: 255 UTF-16 units are up to 765 bytes."""
    fill(folder, 30)
    euros = "\u20ac".encode() * 255

    class Longer:
        def __init__(self, listing: host.Listing) -> None:
            self.listing = listing
            self.sync, self.close = listing.sync, listing.close

        def read(self, cookie: int, size: int) -> list[host.Entry]:
            return [
                host.Entry(ino, place, kind, euros if name == b"entry 0007" else name)
                for ino, place, kind, name in self.listing.read(cookie, size)
            ]

    open_dir = host.open_dir
    monkeypatch.setattr(host, "open_dir", lambda place: Longer(open_dir(place)))
    root = attach("none")
    for room in (64, 1000, 1 << 20):
        directory = root.opendir()
        names = [entry.name for entry in read_packed(directory, room)]
        assert len(names) == 31
        assert euros not in names
        assert euros in [entry[5] for entry in directory.read(0, 1 << 20)]
        directory.close()
    assert listing_of(root) is None
    assert caplog.text.count("765 bytes") == 1
