"""Reparse points on the Windows host: seen, read, made, removed, and never followed."""

import pytest
from tests.host.windows.box import Box, refused
from tests.host.windows.known_wine import wine_kind
from tests.host.windows.outside import junction_data, symlink_data

from ninep import linux
from ninep.host import NO_HANDLE, ObjectRef, iterate
from ninep.host.windows.api import Tag
from ninep.linux import Errno

APPEXEC, DFS, UNKNOWN_SURROGATE = 0x8000001B, 0x8000000A, 0xA000F00D
TYPES = [
    (Tag.SYMLINK, symlink_data("\\??\\C:\\share-secret"), linux.S_IFLNK | 0o777),
    (Tag.MOUNT_POINT, junction_data("\\??\\C:\\share-secret"), linux.S_IFLNK | 0o777),
    (Tag.LX_SYMLINK, b"\2\0\0\0../share-secret", linux.S_IFLNK | 0o777),
    (Tag.LX_FIFO, b"", linux.S_IFIFO | 0o777),
    (Tag.AF_UNIX, b"", linux.S_IFSOCK | 0o777),
    (Tag.LX_CHR, b"", linux.S_IFCHR | 0o777),
    (Tag.LX_BLK, b"", linux.S_IFBLK | 0o777),
    (APPEXEC, b"\3\0\0\0", linux.S_IFREG),
    (DFS, b"\1\2\3", linux.S_IFREG),
    (UNKNOWN_SURROGATE, b"", linux.S_IFREG),
]


def ids(row: object) -> str:
    return f"{row:#x}" if isinstance(row, int) else ""


@pytest.mark.parametrize(("tag", "data", "mode"), TYPES, ids=ids)
@pytest.mark.parametrize("directory", [False, True], ids=["file", "dir"])
def test_it_is_looked_at_listed_and_removed_but_not_opened(
    ntfs: Box, tag: int, data: bytes, mode: int, directory: bool
) -> None:
    """Row 3, bugs 1, 2, 6, 14: at the last element it is itself, below it there is nothing."""
    host = ntfs.host
    (ntfs.outside.mkdir if directory else ntfs.outside.write)("x")
    ntfs.outside.set_reparse("x", tag, data)
    place = ntfs.place(b"x")
    assert host.stat(place.path_handle).st_mode == mode
    assert host.stat_at(ntfs.root, b"x").st_mode == mode
    listing = host.open_dir(ObjectRef(ntfs.root, NO_HANDLE, b""))
    assert {entry.name: entry.type for entry in iterate(listing)}[b"x"] == mode >> 12
    listing.close()
    for flags in (linux.O_RDONLY, linux.O_WRONLY | linux.O_TRUNC, linux.O_RDWR):
        with pytest.raises(OSError) as failure:  # noqa: PT011 - one of three, below
            host.open_file(place, flags)
        assert failure.value.code == (Errno.ELOOP if mode & linux.S_IFMT == linux.S_IFLNK else Errno.ENXIO)
        with pytest.raises(OSError) as failure:  # noqa: PT011 - as above; a directory is EISDIR before it is anything else
            host.open_at(ntfs.root, b"x", flags)
        assert failure.value.code in {Errno.ELOOP, Errno.ENXIO, Errno.EISDIR}
    with refused(Errno.ENOTDIR):
        host.open_dir(place)
    for below in (host.open_path, host.stat_at, host.remove_file, host.remove_dir):
        with pytest.raises(OSError) as failure:  # noqa: PT011 - as above
            below(place.path_handle, b"canary")
        assert failure.value.code in {Errno.ELOOP, Errno.ENOTDIR, Errno.ENXIO}
    if mode & linux.S_IFMT == linux.S_IFLNK:
        with refused(Errno.EOPNOTSUPP):
            host.chmod(place, 0o600)
    host.utimes(place, 100, 100)
    assert host.stat(place.path_handle).st_mtime_ns == 100
    ntfs.free(place)
    host.rename(ntfs.root, b"x", ntfs.root, b"y")
    host.remove_file(ntfs.root, b"y")
    assert ntfs.outside.names() == set()


@pytest.mark.parametrize(
    ("tag", "data", "target"),
    [
        (Tag.LX_SYMLINK, b"\2\0\0\0a/b c/\xff", b"a/b c/\xff"),
        (Tag.SYMLINK, symlink_data("..\\a\\b", relative=True), b"../a/b"),
        (Tag.SYMLINK, symlink_data("a\uf03ab", relative=True), b"a:b"),
        (Tag.SYMLINK, symlink_data("\\??\\C:\\Windows"), b"C:/Windows"),
        (Tag.MOUNT_POINT, junction_data("\\??\\D:\\"), b"D:/"),
    ],
    ids=["wsl", "relative", "escaped", "absolute", "junction"],
)
def test_targets(ntfs: Box, tag: int, data: bytes, target: bytes) -> None:
    ntfs.outside.write("link")
    ntfs.outside.set_reparse("link", tag, data)
    place = ntfs.place(b"link")
    assert ntfs.host.read_link(place) == target
    assert ntfs.host.stat(place.path_handle).st_size == len(target)
    ntfs.free(place)


