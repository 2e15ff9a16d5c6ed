"""One kernel: requests in, served, replies out. The counterpart of ``server.connection`` for FUSE.

``dispatcher`` knows what a request means; here it meets the event loop, the worker threads, and the
shares of time and memory that connections have of a server. Knows no ring and no device: a transport
brings one request after the other by ``message`` and has ``write_all``, each call of which is one whole
reply.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from time import monotonic
from typing import ClassVar, Final

from ninep.fuse.dispatcher import FORGET_AT_ONCE, LATER, Dispatcher, Request, Room
from ninep.fuse.session import Session
from ninep.fuse.throttling import FuseShare
from ninep.fuse.usage import session_info
from ninep.fuse.watch import Watch
from ninep.server.context import Context
from ninep.server.exports import Export
from ninep.server.flow import Flow, Reason
from ninep.server.latency_guard import LATE, LatencyGuard
from ninep.server.observer import Observer, Resources, together
from ninep.server.slices import COUNTED
from ninep.server.slow_storage import late
from ninep.server.transport import GONE, Transport
from ninep.server.usage import Activity, SessionInfo, activity_of
from ninep.transport.fuse import MountOptions
from ninep.transport.peers import Peer
from ninep.wire.buffers import length
from ninep.wire.fuse import IN_HEADER_SIZE, Malformed
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.server")

SOME: Final = 250
"""Nodes and handles that are closed in the event loop in one go."""
FIRST_RETRY: Final = 0.01
LAST_RETRY: Final = 0.25
"""Seconds between two looks at a lock that a request waits for: what releases it may be another client,
or a process of the host.
"""


class FuseConnection:
    """The server's side of one kernel."""

    def __init__(
        self,
        transport: Transport,
        *,
        context: Context,
        export: Export,
        options: MountOptions,
        on_begin: Callable[[FuseConnection], None],
        on_end: Callable[[FuseConnection], None],
    ) -> None:
        self.peer = Peer()
        self.alone = context.alone
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._context = context
        self._on_begin = on_begin
        self._on_end = on_end
        self._share: FuseShare | None = None
        self._held: bytes | None = None
        """A request that waited for limits which there are no more."""
        self._observer = self._first_observer = observer = context.observe()
        self._watch = None if observer is None else Watch(observer)
        self._flow = Flow(transport, None if observer is None else observer.paused)
        self._dispatcher = Dispatcher(export=export, limits=context.limits, budgets=context.budgets, options=options)
        self._slices = context.slices
        self._latency = LatencyGuard()
        self._uncounted = 0.0
        self._served = 0
        self._closing = 0
        self._forgetting = False
        self._retry: asyncio.TimerHandle | None = None
        self._retry_after = FIRST_RETRY

    # -- what is read of it --------------------------------------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The session there is now."""
        return self._dispatcher.session

    negotiated = attached = True
    """A machine that has the device may mount it at any time, or never: no admission timer applies."""

    def visited(self, exports: Collection[Export]) -> bool:
        """It is a mount of one of these."""
        return self.session.export in exports

    @property
    def progress(self) -> object:
        """Changes whenever a request arrived; None while one is in flight."""
        return None if self._dispatcher.in_flight or Reason.THROTTLED in self._flow.reasons else self._served

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return len(self._dispatcher.in_flight)

    @property
    def resources(self) -> Resources:
        """What its session has of the server's budgets."""
        session = self.session
        return Resources(len(session.nodes), len(session.opened), session.directories, 0)

    @property
    def in_threads(self) -> int:
        """Those of them that worker threads are busy with."""
        return len(self._dispatcher.running)

    def session_info(self, files: int) -> SessionInfo:
        """What it is, with at most so many of its open files."""
        return session_info(self.session, files)

    @property
    def activity(self) -> Activity:
        """What it has done, and what it waits for."""
        running = [(one.target.opcode.name, one.future) for one in list(self._dispatcher.running)]
        return activity_of(self._served, self._flow.reasons, running)

    @property
    def slow(self) -> bool:
        """Its storage answered so slowly that everything goes to worker threads for a while."""
        return not (self.session.inline or self.session.slow_driver)

    def watch(self, observer: Observer | None) -> None:
        """From now on this looks on, too; None: no longer."""
        self._observer = together([one for one in (self._first_observer, observer) if one is not None])
        if self._observer is None or self._watch is None:
            self._watch = None if self._observer is None else Watch(self._observer)
        else:
            self._watch.set_observer(self._observer)

    share: ClassVar = FuseShare
    """What counts its requests, where the export has limits (``server.shares``)."""

    def throttle(self, share: FuseShare | None) -> None:
        """From now on this counts requests; None: no longer."""
        if share is None and self._share is not None:
            self._held = self._share.take()
        self._share = share

    def delay(self) -> None:
        """The next request waits, until ``go_on``."""
        self._flow.hold(Reason.THROTTLED)

    def go_on(self) -> None:
        """Its time has come."""
        self._flow.lift(Reason.THROTTLED)
        held, self._held = self._held, None
        if held is None and self._share is not None:
            held = self._share.take()
        if held is not None and self._transport is not GONE:
            self._message(held, None, ())
        self._go_on()

    # -- the transport's calls -------------------------------------------------------------------------------------------

    def made(self, peer: Peer) -> None:
        """The transport is ready."""
        self.peer = peer
        self._dispatcher.meet(peer)
        self._on_begin(self)

    def message(self, frame: bytes, payload: Sequence[memoryview] | None = None, room: Room = ()) -> int:
        """One request. ``payload``: the data of a WRITE, left where it is; ``frame`` then is the 80 bytes
        before it. ``room``: where the reply may be written at once. The bytes that it took; 0: it comes by
        ``write_all``; -1: there is none. Malformed: the transport is to be closed.
        """
        if self._share is not None and not self._share.admits(frame, payload):
            return LATER
        return self._message(frame, payload, room)

    def _message(self, frame: bytes, payload: Sequence[memoryview] | None, room: Room) -> int:
        began = monotonic()
        before = self._latency.before(began) if self._latency.watching else None
        dispatcher, watch = self._dispatcher, self._watch
        if watch is None or len(frame) < IN_HEADER_SIZE:
            written = dispatcher.dispatch(frame, payload, room)
        else:
            watch.asked(self.peer, frame, len(frame) + (0 if payload is None else length(payload)))
            written = dispatcher.dispatch(frame, payload, room if watch.in_place else ())
            if written:
                watch.placed(self.peer, frame, written)
        if self._share is not None and written > 0:
            self._share.placed(frame, written)
        self._served += 1
        if dispatcher.waiting and dispatcher.session.unlocked:
            dispatcher.retry()  # before the next request, or an owner that unlocks and locks again keeps out all others
        if dispatcher.out:
            self._send()
        if dispatcher.ready or dispatcher.over or dispatcher.waiting or dispatcher.forgotten:
            self._hand_over()
        self._account(began, before)
        return written

    def _account(self, began: float, before: int | None) -> None:
        """What one request took since ``began``: many are counted together, for the slices of others."""
        elapsed = monotonic() - began
        if self._observer is not None:
            self._observer.batch(elapsed)
        self._uncounted += elapsed
        if self._uncounted > COUNTED:
            self._slices.used(self._uncounted)
            self._uncounted = 0.0
            if self._slices.left <= 0:
                self._wait_for_slice()
            if elapsed > LATE:
                late(self._latency, self.session, self.peer, self._observer, began + elapsed, before, elapsed)
        if self._dispatcher.in_flight and not self._dispatcher.has_room():
            self._flow.hold(Reason.IN_FLIGHT)

    def lost(self) -> None:
        """The transport is gone: replies are dropped. What runs in threads ends by itself, and the
        session with it.
        """
        self._transport = GONE
        self._flow.detach()
        self._dispatcher.out.clear()
        self._dispatcher.abandon()
        self._hand_over()
        self._ended()

    def stop(self) -> None:
        """Take no more requests, answer what is in flight, then close. Requests that wait for locks are
        not waited for.
        """
        self._flow.hold(Reason.STOPPING)
        self._finish_if_idle()

    def abort(self) -> None:
        """Close at once, whatever is owed; threads that hang are left to themselves."""
        self._dispatcher.running.clear()
        self._transport.abort()

    def _finish_if_idle(self) -> None:
        if Reason.STOPPING in self._flow.reasons and len(self._dispatcher.in_flight) == len(self._dispatcher.waiting):
            self._transport.close()

    def _ended(self) -> None:
        if self._transport is GONE and not self._dispatcher.running and not self._closing:
            self._dispatcher.end()
            self._on_end(self)

    def _send(self) -> None:
        out = self._dispatcher.out
        if self._watch is not None and out:
            self._watch.replies(self.peer, out)
        if self._share is not None:
            self._share.replies(out)
        for reply in out:
            self._transport.write_all(reply)
        out.clear()

    # -- what waits ----------------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """To threads: requests that are ready, sessions that are over. To the clock: those that wait for
        locks.
        """
        dispatcher = self._dispatcher
        while dispatcher.over:
            self._close(dispatcher.over.pop())
        while dispatcher.ready and len(dispatcher.running) < self._context.limits.threads:
            request = dispatcher.next()
            future = self._context.workers.submit(request.storage, request.call)
            request.run(future)
            future.add_done_callback(lambda future, request=request: self._soon(self._done, request, future))  # type: ignore[misc]
        if dispatcher.waiting and self._retry is None:
            self._retry_after = FIRST_RETRY
            self._retry = self._loop.call_later(FIRST_RETRY, self._retry_locks)
        if dispatcher.forgotten and not self._forgetting:
            self._forget()

    def _soon(self, call: Callable[..., None], *args: object) -> None:
        """From a thread; after the server's end the loop is closed."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)

    def _done(self, request: Request, future: Future[Buffer]) -> None:
        """A request came back from its thread."""
        request.returned()
        self._dispatcher.finish(request, future.result)
        if self._dispatcher.waiting and self.session.unlocked:
            self._dispatcher.retry()
        self._go_on()

    def _go_on(self) -> None:
        self._send()
        self._hand_over()
        if self._transport is GONE:
            self._ended()
            return
        self._finish_if_idle()
        flow = self._flow
        if Reason.IN_FLIGHT in flow.reasons and self._dispatcher.has_room():
            flow.lift(Reason.IN_FLIGHT)
        flow.resume()

    def _retry_locks(self) -> None:
        self._retry = None
        self._dispatcher.retry()
        if self._dispatcher.waiting:
            self._retry_after = min(2 * self._retry_after, LAST_RETRY)
            self._retry = self._loop.call_later(self._retry_after, self._retry_locks)
        self._go_on()

    def _forget(self) -> None:
        """Forget node ids, some at a time. Where that may wait in a thread, and nothing more is taken
        while there are many.
        """
        dispatcher = self._dispatcher
        self._forgetting = True
        if len(dispatcher.forgotten) > FORGET_AT_ONCE:
            self._flow.hold(Reason.FORGETTING)
        if self.session.slow_driver:
            future = self._context.workers.submit(self.session.export, dispatcher.forget_some)
            future.add_done_callback(lambda _: self._soon(self._forgot))
        else:
            self._loop.call_soon(self._forget_here)

    def _forget_here(self) -> None:
        self._dispatcher.forget_some()
        self._forgot()

    def _forgot(self) -> None:
        self._forgetting = False
        if not self._dispatcher.forgotten:
            self._flow.lift(Reason.FORGETTING)
        self._go_on()

    # -- flow ----------------------------------------------------------------------------------------------------------------

    def _wait_for_slice(self) -> None:
        if Reason.SLICE not in self._flow.reasons:
            self._flow.hold(Reason.SLICE)
            self._slices.add(self)

    def next_slice(self) -> None:
        """The other connections have had their turn."""
        self._flow.lift(Reason.SLICE)
        self._go_on()

    # -- the end of a session --------------------------------------------------------------------------------------------

    def _close(self, session: Session) -> None:
        """Close what a session has: in the event loop, some at a time, or in threads where that may
        wait.
        """
        session.finish()
        self._closing += 1
        if session.inline and not (session.threadsafe and session.on_slow_storage):
            self._close_some(session)
            return
        # To sort them takes long as well, but waits for nothing: so it is on no storage.
        future = self._context.workers.submit(session, session.by_storage)
        future.add_done_callback(lambda found: self._soon(self._close_parts, session, found))

    def _close_some(self, session: Session) -> None:
        self._log_errors(session, session.drop_some(SOME))
        then = self._close_some if session.nodes else self._closed
        self._loop.call_soon(then, session)

    def _close_parts(self, session: Session, found: Future[list[tuple[Hashable, list[int]]]]) -> None:
        parts = found.result()
        left = [len(parts)]
        for storage, numbers in parts:
            future = self._context.workers.submit(storage, session.drop, numbers)
            future.add_done_callback(lambda done: self._soon(self._closed_part, session, left, done))
        if not parts:
            self._closed(session)

    def _closed_part(self, session: Session, left: list[int], done: Future[list[Exception]]) -> None:
        self._log_errors(session, done.result())
        left[0] -= 1
        if not left[0]:
            self._closed(session)

    def _closed(self, session: Session) -> None:
        self._closing -= 1
        session.end()
        self._ended()

    @staticmethod
    def _log_errors(session: Session, errors: Sequence[Exception]) -> None:
        for error in errors:
            if not isinstance(error, OSError):
                log.error("closing something of %s failed", session.export.name or "the export", exc_info=error)


__all__ = ["FuseConnection", "Malformed"]
