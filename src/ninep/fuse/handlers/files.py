"""OPEN, READ, WRITE, RELEASE, FLUSH, FSYNC, SYNCFS: the content of files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.errors import Refused, linux_errno
from ninep.fuse.handlers.locks import release_owner
from ninep.fuse.session import NOT_ROOT, Entry, Opened, Session
from ninep.linux import (
    O_ACCMODE,
    O_APPEND,
    O_DIRECT,
    O_DSYNC,
    O_NOATIME,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
    Errno,
)
from ninep.node import OpenFile, check_may_wait
from ninep.server.limits import OverLimit
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.buffers import first, length
from ninep.wire.types import QT_DIR, Buffer

OPEN_FLAGS: Final = O_ACCMODE | O_TRUNC | O_APPEND | O_DIRECT | O_SYNC | O_DSYNC | O_NOATIME
"""What of the flags reaches a driver."""
MAX_OFFSET: Final = (1 << 63) - 1


def open_flags_of(session: Session, entry: Entry, flags: int) -> int:
    """Whether the kernel may keep the pages that it has of a file: if the file did not change since
    the last open. The version has size, mtime and ctime.

    What is opened for appending alone goes past the pages, which would cut a write(2) at their bounds:
    so that what others append at the same time comes before or after it.
    """
    if flags & (O_ACCMODE | O_APPEND) == O_WRONLY | O_APPEND:
        return session.open_flags | f.FOPEN_DIRECT_IO
    return session.open_flags | (f.FOPEN_KEEP_CACHE if entry.note_open(entry.node.qid.version) else 0)


def open_(session: Session, nodeid: int, uid: int, gid: int, flags: int, open_flags: int) -> bytes:
    """Open a file. O_TRUNC comes with it (ATOMIC_O_TRUNC)."""
    del gid
    entry = session.entry(nodeid)
    node = entry.node
    if node.qid.type & QT_DIR:
        raise Refused(Errno.EISDIR)
    if flags & O_ACCMODE == O_ACCMODE:
        raise Refused(Errno.EINVAL, "access mode 3")
    idle = not flags & O_ACCMODE
    session.reserve_open(idle=idle)
    owner = session.owner(uid)
    drops = flags & O_TRUNC and (open_flags & f.OPEN_KILL_SUIDGID or not session.flags & f.Init.HANDLE_KILLPRIV_V2)
    file = node.open(flags & OPEN_FLAGS, (owner or NOT_ROOT) if drops else owner)
    opened = Opened(entry, session.export, flags, owner, file=file)
    if idle and not file.idle:
        try:
            session.reserve_open()
        except OverLimit:
            file.close()
            raise
    return codec.pack_open(session.open(opened), open_flags_of(session, entry, flags))


def _readable(session: Session, fh: int, offset: int, size: int) -> tuple[OpenFile, int]:
    opened, file = session.file(fh)
    if opened.flags & O_ACCMODE == O_WRONLY:
        raise Refused(Errno.EBADF, "not open for reading")
    if offset + size > MAX_OFFSET:
        if offset > MAX_OFFSET:
            raise Refused(Errno.EINVAL, f"offset {offset}")
        size = MAX_OFFSET - offset
    return file, min(size, session.max_write)


def read_now(session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, size: int, *rest: int) -> Buffer:
    """READ in the event loop: raises ``WouldBlock`` where the device has to be waited for."""
    del nodeid, uid, gid, rest
    file, count = _readable(session, fh, offset, size)
    return file.read_now(offset, count)


def read(session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, size: int, *rest: int) -> Buffer:
    """READ where waiting is allowed."""
    del nodeid, uid, gid, rest
    file, count = _readable(session, fh, offset, size)
    return file.read(offset, count)


def read_into(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    offset: int,
    size: int,
    flags: int,
    lock_owner: int,
    oflags: int,
    pad: int,
    place: Sequence[memoryview],
) -> int:
    """As ``read_now``, into the place of the data in the reply: how many bytes."""
    del nodeid, uid, gid, flags, lock_owner, oflags, pad
    file, count = _readable(session, fh, offset, size)
    return file.read_into(offset, first(place, count))


def _writable(
    session: Session, uid: int, fh: int, offset: int, size: int, flags: int, oflags: int, given: int
) -> tuple[OpenFile, int]:
    """What is to be written to, and by whom. SUID and SGID are dropped where the kernel says so. Pages
    written through a mapping go where they belong, also if the handle that they come with was opened
    O_APPEND (WRITE_CACHE: the kernel takes any handle), and so do all if fcntl(2) has taken O_APPEND
    from it since (``oflags``: what it has now).
    """
    if given != size:
        raise f.Malformed(f"{given} bytes of data, {size} announced")
    if offset + size > MAX_OFFSET:
        raise Refused(Errno.EINVAL if offset > MAX_OFFSET else Errno.EFBIG, f"offset {offset}")
    opened, file = session.file(fh)
    if not opened.flags & O_ACCMODE:
        raise Refused(Errno.EBADF, "not open for writing")
    if opened.flags & O_APPEND and (flags & f.WRITE_CACHE or not oflags & O_APPEND):
        file = opened.without_append()
    return file, (session.owner(uid) or NOT_ROOT) if flags & f.WRITE_KILL_SUIDGID else 0


def write(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    offset: int,
    size: int,
    flags: int,
    lock_owner: int,
    oflags: int,
    pad: int,
    data: Buffer,
) -> bytes:
    """Write."""
    del nodeid, gid, lock_owner, pad
    file, by = _writable(session, uid, fh, offset, size, flags, oflags, len(data))
    return codec.pack_write(file.write(offset, data, by))


def write_from(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    offset: int,
    size: int,
    flags: int,
    lock_owner: int,
    oflags: int,
    pad: int,
    data: Sequence[memoryview],
) -> bytes:
    """As ``write``, of data that are in several buffers."""
    del nodeid, gid, lock_owner, pad
    file, by = _writable(session, uid, fh, offset, size, flags, oflags, length(data))
    return codec.pack_write(file.write_from(offset, data, by))


def release_now(session: Session, nodeid: int, uid: int, gid: int, fh: int, *rest: int) -> bytes:
    """RELEASE in the event loop, unless closing may wait: a program behind FUSE has to answer."""
    if not session.handle(fh).entry.node.inline:
        check_may_wait()
    return release(session, nodeid, uid, gid, fh, *rest)


def release(session: Session, nodeid: int, uid: int, gid: int, fh: int, *rest: int) -> bytes:
    """The last use of a handle has ended, and with it the locks taken through it."""
    del nodeid, uid, gid, rest
    session.close(fh)
    return b""


def flush(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    unused: int,
    pad: int,
    lock_owner: int,
    *,
    wait: bool = True,
) -> bytes:
    """A close(2): the locks that this owner has on the file end (fcntl(2)), through whatever handle it
    took them.
    """
    del nodeid, uid, gid, unused, pad
    release_owner(session, session.handle(fh), lock_owner, wait=wait)
    return b""


def fsync(session: Session, nodeid: int, uid: int, gid: int, fh: int, flags: int, pad: int) -> bytes:
    """To stable storage, a file or a directory."""
    del nodeid, uid, gid, pad
    opened = session.handle(fh)
    one = opened.file or opened.directory
    if one is not None:
        one.fsync(bool(flags & f.FSYNC_FDATASYNC))
    return b""


def syncfs(session: Session, nodeid: int, uid: int, gid: int, pad: int) -> bytes:
    """A sync of the whole mount: the file systems of its root and of what is open for writing. Where
    the driver cannot, what is open for writing itself; what was closed before is then left to the host,
    which writes it back within its usual time.
    """
    del uid, gid, pad
    writing = [
        opened for opened in list(session.opened.values()) if opened.file is not None and opened.flags & O_ACCMODE
    ]
    nodes = [session.node(nodeid), *(opened.entry.node for opened in writing)]
    try:
        for node in {node.storage: node for node in reversed(nodes)}.values():
            node.syncfs()
    except OSError as error:
        if linux_errno(error) is not Errno.EOPNOTSUPP:
            raise
        for opened in writing:
            if opened.file is not None and not opened.closed:
                opened.file.fsync(datasync=False)
    return b""
