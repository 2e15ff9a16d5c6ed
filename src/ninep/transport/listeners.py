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
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ninep.transport.addresses import Address, Descriptor, HyperV, Stdio, Systemd, Tcp, Unix, Vsock
from ninep.transport.stream import MakeConnection, PipeProtocol, SocketProtocol

BACKLOG = 512
FIRST_SYSTEMD_FD = 3


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
            return Bound(address, [socket.socket(fileno=os.dup(address.number))], _nothing)
        case Systemd():
            return _systemd(address)
        case Vsock():
            return _family("AF_VSOCK", (address.cid & 0xFFFFFFFF, address.port), address)
        case HyperV():
            return _family("AF_HYPERV", (address.vm, address.service), address)
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
    try:
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
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return Bound(Tcp(address.host, port), sockets, _nothing)


def _own(sock: socket.socket) -> None:
    """Take a port that is in TIME_WAIT, but never one that is in use: on Windows SO_REUSEADDR would share that too."""
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:
        sock.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _unix(address: Unix) -> Bound:
    sock = _unix_socket(address.path)
    sock.listen(BACKLOG)
    made = os.stat(address.path)

    def close() -> None:
        with suppress(FileNotFoundError):
            now = os.stat(address.path)
            if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
                os.unlink(address.path)

    return Bound(address, [sock], close)


def _unix_socket(path: str) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system's Python has no unix sockets")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _abandoned(family, path):
                raise
            os.unlink(path)
            sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _abandoned(family: int, path: str) -> bool:
    """A socket that nobody listens at any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        return False


def _family(name: str, where: tuple[Any, ...], address: Address) -> Bound:
    family = getattr(socket, name, None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, f"this system's Python has no {name}")
    protocol = getattr(socket, "HV_PROTOCOL_RAW", 0) if name == "AF_HYPERV" else 0
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.bind(where)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return Bound(address, [sock], _nothing)


def _systemd(address: Systemd) -> Bound:
    """sd_listen_fds(3): LISTEN_PID must be us, LISTEN_FDS says how many descriptors from 3 on."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdigit():
        raise OSError(errno.ENOENT, "no sockets were handed over (LISTEN_PID and LISTEN_FDS)")
    numbers = range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(os.environ["LISTEN_FDS"]))
    return Bound(address, [socket.socket(fileno=number) for number in numbers], _nothing)


class _PipePair(PipeProtocol):
    """Standard input and output as one transport."""

    def attach_writer(self, writer: asyncio.WriteTransport) -> None:
        self._writer = writer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write = self._writer.write

    def write_all(self, buffers: Any) -> None:
        self._writer.writelines(buffers)

    def close(self) -> None:
        self._writer.close()
        super().close()


class _PipeWriter(asyncio.BaseProtocol):
    """The writing half: passes flow control on to the connection."""

    def __init__(self, reader: _PipePair) -> None:
        self._reader = reader

    def pause_writing(self) -> None:
        self._reader.pause_writing()

    def resume_writing(self) -> None:
        self._reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc


async def _stdio(address: Stdio, make: MakeConnection) -> Listener:
    if stat.S_ISSOCK(os.fstat(0).st_mode):  # inetd gives one socket as both
        await accept(socket.socket(fileno=os.dup(0)), make)
        return Listener(address, _nothing)
    loop = asyncio.get_running_loop()
    pair = _PipePair(make, "stdio")
    writer, _ = await loop.connect_write_pipe(lambda: _PipeWriter(pair), os.fdopen(os.dup(1), "wb", 0))
    writer.set_write_buffer_limits(high=0)
    pair.attach_writer(writer)
    await loop.connect_read_pipe(lambda: pair, os.fdopen(os.dup(0), "rb", 0))
    sys.stdout = sys.stderr  # a stray print would be taken for a reply
    return Listener(address, _nothing)
