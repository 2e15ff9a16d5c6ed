"""Tgetattr, Tsetattr, Tstatfs, Treadlink, and extended attributes."""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import (
    NAME_MAX,
    NO_ID,
    SETATTR_ATIME,
    SETATTR_ATIME_SET,
    SETATTR_CTIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_MTIME_SET,
    SETATTR_SIZE,
    SETATTR_UID,
    XATTR_CREATE,
    XATTR_REPLACE,
    XATTR_SIZE_MAX,
    Errno,
)
from ninep.node import NOW, Changes
from ninep.server.fids import XattrBuffer, XattrValue
from ninep.server.session import Session
from ninep.server.steps import Steps
from ninep.wire.codec import HEADER_SIZE, IOHDRSZ
from ninep.wire.types import Statfs

MAX_SIZE = (1 << 63) - 1
NANO = 1_000_000_000


def getattr_(session: Session, fid: int, mask: int) -> tuple[list[int]]:
    """The attributes; st_blksize is what one read carries, so that programs use large buffers (QEMU
    stat_to_iounit).
    """
    held = session.fids.get(fid)
    if held is None:
        raise Refused(Errno.EBADF, f"fid {fid} is not in use")
    a = held.node.getattr(mask)
    reply = list(a)  # 0.1 us less than putting a tuple together from slices
    reply[10] = session.iosize(a[10])
    return (reply,)


def _time(valid: int, asked: int, given: int, seconds: int, nanoseconds: int) -> int | None:
    """One time of a Tsetattr: not asked for, now, or a moment (seconds are signed: before 1970 is a
    time).
    """
    if not valid & asked:
        return None
    if not valid & given:
        return NOW
    if nanoseconds >= NANO:
        raise Refused(Errno.EINVAL, f"{nanoseconds} nanoseconds")
    if seconds > MAX_SIZE:
        seconds -= 1 << 64
    return seconds * NANO + nanoseconds


def setattr_(
    session: Session,
    fid: int,
    valid: int,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    atime_sec: int,
    atime_nsec: int,
    mtime_sec: int,
    mtime_nsec: int,
) -> tuple[()]:
    """Change what ``valid`` names; fields without their bit are never looked at (old kernels send
    garbage there).
    """
    held = session.fid(fid)
    if held.xattr is not None:
        raise Refused(Errno.EINVAL, "an attribute has no attributes")
    by = held.user.uid
    newsize = size if valid & SETATTR_SIZE else None
    if newsize is not None and newsize > MAX_SIZE:
        raise Refused(Errno.EINVAL, f"size {size}")
    changes = Changes(
        newsize,
        uid if valid & SETATTR_UID and uid != NO_ID else None,
        gid if valid & SETATTR_GID and gid != NO_ID else None,
        mode if valid & SETATTR_MODE else None,
        _time(valid, SETATTR_ATIME, SETATTR_ATIME_SET, atime_sec, atime_nsec),
        _time(valid, SETATTR_MTIME, SETATTR_MTIME_SET, mtime_sec, mtime_nsec),
        bool(valid & SETATTR_CTIME) or bool(valid & (SETATTR_UID | SETATTR_GID)),
        by,
    )
    if newsize is None or not held.writable:
        held.node.setattr(changes)
        return ()
    # By the open file: ftruncate(2) works whatever the mode became after the open, and on an
    # unlinked file.
    assert held.file is not None  # noqa: S101 - writable says so
    step = Steps()
    step(held.file.truncate, newsize, by)
    changes = changes._replace(size=None)
    if changes[:6] != (None,) * 6:
        step(held.node.setattr, changes)
    return ()


def statfs(session: Session, fid: int) -> tuple[Statfs]:
    """The filesystem's figures, in blocks that one read carries (QEMU v9fs_fill_statfs)."""
    figures = session.fid(fid).node.statfs()
    if not figures.bsize:
        return (figures,)
    factor = max(1, (session.msize - IOHDRSZ) // figures.bsize)
    return (
        figures._replace(
            bsize=figures.bsize * factor,
            blocks=figures.blocks // factor,
            bfree=figures.bfree // factor,
            bavail=figures.bavail // factor,
        ),
    )


def readlink(session: Session, fid: int) -> tuple[bytes]:
    """The target of a link."""
    target = session.fid(fid).node.readlink()
    session.check_reply_size(HEADER_SIZE + 2 + len(target))
    return (target,)


def xattrwalk(session: Session, fid: int, newfid: int, name: bytes) -> tuple[int]:
    """``newfid`` becomes the value of one attribute, or the list of their names, read once and
    kept: what changes later does not tear it.
    """
    held = session.fid(fid)
    session.reserve_fid(newfid)
    if held.xattr is not None:
        raise Refused(Errno.EINVAL, "an attribute has no attributes")
    if b"\0" in name:
        raise Refused(Errno.ENODATA, f"{name!r} is not a name")
    node = held.node
    value = node.getxattr(name) if name else b"".join([one + b"\0" for one in node.listxattr()])
    session.reserve_xattr(len(value))
    made = session.bind(newfid, node.clone(), held.user, held.export)
    made.set_xattr(XattrValue(value))
    session.hold(made)
    return (len(value),)


def xattrcreate(session: Session, fid: int, name: bytes, size: int, flags: int) -> tuple[()]:
    """The fid becomes a buffer; the attribute is set when it is clunked."""
    held = session.fid(fid)
    if held.opened:
        raise Refused(Errno.EINVAL, "the fid is open")
    if not name or b"\0" in name:
        raise Refused(Errno.EINVAL, f"{name!r} is not a name")
    if len(name) > NAME_MAX:  # as setxattr(2) will say; here, because the fid would keep it
        raise Refused(Errno.ERANGE, f"a name of {len(name)} bytes")
    if flags not in {0, XATTR_CREATE, XATTR_REPLACE}:
        raise Refused(Errno.EINVAL, f"flags {flags:#x}")
    if size > XATTR_SIZE_MAX:
        raise Refused(Errno.E2BIG, f"an attribute of {size} bytes")
    session.reserve_xattr(size)
    held.set_xattr(XattrBuffer(name, size, flags))
    session.hold(held)
    return ()
