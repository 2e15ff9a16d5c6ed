"""Extended attributes and POSIX access control lists."""

from __future__ import annotations

import errno
import os
import stat
import struct

from .registry import Place, as_user, check, fails_with, get, put

ACCESS = "system.posix_acl_access"
DEFAULT = "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, MASK, OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
NOBODY = 0xFFFFFFFF


def acl(*entries: tuple[int, int, int]) -> bytes:
    """The kernel's form of an ACL: version 2, then (tag, permissions, id)
    (include/uapi/linux/posix_acl_xattr.h).
    """
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


READABLE_BY_1000 = acl(
    (USER_OBJ, 6, NOBODY), (USER, 4, 1000), (GROUP_OBJ, 0, NOBODY), (MASK, 4, NOBODY), (OTHER, 0, NOBODY)
)


@check
def xattr_set_get_list_remove(place: Place) -> None:
    put(place.path("f"))
    os.mkdir(place.path("d"))
    for name in ("f", "d"):
        path = place.path(name)
        os.setxattr(path, "user.one", b"1")
        os.setxattr(path, "user.two", b"\0\xff\n" * 300)
        assert os.getxattr(path, "user.one") == b"1"
        assert os.getxattr(path, "user.two") == b"\0\xff\n" * 300
        assert {"user.one", "user.two"} <= set(os.listxattr(path))
        os.removexattr(path, "user.one")
        assert "user.one" not in os.listxattr(path)
        fails_with(errno.ENODATA, os.getxattr, path, "user.one")
        fails_with(errno.ENODATA, os.removexattr, path, "user.one")


@check
def xattr_create_and_replace_flags(place: Place) -> None:
    put(place.path("f"))
    fails_with(errno.ENODATA, os.setxattr, place.path("f"), "user.a", b"x", os.XATTR_REPLACE)
    os.setxattr(place.path("f"), "user.a", b"first", os.XATTR_CREATE)
    fails_with(errno.EEXIST, os.setxattr, place.path("f"), "user.a", b"second", os.XATTR_CREATE)
    assert os.getxattr(place.path("f"), "user.a") == b"first"
    os.setxattr(place.path("f"), "user.a", b"third", os.XATTR_REPLACE)
    assert os.getxattr(place.path("f"), "user.a") == b"third"


@check
def xattr_empty_value(place: Place) -> None:
    put(place.path("f"))
    os.setxattr(place.path("f"), "user.empty", b"")
    assert "user.empty" in os.listxattr(place.path("f"))
    assert os.getxattr(place.path("f"), "user.empty") == b""


@check
def xattr_of_64_kib(place: Place) -> None:
    """Stored whole, or refused for want of room (ext4 has one block) with the old value kept."""
    put(place.path("f"))
    os.setxattr(place.path("f"), "user.big", b"old")
    value = os.urandom(65536)
    try:
        os.setxattr(place.path("f"), "user.big", value)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.E2BIG):
            raise
        value = b"old"
    assert os.getxattr(place.path("f"), "user.big") == value


@check
def xattr_by_descriptor_of_an_unlinked_file(place: Place) -> None:
    put(place.path("f"))
    fd = os.open(place.path("f"), os.O_RDWR)
    os.setxattr(fd, "user.a", b"value")
    os.unlink(place.path("f"))
    assert os.getxattr(fd, "user.a") == b"value"
    os.close(fd)


@check
def xattr_moves_with_its_file(place: Place) -> None:
    put(place.path("f"))
    os.setxattr(place.path("f"), "user.a", b"value")
    os.rename(place.path("f"), place.path("g"))
    assert os.getxattr(place.path("g"), "user.a") == b"value"


@check
def server_attributes_are_hidden(place: Place) -> None:
    put(place.path("f"), mode=0o640)
    os.chown(place.path("f"), 1234, 4321)
    assert not [name for name in os.listxattr(place.path("f")) if "virtfs" in name]
    fails_with(errno.ENODATA, os.getxattr, place.path("f"), "user.virtfs.uid")
    fails_with(errno.EACCES, os.setxattr, place.path("f"), "user.virtfs.uid", bytes(4))
    fails_with(errno.EACCES, os.removexattr, place.path("f"), "user.virtfs.mode")
    found = os.stat(place.path("f"))
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, 0o640)


