"""Making, removing and listing directories on the Windows host."""

import logging

import pytest
from tests.host.windows.box import Box, refused

from ninep import linux
from ninep.host import NO_HANDLE, Entry, Handle, Listing, ObjectRef, iterate
from ninep.host.windows.api import Access, Tag
from ninep.linux import Errno
from ninep.testing.fake_nt_volume import Volume


def listing_of(box: Box, dir: Handle | None = None) -> Listing:
    return box.host.open_dir(ObjectRef(box.root if dir is None else dir, NO_HANDLE, b""))


def names_of(box: Box, dir: Handle | None = None) -> list[bytes]:
    listing = listing_of(box, dir)
    names = [entry.name for entry in iterate(listing)]
    listing.close()
    return names


def test_make_and_remove(box: Box) -> None:
    host = box.host
    host.make_dir(box.root, b"dir", 0o700)
    with refused(Errno.EEXIST):
        host.make_dir(box.root, b"dir", 0o700)
    path_handle = host.open_path(box.root, b"dir")
    host.make_dir(path_handle, b"inner", 0o755)
    with refused(Errno.ENOTEMPTY):
        host.remove_dir(box.root, b"dir")
    with refused(Errno.EISDIR):
        host.remove_file(path_handle, b"inner")
    host.remove_dir(path_handle, b"inner")
    host.close(path_handle)
    host.remove_dir(box.root, b"dir")
    assert box.outside.names() == set()


def test_a_file_is_no_directory(box: Box) -> None:
    box.outside.write("file")
    with refused(Errno.ENOTDIR):
        box.host.remove_dir(box.root, b"file")
    with refused(Errno.EEXIST):
        box.host.make_dir(box.root, b"file", 0o755)
    place = box.place(b"file")
    with refused(Errno.ENOTDIR):
        box.host.open_dir(place)
    box.free(place)
    assert box.outside.exists("file")


def test_a_listing(box: Box) -> None:
    box.outside.write("file")
    box.outside.mkdir("dir")
    listing = listing_of(box)
    entries = list(iterate(listing))
    listing.close()
    assert sorted(entry.name for entry in entries) == [b".", b"..", b"dir", b"file"]
    assert [entry.cookie for entry in entries] == [1, 2, 3, 4]


def test_types_and_ids_come_with_the_listing(ntfs: Box) -> None:
    """Row 21. No entry is opened for it (bug 14)."""
    ntfs.outside.write("file")
    ntfs.outside.mkdir("dir")
    ntfs.outside.write("link")
    ntfs.outside.set_reparse("link", Tag.LX_SYMLINK, b"\2\0\0\0target")
    ntfs.outside.write("fifo")
    ntfs.outside.set_reparse("fifo", Tag.LX_FIFO, b"")
    listing = listing_of(ntfs)
    before = ntfs.fake.counts["create"]
    entries = {entry.name: entry for entry in listing.read(0)}
    assert ntfs.fake.counts["create"] == before
    listing.close()
    assert {name: entry.type for name, entry in entries.items()} == {
        b".": linux.DT_DIR,
        b"..": linux.DT_DIR,
        b"file": linux.DT_REG,
        b"dir": linux.DT_DIR,
        b"link": linux.DT_LNK,
        b"fifo": linux.DT_FIFO,
    }
    assert entries[b"file"].ino == ntfs.host.stat_at(ntfs.root, b"file").st_ino


def test_an_empty_directory(box: Box) -> None:
    assert names_of(box) == [b".", b".."]


def read_from(listing: Listing, cookie: int) -> list[Entry]:
    entries: list[Entry] = []
    while batch := listing.read(cookie):
        entries += batch
        cookie = batch[-1].cookie
    return entries


def test_going_on_from_any_cookie(box: Box) -> None:
    """Bug 18 and row 19: a cookie is a place in the snapshot; any can be asked for, in
    any order.
    """
    for number in range(40):
        box.outside.write(f"file{number:02}")
    listing = listing_of(box)
    entries = read_from(listing, 0)
    assert len(entries) == 42
    for cookie in (41, 7, 0, 20, 41, 1):
        assert read_from(listing, cookie) == entries[cookie:]
    assert list(listing.read(42)) == []
    assert list(listing.read(1 << 62)) == []
    listing.close()


def test_creates_and_deletes_meanwhile(box: Box) -> None:
    """What was there all along is seen exactly once, whatever comes and goes between two reads."""
    for number in range(600):
        box.outside.write(f"{number:03}" + "x" * 100)
    listing = listing_of(box)
    seen = [entry.name for entry in listing.read(0)]
    cookie = len(seen)
    for number in range(0, 600, 3):
        box.outside.remove(f"{number:03}" + "x" * 100)
        box.outside.write(f"{number:03}" + "y" * 100)
    seen += [entry.name for entry in read_from(listing, cookie)]
    kept = [name for name in seen if name.endswith(b"x") and int(name[:3]) % 3]
    assert sorted(kept) == [b"%03d" % number + b"x" * 100 for number in range(600) if number % 3]
    assert len(seen) == len(set(seen))
    listing.close()


