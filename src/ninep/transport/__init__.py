"""Transports: where a server accepts connections and a client connects, and what the bytes travel
on.

A transport is a row of ``TRANSPORTS``, by the prefix of its addresses (``unix:PATH``): a
``TransportType`` in its module, or at an entry point ``ninep.transports`` of another package. Its
addresses are a class of their own below ``Address``. All else asks the row what it needs to know
and tells no classes apart: whether it can be shared between workers, is reached from other
computers, or is known to uvloop.

``addresses`` reads addresses, ``listeners`` accepts connections, ``stream`` is asyncio under a
connection.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple

from ninep.options import OptionSet
from ninep.registry import Registry

__all__ = [
    "BACKLOG",
    "TRANSPORTS",
    "Address",
    "BadAddress",
    "Bound",
    "Listener",
    "TransportType",
    "forms",
    "nothing",
    "parse_number",
    "transport_of",
]

BACKLOG: Final = 512


class BadAddress(ValueError):
    """An address that cannot be read; the message says what was expected."""


class Address:
    """Where a server listens or a client connects, base of a class for each transport: hashable,
    and its ``str`` can be read again.
    """

    __slots__ = ()

    transport: ClassVar[str]
    """The name of its row in ``TRANSPORTS``."""

    @property
    def certified(self) -> bool:
        """Whether clients have to show a certificate, whose names then are known."""
        return False

    @property
    def place(self) -> str:
        """What of it can be listened at once only: that of two addresses that exclude each other is the
        same.
        """
        return str(self)

    @property
    def export(self) -> str:
        """The name of the export that an empty aname means to clients of this address; empty: the
        one that has no name.
        """
        return ""


def nothing() -> None:
    """The end of something that was handed over: closing its sockets is all that there is to do."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Sockets that listen at an address (or are connected already), before connections are
    accepted.
    """

    address: Address
    """What it became, with the port that the system chose."""
    sockets: list[socket.socket]
    close: Callable[[], None] = nothing
    """Removes what binding made, other than the sockets."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Something that accepts connections: what it is, and how it ends."""

    address: Address
    close: Callable[[], None]
    accepting: bool = False
    """More connections may come; false for one that was handed over as it is."""
    asked: Address | None = None
    """As it stands in the configuration."""
    sockets: Sequence[socket.socket] = ()
    """What listens, if other processes can do that too."""
    leave: Callable[[], None] | None = None
    """As ``close``, but what binding made stays: another process listens there now."""


