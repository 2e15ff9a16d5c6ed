"""Listings of local directories."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.local.conftest import NEW

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.drivers.local.directory import LOOKS, PIECE, LocalDir
from ninep.errors import Refused
from ninep.host import Entry
from ninep.linux import DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_UNKNOWN, Errno
from ninep.node import Dirent
from ninep.wire.codec import unpack_dirents
from ninep.wire.types import QT_DIR, QT_FILE, QT_SYMLINK

LONG = "long" * 30  # so that a few hundred names take several of the host's batches


def fill(folder: Path) -> None:
    for number in range(800):
        (folder / f"{LONG}-{number}").write_bytes(b"")


def all_entries(directory: LocalDir, room: int = 4096) -> list[Dirent]:
    entries: list[Dirent] = []
    while more := directory.read(entries[-1][3] if entries else 0, room):
        entries += more
    return entries


def names(directory: LocalDir, room: int = 4096) -> list[bytes]:
    return sorted(entry[5] for entry in all_entries(directory, room))


def listed(root: LocalNode) -> dict[bytes, tuple[int, int, int, int, int, bytes]]:
    directory = root.opendir()
    try:
        return {entry[5]: tuple(entry) for entry in all_entries(directory)}
    finally:
        directory.close()


def test_an_empty_directory_has_two_entries(root: LocalNode) -> None:
    directory = root.opendir()
    assert names(directory) == [b".", b".."]
    assert directory.read(directory.read(0, 4096)[-1][3], 4096) == []
    directory.close()


def test_paths_are_those_of_the_nodes(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"folder", 0o755, *(os.geteuid(), os.getegid()))
    (folder / "file").write_bytes(b"")
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "fifo")
    entries = listed(root.walk(b"folder")) | listed(root)
    for name in (b"folder", b"file", b"link", b"fifo"):
        assert entries[name][2] == root.walk(name).qid.path, name
    inside = listed(root.walk(b"folder"))
    assert inside[b"."][2] == root.walk(b"folder").qid.path
    assert inside[b".."][2] == root.qid.path
    assert listed(root)[b".."][2] == root.qid.path


def test_types_where_the_listing_tells_them(attach: Callable[..., LocalNode], folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"")
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "fifo")
    types = {name: entry[4] for name, entry in listed(attach()).items()}
    assert types == {b".": DT_DIR, b"..": DT_DIR, b"folder": DT_DIR, b"file": DT_REG, b"link": DT_LNK, b"fifo": DT_FIFO}
    assert {name: entry[0] for name, entry in listed(attach()).items()} == {
        b".": QT_DIR,
        b"..": QT_DIR,
        b"folder": QT_DIR,
        b"file": QT_FILE,
        b"link": QT_SYMLINK,
        b"fifo": QT_FILE,
    }


@pytest.mark.parametrize("mapped", ["mapped-xattr", "mapped-file"])
def test_a_regular_file_of_a_mapped_model_may_be_anything(attach: Callable[..., LocalNode], mapped: str) -> None:
    root = attach(mapped)
    root.symlink(b"link", b"target", 0, 0)
    root.mknod(b"device", stat.S_IFBLK, 5, 0, 0)
    entries = listed(root)
    assert [entries[name][4] for name in (b"link", b"device")] == [DT_UNKNOWN, DT_UNKNOWN]


@pytest.mark.parametrize("room", [25, 30, 64, 300, 8192, 1 << 20])
def test_whole_entries_within_the_room(root: LocalNode, folder: Path, room: int) -> None:
    for number in range(100):
        (folder / f"file-{number}").write_bytes(b"")
    directory = root.opendir()
    cookie, seen = 0, []
    while entries := directory.read(cookie, room):
        # One that does not fit is returned all the same when it is the first: its reader must see
        # that its room is too small.
        assert len(entries) == 1 or sum(24 + len(entry[5]) for entry in entries) <= room
        cookie = entries[-1][3]
        seen += [entry[5] for entry in entries]
    assert sorted(seen) == sorted([b".", b"..", *(b"file-%d" % number for number in range(100))])
    directory.close()


def test_a_reader_may_use_fewer_entries_than_it_got(root: LocalNode, folder: Path) -> None:
    fill(folder)
    directory = root.opendir()
    cookie, seen = 0, []
    while entries := directory.read(cookie, 20000):
        used = entries[: max(1, len(entries) // 3)]
        seen += [entry[5] for entry in used]
        cookie = used[-1][3]
    assert len(seen) == len(set(seen)) == 802
    directory.close()


def test_an_old_cookie_goes_on_where_it_was(root: LocalNode, folder: Path) -> None:
    fill(folder)
    directory = root.opendir()
    entries = all_entries(directory)
    for place in (799, 10, 400):
        assert directory.read(entries[place][3], 100)[0][5] == entries[place + 1][5]
    assert directory.read(0, 100)[0][5] == entries[0][5]
    directory.close()


def test_what_stays_is_listed_once_whatever_comes_and_goes(root: LocalNode, folder: Path) -> None:
    for number in range(800):
        (folder / f"{number}-{LONG}-{'stays' if number % 2 else 'goes'}").write_bytes(b"")
    directory = root.opendir()
    cookie, seen, number = 0, [], 0
    while entries := directory.read(cookie, 4000):
        seen += [entry[5] for entry in entries if entry[5].endswith(b"stays")]
        cookie = entries[-1][3]
        for _ in range(40):
            (folder / f"{number}-{LONG}-goes").unlink(missing_ok=True)
            (folder / f"{number}-{LONG}-comes").write_bytes(b"")
            number += 2
    assert len(seen) == len(set(seen)) == 400
    directory.close()


def test_rewinding_reads_afresh(root: LocalNode, folder: Path) -> None:
    directory = root.opendir()
    assert names(directory) == [b".", b".."]
    (folder / "new").write_bytes(b"")
    assert names(directory) == [b".", b"..", b"new"]
    directory.close()


def test_two_readers_do_not_disturb_each_other(root: LocalNode, folder: Path) -> None:
    for number in range(50):
        (folder / str(number)).write_bytes(b"")
    one, two = root.opendir(), root.opendir()
    first, second = one.read(0, 200), two.read(0, 200)
    assert first == second
    assert one.read(first[-1][3], 200) == two.read(second[-1][3], 200)
    one.close()
    two.close()


def test_the_metadata_of_mapped_file_is_hidden(attach: Callable[..., LocalNode], folder: Path) -> None:
    root = attach("mapped-file")
    root.create(b"file", NEW, 0o600, 5, 6)[1].close()
    (folder / ".virtfs_metadata_root").write_bytes(b"")
    (folder / ".virtfs_other").write_bytes(b"")
    assert sorted(listed(root)) == [b".", b"..", b".virtfs_other", b"file"]
    assert {".virtfs_metadata", ".virtfs_metadata_root"} < set(os.listdir(folder))


def test_one_bad_entry_fails_nothing(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad", "gone", "good"):
        (folder / name).mkdir()
    look = host.stat_at

    def failing(dir: host.Handle, name: bytes) -> host.Stat:
        if name == b"bad":
            raise Refused(Errno.EIO)
        if name == b"gone":
            raise Refused(Errno.ENOENT)
        return look(dir, name)

    monkeypatch.setattr(host, "stat_same_mount", failing)
    entries = listed(root)
    assert sorted(entries) == [b".", b"..", b"bad", b"good"]
    assert (entries[b"bad"][0], entries[b"bad"][4]) == (QT_DIR, DT_UNKNOWN)


def test_types_that_the_filesystem_does_not_tell(
    attach: Callable[..., LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "folder").mkdir()
    (folder / "file").write_bytes(b"")
    (folder / "link").symlink_to("file")

    class Untold:
        def __init__(self, listing: host.Listing) -> None:
            self.listing = listing
            self.sync, self.close = listing.sync, listing.close

        def read(self, cookie: int, size: int) -> list[Entry]:
            return [Entry(ino, cookie, 0, name) for ino, cookie, _, name in self.listing.read(cookie, size)]

    open_dir = host.open_dir
    monkeypatch.setattr(host, "open_dir", lambda place: Untold(open_dir(place)))
    types = {name: (entry[0], entry[4]) for name, entry in listed(attach()).items()}
    assert types[b"folder"] == (QT_DIR, DT_DIR)
    assert types[b"link"] == (QT_SYMLINK, DT_LNK)
    assert types[b"file"] == (QT_FILE, DT_REG)
    assert types[b"."] == types[b".."] == (QT_DIR, DT_DIR)


def test_a_directory_listed_while_it_is_removed(root: LocalNode, folder: Path) -> None:
    (folder / "folder").mkdir()
    directory = root.walk(b"folder").opendir()
    root.unlink(b"folder", directory=True)
    assert [entry[5] for entry in all_entries(directory)] in ([], [b".", b".."])
    directory.fsync(datasync=False)
    directory.close()


@pytest.mark.parametrize("packed", [False, True])
def test_a_reply_takes_few_looks(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    """Subdirectories are looked at one by one: a reply ends before that takes long, wherever it
    begins, and nothing is left out.
    """
    for number in range(1500):
        (folder / f"{number}").mkdir()
    looks = 0
    look = LocalDir._stat_entry

    def counted(*arguments: Any) -> Dirent | None:
        nonlocal looks
        looks += 1
        return look(*arguments)

    monkeypatch.setattr(LocalDir, "_stat_entry", counted)
    directory = root.opendir()

    def reply(cookie: int) -> Sequence[Dirent]:
        nonlocal looks
        looks = 0
        if packed:
            data = directory.read_packed(cookie, 1 << 20)
            assert data is not None
            entries: Sequence[Dirent] = unpack_dirents(data)
        else:
            entries = directory.read(cookie, 1 << 20)
        assert looks <= LOOKS + PIECE
        return entries

    seen: list[Dirent] = []
    while more := reply(seen[-1][3] if seen else 0):
        seen += more
    found = sorted(entry[5] for entry in seen if b"." not in entry[5])
    assert found == sorted(b"%d" % number for number in range(1500))
    for at in (700, 1200, 3, 1499, 750, 749):
        assert reply(seen[at][3])[0] == seen[at + 1]
    directory.close()