@check
def server_metadata_is_hidden(place: Place) -> None:
    os.mkdir(place.path("d"))
    put(place.path("d", "f"), mode=0o640)
    assert os.listdir(place.path("d")) == ["f"]
    for name in (".virtfs_metadata", ".virtfs_metadata_root"):
        fails_with(errno.EINVAL, os.stat, place.path("d", name))
        fails_with(errno.EINVAL, os.mkdir, place.path("d", name))
        fails_with(errno.EINVAL, put, place.path("d", name))
        fails_with(errno.EINVAL, os.symlink, "x", place.path("d", name))
        fails_with(errno.EINVAL, os.rename, place.path("d", "f"), place.path("d", name))
        fails_with(errno.EINVAL, os.link, place.path("d", "f"), place.path("d", name))
        fails_with(errno.EINVAL, os.unlink, place.path("d", name))
    os.unlink(place.path("d", "f"))
    os.rmdir(place.path("d"))


@check
def acl_stored_and_removed(place: Place) -> None:
    put(place.path("f"), b"shared", 0o600)
    os.setxattr(place.path("f"), ACCESS, READABLE_BY_1000)
    assert os.getxattr(place.path("f"), ACCESS) == READABLE_BY_1000
    assert ACCESS in os.listxattr(place.path("f"))
    assert stat.S_IMODE(os.stat(place.path("f")).st_mode) == 0o640  # the group bits show the mask
    os.removexattr(place.path("f"), ACCESS)
    fails_with(errno.ENODATA, os.getxattr, place.path("f"), ACCESS)


@check
def acl_decides_who_reads(place: Place) -> None:
    os.chmod(place.here, 0o755)
    put(place.path("f"), b"shared", 0o600)
    fails_with(errno.EACCES, as_user, 1000, lambda: get(place.path("f")))
    os.setxattr(place.path("f"), ACCESS, READABLE_BY_1000)
    assert as_user(1000, lambda: get(place.path("f"))) == b"shared"
    fails_with(errno.EACCES, as_user, 1001, lambda: get(place.path("f")))


@check
def acl_mask_is_the_group_of_the_mode(place: Place) -> None:
    os.chmod(place.here, 0o755)
    put(place.path("f"), b"", 0o600)
    os.setxattr(place.path("f"), ACCESS, READABLE_BY_1000)
    os.chmod(place.path("f"), 0o600)
    assert stat.S_IMODE(os.stat(place.path("f")).st_mode) == 0o600
    fails_with(errno.EACCES, as_user, 1000, lambda: get(place.path("f")))
    os.chmod(place.path("f"), 0o640)
    assert as_user(1000, lambda: get(place.path("f"))) == b""


@check
def acl_default_is_inherited(place: Place) -> None:
    os.mkdir(place.path("d"))
    default = acl((USER_OBJ, 7, NOBODY), (USER, 6, 1000), (GROUP_OBJ, 5, NOBODY), (MASK, 7, NOBODY), (OTHER, 0, NOBODY))
    os.setxattr(place.path("d"), DEFAULT, default)
    put(place.path("d", "f"), mode=0o666)
    os.mkdir(place.path("d", "e"))
    expected = acl(
        (USER_OBJ, 6, NOBODY), (USER, 6, 1000), (GROUP_OBJ, 5, NOBODY), (MASK, 6, NOBODY), (OTHER, 0, NOBODY)
    )
    assert os.getxattr(place.path("d", "f"), ACCESS) == expected
    assert oct(os.stat(place.path("d", "f")).st_mode) == oct(0o100660)
    assert os.getxattr(place.path("d", "e"), DEFAULT) == default
    os.removexattr(place.path("d"), DEFAULT)
    fails_with(errno.ENODATA, os.getxattr, place.path("d"), DEFAULT)
