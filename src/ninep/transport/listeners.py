"""Accepting connections at an address.

A unix socket left behind by a server that is gone is replaced (nobody answers a connect); one in use is not (EADDRINUSE). A socket
we made is removed at the end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ninep.transport.addresses import Address, Descriptor, HyperV, Stdio, Systemd, Tcp, Unix, Vsock
from ninep.transport.peers import Peer
from ninep.transport.sockets import closed_on_error
from ninep.transport.stream import MakeConnection, PipeProtocol, SocketProtocol
from ninep.transport.virtual import virtual_socket

BACKLOG = 512
FIRST_SYSTEMD_FD = 3
NOTHING_HANDED_OVER = "no sockets were handed over (LISTEN_PID and LISTEN_FDS)"


@dataclass(frozen=True, slots=True)
class Listener:
    """Something that accepts connections: what it is, and how it ends."""

    address: Address
    close: Callable[[], None]
    accepting: bool = False
    """More connections may come; false for one that was handed over as it is."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Sockets that listen at an address (or are connected already), before anybody accepts; ``close`` removes what binding made."""

    address: Address
    sockets: list[socket.socket]
    close: Callable[[], None]


def bind(address: Address) -> Bound:
    """Take an address; ``OSError`` if that cannot be. Standard input and output are no sockets: EINVAL (see ``listen``)."""
    match address:
        case Tcp():
            return _tcp(address)
        case Unix():
            return _unix(address)
        case Descriptor():
            return Bound(address, [_inherited(address.number)], _nothing)
        case Systemd():
            return _systemd(address)
        case Vsock() | HyperV():
            return _virtual(address)
        case Stdio():
            raise OSError(errno.EINVAL, "standard input and output cannot be shared")


async def listen(address: Address, make: MakeConnection) -> Listener:
    """Accept connections at an address, in the running loop."""
    if isinstance(address, Stdio):
        return await _stdio(address, make)
    bound = bind(address)
    servers = [await accept(sock, make) for sock in bound.sockets]

    def close() -> None:
        for server in servers:
            if server is not None:
                server.close()
        bound.close()

    return Listener(bound.address, close, any(servers))


async def accept(sock: socket.socket, make: MakeConnection) -> asyncio.AbstractServer | None:
    """Serve a socket: all that connect to a listening one, or the one connection that it is (None: nothing to close)."""
    loop = asyncio.get_running_loop()
    sock.setblocking(False)
    if is_listening(sock):
        return await loop.create_server(lambda: SocketProtocol(make), sock=sock, backlog=BACKLOG)
    await loop.connect_accepted_socket(lambda: SocketProtocol(make), sock)
    return None


def is_listening(sock: socket.socket) -> bool:
    """Whether ``accept`` is possible (SO_ACCEPTCONN, socket(7)); what cannot say counts as connected."""
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


def _nothing() -> None:
    """What closing an inherited socket takes besides."""


def _tcp(address: Tcp) -> Bound:
    where = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    port = address.port
    with closed_on_error(sockets):
        for family, kind, protocol, _, place in dict.fromkeys(where):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            _own(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0 the system chooses for the first; the others take the same.
            sock.bind((place[0], port, *place[2:]))
            port = sock.getsockname()[1]
            sock.listen(BACKLOG)
    return Bound(Tcp(address.host, port), sockets, _nothing)


def _own(sock: socket.socket) -> None:
    """Take a port that is in TIME_WAIT, but never one that is in use: on Windows SO_REUSEADDR would share that too."""
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:
        sock.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _unix(address: Unix) -> Bound:
    sock = _unix_socket(address.path, address.mode)
    sock.listen(BACKLOG)
    made = os.stat(address.path)

    def close() -> None:
        with suppress(FileNotFoundError):
            now = os.stat(address.path)
            if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
                os.unlink(address.path)

    return Bound(address, [sock], close)


def _unix_socket(path: str, mode: int) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system's Python has no unix sockets")
    sock = socket.socket(family, socket.SOCK_STREAM)
    # Whoever can connect, can attach: the mode is right from the first moment on.
    umask = os.umask(0o777 & ~mode)
    try:
        with closed_on_error([sock]):
            _bind_unix(sock, path)
    finally:
        os.umask(umask)
    return sock


def _bind_unix(sock: socket.socket, path: str) -> None:
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not _abandoned(sock.family, path):
            raise
        os.unlink(path)
        sock.bind(path)


def _abandoned(family: int, path: str) -> bool:
    """A socket that nobody listens at any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server with a full backlog is alive, and would have us wait
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


def _virtual(address: Vsock | HyperV) -> Bound:
    sock, where = virtual_socket(address)
    with closed_on_error([sock]):
        sock.bind(where)
        sock.listen(BACKLOG)
    return Bound(address, [sock], _nothing)


def _systemd(address: Systemd) -> Bound:
    """sd_listen_fds(3): LISTEN_PID must be us, LISTEN_FDS says how many descriptors from 3 on."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdigit():
        raise OSError(errno.ENOENT, NOTHING_HANDED_OVER)
    if not int(os.environ["LISTEN_FDS"]):
        raise OSError(errno.ENOENT, NOTHING_HANDED_OVER)
    numbers = range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(os.environ["LISTEN_FDS"]))
    return Bound(address, [_inherited(number) for number in numbers], _nothing)


def _inherited(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    return sock


class _WritingPipe(asyncio.BaseProtocol):
    """The protocol of the pipe that is written to: passes on what concerns the connection."""

    reader: PipeProtocol | None = None

    def pause_writing(self) -> None:
        if self.reader is not None:
            self.reader.pause_writing()

    def resume_writing(self) -> None:
        if self.reader is not None:
            self.reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.reader is not None:
            self.reader.writing_lost()


async def _stdio(address: Stdio, make: MakeConnection) -> Listener:
    for number in (0, 1):
        mode = os.fstat(number).st_mode
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(
            mode
        ):  # event loops refuse others too, one of them by abort(3)
            raise OSError(errno.EINVAL, "standard input and output have to be pipes or a socket")
    wire_in, wire_out, same = _take_stdio()
    if same and stat.S_ISSOCK(os.fstat(wire_in).st_mode):  # inetd gives one socket as both
        os.close(wire_out)
        await accept(socket.socket(fileno=wire_in), make)
        return Listener(address, _nothing)
    loop = asyncio.get_running_loop()
    writer, protocol = await loop.connect_write_pipe(_WritingPipe, os.fdopen(wire_out, "wb", 0))
    writer.set_write_buffer_limits(high=0)
    pair = protocol.reader = PipeProtocol(make, writer, Peer("stdio"))
    await loop.connect_read_pipe(lambda: pair, os.fdopen(wire_in, "rb", 0))
    return Listener(address, _nothing)


def _take_stdio() -> tuple[int, int, bool]:
    """Standard input and output for the wire alone, and whether they are one and the same.

    What else is printed must not come in between the replies: standard output, and standard error if it goes the same way (inetd,
    ``2>&1``), lead nowhere from now on.
    """
    wire_in, wire_out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2) if os.path.sameopenfile(1, 2) else (0, 1):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return wire_in, wire_out, os.path.sameopenfile(wire_in, wire_out)
