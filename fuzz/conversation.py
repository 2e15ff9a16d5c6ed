"""One connection of a whole server, controlled by an input, and a check of every reply on it.

Nothing here waits or runs concurrently: the event loop, the threads and the client's reads run when
the input says so, so that a finding is reproducible. The transport is a list of bytes.

The only legal outcomes of any conversation:

* each request is answered once, unless it was flushed, or a version or the end of the connection
  came before; nothing else is answered;
* every reply is one that a kernel may receive (``tests.support.judge``); malformed requests,
  requests that are not in the dialect, and those with a tag in flight are answered with an error;
* the server closes the connection if and only if a size is below 7 or above msize;
* no traceback and no error is logged;
* when the connection has ended, everything was released: fids, budgets, locks, threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from tests.support.judge import RERROR, RLERROR, Judge, parse

from fuzz.decoder import in_full, reads
from fuzz.frames import WORD, WORDS, cut
from ninep.server.budgets import Budgets
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.exports import Exports
from ninep.server.limits import MIN_MSIZE, Limits
from ninep.server.slices import Slices
from ninep.server.table import TABLES
from ninep.transport.peers import Peer
from ninep.wire.dialect import Dialect, negotiate
from ninep.wire.messages import Rflush, Tflush, Tversion

LIMITS = Limits(
    msize=65536, fids=40, open_files=12, directories=4, locks=20, in_flight=8, threads=3, xattr_bytes=1 << 17
)  # small enough for a conversation to exceed them
PEER = Peer("somebody")
ENOUGH = 100
"""Maximum number of times that a conversation runs threads until the server reads again; more than
the number of frames."""


class ManualLoop:
    """An event loop that runs on request."""

    def __init__(self) -> None:
        self.calls: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()

    def call_soon_threadsafe(self, call: Callable[..., object], *args: Any) -> None:
        """Called from a thread."""
        self.calls.append((call, args))

    call_soon = call_soon_threadsafe

    def turn(self) -> None:
        """Run all scheduled callbacks."""
        while self.calls:
            call, args = self.calls.popleft()
            call(*args)


@contextmanager
def running(loop: ManualLoop) -> Iterator[None]:
    """``asyncio.get_running_loop()`` is this one, for the length of a block."""
    asyncio._set_running_loop(loop)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        asyncio._set_running_loop(None)  # type: ignore[attr-defined]


class ManualThreads:
    """Worker threads that run on request."""

    def __init__(self) -> None:
        self.jobs: deque[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = deque()

    def submit(self, storage: object, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Queue a call, for any storage."""
        del storage
        future: Future[Any] = Future()
        self.jobs.append((future, fn, args))
        return future

    def run(self, *, newest: bool = False) -> None:
        """Run one call."""
        if not self.jobs:
            return
        future, function, args = self.jobs.pop() if newest else self.jobs.popleft()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(function(*args))
            except Exception as error:  # noqa: BLE001 - as in a pool of threads
                future.set_exception(error)
                # this frame is in the error's traceback: a reference cycle would keep handles open
                del future, function, args


class Line:
    """The transport: passes the server's output to the checker at once."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self.received = received
        self.paused = False
        self.closed = False

    def write(self, buffer: Any) -> None:
        self.received(bytes(buffer))

    def write_all(self, buffers: Sequence[Any]) -> None:
        self.received(b"".join(buffers))

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    abort = close


class Log(logging.Handler):
    """Collects log records that are findings."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        assert text.isprintable(), f"a line of the log with {text!r}"
        if record.levelno >= logging.ERROR or record.exc_info:
            self.found.append(f"{text} {record.exc_info and record.exc_info[1]!r}")


LOG = Log()


def listen() -> None:
    """Collect log records, until ``finish``."""
    log = logging.getLogger("ninep")
    log.addHandler(LOG)
    log.setLevel(logging.INFO)
    log.propagate = False


def finish() -> None:
    """Restore the log."""
    log = logging.getLogger("ninep")
    log.removeHandler(LOG)
    log.setLevel(logging.NOTSET)
    log.propagate = True


