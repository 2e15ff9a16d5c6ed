"""Requests that could not be answered at once, and which of them has to wait for which.

A request in a worker thread holds the fids it uses: shared, or alone (its row in ``table`` says so). One that needs a fid alone that
another uses, or a fid that another has alone, waits for it; what came later and clashes with a waiting one waits behind it, so that two requests
for a fid are served in the order in which they came. All others pass by.

Pure bookkeeping: knows no thread, no reply and no connection. Fids are counted and not compared, because a client may have hundreds of requests
in flight.
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

    __slots__ = ("alone", "entry", "fields", "future", "session", "shared")

    def __init__(self, tag: int, entry: Entry, fields: Sequence[Any], session: Session) -> None:
        super().__init__(tag)
        self.entry = entry
        self.fields = fields
        self.session = session
        self.future: Future[tuple[Any, ...]] | None = None
        """Its thread's result, once it was handed to one."""
        self.shared = {fields[i] for i in entry.row.shared}
        self.alone = {fields[i] for i in entry.row.alone}

    def storage(self) -> Hashable:
        """What it may have to wait for: that of its fids. Tattach has none yet, but the name of an export."""
        session, row = self.session, self.entry.row
        for place in row.shared + row.alone:
            fid = session.fids.get(self.fields[place])
            if fid is not None:
                return fid.storage
        if row.message is Tattach:
            return session.exports.find(self.fields[ANAME])
        return None


class Claims:
    """How many requests use each fid, shared and alone."""

    __slots__ = ("_alone", "_shared")

    def __init__(self) -> None:
        self._shared: dict[int, int] = {}
        self._alone: dict[int, int] = {}

    def copy(self) -> Claims:
        """Claims that are the same now."""
        made = Claims()
        made._shared, made._alone = self._shared.copy(), self._alone.copy()
        return made

    def clash(self, request: Request) -> bool:
        """The request needs a fid that is taken from it."""
        shared, alone = self._shared, self._alone
        return any(fid in alone for fid in request.shared) or any(
            fid in alone or fid in shared for fid in request.alone
        )

    def take(self, request: Request) -> None:
        """The request holds its fids, or stands in line for them."""
        for counts, fids in ((self._shared, request.shared), (self._alone, request.alone)):
            for fid in fids:
                counts[fid] = counts.get(fid, 0) + 1

    def give(self, request: Request) -> None:
        """The request is over."""
        for counts, fids in ((self._shared, request.shared), (self._alone, request.alone)):
            for fid in fids:
                if counts[fid] == 1:
                    del counts[fid]
                else:
                    counts[fid] -= 1


class Requests:
    """All requests in flight of one connection. Those of an earlier session may still run; they are in nobody's way.

    A request is ``waiting`` for fids, or it has them and is ``ready`` for a thread, or ``running`` in one.
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
        """A new session, or none any more: what had not begun of the old one never will, and what runs holds nothing."""
        self._session = session
        self._held = Claims()
        """By those running and ready."""
        self._line = Claims()
        """By those waiting."""
        self.ready.clear()
        self.waiting.clear()

    def clash(self, request: Request) -> bool:
        """Whether something that came before is in its way."""
        return self._held.clash(request) or self._line.clash(request)

    def wait(self, request: Request) -> None:
        """It has to wait for its fids."""
        self.waiting[request] = None
        self._line.take(request)

    def hold(self, request: Request) -> None:
        """It has its fids, and needs a thread."""
        if request in self.waiting:
            del self.waiting[request]
            self._line.give(request)
        self.ready[request] = None
        self._held.take(request)

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
            self._line.give(request)
            return True
        if request in self.running:
            self.running.remove(request)
        elif request in self.ready:
            del self.ready[request]
        else:
            return False
        if request.session is self._session:
            self._held.give(request)
        return True

    def free(self) -> Iterator[Request]:
        """Those of the waiting that nothing before them stands in the way of. Each must ``hold`` or ``leave`` before the next is asked for."""
        ahead = self._held.copy()
        for request in list(self.waiting):
            if ahead.clash(request):
                ahead.take(request)
                continue
            yield request
            if request in self.ready or request in self.running:
                ahead.take(request)

    def of(self, session: Session) -> bool:
        """Whether any of a session is still running."""
        return any(request.session is session for request in self.running)
