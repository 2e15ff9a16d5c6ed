"""Opening, reading and writing through the Windows host."""

import pytest
from tests.host.windows.box import Box, refused

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef
from ninep.host.windows.api import Access, Attribute, Share
from ninep.linux import Errno

NEW = linux.O_CREAT | linux.O_EXCL | linux.O_RDWR


def test_a_new_file_is_written_and_read(box: Box) -> None:
    host = box.host
    handle = host.open_at(box.root, b"file", NEW)
    assert host.write(handle, b"hello", 0) == 5
    assert host.write(handle, bytearray(b" world"), 5) == 6
    assert host.write(handle, memoryview(b"W"), 6) == 1
    assert host.read(handle, 100, 0) == b"hello World"
    assert host.read(handle, 3, 4) == b"o W"
    assert host.read(handle, 10, 11) == b""
    assert host.read(handle, 10, 1 << 40) == b""
    assert host.read(handle, 0, 0) == b""
    host.close(handle)
    assert box.outside.read("file") == b"hello World"


def test_exclusive_creation(box: Box) -> None:
    """Bug 21: an existing file is never taken for a new one, nor touched."""
    host = box.host
    host.close(host.open_at(box.root, b"file", NEW))
    box.outside.write("file", b"contents")
    with refused(Errno.EEXIST):
        host.open_at(box.root, b"file", NEW)
    with refused(Errno.EEXIST):
        host.make_node(box.root, b"file", linux.S_IFREG | 0o644, 0)
    assert box.outside.read("file") == b"contents"


def test_open_or_create(box: Box) -> None:
    host = box.host
    with refused(Errno.ENOENT):
        host.open_at(box.root, b"file", linux.O_RDWR)
    for _ in range(2):
        handle = host.open_at(box.root, b"file", linux.O_CREAT | linux.O_RDWR)
        host.write(handle, b"x", host.stat(handle).st_size)
        host.close(handle)
    assert box.outside.read("file") == b"xx"


def test_truncation_keeps_the_streams(box: Box) -> None:
    """TRUNC is a change of size: NT's FILE_OVERWRITE would drop the owner's streams."""
    host = box.host
    box.outside.write("file", b"contents")
    place = box.place(b"file")
    host.set_xattr(place, b"user.virtfs.uid", b"\1\0\0\0")
    handle = host.open_file(place, linux.O_WRONLY | linux.O_TRUNC)
    assert host.stat(handle).st_size == 0
    assert host.get_xattr(place, b"user.virtfs.uid") == b"\1\0\0\0"
    host.close(handle)
    box.free(place)


def test_sizes(box: Box) -> None:
    host = box.host
    handle = host.open_at(box.root, b"file", NEW)
    host.write(handle, b"abcdef", 0)
    host.truncate(handle, 3)
    assert host.read(handle, 10, 0) == b"abc"
    host.truncate(handle, 5)
    assert host.read(handle, 10, 0) == b"abc\0\0"
    host.write(handle, b"x", 8)
    assert host.read(handle, 10, 0) == b"abc\0\0\0\0\0x"
    assert host.stat(handle).st_size == 9
    host.close(handle)


def test_appending_goes_to_the_end(box: Box) -> None:
    host = box.host
    box.outside.write("file", b"one")
    handle = host.open_at(box.root, b"file", linux.O_WRONLY | linux.O_APPEND)
    host.write(handle, b"two", 0)
    host.write(handle, b"three", 1)
    host.close(handle)
    assert box.outside.read("file") == b"onetwothree"
    handle = host.open_at(box.root, b"file", linux.O_WRONLY)
    host.write(handle, b"O", 0)
    host.close(handle)
    assert box.outside.read("file") == b"Onetwothree"


def test_a_handle_without_the_right(box: Box) -> None:
    host = box.host
    box.outside.write("file", b"contents")
    reader = host.open_at(box.root, b"file", linux.O_RDONLY)
    with refused(Errno.EBADF):
        host.write(reader, b"x", 0)
    writer = host.open_at(box.root, b"file", linux.O_WRONLY)
    with refused(Errno.EBADF):
        host.read(writer, 1, 0)
    host.close(reader)
    host.close(writer)


