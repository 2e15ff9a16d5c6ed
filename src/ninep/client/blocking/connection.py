"""A connection on a blocking socket: transfers the bytes of an ``Exchange``, waits, enforces
deadlines.

The public methods are those of ``aio.connection``, without ``async``. Threads may share a
connection, one request at a time; for parallel requests use a connection for each thread. If the
deadline of a request passes, or it is interrupted (Ctrl-C), it is flushed and the connection stays
usable. The connection ends when the server closes it, violates the protocol or does not answer a
flush within another deadline.

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
from ninep.transport.connecting import connect
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

    def __init__(self, sock: socket.socket, timeout: float | None = None, peer: str = "") -> None:
        self.exchange = Exchange()
        self.timeout = timeout
        """Maximum seconds for a request, or None."""
        self.peer = peer
        self._socket = sock
        self._lock = threading.RLock()
        self._pending: Callable[[], int] = getattr(sock, "pending", int)
        """How many bytes a socket of TLS has decrypted already, which no selector tells."""
        self._unsent: deque[memoryview] = deque()
        self._flushes: deque[tuple[float, Call]] = deque()
        self._error: ConnectionError | None = None
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

    def call(self, request: Message, answer: type[M], undo: Message | None = None) -> M:
        """Send a request and wait for its reply. An error reply is raised as ``OSError``."""
        return self.finish(self.start(request, undo), answer)

    def start(self, request: Message, undo: Message | None = None) -> Call:
        """Send a request. ``finish`` its call, or ``abandon`` it."""
        with self._lock:
            deadline = self._deadline()
            while self._unsent or len(self.exchange.calls) >= MAX_IN_FLIGHT:
                self._check_open()
                if not self._pump(deadline):
                    raise self._late()
            self._check_open()
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
            self._send()

    def detach(self, request: Message) -> None:
        """Send a request and ignore its reply, even an error."""
        with self._lock:
            if self._error is None:
                self.exchange.request(request)
                self._send()

    def broken(self, why: str) -> ProtocolError:
        """Close the connection after a protocol violation that only a verb can detect. Returns the
        error to raise.
        """
        error = ProtocolError(why)
        self._fail(error)
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
                while self._error is None and self._unsent and self._pump(deadline):
                    pass
            finally:
                self._fail(ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed"))

    # -- inside --------------------------------------------------------------------------------------------------------

    def _deadline(self) -> float | None:
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _wait(self, call: Call) -> None:
        deadline = self._deadline()
        while call.reply is None:
            self._check_open()
            if not self._pump(deadline):
                raise self._late()

    def _late(self) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, f"no answer from the server within {self.timeout:g} s")

    def _check_open(self) -> None:
        if self._error is not None:
            raise type(self._error)(*self._error.args) from self._error

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
        if events & selectors.EVENT_READ and self._error is None:
            self._read()
            while self._error is None and self._pending():
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

    def _fail(self, error: ConnectionError) -> None:
        if self._error is None:
            self._error = error
            self._unsent.clear()
            self._flushes.clear()
            self._selector.close()
            self._socket.close()


def open_connection(address: Address, timeout: float | None = None) -> Connection:
    """Connect to a server. ``OSError`` if that fails; ``TimeoutError`` after ``timeout``
    seconds.
    """
    with named_timeout(timeout):
        sock = connect(address, timeout)
    return Connection(sock, timeout, str(address))
