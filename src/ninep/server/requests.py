"""Requests that could not be answered at once, and which of them has to wait for which.

A request in a worker thread holds the fids that it uses as a reader holds a readers-writer lock
(``reads``), or as a writer does (``excludes``): its row in ``table`` says which. A request whose
fids are held in a way that conflicts waits for them; what came later and conflicts with a waiting
one waits behind it, so that two requests for a fid are served in the order in which they came. All
others pass by.

Pure bookkeeping: knows no thread, no reply and no connection. Fids are counted and not compared,
because a client may have hundreds of requests in flight.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from ninep.protocol.tags import InFlight
from ninep.server.session import Session
from ninep.server.table import Entry
from ninep.wire.messages import Tattach

ANAME = 3
"""Where Tattach has the name of the export."""


class Request(InFlight):
    """A request in a worker thread, or waiting for one or for its fids."""

    __slots__ = ("entry", "excludes", "fields", "future", "reads", "session")

    def __init__(self, tag: int, entry: Entry, fields: Sequence[Any], session: Session) -> None:
        super().__init__(tag)
        self.entry = entry
        self.fields = fields
        self.session = session
        self.future: Future[tuple[Any, ...]] | None = None
        """Its thread's result, once it was handed to one."""
        self.reads = {fields[i] for i in entry.row.reads}
        self.excludes = {fields[i] for i in entry.row.excludes}

    def run(self, future: Future[tuple[Any, ...]]) -> None:
        """A thread has it, and this is to be its result."""
        self.future = future

    def returned(self) -> None:
        """It came back. Its future knows it: a reference cycle that would keep what was read."""
        self.future = None

    def storage(self) -> Hashable:
        """What it may have to wait for: that of its fids. Tattach has none yet, but the name of an
        export.
        """
        session, row = self.session, self.entry.row
        for place in row.reads + row.excludes:
            fid = session.fids.get(self.fields[place])
            if fid is not None:
                return fid.storage
        if row.message is Tattach:
            return session.exports.find(self.fields[ANAME])
        return None


class FidUse:
    """How many requests read each fid, and how many exclude others from it."""

    __slots__ = ("_excludes", "_reads")

    def __init__(self) -> None:
        self._reads: dict[int, int] = {}
        self._excludes: dict[int, int] = {}

    def copy(self) -> FidUse:
        """A copy, to be changed by itself."""
        made = FidUse()
        made._reads, made._excludes = self._reads.copy(), self._excludes.copy()
        return made

    def conflicts(self, request: Request) -> bool:
        """The request needs a fid that is held in a way that conflicts."""
        reads, excludes = self._reads, self._excludes
        return any(fid in excludes for fid in request.reads) or any(
            fid in excludes or fid in reads for fid in request.excludes
        )

    def acquire(self, request: Request) -> None:
        """The request holds its fids, or stands in line for them."""
        for counts, fids in ((self._reads, request.reads), (self._excludes, request.excludes)):
            for fid in fids:
                counts[fid] = counts.get(fid, 0) + 1

    def release(self, request: Request) -> None:
        """The request is over."""
        for counts, fids in ((self._reads, request.reads), (self._excludes, request.excludes)):
            for fid in fids:
                if counts[fid] == 1:
                    del counts[fid]
                else:
                    counts[fid] -= 1


class Requests:
    """All requests in flight of one connection. Those of an earlier session may still run; they
    conflict with nothing.

    A request is ``waiting`` for fids, or it has them and is ``ready`` for a thread, or ``running``
    in one.
    """

    __slots__ = ("_held", "_line", "_session", "ready", "running", "waiting")

    def __init__(self) -> None:
        self.running: set[Request] = set()
        self.ready: dict[Request, None] = {}
        """In the order in which they became it."""
        self.waiting: dict[Request, None] = {}
        """In the order in which they came."""
        self.begin(None)

    def begin(self, session: Session | None) -> None:
        """A new session, or none any more: what had not begun of the old one never will, and what
        runs holds nothing.
        """
        self._session = session
        self._held = FidUse()
        """By those running and ready."""
        self._line = FidUse()
        """By those waiting."""
        self.ready.clear()
        self.waiting.clear()

    def conflicts(self, request: Request) -> bool:
        """Whether something that came before is in its way."""
        return self._held.conflicts(request) or self._line.conflicts(request)

    def wait(self, request: Request) -> None:
        """It has to wait for its fids."""
        self.waiting[request] = None
        self._line.acquire(request)

    def hold(self, request: Request) -> None:
        """It has its fids, and needs a thread."""
        if request in self.waiting:
            del self.waiting[request]
            self._line.release(request)
        self.ready[request] = None
        self._held.acquire(request)

    def next(self) -> Request:
        """The next of the ready ones: it is running from now on."""
        request = next(iter(self.ready))
        del self.ready[request]
        self.running.add(request)
        return request

    def leave(self, request: Request) -> bool:
        """It is over, or will never be. False if that was known before."""
        if request in self.waiting:
            del self.waiting[request]
            self._line.release(request)
            return True
        if request in self.running:
            self.running.remove(request)
        elif request in self.ready:
            del self.ready[request]
        else:
            return False
        if request.session is self._session:
            self._held.release(request)
        return True

    def withdraw(self, request: Request) -> bool:
        """Take back a request that no thread has begun with; it will never be served."""
        return (request.future is None or request.future.cancel()) and self.leave(request)

    def free(self) -> Iterator[Request]:
        """Those of the waiting that nothing before them stands in the way of. Each must ``hold`` or
        ``leave`` before the next is asked for.
        """
        ahead = self._held.copy()
        for request in list(self.waiting):
            if ahead.conflicts(request):
                ahead.acquire(request)
                continue
            yield request
            if request in self.ready or request in self.running:
                ahead.acquire(request)

    def of(self, session: Session) -> bool:
        """Whether any of a session is still running."""
        return any(request.session is session for request in self.running)
