"""A connection on a blocking socket: transfers the bytes of an ``Exchange``, waits, enforces
deadlines.

The public methods are those of ``aio.connection``, without ``async``. Threads may share a
connection, one request at a time; for parallel requests use a connection for each thread. If the
deadline of a request passes, or it is interrupted (Ctrl-C), it is flushed and the connection stays
usable. The connection ends when the server closes it, violates the protocol or does not answer a
flush within another deadline; with a ``Redial``, whichever thread finds it lost then connects again.

The socket itself never blocks: replies are received while a long message is sent, otherwise two
full buffers would wait for each other.
"""

from __future__ import annotations

import errno
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Final, ParamSpec, TypeAlias, TypeVar

from ninep.client.address import Address
from ninep.client.errors import ProtocolError, named_timeout
from ninep.client.exchange import Call, Exchange, answer_of
from ninep.client.recovery import Attempts, Redial, limit, restore
from ninep.client.state import ServerState
from ninep.transport.connecting import connect
from ninep.transport.sockets import notice_loss
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Message

MAX_IN_FLIGHT: Final = 64
"""Requests outstanding. QEMU accepts 128 from all its clients."""
READ: Final = selectors.EVENT_READ
READ_AND_WRITE: Final = selectors.EVENT_READ | selectors.EVENT_WRITE

M = TypeVar("M", bound=Message)
P = ParamSpec("P")
T = TypeVar("T")

Stream: TypeAlias = Generator[T, None, None]
"""The type of verbs that yield."""
Done: TypeAlias = None
"""What a verb without a result returns."""


