"""One connection: bytes in, requests served, replies out. The request loop.

What happens to a request

1. a frame comes out of ``protocol.framing``;
2. its fields are unpacked and its handler called, at once, in the event loop: handing a 1 us system
   call to a thread costs 10 to 50;
3. unless it has to wait (its row says so, the device does, or the driver is slow): then a worker
   thread serves it, which has its fids meanwhile; later requests pass it by, and those that
   conflict over one of its fids wait in order;
4. replies are collected and sent after every few: one write a reply wastes system calls and wakes
   the client each time, one write for a long batch leaves the client's core idle (63 % busy at
   sixteen outstanding). Those of several connections leave together (``write_coalescer``).

What a frame means is for ``dispatcher``, which knows all cases. The two loops here take a shorter
way for a frame that is none of the special ones, while nothing is in flight: the same calls,
without a request object (``tests/server/test_dispatcher.py`` holds them equal). When no more
requests are taken is for ``flow``, what runs in threads for ``threads``, traces and metrics for
``observer``. A transport gives it bytes and has ``write``, ``pause`` and ``resume``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from ninep.node import WouldBlock
from ninep.protocol.framing import BadFrame, RawFrame
from ninep.server.connection_state import ConnectionState
from ninep.server.context import Context
from ninep.server.dispatcher import Dispatcher
from ninep.server.flow import Flow, Reason
from ninep.server.in_place import impossible, joined, leaves_data, serve
from ninep.server.latency_guard import LATE, LATE_EACH, LatencyGuard
from ninep.server.observer import Observer, together
from ninep.server.refusals import refusal
from ninep.server.session import Session
from ninep.server.slices import CHEAP, COUNTED, STRIDE
from ninep.server.slow_storage import late
from ninep.server.table import Entry
from ninep.server.threads import AT_ONCE, Finished, Threads
from ninep.server.transport import GONE, Transport
from ninep.server.write_coalescer import BYTES_A_WRITE, JOIN_BELOW, MAX_A_WRITE, REPLIES_A_WRITE, deliver
from ninep.transport.peers import Peer
from ninep.wire.buffers import length
from ninep.wire.codec import HEADER_SIZE, READ_HEADER, header
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.server")


class Connection(ConnectionState):
    """The server's side of one connection."""

    def __init__(
        self,
        transport: Transport,
        *,
        context: Context,
        on_begin: Callable[[Connection], None],
        on_end: Callable[[Connection], None],
    ) -> None:
        self.alone = context.alone
        self._transport = transport
        self._context = context
        self._on_begin = on_begin
        self._on_end = on_end
        self._observer = self._first_observer = observer = context.observe()
        self._watching: Observer | None = None
        self._share: Observer | None = None
        dispatcher = Dispatcher(exports=context.exports, limits=context.limits, budgets=context.budgets)
        super().__init__(dispatcher, Flow(transport, None if observer is None else observer.paused))
        self._threads = Threads(context.workers, context.limits.threads, dispatcher.requests)
        self._receiver = dispatcher.receiver
        self.space = self._receiver.space
        """Where the transport puts the next bytes."""
        self._frames: Iterator[RawFrame] = iter(())
        self._out = dispatcher.out
        self._most = REPLIES_A_WRITE
        """So many replies are sent together, according to the last batch."""
        self._coalescer = context.coalescer
        self._slices = context.slices
        self._latency = LatencyGuard()
        self._accounted = 0.0
        """Seconds that ``took`` need not account for."""
        self._heavy = False  # its last requests were long: see ``slices``

    def watch(self, observer: Observer | None) -> None:
        """From now on this looks on, too; None: no longer."""
        self._watching = observer
        self._observe()

    def throttle(self, share: Observer | None) -> None:
        """From now on this may ``delay`` requests; None: no longer."""
        self._share = share
        self._observe()

    def _observe(self) -> None:
        """The share is the last: it stops what it iterates over, and goes on."""
        there = (self._first_observer, self._watching, self._share)
        self._observer = together([one for one in there if one is not None])

    # -- the transport's calls -------------------------------------------------------------------------------------------

    def made(self, peer: Peer, export: str = "") -> None:
        """The transport is ready, and says who is there, and what an empty aname means."""
        self.peer = peer
        self._dispatcher.meet(peer, export)
        self._on_begin(self)

    def identified(self, peer: Peer) -> None:
        """The transport has more to say of the other side, before its first bytes."""
        self.peer = peer
        self._dispatcher.meet(peer)
        self._context.identified(self)

    def received(self, count: int) -> bool:
        """``count`` bytes were put there. True: nothing is in flight now, and more may come."""
        dispatcher = self._dispatcher
        frame = self._receiver.lone(count)
        special = self._owed or self._out or self._heavy or self._observer is not None
        if frame is None or special or not dispatcher.session.inline:
            return self._batch(count)
        entry = dispatcher.table[frame[4]]
        return self._batch(count) if entry is None else self._serve_lone(entry, count, frame)

    def _batch(self, count: int) -> bool:
        """Serve all that came. After a long request: later, if no slice is left."""
        # What a transport brings that does not pause at once (proactor) is served.
        heavy, self._heavy = self._heavy, False
        frames = self._receiver.received(count)
        return self._serve_new(frames, count, wait=heavy and not (self._slices.left or self._receiver.full))

    def data(self, data: Buffer) -> None:
        """Bytes of a transport that brings its own buffers."""
        self._serve_new(self._receiver.feed(data), len(data))

    def message(self, frame: bytes, payload: Sequence[memoryview] | None, reply: Sequence[memoryview]) -> int:
        """One whole T-message of a transport that has a place for its reply. Not while it is
        paused. ``took`` accounts for it. ``BadFrame`` for a size that is wrong or beyond msize.

        Args:
            frame: the bytes of the message, copied.
            payload: the data of a Twrite that was left where it is, after the 23 bytes of ``frame``.
            reply: where the R-message may be written. Neither is used after the return.

        Returns:
            How many bytes of ``reply`` were written. 0: the R-message comes by the transport.
        """
        size = len(frame)
        if payload is not None:
            size += length(payload)
        if size > self._receiver.msize or len(frame) < HEADER_SIZE:
            raise impossible(size, self._receiver.msize)
        said, number, tag = header(frame, 0)
        if said != size:
            raise impossible(size, self._receiver.msize, said)
        dispatcher, observer = self._dispatcher, self._observer
        entry = dispatcher.table[number]
        if (
            entry is None
            or not dispatcher.session.inline
            or not reply
            or len(reply[0]) < READ_HEADER
            or (payload is not None and not leaves_data(entry, frame))
            or (observer is not None and not observer.in_place)
            or self._latency.watching
        ):
            self._apart(size, joined(frame, payload, size))
            return 0
        written = serve(dispatcher, entry, size, tag, frame, payload, reply)
        self._placed += 1
        if not written:
            self.send()
        if self._owed:
            self._threads.run(self._done)
            if not dispatcher.has_room():
                self._flow.hold(Reason.IN_FLIGHT)
        if observer is not None:
            observer.placed(number, size, written)
        return written

    def took(self, seconds: float) -> None:
        """So long were the messages since the last call: account for them. To be called when it is
        more than ``COUNTED``.
        """
        seconds -= self._accounted
        count, self._placed, self._accounted = self._placed, 0, 0.0
        self._served += count
        if count and (seconds > COUNTED or self._observer is not None):
            self._account(count, monotonic(), seconds, None)
        if not self._slices.one(seconds):
            self._wait_for_slice()

    def _apart(self, size: int, frame: RawFrame) -> None:
        """Serve a message that is special as a batch of its own."""
        began = monotonic()
        self._serve_new(iter((frame,)), size)
        self.send()
        elapsed = monotonic() - began
        if elapsed > COUNTED:
            self._accounted += elapsed

    def _serve_new(self, frames: Iterator[RawFrame], size: int, *, wait: bool = False) -> bool:
        if self._observer is not None:
            self._observer.received(size)
            frames = self._observer.requests(self, frames)
        self._frames = frames
        if wait:
            self._wait_for_slice()
        return not wait and self._serve()

    def full(self) -> None:
        """The client does not take its replies fast enough: serve no more for now."""
        self._flow.hold(Reason.FULL)
        self._dispatcher.replies_wait(True)

    def drained(self) -> None:
        """There is room for replies again."""
        self._flow.lift(Reason.FULL)
        self._dispatcher.replies_wait(False)
        self._drained += 1
        self._go_on()

    def eof(self) -> bool:
        """The client sends no more. True: it is owed replies; the connection closes after them."""
        self.send()
        self._flow.hold(Reason.STOPPING)
        return bool(self._owed)

    def lost(self) -> None:
        """The connection is gone: the replies are dropped. What runs in threads ends by itself, and
        the session with it.
        """
        self._frames = iter(())
        self._transport = GONE  # it knows us: see _done
        self._flow.detach()
        self._dispatcher.abandon()
        self._hand_over()
        self._ended()

    def stop(self) -> None:
        """Take no more requests, answer what is in flight, then close."""
        self._flow.hold(Reason.STOPPING)
        if not self._owed:
            self._finish()

    def abort(self) -> None:
        """Close at once, whatever is owed; threads that hang are left to themselves."""
        self._threads.leave_behind()
        self._transport.abort()

    def _finish(self) -> None:
        self.send()
        self._transport.close()

    def _ended(self) -> None:
        if self._transport is GONE and not self._threads.busy:
            self._dispatcher.end()
            self._on_end(self)

    # -- the request loop ------------------------------------------------------------------------------------------------

    def _serve_lone(self, entry: Entry, size: int, frame: bytes) -> bool:
        """As ``_serve``, for a small request that came alone while nothing is in flight, as they do
        from a client that waits for each reply: 0.3 of the 4.3 us between receiving and sending
        less.
        """
        began = monotonic()
        before = self._latency.before(began) if self._latency.watching else None
        session, out = self._dispatcher.session, self._out
        fixed, fixed_size, unpack, inline, pack, payload, _row = entry
        tag = frame[5] | frame[6] << 8
        try:
            fields = fixed(frame, 7) if size == fixed_size else unpack(frame, 7, size)  # type: ignore[misc]
            if inline is None:
                self._defer(tag, entry, fields)
            elif payload:
                out += pack(tag, *inline(session, *fields))
            else:
                out.append(pack(tag, *inline(session, *fields)))
        except WouldBlock:
            self._defer(tag, entry, fields)
        except Exception as error:  # noqa: BLE001 - the one exit: see refusals
            out.append(refusal(session, tag, frame[4], error))
        if out:
            if self._coalescer.shared and len(out[-1]) < JOIN_BELOW:
                self._coalescer.add(self, began)
            elif len(out) == 1:
                self._transport.write(out[0])
                out.clear()
            else:
                self.send()
        self._served += 1
        elapsed = monotonic() - began
        if elapsed > COUNTED:
            self._heavy = True
            self._slices.used(elapsed)
            if elapsed > LATE:
                self._late(began + elapsed, before, elapsed)
        return not (self._owed or self._flow.reasons)

    def _serve(self) -> bool:  # noqa: C901, PLR0912, PLR0915 - the hot loop: every call saved is 1 % of a request
        """Serve the frames at hand; stop where the transport is full, too much is in flight, or
        others wait. True: it is the client's turn.
        """
        began = looked = monotonic()
        until = began + self._slices.left
        look = 1
        before = self._latency.before(began) if self._latency.watching else None
        count = 0
        interrupted = True
        out, most, dispatcher, reasons = self._out, self._most, self._dispatcher, self._flow.reasons
        table, session, owed, room = dispatcher.table, dispatcher.session, self._owed, dispatcher.room
        try:
            for size, number, tag, buffer, start in self._frames:
                count += 1
                entry = table[number]
                if entry is None or owed or not session.inline:
                    self._dispatch(size, number, tag, buffer, start)
                    table, session, room = dispatcher.table, dispatcher.session, dispatcher.room
                else:
                    fixed, fixed_size, unpack, inline, pack, payload, _row = entry
                    try:
                        if size == fixed_size:  # noqa: SIM108 - the common case first, and readable
                            fields = fixed(buffer, start + 7)  # type: ignore[misc] # there is one if the size is not 0
                        else:
                            fields = unpack(buffer, start + 7, start + size)
                        if inline is None:
                            self._defer(tag, entry, fields)
                        elif payload:
                            frame = pack(tag, *inline(session, *fields))
                            out += frame
                            length = len(frame[1])
                            if length >= JOIN_BELOW and (length >= BYTES_A_WRITE or len(out) >= REPLIES_A_WRITE):
                                self.send()
                        else:
                            out.append(pack(tag, *inline(session, *fields)))
                    except WouldBlock:
                        self._defer(tag, entry, fields)
                    except Exception as error:  # noqa: BLE001 - the one exit: see refusals
                        out.append(refusal(session, tag, number, error))
                if len(out) >= most:
                    self.send()
                if reasons:
                    break
                if len(owed) >= room.granted and not room.grow(len(owed) + 1):
                    self._flow.hold(Reason.IN_FLIGHT)
                    break
                if count >= look:
                    now = monotonic()
                    if now >= until:
                        self._wait_for_slice()
                        break
                    look = count + (STRIDE if now - looked < CHEAP else 1)
                    looked = now
            else:
                interrupted = False
        except BadFrame as error:
            self._bad_frame(error)
        self._end_batch(count, began, before, interrupted)
        return not (owed or reasons)

    def _end_batch(self, count: int, began: float, before: int | None, interrupted: bool) -> None:
        """Send what is ready, with that of other connections if there may be more of it soon, and
        account for what ``count`` requests took since ``began``: for the next batch, the slices of
        others, the observer and the latency guard.
        """
        out = self._out
        if out:
            if self._coalescer.shared and not interrupted and len(out[-1]) < JOIN_BELOW:
                self._coalescer.add(self, began)
            else:
                self.send()
        self._served += count
        self._most = REPLIES_A_WRITE if count <= 2 * REPLIES_A_WRITE else min(count // 2, MAX_A_WRITE)
        now = monotonic()
        self._account(count, now, now - began, before)

    def _account(self, count: int, now: float, elapsed: float, before: int | None) -> None:
        if self._observer is not None:
            self._observer.batch(elapsed)
        if elapsed > COUNTED:
            self._heavy = elapsed > COUNTED * count
            self._slices.used(elapsed)
            if elapsed > LATE and elapsed > LATE_EACH * count:
                self._late(now, before, elapsed)

    def _bad_frame(self, error: BadFrame) -> None:
        log.warning("closing %s: %s", self.peer, error)
        self._finish()

    def _dispatch(self, size: int, number: int, tag: int, buffer: Buffer, start: int) -> None:
        """Serve a frame that may be anything."""
        if self._dispatcher.dispatch(size, number, tag, buffer, start):
            self._start_waiting()
        self._hand_over()

    def _defer(self, tag: int, entry: Entry, fields: tuple[Any, ...]) -> None:
        self._dispatcher.defer(tag, entry, fields)
        self._threads.run(self._done)

    def send(self) -> None:
        """Send the replies that are ready."""
        out = self._out
        if out:
            if self._observer is not None:
                self._observer.replies(self, out)
            deliver(out, self._transport)
            out.clear()

    # -- what waits ----------------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """To threads: requests that are ready, sessions that are over."""
        over = self._dispatcher.over
        while over:
            self._close(over.pop())
        self._threads.run(self._done)

    def _close(self, session: Session) -> None:
        """Close a session: now, or in a thread if that may take long."""
        many = len(session.fids) > AT_ONCE
        if not session.fids or (session.inline and not many and not session.on_slow_storage):
            session.close()
        elif session.inline and not session.threadsafe:
            self._threads.close_here(session, self._ended)
        else:
            self._threads.close(session, self._ended)

    def _done(self, finished: Finished) -> None:
        """Requests came back from their threads."""
        for request, _ in finished:
            request.returned()
        if not sum(self._dispatcher.finish(request, future.result) for request, future in finished):
            return  # they were withdrawn before they began
        self._start_waiting()
        self._hand_over()
        self.send()
        if self._transport is GONE:
            self._ended()
        elif Reason.STOPPING in self._flow.reasons and not self._owed:
            self._finish()
        else:
            self._go_on()

    def _start_waiting(self) -> None:
        """Serve what no longer conflicts with anything before it."""
        dispatcher = self._dispatcher
        began = monotonic()
        until = began + self._slices.left
        for request in dispatcher.requests.free() if dispatcher.requests.waiting else ():
            dispatcher.go_on(request)
            if monotonic() >= until:
                self._wait_for_slice()
                break
        if monotonic() - began > COUNTED:
            self._slices.used(monotonic() - began)

    def _late(self, now: float, before: int | None, lasted: float) -> None:
        late(self._latency, self.session, self.peer, self._observer, now, before, lasted)

    # -- flow ----------------------------------------------------------------------------------------------------------------

    def _wait_for_slice(self) -> None:
        if Reason.SLICE not in self._flow.reasons:
            self._flow.hold(Reason.SLICE)
            self._slices.add(self)

    def next_slice(self) -> None:
        """The other connections have had their turn: serve some more of what was interrupted."""
        self._flow.lift(Reason.SLICE)
        self._start_waiting()
        self._hand_over()
        self.send()
        self._go_on()

    def delay(self) -> None:
        """The next request is to wait, until ``go_on``."""
        self._flow.hold(Reason.THROTTLED)

    def go_on(self) -> None:
        """Its time has come."""
        self._flow.lift(Reason.THROTTLED)
        self._go_on()

    def _go_on(self) -> None:
        """Take up what was interrupted, if no reason is left, and read again at its end."""
        flow = self._flow
        if not flow.paused or flow.reasons - {Reason.IN_FLIGHT}:
            return
        if not self._dispatcher.has_room():
            flow.hold(Reason.IN_FLIGHT)
            return
        flow.lift(Reason.IN_FLIGHT)
        self._serve()
        flow.resume()
