"""One connection: bytes in, requests served, replies out. The request loop.

What happens to a request

1. a frame comes out of ``protocol.framing``; Tversion and Tflush are dealt with here, all others have a row in ``table``;
2. its fields are unpacked and its handler called, at once, in the event loop: handing a 1 us system call to a thread costs 10 to 50;
3. unless it has to wait (its row says so, the device does, or the driver is slow): then a worker thread serves it, which has its fids meanwhile;
   later requests pass it by, and those that conflict over one of its fids wait in order;
4. replies are collected and sent after every few: one write a reply wastes system calls and wakes the client each time, one write for a long
   batch leaves the client's core idle (63 % busy at sixteen outstanding). Those of several connections leave together (``write_coalescer``).

Every failure becomes an error reply at one place, ``refusals``. When the transport is full, too much is in flight, or others have waited long
enough (``slices``), the loop stops in the middle of a batch, and nothing more is read until it has gone on and come to its end.

Knows nothing of sockets: a transport gives it bytes and has ``write``, ``pause`` and ``resume``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import WouldBlock
from ninep.protocol.framing import BadFrame, RawFrame, Receiver
from ninep.protocol.tags import Tags
from ninep.server.budgets import PROMISED_REQUESTS, Allowance, Budgets
from ninep.server.exports import Exports
from ninep.server.flow import Flow
from ninep.server.latency_guard import LATE, LATE_EACH, LatencyGuard
from ninep.server.limits import MIN_MSIZE, SMALLEST_MSIZE, Limits
from ninep.server.offload import Workers
from ninep.server.refusals import refusal
from ninep.server.requests import Request, Requests
from ninep.server.session import Session
from ninep.server.slices import CHEAP, COUNTED, STRIDE, Slices
from ninep.server.table import TABLES, Entry
from ninep.server.threads import AT_ONCE, Threads
from ninep.server.transport import GONE, Transport
from ninep.server.write_coalescer import BYTES_A_WRITE, JOIN_BELOW, MOST_A_WRITE, REPLIES_A_WRITE, WriteCoalescer
from ninep.transport.peers import Peer
from ninep.wire.codec import HEADER_SIZE, codec
from ninep.wire.dialect import Dialect, negotiate
from ninep.wire.messages import Rflush, Rversion, Tflush, Tversion
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.server")


class Connection(Flow):
    """The server's side of one connection."""

    def __init__(
        self,
        transport: Transport,
        exports: Exports,
        limits: Limits,
        workers: Workers,
        on_begin: Callable[[Connection], None],
        on_end: Callable[[Connection], None],
        budgets: Budgets | None = None,
        coalescer: WriteCoalescer | None = None,
        slices: Slices | None = None,
        alone: Callable[[], bool] = bool,
    ) -> None:
        """``coalescer`` and ``slices`` are what it shares with the other connections of its loop; ``alone`` says whether there is nothing else to
        do in that loop at the moment (``transport.busy_poll``).
        """
        super().__init__(transport, slices or Slices())
        self.alone = alone
        self._coalescer = coalescer or WriteCoalescer()
        self._budgets = budgets or Budgets(limits)
        self._on_begin = on_begin
        self._on_end = on_end
        self._exports = exports
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._receiver = Receiver(limits.msize)
        self.space = self._receiver.space
        """Where the transport puts the next bytes."""
        self._frames: Iterator[RawFrame] = iter(())
        self._tags = Tags()
        self._owed = self._tags.owed
        self._requests = Requests()
        self._threads = Threads(workers, limits.threads, self._requests)
        self._served = self._drained = 0
        self._latency = LatencyGuard()
        self._room = self._room_for(limits.msize)
        """How many requests may be in flight at the moment."""
        self._begin(Dialect.UNKNOWN, limits.msize)

    @property
    def negotiated(self) -> bool:
        """A version was agreed on."""
        return self.session.dialect is not Dialect.UNKNOWN

    @property
    def attached(self) -> bool:
        """A Tattach succeeded since the last version."""
        return self.session.attached

    @property
    def progress(self) -> tuple[int, int] | None:
        """Changes whenever a whole request arrived or a reply was taken; None while a request is in flight."""
        return None if self._tags else (self._served, self._drained)

    # -- the transport's calls -------------------------------------------------------------------------------------------

    def made(self, peer: Peer) -> None:
        """The transport is ready; ``peer`` is its word for the other side."""
        self.peer = self.session.peer = peer
        self._on_begin(self)

    def received(self, count: int) -> bool:
        """``count`` bytes were put there. True: nothing is in flight now, and more may come."""
        frame = self._receiver.lone(count)
        if frame is None or self._owed or self._out or not self.session.inline:
            return self._batch(count)
        entry = self._table[frame[4]]
        return self._batch(count) if entry is None else self._serve_lone(entry, count, frame)

    def data(self, data: Buffer) -> None:
        """Bytes of a transport that brings its own buffers."""
        self._frames = self._receiver.feed(data)
        self._serve()

    def drained(self) -> None:
        """There is room for replies again."""
        self._full = False
        self._drained += 1
        self._go_on()

    def eof(self) -> bool:
        """The client sends no more. True: it is still owed replies, the connection closes when they are sent."""
        self.send()
        self._stopping = True
        return bool(self._tags)

    def lost(self) -> None:
        """The connection is gone: the replies are dropped. What runs in threads ends by itself, and the session with it."""
        self._lost = True
        self._frames = iter(())
        self._transport = GONE  # it knows us: see _done
        self._abandon()
        self._ended()

    def stop(self) -> None:
        """Take no more requests, answer what is in flight, then close."""
        self._stopping = True
        self._pause()
        if not self._tags:
            self._finish()

    def abort(self) -> None:
        """Close at once, whatever is owed; threads that hang are left to themselves."""
        self._requests.running.clear()
        self._transport.abort()

    def _ended(self) -> None:
        if self._lost and not self._threads.busy:
            self._room.end()
            self._on_end(self)

    # -- the request loop ------------------------------------------------------------------------------------------------

    def _serve_lone(self, entry: Entry, size: int, frame: bytes) -> bool:  # noqa: C901 - as _serve
        """As ``_serve``, for a small request that came alone while nothing is in flight, as they do from a client that waits for each reply:
        0.3 of the 4.3 us between receiving and sending less.
        """
        began = monotonic()
        before = self._latency.before(began) if self._latency.watching else None
        session, out = self.session, self._out
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
        if self._full:
            self._pause()
        self._served += 1
        elapsed = monotonic() - began
        if elapsed > COUNTED:
            self._slices.used(elapsed)
            if elapsed > LATE:
                self._late(began + elapsed, before, elapsed)
        return not (self._owed or self._paused or self._stopping)

    def _batch(self, count: int) -> bool:
        """Serve all that came."""
        self._frames = self._receiver.received(count)
        return self._serve()

    def _serve(self) -> bool:  # noqa: C901, PLR0912, PLR0915 - the hot loop: every call saved is 1 % of a request
        """Serve the frames at hand; stop where the transport is full, too much is in flight, or others wait. True: it is the client's turn."""
        began = looked = monotonic()
        until = began + self._slices.left
        look = 1
        before = self._latency.before(began) if self._latency.watching else None
        count = 0
        interrupted = False
        out, most = self._out, self._most
        table, session, owed, room = self._table, self.session, self._tags.owed, self._room
        try:
            for size, number, tag, buffer, start in self._frames:
                count += 1
                entry = table[number]
                if entry is None or owed or not session.inline:
                    self._one(size, number, tag, buffer, start)
                    table, session, room = self._table, self.session, self._room
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
                if self._full or (len(owed) >= room.granted and not room.grow(len(owed) + 1)):
                    interrupted = True
                    break
                if count >= look:
                    now = monotonic()
                    if now >= until:
                        interrupted = True
                        self._queue()
                        break
                    look = count + (STRIDE if now - looked < CHEAP else 1)
                    looked = now
        except BadFrame as error:
            self._bad_frame(error)
        if out:
            if self._coalescer.shared and not interrupted and len(out[-1]) < JOIN_BELOW:
                self._coalescer.add(self, began)
            else:
                self.send()
        if interrupted:
            self._pause()
        self._served += count
        self._most = REPLIES_A_WRITE if count <= 2 * REPLIES_A_WRITE else min(count // 2, MOST_A_WRITE)
        elapsed = monotonic() - began
        if elapsed > COUNTED:
            self._slices.used(elapsed)
            if elapsed > LATE and elapsed > LATE_EACH * count:
                self._late(began + elapsed, before, elapsed)
        return not (owed or self._paused or self._full or self._stopping)

    def _one(self, size: int, number: int, tag: int, buffer: Buffer, start: int) -> None:
        """A request off the fast path: Tversion, Tflush, an unknown type, or one that others in flight may stand in the way of."""
        end = start + size
        start += HEADER_SIZE
        session = self.session
        try:
            if number == Tversion.number:
                self._version(tag, *session.dialect.codec.table[number].unpack(buffer, start, end))
            elif number == Tflush.number:
                self._flush(tag, *session.dialect.codec.table[number].unpack(buffer, start, end))
            else:
                entry = self._entry(number, tag)
                self._in_order(Request(tag, entry, entry.unpack(buffer, start, end), session))
        except Exception as error:  # noqa: BLE001 - the one exit: see refusals
            self._out.append(refusal(session, tag, number, error))

    def _entry(self, number: int, tag: int) -> Entry:
        entry = self._table[number]
        if self.session.dialect is Dialect.UNKNOWN:
            raise Refused(Errno.EPROTO, "a session begins with Tversion")
        if entry is None:
            raise Refused(Errno.EOPNOTSUPP, f"message type {number} in {self.session.dialect.value.decode()}")
        if tag in self._tags:
            raise Refused(Errno.EINVAL, f"tag {tag} is in flight")
        return entry

    def _in_order(self, request: Request) -> None:
        """Serve a request while others are in flight, or for a slow driver: now, in a thread, or when its fids are free."""
        if self._requests.conflicts(request):
            self._enter(request)
            self._requests.wait(request)
        elif not self._at_once(request):
            self._enter(request)
            self._threads.start(request, self._done)

    def _at_once(self, request: Request) -> bool:
        """Serve in the event loop, if that is possible."""
        inline = request.entry.inline
        if inline is None or not request.session.inline:
            return False
        try:
            reply = inline(request.session, *request.fields)
        except WouldBlock:
            return False
        self._answer(request.tag, request.entry, reply)
        return True

    def _answer(self, tag: int, entry: Entry, reply: tuple[Any, ...]) -> None:
        frame = entry.pack(tag, *reply)
        if entry.payload:
            self._out += frame
        else:
            self._out.append(frame)

    # -- version, flush ----------------------------------------------------------------------------------------------------

    def _version(self, tag: int, msize: int, version: bytes) -> None:
        """Begin a session. Whatever was in flight is forgotten, all fids are gone, before the string is even looked at."""
        self._abandon()
        dialect = negotiate(version)
        known = dialect is not Dialect.UNKNOWN
        agreed = min(msize, self._limits.msize)
        too_small = known and agreed < SMALLEST_MSIZE
        self._begin(dialect, agreed if known and not too_small else self._limits.msize)
        if too_small:
            why = Refused(Errno.EMSGSIZE, f"msize {msize}; at least {SMALLEST_MSIZE} is needed")
            self._out.append(refusal(self.session, tag, Tversion.number, why))  # in the words of the dialect
            self._begin(Dialect.UNKNOWN, self._limits.msize)
            return
        if known and agreed <= 8192:
            log.warning("%s asked for msize %d: large files will be slow; mount with msize=1048576", self.peer, agreed)
        pack = codec(extended=False).table[Rversion.number].pack
        self._out.append(pack(tag, agreed if known else msize, dialect.value))  # type: ignore[arg-type]

    def _begin(self, dialect: Dialect, msize: int) -> None:
        self.session = Session(self._exports, self._limits, dialect, msize, self.peer, self._budgets)
        self._requests.begin(self.session)
        self._table = TABLES[dialect]
        self._receiver.msize = msize
        self._room.end()
        self._room = self._room_for(max(msize, MIN_MSIZE))
        self._flush_reply = dialect.codec.table[Rflush.number].pack

    def _room_for(self, msize: int) -> Allowance:
        """Each request in flight counts as a whole message. Two are always possible: one that waits must not keep out the Tflush for it."""
        most = max(PROMISED_REQUESTS, min(self._limits.in_flight, self._limits.bytes_in_flight // msize))
        return Allowance(self._budgets.bytes_in_flight, PROMISED_REQUESTS, most, 8, self._in_use, unit=msize)

    def _in_use(self) -> int:
        """Replies that the client does not take stay in memory: until it does, no other connection gets what it was granted."""
        return self._room.granted if self._full else len(self._tags)

    def _abandon(self) -> None:
        """The session is over: nothing that is in flight will be answered, what has not begun will not be done."""
        self._tags.abandon()
        for request in list(self._requests.running):
            self._threads.withdraw(request)
        self._requests.begin(None)
        self._end(self.session)

    def _end(self, session: Session) -> None:
        """Close a session, now or when the last of its requests comes back from its thread; in a thread if that may take long."""
        if self._requests.of(session):
            return
        many = len(session.fids) > AT_ONCE
        if not session.fids or (session.inline and not many and not session.on_slow_storage):
            session.close()
        elif session.inline and not session.threadsafe:
            self._threads.close_here(session, self._ended)
        else:
            self._threads.close(session, self._ended)

    def _flush(self, tag: int, oldtag: int) -> None:
        if tag in self._tags:
            raise Refused(Errno.EINVAL, f"tag {tag} is in flight")
        old = self._tags.get(oldtag)
        if isinstance(old, Request) and self._threads.withdraw(old):
            # Not begun: it gets no reply. Tflush requests that waited for it are answered, and what it stood in the way of goes on.
            self._settle(old)
            self._out.append(self._flush_reply(tag))  # type: ignore[arg-type]
            self._start_waiting()
        elif self._tags.flush(tag, oldtag):
            self._out.append(self._flush_reply(tag))  # type: ignore[arg-type]

    # -- worker threads ----------------------------------------------------------------------------------------------------

    def _late(self, now: float, before: int | None, lasted: float) -> None:
        session = self.session
        if session.inline and session.threadsafe and (duration := self._latency.late(now, before, lasted)):
            log.info("storage answers slowly: serving %s from worker threads for %g s", self.peer, duration)
            session.inline = False
            self._loop.call_later(duration, session.inline_again)

    def _defer(self, tag: int, entry: Entry, fields: Sequence[Any]) -> None:
        request = Request(tag, entry, fields, self.session)
        self._enter(request)
        self._threads.start(request, self._done)

    def _enter(self, request: Request) -> None:
        self._tags.enter(request)
        if isinstance(request.fields[-1], memoryview):
            self._receiver.keep()

    def _done(self, request: Request, future: Future[tuple[Any, ...]]) -> None:
        request.future = (
            None  # which knows this request: a reference cycle that would keep what was read until the collector comes
        )
        if not self._requests.leave(request):
            return  # withdrawn before it began
        if request.abandoned:
            self._end(request.session)
        else:
            self._reply(request, future.result)
        self._start_waiting()
        self.send()
        if self._lost:
            self._ended()
        elif self._stopping and not self._tags:
            self._finish()
        else:
            self._go_on()

    def _reply(self, request: Request, result: Callable[[], tuple[Any, ...]]) -> None:
        """Answer a request that was in flight, and the Tflush requests that waited for it."""
        try:
            self._answer(request.tag, request.entry, result())
        except Exception as error:  # noqa: BLE001 - the one exit: see refusals
            self._out.append(refusal(request.session, request.tag, request.entry.row.message.number, error))
            error.__traceback__ = (
                None  # it leads to the future, which has the error: a reference cycle, with handles in it
            )
        self._settle(request)

    def _settle(self, request: Request) -> None:
        for waiting in self._tags.leave(request):
            self._out.append(self._flush_reply(waiting))  # type: ignore[arg-type]

    def _start_waiting(self) -> None:
        """Serve what no longer clashes with anything before it: at once where that is allowed, as if it came now."""
        requests = self._requests
        began = monotonic()
        until = began + self._slices.left
        for request in requests.free() if requests.waiting else ():
            try:
                served = self._at_once(request)
            except Exception as error:  # noqa: BLE001 - the one exit: see refusals
                self._out.append(refusal(request.session, request.tag, request.entry.row.message.number, error))
                served = True
            if served:
                requests.leave(request)
                self._settle(request)
            else:
                requests.hold(request)
            if monotonic() >= until:
                self._queue()
                break
        if monotonic() - began > COUNTED:
            self._slices.used(monotonic() - began)
        self._threads.run(self._done)

    # -- flow ----------------------------------------------------------------------------------------------------------------

    def _serve_interrupted(self) -> None:
        self._start_waiting()
        self.send()
        self._go_on()

    def _go_on(self) -> None:
        """Take up a batch that was interrupted."""
        if not self._paused or self._full or self._stopping or self._queued:
            return
        count = len(self._tags)
        if count >= self._room.granted and not self._room.grow(count + 1):
            return
        self._paused = False
        self._serve()
        if not self._paused:
            self._transport.resume()
