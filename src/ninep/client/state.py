"""What the server has of this client: its fids, what is open, locked and written. It is kept so that it
can be made again on another connection (``recovery``).

Rules

* It follows from requests that the server granted, by ``NOTES``; a request that was refused changes
  nothing (but Tclunk and Tremove, which end the fid in any case).
* A fid is a path below an attach, and the qid found there. Renames by this client are followed;
  those by others are found at the next walk.
* What was written and not yet synced is kept, in the order of the replies, until an fsync or the end
  of the last fid that wrote to the file; at most ``KEPT_BYTES`` of a connection, requests included. What cannot be kept
  (more than that, appended, or written while the file is locked: others may have written after it) is
  remembered as missing. Truncations are writes, that of an open with O_TRUNC, too: a server that lost
  its machine may have the former content again.
* A fid that could not be made again has ``lost``: why. Nothing is sent for it.

It has no sockets and no clock.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from ninep.client.errors import ListingLost, NotWritten, OutcomeUnknown
from ninep.linux import LOCK_SUCCESS, LOCK_UNLCK, O_APPEND, O_CREAT, O_EXCL, O_TRUNC, SETATTR_SIZE
from ninep.wire.messages import (
    Message,
    Rattach,
    Rlock,
    Rwalk,
    Rwrite,
    Tattach,
    Tclunk,
    Tcreate,
    Tfsync,
    Tlcreate,
    Tlink,
    Tlock,
    Tlopen,
    Tmkdir,
    Tmknod,
    Topen,
    Tread,
    Treaddir,
    Tremove,
    Trename,
    Trenameat,
    Tsetattr,
    Tsymlink,
    Tunlinkat,
    Twalk,
    Twrite,
    Twstat,
    Txattrcreate,
    Txattrwalk,
)
from ninep.wire.modes import LEAVE32, LEAVE64, UNTOUCHED
from ninep.wire.types import QT_DIR, Qid

KEPT_BYTES: Final = 8 << 20
"""Written and not synced, of all files of a connection."""
EACH: Final = 256
"""Bytes that a kept request counts beside its data: what it takes in memory."""
NEVER_AGAIN: Final = O_CREAT | O_EXCL | O_TRUNC
"""Flags of an open that are not repeated: the file is there, with its data."""
OTRUNC, OAPPEND = 0x10, 0x80  # of the mode of Topen
END: Final = 1 << 64
"""Of a lock without a length."""
FIDS: Final = ("fid", "dfid", "dirfid", "olddirfid", "newdirfid")
"""Fields that name a fid which exists."""
NOT_REPEATED: Final = frozenset(
    {Tlcreate, Tcreate, Tmkdir, Tsymlink, Tmknod, Tlink, Trename, Trenameat, Tunlinkat, Tremove}
)
"""Requests that do something else, or fail, when they are performed twice."""


Change: TypeAlias = Twrite | Tsetattr | Twstat
"""Of a file's data: a write, or another size."""


def not_written() -> NotWritten:
    """With its text."""
    words = "data written before the connection was lost and not synced may be missing: write the file again"
    return NotWritten(errno.EIO, words)


def outcome_unknown(request: str) -> OutcomeUnknown:
    """With its text, for the name of a message."""
    words = f"the connection was lost before the reply to a {request}: whether it was performed is not known"
    return OutcomeUnknown(errno.EIO, words)


@dataclass(slots=True)
class FidState:
    """One fid."""

    export: Tattach
    names: tuple[bytes, ...]
    qid: Qid
    opened: Tlopen | Topen | None = None
    locks: list[Tlock] = field(default_factory=list)
    attribute: bool = False
    """It is an extended attribute, which is read or written in one go."""
    restarted: bool = False
    """A directory opened again: cookies of its old listing mean nothing."""
    missing: bool = False
    """What it wrote may be missing, and its user was not told yet."""
    lost: OSError | None = None

    def lose(self, error: OSError) -> None:
        """It could not be made again."""
        self.lost = error

    def opened_again(self) -> None:
        """It is open at another server."""
        self.restarted = bool(self.qid.type & QT_DIR)

    @property
    def file(self) -> tuple[bytes, int]:
        """Which file it is: exports of one server may have the same numbers."""
        return self.export.aname, self.qid.path

    @property
    def appends(self) -> bool:
        """Whether the server chooses where it writes."""
        opened = self.opened
        if isinstance(opened, Tlopen):
            return bool(opened.flags & O_APPEND)
        return opened is not None and bool(opened.mode & OAPPEND)


