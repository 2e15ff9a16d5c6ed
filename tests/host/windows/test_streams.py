"""Extended attributes on the Windows host: alternate data streams of files and folders."""

import pytest
from tests.host.windows.box import Box, fake_box, refused

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef
from ninep.host.windows.api import Access
from ninep.host.windows.status import NtError, Status
from ninep.linux import XATTR_CREATE, XATTR_REPLACE, Errno

UID, MODE = b"user.virtfs.uid", b"user.virtfs.mode"


def test_the_streams_have_the_hypervisors_names(box: Box) -> None:
    """Row 9: interchange with folders that the Windows patches wrote."""
    box.outside.write("file", b"contents")
    place = box.place(b"file")
    box.host.set_xattr(place, UID, b"\xe8\3\0\0")
    assert box.outside.read("file:user.virtfs.uid") == b"\xe8\3\0\0"
    box.outside.write("file:user.virtfs.mode", b"\xa4\x81\0\0")
    assert box.host.get_xattr(place, MODE) == b"\xa4\x81\0\0"
    assert box.outside.read("file") == b"contents"
    box.free(place)


def test_set_get_replace_remove(box: Box) -> None:
    host = box.host
    box.outside.write("file")
    place = box.place(b"file")
    with refused(Errno.ENODATA):
        host.get_xattr(place, b"user.a")
    with refused(Errno.ENODATA):
        host.remove_xattr(place, b"user.a")
    for value in (b"", b"short", b"x" * 65536, b"s", b""):
        host.set_xattr(place, b"user.a", value)
        assert host.get_xattr(place, b"user.a") == value
    box.free(place)
    place = box.place(b"file")
    host.remove_xattr(place, b"user.a")
    box.free(place)
    place = box.place(b"file")
    with refused(Errno.ENODATA):
        host.get_xattr(place, b"user.a")
    box.free(place)


def test_the_flags_are_the_opens_own(box: Box) -> None:
    """Bug 11: CREATE_ALWAYS ignored them."""
    box.outside.write("file")
    place = box.place(b"file")
    with refused(Errno.ENODATA):
        box.host.set_xattr(place, b"user.a", b"1", XATTR_REPLACE)
    box.host.set_xattr(place, b"user.a", b"1", XATTR_CREATE)
    with refused(Errno.EEXIST):
        box.host.set_xattr(place, b"user.a", b"2", XATTR_CREATE)
    assert box.host.get_xattr(place, b"user.a") == b"1"
    box.host.set_xattr(place, b"user.a", b"3", XATTR_REPLACE)
    assert box.host.get_xattr(place, b"user.a") == b"3"
    box.free(place)


def test_the_list(box: Box) -> None:
    """Bug 12 and row 9: all names, however many; never the unnamed stream, nor another
    program's.
    """
    box.outside.write("file", b"contents")
    box.outside.write("file:Zone.Identifier", b"[ZoneTransfer]")
    place = box.place(b"file")
    assert list(box.host.list_xattrs(place)) == []
    wanted = {b"user.%03d" % number + b"x" * 100 for number in range(60)}
    for name in wanted:
        box.host.set_xattr(place, name, b"1")
    assert set(box.host.list_xattrs(place)) == wanted
    box.free(place)


def test_directories_have_attributes_too(box: Box) -> None:
    box.outside.mkdir("dir")
    place = box.place(b"dir")
    box.host.set_xattr(place, MODE, b"\xed\x41\0\0")
    assert box.host.get_xattr(place, MODE) == b"\xed\x41\0\0"
    assert box.outside.names("dir") == set()
    box.free(place)
    root = ObjectRef(box.root, NO_HANDLE, b"")
    if box.system in {"ntfs", "refs"}:
        box.host.set_xattr(root, UID, b"\1\0\0\0")
        assert box.host.get_xattr(root, UID) == b"\1\0\0\0"
        assert set(box.host.list_xattrs(root)) == {UID}


def test_an_empty_list_of_a_directory(ntfs: Box) -> None:
    assert list(ntfs.host.list_xattrs(ObjectRef(ntfs.root, NO_HANDLE, b""))) == []


