"""asyncio under a connection: bytes read straight into its buffer, replies written straight out.

One class per way of reading: ``SocketProtocol`` for sockets (the loop fills our buffer),
``PipeProtocol`` for pipes (the loop brings its own). A connection is made when its stream stands,
with the writer (``transport.writer``) that suits what the stream is.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from ninep.transport.busy_poll import POSSIBLE, SocketWriter, is_raw_socket
from ninep.transport.peers import Peer, peer_of
from ninep.transport.writer import LoopWriter, Transport
from ninep.wire.types import Buffer


class Connection(Protocol):
    """What a stream carries: ``server.connection.Connection``, of which it knows no
    more than this.
    """

    @property
    def space(self) -> Callable[[int], Buffer]:
        """Where the next bytes are to be put (asyncio.BufferedProtocol.get_buffer)."""

    @property
    def alone(self) -> Callable[[], bool]:
        """Whether this is all there is to do: then its socket may be busy polled
        (``transport.busy_poll``).
        """

    def received(self, count: int) -> bool:
        """So many bytes are there. True: all that arrived is answered, it is the client's turn."""

    def data(self, data: Buffer) -> None:
        """These bytes arrived."""

    def message(self, frame: bytes, payload: Sequence[memoryview] | None, reply: Sequence[memoryview]) -> int:
        """A whole message arrived. How many bytes of its R-message are in ``reply`` now; 0: it is
        written.
        """

    def took(self, seconds: float) -> None:
        """So long were the messages since the last call: when it is more than 100 us."""

    def made(self, peer: Peer, export: str = "") -> None:
        """The stream stands. ``export``: what an empty aname means to its clients, if not the usual."""

    def identified(self, peer: Peer) -> None:
        """More is known of the other side now, before its first message."""

    def full(self) -> None:
        """Nothing more can be written for now."""

    def drained(self) -> None:
        """It can again."""

    def eof(self) -> bool:
        """The other side sends no more; false: close."""

    def lost(self) -> None:
        """The stream is gone."""


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """What the socket of a TCP connection is to do: send at once, and notice a machine that vanished,
    which says nothing: after some hours (tcp(7)) its fids and locks are free again.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


MakeConnection = Callable[[Transport], Connection]


class Stream(asyncio.BaseProtocol):
    """What both ways have in common: from the loop's calls to the connection's."""

    connection: Connection
    """From ``connection_made`` on."""

    def __init__(self, make: MakeConnection) -> None:
        self._make = make

    def _begin(self, writer: Transport, peer: Peer) -> None:
        self.connection = self._make(writer)
        self.connection.made(peer)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.connection.lost()

    def pause_writing(self) -> None:
        self.connection.full()

    def resume_writing(self) -> None:
        self.connection.drained()


class SocketProtocol(Stream, asyncio.BufferedProtocol):
    """Over a socket, or anything else that asyncio makes a stream of (TLS).

    Args:
        make: makes the connection.
        peer: who is at the other end, given the asyncio transport.
        raw: the socket carries the bytes of 9P as they are, and may be busy polled. Where the
            asyncio transport says otherwise (TLS), it is right.
    """

    def __init__(
        self, make: MakeConnection, peer: Callable[[asyncio.BaseTransport], Peer] = peer_of, *, raw: bool = True
    ) -> None:
        super().__init__(make)
        self._peer = peer
        self._raw = raw
        self._poll: SocketWriter | None = None
        """The writer, if the socket can be busy polled."""
        self._half_closes = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream: asyncio.Transport = transport  # type: ignore[assignment] # bidirectional by construction
        # No buffering of our own: a reply is sent by the write that brings it, or pauses the
        # connection (uvloop and asyncio both try at once when the high-water mark is 0). With TLS 0
        # is reached with nothing written, and would pause it at every write.
        stream.set_write_buffer_limits(high=0 if transport.get_extra_info("sslcontext") is None else 1)
        self._half_closes = stream.can_write_eof()
        keep_alive(transport)
        if POSSIBLE and self._raw and is_raw_socket(transport):
            self._poll = SocketWriter(stream)
        self._begin(self._poll or LoopWriter(stream, stream), self._peer(transport))

    def _begin(self, writer: Transport, peer: Peer) -> None:
        super()._begin(writer, peer)
        self._space = self.connection.space
        self._received = self.connection.received

    def connection_lost(self, exc: Exception | None) -> None:
        if self._poll is not None:
            self._poll.release()
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> Buffer:
        return self._space(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        if self._received(nbytes):
            poll = self._poll
            if poll is not None and self.connection.alone() and poll.due():
                poll.poll(self._space, self._received)

    def eof_received(self) -> bool:
        """Whether to stay open for the replies that are owed: TLS cannot be closed one way."""
        return self.connection.eof() and self._half_closes


class PipeProtocol(Stream, asyncio.Protocol):
    """Over a pair of pipes: the protocol of the one that is read. ``writing`` is the transport of
    the other.
    """

    def __init__(self, make: MakeConnection, writing: asyncio.WriteTransport, peer: Peer) -> None:
        super().__init__(make)
        self._writing = writing
        self._peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._reading: asyncio.ReadTransport = transport  # type: ignore[assignment] # of a pipe that is read
        self._begin(LoopWriter(self._writing, self._reading), self._peer)

    def data_received(self, data: bytes) -> None:
        self.connection.data(data)

    def eof_received(self) -> bool:
        return False  # ``connection_lost`` follows

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more can be read; replies that are owed still have their own pipe."""
        del exc
        if not self.connection.eof():
            self._writing.close()

    def writing_lost(self) -> None:
        """The other pipe is closed, by this side or the other."""
        self._reading.close()
        self.connection.lost()
