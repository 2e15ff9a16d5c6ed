"""What the Windows host tells about files and volumes, and the little of it that can be changed."""

import logging

import pytest
from tests.host.windows.box import Box, fake_box, refused

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef
from ninep.host.windows.api import Attribute
from ninep.host.windows.stat import WinStat
from ninep.linux import Errno
from ninep.node import NOW

SECOND = 1_000_000_000


def test_a_file(box: Box) -> None:
    box.outside.write("file", b"x" * 5000)
    found = box.host.stat_at(box.root, b"file")
    assert isinstance(found, WinStat)
    assert found.st_mode == linux.S_IFREG | 0o777
    assert found.st_size == 5000
    assert found.st_nlink == 1
    assert found.st_blocks * 512 >= 5000
    assert (found.st_uid, found.st_gid, found.st_rdev) == (0, 0, 0)
    assert found.st_blksize == 4096
    assert found.st_ino != 0


def test_a_directory(box: Box) -> None:
    box.outside.mkdir("dir")
    found = box.host.stat_at(box.root, b"dir")
    assert found.st_mode == linux.S_IFDIR | 0o777
    assert found.st_size == 0


def test_by_handle_and_by_name_agree(box: Box) -> None:
    box.outside.write("file", b"abc")
    place = box.place(b"file")
    opened = box.host.open_file(place, linux.O_RDWR)
    assert box.host.stat(place.path_handle) == box.host.stat(opened) == box.host.stat_at(box.root, b"file")
    box.host.close(opened)
    box.free(place)


def test_what_is_missing(box: Box) -> None:
    """ENOENT, so that a client may make it: the patches said EACCES."""
    with refused(Errno.ENOENT):
        box.host.stat_at(box.root, b"missing")
    with refused(Errno.ENOENT):
        box.host.open_path(box.root, b"missing")
    for verb in (box.host.remove_file, box.host.remove_dir):
        with refused(Errno.ENOENT):
            verb(box.root, b"missing")
    with refused(Errno.ENOENT):
        box.host.rename(box.root, b"missing", box.root, b"other")


def test_identity_lasts_and_differs(box: Box) -> None:
    box.outside.write("a")
    box.outside.write("b")
    a, b = (box.host.stat_at(box.root, name) for name in (b"a", b"b"))
    assert a.st_ino != b.st_ino
    assert a.st_dev == b.st_dev == box.host.stat(box.root).st_dev
    box.outside.rename("a", "c")
    assert box.host.stat_at(box.root, b"c").st_ino == a.st_ino


def test_ids_of_128_bits_are_not_cut() -> None:
    """On ReFS the lower 64 bits alone are not unique; the volume says so and the server
    maps them.
    """
    with fake_box("refs") as box:
        box.outside.write("file")
        assert box.host.stat_at(box.root, b"file").st_ino >> 64
        assert not box.host.volume(box.root).unique_ino
        listing = box.host.open_dir(ObjectRef(box.root, NO_HANDLE, b""))
        # The directory has 64 bits of it only: the type is left open, so that whoever needs the
        # number looks at the file.
        assert [entry.type for entry in listing.read(0) if entry.name == b"file"] == [linux.DT_UNKNOWN]
        listing.close()


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when", [0, 1, 1_700_000_000_123_456_700, -SECOND, -11_000_000_000 * SECOND, 4_000_000_000 * SECOND + 100]
)
def test_times_to_100_ns_and_before_1970(box: Box, when: int) -> None:
    """Bug 15 and row 7: nanoseconds, by handle."""
    box.outside.write("file")
    place = box.place(b"file")
    box.host.utimes(place, when, when + SECOND)
    found = box.host.stat(place.path_handle)
    assert found.st_atime_ns == when // 100 * 100
    assert found.st_mtime_ns == (when + SECOND) // 100 * 100
    box.free(place)


def test_a_time_may_be_left_alone_or_be_now(box: Box) -> None:
    box.outside.write("file")
    place = box.place(b"file")
    box.host.utimes(place, SECOND, 2 * SECOND)
    box.host.utimes(place, None, 5 * SECOND)
    assert (box.host.stat(place.path_handle).st_atime_ns, box.host.stat(place.path_handle).st_mtime_ns) == (
        SECOND,
        5 * SECOND,
    )
    box.host.utimes(place, 7 * SECOND, None)
    assert (box.host.stat(place.path_handle).st_atime_ns, box.host.stat(place.path_handle).st_mtime_ns) == (
        7 * SECOND,
        5 * SECOND,
    )
    box.host.utimes(place, None, NOW)
    assert box.host.stat(place.path_handle).st_mtime_ns > 1_600_000_000 * SECOND
    assert box.host.stat(place.path_handle).st_atime_ns == 7 * SECOND
    box.host.utimes(place, None, None)
    assert box.host.stat(place.path_handle).st_atime_ns == 7 * SECOND
    box.free(place)


def test_times_out_of_range_are_cut_to_it(ntfs: Box) -> None:
    """1601 is the first year of Windows; 0 and less would mean something else to NT."""
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    ntfs.host.utimes(place, -20_000_000_000 * SECOND, (1 << 80) * SECOND)
    assert ntfs.host.stat(place.path_handle).st_atime_ns == -116_444_735_999_999_999 * 100
    assert ntfs.host.stat(place.path_handle).st_mtime_ns > 0
    ntfs.free(place)