@pytest.mark.parametrize("flags", [linux.O_RDONLY, linux.O_WRONLY, linux.O_RDWR], ids=["read", "write", "both"])
def test_a_directory_is_no_file(box: Box, flags: int) -> None:
    box.outside.mkdir("dir")
    with refused(Errno.EISDIR):
        box.host.open_at(box.root, b"dir", flags)
    place = box.place(b"dir")
    with refused(Errno.EISDIR):
        box.host.open_file(place, flags)
    box.free(place)


def test_nothing_lies_below_a_file(box: Box) -> None:
    """Bug 8: every way to fail has an errno."""
    box.outside.write("file")
    pin = box.host.open_path(box.root, b"file")
    with refused(Errno.ENOTDIR):
        box.host.open_path(pin, b"x")
    with refused(Errno.ENOTDIR):
        box.host.open_at(pin, b"x", NEW)
    with refused(Errno.ENOTDIR):
        box.host.make_dir(pin, b"x", 0o755)
    with refused(Errno.ENOTDIR):
        box.host.open_dir(ObjectRef(pin, NO_HANDLE, b""))
    box.host.close(pin)


def test_a_file_can_be_removed_and_renamed_while_it_is_open(box: Box) -> None:
    """Open files share everything."""
    handle = box.host.open_at(box.root, b"file", NEW)
    box.outside.rename("file", "moved")
    box.host.write(handle, b"x", 0)
    assert box.host.read(handle, 1, 0) == b"x"
    box.outside.remove("moved")
    assert box.host.read(handle, 1, 0) == b"x"
    box.host.close(handle)


def test_a_file_that_a_windows_program_keeps_to_itself(box: Box) -> None:
    """EBUSY, not EACCES: it is no matter of permission. It can be looked at and listed all the same
    (bugs 13, 14).
    """
    host = box.host
    box.outside.write("locked", b"secret")
    with box.outside.open("locked", Access.READ_DATA | Access.WRITE_DATA, share=0):
        with refused(Errno.EBUSY):
            host.open_at(box.root, b"locked", linux.O_RDONLY)
        place = box.place(b"locked")
        assert host.stat(place.path_handle).st_size == 6
        assert host.stat_at(box.root, b"locked").st_size == 6
        listing = host.open_dir(ObjectRef(box.root, NO_HANDLE, b""))
        assert b"locked" in {entry.name for entry in listing.read(0)}
        listing.close()
        with refused(Errno.EBUSY):
            host.remove_file(box.root, b"locked")
        with refused(Errno.EBUSY):
            host.rename(box.root, b"locked", box.root, b"other")
        box.free(place)
    assert box.outside.read("locked") == b"secret"


def test_a_read_only_file_opens_for_reading(box: Box) -> None:
    box.outside.write("file", b"contents")
    box.outside.make_readonly("file")
    handle = box.host.open_at(box.root, b"file", linux.O_RDONLY)
    assert box.host.read(handle, 4, 0) == b"cont"
    box.host.close(handle)


def test_a_read_only_file_does_not_open_for_writing(box: Box) -> None:
    box.outside.write("file", b"contents")
    box.outside.make_readonly("file")
    with refused(Errno.EACCES):
        box.host.open_at(box.root, b"file", linux.O_RDWR)


def test_denied_rights(ntfs: Box) -> None:
    """Rights that an ACL refuses: EACCES for what needs them, and only for that (bug 13)."""
    file = ntfs.fake.volume.add("share\\private", b"secret")
    file.denied = Access.READ_DATA | Access.WRITE_DATA | Access.APPEND_DATA | Access.WRITE_ATTRIBUTES
    place = ntfs.place(b"private")
    assert ntfs.host.stat(place.path_handle).st_size == 6
    for flags in (linux.O_RDONLY, linux.O_WRONLY):
        with refused(Errno.EACCES):
            ntfs.host.open_file(place, flags)
    with refused(Errno.EACCES):
        ntfs.host.utimes(place, 0, 0)
    ntfs.free(place)


