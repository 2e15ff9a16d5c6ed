"""Where a server is, and where on it.

============================  =============================================
``HOST``                      TCP, port 5640 (where ``ninep serve`` listens)
``HOST:PORT``                 TCP
``[V6ADDRESS]:PORT``          TCP over IPv6
``unix:SOCKET``               a unix socket; SOCKET is a path without ``:``
``vsock:CID:PORT``            a vsock: CID 2 is the host, 1 this machine
``hyperv:VM:SERVICE``         a Hyper-V socket: GUIDs, ``parent``, a vsock port
============================  =============================================

A *location* is an address and, after it, a path on the server: ``HOST:PORT/dir/file``, ``unix:SOCKET:/dir/file``,
``vsock:2:5640/dir/file``. Without a path it means the root of the export.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ninep.transport.addresses import BadAddress, HyperV, Vsock, parse
from ninep.transport.virtual import names_one

DEFAULT_PORT: Final = 5640


class Address(NamedTuple):
    """Where a server listens: ``virtual`` a virtual machine's socket, ``socket`` a unix socket's path, else TCP to ``host`` and ``port``."""

    host: str = ""
    port: int = DEFAULT_PORT
    socket: str = ""
    virtual: Vsock | HyperV | None = None

    def __str__(self) -> str:
        if self.virtual is not None:
            return str(self.virtual)
        if self.socket:
            return f"unix:{self.socket}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Location(NamedTuple):
    """A path on a server."""

    address: Address
    path: str

    def __str__(self) -> str:
        return f"{self.address}{':' if self.address.socket else ''}{self.path}"


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ValueError(f"{whole!r}: {text!r} is not a port number")
    return int(text)


def _unix(text: str) -> Location:
    socket, colon, path = text.removeprefix("unix:").partition(":")
    if not socket:
        raise ValueError(f"{text!r}: no socket after 'unix:'")
    if colon and not path.startswith("/"):
        raise ValueError(f"{text!r}: the path after the socket must begin with '/'")
    return Location(Address(socket=socket), path or "/")


def _virtual(text: str) -> Location:
    server, slash, path = text.partition("/")
    try:
        address = parse(server)
    except BadAddress as error:
        raise ValueError(f"{text!r}: {error}") from None
    if not isinstance(address, Vsock | HyperV) or not names_one(address):
        raise ValueError(f"{text!r} stands for any machine: it can be listened at, not connected to")
    return Location(Address(virtual=address), slash + path or "/")


def parse_location(text: str) -> Location:
    """An address with an optional path. ``ValueError`` (with words for the user) for what is neither."""
    if "\0" in text:
        raise ValueError(f"{text!r}: embedded null byte")
    if text.startswith("unix:"):
        return _unix(text)
    if text.startswith(("vsock:", "hyperv:")):
        return _virtual(text)
    server, slash, path = text.partition("/")
    path = slash + path or "/"
    if not server:
        raise ValueError(f"{text!r}: no server before the path (HOST:PORT/PATH or unix:SOCKET:/PATH)")
    if server.startswith("["):
        host, bracket, rest = server[1:].partition("]")
        if not (host and bracket) or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r}: an IPv6 address is written [ADDRESS]:PORT")
        return Location(Address(host, _port(rest[1:], text) if rest else DEFAULT_PORT), path)
    if slash and server.endswith(":"):
        raise ValueError(f"{text!r}: no colon before the path of a TCP address: {server.rstrip(':')}{path}")
    host, colon, port = server.partition(":")
    if not host:
        raise ValueError(f"{text!r}: no host before the port")
    if ":" in port:
        raise ValueError(f"{text!r}: an IPv6 address is written [ADDRESS]:PORT")
    return Location(Address(host, _port(port, text) if colon else DEFAULT_PORT), path)


def parse_address(text: str) -> Address:
    """An address without a path. ``ValueError`` for anything else."""
    location = parse_location(text)
    if location.path != "/" or text.endswith("/"):
        raise ValueError(f"{text!r} is a path on a server; an address was expected")
    return location.address