class Connection:
    """Requests and replies. Made by ``open_connection`` or ``over_socket``; the verbs of ``Client``
    use it.
    """

    def __init__(
        self, sock: socket.socket, timeout: float | None = None, peer: str = "", redial: Redial | None = None
    ) -> None:
        self.exchange = Exchange(None if redial is None else ServerState())
        self.timeout = timeout
        """Maximum seconds for a request, or None."""
        self.peer = peer
        self._socket = sock
        self._lock = threading.RLock()
        self._pending: Callable[[], int]
        """How many bytes a socket of TLS has decrypted already, which no selector tells."""
        self._unsent: deque[memoryview] = deque()
        self._flushes: deque[tuple[float, Call]] = deque()
        self._error: ConnectionError | None = None
        self._redial: Redial | None = None
        """Set when there is something to come back to; see ``reconnects``."""
        self._wanted = redial
        self._attempts = Attempts()
        self._broken: ConnectionError | None = None
        """Why the connection was lost that is to be replaced, or the one that was to replace it."""
        self._use(sock)

    def _use(self, sock: socket.socket) -> None:
        self._socket = sock
        self._pending = getattr(sock, "pending", int)
        if self._wanted is not None:
            notice_loss(sock)
        sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._waiting_for = READ
        self._selector.register(sock, READ)

    @classmethod
    def over_socket(cls, sock: socket.socket, timeout: float | None = None, peer: str = "") -> Connection:
        """Use a connected stream socket, which the connection closes."""
        return cls(sock, timeout, peer)

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

    def call(self, request: Message, answer: type[M], undo: Message | None = None) -> M:
        """Send a request and wait for its reply. An error reply is raised as ``OSError``."""
        return self.finish(self.start(request, undo), answer)

    def start(self, request: Message, undo: Message | None = None) -> Call:
        """Send a request. ``finish`` its call, or ``abandon`` it."""
        with self._lock:
            deadline = self._deadline()
            while True:
                if self._check_open():
                    deadline = self._deadline()
                if not self._unsent and len(self.exchange.calls) < MAX_IN_FLIGHT:
                    break
                if not self._pump(deadline):
                    raise self._late()
            call = self.exchange.request(request, undo)
            self._send()
            return call

    def finish(self, call: Call, answer: type[M]) -> M:
        """Wait for the reply. ``TimeoutError`` after ``timeout`` seconds; the request is flushed
        then.
        """
        with self._lock:
            try:
                self._wait(call)
            except BaseException:
                self.abandon([call])
                raise
            return answer_of(call, answer)

    def abandon(self, calls: Iterable[Call]) -> None:
        """Discard the replies to these calls: flush requests in flight, undo completed ones."""
        with self._lock:
            if self._error is not None:
                return
            for call in calls:
                flush = self.exchange.abandon(call)
                if flush is not None and self.timeout is not None:
                    self._flushes.append((time.monotonic() + self.timeout, flush))
            if not self.exchange.lost:
                self._send()

    def detach(self, request: Message) -> None:
        """Send a request and ignore its reply, even an error."""
        with self._lock:
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

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function."""
        return function(*args, **kwargs)

    def sleep(self, seconds: float) -> None:
        """Wait some seconds, for polling."""
        time.sleep(seconds)

    def close(self) -> None:
        """Send the queued bytes, as far as possible without waiting for replies, and close."""
        with self._lock:
            deadline = time.monotonic() + 1
            try:
                while self._error is None and not self.exchange.lost and self._unsent and self._pump(deadline):
                    pass
            finally:
                self._end(ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed"))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _wait(self, call: Call) -> None:
        deadline = self._deadline()
        while not call.done:
            if self._check_open():
                deadline = self._deadline()
            elif not self._pump(deadline):
                raise self._late()

    def _late(self) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, f"no answer from the server within {self.timeout:g} s")

    def _check_open(self) -> bool:
        """Raises if the connection has ended. If it was lost, makes another; True then."""
        if self._error is None and self.exchange.lost and self._redial is not None:
            self._reconnect(self._redial)
            return True
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error
        return False

    def _pump(self, deadline: float | None) -> bool:
        """Wait until bytes can be transferred, and transfer them. False if the deadline passed
        first.
        """
        wanted = READ_AND_WRITE if self._unsent else READ
        if wanted != self._waiting_for:
            self._selector.modify(self._socket, wanted)
            self._waiting_for = wanted
        if self._flushes:
            self._check_flushes()
        pause = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._flushes and (pause is None or time.monotonic() + pause > self._flushes[0][0]):
            pause = max(0.0, self._flushes[0][0] - time.monotonic())
        ready = self._selector.select(pause)
        if not ready:
            # woken for an overdue flush, or after the deadline
            return deadline is None or time.monotonic() < deadline
        events = ready[0][1]
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and self._connected:
            self._read()
            while self._connected and self._pending():
                self._read()
        return True

    def _read(self) -> None:
        try:
            count = self._socket.recv_into(self.exchange.room())
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if not count:
            self._lost(None)
            return
        try:
            self.exchange.received(count, [])
        except ProtocolError as error:
            self._fail(error)
            return
        if self.exchange.outgoing:
            self._send()

    def _send(self) -> None:
        """Send the exchange's queued bytes, as many as possible without waiting."""
        self._unsent.extend(map(memoryview, self.exchange.outgoing))
        self.exchange.outgoing.clear()
        self._write()

    def _write(self) -> None:
        unsent = self._unsent
        try:
            while unsent:
                count = self._socket.send(unsent[0])
                if count == len(unsent[0]):
                    unsent.popleft()
                else:
                    unsent[0] = unsent[0][count:]
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)

    def _check_flushes(self) -> None:
        while self._flushes:
            deadline, flush = self._flushes[0]
            if self.exchange.calls.get(flush.tag) is flush:
                if time.monotonic() >= deadline:
                    self._fail(ConnectionAbortedError(errno.ETIMEDOUT, "the server does not answer, not even a flush"))
                    self._check_open()
                return
            self._flushes.popleft()

    def _lost(self, error: OSError | None) -> None:
        reason = f": {error.strerror}" if error is not None else ""
        self._fail(ConnectionResetError(errno.ECONNRESET, f"the server closed the connection{reason}"))

    @property
    def _connected(self) -> bool:
        return self._error is None and self._broken is None

    def _fail(self, error: ConnectionError) -> None:
        """The socket is of no use any more. That ends the connection, unless there is to be another."""
        if not self._connected:
            return
        if self._redial is None or (isinstance(error, ProtocolError) and not self.exchange.lost):
            self._end(error)
            return
        self._broken = error
        self._drop()
        self.exchange.lose()

    def _end(self, error: ConnectionError) -> None:
        if self._error is None:
            self._error = error
            self._drop()

    def _drop(self) -> None:
        self._unsent.clear()
        self._flushes.clear()
        self._selector.close()
        self._socket.close()

    # -- another connection --------------------------------------------------------------------------------------------

    def _reconnect(self, redial: Redial) -> None:
        """Connect again and make the state again (``recovery``). If that fails for too long, the
        connection has ended.
        """
        why: OSError = self._broken or ConnectionResetError(errno.ECONNRESET, "the connection was lost")
        last = why
        redial.lost(why)
        self._error = ConnectionAbortedError(errno.ECONNABORTED, "interrupted while the connection was made again")
        for pause in self._attempts.pauses(redial.seconds, self.exchange.answered, time.monotonic):
            time.sleep(pause)
            try:
                self._attempt(redial)
            except OSError as error:
                last = error
                self._drop()
            else:
                redial.say("connected again")
                return
        self._error = redial.gave_up(why, last)
        self._check_open()

    def _attempt(self, redial: Redial) -> None:
        seconds = limit(self.timeout)
        with named_timeout(seconds):
            self._use(connect(redial.address, seconds))
        self.exchange.restart()
        self._broken, interrupted = None, self._error
        self._error = None
        try:
            self._restore(self.exchange.state or ServerState(), seconds)
        except BaseException:
            self._error = interrupted
            self._drop()
            raise
        self.exchange.resume([])
        self._send()

    def _restore(self, state: ServerState, seconds: float) -> None:
        steps = restore(state, self.dialect, self.msize)
        step = next(steps)
        while True:
            if isinstance(step, float):
                time.sleep(step)
                replies = []
            else:
                replies = self._answers([self.exchange.queue(request) for request in step], seconds)
            try:
                step = steps.send(replies)
            except StopIteration:
                return

    def _answers(self, calls: list[Call], seconds: float) -> list[Message]:
        self._send()
        deadline = time.monotonic() + seconds
        for call in calls:
            while call.reply is None:
                if self._broken is not None:
                    raise self._broken
                if not self._pump(deadline):
                    raise TimeoutError(errno.ETIMEDOUT, f"no answer from the server within {seconds:g} s")
        return [call.reply for call in calls if call.reply is not None]


def open_connection(address: Address, timeout: float | None = None, redial: Redial | None = None) -> Connection:
    """Connect to a server. ``OSError`` if that fails; ``TimeoutError`` after ``timeout``
    seconds.
    """
    with named_timeout(timeout):
        sock = connect(address, timeout)
    return Connection(sock, timeout, str(address), redial)


def wait(seconds: float) -> None:
    """Do nothing for so long."""
    time.sleep(seconds)