def test_through_an_open_file(box: Box) -> None:
    """Create, tag, and look: by the handle alone."""
    handle = box.host.open_at(box.root, b"file", linux.O_CREAT | linux.O_EXCL | linux.O_RDWR)
    place = ObjectRef(handle, NO_HANDLE, b"")
    box.host.set_xattr(place, MODE, b"\xa4\x81\0\0")
    assert box.host.get_xattr(place, MODE) == b"\xa4\x81\0\0"
    box.host.close(handle)


def test_names_that_differ_in_case_are_two_attributes(box: Box) -> None:
    """Streams ignore case. So `user.VIRTFS.uid` is no way to the owner (T08)."""
    box.outside.write("file")
    place = box.place(b"file")
    box.host.set_xattr(place, b"user.name", b"1")
    box.host.set_xattr(place, b"user.Name", b"2")
    box.host.set_xattr(place, b"user.VIRTFS.uid", b"3")
    assert box.host.get_xattr(place, b"user.name") == b"1"
    assert box.host.get_xattr(place, b"user.Name") == b"2"
    with refused(Errno.ENODATA):
        box.host.get_xattr(place, UID)
    box.free(place)


@pytest.mark.parametrize(
    "name", [b"user.a:b", b"user.a/b", b"user.a\\b", b"user.*", b"user.\x01", b"user. "], ids=ascii
)
def test_odd_names(box: Box, name: bytes) -> None:
    box.outside.write("file")
    place = box.place(b"file")
    box.host.set_xattr(place, name, b"1")
    assert box.host.get_xattr(place, name) == b"1"
    assert box.outside.names() == {"file"}
    box.free(place)


def test_names_that_are_no_utf8(ntfs: Box) -> None:
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    for name in (b"user.\xff", "user.é".encode()):
        ntfs.host.set_xattr(place, name, name)
    assert set(ntfs.host.list_xattrs(place)) == {b"user.\xff", "user.é".encode()}
    assert ntfs.host.get_xattr(place, b"user.\xff") == b"user.\xff"
    with refused(Errno.ERANGE):
        ntfs.host.set_xattr(place, b"user." + b"x" * 251, b"")
    ntfs.free(place)


def test_a_stream_is_shared(box: Box) -> None:
    """Bug 11: the patches shared for reading only, so that a second user of the
    attribute failed.
    """
    box.outside.write("file")
    place = box.place(b"file")
    box.host.set_xattr(place, b"user.a", b"1")
    with box.outside.open("file:user.a", Access.READ_DATA | Access.WRITE_DATA):
        assert box.host.get_xattr(place, b"user.a") == b"1"
        box.host.set_xattr(place, b"user.a", b"2")
    assert box.host.get_xattr(place, b"user.a") == b"2"
    box.free(place)


def test_the_modification_time_stays(box: Box) -> None:
    """Writing a stream moves mtime on NTFS; a chmod must not. ctime moves."""
    box.outside.write("file", b"x")
    place = box.place(b"file")
    box.host.utimes(place, 1_000_000_000, 2_000_000_000)
    before = box.host.stat(place.path_handle)
    box.host.set_xattr(place, MODE, b"\xa4\x81\0\0")
    after = box.host.stat(place.path_handle)
    assert after.st_mtime_ns == before.st_mtime_ns == 2_000_000_000
    assert after.st_ctime_ns >= before.st_ctime_ns
    assert after.st_size == 1
    box.free(place)


def test_ctime_tells_of_a_change(ntfs: Box) -> None:
    """What is remembered of a file is good for as long as its ctime stands still."""
    ntfs.outside.write("file", b"x")
    place = ntfs.place(b"file")
    before = ntfs.host.stat(place.path_handle).st_ctime_ns
    ntfs.outside.write("file:user.virtfs.uid", b"\1\0\0\0")
    assert ntfs.host.stat(place.path_handle).st_ctime_ns > before
    ntfs.free(place)


def test_a_stream_that_no_client_wrote(ntfs: Box) -> None:
    ntfs.outside.write("file")
    ntfs.outside.write("file:user.big", b"x" * 65537)
    place = ntfs.place(b"file")
    with refused(Errno.ERANGE):
        ntfs.host.get_xattr(place, b"user.big")
    ntfs.free(place)