@dataclass(slots=True)
class Unsynced:
    """What was written to a file since its last fsync: requests, in order, and who wrote."""

    fids: set[int] = field(default_factory=set)
    requests: list[Change] = field(default_factory=list)
    size: int = 0
    count: int = 0
    """How many requests there were, kept or not."""
    missing: bool = False
    """Not all of it is in ``requests``."""


class ServerState:
    """Of one connection."""

    def __init__(self) -> None:
        self.fids: dict[int, FidState] = {}
        self.unsynced: dict[tuple[bytes, int], Unsynced] = {}
        """By ``FidState.file``."""
        self.troubled = False
        """Some fid is lost, its data may be missing, or its listing began anew: requests are checked."""
        self._kept = 0
        self._syncing: dict[int, int] = {}
        """Of requests of an fsync in flight: ``Unsynced.count`` when they were sent."""

    # -- what follows from a reply -------------------------------------------------------------------------------------

    def note(self, request: Message, reply: Message | None) -> None:
        """The server granted the request, with ``reply``; it has none if it was refused."""
        if reply is not None or isinstance(request, (Tclunk, Tremove)):
            change = NOTES.get(type(request))
            if change is not None:
                change(self, request, reply)

    def sent(self, request: Message) -> None:
        """The request is on its way. An fsync is about what was written before."""
        if is_fsync(request):
            self._syncing[id(request)] = self._count(request)

    def _count(self, request: Any) -> int:
        held = self.fids.get(request.fid)
        unsynced = None if held is None else self.unsynced.get(held.file)
        return 0 if unsynced is None else unsynced.count

    def finished_sync(self, request: Tfsync | Twstat) -> None:
        """An fsync was granted. What was written meanwhile may not be part of it; then all is kept."""
        sent = self._syncing.pop(id(request), -1)
        held = self.fids.get(request.fid)
        if held is not None and sent == self._count(request):
            self.synced(held)

    def forget(self, fid: int) -> None:
        """The fid is no more."""
        held = self.fids.pop(fid, None)
        if held is None:
            return
        unsynced = self.unsynced.get(held.file)
        if unsynced is not None:
            unsynced.fids.discard(fid)
            if not unsynced.fids:
                self.synced(held)

    def synced(self, held: FidState) -> None:
        """What was written to the file is on stable storage, or of no interest any more."""
        unsynced = self.unsynced.pop(held.file, None)
        if unsynced is not None:
            self._kept -= unsynced.size

    def keep(self, fid: int, request: Change, size: int) -> None:
        """A change of a file's data that was acknowledged. ``size``: bytes of it that are kept."""
        cost = size + EACH
        held = self.fids.get(fid)
        if held is None:
            return
        unsynced = self.unsynced.get(held.file)
        if unsynced is None:
            unsynced = self.unsynced[held.file] = Unsynced()
            if sum(path == held.qid.path for _, path in self.unsynced) > 1:
                self.drop_copies(held)  # one file by two ways, or two files: the order is not known
        unsynced.count += 1
        unsynced.fids.add(fid)
        if held.appends or held.attribute or self.locked(held) or self._kept + cost > KEPT_BYTES:
            self.drop_copies(held)
        elif not unsynced.missing:
            if isinstance(request, Twrite):  # the caller's buffer may change
                request = Twrite(fid, request.offset, bytes(request.data[:size]))
            unsynced.requests.append(request)
            unsynced.size += cost
            self._kept += cost

    def drop_copies(self, held: FidState) -> None:
        """What was written to the file will not be written again."""
        for unsynced in [one for (_, path), one in self.unsynced.items() if path == held.qid.path]:
            self._kept -= unsynced.size
            unsynced.requests.clear()
            unsynced.size = 0
            unsynced.missing = True

    def locked(self, held: FidState) -> bool:
        """Whether this client has locks on the file."""
        return any(one.locks for one in self.fids.values() if one.qid.path == held.qid.path)

    def moved(self, export: Tattach, old: tuple[bytes, ...], new: tuple[bytes, ...]) -> None:
        """A rename by this client."""
        for held in self.fids.values():
            if held.export is export and held.names[: len(old)] == old:
                held.names = new + held.names[len(old) :]

    # -- what is refused here ------------------------------------------------------------------------------------------

    def refusal(self, request: Message) -> OSError | None:
        """The error of a request that has to fail for what was lost; None: it can be sent."""
        fids = [getattr(request, name) for name in FIDS if hasattr(request, name)]
        every = [held for fid in fids if (held := self.fids.get(fid)) is not None]
        for held in every:
            if held.lost is not None:
                return type(held.lost)(*held.lost.args)
            if held.missing and isinstance(request, (Twrite, Tfsync, Tsetattr, Tclunk, Twstat)):
                held.missing = False
                return not_written()
            if held.restarted and isinstance(request, (Tread, Treaddir)) and request.offset:
                words = (
                    "the connection was lost, and a listing cannot go on at another server: read the directory again"
                )
                return ListingLost(errno.ESTALE, words)
        return None

    def unrepeatable(self, request: Message) -> bool:
        """Whether a request in flight must not be sent again, since it may have been performed."""
        if isinstance(request, Twstat):
            return bool(request.stat.name)
        held = self.fids.get(getattr(request, "fid", -1))
        if isinstance(request, (Twrite, Tclunk)) and held is not None:
            if held.attribute:
                return True
            return isinstance(request, Twrite) and (held.appends or self.locked(held))
        return type(request) in NOT_REPEATED

    def made_again(self) -> None:
        """All that could be made again at another server is there."""
        self.troubled = any(held.lost or held.missing or held.restarted for held in self.fids.values())

    def missed(self, held: FidState) -> None:
        """Some of what was written to the file may be missing: all who wrote shall know."""
        unsynced = self.unsynced.get(held.file)
        for fid in () if unsynced is None else unsynced.fids:
            writer = self.fids.get(fid)
            if writer is not None and writer.lost is None:
                writer.missing = self.troubled = True
        self.synced(held)


