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


async def listen(address: Address, make: MakeConnection) -> Listener:
    """Accept connections; ``OSError`` if that cannot be."""
    match address:
        case Tcp():
            return await _tcp(address, make)
        case Unix():
            return await _unix(address, make)
        case Descriptor():
            return await _socket(address, socket.socket(fileno=os.dup(address.number)), make)
        case Stdio():
            return await _stdio(address, make)
        case Systemd():
            return await _systemd(address, make)
        case Vsock():
            return await _family("AF_VSOCK", (address.cid & 0xFFFFFFFF, address.port), address, make)
        case HyperV():
            return await _family("AF_HYPERV", (address.vm, address.service), address, make)


async def _serve(sock: socket.socket, make: MakeConnection) -> asyncio.AbstractServer:
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: SocketProtocol(make), sock=sock, backlog=BACKLOG)


async def _tcp(address: Tcp, make: MakeConnection) -> Listener:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SocketProtocol(make), address.host or None, address.port, backlog=BACKLOG, reuse_address=True
    )
    port = server.sockets[0].getsockname()[1]
    return Listener(Tcp(address.host, port), server.close)


def _unix_socket(path: str) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system's Python has no unix sockets")
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _abandoned(path):
                raise
            os.unlink(path)
            sock.bind(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _abandoned(path: str) -> bool:
    """A socket that nobody listens at any more."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        return False


async def _unix(address: Unix, make: MakeConnection) -> Listener:
    sock = _unix_socket(address.path)
    made = os.stat(address.path)
    server = await _serve(sock, make)

    def close() -> None:
        server.close()
        try:
            now = os.stat(address.path)
            if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
                os.unlink(address.path)
        except FileNotFoundError:
            return

    return Listener(address, close)


async def _family(name: str, where: Any, address: Address, make: MakeConnection) -> Listener:
    family = getattr(socket, name, None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, f"this system's Python has no {name}")
    protocol = getattr(socket, "HV_PROTOCOL_RAW", 0) if name == "AF_HYPERV" else 0
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.bind(where)
    except BaseException:
        sock.close()
        raise
    return await _socket(address, sock, make, listening=True)


async def _socket(address: Address, sock: socket.socket, make: MakeConnection, *, listening: bool = False) -> Listener:
    """A socket that exists already: one that listens, or one connection."""
    if listening or _listens(sock):
        server = await _serve(sock, make)
        return Listener(address, server.close)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: SocketProtocol(make), sock)
    return Listener(address, lambda: None)


def _listens(sock: socket.socket) -> bool:
    option = getattr(socket, "SO_ACCEPTCONN", None)
    if option is None:
        return False
    try:
        return bool(sock.getsockopt(socket.SOL_SOCKET, option))
    except OSError:
        return False


async def _systemd(address: Systemd, make: MakeConnection) -> Listener:
    """sd_listen_fds(3): LISTEN_PID must be us, LISTEN_FDS says how many descriptors from 3 on."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not os.environ.get("LISTEN_FDS", "").isdigit():
        raise OSError(errno.ENOENT, "no sockets were handed over (LISTEN_PID and LISTEN_FDS)")
    parts = [
        await _socket(address, socket.socket(fileno=number), make)
        for number in range(FIRST_SYSTEMD_FD, FIRST_SYSTEMD_FD + int(os.environ["LISTEN_FDS"]))
    ]

    def close() -> None:
        for part in parts:
            part.close()

    return Listener(address, close)


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
        return await _socket(address, socket.socket(fileno=os.dup(0)), make)
    loop = asyncio.get_running_loop()
    pair = _PipePair(make, "stdio")
    writer, _ = await loop.connect_write_pipe(lambda: _PipeWriter(pair), os.fdopen(os.dup(1), "wb", 0))
    writer.set_write_buffer_limits(high=0)
    pair.attach_writer(writer)
    await loop.connect_read_pipe(lambda: pair, os.fdopen(os.dup(0), "rb", 0))
    sys.stdout = sys.stderr  # a stray print would be taken for a reply
    return Listener(address, lambda: None)