def test_a_failing_write_leaves_no_attribute(ntfs: Box) -> None:
    """What fails is undone: no empty owner."""
    ntfs.outside.write("file")
    place = ntfs.place(b"file")

    def fail(call: str) -> None:
        if call == "write":
            raise NtError(Status.DISK_FULL, "injected")

    ntfs.fake.before = fail
    with refused(Errno.ENOSPC):
        ntfs.host.set_xattr(place, b"user.new", b"1")
    ntfs.fake.before = None
    assert list(ntfs.host.list_xattrs(place)) == []
    ntfs.host.set_xattr(place, b"user.old", b"1")
    ntfs.fake.before = fail
    with refused(Errno.ENOSPC):
        ntfs.host.set_xattr(place, b"user.old", b"2")
    ntfs.fake.before = None
    assert ntfs.host.get_xattr(place, b"user.old") == b"1"
    ntfs.free(place)


def test_a_short_write_is_finished(ntfs: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bug 11: short writes were ignored."""
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    write = ntfs.fake.write
    monkeypatch.setattr(ntfs.fake, "write", lambda handle, data, offset: write(handle, data[:3], offset))
    ntfs.host.set_xattr(place, b"user.a", b"0123456789")
    assert ntfs.host.get_xattr(place, b"user.a") == b"0123456789"
    ntfs.free(place)


def test_a_read_only_file_refuses(ntfs: Box) -> None:
    ntfs.outside.write("file")
    ntfs.outside.make_readonly("file")
    place = ntfs.place(b"file")
    with refused(Errno.EACCES):
        ntfs.host.set_xattr(place, b"user.a", b"1")
    ntfs.free(place)


def test_a_file_without_a_name_has_no_streams_any_more(ntfs: Box) -> None:
    """NTFS opens nothing below a removed file: who must know, asks before."""
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    ntfs.host.set_xattr(place, MODE, b"\xa4\x81\0\0")
    ntfs.host.remove_file(ntfs.root, b"file")
    with refused(Errno.ENOENT):
        ntfs.host.get_xattr(place, MODE)
    ntfs.free(place)


def test_by_name_a_swapped_file_is_told_apart() -> None:
    """Bug 4: where streams go by name, the stream must be the pinned file's own; nothing is left on
    the other one.
    """
    with fake_box("share") as box:
        box.outside.write("file")
        box.outside.write("other")
        place = box.place(b"file")
        box.outside.rename("file", "aside")
        box.outside.rename("other", "file")
        with refused(Errno.ESTALE):
            box.host.set_xattr(place, UID, b"\0\0\0\0")
        with refused(Errno.ENODATA):
            box.host.get_xattr(place, UID)
        box.outside.write("file:user.virtfs.uid", b"\0\0\0\0")
        for verb in (box.host.get_xattr, box.host.remove_xattr):
            with refused(Errno.ESTALE):
                verb(place, UID)
        box.outside.remove("file:user.virtfs.uid")
        streams = {path: list(file.streams) for path, file in box.fake.volume.walk() if file.streams}
        assert all(names == [""] for names in streams.values())
        box.free(place)


def test_a_stream_that_only_seemed_to_be_there(ntfs: Box) -> None:
    """Wine over ntfs-3g: for a second Linux remembers the streams of a file whose name another file
    has now.
    """

    def seems_to_be_there(call: str) -> None:
        if call == "create":
            ntfs.fake.before = None
            raise NtError(Status.NO_SUCH_FILE, "a mount that remembers")

    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    ntfs.fake.before = seems_to_be_there
    with refused(Errno.ENODATA):
        ntfs.host.get_xattr(place, UID)
    ntfs.fake.before = seems_to_be_there
    with refused(Errno.ENODATA):
        ntfs.host.set_xattr(place, UID, b"1", XATTR_REPLACE)
    ntfs.fake.before = seems_to_be_there
    ntfs.host.set_xattr(place, UID, b"2")
    assert ntfs.host.get_xattr(place, UID) == b"2"
    ntfs.free(place)


def test_a_volume_without_streams(ntfs: Box) -> None:
    ntfs.fake.volume.streams = ntfs.fake.volume.streams_by_handle = False
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    assert not ntfs.host.volume(ntfs.root).xattrs
    with pytest.raises(OSError) as failure:  # noqa: PT011 - any refusal
        ntfs.host.set_xattr(place, b"user.a", b"1")
    assert failure.value.code in {Errno.EOPNOTSUPP, Errno.EINVAL}
    assert ntfs.outside.names() == {"file"}
    ntfs.free(place)
