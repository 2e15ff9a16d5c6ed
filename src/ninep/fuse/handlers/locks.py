"""GETLK, SETLK, SETLKW: locks of the export, which hold against its other clients and against
processes of the host.

An owner is what the kernel names: one for each process with its threads. SETLKW of a range that
another has is not answered until it is free: the request waits in ``waiting``, without a thread, and
is tried again when this kernel has unlocked something, in the order of arrival, and now and then.
"""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused
from ninep.fuse.session import Opened, Session
from ninep.linux import LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.node import WouldBlock
from ninep.server.lock_ranges import END, Owner, Range
from ninep.wire.fuse import OFFSET_MAX
from ninep.wire.fuse_codec import pack_lock

HOST_PID: Final = 0
"""The process of the host that has a lock is none that the kernel of the guest knows: F_GETLK then
shows 0.
"""


class Conflict(Exception):
    """SETLKW: another has the range."""


def _owner(session: Session, owner: int) -> Owner:
    """The holder of a lock. The 64 bits are the client's id to 9P clients (Rgetlock), whose process numbers
    have 32.
    """
    return Owner(session, b"%016x" % owner, 0)


def _range(session: Session, opened: Opened, owner: int, start: int, end: int, kind: int) -> Range:
    if kind > LOCK_UNLCK or start > end or start > OFFSET_MAX:
        raise Refused(Errno.EINVAL, f"lock type {kind}, {start} to {end}")
    stop = END if end >= OFFSET_MAX else end + 1
    return Range(_owner(session, owner), kind, start, stop, opened, opened.file)


def _asked(
    session: Session, fh: int, owner: int, start: int, end: int, kind: int, *, wait: bool
) -> tuple[Opened, int, Range]:
    """The open file, its qid path, and the range of a request."""
    opened = session.handle(fh)
    if not wait and not opened.entry.node.inline:
        raise WouldBlock
    return opened, opened.entry.node.qid.path, _range(session, opened, owner, start, end, kind)


def getlk(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    owner: int,
    start: int,
    end: int,
    kind: int,
    pid: int,
    flags: int,
    pad: int,
    *,
    wait: bool = True,
) -> bytes:
    """What stands in the way, or the question back with type *unlock*."""
    del nodeid, uid, gid, flags, pad
    _, path, asked = _asked(session, fh, owner, start, end, min(kind, LOCK_WRLCK), wait=wait)
    found = session.export.locks.test(path, asked, wait=wait)
    if found is None:
        return pack_lock(start, end, LOCK_UNLCK, pid)
    if isinstance(found, Range):
        return pack_lock(found.start, found.end - 1, found.kind, HOST_PID)
    host_kind, host_start, length, _ = found
    return pack_lock(host_start, host_start + length - 1 if length else OFFSET_MAX, host_kind, HOST_PID)


def setlk(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    fh: int,
    owner: int,
    start: int,
    end: int,
    kind: int,
    pid: int,
    flags: int,
    pad: int,
    *,
    wait: bool = True,
) -> bytes:
    """Lock or unlock; EAGAIN if another has the range."""
    del nodeid, uid, gid, pid, flags, pad
    opened, path, asked = _asked(session, fh, owner, start, end, kind, wait=wait)
    table, limit = session.export.locks, session.limits.locks
    if kind == LOCK_UNLCK:
        table.unlock(path, asked, limit, wait=wait)
        session.set_unlocked(True)
        return b""
    session.keep_handle(opened)
    if not table.lock(path, asked, limit, wait=wait):
        raise Refused(Errno.EAGAIN, "another has the range")
    return b""


def setlkw(session: Session, nodeid: int, uid: int, gid: int, *fields: int, wait: bool = True) -> bytes:
    """As ``setlk``; ``Conflict`` if another has the range."""
    try:
        return setlk(session, nodeid, uid, gid, *fields, wait=wait)
    except Refused as error:
        if error.code is Errno.EAGAIN:
            raise Conflict from None
        raise


def release_owner(session: Session, opened: Opened, owner: int, *, wait: bool) -> None:
    """All locks of an owner on a file end."""
    table, path = session.export.locks, opened.entry.node.qid.path
    everything = Range(_owner(session, owner), LOCK_UNLCK, 0, END, opened, opened.file)
    table.unlock(path, everything, session.limits.locks, wait=wait)
    session.set_unlocked(True)
