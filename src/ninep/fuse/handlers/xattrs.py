"""GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR.

POSIX ACLs are shown to a kernel that keeps them (``posix-acl``). Any other would take them for plain
attributes, and let a user set what is checked nowhere.
"""

from __future__ import annotations

from ninep.errors import Refused, linux_errno
from ninep.fuse import acl
from ninep.fuse.session import Session
from ninep.linux import NAME_MAX, XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX, Errno
from ninep.wire.fuse import SETXATTR_ACL_KILL_SGID, Malformed
from ninep.wire.fuse_codec import pack_write
from ninep.wire.posix_acl import ACCESS, DEFAULT, NAMES


def _check(session: Session, name: bytes) -> None:
    if not name or len(name) > NAME_MAX:
        raise Refused(Errno.ERANGE, f"a name of {len(name)} bytes")
    if name in NAMES and not acl.served(session):
        raise Refused(Errno.EOPNOTSUPP, "ACLs are not served")


def _sized(value: bytes, size: int) -> bytes:
    """The value, or its length if ``size`` is 0. ERANGE if there is less room."""
    if not size:
        return pack_write(len(value))
    if len(value) > size:
        raise Refused(Errno.ERANGE, f"{len(value)} bytes; the caller takes {size}")
    return value


def getxattr(session: Session, nodeid: int, uid: int, gid: int, size: int, pad: int, name: bytes) -> bytes:
    """The value of an attribute, or its length. Where a file can have no ACL it has none: any other
    errno would be that of each access to it (fuse_get_acl of fs/fuse/acl.c).
    """
    del uid, gid, pad
    _check(session, name)
    try:
        return _sized(session.node(nodeid).getxattr(name), size)
    except OSError as error:
        if name not in NAMES or linux_errno(error) is not Errno.EOPNOTSUPP:
            raise
        raise Refused(Errno.ENODATA) from error


def listxattr(session: Session, nodeid: int, uid: int, gid: int, size: int, pad: int) -> bytes:
    """The names, or how long they are together."""
    del uid, gid, pad
    names = [name + b"\0" for name in session.node(nodeid).listxattr() if name not in NAMES or acl.served(session)]
    return _sized(b"".join(names), size)


def setxattr(
    session: Session, nodeid: int, uid: int, gid: int, size: int, flags: int, name: bytes, value: bytes
) -> bytes:
    """Set an attribute."""
    return setxattr_ext(session, nodeid, uid, gid, size, flags, 0, 0, name, value)


def setxattr_ext(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    size: int,
    flags: int,
    more: int,
    pad: int,
    name: bytes,
    value: bytes,
) -> bytes:
    """The same with the fields of SETXATTR_EXT."""
    del uid, gid, pad
    _check(session, name)
    if len(value) != size:
        raise Malformed(f"{len(value)} bytes of a value, {size} announced")
    if size > XATTR_SIZE_MAX:
        raise Refused(Errno.E2BIG, f"an attribute of {size} bytes")
    if flags not in {0, XATTR_CREATE, XATTR_REPLACE}:
        raise Refused(Errno.EINVAL, f"flags {flags:#x}")
    node = session.node(nodeid)
    if name == ACCESS:
        acl.set_access(node, value, flags, drop_sgid=bool(more & SETXATTR_ACL_KILL_SGID))
    else:
        if name == DEFAULT:
            acl.parse(value)
        node.setxattr(name, value, flags)
    return b""


def removexattr(session: Session, nodeid: int, uid: int, gid: int, name: bytes) -> bytes:
    """Remove an attribute."""
    del uid, gid
    _check(session, name)
    session.node(nodeid).removexattr(name)
    return b""