def test_a_read_only_volume(ntfs: Box) -> None:
    ntfs.fake.volume.add("share\\file", b"x")
    ntfs.fake.volume.read_only = True
    handle = ntfs.host.open_at(ntfs.root, b"file", linux.O_RDONLY)
    assert ntfs.host.read(handle, 1, 0) == b"x"
    ntfs.host.close(handle)
    for flags in (linux.O_RDWR, NEW):
        with refused(Errno.EROFS):
            ntfs.host.open_at(ntfs.root, b"file" if flags == linux.O_RDWR else b"new", flags)
    with refused(Errno.EROFS):
        ntfs.host.remove_file(ntfs.root, b"file")
    assert ntfs.host.volume(ntfs.root).read_only
    ntfs.fake.volume.read_only = False


def test_syncing_needs_no_right_to_write(box: Box) -> None:
    """git syncs through handles for reading, which NT refuses; folders can be synced too."""
    host = box.host
    box.outside.write("file", b"x")
    for flags in (linux.O_RDONLY, linux.O_RDWR):
        handle = host.open_at(box.root, b"file", flags)
        host.sync(handle, datasync=False)
        host.sync(handle, datasync=True)
        host.close(handle)
    box.outside.make_readonly("file")
    handle = host.open_at(box.root, b"file", linux.O_RDONLY)
    host.sync(handle, datasync=False)
    host.close(handle)
    listing = host.open_dir(ObjectRef(box.root, NO_HANDLE, b""))
    listing.sync()
    listing.close()


def test_write_through_is_asked_for(ntfs: Box) -> None:
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW | linux.O_SYNC)
    assert ntfs.host.write(handle, b"x", 0) == 1
    ntfs.host.close(handle)


def test_another_path_handle_of_an_open_file(box: Box) -> None:
    handle = box.host.open_at(box.root, b"file", NEW)
    pin = box.host.reopen_path(handle)
    assert box.host.stat(pin).st_ino == box.host.stat(handle).st_ino
    box.host.close(pin)
    box.host.close(handle)


def test_another_path_handle_of_an_open_file_without_a_name(ntfs: Box) -> None:
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.write(handle, b"abc", 0)
    ntfs.host.remove_file(ntfs.root, b"file")
    pin = ntfs.host.reopen_path(handle)
    assert ntfs.host.stat(pin).st_size == 3
    ntfs.host.utimes(ObjectRef(pin, NO_HANDLE, b""), 100, 100)
    assert ntfs.host.stat(handle).st_mtime_ns == 100
    ntfs.host.close(handle)
    assert ntfs.host.stat(pin).st_size == 3
    ntfs.host.close(pin)


def test_a_time_that_was_set_does_not_stop_the_clock(ntfs: Box) -> None:
    """NT leaves a time alone that was set through the same handle, whatever is written through it
    afterwards.
    """
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.utimes(ObjectRef(handle, NO_HANDLE, b""), 100, 100)
    assert ntfs.host.stat(handle).st_mtime_ns == 100
    ntfs.host.write(handle, b"x", 0)
    assert ntfs.host.stat(handle).st_mtime_ns > 100
    ntfs.host.close(handle)


def test_the_root_cannot_be_taken_away(box: Box) -> None:
    """Bug 23: the root's handle does not share deletion."""
    with refused(Errno.EBUSY), box.outside.open("", Access.DELETE, share=Share.ALL):
        pass


def test_a_root_that_is_none(ntfs: Box) -> None:
    ntfs.fake.volume.add("file", b"")
    with refused(Errno.ENOTDIR):
        ntfs.host.open_root("C:\\file")
    with refused(Errno.ENOENT):
        ntfs.host.open_root("C:\\missing")
    with refused(Errno.ENOENT):
        ntfs.host.open_root("D:\\")


def test_no_lock_of_the_hosts(box: Box) -> None:
    """Windows' locks are mandatory: a client's lock would stop another client's reads. The server
    keeps them.
    """
    handle = box.host.open_at(box.root, b"file", NEW)
    other = box.host.open_at(box.root, b"file", linux.O_RDWR)
    box.host.lock(handle, linux.LOCK_WRLCK, 0, 0)
    assert box.host.test_lock(other, linux.LOCK_WRLCK, 0, 0) is None
    assert box.host.write(other, b"x", 0) == 1
    assert box.host.read(other, 1, 0) == b"x"
    box.host.close(handle)
    box.host.close(other)


def test_a_new_file_may_carry_an_attribute_of_windows(box: Box) -> None:
    box.host.close(box.host.open_at(box.root, b"file", NEW))
    assert not box.outside.attributes("file") & Attribute.READONLY
