"""The shares of clients: the throttle groups of exports, and the connections that wait for them.

Rules

* Counted is what names a fid of the export: reads and writes by their data, all others as
  operations (``KINDS``; requests of FUSE: ``fuse.throttling``). A read counts what it asks for when it comes, and what it did not get is
  taken back with its reply.
* A request that has to wait is held back before it is served, and nothing more is read from its
  connection until its time has come: what was served is answered, what is in worker threads goes on.
* Its time is fixed when it comes, and no later request puts it off.
* Where no export of a server is throttled, nothing is called at all; otherwise the requests of its
  9P connections do not take the shortest way (``observer``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, Self, TypeVar

from ninep.linux import NO_ID
from ninep.node import User
from ninep.protocol.framing import RawFrame, frames_of
from ninep.server.exports import Export, Exports
from ninep.server.observer import Observed, Observer
from ninep.server.throttle import Group, Throttle
from ninep.wire import messages as m
from ninep.wire.codec import HEADER_SIZE, IOHDRSZ
from ninep.wire.types import Buffer

T = TypeVar("T")
READ: Final = 1
WRITE: Final = 2
CHANGES: Final = (
    m.Twrite, m.Tcreate, m.Tremove, m.Twstat, m.Tlcreate, m.Tsymlink, m.Tmknod, m.Trename, m.Tsetattr,
    m.Txattrcreate, m.Tfsync, m.Tlink, m.Tmkdir, m.Trenameat, m.Tunlinkat,
)  # fmt: skip
UNCOUNTED: Final = (m.Tversion, m.Tauth, m.Tattach, m.Tflush, m.Tclunk)
"""They have no fid yet, or give something back."""
KINDS: Final = bytes(
    0 if number in {one.number for one in UNCOUNTED} else WRITE if number in {one.number for one in CHANGES} else READ
    for number in range(256)
)
"""How a request counts, by its type."""
WITH_DATA: Final = frozenset({m.Tread.number, m.Twrite.number, m.Treaddir.number})
REPLIES_WITH_DATA: Final = frozenset({m.Rread.number, m.Rreaddir.number})
FID_AT: Final = HEADER_SIZE
"""All that is counted begins with a fid."""
COUNT_AT: Final = HEADER_SIZE + 12
"""All ``WITH_DATA`` have fid[4] offset[8] count[4], their replies count[4]."""


def _number(buffer: Buffer, start: int) -> int:
    return int.from_bytes(buffer[start : start + 4], "little")


class Delayed(Observed, Protocol):
    """What is asked of a connection."""

    def throttle(self, share: Any) -> None:
        """From now on this sees all its requests; None: no longer."""

    def delay(self) -> None:
        """Take no more requests, until ``go_on``."""

    def go_on(self) -> None:
        """Take up what was interrupted."""


class Charge(NamedTuple):
    """What a request was counted as."""

    groups: Sequence[Group]
    octets: int
    writes: bool

    def take_back(self, octets: int, operations: int = 0) -> None:
        """So much was not done."""
        for group in self.groups:
            group.take_back(octets, operations, writes=self.writes)


class Waiting(Generic[T]):
    """The requests of one connection that are counted, each served when its time has come. A protocol
    says by ``_count`` what a request ``T`` counts.
    """

    def __init__(self, connection: Delayed, loop: asyncio.AbstractEventLoop) -> None:
        self._connection: Delayed | None = connection
        self._loop = loop
        self._own: dict[Throttle, Group] = {}
        self._reads: dict[int, Charge] = {}
        """What reads in flight were counted as, by the number that their replies have."""
        self._held: T | None = None
        """The request that waits."""
        self._charge: Charge | None = None
        """What that was counted as; None: it has yet to be counted."""
        self._timer: asyncio.TimerHandle | None = None

    def next(self, requests: Iterator[T]) -> T:
        """The next request. ``StopIteration`` if it has to wait, or there is none."""
        request = self._held
        if request is None or self._charge is None:
            request = self._held or next(requests)
            self._charge = None
            wait = self._count(request)
            if wait > 0 and self._connection is not None:
                self._held = request
                self._timer = self._loop.call_later(wait, self._due)
                self._connection.delay()
                raise StopIteration
        self._held = self._charge = None
        return request

    def _count(self, request: T) -> float:
        """Count a request. In how many seconds it may be served."""
        raise NotImplementedError

    def _put(self, export: Export, user: Hashable, octets: int, *, writes: bool, reads: int | None = None) -> float:
        """Count so much. ``reads``: the number of the reply, which says how much of it was got."""
        now = self._loop.time()
        groups = export.throttle.groups(self._own, user, now)
        charge = self._charge = Charge(groups, octets, writes)
        if reads is not None and octets and any(group.octets for group in groups):
            self._reads[reads] = charge
        return max(group.put(octets, now, writes=writes) for group in groups)

    def _got(self, number: int, octets: int) -> None:
        """The reply to a read has so many bytes of data: what it did not get is taken back."""
        charge = self._reads.pop(number, None)
        if charge is not None:
            charge.take_back(charge.octets - octets)

    def _due(self) -> None:
        self._timer = None
        if self._connection is not None:
            self._connection.go_on()

    def again(self) -> None:
        """The limits are others: what waits is counted anew."""
        self._own.clear()
        if self._timer is not None:
            self._rest()
            self._due()

    def end(self) -> None:
        """The connection is gone, or throttled no longer."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.throttle(None)
            if self._timer is not None:
                self._rest()
                connection.go_on()

    def _rest(self) -> None:
        """The request that waits is not counted, for now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._charge is not None:
            self._charge.take_back(self._charge.octets, 1)
            self._charge = None


class Share(Waiting[RawFrame], Observer):
    """Of one connection that carries 9P."""

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """Those whose time has come; it stops where one has to wait, and goes on there."""
        del connection
        return _Frames(self, frames)

    def _count(self, request: RawFrame) -> float:
        _size, number, tag, buffer, start = request
        if not KINDS[number] or self._connection is None:
            return 0.0
        session = self._connection.session
        fid = session.fids.get(_number(buffer, start + FID_AT))
        if fid is None or not fid.export.throttle.active:
            return 0.0
        writes = KINDS[number] == WRITE
        octets = 0
        if number in WITH_DATA:
            octets = min(_number(buffer, start + COUNT_AT), session.msize - IOHDRSZ)
        return self._put(fid.export, _key(fid.user), octets, writes=writes, reads=None if writes else tag)

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """What reads did not get is taken back."""
        del connection
        for _, number, tag, buffer, start in frames_of(replies) if self._reads else ():
            self._got(tag, _number(buffer, start + HEADER_SIZE) if number in REPLIES_WITH_DATA else 0)


def _key(user: User) -> Hashable:
    """Who has one group: by number, where there is one."""
    return user.uname if user.uid == NO_ID else user.uid


class _Frames:
    """An iterator that may go on after it has stopped, which a generator cannot."""

    __slots__ = ("_frames", "_share")

    def __init__(self, share: Share, frames: Iterator[RawFrame]) -> None:
        self._share = share
        self._frames = frames

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RawFrame:
        return self._share.next(self._frames)


class Shares:
    """Those of all connections of a server."""

    def __init__(self, exports: Exports) -> None:
        self._exports = exports
        self._of: dict[Delayed, Waiting[Any]] = {}

    def begin(self, connection: Delayed) -> None:
        """A connection is new. One that carries another protocol than 9P has ``share``: what makes its
        ``Waiting``.
        """
        if self._throttled():
            make: Callable[..., Waiting[Any]] = getattr(connection, "share", Share)
            share = self._of[connection] = make(connection, asyncio.get_running_loop())
            connection.throttle(share)

    def forget(self, connection: Delayed) -> None:
        """A connection is gone."""
        share = self._of.pop(connection, None)
        if share is not None:
            share.end()

    def changed(self, connections: Iterable[Delayed]) -> None:
        """The limits of exports are others, or the exports are."""
        throttled = self._throttled()
        for connection in connections:
            share = self._of.get(connection)
            if share is None:
                self.begin(connection)
            elif throttled:
                share.again()
            else:
                self.forget(connection)

    def _throttled(self) -> bool:
        return any(export.throttle.active for export in self._exports)
