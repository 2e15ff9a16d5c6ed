"""mapped-xattr: the bytes on disk, both ways, and that failures leave nothing behind."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.security.conftest import NEW, Faults, image

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.errors import Refused
from ninep.linux import GETATTR_BASIC, NO_ID, XATTR_CREATE, Errno
from ninep.node import Changes
from ninep.options import BadOption

UID, GID, MODE, RDEV = (f"user.virtfs.{field}" for field in ("uid", "gid", "mode", "rdev"))
ACCESS = b"system.posix_acl_access"


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("mapped-xattr")


def tags(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


def owned(node: LocalNode) -> tuple[int, int, int, int]:
    attributes = node.getattr(GETATTR_BASIC)
    return attributes.mode, attributes.uid, attributes.gid, attributes.rdev


# -- what we write -----------------------------------------------------------------------------------------------------


def test_a_file(root: LocalNode, folder: Path) -> None:
    root.create(b"file", NEW, 0o4751, 1000, 100)[1].close()
    assert tags(folder / "file") == {UID: b"\xe8\x03\0\0", GID: b"\x64\0\0\0", MODE: b"\xe9\x89\0\0"}
    assert (folder / "file").stat().st_mode == stat.S_IFREG | 0o600


def test_a_directory(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"d", 0o2755, 0, 0xFFFFFFFE)
    assert tags(folder / "d") == {UID: b"\0\0\0\0", GID: b"\xfe\xff\xff\xff", MODE: b"\xed\x45\0\0"}
    assert (folder / "d").stat().st_mode == stat.S_IFDIR | 0o700


def test_a_symlink_is_a_file_with_its_target(root: LocalNode, folder: Path) -> None:
    root.symlink(b"l", b"../target", 1, 2)
    assert (folder / "l").read_bytes() == b"../target"
    assert tags(folder / "l") == {UID: b"\1\0\0\0", GID: b"\2\0\0\0", MODE: b"\xff\xa1\0\0"}


def test_a_device_is_an_empty_file(root: LocalNode, folder: Path) -> None:
    root.mknod(b"d", stat.S_IFBLK | 0o660, 0x12345678_00100801, 0, 6)
    assert (folder / "d").read_bytes() == b""
    assert tags(folder / "d") == {
        UID: b"\0\0\0\0",
        GID: b"\6\0\0\0",
        MODE: b"\xb0\x61\0\0",
        RDEV: b"\x01\x08\x10\0\x78\x56\x34\x12",
    }


def test_no_id_is_not_written(root: LocalNode, folder: Path) -> None:
    root.create(b"file", NEW, 0o600, NO_ID, NO_ID)[1].close()
    assert tags(folder / "file") == {MODE: b"\x80\x81\0\0"}


def test_fmode_and_dmode(attach: Callable[..., LocalNode], folder: Path) -> None:
    before = os.umask(0)
    try:
        root = attach("mapped-xattr", fmode=0o640, dmode=0o750)
        root.create(b"file", NEW, 0o777, 1, 1)[1].close()
        root.symlink(b"link", b"x", 1, 1)
        root.mkdir(b"d", 0o777, 1, 1)
    finally:
        os.umask(before)
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("file", "link", "d")] == [0o640, 0o640, 0o750]


@pytest.mark.parametrize("option", ["fmode", "dmode"])
def test_modes_for_the_host_are_permissions_only(attach: Callable[..., LocalNode], option: str) -> None:
    with pytest.raises(BadOption, match="permission bits"):
        attach("mapped-xattr", **{option: 0o4750})


def test_changes(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    node = root.walk(b"file")
    node.setattr(Changes(uid=7))
    assert tags(folder / "file") == {UID: b"\7\0\0\0"}
    node.setattr(Changes(mode=0o4755, by=0))
    assert tags(folder / "file") == {UID: b"\7\0\0\0", MODE: b"\xed\x89\0\0"}
    node.setattr(Changes(uid=NO_ID, gid=8))
    assert tags(folder / "file")[UID] == b"\7\0\0\0"
    assert owned(node) == (0o100755, 7, 8, 0)


def test_a_chmod_never_touches_the_type(root: LocalNode, folder: Path) -> None:
    """A client that sends no type bits destroys the type in the hypervisor's."""
    root.mknod(b"c", stat.S_IFCHR | 0o600, 5, 0, 0)
    for mode in (0, 0o640, stat.S_IFDIR | 0o640, 0xFFFF_FFFF):
        root.walk(b"c").setattr(Changes(mode=mode))
        assert tags(folder / "c")[MODE] == (stat.S_IFCHR | mode & 0o7777).to_bytes(4, "little")