class TransportType(NamedTuple):
    """A row of ``TRANSPORTS``. In ``Callable``s, ``Any`` is the row's own class of addresses."""

    form: str
    """How an address is written, for help: ``unix:PATH``. Without a colon it is a word that stands
    alone.
    """
    remote: Callable[[Any], bool]
    """Whether other computers can connect to an address: it is refused then unless ``--allow`` says
    who may.
    """
    parse: Callable[[str], Address]
    """An address to listen at, of what follows the prefix. ``BadAddress``, with a sentence about
    it.
    """
    bind: Callable[[Any], Bound] | None = None
    """Take an address. None: what it accepts comes from ``listen`` alone and cannot be shared
    between workers.
    """
    adopt: Callable[[Any, list[socket.socket]], Bound] = Bound
    """As ``bind``, with sockets that are bound already, by a server in whose place this one is."""
    listen: Callable[[Any, Any], Awaitable[Listener]] | None = None
    """Accept connections in the running loop, each made by the second argument
    (``stream.MakeConnection``). None: on the sockets of ``bind``.
    """
    parse_remote: Callable[[str], Address] | None = None
    """An address to connect to, of what follows the prefix. ``BadAddress``. None: there is no
    connecting.
    """
    connect: Callable[[Any, float | None], socket.socket] | None = None
    """A connected socket, within so many seconds; it blocks. ``OSError``."""
    dial: Callable[[Any, Callable[[], Any], Any], Awaitable[Any]] | None = None
    """Called with an event loop, a factory of protocols and an address: connect. None: a thread
    calls ``connect``.
    """
    hints: Callable[[Any, Any], list[Any]] | None = None
    """The ``hints.Hint``s for an address and a ``hints.Mount``: what to type where it
    can be used.
    """
    with_mode: Callable[[Any, int], Address] | None = None
    """The address with other permissions (``--socket-mode``), if it is a file."""
    peer: Callable[[Any], Any] | None = None
    """The ``peers.Peer`` at the other end of an asyncio transport. None: as the kernel says of the
    socket.
    """
    peers: frozenset[str] | None = None
    """What is known of its peers that a rule of ``--allow`` can name: ``network``, ``uid``, ``gid``,
    ``cid``. None: whatever it is handed.
    """
    path_mark: str = "/"
    """What stands between an address and a path on the server: this, before or as the
    path's slash.
    """
    raw: bool = True
    """What is on the socket is 9P: it may be busy polled (``busy_poll``)."""
    uvloop: bool = True
    """uvloop knows its sockets."""
    single: bool = False
    """One connection that is there already: for one listener and one worker."""
    accept: Callable[[socket.socket, Any, Any, Callable[[], None], Any], Callable[[], None]] | None = None
    """Serve a connected socket that does not carry the bytes of 9P, in the running loop. Called
    with the socket, the address, what makes a connection of a client (``stream.MakeConnection``),
    what to call when the socket is closed, and what is stored of it for the next process
    (``stored_front_end.StoredFrontEnd``, or None). Returns what ends it.
    """
    stream: Callable[[Any, Any], Any] | None = None
    """What is between a connection and a socket that does not carry the bytes of 9P as they are: called
    with ``stream.MakeConnection`` and an address of ``bind``, makes a protocol of asyncio. None:
    nothing is.
    """
    renew: Callable[[Any], Callable[[], None]] | None = None
    """Read again what an address of ``bind`` has from files, for connections from now on; it may wait.
    Returns what puts it in the place of what there is. ``OSError`` with a sentence.
    """
    with_files: Callable[[Any, str, str, str, str], Address] | None = None
    """An address to connect to, with the files that prove who is at its ends: those of CAs, of a
    certificate, of its key, and of a pre-shared key. An empty name: none.
    """
    options: type[OptionSet] | None = None
    """What may follow an address as ``,KEY=VALUE``."""
    protocol: str = ""
    """What it carries, if that is not 9P: a name of ``server.protocols``."""


def _is_transport(thing: object) -> bool:
    return isinstance(thing, TransportType)


TRANSPORTS: Final[Registry[TransportType]] = Registry(
    "ninep.transports",
    "a transport",
    {
        "tcp": "ninep.transport.tcp:TRANSPORT",
        "unix": "ninep.transport.unix:TRANSPORT",
        "tls": "ninep.transport.tls:TRANSPORT",
        "vhost-user": "ninep.transport.vhost_user:TRANSPORT",
        "virtiofs": "ninep.transport.virtiofs:TRANSPORT",
        "fuse": "ninep.transport.dev_fuse:TRANSPORT",
        "fd": "ninep.transport.inherited:DESCRIPTOR",
        "stdio": "ninep.transport.stdio:TRANSPORT",
        "systemd": "ninep.transport.inherited:SYSTEMD",
        "vsock": "ninep.transport.vsock:TRANSPORT",
        "hyperv": "ninep.transport.hyperv:TRANSPORT",
    },
    _is_transport,
)


def transport_of(address: Address) -> TransportType:
    """The row of an address."""
    return TRANSPORTS.get(address.transport)


def forms() -> str:
    """How addresses to listen at are written, for people: ``HOST:PORT, unix:PATH or ...``."""
    *most, last = [TRANSPORTS.get(name).form for name in TRANSPORTS]
    return f"{', '.join(most)} or {last}"


def parse_number(text: str, what: str, low: int, high: int) -> int:
    """A decimal number of an address, or ``BadAddress``."""
    if not re.fullmatch("-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise BadAddress(f"{text!r} is not {what} ({low} to {high})")
    return int(text)