class ReplyChecker:
    """Checks all frames of a connection."""

    def __init__(self, secret: bytes = b"") -> None:
        self.judge = Judge()
        self.judge.msize = LIMITS.msize
        self.refused: Counter[int] = Counter()
        """By tag: errors to be sent for frames that are not requests."""
        self._secret = secret
        self._count = 0
        self._since: dict[int, int] = {}
        """By tag: the number of the request that used it last."""

    @property
    def owed(self) -> bool:
        """Whether any reply is outstanding."""
        return bool(self.judge.pending) or self.refused.total() > 0

    def sent(self, frame: bytes) -> None:
        """A frame was sent to the server."""
        judge = self.judge
        number, tag = frame[4], frame[5] | frame[6] << 8
        self._count += 1
        if not self._is_request(number) or not reads(frame, extended=judge.extended):
            self.refused[tag] += 1
        elif number == Tversion.number:
            self.refused.clear()
            judge.sent(frame)
        elif tag in judge.pending:
            self.refused[tag] += 1
        else:
            judge.sent(in_full(frame, extended=judge.extended))
            self._since[tag] = self._count

    def _is_request(self, number: int) -> bool:
        return number in {Tversion.number, Tflush.number} or TABLES[Dialect(self.judge.dialect)][number] is not None

    def received(self, data: bytes) -> None:
        """The server sent bytes."""
        assert not self._secret or self._secret not in data, "a byte of what is beside the export"
        for frame in cut(data):
            self._frame(frame)

    def _frame(self, frame: bytes) -> None:
        judge = self.judge
        number, tag = frame[4], frame[5] | frame[6] << 8
        if number in {RERROR, RLERROR} and self.refused[tag]:
            self.refused[tag] -= 1
            expected = RLERROR if judge.dialect == b"9P2000.L" else RERROR
            assert number == expected, f"an error of type {number} in {judge.dialect!r}"
            judge._error(parse(frame, judge.extended)[2])
        elif judge.pending.get(tag, (0,))[0] == Tversion.number and number != Tversion.number + 1:
            self._no_version(frame, tag)
        else:
            later = self._not_flushed(tag) if number == Rflush.number else {}
            judge.received(frame)
            judge.pending |= later
            if judge.dialect == b"unknown":
                judge.msize = LIMITS.msize  # whatever the client requested: there is no session

    def _not_flushed(self, tag: int) -> dict[int, Any]:
        """The requests with the tag of a Tflush that were sent after it: they need a reply."""
        old = self.judge.pending.get(tag, (0, {"oldtag": -1}))[1].get("oldtag", -1)
        later = old in self.judge.pending and self._since[old] > self._since[tag]
        return {old: self.judge.pending[old]} if later else {}

    def _no_version(self, frame: bytes, tag: int) -> None:
        """An msize that is too small is refused with the errors of the requested dialect."""
        _, request = self.judge.pending.pop(tag)
        assert request["msize"] < MIN_MSIZE, f"a version was refused: {request}; the log: {LOG.found}"
        dialect = negotiate(request["version"])
        assert frame[4] == (RLERROR if dialect is Dialect.LINUX else RERROR)
        self.judge.dialect = dialect.value
        self.judge._error(parse(frame, dialect.encoding.unix_fields)[2])
        self.judge.dialect, self.judge.msize = b"unknown", LIMITS.msize


