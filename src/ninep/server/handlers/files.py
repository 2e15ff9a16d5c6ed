"""Tlopen, Tlcreate, Tread, Twrite, Tfsync: the content of files."""

from __future__ import annotations

from collections.abc import Sequence

from ninep.errors import Refused
from ninep.linux import (
    O_ACCMODE,
    O_APPEND,
    O_DIRECT,
    O_DSYNC,
    O_EXCL,
    O_NOATIME,
    O_RDONLY,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
    PERMISSIONS,
    Errno,
)
from ninep.server.fids import Fid, XattrBuffer, XattrValue
from ninep.server.handlers import names
from ninep.server.limits import OverLimit
from ninep.server.listing import StatListing
from ninep.server.session import Session
from ninep.wire.buffers import first, length, scatter
from ninep.wire.codec import IOHDRSZ, READ_HEADER
from ninep.wire.types import QT_DIR, Buffer, Qid

OPEN_FLAGS = O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME
"""What of Tlopen's flags reaches a driver. EXCL does not: FreeBSD's 9P append bit reads as EXCL
here.
"""
MAX_OFFSET = (1 << 63) - 1


def open_fid(session: Session, held: Fid, flags: int) -> tuple[Qid, int]:
    """Open what a fid stands for: qid and iounit (0 for a directory, where Linux would otherwise be
    bound by it).
    """
    if held.opened:
        raise Refused(Errno.EINVAL, "the fid is open already")
    idle = not flags & O_ACCMODE and not held.node.qid.type & QT_DIR
    session.reserve_open(idle=idle)
    node = held.node
    if node.qid.type & QT_DIR:
        if flags & (O_ACCMODE | O_TRUNC):
            raise Refused(Errno.EISDIR)
        session.reserve_listing()
        directory, stats = node.opendir(), None
        if session.dialect.stat_records:
            stats = StatListing(node, directory, session.encoding, session.msize - IOHDRSZ, session.peer)
        held.open_directory(directory, stats)
        iounit = 0
    else:
        if flags & O_ACCMODE == O_ACCMODE:
            raise Refused(Errno.EINVAL, "access mode 3")
        file = node.open(flags & OPEN_FLAGS, held.user.uid)
        if idle and not file.idle:
            try:
                session.reserve_open()
            except OverLimit:
                file.close()
                raise
        held.open(file, flags)
        iounit = session.iosize(4096)
    session.open(held)
    return node.qid, iounit


def lopen(session: Session, fid: int, flags: int) -> tuple[Qid, int]:
    """Open with Linux flags. What is opened is decided by what the file is, not by O_DIRECTORY."""
    return open_fid(session, session.fid(fid), flags)


def lcreate(session: Session, fid: int, name: bytes, flags: int, mode: int, gid: int) -> tuple[Qid, int]:
    """Create and open; the fid becomes the new file. Exclusive only if asked; an existing file
    keeps its owner and mode.
    """
    names.check(name, names.CREATE)
    held = session.fid(fid)
    if held.opened:
        raise Refused(Errno.EINVAL, "the fid is open already")
    if flags & O_ACCMODE == O_ACCMODE:
        raise Refused(Errno.EINVAL, "access mode 3")
    session.reserve_open()
    flags &= OPEN_FLAGS | O_EXCL
    node, file = held.node.create(name, flags, mode & PERMISSIONS, held.user.uid, gid)
    held.become(node)
    held.open(file, flags)
    session.open(held)
    return node.qid, session.iosize(4096)


def _room(session: Session, offset: int, count: int) -> int:
    """How much of ``count`` fits in a reply. A large count is no error; an offset beyond what a
    file can have is.
    """
    room = session.msize - READ_HEADER
    count = min(count, room)
    if offset + count > MAX_OFFSET:
        raise Refused(Errno.EINVAL, f"offset {offset}")
    return count


def _read_other(held: Fid, offset: int, count: int) -> tuple[Buffer]:
    """Tread of what is not an open file: an attribute, or a directory in the base dialects."""
    xattr = held.xattr
    if isinstance(xattr, XattrValue):
        return (xattr.value[offset : offset + count],)
    if isinstance(xattr, XattrBuffer):
        raise Refused(Errno.EINVAL, "an attribute being written cannot be read")
    if held.directory is None:
        raise Refused(Errno.EBADF, "the fid is not open")
    if held.stats is None:
        raise Refused(Errno.EOPNOTSUPP, "directories are read with Treaddir")
    return (held.stats.read(offset, count),)


def read_now(session: Session, fid: int, offset: int, count: int) -> tuple[Buffer]:
    """Tread in the event loop: raises ``WouldBlock`` where the device has to be waited for, and
    ``read`` is asked then.
    """
    held = session.fids.get(fid)
    if held is None:
        raise Refused(Errno.EBADF, f"fid {fid} is not in use")
    count = _room(session, offset, count)
    file = held.file
    if file is None:
        return _read_other(held, offset, count)
    if held.flags & O_ACCMODE == 1:
        raise Refused(Errno.EBADF, "not open for reading")
    return (file.read_now(offset, count),)


def read(session: Session, fid: int, offset: int, count: int) -> tuple[Buffer]:
    """Tread where waiting is allowed."""
    held = session.fid(fid)
    count = _room(session, offset, count)
    if held.file is None:
        return _read_other(held, offset, count)
    if not held.readable:
        raise Refused(Errno.EBADF, "not open for reading")
    return (held.file.read(offset, count),)


def write(session: Session, fid: int, offset: int, data: Buffer) -> tuple[int]:
    """Write to a file, or into the buffer of an attribute. The reply may be short."""
    held = session.fids.get(fid)
    if held is None:
        raise Refused(Errno.EBADF, f"fid {fid} is not in use")
    if offset + len(data) > MAX_OFFSET:
        raise Refused(Errno.EINVAL if offset > MAX_OFFSET else Errno.EFBIG, f"offset {offset}")
    file = held.file
    if file is None:
        if isinstance(held.xattr, XattrBuffer):
            return (held.xattr.write(offset, data),)
        raise Refused(Errno.EISDIR if held.directory else Errno.EBADF, "not open for writing")
    if held.flags & O_ACCMODE == O_RDONLY:
        raise Refused(Errno.EBADF, "not open for writing")
    return (file.write(offset, data, held.user.uid),)


def read_into(session: Session, fid: int, offset: int, count: int, place: Sequence[memoryview]) -> int:
    """As ``read_now``, into the place of the data in the reply, which may be too small for all."""
    held = session.fids.get(fid)
    file = None if held is None or held.flags & O_ACCMODE == O_WRONLY else held.file
    if file is None:
        return scatter(place, read_now(session, fid, offset, min(count, length(place)))[0])
    return file.read_into(offset, first(place, _room(session, offset, count)))


def write_from(session: Session, fid: int, offset: int, count: int, data: Sequence[memoryview]) -> int:
    """As ``write``, of ``count`` bytes in several buffers."""
    held = session.fids.get(fid)
    if held is None or held.file is None or held.flags & O_ACCMODE == O_RDONLY or offset + count > MAX_OFFSET:
        return write(session, fid, offset, b"".join(data))[0]
    return held.file.write_from(offset, data, held.user.uid)


def fsync(session: Session, fid: int, datasync: int) -> tuple[()]:
    """To stable storage: files and directories, open ones only (QEMU would sync descriptor 0 for
    others).
    """
    held = session.fid(fid)
    opened = held.file or held.directory
    if opened is None:
        raise Refused(Errno.EBADF, "the fid is not open")
    opened.fsync(bool(datasync))
    return ()
