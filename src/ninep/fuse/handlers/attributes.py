"""GETATTR, SETATTR, STATX, STATFS, READLINK."""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused
from ninep.fuse import acl
from ninep.fuse.session import NOT_ROOT, Session
from ninep.linux import GETATTR_BASIC, GETATTR_BTIME, NO_ID, O_ACCMODE, Errno
from ninep.node import NOW, Changes
from ninep.server.steps import Steps
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec

MAX_SIZE: Final = (1 << 63) - 1
_SECOND: Final = 1_000_000_000


def getattr_(session: Session, nodeid: int, uid: int, gid: int, flags: int, dummy: int, fh: int) -> bytes:
    """The attributes. An open file is the same node."""
    del uid, gid, flags, dummy, fh
    return codec.pack_attr(session.node(nodeid).getattr(GETATTR_BASIC), session.timeout)


def statx(
    session: Session, nodeid: int, uid: int, gid: int, flags: int, reserved: int, fh: int, sx_flags: int, mask: int
) -> bytes:
    """The attributes, and the time of creation where the host knows it."""
    del uid, gid, flags, reserved, fh, sx_flags, mask
    attributes = session.node(nodeid).getattr(GETATTR_BASIC | GETATTR_BTIME)
    return codec.pack_statx(attributes, session.timeout, birth=bool(attributes.valid & GETATTR_BTIME))


def _time(valid: int, asked: int, now: int, seconds: int, nanoseconds: int) -> int | None:
    if not valid & asked:
        return None
    if valid & now:
        return NOW
    if nanoseconds >= _SECOND:
        raise Refused(Errno.EINVAL, f"{nanoseconds} nanoseconds")
    return seconds * _SECOND + nanoseconds


def setattr_(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    valid: int,
    pad: int,
    fh: int,
    size: int,
    lock_owner: int,
    atime: int,
    mtime: int,
    ctime: int,
    atimensec: int,
    mtimensec: int,
    ctimensec: int,
    mode: int,
    unused4: int,
    new_uid: int,
    new_gid: int,
    unused5: int,
) -> bytes:
    """Change what ``valid`` names. SUID and SGID: of a file that gets another owner they are dropped,
    as by chown(2); of one that gets another size where the kernel says so (HANDLE_KILLPRIV_V2).
    """
    del gid, pad, lock_owner, ctime, ctimensec, unused4, unused5
    by = session.owner(uid)
    owner = new_uid if valid & f.FATTR_UID and new_uid != NO_ID else None
    group = new_gid if valid & f.FATTR_GID and new_gid != NO_ID else None
    drops = valid & f.FATTR_KILL_SUIDGID or owner is not None or group is not None
    changes = Changes(
        size if valid & f.FATTR_SIZE else None,
        owner,
        group,
        mode if valid & f.FATTR_MODE else None,
        _time(valid, f.FATTR_ATIME, f.FATTR_ATIME_NOW, atime, atimensec),
        _time(valid, f.FATTR_MTIME, f.FATTR_MTIME_NOW, mtime, mtimensec),
        bool(valid & (f.FATTR_UID | f.FATTR_GID)),
        (by or NOT_ROOT) if drops else 0,
    )
    if changes.size is not None and changes.size > MAX_SIZE:
        raise Refused(Errno.EINVAL, f"size {size}")
    node, step = session.node(nodeid), Steps()
    if changes.size is not None and valid & f.FATTR_FH:
        opened, file = session.file(fh)
        if opened.flags & O_ACCMODE:
            # By the open file: ftruncate(2) works whatever the mode became after the open.
            step(file.truncate, changes.size, changes.by)
            changes = changes._replace(size=None)
    if changes != Changes(by=changes.by):
        step(node.setattr, changes)
    after = step(node.getattr, GETATTR_BASIC)
    if changes.mode is not None:
        step(acl.changed_mode, session, node, after.mode)
    return codec.pack_attr(after, session.timeout)


def statfs(session: Session, nodeid: int, uid: int, gid: int) -> bytes:
    """The file system's figures."""
    del uid, gid
    return codec.pack_statfs(session.node(nodeid).statfs())


def readlink(session: Session, nodeid: int, uid: int, gid: int) -> bytes:
    """The target of a link."""
    del uid, gid
    return session.node(nodeid).readlink()