# -- what we read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({UID: b"\1\2\3\4"}, (None, 0x04030201, None, 0)),
        ({MODE: b"\x24\x81\0\0"}, (0o100444, None, None, 0)),
        ({MODE: b"\x24\x81"}, (0o100444, None, None, 0)),  # a macOS host's
        ({MODE: b"\x80\x21\0\0", RDEV: b"\1\2\3\4\5\6\7\x08"}, (0o20600, None, None, 0x0807060504030201)),
        ({MODE: b"\x80\x21", RDEV: b"\1\2\3\4"}, (0o20600, None, None, 0x04030201)),
        ({MODE: b"\x24\x01\0\0"}, (0o100444, None, None, 0)),  # whose type a chmod destroyed
        ({MODE: b"\x24\x41\0\0"}, (0o100444, None, None, 0)),  # a directory that is none
        ({MODE: b"\x24", UID: b"\1\2", GID: b""}, (None, None, None, 0)),  # nothing we know
    ],
)
def test_tags_stand_alone(
    root: LocalNode, folder: Path, written: dict[str, bytes], read: tuple[int | None, ...]
) -> None:
    (folder / "file").write_bytes(b"")
    native = (folder / "file").stat()
    for name, value in written.items():
        os.setxattr(folder / "file", name, value)
    wanted = tuple(
        ours if tag is None else tag
        for tag, ours in zip(read, (native.st_mode, native.st_uid, native.st_gid, 0), strict=True)
    )
    assert owned(root.walk(b"file")) == wanted


def test_a_directory_stays_one(root: LocalNode, folder: Path) -> None:
    (folder / "d").mkdir()
    os.setxattr(folder / "d", MODE, b"\xa4\x81\0\0")
    assert owned(root.walk(b"d"))[0] == stat.S_IFDIR | 0o644


def test_everything_survives_a_restart(attach: Callable[..., LocalNode]) -> None:
    first = attach("mapped-xattr")
    first.create(b"file", NEW, 0o6711, 11, 12)[1].close()
    first.mknod(b"device", stat.S_IFCHR | 0o600, 0x103, 13, 14)
    first.symlink(b"link", b"target", 15, 16)
    again = attach("mapped")
    assert owned(again.walk(b"file")) == (0o106711, 11, 12, 0)
    assert owned(again.walk(b"device")) == (0o20600, 13, 14, 0x103)
    assert again.walk(b"link").readlink() == b"target"
    assert owned(again.walk(b"link")) == (0o120777, 15, 16, 0)


