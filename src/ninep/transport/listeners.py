"""Accepting connections at an address, by its transport."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ninep.transport import BACKLOG, Address, Bound, Listener, TransportType, handed_on, nothing, transport_of
from ninep.transport.peers import peer_of
from ninep.transport.service_manager import stores
from ninep.transport.stored_front_end import StoredFrontEnd, take
from ninep.transport.stream import MakeConnection, SocketProtocol

log = logging.getLogger("ninep.server")

REST: Final = 1.0
"""Seconds until the system is asked again for a descriptor that it did not have."""


def bind(address: Address) -> Bound:
    """Take an address; ``OSError`` if that cannot be. EINVAL for a transport without sockets to
    share (see ``listen``).
    """
    row = transport_of(address)
    if row.bind is None:
        raise OSError(errno.EINVAL, f"{address} cannot be shared")
    there = handed_on.take(address)
    return row.adopt(address, there) if there else row.bind(address)


async def listen(address: Address, make: MakeConnection, *, busy_poll: bool = True) -> Listener:
    """Accept connections at an address, in the running loop. ``busy_poll``: raw sockets may be
    polled.
    """
    row = transport_of(address)
    if row.listen is not None:
        return await row.listen(address, make)
    bound = bind(address)
    accepting = any(map(is_listening, bound.sockets))
    served = [await accept(sock, make, bound.address, busy_poll=busy_poll) for sock in bound.sockets]

    def close() -> None:
        leave()
        bound.close()

    def leave() -> None:
        for one in served:
            if one is not None:
                one.close()

    own = row.accept is None and accepting
    return Listener(bound.address, close, accepting, address, bound.sockets if own else (), leave if own else None)


def stop_accepting(listener: Listener) -> bool:
    """Accept no more, but let those that were accepted become connections (``connections_made``), and
    close it then. False: that needs no waiting with this event loop. asyncio's makes connections some
    iterations after it has accepted, and none of a closed listener.
    """
    loop = asyncio.get_running_loop()
    try:
        stopped = [loop.remove_reader(sock.fileno()) for sock in listener.sockets]
    except NotImplementedError:  # that of Windows
        return False
    return any(stopped)


async def connections_made() -> None:
    """All that were accepted before are made: by accept, a task, a call."""
    for _ in range(4):
        await asyncio.sleep(0)


class Served(Protocol):
    """What is served at a socket, if it does not end by itself."""

    def close(self) -> None:
        """Accept nothing more."""


async def accept(
    sock: socket.socket,
    make: MakeConnection,
    address: Address | None = None,
    *,
    busy_poll: bool = True,
    gone: Callable[[], None] = nothing,
) -> Served | None:
    """Serve a socket: all that connect to a listening one, or the one connection that it is (None:
    nothing to close).

    Args:
        sock: is closed at the end.
        make: makes connections of clients.
        address: where the socket is from, whose transport says what is on it. Without one it is 9P.
        busy_poll: raw sockets may be polled.
        gone: called when a connected socket has been closed, if its transport accepts by itself.
    """
    loop = asyncio.get_running_loop()
    row = PLAIN if address is None else transport_of(address)
    sock.setblocking(False)
    serve = row.accept
    if serve is not None:
        if is_listening(sock):
            return _Accepting(sock, str(address), lambda one, gone, stored: serve(one, address, make, gone, stored))
        return _Accepted(serve(sock, address, make, gone, None))

    def protocol() -> asyncio.BaseProtocol:
        if row.stream is not None:
            made: asyncio.BaseProtocol = row.stream(make, address)
            return made
        return SocketProtocol(make, row.peer or peer_of, raw=row.raw and busy_poll)

    if is_listening(sock):
        return await loop.create_server(protocol, sock=sock, backlog=BACKLOG)
    await loop.connect_accepted_socket(protocol, sock)
    return None


PLAIN: Final = TransportType(form="", remote=bool, parse=lambda _: Address())
"""The row of a socket of which nothing is known."""


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A connected socket of a transport that accepts by itself."""

    close: Callable[[], None]


class _Accepting:
    """A listening socket of a transport that accepts by itself. What connected to an earlier process
    and was kept is served on.
    """

    def __init__(
        self,
        sock: socket.socket,
        address: str,
        serve: Callable[[socket.socket, Callable[[], None], StoredFrontEnd | None], Callable[[], None]],
    ) -> None:
        self._socket = sock
        self._address = address
        self._serve = serve
        self._ends: dict[socket.socket, Callable[[], None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._readable)
        for connected, stored in take(address):
            self._begin(connected, stored)

    def _readable(self) -> None:
        try:
            sock, _ = self._socket.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}:
                log.warning("accept: %s", error.strerror)
                self._loop.remove_reader(self._socket.fileno())
                self._loop.call_later(REST, self._again)
            return
        self._begin(sock, StoredFrontEnd.begin(self._address, sock) if stores() else None)

    def _begin(self, sock: socket.socket, stored: StoredFrontEnd | None) -> None:
        def gone() -> None:
            self._ends.pop(sock, None)

        self._ends[sock] = self._serve(sock, gone, stored)

    def _again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Accept nothing more, and end what was accepted."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for end in list(self._ends.values()):
            end()


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
