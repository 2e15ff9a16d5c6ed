"""The rules of extended attributes for drivers that keep them themselves (xattr(7), setxattr(2))."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from ninep.errors import Refused
from ninep.linux import NAME_MAX, S_IFDIR, S_IFREG, XATTR_CREATE, XATTR_REPLACE, Errno

NAMESPACES: Final = (b"user.", b"trusted.", b"security.")


def is_name(name: bytes) -> bool:
    """Whether an attribute can have this name."""
    return name.startswith(NAMESPACES) and name not in NAMESPACES and len(name) <= NAME_MAX and b"\0" not in name


def check_name(name: bytes, kind: int, *, change: bool) -> None:
    """Whether a file of this type (``S_IFREG`` ...) can have such an attribute: EOPNOTSUPP for another
    namespace; ``user.`` is for regular files and directories alone (fs/xattr.c xattr_permission).
    """
    if not name.startswith(NAMESPACES) or name in NAMESPACES:
        raise Refused(Errno.EOPNOTSUPP)
    if name.startswith(b"user.") and kind not in {S_IFREG, S_IFDIR}:
        raise Refused(Errno.EPERM if change else Errno.ENODATA)


def check_set(name: bytes, flags: int, names: Container[bytes]) -> None:
    """Whether an attribute can be set on a file that has these ``names``: EEXIST with XATTR_CREATE for
    one that is there, ENODATA with XATTR_REPLACE for one that is not.
    """
    if len(name) > NAME_MAX:
        raise Refused(Errno.ERANGE)
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise Refused(Errno.EINVAL)
    if name in names and flags & XATTR_CREATE:
        raise Refused(Errno.EEXIST)
    if name not in names and flags & XATTR_REPLACE:
        raise Refused(Errno.ENODATA)
