"""asyncio under a connection: bytes read straight into its buffer, replies written straight out.

One class per way of reading: ``SocketProtocol`` for sockets (the loop fills our buffer), ``PipeProtocol`` for pipes (the loop brings
its own). Both are asyncio protocols towards the loop and a ``Transport`` towards the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from ninep.transport.peers import Peer, peer_of
from ninep.transport.turns import POSSIBLE, Turns
from ninep.wire.types import Buffer


class Connection(Protocol):
    """What a stream carries: ``server.connection.Connection``, of which it knows no more than this."""

    @property
    def space(self) -> Callable[[int], Buffer]:
        """Where the next bytes are to be put (asyncio.BufferedProtocol.get_buffer)."""

    @property
    def alone(self) -> Callable[[], bool]:
        """Whether this is all there is to do: then client and server may take turns (``transport.turns``)."""

    def received(self, count: int) -> bool:
        """So many bytes are there. True: all that arrived is answered, it is the client's turn."""

    def data(self, data: Buffer) -> None:
        """These bytes arrived."""

    def made(self, peer: Peer) -> None:
        """The stream stands."""

    def full(self) -> None:
        """Nothing more can be written for now."""

    def drained(self) -> None:
        """It can again."""

    def eof(self) -> bool:
        """The other side sends no more; false: close."""

    def lost(self) -> None:
        """The stream is gone."""


MakeConnection = Callable[["_Stream"], Connection]


class _Stream(asyncio.BaseProtocol):
    """What both ways have in common: the connection above, the asyncio transport below."""

    write: Callable[[Buffer], None]
    """The asyncio transport's own, once there is one: a call less for each reply."""

    def __init__(self, make: MakeConnection, peer: Peer | None = None) -> None:
        self._peer = peer
        self.connection = make(self)

    # -- towards the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment] # bidirectional by construction
        # No buffering of our own: a reply is sent by the write that brings it, or pauses the connection (uvloop and
        # asyncio both try at once when the high-water mark is 0).
        self._transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # A machine that vanished says nothing: after some hours (tcp(7)) its fids and locks are free again.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.write = self._transport.write
        self.connection.made(self._peer or peer_of(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.connection.lost()

    def pause_writing(self) -> None:
        self.connection.full()

    def resume_writing(self) -> None:
        self.connection.drained()

    def eof_received(self) -> bool:
        return self.connection.eof()

    # -- towards the connection

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        self._transport.writelines(buffers)

    def pause(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


class SocketProtocol(_Stream, asyncio.BufferedProtocol):
    """Over a socket: in turns with the client where there is nobody else, by the loop where there is."""

    _turns: Turns | None = None

    def __init__(self, make: MakeConnection, peer: Peer | None = None) -> None:
        super().__init__(make, peer)
        self.get_buffer = self.connection.space  # type: ignore[method-assign,assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if not POSSIBLE or sock is None:
            self.buffer_updated = self.connection.received  # type: ignore[method-assign,assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        if self._turns is not None:
            self._turns.close()
        super().connection_lost(exc)

    def buffer_updated(self, nbytes: int) -> None:
        connection = self.connection
        if connection.received(nbytes) and connection.alone():
            turns = self._turns
            if turns is None:
                turns = self._turns = Turns(
                    self._transport.get_extra_info("socket").fileno(), self._transport.writelines
                )
                self.write, self.write_all = turns.write, turns.write_all  # type: ignore[method-assign]
            if turns.due():
                turns.take(connection.space, connection.received)


class PipeProtocol(_Stream, asyncio.Protocol):
    """Over a pair of pipes: this protocol reads, ``writer`` is the transport of the other pipe."""

    def data_received(self, data: bytes) -> None:
        self.connection.data(data)
