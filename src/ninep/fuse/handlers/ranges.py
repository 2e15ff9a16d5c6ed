"""FALLOCATE, LSEEK, COPY_FILE_RANGE: ranges of files, without their data passing the kernel."""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused, linux_errno
from ninep.fuse.handlers.files import MAX_OFFSET
from ninep.fuse.session import NOT_ROOT, Session
from ninep.linux import GETATTR_BASIC, O_ACCMODE, O_APPEND, O_WRONLY, SEEK_DATA, SEEK_HOLE, Errno
from ninep.node import Node, may_wait
from ninep.wire.fuse_codec import pack_offset, pack_write

COPIED: Final = 1 << 26
"""Bytes of one COPY_FILE_RANGE in a thread: the kernel asks again for the rest. A file system that shares
blocks copies so many at once, and a slow one within a second or so ...
"""
COPIED_IN_LOOP: Final = 1 << 20
"""... and in the event loop, by a driver that has nothing to wait for."""


def fallocate(
    session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, length: int, mode: int, pad: int
) -> bytes:
    """Reserve space, or give it back (fallocate(2)). The kernel leaves it to us to drop SUID and SGID
    (fuse_file_fallocate of fs/fuse/file.c).
    """
    del nodeid, gid, pad
    opened, file = session.file(fh)
    if not opened.flags & O_ACCMODE:
        raise Refused(Errno.EBADF, "not open for writing")
    if not length or offset > MAX_OFFSET:
        raise Refused(Errno.EINVAL, f"{length} bytes from {offset}")
    if offset + length > MAX_OFFSET:
        raise Refused(Errno.EFBIG, f"{length} bytes from {offset}")
    file.allocate(mode, offset, length, session.owner(uid))
    return b""


def lseek(session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, whence: int, pad: int) -> bytes:
    """Where data or a hole begin: the kernel knows all other origins itself. A file whose driver keeps
    no holes is data from begin to end (generic_file_llseek_size of fs/read_write.c).
    """
    del nodeid, uid, gid, pad
    opened, file = session.file(fh)
    if whence not in {SEEK_DATA, SEEK_HOLE}:
        raise Refused(Errno.EINVAL, f"lseek from origin {whence}")
    if offset > MAX_OFFSET:
        raise Refused(Errno.ENXIO, f"offset {offset}")
    try:
        return pack_offset(file.seek(offset, whence))
    except OSError as error:
        if linux_errno(error) is not Errno.EOPNOTSUPP:
            raise
    return pack_offset(_without_holes(opened.entry.node, offset, whence))


def _without_holes(node: Node, offset: int, whence: int) -> int:
    size = node.getattr(GETATTR_BASIC).size
    if offset >= size:
        raise Refused(Errno.ENXIO, f"offset {offset} of {size}")
    return offset if whence == SEEK_DATA else size


def copy_file_range(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh_in: int,
    offset_in: int,
    nodeid_out: int,
    fh_out: int,
    offset_out: int,
    length: int,
    flags: int,
) -> bytes:
    """Copy between open files, as much as may be in one go: the data stay on the host. EOPNOTSUPP or
    EXDEV where that is not possible, and the kernel copies by reading and writing.
    """
    del nodeid, gid, nodeid_out
    source, reading = session.file(fh_in)
    target, writing = session.file(fh_out)
    if source.flags & O_ACCMODE == O_WRONLY or not target.flags & O_ACCMODE or target.flags & O_APPEND:
        raise Refused(Errno.EBADF)
    if flags:
        raise Refused(Errno.EINVAL, f"copy_file_range flags {flags:#x}")
    length = min(length, COPIED if may_wait() else COPIED_IN_LOOP)
    if max(offset_in, offset_out) + length > MAX_OFFSET:
        raise Refused(Errno.EINVAL)
    by = session.owner(uid) or NOT_ROOT
    return pack_write(reading.copy_file_range(offset_in, writing, offset_out, length, by))