def test_a_change_by_the_host_is_seen(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    os.utime(folder / "file", ns=(1, 1))
    node = root.walk(b"file")
    for uid in range(100):
        os.setxattr(folder / "file", UID, uid.to_bytes(4, "little"))
        assert owned(node)[1] == uid


# -- extended attributes -----------------------------------------------------------------------------------------------


def test_clients_do_not_see_the_tags(root: LocalNode) -> None:
    node, file = root.create(b"file", NEW, 0o600, 1, 1)
    file.close()
    for name in (UID, GID, MODE, RDEV, "user.virtfs.", "user.virtfs.system.posix_acl_access"):
        assert refusal(node.getxattr, name.encode()) is Errno.ENODATA
        assert refusal(node.setxattr, name.encode(), b"\0\0\0\0", 0) is Errno.EACCES
        assert refusal(node.removexattr, name.encode()) is Errno.EACCES
    node.setxattr(b"user.virtfs", b"", 0)
    node.setxattr(b"user.virtfsx", b"", 0)
    assert sorted(node.listxattr()) == [b"user.virtfs", b"user.virtfsx"]
    assert owned(node)[:2] == (0o100600, 1)


def test_acls_are_kept_raw_under_another_name(root: LocalNode, folder: Path) -> None:
    node, file = root.create(b"file", NEW, 0o600, 1, 1)
    file.close()
    acl = b"\2\0\0\0\1\0\6\0\xff\xff\xff\xff"
    assert refusal(node.getxattr, ACCESS) is Errno.ENODATA
    node.removexattr(ACCESS)  # one that is not there goes without complaint
    node.setxattr(ACCESS, acl, XATTR_CREATE)
    assert refusal(node.setxattr, ACCESS, acl, XATTR_CREATE) is Errno.EEXIST
    assert tags(folder / "file")["user.virtfs.system.posix_acl_access"] == acl
    assert (node.getxattr(ACCESS), list(node.listxattr())) == (acl, [ACCESS])
    node.removexattr(ACCESS)
    assert list(node.listxattr()) == []


def test_an_acl_of_the_host_is_not_listed(root: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "list_xattrs", lambda place: [b"system.posix_acl_access", b"user.x", b"security.selinux"])
    assert list(root.listxattr()) == [b"user.x"]


# -- native files of the folder ----------------------------------------------------------------------------------------


def test_native_links_have_no_place_for_tags(root: LocalNode, folder: Path) -> None:
    (folder / "link").symlink_to("x")
    link = root.walk(b"link")
    assert refusal(link.setattr, Changes(uid=5)) is Errno.EOPNOTSUPP
    assert refusal(link.setattr, Changes(mode=0o600)) is Errno.EOPNOTSUPP
    link.setattr(Changes(touch=True))


def test_privilege_bits_of_a_native_file(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    (folder / "file").chmod(0o4755)
    root.walk(b"file").setattr(Changes(size=3, by=1000))
    assert owned(root.walk(b"file"))[0] == 0o100755


# -- failures ----------------------------------------------------------------------------------------------------------

MAKING: dict[str, Callable[[LocalNode], object]] = {
    "create": lambda root: root.create(b"new", NEW, 0o644, 5, 6)[1].close(),
    "mkdir": lambda root: root.mkdir(b"new", 0o755, 5, 6),
    "symlink": lambda root: root.symlink(b"new", b"target", 5, 6),
    "mknod": lambda root: root.mknod(b"new", stat.S_IFCHR | 0o600, 5, 5, 6),
}


@pytest.mark.parametrize("verb", MAKING)
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_failed_make_leaves_nothing(
    root: LocalNode, folder: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch, verb: str, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.setattr(host, "open_unnamed", faults.wrap("open_unnamed", cannot))
    for failed in faults.each(lambda: MAKING[verb](root)):
        assert image(folder) == {}, f"after {failed} failed"
    assert list(image(folder)) == ["new"]


@pytest.mark.parametrize("verb", MAKING)
def test_a_failed_make_leaves_alone_what_exists(root: LocalNode, folder: Path, verb: str) -> None:
    (folder / "new").write_bytes(b"content")
    os.setxattr(folder / "new", UID, b"\7\0\0\0")
    before = image(folder)
    assert refusal(MAKING[verb], root) is Errno.EEXIST
    assert image(folder) == before


def cannot(*arguments: object) -> None:
    raise Refused(Errno.EOPNOTSUPP)


def test_a_failed_change_of_two_tags_changes_none(root: LocalNode, folder: Path, faults: Faults) -> None:
    root.create(b"file", NEW, 0o600, 5, 6)[1].close()
    (folder / "native").write_bytes(b"")
    before = image(folder)
    for name in (b"file", b"native"):
        node = root.walk(name)
        for failed in faults.each(lambda node=node: node.setattr(Changes(uid=70, gid=80))):
            assert image(folder) == before, f"after {failed} failed"
            assert owned(node)[1:3] != (70, 80)
        before = image(folder)
        assert owned(node)[1:3] == (70, 80)


def test_what_a_host_process_put_in_place_of_ours_is_not_undone(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "open_unnamed", cannot)

    def swapped(place: host.ObjectRef, name: bytes, value: bytes, flags: int = 0) -> None:
        os.replace(folder / "other", folder / "new")
        raise Refused(Errno.EIO)

    (folder / "other").write_bytes(b"not ours")
    monkeypatch.setattr(host, "set_xattr", swapped)
    assert refusal(MAKING["create"], root) is Errno.EIO
    assert (folder / "new").read_bytes() == b"not ours"