def test_a_rewind_reads_afresh(box: Box) -> None:
    box.outside.write("one")
    listing = listing_of(box)
    assert {entry.name for entry in read_from(listing, 0)} == {b".", b"..", b"one"}
    box.outside.write("two")
    assert {entry.name for entry in read_from(listing, 2)} == {b"one"}
    assert {entry.name for entry in read_from(listing, 0)} == {b".", b"..", b"one", b"two"}
    listing.close()


def test_two_readers_do_not_disturb_each_other(box: Box) -> None:
    for number in range(10):
        box.outside.write(f"file{number}")
    one, two = listing_of(box), listing_of(box)
    assert read_from(one, 0) == read_from(two, 0)
    assert read_from(one, 5) == read_from(two, 5)
    one.close()
    two.close()


def test_a_big_directory_comes_in_batches(ntfs: Box) -> None:
    """T19: a batch is bounded, and so is what is kept (about 30 bytes an entry)."""
    ntfs.fake.volume.short_names = False
    folder = ntfs.fake.volume.at("share")
    for number in range(20_000):
        ntfs.fake.volume.link(folder, f"entry{number:06}", ntfs.fake.volume.new(0))
    listing = listing_of(ntfs)
    batch = listing.read(0)
    assert 100 < len(batch) < 1000
    assert len(read_from(listing, 0)) == 20_002
    listing.close()


def test_a_listing_keeps_no_directory_in_place(ntfs: Box) -> None:
    """An open handle below hinders renames on NTFS: a listing that was read lets go, and finds the
    directory again for a rewind.
    """
    ntfs.outside.mkdir("above")
    ntfs.outside.mkdir("above\\dir")
    ntfs.outside.write("above\\dir\\file")
    above = ntfs.host.open_path(ntfs.root, b"above")
    dir = ntfs.host.open_path(above, b"dir")
    listing = listing_of(ntfs, dir)
    ntfs.host.close(dir)
    ntfs.host.close(above)
    assert [entry.name for entry in read_from(listing, 0)] == [b".", b"..", b"file"]
    ntfs.outside.rename("above", "renamed")
    ntfs.outside.write("renamed\\dir\\second")
    assert [entry.name for entry in read_from(listing, 0)] == [b".", b"..", b"file", b"second"]
    listing.close()


def test_a_directory_that_is_gone_at_a_rewind(ntfs: Box) -> None:
    ntfs.outside.mkdir("dir")
    path_handle = ntfs.host.open_path(ntfs.root, b"dir")
    listing = listing_of(ntfs, path_handle)
    ntfs.host.close(path_handle)
    assert len(read_from(listing, 0)) == 2
    ntfs.outside.remove("dir")
    with refused(Errno.ENOENT):
        listing.read(0)
    assert len(read_from(listing, 1)) == 1
    listing.close()


def test_one_bad_entry_never_breaks_a_listing(ntfs: Box) -> None:
    """Bug 14: locked, denied, delete-pending, damaged, unknown reparse points."""
    volume: Volume = ntfs.fake.volume
    volume.add("share\\denied", b"").denied = 0xFFFFFFFF
    volume.add("share\\cloud", b"", reparse=(0x9000001A, b"\xff"))
    volume.add("share\\damaged", b"", reparse=(Tag.SYMLINK, b""))
    volume.add("share\\pending", b"")
    volume.add("share\\good", b"")
    with ntfs.outside.open("pending", Access.DELETE) as handle:
        ntfs.calls.change(handle, 13, b"\1")
        assert set(names_of(ntfs)) == {b".", b"..", b"denied", b"cloud", b"damaged", b"pending", b"good"}


def test_what_no_client_can_name_is_left_out(ntfs: Box, caplog: pytest.LogCaptureFixture) -> None:
    """A colon put there by another system; said once."""
    folder = ntfs.fake.volume.at("share")
    for name in ("a:b", "c:d", "good"):
        ntfs.fake.volume.link(folder, name, ntfs.fake.volume.new(0))
    with caplog.at_level(logging.WARNING):
        assert names_of(ntfs) == [b".", b"..", b"good"]
    assert len(caplog.records) == 1


def test_handles_are_closed_once(ntfs: Box) -> None:
    """Bugs 12 and 17; the box checks that none is left."""
    for again in (False, True):
        ntfs.fake.volume.by_id = not again
        root = ntfs.host.open_root("C:\\share")
        listing = listing_of(ntfs, root)
        listing.read(0)
        listing.read(0)
        listing.close()
        unread = listing_of(ntfs, root)
        unread.close()
        ntfs.host.close(root)
