"""Every message of a connection, logged as it is read and as it is sent (``--trace``).

A connection like any other whose frames pass by a decoder. Payloads are cut, so that a log line stays a line; names are shown as Python shows
bytes, so that control characters of a hostile name cannot reach a terminal.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ninep.protocol.framing import RawFrame
from ninep.server.connection import Connection
from ninep.wire.codec import HEADER_SIZE, Malformed, header
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.trace")
LONGEST = 300


class TracedConnection(Connection):
    """A connection that logs its messages."""

    def received(self, count: int) -> bool:
        """As ``Connection.received``."""
        return self._batch(count)

    def _batch(self, count: int) -> bool:
        self._frames = self._logged(self._receiver.received(count))
        return self._serve()

    def data(self, data: Buffer) -> None:
        """As ``Connection.data``."""
        self._frames = self._logged(self._receiver.feed(data))
        self._serve()

    def _logged(self, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        for frame in frames:
            size, _number, _tag, buffer, start = frame
            self._log("<-", bytes(buffer[start : start + size]))
            yield frame

    def send(self) -> None:
        """As ``Connection.send``."""
        sent = b"".join(self._out)
        while len(sent) >= HEADER_SIZE:
            size = header(sent, 0)[0]
            self._log("->", sent[:size])
            sent = sent[size:]
        super().send()

    def _log(self, arrow: str, frame: bytes) -> None:
        try:
            tag, message = self.session.dialect.codec.decode(frame)
            text = repr(message)
        except Malformed as error:
            tag, text = header(frame, 0)[2], f"malformed: {error}: {frame[:64].hex()}"
        if len(text) > LONGEST:
            text = f"{text[:LONGEST]}... ({len(frame)} bytes)"
        log.debug("%s %s %d %s", self.peer, arrow, tag, text)