def test_the_target_of_an_old_wsl_link_is_in_its_data(ntfs: Box) -> None:
    file = ntfs.fake.volume.add("share\\link", b"old/target", reparse=(Tag.LX_SYMLINK, b"\1\0\0\0"))
    assert file.reparse is not None
    place = ntfs.place(b"link")
    assert ntfs.host.read_link(place) == b"old/target"
    ntfs.free(place)


@pytest.mark.parametrize("data", [b"", b"\1", b"\xff" * 12, symlink_data("x")[:10]], ids=ascii)
def test_damaged_data(ntfs: Box, data: bytes) -> None:
    for tag in (Tag.SYMLINK, Tag.LX_SYMLINK):
        name = f"link{tag}"
        ntfs.outside.write(name)
        ntfs.outside.set_reparse(name, tag, data)
        place = ntfs.place(name.encode())
        if tag == Tag.LX_SYMLINK and len(data) >= 4:  # any version but 1 is followed by the target
            assert ntfs.host.read_link(place) == data[4:]
        else:
            with refused(Errno.EIO):
                ntfs.host.read_link(place)
        ntfs.free(place)


def test_what_is_no_link(box: Box) -> None:
    box.outside.write("file", b"contents")
    place = box.place(b"file")
    with refused(Errno.EINVAL):
        box.host.read_link(place)
    box.free(place)


def test_links_fifos_and_sockets_are_made(box: Box) -> None:
    """Row 11: WSL's kinds need no privilege."""
    host = box.host
    host.make_symlink(box.root, b"link", b"some/where:else")
    host.make_node(box.root, b"fifo", linux.S_IFIFO | 0o644, 0)
    host.make_node(box.root, b"sock", linux.S_IFSOCK | 0o644, 0)
    assert host.stat_at(box.root, b"link").st_mode & linux.S_IFMT == linux.S_IFLNK
    assert host.stat_at(box.root, b"fifo").st_mode & linux.S_IFMT == linux.S_IFIFO
    assert host.stat_at(box.root, b"sock").st_mode & linux.S_IFMT == linux.S_IFSOCK
    place = box.place(b"link")
    assert host.read_link(place) == b"some/where:else"
    box.free(place)
    for make in (
        lambda: host.make_symlink(box.root, b"link", b"x"),
        lambda: host.make_node(box.root, b"fifo", linux.S_IFIFO, 0),
    ):
        with refused(Errno.EEXIST):
            make()


def test_devices_are_not_made(box: Box) -> None:
    for kind in (linux.S_IFCHR, linux.S_IFBLK):
        with refused(Errno.EPERM):
            box.host.make_node(box.root, b"device", kind | 0o644, 0x501)
    box.host.make_node(box.root, b"file", linux.S_IFREG | 0o644, 0)
    assert box.outside.names() == {"file"}


def test_the_numbers_of_wsls_devices(ntfs: Box) -> None:
    file = ntfs.fake.volume.add("share\\tty", b"", reparse=(Tag.LX_CHR, b""))
    assert ntfs.host.stat_at(ntfs.root, b"tty").st_rdev == 0
    file.eas[b"$LXDEV"] = (5).to_bytes(4, "little") + (1).to_bytes(4, "little")
    assert ntfs.host.stat_at(ntfs.root, b"tty").st_rdev == 0x501


def test_a_link_that_cannot_be_made_leaves_nothing(box: Box) -> None:
    """Where there are no reparse points (FAT, Wine): EOPNOTSUPP, and no empty file."""
    if box.system == "system" and not wine_kind():
        pytest.skip("Windows has reparse points on NTFS")
    if box.system != "system":
        box.fake.volume.streams = False
    with refused(Errno.EOPNOTSUPP):
        box.host.make_symlink(box.root, b"link", b"x")
    assert box.outside.names() == set()


def test_no_link_can_be_opened_half_made(ntfs: Box) -> None:
    """For a moment it is an empty file: with nothing shared until it is done."""
    seen = []

    def look(call: str) -> None:
        if call == "control":
            ntfs.fake.before = None
            with refused(Errno.EBUSY):
                ntfs.host.open_at(ntfs.root, b"link", linux.O_RDWR)
            seen.append(call)

    ntfs.fake.before = look
    ntfs.host.make_symlink(ntfs.root, b"link", b"x")
    assert seen
    assert ntfs.host.stat_at(ntfs.root, b"link").st_mode & linux.S_IFMT == linux.S_IFLNK