def is_fsync(request: Message) -> bool:
    """Whether it asks for an fsync; in 9P2000 and .u that is a Twstat that changes nothing."""
    if isinstance(request, Twstat):
        stat = request.stat
        times = (stat.mode, stat.atime, stat.mtime)
        return stat.length == LEAVE64 and times == (LEAVE32,) * 3 and not (stat.name or stat.uid or stat.gid)
    return isinstance(request, Tfsync)


def _walked(names: tuple[bytes, ...], more: list[bytes]) -> tuple[bytes, ...]:
    for name in more:
        names = names[:-1] if name == b".." else (*names, name)
    return names


# -- what each reply means ---------------------------------------------------------------------------------------------


def _attach(state: ServerState, asked: Tattach, got: Rattach) -> None:
    state.fids[asked.fid] = FidState(asked, (), got.qid)


def _walk(state: ServerState, asked: Twalk, got: Rwalk) -> None:
    base = state.fids.get(asked.fid)
    if base is not None and len(got.qids) == len(asked.wnames):
        qid = got.qids[-1] if got.qids else base.qid
        state.fids[asked.newfid] = FidState(base.export, _walked(base.names, asked.wnames), qid)


def _open(state: ServerState, asked: Tlopen | Topen, got: Any) -> None:
    held = state.fids.get(asked.fid)
    if held is not None:
        if isinstance(asked, Tlopen):
            held.opened, truncates = Tlopen(asked.fid, asked.flags & ~NEVER_AGAIN), asked.flags & O_TRUNC
        else:
            held.opened, truncates = Topen(asked.fid, asked.mode & ~OTRUNC), asked.mode & OTRUNC
        held.qid = got.qid
        if truncates:
            state.keep(asked.fid, _truncation(asked, 0), 0)


def _truncation(asked: Tlopen | Topen | Twstat, size: int) -> Tsetattr | Twstat:
    """A request that does nothing else, in the dialect of the one that did."""
    if isinstance(asked, Tlopen):
        return Tsetattr(asked.fid, SETATTR_SIZE, 0, 0, 0, size, 0, 0, 0, 0)
    return Twstat(asked.fid, UNTOUCHED._replace(length=size))


