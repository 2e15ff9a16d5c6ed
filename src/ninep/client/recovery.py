"""Makes again at a server what another had of this client (``state``), after the connection was lost:
version, attaches, walks, opens, locks, and what was written and not synced.

``restore`` is a generator of steps: requests to send together, whose replies it wants, or seconds to
wait. It has no sockets and no clock. ``Unfit`` says that this server cannot take over; another may.

* A fid is walked to by its path, and the qid has to be the same: type and path, of which the version is
  no part. Another file of that name, or none, is ESTALE for that fid alone.
* It is opened as before, never created, never truncated.
* Locks are taken again. One that another has meanwhile is EIO for that fid, as with NFS. That another
  had it *in between* cannot be seen; therefore nothing is written twice to a file that is locked.
* What was written and not synced is written again, in order. Where there is no copy, the file's next
  write, fsync or close fails (``NotWritten``).
"""

from __future__ import annotations

import dataclasses
import errno
import random
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from ninep.client.errors import DialectError, NoSuchExport, ProtocolError, refusal, refusal_in_words
from ninep.client.state import FidState, ServerState
from ninep.linux import LOCK_SUCCESS
from ninep.transport import Address
from ninep.wire.dialect import Dialect
from ninep.wire.messages import (
    MAX_WALK,
    NOFID,
    Message,
    Rattach,
    Rerror,
    Rlerror,
    Rlock,
    Rlopen,
    Ropen,
    Rsetattr,
    Rversion,
    Rwalk,
    Rwrite,
    Rwstat,
    Tattach,
    Tclunk,
    Tlock,
    Tversion,
    Twalk,
    Twrite,
)
from ninep.wire.types import Qid

TOGETHER: Final = 48
"""Requests of one step."""
LOCK_PAUSE: Final = 0.5
LOCK_TRIES: Final = 20
"""Times that a lock is asked for: the former server may need a moment to see that its client is gone."""
NO_SERVER: Final = frozenset(
    {errno.ENOENT, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN}
)
"""Beside ConnectionError. ENOENT: the path of a unix socket."""
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 3.0
ATTEMPT: Final = 10.0
"""Seconds for one attempt to connect, at most."""

Step: TypeAlias = "list[Message] | float"
Restoring: TypeAlias = Generator[Step, list[Message], None]
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Redial:
    """Where to connect again, and for how long to try."""

    address: Address
    seconds: float
    notify: Callable[[str], object] | None = None
    """Told, in a sentence, that the connection was lost, and that there is another."""

    def say(self, words: str) -> None:
        """Tell."""
        if self.notify is not None:
            self.notify(words)

    def waiting(self, error: OSError, seconds: float) -> None:
        """Tell that the first connection could not be made yet."""
        self.say(f"{error.strerror or error}, trying again for {seconds:g} s")

    def lost(self, error: OSError) -> None:
        """Tell that attempts begin."""
        self.say(f"connection lost ({error.strerror}), trying again for {self.seconds:g} s")

    def gave_up(self, why: OSError, last: OSError) -> ConnectionError:
        """The error of the connection when there was no other in time."""
        words = f"{why.strerror}; no server took over within {self.seconds:g} s"
        return ConnectionResetError(errno.ECONNRESET, f"{words}: {last.strerror or last}" if last is not why else words)


class Unfit(OSError):
    """This server does not have what is to be taken over."""


class Attempts:
    """When to connect again, of one connection. Time runs anew only if the server has answered a request
    since the last loss: one that accepts and ends each connection is given up, too.
    """

    def __init__(self) -> None:
        self._answered = -1
        self._end = 0.0
        self._pause = FIRST_PAUSE

    def pauses(self, seconds: float, answered: int, now: Callable[[], float]) -> Iterator[float]:
        """How long to wait before each attempt, until ``seconds`` have passed by the clock ``now``; with
        chance, so that the clients of one server do not all come back at once. ``answered``: how many
        requests were, by now.
        """
        if answered != self._answered:
            self._answered, self._end, self._pause = answered, now() + seconds, FIRST_PAUSE
        elif now() >= self._end:
            return
        while True:
            yield min(random.uniform(0, self._pause), max(0.0, self._end - now()))  # noqa: S311 - no secret
            if now() >= self._end:
                return
            self._pause = min(2 * self._pause, LONGEST_PAUSE)


def may_pass(error: OSError) -> bool:
    """Whether a first connection that failed may succeed a moment later: no server listens yet, or what listens
    has no server behind it and ends the connection (a load balancer). Not: a name that there is not, a
    certificate that is not trusted, a server that refuses or breaks the protocol.
    """
    if isinstance(error, (ProtocolError, DialectError, NoSuchExport)):
        return False
    return isinstance(error, ConnectionError) or error.errno in NO_SERVER


def limit(timeout: float | None) -> float:
    """Seconds for one attempt, and for each step of it."""
    return ATTEMPT if timeout is None else min(timeout, ATTEMPT)


def restore(state: ServerState, dialect: Dialect, msize: int) -> Restoring:
    """All that there is to do. Afterwards the state says what was lost."""
    (reply,) = yield [Tversion(msize, dialect.value)]
    if not isinstance(reply, Rversion) or reply.version != dialect.value:
        raise Unfit(errno.EPROTONOSUPPORT, f"the server that answers now has no {dialect.value.decode()}")
    if reply.msize < msize:
        raise Unfit(errno.EMSGSIZE, f"the server that answers now takes messages of {reply.msize} bytes, not {msize}")
    yield from _attach(state)
    yield from _open(state)
    yield from _lock(state)
    yield from _write(state)
    state.made_again()


