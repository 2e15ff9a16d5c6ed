"""GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR.

POSIX ACLs are not shown: a kernel that is not told so (POSIX_ACL) takes them for plain attributes
and would let a user set what nobody checks.
"""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused
from ninep.fuse.session import Session
from ninep.linux import NAME_MAX, XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX, Errno
from ninep.wire.fuse import Malformed
from ninep.wire.fuse_codec import pack_write

ACLS: Final = frozenset({b"system.posix_acl_access", b"system.posix_acl_default"})


def _check(name: bytes) -> None:
    if not name or len(name) > NAME_MAX:
        raise Refused(Errno.ERANGE, f"a name of {len(name)} bytes")
    if name in ACLS:
        raise Refused(Errno.EOPNOTSUPP, "ACLs are not served")


def _sized(value: bytes, size: int) -> bytes:
    """The value, or its length if ``size`` is 0. ERANGE if there is less room."""
    if not size:
        return pack_write(len(value))
    if len(value) > size:
        raise Refused(Errno.ERANGE, f"{len(value)} bytes; the caller takes {size}")
    return value


def getxattr(session: Session, nodeid: int, uid: int, gid: int, size: int, pad: int, name: bytes) -> bytes:
    """The value of an attribute, or its length."""
    del uid, gid, pad
    _check(name)
    return _sized(session.node(nodeid).getxattr(name), size)


def listxattr(session: Session, nodeid: int, uid: int, gid: int, size: int, pad: int) -> bytes:
    """The names, or how long they are together."""
    del uid, gid, pad
    names = [name + b"\0" for name in session.node(nodeid).listxattr() if name not in ACLS]
    return _sized(b"".join(names), size)


def setxattr(
    session: Session, nodeid: int, uid: int, gid: int, size: int, flags: int, name: bytes, value: bytes
) -> bytes:
    """Set an attribute."""
    del uid, gid
    _check(name)
    if len(value) != size:
        raise Malformed(f"{len(value)} bytes of a value, {size} announced")
    if size > XATTR_SIZE_MAX:
        raise Refused(Errno.E2BIG, f"an attribute of {size} bytes")
    if flags & ~(XATTR_CREATE | XATTR_REPLACE) or flags == XATTR_CREATE | XATTR_REPLACE:
        raise Refused(Errno.EINVAL, f"flags {flags:#x}")
    session.node(nodeid).setxattr(name, value, flags)
    return b""


def removexattr(session: Session, nodeid: int, uid: int, gid: int, name: bytes) -> bytes:
    """Remove an attribute."""
    del uid, gid
    _check(name)
    session.node(nodeid).removexattr(name)
    return b""
