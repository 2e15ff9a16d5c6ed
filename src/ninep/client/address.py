"""Addresses of servers, and locations: an address with a path on the server.

============================  =============================================
``HOST``                      TCP, port 5640 (where ``ninep serve`` listens)
``HOST:PORT``                 TCP
``[V6ADDRESS]:PORT``          TCP over IPv6
``PORT``                      TCP, this computer
``unix:SOCKET``               a unix socket; SOCKET is a path without ``:``
``vsock:CID:PORT``            a vsock: CID 2 is the host, 1 this machine
``hyperv:VM:SERVICE``         a Hyper-V socket: GUIDs, ``parent``, a vsock port
============================  =============================================

A *location* is an address followed by a path on the server: ``HOST:PORT/dir/file``,
``unix:SOCKET:/dir/file``, ``vsock:2:5640/dir/file``. Without a path it means the root of the
export. URLs (``tcp://HOST:PORT/dir/file``, ``9p://HOST``) and the dial strings of Plan 9
(``tcp!HOST!PORT``) are accepted as well: ``transport.addresses`` parses them all.
"""

from __future__ import annotations

from typing import NamedTuple

from ninep.transport import addresses
from ninep.transport.addresses import DEFAULT_PORT, HyperV, Vsock
from ninep.transport.virtual import names_one


class Address(NamedTuple):
    """The address of a server: ``virtual`` for a socket of a virtual machine, ``socket`` for the
    path of a unix socket, otherwise TCP to ``host`` and ``port``.
    """

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


def parse_location(text: str) -> Location:
    """Parse an address with an optional path. ``ValueError``, with a message for the user, for
    anything else.
    """
    try:
        location = addresses.parse_location(text)
    except addresses.BadAddress as error:
        words = str(error)
        raise ValueError(words if words.startswith(repr(text)) else f"{text!r}: {words}") from None
    match location.address:
        case addresses.Tcp(host, port):
            address = Address(host or addresses.LOOPBACK_HOST, port)
        case addresses.Unix(socket):
            address = Address(socket=socket)
        case virtual:
            if not names_one(virtual):
                raise ValueError(f"{text!r} stands for any machine: it can be listened at, not connected to")
            address = Address(virtual=virtual)
    return Location(address, location.path)


def parse_address(text: str) -> Address:
    """Parse an address without a path (a URL may end with ``/``). ``ValueError`` for anything
    else.
    """
    location = parse_location(text)
    if location.path != "/" or (text.endswith("/") and "://" not in text):
        raise ValueError(f"{text!r} is a path on a server; an address was expected")
    return location.address
