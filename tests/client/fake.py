"""A server controlled by the test, over a socket pair, in a thread: answers by a table, or raw
bytes.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import pytest
from tests.support.client import TIMEOUT

from ninep.client.aio.connection import AsyncConnection
from ninep.client.blocking.connection import Connection
from ninep.wire.codec import codec, header, pack_dirents
from ninep.wire.messages import (
    Message,
    Rattach,
    Rclunk,
    Rflush,
    Rgetattr,
    Rlopen,
    Rsetattr,
    Rversion,
    Rwalk,
    Tattach,
    Tclunk,
    Tflush,
    Tgetattr,
    Tlopen,
    Tsetattr,
    Tversion,
    Twalk,
)
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Attributes, Dirent, Qid

ROOT = Qid(0x80, 1, 1)

Answer = Message | bytes | None
"""A message (sent with the request's tag), bytes (sent as they are) or nothing."""
Rule = Callable[[Any], Answer] | Answer


class FakeServer:
    """`with FakeServer({Tgetattr: Rgetattr(...)}) as server: client over server.socket`.

    A rule is an answer, or a function of the request that gives one; the tag of the request at hand
    is `server.tag`. `server.seen` holds all requests. A request without a rule is answered as a
    friendly server would (version, attach, clunk, flush) or is a mistake of the test.
    """

    def __init__(self, rules: dict[type[Message], Rule], *, dialect: bytes = b"9P2000.L") -> None:
        self.socket, self._peer = socket.socketpair()
        self.seen: list[Message] = []
        self.tag = 0
        self.mistakes: list[str] = []
        self.rules: dict[type[Message], Rule] = {
            Tversion: lambda t: Rversion(min(t.msize, 65536), dialect if t.version == dialect else b"unknown"),
            Tattach: Rattach(ROOT),
            Tclunk: Rclunk(),
            Tflush: Rflush(),
            **rules,
        }
        self.codec = codec(EXTENDED if dialect != b"9P2000" else PLAIN)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()
        self._peer.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT)
        self._peer.close()
        assert not self.mistakes, self.mistakes

    def say(self, *pieces: Message | bytes, tag: int | None = None) -> None:
        """Send messages with a tag (default: that of the current request), and bytes unchanged."""
        frames = [
            piece if isinstance(piece, bytes) else b"".join(self.codec.encode(self.tag if tag is None else tag, piece))
            for piece in pieces
        ]
        self._peer.sendall(b"".join(frames))

    def hang_up(self) -> None:
        self._peer.shutdown(socket.SHUT_RDWR)

    def asked(self, kind: type[Message]) -> list[Any]:
        """The requests of a kind, in order."""
        return [message for message in self.seen if isinstance(message, kind)]

    def _serve(self) -> None:
        buffer = b""
        while True:
            try:
                data = self._peer.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            buffer += data
            while len(buffer) >= 7 and len(buffer) >= header(buffer, 0)[0]:
                size = header(buffer, 0)[0]
                self._one(buffer[:size])
                buffer = buffer[size:]

    def _one(self, frame: bytes) -> None:
        self.tag, message = self.codec.decode(frame)
        self.seen.append(message)
        if type(message) not in self.rules:
            self.mistakes.append(f"no rule for {message}")
            self.hang_up()
            return
        rule = self.rules[type(message)]
        answer = rule(message) if callable(rule) else rule
        if answer is not None:
            try:
                self.say(answer)
            except OSError:
                return  # the client has closed: that is what many tests want


# -- what many tests say --------------------------------------------------------------------------------------------------

FILE = Qid(0, 1, 5)
LINK = Qid(2, 1, 6)
EOPNOTSUPP, ENOENT, EACCES, EROFS = 95, 2, 13, 30


@contextmanager
def hasty(*kinds: type[Message], after: Callable[[], bool] = lambda: False, seconds: float = 0.1) -> Iterator[None]:
    """Clients wait this many seconds for replies to requests of these kinds, and for all others as
    long as a busy machine may need.

    Independent of the clock: a test names the requests that are never answered. ``after``: a
    condition from which on no reply is waited for.
    """

    def timeout(connection: Any) -> float:
        waiting = [call.request for call in connection.exchange.calls.values() if not call.abandoned]
        return seconds if after() or any(isinstance(request, kinds) for request in waiting) else TIMEOUT

    with pytest.MonkeyPatch.context() as patch:
        for connection in (Connection, AsyncConnection):
            patch.setattr(connection, "timeout", property(timeout, lambda *_: None), raising=False)
        yield


def walk_to(qid):
    """A rule: every name leads to directories and the last one to `qid`."""
    return lambda t: Rwalk([ROOT] * (len(t.wnames) - 1) + [qid] * bool(t.wnames))


def listing(*names, cookie=1):
    return b"".join(pack_dirents([Dirent(*FILE, cookie + n, 8, name) for n, name in enumerate(names)], 1 << 20)[0])


FRIENDLY = {
    Twalk: walk_to(FILE),
    Tlopen: Rlopen(FILE, 4096),
    Tgetattr: Rgetattr(Attributes(mode=0o100644, size=10)),
    Tsetattr: Rsetattr(),
}
