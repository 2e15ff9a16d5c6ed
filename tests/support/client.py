"""A client for tests that hides nothing: messages or bytes go out, messages come back, and a
``Judge`` looks at each of them.

    client = RawClient(sock)
    client.version(b"9P2000.L")
    client.attach()                                # fid 0
    client.rpc(m.Twalk(0, 1, [b"a"]))              # the reply, or Failed
    tag = client.send(m.Tread(1, 0, 100))          # without waiting
    client.reply(tag)

Nothing here waits for ever: a reply that does not come in ``TIMEOUT`` seconds is a TimeoutError
that says so.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import pytest
from tests.support.judge import Judge

from ninep.errors import text_of
from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Qid

TIMEOUT = 120.0
"""Seconds after which something is taken to hang, however busy the machine is. No test depends on
being faster.
"""
M = TypeVar("M", bound=m.Message)


class Failed(Exception):
    """An error reply. ``code`` is what the dialect says of it: an errno, or in plain 9P2000 the
    words.
    """

    def __init__(self, code: int | str, words: str = "") -> None:
        super().__init__(Errno(code).name if isinstance(code, int) else code, words)
        self.code = code
        self.words = words

    def stands_for(self, code: Errno) -> bool:
        """Whether this is what the server says for an errno."""
        if isinstance(self.code, int):
            return self.code == code
        return self.code.partition(": ")[0] == text_of(code).decode()  # more may be said behind a colon


@contextmanager
def refused(code: Errno) -> Iterator[None]:
    """The request inside fails with this errno; in plain 9P2000, with the words for it."""
    with pytest.raises(Failed) as caught:
        yield
    assert caught.value.stands_for(code), f"{caught.value} instead of {code.name}"


class RawClient:
    """One connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(TIMEOUT)
        self.sock = sock
        self.judge = Judge()
        self._early: dict[int, m.Message] = {}
        self._tag = 0
        self.order: list[int] = []
        """The tags of all replies, in the order in which they came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    @property
    def dialect(self) -> bytes:
        return self.judge.dialect

    @property
    def msize(self) -> int:
        return self.judge.msize

    # -- frames

    def encode(self, message: m.Message, tag: int) -> bytes:
        """The bytes of a message."""
        return b"".join(codec(EXTENDED if self.judge.extended else PLAIN).encode(tag, message))

    def send(self, message: m.Message, tag: int | None = None) -> int:
        """Send a request, do not wait for the reply; its tag."""
        return self.send_all(message, tags=None if tag is None else [tag])[0]

    def send_all(self, *messages: m.Message, tags: list[int] | None = None) -> list[int]:
        """Send requests in one piece."""
        tags = tags or [self.next_tag() for _ in messages]
        frames = [self.encode(message, tag) for message, tag in zip(messages, tags, strict=True)]
        for frame in frames:
            self.judge.sent(frame)
        self.sock.sendall(b"".join(frames))
        return tags

    def next_tag(self) -> int:
        """A tag that is not in flight."""
        self._tag = self._tag % 0xFFF0 + 1
        while self._tag in self.judge.pending:
            self._tag = self._tag % 0xFFF0 + 1
        return self._tag

    def send_bytes(self, data: bytes, **expected: int) -> None:
        """Send whatever it is. ``number`` and ``tag``, if a reply is to be expected."""
        if expected:
            self.judge.pending[expected["tag"]] = expected["number"], {}
        self.sock.sendall(data)

    def receive_frame(self) -> bytes:
        """The bytes of the next reply. ConnectionError when the server hangs up."""
        head = self._exactly(4)
        return head + self._exactly(int.from_bytes(head, "little") - 4)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except TimeoutError:
                late = f"no reply within {self.sock.gettimeout():g} s, it hangs; in flight: {dict(self.judge.pending)}"
                raise TimeoutError(late) from None
            if not piece:
                raise ConnectionError("the server hung up" + (" in the middle of a frame" if data else ""))
            data += piece
        return bytes(data)

    def receive(self) -> tuple[int, m.Message]:
        """The next reply."""
        frame = self.receive_frame()
        extended = self.judge.extended  # before an Rversion changes it: that one looks the same in all
        self.judge.received(frame)
        tag, message = codec(EXTENDED if extended else PLAIN).decode(frame)
        self.order.append(tag)
        return tag, message

    def reply(self, tag: int) -> m.Message:
        """The reply to a request; others that come before are kept. ``Failed`` for an error."""
        while tag not in self._early:
            early, message = self.receive()
            self._early[early] = message
        found = self._early.pop(tag)
        if isinstance(found, m.Rlerror):
            raise Failed(found.ecode)
        if isinstance(found, m.Rerror):
            words = found.ename.decode()
            raise Failed(found.errno if self.judge.extended else words, words)
        return found

    def arrived(self, tag: int) -> bool:
        """A reply has been received and not been looked at."""
        return tag in self._early

    def rpc(self, message: m.Message) -> Any:
        """Send, and wait for the reply."""
        return self.reply(self.send(message))

    def silent(self) -> bool:
        """Everything that was owed has come: a further round trip brings nothing but
        its own reply.
        """
        tag = self.send(m.Tflush(self.next_tag() + 1))
        return self.receive()[0] == tag and not self._early

    def ended(self) -> bool:
        """The server has hung up, and said nothing more before."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True

    # -- verbs that most tests begin with

    def version(self, dialect: bytes = b"9P2000.L", msize: int = 8192 + 24) -> m.Rversion:
        """Agree on a dialect."""
        reply: m.Rversion = self.reply(self.send(m.Tversion(msize, dialect), tag=m.NOTAG))  # type: ignore[assignment]
        return reply

    def attach(self, fid: int = 0, aname: bytes = b"", uname: bytes = b"root", n_uname: int = 0) -> Qid:
        """The root of an export as a fid."""
        qid: Qid = self.rpc(m.Tattach(fid, m.NOFID, uname, aname, n_uname)).qid
        return qid

    def walk(self, fid: int, newfid: int, *names: bytes) -> list[Qid]:
        """Walk all the way; an AssertionError if it goes only part of it."""
        qids: list[Qid] = self.rpc(m.Twalk(fid, newfid, list(names))).qids
        assert len(qids) == len(names), f"only {len(qids)} of {names}"
        return qids

    def clunk(self, *fids: int) -> None:
        """Forget fids."""
        for fid in fids:
            self.rpc(m.Tclunk(fid))

    def open(self, fid: int, flags: int = 0) -> Any:
        """Open, in whatever dialect; ``flags`` are 0, 1 and 2 with the same meaning in all."""
        return self.rpc(m.Tlopen(fid, flags) if self.dialect == b"9P2000.L" else m.Topen(fid, flags))

    def create(self, dfid: int, fid: int, name: bytes, content: bytes = b"", mode: int = 0o644) -> Qid:
        """Make a file below a directory; ``fid`` is open for reading and writing afterwards."""
        self.walk(dfid, fid)
        linux = self.dialect == b"9P2000.L"
        made = self.rpc(m.Tlcreate(fid, name, 2, mode, NO_ID) if linux else m.Tcreate(fid, name, mode, 2, b""))
        if content:
            assert self.rpc(m.Twrite(fid, 0, content)).count == len(content)
        qid: Qid = made.qid
        return qid

    def mkdir(self, dfid: int, name: bytes, mode: int = 0o755) -> None:
        """Make a directory."""
        if self.dialect == b"9P2000.L":
            self.rpc(m.Tmkdir(dfid, name, mode, NO_ID))
        else:
            self.walk(dfid, SPARE)
            self.rpc(m.Tcreate(SPARE, name, 0x80000000 | mode, 0, b""))
            self.clunk(SPARE)

    def read(self, fid: int, offset: int = 0, count: int = 4096) -> bytes:
        """Read."""
        return bytes(self.rpc(m.Tread(fid, offset, count)).data)

    def names(self, fid: int, count: int = 4096) -> list[bytes]:
        """All that an open directory lists, in .L, without ``.`` and ``..``."""
        found: list[bytes] = []
        offset = 0
        while entries := self.entries(fid, offset, count):
            found += [entry[3] for entry in entries]
            offset = entries[-1][1]
        return [name for name in found if name not in {b".", b".."}]

    def entries(self, fid: int, offset: int, count: int = 4096) -> list[tuple[tuple[int, int, int], int, int, bytes]]:
        """One Treaddir."""
        from tests.support.judge import dirents

        return dirents(bytes(self.rpc(m.Treaddir(fid, offset, count)).data))


SPARE = 0xFFFFFF00
"""A fid that no test uses."""