class Conversation:
    """One connection, from its first byte to its end."""

    def __init__(
        self,
        exports: Exports,
        budgets: Budgets,
        secret: bytes = b"",
        fail: Callable[[int], object] = lambda _: None,
    ) -> None:
        """``fail`` is called with a number when a call to the driver or the host is to fail."""
        self.exports = exports
        self._fail = fail
        self.checker = ReplyChecker(secret)
        self.line = Line(self.checker.received)
        self.turns = ManualLoop()
        self.threads = ManualThreads()
        self.ends = 0
        self._budgets = budgets
        self._glued = b""
        self._gluing = False
        self._full = False
        self._must_close = False
        LOG.found.clear()
        context = Context(exports=exports, workers=self.threads, budgets=budgets, slices=Slices(float("inf")))
        with running(self.turns):
            self.connection = Connection(self.line, context=context, on_begin=lambda _: None, on_end=self._on_end)
        self.connection._late = lambda *_: None  # type: ignore[method-assign] # the machine's pace is no part of the input

    def _on_end(self, _: Connection) -> None:
        self.ends += 1

    def run(self, data: bytes) -> None:
        """Send everything, and end."""
        with running(self.turns):
            self.connection.made(PEER)
            if not self._hung_up(cut(data)):
                self._settle()
            self._end()

    def _hung_up(self, pieces: list[bytes]) -> bool:
        """Perform the pieces. Returns true if the client does not wait for outstanding replies."""
        for piece in pieces:
            if self.line.closed:
                break
            if len(piece) < 7 or piece[4] != WORD or int.from_bytes(piece[:4], "little") != len(piece):
                self._say(piece)
            elif WORDS[piece[5] % len(WORDS)] == "hang up":
                return True
            else:
                self._do(WORDS[piece[5] % len(WORDS)], piece[6])
        return False

    # -- commands

    def _do(self, word: str, number: int) -> None:
        match word:
            case "run oldest" | "run newest":
                self.threads.run(newest=word == "run newest")
            case "run all":
                self._run_all()
            case "turn":
                self.turns.turn()
            case "full" if not self._full:
                self._full = True
                self.connection.full()
            case "drained":
                self._drained()
            case "glue":
                self._deliver()
                self._gluing = not self._gluing
            case "fail":
                self._fail(number)

    def _drained(self) -> None:
        if self._full:
            self._full = False
            self.connection.drained()

    def _run_all(self) -> None:
        while self.threads.jobs or self.turns.calls:
            self.threads.run()
            self.turns.turn()

    # -- bytes

    def _say(self, piece: bytes) -> None:
        size = int.from_bytes(piece[:4], "little")
        at_once = False
        if len(piece) >= 7 and not 7 <= size <= self.checker.judge.msize:
            self._settle_input()
            at_once = self._must_close = True
        elif len(piece) == size >= 7:
            again = piece[5] | piece[6] << 8 in self.checker.judge.pending
            if again or piece[4] == Tversion.number:
                self._settle_input()  # so that the server's reaction is known
                at_once = True
            self.checker.sent(piece)
        self._glued += piece
        if at_once or not self._gluing:
            self._deliver()

    def _deliver(self) -> None:
        """Pass bytes to the server, unless it paused reading."""
        while self._glued and not self.line.paused and not self.line.closed:
            space = self.connection.space()
            data, self._glued = self._glued[: len(space)], self._glued[len(space) :]
            space[: len(data)] = data
            self.connection.received(len(data))

    def _settle_input(self) -> None:
        """Run until the server has read everything."""
        self._deliver()
        self._drained()
        for _ in range(ENOUGH):
            self._deliver()
            if self.line.closed or not (self.line.paused or self._glued):
                return
            self._run_all()
        raise AssertionError("it never reads again")

    def _settle(self) -> None:
        """Run until all replies were sent."""
        self._settle_input()
        self._run_all()
        assert self.line.closed == self._must_close, f"closed: {self.line.closed}; must be: {self._must_close}"
        if not self.line.closed:
            assert not self.checker.owed, f"never answered: {self.checker.judge.pending} {self.checker.refused}"

    # -- the end

    def _end(self) -> None:
        self.connection.lost()
        self._run_all()
        assert self.ends == 1, f"the connection ended {self.ends} times"
        assert not self.connection.session.fids, "fids of a client that is gone"
        budgets = self._budgets
        left = [
            one.left
            for one in (
                budgets.fids,
                budgets.open_files,
                budgets.directories,
                budgets.xattr_bytes,
                budgets.bytes_in_flight,
            )
        ]
        whole = [
            LIMITS.all_fids,
            LIMITS.all_open_files,
            LIMITS.all_directories,
            LIMITS.all_xattr_bytes,
            LIMITS.all_bytes_in_flight,
        ]
        assert left == whole, f"left of the budgets: {left} instead of {whole}"
        for export in self.exports:
            assert len(export.locks) == 0, "locks of a client that is gone"
        found, LOG.found = LOG.found, []
        assert not found, found
