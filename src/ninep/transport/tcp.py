"""TCP: ``HOST:PORT``."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ninep.transport import BACKLOG, Address, BadAddress, Bound, TransportType, forms, parse_number
from ninep.transport.sockets import closed_on_error
from ninep.transport.tcp_hints import tcp_hints

DEFAULT_PORT: Final = 5640
LOOPBACK_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Tcp(Address):
    """``host`` empty: every interface."""

    transport: ClassVar[str] = "tcp"
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TcpServers(Tcp):
    """An address to connect to that stands for several servers of the same files: the first that takes the
    connection is it.
    """

    others: tuple[Tcp, ...]

    @property
    def each(self) -> tuple[Tcp, ...]:
        """All of them, in order."""
        return (Tcp(self.host, self.port), *self.others)

    def __str__(self) -> str:
        return ",".join(map(str, self.each))


# -- reading ------------------------------------------------------------------------------------------


def parse(text: str, default_port: int | None = DEFAULT_PORT) -> Tcp:
    """An address to listen at. ``default_port``: meant where ``localhost`` or an IP address has no
    port; any other word alone is more likely misspelt than a host.
    """
    if text.startswith(("/", "./", "../", "~")):
        raise BadAddress(f"expected {forms()}; a unix socket is written unix:{text}")
    server, _, path = text.partition("/")
    if path:
        raise BadAddress("no path is listened at; a folder is chosen by its name (--export NAME=DIR)")
    if not server:
        raise BadAddress(f"expected {forms()}")
    host, port = _host_and_port(server)
    if port is None and (host == "localhost" or _is_ip(host)):
        port = default_port
    if port is None:
        raise BadAddress(f"expected {forms()}")
    return Tcp(host, port)


def parse_remote(text: str) -> Tcp:
    """An address to connect to: without a host it is this computer, without a port the
    usual one. Several are separated by commas.
    """
    parts = text.split(",")
    if len(parts) > 1 and not all(parts):
        raise BadAddress("there is nothing between two commas, or after the last")
    first, *more = [_parse_one(part.removeprefix("tcp:")) for part in parts]
    return TcpServers(first.host, first.port, tuple(more)) if more else first


def _parse_one(text: str) -> Tcp:
    host, port = _host_and_port(text)
    if port == 0:
        raise BadAddress("'0' is not a port number (1 to 65535)")
    return Tcp(host or LOOPBACK_HOST, DEFAULT_PORT if port is None else port)


def _host_and_port(server: str) -> tuple[str, int | None]:
    """Of ``HOST:PORT``, ``[V6]:PORT`` or ``HOST``; a bare number is a port of the loopback
    interface.
    """
    if server.isascii() and server.isdigit():
        return LOOPBACK_HOST, parse_number(server, "a port", 0, 65535)
    if server.startswith("["):
        host, bracket, rest = server[1:].partition("]")
        if not _is_ipv6(host) or not bracket or (rest and not rest.startswith(":")):
            raise BadAddress("an IPv6 address is written [ADDRESS]:PORT")
    else:
        if _is_ipv6(server):
            raise BadAddress(f"write an IPv6 address in brackets, [{server}]:{DEFAULT_PORT}")
        host, colon, port = server.partition(":")
        if ":" in port:
            host, _, port = server.rpartition(":")
            words = f"in brackets, [{host}]:{port}" if _is_ipv6(host) else "as [ADDRESS]:PORT"
            raise BadAddress(f"write an IPv6 address {words}")
        rest = colon + port
    if "@" in host:
        raise BadAddress("no user stands before the host in an address of 9P")
    return ("" if host == "*" else host), parse_number(rest[1:], "a port", 0, 65535) if rest else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# -- listening ----------------------------------------------------------------------------------------


def bind(address: Tcp) -> Bound:
    """Sockets at all that the host's name stands for, at one port."""
    flags = socket.AI_PASSIVE
    found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_STREAM, flags=flags)
    sockets: list[socket.socket] = []
    port = address.port
    with closed_on_error(sockets):
        for family, kind, protocol, _, sockaddr in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            _set_reuse(sock)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            # With port 0 the system chooses for the first; the others take the same.
            sock.bind((sockaddr[0], port, *sockaddr[2:]))
            port = sock.getsockname()[1]
            sock.listen(BACKLOG)
    return Bound(Tcp(address.host, port), sockets)


def adopt(address: Tcp, sockets: list[socket.socket]) -> Bound:
    """Sockets that are bound."""
    return Bound(Tcp(address.host, sockets[0].getsockname()[1]), sockets)


def _set_reuse(sock: socket.socket) -> None:
    """Take a port that is in TIME_WAIT, but never one that is in use: on Windows SO_REUSEADDR would
    share that too.
    """
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:
        sock.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def stays_here(host: str) -> bool:
    """Only processes of this machine reach a TCP address: all that its name stands for are loopback
    addresses.
    """
    if not host:
        return False
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # no such name: listening will say so
    return all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in found)


# -- connecting ---------------------------------------------------------------------------------------


ONE_OF_SEVERAL: Final = 5.0
"""Seconds for a server before the next one is tried."""


def _each(address: Tcp) -> tuple[Tcp, ...]:
    return address.each if isinstance(address, TcpServers) else (address,)


def connect(address: Tcp, timeout: float | None) -> socket.socket:
    """A connected socket."""
    *several, last = _each(address)
    for one in several:
        with suppress(OSError):
            return _connect(one, ONE_OF_SEVERAL if timeout is None else min(timeout, ONE_OF_SEVERAL))
    return _connect(last, timeout)


def _connect(address: Tcp, timeout: float | None) -> socket.socket:
    sock = socket.create_connection((address.host, address.port), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


async def _dial(loop: Any, make: Callable[[], Any], address: Tcp) -> None:
    import asyncio  # noqa: PLC0415 - the blocking client does without

    *several, last = _each(address)
    for one in several:
        with suppress(OSError):
            async with asyncio.timeout(ONE_OF_SEVERAL):
                await loop.create_connection(make, one.host, one.port)
                return
    await loop.create_connection(make, last.host, last.port)


TRANSPORT: Final = TransportType(
    form="HOST:PORT",
    remote=lambda address: not stays_here(address.host),
    parse=parse,
    bind=bind,
    adopt=adopt,
    parse_remote=parse_remote,
    connect=connect,
    dial=_dial,
    hints=tcp_hints,
    peers=frozenset({"network"}),
)