def _create(state: ServerState, asked: Tlcreate | Tcreate, got: Any) -> None:
    held = state.fids.get(asked.fid)
    if held is not None:
        held.names = (*held.names, asked.name)
        as_open = Tlopen(asked.fid, asked.flags) if isinstance(asked, Tlcreate) else Topen(asked.fid, asked.mode)
        _open(state, as_open, got)


def _end(state: ServerState, asked: Tclunk | Tremove, _got: object) -> None:
    state.forget(asked.fid)


def _rename(state: ServerState, asked: Trename, _got: object) -> None:
    held, directory = state.fids.get(asked.fid), state.fids.get(asked.dfid)
    if held is not None and directory is not None:
        state.moved(held.export, held.names, (*directory.names, asked.name))


def _renameat(state: ServerState, asked: Trenameat, _got: object) -> None:
    old, new = state.fids.get(asked.olddirfid), state.fids.get(asked.newdirfid)
    if old is not None and new is not None:
        state.moved(old.export, (*old.names, asked.oldname), (*new.names, asked.newname))


def _wstat(state: ServerState, asked: Twstat, _got: object) -> None:
    held = state.fids.get(asked.fid)
    if held is None:
        return
    if asked.stat.name:
        state.moved(held.export, held.names, (*held.names[:-1], asked.stat.name))
    if is_fsync(asked):
        state.finished_sync(asked)
    elif asked.stat.length != LEAVE64:
        state.keep(asked.fid, _truncation(asked, asked.stat.length), 0)


def _xattrwalk(state: ServerState, asked: Txattrwalk, _got: object) -> None:
    base = state.fids.get(asked.fid)
    if base is not None:
        state.fids[asked.newfid] = FidState(base.export, base.names, base.qid, attribute=True)


def _xattrcreate(state: ServerState, asked: Txattrcreate, _got: object) -> None:
    held = state.fids.get(asked.fid)
    if held is not None:
        held.attribute = True


def _lock(state: ServerState, asked: Tlock, got: Rlock) -> None:
    held = state.fids.get(asked.fid)
    if held is None or got.status != LOCK_SUCCESS:
        return
    state.drop_copies(held)
    held.locks = [piece for lock in held.locks for piece in _outside(lock, asked)]
    if asked.type != LOCK_UNLCK:
        held.locks.append(asked)


def _outside(lock: Tlock, other: Tlock) -> list[Tlock]:
    """What is left of a lock when its owner locks or unlocks another range."""
    if (lock.proc_id, lock.client_id) != (other.proc_id, other.client_id):
        return [lock]
    stop, other_stop = _stop(lock), _stop(other)
    return [
        replace(lock, start=start, length=0 if end == END else end - start)
        for start, end in ((lock.start, min(stop, other.start)), (max(lock.start, other_stop), stop))
        if start < end
    ]


def _stop(lock: Tlock) -> int:
    return lock.start + lock.length if lock.length else END


def _listed(state: ServerState, asked: Treaddir | Tread, _got: object) -> None:
    held = state.fids.get(asked.fid)
    if held is not None and not asked.offset:
        held.restarted = False


def _written(state: ServerState, asked: Twrite, got: Rwrite) -> None:
    state.keep(asked.fid, asked, got.count)


def _setattr(state: ServerState, asked: Tsetattr, _got: object) -> None:
    if asked.valid & SETATTR_SIZE:
        state.keep(asked.fid, asked, 0)


def _fsync(state: ServerState, asked: Tfsync, _got: object) -> None:
    state.finished_sync(asked)


NOTES: Final[dict[type[Message], Callable[[ServerState, Any, Any], None]]] = {
    Tattach: _attach,
    Twalk: _walk,
    Tlopen: _open,
    Topen: _open,
    Tlcreate: _create,
    Tcreate: _create,
    Tclunk: _end,
    Tremove: _end,
    Trename: _rename,
    Trenameat: _renameat,
    Twstat: _wstat,
    Txattrwalk: _xattrwalk,
    Txattrcreate: _xattrcreate,
    Tlock: _lock,
    Treaddir: _listed,
    Tread: _listed,
    Twrite: _written,
    Tsetattr: _setattr,
    Tfsync: _fsync,
}
