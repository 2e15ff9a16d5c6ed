"""Every message of a connection, logged as it is read and as it is sent (``--trace``).

Payloads are cut, so that a log line stays a line; names are shown as Python shows bytes, so that
control characters of a hostile name cannot reach a terminal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from ninep.linux import Errno
from ninep.protocol.framing import RawFrame
from ninep.server.observer import Observed, Observer
from ninep.transport.peers import Peer
from ninep.wire.codec import HEADER_SIZE, Malformed, header
from ninep.wire.fuse_codec import describe, name_of, unpack_header
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.trace")
LONGEST = 300
_ERRNOS = frozenset(Errno)


class TracingObserver(Observer):
    """Logs messages."""

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """One line each, before it is served."""
        for frame in frames:
            size, _number, _tag, buffer, start = frame
            _log(connection, "<-", bytes(buffer[start : start + size]))
            yield frame

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """One line each."""
        sent = b"".join(replies)
        while len(sent) >= HEADER_SIZE:
            size = header(sent, 0)[0]
            _log(connection, "->", sent[:size])
            sent = sent[size:]

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """One line, before it is served."""
        log.debug("%s <- %d %s", peer, unpack_header(frame)[2], _cut(f"{name_of(opcode)} {describe(frame)}", size))

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """One line: the errno, or the size of the reply, and what it took."""
        what = f"{size} bytes" if not error else Errno(error).name if error in _ERRNOS else f"errno {error}"
        log.debug("%s -> %d %s %s (%d us)", peer, unique, name_of(opcode), what, seconds * 1e6)


def _cut(text: str, size: int) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}... ({size} bytes)"


def _log(connection: Observed, arrow: str, frame: bytes) -> None:
    try:
        tag, message = connection.session.dialect.codec.decode(frame)
        text = repr(message)
    except Malformed as error:
        tag, text = header(frame, 0)[2], f"malformed: {error}: {frame[:64].hex()}"
    log.debug("%s %s %d %s", connection.peer, arrow, tag, _cut(text, len(frame)))
