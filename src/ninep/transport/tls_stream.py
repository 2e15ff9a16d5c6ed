"""TLS under a connection: its records to the bytes of 9P and back, over any stream of asyncio.

Rules

* The connection is made when TCP stands, and not after the handshake: it is admitted, counted and
  timed like any other (``server.admission``), so a peer that never finishes its handshake is one
  that does not attach. Who it is, is said again when its certificate is known (``identified``).
* Nothing is decrypted while the connection takes no requests, and nothing is read from the socket
  then: what waits here is one receive of the event loop at most.
* After the client's close_notify it still gets the replies that it is owed (RFC 8446, 6.1).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from ninep.transport.peers import Peer, peer_of
from ninep.transport.stream import MakeConnection, Stream, keep_alive
from ninep.transport.tls_psk import KIND
from ninep.transport.tls_reasons import reason
from ninep.transport.writer import StreamControl
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.server")

RECORD: Final = 1 << 14
"""Bytes of data in a record (RFC 8446, 5.1)."""
HEADER: Final = 5
"""Bytes of a record before them."""
TVERSION: Final = 100


class Records:
    """The server's side of one TLS connection: bytes in and out, without a socket."""

    __slots__ = ("_incoming", "_outgoing", "_tls", "first")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.first = b""
        """What the client sent first, to tell 9P from TLS."""

    def feed(self, data: bytes) -> None:
        """Bytes of the client."""
        if len(self.first) < HEADER:
            self.first += data[: HEADER - len(self.first)]
        self._incoming.write(data)

    def take(self) -> bytes:
        """Bytes to the client."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake: whether it is finished. ``ssl.SSLError``."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def certificate(self) -> tuple[str, ...] | None:
        """The names of the client's certificate; None without one."""
        found: Mapping[str, Any] | None = self._tls.getpeercert()
        return names(found) if found else None

    def read(self, space: memoryview) -> tuple[int, bool]:
        """Put decrypted bytes there: how many, and whether the client has said that no more follow.
        ``ssl.SSLError``.
        """
        count = 0
        try:
            while count < len(space):
                got: Any = self._tls.read(len(space) - count, space[count:])  # with a buffer: how many
                if not got:
                    return count, True
                count += got
        except ssl.SSLWantReadError:
            return count, False
        except ssl.SSLZeroReturnError:  # in place of 0 when this side has said so, too
            return count, True
        return count, False

    def write(self, buffer: Buffer) -> None:
        """Encrypt bytes. ``ssl.SSLError``."""
        left = memoryview(buffer)
        while left:
            left = left[self._tls.write(left) :]  # one record at a time

    def end(self) -> None:
        """Say that no more follows (close_notify)."""
        try:
            self._tls.unwrap()
        except (ssl.SSLError, ValueError):  # the client has not said so yet, or there was no handshake
            return


def names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    """The common name of the subject and all alternative names (RFC 5280, 4.2.1.6), as Python has a
    certificate; none that looks like that of a pre-shared key.
    """
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    others = [
        value for kind, value in certificate.get("subjectAltName", ()) if isinstance(value, str) and kind != "DirName"
    ]
    return tuple(dict.fromkeys(name for name in (*common, *others) if not name.startswith(KIND)))


class TlsWriter(StreamControl):
    """Writes through TLS."""

    __slots__ = ("_records", "_resumed", "paused")

    def __init__(self, stream: asyncio.Transport, records: Records, resumed: Any) -> None:
        """``resumed`` is called when the connection takes requests again."""
        super().__init__(stream, stream)
        self._records = records
        self._resumed = resumed
        self.paused = False

    def write(self, buffer: Buffer) -> None:
        """Send, in order."""
        self.write_all([buffer])

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """Send several, in order, in one piece."""
        try:
            for buffer in buffers:
                self._records.write(buffer)
        except ssl.SSLError:
            self.abort()
            return
        self.flush()

    def flush(self) -> None:
        """Send what TLS has to say."""
        data = self._records.take()
        if data:
            self._transport.write(data)

    def pause(self) -> None:
        """Decrypt and read no more until ``resume``."""
        self.paused = True
        super().pause()

    def resume(self) -> None:
        """Go on, with what was read already."""
        self.paused = False
        super().resume()
        asyncio.get_running_loop().call_soon(self._resumed)

    def close(self) -> None:
        """Send what is written, then close both."""
        self._records.end()
        self.flush()
        super().close()


class TlsProtocol(Stream, asyncio.Protocol):
    """Over a stream that is read in pieces of asyncio's choice.

    Args:
        make: makes the connection.
        context: of the server; it may be another for the next connection.
        named: says after the handshake which client it is, if no certificate does.
    """

    def __init__(self, make: MakeConnection, context: ssl.SSLContext, named: Callable[[], str] | None = None) -> None:
        super().__init__(make)
        self._records = Records(context)
        self._named = named
        self._asks = named is not None or context.verify_mode is ssl.CERT_REQUIRED
        self._shaken = self._finished = self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: asyncio.Transport = transport  # type: ignore[assignment] # bidirectional by construction
        stream.set_write_buffer_limits(high=0)
        keep_alive(stream)
        self._stream = stream
        self._writer = TlsWriter(stream, self._records, self._pump)
        self._peer: Peer = replace(peer_of(stream), certificate=() if self._asks else None)
        self._begin(self._writer, self._peer)

    def data_received(self, data: bytes) -> None:
        self._records.feed(data)
        if self._shaken or self._shake_hands():
            self._pump()

    def eof_received(self) -> bool:
        """Whether to stay open for the replies that are owed."""
        self._finished = True
        if self._shaken:
            self._pump()
        return self._shaken

    def _shake_hands(self) -> bool:
        """Whether the handshake is finished, and the client may stay."""
        try:
            self._shaken = self._records.shake_hands()
        except ssl.SSLError as error:
            self._refuse(error)
            return False
        self._writer.flush()
        if self._shaken:
            certificate = self._records.certificate() if self._named is None else (self._named(),)
            if certificate is not None:
                shown = f"{self._peer} cert={certificate[0] if certificate else ''!r}"
                self._peer = replace(self._peer, shown=shown, certificate=certificate)
            self.connection.identified(self._peer)
        return self._shaken and not self._stream.is_closing()

    def _refuse(self, error: ssl.SSLError) -> None:
        first = self._records.first
        if len(first) == HEADER and first[4] == TVERSION:
            log.warning("closing %s: it speaks 9P without TLS, and this port is for TLS", self._peer)
            self._stream.abort()
            return
        log.warning("closing %s: the TLS handshake failed: %s", self._peer, reason(error))
        self._writer.flush()  # the alert that says why
        self._stream.close()

    def _pump(self) -> None:
        """Bring what can be decrypted to the connection, while it takes requests."""
        connection, writer, stream = self.connection, self._writer, self._stream
        try:
            while self._shaken and not writer.paused and not stream.is_closing():
                count, finished = self._records.read(memoryview(connection.space(-1)))
                writer.flush()  # an answer to a KeyUpdate
                if count:
                    connection.received(count)
                self._finished |= finished
                if not count:
                    break
        except ssl.SSLError as error:
            log.warning("closing %s: TLS: %s", self._peer, reason(error))
            writer.flush()
            stream.close()
            return
        if self._finished and not self._ended and not writer.paused and not stream.is_closing():
            self._ended = True
            if not connection.eof():
                writer.close()
