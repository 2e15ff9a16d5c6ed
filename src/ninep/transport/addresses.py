"""Reads addresses, where a server listens, and locations, where on a server a file is.

==================  ====================================================================
``HOST:PORT``       TCP; ``[::1]:5640`` for IPv6; ``:5640`` on every interface; port 0
                    lets the system choose
``PORT``            TCP, the loopback interface
``tls:HOST:PORT``   TLS over TCP; ``,cert=FILE,key=FILE`` to listen
``unix:PATH``       a unix socket
``vhost-user:PATH`` a unix socket for QEMU, which gives its guest a 9P device;
                    ``,tag=TAG`` is what the guest mounts
``virtiofs:PATH``   the same, and the device is a file system (FUSE messages)
``fuse:MOUNTPOINT`` a folder of this machine, where its kernel mounts (FUSE)
``fd:N``            an inherited descriptor: a listening socket, or a connected one
``stdio``           standard input and output (inetd; a program at the other end of a
                    pipe)
``systemd``         the sockets handed over by socket activation (LISTEN_FDS)
``vsock:CID:PORT``  a virtual machine's socket; CID -1 is any
``hyperv:VM:PORT``  a Hyper-V socket; VM a GUID, ``any`` or ``children``; PORT a service
                    GUID or a vsock port number
==================  ====================================================================

A transport of another package has a prefix of its own. What has no transport's prefix is TCP.

The spellings of other programs are read too: ``tcp:HOST:PORT``, URLs (``tcp://HOST:PORT``,
``9p://HOST:PORT``, ``unix:///PATH``, ``vsock://CID:PORT``), and the dial strings of Plan 9
(``tcp!HOST!PORT``, ``unix!PATH``; dial(2) there). ``parse`` reads an address to listen at,
``parse_location`` one to connect to with a path on the server behind it (``HOST:PORT/dir/file``,
``unix:SOCKET:/dir/file``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from ninep.transport import TRANSPORTS, Address, BadAddress, TransportType, forms, tcp, transport_of
from ninep.transport.tcp import DEFAULT_PORT, LOOPBACK_HOST, Tcp

DEFAULT: Final = f"{LOOPBACK_HOST}:{DEFAULT_PORT}"
SERVICES: Final = {"9fs": 564, "9pfs": 564, "styx": 6666}
"""Services of 9P by name: Plan 9's /lib/ndb/common, IANA's registry."""
TCP: Final = "tcp"
_HOSTS: Final = frozenset({TCP, "localhost"})
"""Names before a colon that need not be looked for: the first has no prefix here, the second is a
host.
"""


class Location(NamedTuple):
    """An address to connect to, and the path on the server; the path begins with ``/``."""

    address: Address
    path: str

    def __str__(self) -> str:
        mark = transport_of(self.address).path_mark
        return f"{self.address}{'' if mark == '/' else mark}{self.path}"


# -- one spelling for each form -------------------------------------------------------------------

_DIAL: Final = re.compile(r"(tcp|net|il|unix|vsock)!(.*)", re.DOTALL)
_URL: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_NAME: Final = re.compile(r"[a-z][a-z0-9+-]*")
"""What can be the name of a transport; a host with a dot cannot."""
_URL_SCHEMES: Final = {"tcp": "", "9p": "", "9p+tcp": "", "9p+unix": "unix:"}
"""What stands before the rest in our own spelling; a transport that can be connected to has its own
name.
"""


def _own_spelling(text: str) -> str:
    """``HOST:PORT...``, ``unix:PATH...`` and so on for a URL, ``tcp:...`` or a dial string; others
    unchanged.
    """
    if "\0" in text:
        raise BadAddress("embedded null byte")
    if dial := _DIAL.fullmatch(text):
        return _from_dial(dial[1], dial[2])
    if url := _URL.fullmatch(text):
        return _prefix_of_url(url[1]) + url[2]
    if re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        raise BadAddress(f"{text!r} is a path on this computer; an address is written HOST:PORT")
    return text.removeprefix("tcp:")


def _prefix_of_url(scheme: str) -> str:
    name = scheme.lower()
    if name in _URL_SCHEMES:
        return _URL_SCHEMES[name]
    if name in TRANSPORTS and TRANSPORTS.get(name).parse_remote is not None:
        return f"{name}:"
    raise BadAddress(f"{scheme}:// is not a transport of 9P; write HOST:PORT, tcp://HOST:PORT or unix:PATH")


def _from_dial(network: str, rest: str) -> str:
    """``tcp!HOST!PORT/PATH`` as ``HOST:PORT/PATH``."""
    match network:
        case "unix":
            return f"unix:{rest}"
        case "vsock":
            return f"vsock:{rest.replace('!', ':', 1)}"
        case "il":
            raise BadAddress("IL is not supported; use tcp!HOST!PORT")
    server, slash, path = rest.partition("/")
    host, mark, port = server.partition("!")
    if not host or "!" in port or (mark and not port):
        raise BadAddress("expected tcp!HOST!PORT")
    if ":" in host:
        host = f"[{host.strip('[]')}]"
    return f"{host}:{SERVICES.get(port, port) if mark else DEFAULT_PORT}{slash}{path}"


def _row(spelt: str, *, connecting: bool = False) -> tuple[TransportType, str]:
    """The transport that an address names by its prefix (TCP without one), and what follows the
    prefix.
    """
    name, colon, rest = spelt.partition(":")
    if name not in _HOSTS and _NAME.fullmatch(name) and name in TRANSPORTS:
        row = TRANSPORTS.get(name)
        if bool(colon) == (":" in row.form) and not (connecting and row.parse_remote is None):
            return row, rest
    return TRANSPORTS.get(TCP), spelt


@contextmanager
def _naming(text: str) -> Iterator[None]:
    """Every error names the whole of what was to be read."""
    try:
        yield
    except BadAddress as error:
        words = str(error)
        raise BadAddress(words if words.startswith(repr(text)) else f"{text!r}: {words}") from None


# -- addresses to listen at -----------------------------------------------------------------------


def parse(text: str) -> Address:
    """An address to listen at, or ``BadAddress``."""
    with _naming(text):
        row, rest = _row(_own_spelling(text))
        return row.parse(rest)


def is_tcp(text: str) -> bool:
    """Whether it is not the address of another transport."""
    with _naming(text):
        return _row(_own_spelling(text))[0] is TRANSPORTS.get(TCP)


def parse_tcp(text: str) -> Tcp:
    """A TCP address to listen at, for something that has no usual port."""
    with _naming(text):
        return tcp.parse(_own_spelling(text), default_port=None)


# -- addresses to connect to ----------------------------------------------------------------------


def parse_location(text: str) -> Location:
    """An address to connect to and a path on the server (``/`` without one), or ``BadAddress``."""
    with _naming(text):
        row, rest = _row(_own_spelling(text), connecting=True)
        address, path = (rest, "/") if text.startswith("unix!") else _split(rest, row.path_mark)
        if row.parse_remote is None:
            raise BadAddress(f"expected {forms()}")
        return Location(row.parse_remote(address), path)


def _split(rest: str, mark: str) -> tuple[str, str]:
    """What of an address is the server's, and the path. Not for a dial string of a unix socket: it
    has no room for a path on the server, and Plan 9's sockets are in folders like /tmp/ns.ann.:0.
    """
    server, found, path = rest.partition(mark)
    if mark != "/":
        if found and not path.startswith("/"):
            raise BadAddress("the path after the socket must begin with '/'")
        return server, path or "/"
    if not server:
        raise BadAddress("no server before the path (HOST:PORT/PATH or unix:SOCKET:/PATH)")
    if found and server.endswith(":"):
        raise BadAddress(f"no colon before the path of an address: {server.rstrip(':')}/{path}")
    return server, found + path or "/"
