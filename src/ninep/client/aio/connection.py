"""A connection on asyncio: transfers the bytes of an ``Exchange``, wakes waiting tasks, enforces
deadlines.

Any number of tasks may have requests outstanding. If a waiting task is cancelled, or its deadline
passes, its request is flushed; the connection stays usable. The connection ends (and every waiting
task gets an exception with the reason) when the server closes it, violates the protocol, or does
not answer a flush within another deadline; with a ``Redial`` it is then made again, and requests
wait for that.

The verbs use only the public methods; ``blocking.connection`` has the same ones, so that the verbs
are written once.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Final, ParamSpec, TypeAlias, TypeVar, cast

from ninep.client.address import Address
from ninep.client.errors import ProtocolError, named_timeout
from ninep.client.exchange import Call, Exchange, answer_of
from ninep.client.recovery import Attempts, Redial, limit, restore
from ninep.client.state import ServerState
from ninep.transport.connecting import dial
from ninep.transport.sockets import notice_loss
from ninep.transport.tls_reasons import reason
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Message

MAX_IN_FLIGHT: Final = 64
"""Requests outstanding; further ones wait. QEMU accepts 128 from all its clients."""
WRITE_BUFFER: Final = 2 << 20

M = TypeVar("M", bound=Message)
P = ParamSpec("P")
T = TypeVar("T")

Stream: TypeAlias = AsyncGenerator[T, None]
"""The type of verbs that yield."""
Done: TypeAlias = Awaitable[None]
"""What a verb without a result returns."""


class _Wire(asyncio.BufferedProtocol):
    """The protocol object of asyncio, which forwards events to the connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.replaced = False
        """Its transport was given up: what still comes from it is of no interest."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses
        self._connection.made(cast("asyncio.WriteTransport", transport), self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(bytearray(sizehint or 1)) if self.replaced else self._connection.exchange.room()

    def buffer_updated(self, nbytes: int) -> None:
        if not self.replaced:
            self._connection.received(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.replaced:
            self._connection.lost(exc)

    def pause_writing(self) -> None:
        if not self.replaced:
            self._connection.writable.clear()

    def resume_writing(self) -> None:
        if not self.replaced:
            self._connection.writable.set()


class AsyncConnection:
    """Requests and replies. Made by ``open_connection``, ``over_socket`` or ``over_streams``; the
    verbs of ``AsyncClient`` use it.
    """

    def __init__(self, timeout: float | None = None, peer: str = "", redial: Redial | None = None) -> None:
        self.exchange = Exchange(None if redial is None else ServerState())
        self.timeout = timeout
        """Maximum seconds for a request, or None."""
        self.peer = peer
        self.writable = asyncio.Event()
        self.writable.set()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._reading: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._slots: deque[asyncio.Future[None]] = deque()
        self._error: ConnectionError | None = None
        self._wire: _Wire | None = None
        self._redial: Redial | None = None
        """Set when there is something to come back to; see ``reconnects``."""
        self._wanted = redial
        self._attempts = Attempts()
        self._broken: ConnectionError | None = None
        """Why the connection was lost that is to be replaced, or the one that was to replace it."""
        self._back = asyncio.Event()
        """Cleared while the connection is being made again."""
        self._back.set()
        self._times = 0
        """How often it was made again."""
        self._reconnecting: asyncio.Task[None] | None = None

    # -- making one ----------------------------------------------------------------------------------------------------

    @classmethod
    async def over_socket(cls, sock: socket.socket, timeout: float | None = None, peer: str = "") -> AsyncConnection:
        """Use a connected stream socket, which the connection closes."""
        self = cls(timeout, peer)
        await self._loop.create_connection(lambda: _Wire(self), sock=sock)
        return self

    @classmethod
    async def over_streams(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float | None = None, peer: str = ""
    ) -> AsyncConnection:
        """Use a pair of asyncio streams, such as the pipes of a subprocess, which the connection
        closes.
        """
        self = cls(timeout, peer)
        self.made(writer.transport)
        self._reading = asyncio.create_task(self._read(reader, writer))
        return self

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        error: Exception | None = None
        try:
            while data := await reader.read(1 << 16):
                self._after(partial(self.exchange.feed, data))
        except OSError as raised:
            error = raised
        writer.close()
        self.lost(error)

    # -- requests ------------------------------------------------------------------------------------------------------

    @property
    def dialect(self) -> Dialect:
        """The negotiated dialect; ``Dialect.UNKNOWN`` before."""
        return self.exchange.dialect

    @property
    def msize(self) -> int:
        """The size of the largest message, in bytes."""
        return self.exchange.msize

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._error is not None

    def reconnects(self) -> None:
        """From now on a lost connection is made again, if that was asked for."""
        self._redial = self._wanted

    async def call(self, request: Message, answer: type[M], undo: Message | None = None) -> M:
        """Send a request and wait for its reply. An error reply is raised as ``OSError``."""
        return await self.finish(await self.start(request, undo), answer)

    async def start(self, request: Message, undo: Message | None = None) -> Call:
        """Send a request. ``finish`` its call, or ``abandon`` it."""
        while True:
            self._check_open()
            if not self._back.is_set():
                await self._back.wait()
            elif not self.writable.is_set():
                await self.writable.wait()
            elif len(self.exchange.calls) >= MAX_IN_FLIGHT:
                slot: asyncio.Future[None] = self._loop.create_future()
                self._slots.append(slot)
                await slot
            else:
                break
        call = self.exchange.request(request, undo)
        call.wait_by(self._loop.create_future())
        if call.done:
            call.waiter.set_result(None)
        self._send()
        return call

    async def finish(self, call: Call, answer: type[M]) -> M:
        """Wait for the reply. ``TimeoutError`` after ``timeout`` seconds; the request is flushed
        then.
        """
        while not call.waiter.done():
            times = self._times
            try:
                async with asyncio.timeout(self.timeout):
                    await call.waiter
            except TimeoutError:
                if not call.done and (times != self._times or not self._back.is_set()):
                    call.wait_by(self._loop.create_future())  # the time without a connection does not count
                    continue
                self.abandon([call])
                raise TimeoutError(errno.ETIMEDOUT, f"no answer from the server within {self.timeout:g} s") from None
            except asyncio.CancelledError:
                self.abandon([call])
                raise
        if not call.done:
            self._check_open()
        return answer_of(call, answer)

    def abandon(self, calls: Iterable[Call]) -> None:
        """Discard the replies to these calls: flush requests in flight, undo completed ones."""
        if self._error is not None:
            return
        for call in calls:
            flush = self.exchange.abandon(call)
            if flush is not None and self.timeout is not None:
                self._loop.call_later(self.timeout, self._check_flushed, flush)
        if not self.exchange.lost:
            self._send()

    def detach(self, request: Message) -> None:
        """Send a request and ignore its reply, even an error."""
        if self.exchange.lost:
            self.exchange.later(request)
        elif self._error is None:
            self.exchange.request(request)
            self._send()

    def broken(self, why: str) -> ProtocolError:
        """Close the connection after a protocol violation that only a verb can detect. Returns the
        error to raise.
        """
        error = ProtocolError(why)
        self._end(error)
        return error

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function (on local files) in a thread, without delaying other tasks."""
        return await asyncio.to_thread(function, *args, **kwargs)

    async def sleep(self, seconds: float) -> None:
        """Wait some seconds, for polling."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """Send the queued bytes and close. Waiting tasks get a ``ConnectionError``."""
        if self._error is None:
            self._error = ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed")
            if self._transport is not None:
                self._transport.close()
            self._wake_all()
        if self._reconnecting is not None and not self._reconnecting.done():
            self._reconnecting.cancel()
            self._gone.set()
        if self._reading is not None:
            self._reading.cancel()
        if self._reading is not None or self._transport is None:
            self._gone.set()
        await self._gone.wait()

    # -- called by the socket ------------------------------------------------------------------------------------------

    def made(self, transport: asyncio.WriteTransport, wire: _Wire | None = None) -> None:
        """The transport is connected."""
        self._transport = transport
        self._wire = wire
        if self._wanted is not None:
            notice_loss(transport.get_extra_info("socket"))
        transport.set_write_buffer_limits(WRITE_BUFFER)

    def received(self, count: int) -> None:
        """``count`` bytes are in the exchange's buffer."""
        self._after(partial(self.exchange.received, count))

    def lost(self, error: Exception | None) -> None:
        """The transport is closed."""
        if self._redial is None or self._error is not None:
            self._gone.set()
        if self._error is None:
            why = f": TLS: {reason(error)}" if isinstance(error, ssl.SSLError) else f": {error}" if error else ""
            self._fail(ConnectionResetError(errno.ECONNRESET, f"the server closed the connection{why}"))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _after(self, take: Callable[[list[Call]], None]) -> None:
        if self._error is not None:
            return
        done: list[Call] = []
        try:
            take(done)
        except ProtocolError as error:
            self._fail(error)
        _wake(done)
        if self.exchange.outgoing and self._error is None:
            self._send()
        if self._slots and len(self.exchange.calls) < MAX_IN_FLIGHT:
            self._wake_slots()

    def _send(self) -> None:
        buffers = self.exchange.take_outgoing()
        if self._transport is not None:
            for buffer in buffers:
                self._transport.write(buffer)

    def _check_open(self) -> None:
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error

    def _check_flushed(self, flush: Call) -> None:
        if self.exchange.calls.get(flush.tag) is flush:
            self._fail(ConnectionAbortedError(errno.ETIMEDOUT, "the server does not answer, not even a flush"))

    def _fail(self, error: ConnectionError) -> None:
        """The transport is of no use any more. That ends the connection, unless there is to be
        another.
        """
        if self._error is not None or self._broken is not None:
            return
        if self._redial is None or (isinstance(error, ProtocolError) and not self.exchange.lost):
            self._end(error)
            return
        self._broken = error
        self._drop()
        if self.exchange.lost:
            _wake(self.exchange.calls.values())  # those of the recovery, which fails
        else:
            self.exchange.lose()
            self._back.clear()
            self._reconnecting = self._loop.create_task(self._reconnect(self._redial, error))

    def _end(self, error: ConnectionError) -> None:
        if self._error is None:
            self._error = error
            if self._transport is not None:
                self._transport.abort()
            self._wake_all()

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.replaced = True
        if self._transport is not None:
            self._transport.abort()
        self._transport = self._wire = None

    # -- another connection --------------------------------------------------------------------------------------------

    async def _reconnect(self, redial: Redial, why: ConnectionError) -> None:
        """Connect again and make the state again (``recovery``). If that fails for too long, the
        connection has ended.
        """
        last: OSError = why
        redial.lost(why)
        try:
            for pause in self._attempts.pauses(redial.seconds, self.exchange.answered, self._loop.time):
                await asyncio.sleep(pause)
                try:
                    await self._attempt(redial)
                except OSError as error:
                    last = error
                    self._drop()
                else:
                    redial.say("connected again")
                    return
        finally:
            if not self._back.is_set():
                self._gone.set()
                self._end(redial.gave_up(why, last))

    async def _attempt(self, redial: Redial) -> None:
        seconds = limit(self.timeout)
        self.exchange.restart()
        self._broken = None
        self.writable.set()
        with named_timeout(seconds):
            async with asyncio.timeout(seconds):
                await dial(self._loop, lambda: _Wire(self), redial.address, seconds)
        await self._restore(self.exchange.state or ServerState(), seconds)
        done: list[Call] = []
        self.exchange.resume(done)
        self._times += 1
        self._back.set()
        self._send()
        _wake(done)
        self._wake_slots()

    async def _restore(self, state: ServerState, seconds: float) -> None:
        steps = restore(state, self.dialect, self.msize)
        step = next(steps)
        while True:
            if isinstance(step, float):
                await asyncio.sleep(step)
                replies = []
            else:
                replies = await self._answers([self.exchange.queue(request) for request in step], seconds)
            try:
                step = steps.send(replies)
            except StopIteration:
                return

    async def _answers(self, calls: list[Call], seconds: float) -> list[Message]:
        for call in calls:
            call.wait_by(self._loop.create_future())
        self._send()
        with named_timeout(seconds):
            async with asyncio.timeout(seconds):
                for call in calls:
                    if self._broken is None:
                        await call.waiter
        if self._broken is not None:
            raise self._broken
        return [call.reply for call in calls if call.reply is not None]

    # -- waiting tasks -------------------------------------------------------------------------------------------------

    def _wake_all(self) -> None:
        _wake(self.exchange.calls.values())
        _wake(self.exchange.interrupted)
        self._back.set()
        self.writable.set()
        self._wake_slots()

    def _wake_slots(self) -> None:
        while self._slots:
            slot = self._slots.popleft()
            if not slot.done():
                slot.set_result(None)


def _wake(calls: Iterable[Call]) -> None:
    """The tasks that wait for these calls."""
    for call in calls:
        if call.waiter is not None and not call.waiter.done():
            call.waiter.set_result(None)


async def open_connection(
    address: Address, timeout: float | None = None, redial: Redial | None = None
) -> AsyncConnection:
    """Connect to a server. ``OSError`` if that fails; ``TimeoutError`` after ``timeout``
    seconds.
    """
    connection = AsyncConnection(timeout, str(address), redial)
    loop = asyncio.get_running_loop()
    with named_timeout(timeout):
        async with asyncio.timeout(timeout):
            await dial(loop, lambda: _Wire(connection), address, timeout)
    return connection


async def wait(seconds: float) -> None:
    """Do nothing for so long."""
    await asyncio.sleep(seconds)
