"""Accepting connections at an address, by its transport."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from ninep.transport import BACKLOG, Address, Bound, Listener, transport_of
from ninep.transport.peers import Peer, peer_of
from ninep.transport.stream import MakeConnection, SocketProtocol


def bind(address: Address) -> Bound:
    """Take an address; ``OSError`` if that cannot be. EINVAL for a transport without sockets to
    share (see ``listen``).
    """
    row = transport_of(address)
    if row.bind is None:
        raise OSError(errno.EINVAL, f"{address} cannot be shared")
    return row.bind(address)


async def listen(address: Address, make: MakeConnection, *, busy_poll: bool = True) -> Listener:
    """Accept connections at an address, in the running loop. ``busy_poll``: raw sockets may be
    polled.
    """
    row = transport_of(address)
    if row.listen is not None:
        return await row.listen(address, make)
    bound = bind(address)
    servers = [await accept(sock, make, row.peer or peer_of, raw=row.raw and busy_poll) for sock in bound.sockets]

    def close() -> None:
        for server in servers:
            if server is not None:
                server.close()
        bound.close()

    return Listener(bound.address, close, any(servers))


async def accept(
    sock: socket.socket,
    make: MakeConnection,
    peer: Callable[[asyncio.BaseTransport], Peer] = peer_of,
    *,
    raw: bool = True,
) -> asyncio.AbstractServer | None:
    """Serve a socket: all that connect to a listening one, or the one connection that it is (None:
    nothing to close).
    """
    loop = asyncio.get_running_loop()
    sock.setblocking(False)

    def protocol() -> SocketProtocol:
        return SocketProtocol(make, peer, raw=raw)

    if is_listening(sock):
        return await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
    await loop.connect_accepted_socket(protocol, sock)
    return None


def is_listening(sock: socket.socket) -> bool:
    """Whether ``accept`` is possible (SO_ACCEPTCONN, socket(7)); what cannot say counts as
    connected.
    """
    option = getattr(socket, "SO_ACCEPTCONN", None)
    if option is None:
        return not _connected(sock)
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, option))
    except OSError:
        return not _connected(sock)


def _connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True