def test_times_of_directories_and_through_open_files(box: Box) -> None:
    box.outside.mkdir("dir")
    place = box.place(b"dir")
    box.host.utimes(place, SECOND, SECOND)
    assert box.host.stat(place.path_handle).st_mtime_ns == SECOND
    box.free(place)
    handle = box.host.open_at(box.root, b"file", linux.O_CREAT | linux.O_RDWR)
    box.host.utimes(ObjectRef(handle, NO_HANDLE, b""), SECOND, SECOND)
    assert box.host.stat(handle).st_mtime_ns == SECOND
    box.host.close(handle)


def test_a_creation_time_is_no_part_of_identity(box: Box) -> None:
    """Every program may set it; file ids are unique over time on NTFS."""
    box.outside.write("file")
    place = box.place(b"file")
    assert box.host.birth_time(place.path_handle) is None
    assert box.host.generation(place.path_handle) is None
    box.free(place)


# -- mode and owner ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(0o444, 0o555), (0o555, 0o555), (0o400, 0o555), (0, 0o555), (0o644, 0o777), (0o600, 0o777), (0o4755, 0o777)],
)
def test_chmod_keeps_what_windows_has(box: Box, mode: int, shown: int) -> None:
    """Bug 22: no chmod fails; read-only if and only if nobody may write."""
    box.outside.write("file")
    place = box.place(b"file")
    box.host.chmod(place, mode)
    assert box.host.stat(place.path_handle).st_mode == linux.S_IFREG | shown
    assert bool(box.outside.attributes("file") & Attribute.READONLY) == (shown == 0o555)
    box.host.chmod(place, 0o666)
    assert box.host.stat(place.path_handle).st_mode == linux.S_IFREG | 0o777
    box.free(place)


def test_chmod_leaves_other_attributes(ntfs: Box) -> None:
    file = ntfs.fake.volume.add("share\\file", b"")
    file.attributes = Attribute.HIDDEN | Attribute.ARCHIVE
    place = ntfs.place(b"file")
    ntfs.host.chmod(place, 0o444)
    assert file.attributes == Attribute.HIDDEN | Attribute.ARCHIVE | Attribute.READONLY
    ntfs.host.chmod(place, 0o644)
    assert file.attributes == Attribute.HIDDEN | Attribute.ARCHIVE
    ntfs.free(place)


def test_chmod_of_a_directory_sets_nothing(box: Box) -> None:
    """Read-only means "has a picture of its own" there."""
    box.outside.mkdir("dir")
    place = box.place(b"dir")
    box.host.chmod(place, 0o555)
    assert box.host.stat(place.path_handle).st_mode == linux.S_IFDIR | 0o777
    assert not box.outside.attributes("dir") & Attribute.READONLY
    box.free(place)


def test_chown_succeeds_and_moves_ctime_if_asked(box: Box) -> None:
    box.outside.write("file")
    place = box.place(b"file")
    box.host.chown(place, 1000, 1000)
    assert (box.host.stat(place.path_handle).st_uid, box.host.stat(place.path_handle).st_gid) == (0, 0)
    box.host.utimes(place, SECOND, SECOND)
    box.host.chown(place, -1, -1)
    found = box.host.stat(place.path_handle)
    assert found.st_mtime_ns == SECOND
    assert found.st_ctime_ns > 1_600_000_000 * SECOND
    box.free(place)


def test_what_is_dropped_is_said_once(ntfs: Box, caplog: pytest.LogCaptureFixture) -> None:
    ntfs.outside.write("file")
    place = ntfs.place(b"file")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            ntfs.host.chmod(place, 0o640)
            ntfs.host.chown(place, 1, 1)
    assert len(caplog.records) == 2
    ntfs.free(place)


# -- volumes -----------------------------------------------------------------------------------------------------------


def test_statfs(box: Box) -> None:
    kind, bsize, blocks, free, available, files, files_free, _, namelen = box.host.statfs(box.root)
    assert kind == 0x53465039
    assert bsize % 512 == 0
    assert blocks >= free >= available > 0
    assert files == files_free == (1 << 64) - 1
    assert namelen == 255


def test_statfs_of_a_big_volume() -> None:
    """Bugs 16 and 20: counts of 64 bits, asked by handle; the fsid is the volume's own."""
    with fake_box("ntfs") as box:
        box.fake.volume.units = 1 << 40
        figures = box.host.statfs(box.root)
        assert figures[1] * figures[2] == 1 << 52
        assert figures[7] == box.fake.volume.serial


def test_a_network_share() -> None:
    """A UNC path is opened as it stands (bugs 9, 16); what is remote is slow."""
    with fake_box("share") as box:
        box.fake.volumes["UNC\\server\\folder"] = box.fake.volumes.pop("C:")
        root = box.host.open_root("\\\\server\\folder\\share")
        assert box.host.stat(root).st_ino == box.host.stat(box.root).st_ino
        assert box.host.statfs(root)[2] > 0
        assert box.host.volume(root).slow
        box.host.close(root)


def test_volume(box: Box) -> None:
    volume = box.host.volume(box.root)
    assert volume.xattrs
    assert not volume.posix_owners
    assert not volume.read_only
    assert box.outside.names() == set()


def test_streams_are_asked_for_by_flag_not_by_name() -> None:
    """Bug 19: ReFS has streams too; and a volume without them is told apart, with nothing left on
    it.
    """
    with fake_box("refs") as box:
        assert box.host.volume(box.root).xattrs
        box.fake.volume.kind, box.fake.volume.streams = "NTFS", False
        assert not box.host.volume(box.root).xattrs
        assert box.outside.names() == set()


def test_the_process(box: Box) -> None:
    assert box.host.raise_handle_limit() > 10_000
    assert not box.host.privileged()
    assert box.host.linux_rdev(0x501) == 0x501
