"""Treaddir, and the making and unmaking of entries."""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import AT_REMOVEDIR, PATH_MAX, PERMISSIONS, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, S_IFREG, S_IFSOCK, Errno
from ninep.node import WouldBlock, check_may_wait
from ninep.server.handlers import names
from ninep.server.session import Session
from ninep.wire.codec import READ_HEADER
from ninep.wire.cookies import FAR, LAST_NUMBER
from ninep.wire.messages import NOFID
from ninep.wire.modes import makedev
from ninep.wire.types import Buffer, Qid

MAX_COOKIE = (1 << 63) - 1
MAKEABLE = frozenset({0, S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK})
"""What Tmknod makes; 0 is a regular file (mknod(2)), folders and links have messages of
their own.
"""


def readdir_now(session: Session, fid: int, offset: int, count: int) -> tuple[Buffer]:
    """Treaddir in the event loop, unless entries have to be counted to find the place: a cookie of
    another open directory.
    """
    held = session.fids.get(fid)
    if (
        offset > FAR
        and held is not None
        and held.directory is not None
        and session.threadsafe
        and offset <= LAST_NUMBER
    ):
        directory = held.directory
        if (directory if directory.packs else held.listing(directory)).is_far(offset):
            raise WouldBlock
    return readdir(session, fid, offset, count)


def readdir(session: Session, fid: int, offset: int, count: int) -> tuple[Buffer]:
    """Whole entries after the cookie ``offset``, as many as fit. EINVAL if not even one does: 0
    bytes would read as the end.
    """
    held = session.fid(fid)
    directory = held.directory
    if directory is None:
        raise Refused(Errno.ENOTDIR if held.file else Errno.EBADF, "not an open directory")
    if offset > LAST_NUMBER:
        if offset > MAX_COOKIE:
            raise Refused(Errno.EINVAL, f"offset {offset}")
        return (b"",)  # no listing gives that cookie: it is behind all entries
    room = min(count, session.msize - READ_HEADER)
    packed = directory.read_packed(offset, room)
    if packed is not None:
        return (packed,)
    if directory.packs:
        raise Refused(Errno.EINVAL, f"{count} bytes are too few for an entry")
    return (held.listing(directory).read(offset, room),)


def mkdir(session: Session, fid: int, name: bytes, mode: int, gid: int) -> tuple[Qid]:
    """Make a directory."""
    names.check(name, names.CREATE)
    held = session.fid(fid)
    return (held.node.mkdir(name, mode & PERMISSIONS, held.user.uid, gid),)


def symlink(session: Session, fid: int, name: bytes, target: bytes, gid: int) -> tuple[Qid]:
    """Make a link. The target is data: it is not looked at, but it must be one that readlink can
    give back.
    """
    names.check(name, names.CREATE)
    check_target(target)
    held = session.fid(fid)
    return (held.node.symlink(name, target, held.user.uid, gid),)


def check_target(target: bytes) -> None:
    """ENOENT for an empty target or one with NUL, ENAMETOOLONG beyond PATH_MAX, as
    symlink(2) says.
    """
    if not target or b"\0" in target:
        raise Refused(Errno.ENOENT, "not a link target")
    if len(target) >= PATH_MAX:
        raise Refused(Errno.ENAMETOOLONG, f"a link target of {len(target)} bytes")


def mknod(session: Session, fid: int, name: bytes, mode: int, major: int, minor: int, gid: int) -> tuple[Qid]:
    """Make a device, FIFO, socket or file. The numbers mean something for devices only."""
    names.check(name, names.CREATE)
    held = session.fid(fid)
    kind = mode & S_IFMT
    if kind not in MAKEABLE:
        raise Refused(Errno.EINVAL, f"file type {kind:#o}")
    rdev = makedev(major, minor) if kind in {S_IFCHR, S_IFBLK} else 0
    return (held.node.mknod(name, mode, rdev, held.user.uid, gid),)


def link(session: Session, dfid: int, fid: int, name: bytes) -> tuple[()]:
    """Another name for a file of the same export."""
    names.check(name, names.CREATE)
    directory, target = session.fid(dfid), session.fid(fid)
    if directory.export is not target.export:
        raise Refused(Errno.EXDEV)
    directory.node.link(target.node, name)
    return ()


def unlinkat(session: Session, fid: int, name: bytes, flags: int) -> tuple[()]:
    """Remove an entry; works through an open directory too (``rm -rf``)."""
    names.check(name, names.UNLINK)
    if flags & ~AT_REMOVEDIR:
        raise Refused(Errno.EINVAL, f"unlink flags {flags:#x}")
    session.fid(fid).node.unlink(name, bool(flags & AT_REMOVEDIR))
    return ()


def remove(session: Session, fid: int) -> tuple[()]:
    """Remove the file. The fid is gone in any case, also on a read-only export (remove(5))."""
    held = session.fid(fid)
    if not held.node.inline:
        check_may_wait()
    try:
        if held.xattr is not None:
            raise Refused(Errno.EINVAL, "an attribute cannot be removed like a file")
        held.node.remove()
    except WouldBlock:
        raise
    except OSError:
        held.set_remove_on_clunk(False)
        session.discard(fid)
        raise
    held.set_remove_on_clunk(False)
    session.retire(fid)
    return ()


def renameat(session: Session, oldfid: int, oldname: bytes, newfid: int, newname: bytes) -> tuple[()]:
    """Move an entry, replacing what is there. NOFID as the new directory means the old one."""
    names.check(oldname, names.RENAME)
    names.check(newname, names.RENAME)
    old = session.fid(oldfid)
    new = old if newfid == NOFID else session.fid(newfid)
    if old.export is not new.export:
        raise Refused(Errno.EXDEV)
    old.node.rename(oldname, new.node, newname)
    return ()


def rename(session: Session, fid: int, dfid: int, name: bytes) -> tuple[()]:
    """Move what a fid stands for."""
    names.check(name, names.RENAME)
    held = session.fid(fid)
    if held.opened:
        raise Refused(Errno.EINVAL, "the fid is open")
    newdir = None
    if dfid != NOFID:
        target = session.fid(dfid)
        if target.export is not held.export:
            raise Refused(Errno.EXDEV)
        newdir = target.node
    held.node.move(newdir, name)
    return ()
