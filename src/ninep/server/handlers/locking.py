"""Tlock and Tgetlock."""

from __future__ import annotations

from ninep.errors import Refused, linux_errno
from ninep.linux import (
    LOCK_BLOCKED,
    LOCK_ERROR,
    LOCK_FLAG_BLOCK,
    LOCK_FLAG_RECLAIM,
    LOCK_SUCCESS,
    LOCK_UNLCK,
    Errno,
)
from ninep.node import WouldBlock
from ninep.server.fids import Fid
from ninep.server.limits import OverLimit
from ninep.server.lock_ranges import END, Owner, Range
from ninep.server.locks import conflict_kind
from ninep.server.session import Session

_new = tuple.__new__

LONGEST_CLIENT_ID = 1024
"""Linux sends its host name, at most 64 bytes. Others get it in Rgetlock, whatever *their* msize
is.
"""


def _range(session: Session, held: Fid, kind: int, start: int, length: int, client_id: bytes, proc_id: int) -> Range:
    """The range a message means. EINVAL for what lies beyond 2**63 or has a type that is none,
    EBADF for a fid that is not open.
    """
    if held.file is None and held.directory is None:
        raise Refused(Errno.EBADF, "the fid is not open")
    if len(client_id) > LONGEST_CLIENT_ID:
        raise Refused(Errno.EINVAL, f"a client id of {len(client_id)} bytes")
    if kind > LOCK_UNLCK or start >= END or start + length > END:
        raise Refused(Errno.EINVAL, f"lock type {kind}, start {start}, length {length}")
    end = start + length if length else END
    # 0.5 us less than by the constructors.
    return _new(Range, (_new(Owner, (session, client_id, proc_id)), kind, start, end, held, held.file))


def lock(
    session: Session,
    fid: int,
    kind: int,
    flags: int,
    start: int,
    length: int,
    proc_id: int,
    client_id: bytes,
    *,
    wait: bool = True,
) -> tuple[int]:
    """Lock or unlock. A conflict is not waited for: with the blocking flag too, BLOCKED makes the
    client poll (kernel v9fs_file_do_lock).
    """
    held = session.fid(fid)
    if not wait and not held.node.inline:
        raise WouldBlock
    if flags & ~(LOCK_FLAG_BLOCK | LOCK_FLAG_RECLAIM):
        raise Refused(Errno.EINVAL, f"lock flags {flags:#x}")
    asked = _range(session, held, kind, start, length, client_id, proc_id)
    table, path, limit = held.export.locks, held.node.qid.path, session.limits.locks
    try:
        if kind == LOCK_UNLCK:
            table.unlock(path, asked, limit, wait=wait)
            return (LOCK_SUCCESS,)
        session.reserve_handle(held)
        return (LOCK_SUCCESS if table.lock(path, asked, limit, wait=wait) else LOCK_BLOCKED,)
    except OSError as error:
        if linux_errno(error) is Errno.ENOLCK:
            if isinstance(error, OverLimit):
                session.counters.beyond(error.limit)
            return (LOCK_ERROR,)
        raise


def getlock(
    session: Session,
    fid: int,
    kind: int,
    start: int,
    length: int,
    proc_id: int,
    client_id: bytes,
    *,
    wait: bool = True,
) -> tuple[int, int, int, int, bytes]:
    """What stands in the way, or the question back with type *unlock*."""
    held = session.fid(fid)
    if not wait and not held.node.inline:
        raise WouldBlock
    asked = _range(session, held, kind, start, length, client_id, proc_id)
    found = held.export.locks.test(held.node.qid.path, asked._replace(kind=conflict_kind(kind)), wait=wait)
    if found is None:
        return LOCK_UNLCK, start, length, proc_id, client_id
    if isinstance(found, Range):
        return found.kind, found.start, found.length, found.owner.proc_id, found.owner.client_id
    host_kind, host_start, host_length, pid = found
    return host_kind, host_start, host_length, pid & 0xFFFFFFFF, b"host"


def lock_now(
    session: Session, fid: int, kind: int, flags: int, start: int, length: int, proc_id: int, client_id: bytes
) -> tuple[int]:
    """Tlock in the event loop: raises ``WouldBlock`` where that takes many calls to the host, or one
    that may wait, or a thread is at the same file.
    """
    return lock(session, fid, kind, flags, start, length, proc_id, client_id, wait=False)


def getlock_now(
    session: Session, fid: int, kind: int, start: int, length: int, proc_id: int, client_id: bytes
) -> tuple[int, int, int, int, bytes]:
    """Tgetlock in the event loop, likewise."""
    return getlock(session, fid, kind, start, length, proc_id, client_id, wait=False)