def _refused(reply: Message) -> OSError | None:
    if isinstance(reply, Rlerror):
        return refusal(reply.ecode)
    return refusal_in_words(reply.ename, reply.errno) if isinstance(reply, Rerror) else None


def _same(one: Qid, other: Qid) -> bool:
    return one.path == other.path and one.type == other.type


def _stale(held: FidState) -> OSError:
    name = b"/".join(held.names).decode("utf-8", "backslashreplace") or "/"
    return OSError(errno.ESTALE, f"after the connection was lost, {name} is not the same file any more")


def _batches(things: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(things), TOGETHER):
        yield things[start : start + TOGETHER]


# -- attaches and walks ------------------------------------------------------------------------------------------------


def _attach(state: ServerState) -> Restoring:
    """Attach each export, and walk from it to all that is below. An attach whose own fid is no more gets
    a number that no other fid has, for as long as the walks take.
    """
    exports = list({id(held.export): held.export for held in state.fids.values()}.values())
    for number, export in enumerate(exports):
        root = state.fids.get(export.fid)
        kept = root is not None and root.export is export and not root.names
        fid = export.fid if kept else NOFID - 1 - number
        (reply,) = yield [Tattach(fid, export.afid, export.uname, export.aname, export.n_uname)]
        if not isinstance(reply, Rattach):
            raise Unfit(errno.EACCES, f"the server that answers now refuses the attach: {_refused(reply)}")
        if kept and root is not None and not _same(root.qid, reply.qid):
            raise Unfit(errno.ESTALE, "the server that answers now has another folder in this export")
        below = {
            number: held
            for number, held in state.fids.items()
            if held.export is export and held is not (root if kept else None)
        }
        yield from _walk(below, fid, reply.qid)
        if not kept:
            yield [Tclunk(fid)]


def _walk(below: dict[int, FidState], root: int, qid: Qid) -> Restoring:
    made: set[int] = set()
    for batch in _batches([(fid, held) for fid, held in below.items() if not held.lost]):
        left = [(fid, held, held.names, qid) for fid, held in batch]
        while left:
            replies = yield [
                Twalk(fid if fid in made else root, fid, list(names[:MAX_WALK])) for fid, _, names, _ in left
            ]
            further = []
            for (fid, held, names, before), reply in zip(left, replies, strict=True):
                step = names[:MAX_WALK]
                if not isinstance(reply, Rwalk) or len(reply.qids) < len(step):
                    held.lose(_stale(held))
                    continue
                made.add(fid)
                last = reply.qids[-1] if reply.qids else before
                if len(names) > MAX_WALK:
                    further.append((fid, held, names[MAX_WALK:], last))
                elif not _same(last, held.qid):
                    held.lose(_stale(held))
            left = further
        yield from _released([fid for fid, held in batch if held.lost and fid in made])


def _released(fids: Sequence[int]) -> Restoring:
    for batch in _batches(fids):
        yield [Tclunk(fid) for fid in batch]


# -- what is open, locked, written -------------------------------------------------------------------------------------


def _open(state: ServerState) -> Restoring:
    opened = [(fid, held) for fid, held in state.fids.items() if held.opened is not None and not held.lost]
    for batch in _batches(opened):
        replies = yield [held.opened for _, held in batch if held.opened is not None]
        failed = []
        for (fid, held), reply in zip(batch, replies, strict=True):
            if not isinstance(reply, Rlopen | Ropen):
                held.lose(_refused(reply) or _stale(held))
                failed.append(fid)
            elif not _same(reply.qid, held.qid):
                held.lose(_stale(held))
                failed.append(fid)
            else:
                held.opened_again()
        yield from _released(failed)
    attributes = [(fid, held) for fid, held in state.fids.items() if held.attribute and not held.lost]
    for _, held in attributes:
        held.lose(OSError(errno.EIO, "the connection was lost; the extended attribute has to be read or set again"))
    yield from _released([fid for fid, _ in attributes])


def _lock(state: ServerState) -> Restoring:
    wanted: list[tuple[FidState, Tlock]] = [
        (held, lock) for held in state.fids.values() if not held.lost for lock in held.locks
    ]
    for held, _ in wanted:
        state.drop_copies(held)
    for attempt in range(LOCK_TRIES):
        if attempt and wanted:
            yield LOCK_PAUSE
        waiting = []
        for batch in _batches(wanted):
            replies = yield [lock for _, lock in batch]
            waiting += [
                pair
                for pair, reply in zip(batch, replies, strict=True)
                if not isinstance(reply, Rlock) or reply.status != LOCK_SUCCESS
            ]
        wanted = waiting
    words = "a lock was lost with the connection, and another has it now"
    for held, _ in wanted:
        held.lose(OSError(errno.EIO, words))
    yield from _released(list(dict.fromkeys(lock.fid for _, lock in wanted)))


def _write(state: ServerState) -> Restoring:
    for unsynced in list(state.unsynced.values()):
        able = [fid for fid, held in state.fids.items() if fid in unsynced.fids and not held.lost]
        able.sort(key=lambda fid: state.fids[fid].opened is None)  # one that is not open can only truncate
        complete = bool(able) and not unsynced.missing
        for request in unsynced.requests if complete else ():
            (reply,) = yield [_by(able, request)]
            whole = isinstance(reply, Rwrite) and isinstance(request, Twrite) and reply.count == len(request.data)
            if not whole and not isinstance(reply, Rsetattr | Rwstat):
                complete = False
                break
        if not complete and able:
            state.missed(state.fids[able[0]])


def _by(able: list[int], request: Any) -> Message:
    """The request, by its own fid if that is still there."""
    if request.fid in able:
        return request  # type: ignore[no-any-return]
    copy: Message = dataclasses.replace(request, fid=able[0])
    return copy
