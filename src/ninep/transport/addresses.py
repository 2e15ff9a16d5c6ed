"""Addresses as people write them: where a server listens, and where on a server a file is.

==================  ================================================================================
``HOST:PORT``       TCP; ``[::1]:5640`` for IPv6; ``:5640`` on every interface; port 0 lets the system choose
``PORT``            TCP, the loopback interface
``unix:PATH``       a unix socket
``fd:N``            an inherited descriptor: a listening socket, or a connected one
``stdio``           standard input and output (inetd; a program at the other end of a pipe)
``systemd``         the sockets handed over by socket activation (LISTEN_FDS)
``vsock:CID:PORT``  a virtual machine's socket; CID -1 is any
``hyperv:VM:PORT``  a Hyper-V socket; VM a GUID, ``any`` or ``children``; PORT a service GUID or a vsock port number
==================  ================================================================================

The spellings of other programs are read too: ``tcp:HOST:PORT``, URLs (``tcp://HOST:PORT``, ``9p://HOST:PORT``, ``unix:///PATH``,
``vsock://CID:PORT``), and the dial strings of Plan 9 (``tcp!HOST!PORT``, ``unix!PATH``; dial(2) there). ``parse`` reads an address to listen at,
``parse_location`` one to connect to with a path on the server behind it (``HOST:PORT/dir/file``, ``unix:SOCKET:/dir/file``).
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import Final, NamedTuple

DEFAULT_PORT: Final = 5640
LOOPBACK_HOST: Final = "127.0.0.1"
DEFAULT: Final = f"{LOOPBACK_HOST}:{DEFAULT_PORT}"
FORMS: Final = "HOST:PORT, unix:PATH, fd:N, stdio, systemd, vsock:CID:PORT or hyperv:VM:SERVICE"
SERVICES: Final = {"9fs": 564, "9pfs": 564, "styx": 6666}
"""Services of 9P by name: Plan 9's /lib/ndb/common, IANA's registry."""


class BadAddress(ValueError):
    """An address that cannot be read; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """``host`` empty: every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    """A socket in the file system."""

    path: str
    mode: int = 0o600
    """Permissions of the socket: who may write, may connect (and attach)."""

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An inherited descriptor."""

    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


@dataclass(frozen=True, slots=True)
class Stdio:
    """Standard input and output."""

    def __str__(self) -> str:
        return "stdio"


@dataclass(frozen=True, slots=True)
class Systemd:
    """Socket activation (sd_listen_fds(3))."""

    def __str__(self) -> str:
        return "systemd"


@dataclass(frozen=True, slots=True)
class Vsock:
    """AF_VSOCK."""

    cid: int
    port: int

    def __str__(self) -> str:
        return f"vsock:{self.cid}:{self.port}"


@dataclass(frozen=True, slots=True)
class HyperV:
    """AF_HYPERV: GUIDs of the VM (or a wildcard) and of the service."""

    vm: str
    service: str

    def __str__(self) -> str:
        return f"hyperv:{self.vm}:{self.service}"


Address = Tcp | Unix | Descriptor | Stdio | Systemd | Vsock | HyperV

HYPERV_WILDCARDS = {
    "any": "00000000-0000-0000-0000-000000000000",
    "children": "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
    "loopback": "e0e16197-dd56-4a10-9195-5ee7a155a838",
    "parent": "a42e7cda-d03f-480c-9cc2-a4de20abb878",
}
VSOCK_SERVICE = "-facb-11e6-bd58-64006a7986d3"
"""A Linux guest's vsock port P is the service ``%08x`` of P and this (Microsoft's template for Linux guests)."""


class Location(NamedTuple):
    """An address to connect to, and the path on the server; the path begins with ``/``."""

    address: Tcp | Unix | Vsock | HyperV
    path: str


def _number(text: str, what: str, low: int, high: int) -> int:
    if not re.fullmatch("-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise BadAddress(f"{text!r} is not {what} ({low} to {high})")
    return int(text)


# -- one spelling for each form ------------------------------------------------------------------------------------------

_DIAL: Final = re.compile(r"(tcp|net|il|unix|vsock)!(.*)", re.DOTALL)
_URL: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_URL_SCHEMES: Final = {
    "tcp": "",
    "9p": "",
    "9p+tcp": "",
    "unix": "unix:",
    "9p+unix": "unix:",
    "vsock": "vsock:",
    "hyperv": "hyperv:",
}
"""What stands before the rest in our own spelling."""


def _own_spelling(text: str) -> str:
    """``HOST:PORT...``, ``unix:PATH...`` and so on for a URL, ``tcp:...`` or a dial string; others unchanged."""
    if "\0" in text:
        raise BadAddress(f"{text!r}: embedded null byte")
    if dial := _DIAL.fullmatch(text):
        return _from_dial(text, dial[1], dial[2])
    if url := _URL.fullmatch(text):
        prefix = _URL_SCHEMES.get(url[1].lower())
        if prefix is None:
            raise BadAddress(
                f"{text!r}: {url[1]}:// is not a transport of 9P; write HOST:PORT, tcp://HOST:PORT or unix:PATH"
            )
        return prefix + url[2]
    if re.match(r"[A-Za-z]:[\\/]|\\\\", text):
        raise BadAddress(f"{text!r} is a path on this computer; an address is written HOST:PORT")
    return text.removeprefix("tcp:") if text.startswith("tcp:") else text


def _from_dial(text: str, network: str, rest: str) -> str:
    """``tcp!HOST!PORT/PATH`` as ``HOST:PORT/PATH``."""
    match network:
        case "unix":
            return f"unix:{rest}"
        case "vsock":
            return f"vsock:{rest.replace('!', ':', 1)}"
        case "il":
            raise BadAddress(f"{text!r}: IL is not supported; use tcp!HOST!PORT")
    server, slash, path = rest.partition("/")
    host, mark, port = server.partition("!")
    if not host or "!" in port or (mark and not port):
        raise BadAddress(f"{text!r}: expected tcp!HOST!PORT")
    if ":" in host:
        host = f"[{host.strip('[]')}]"
    return f"{host}:{SERVICES.get(port, port) if mark else DEFAULT_PORT}{slash}{path}"


def _tcp(server: str, text: str) -> tuple[str, int | None]:
    """Host and port of ``HOST:PORT``, ``[V6]:PORT`` or ``HOST``; a bare number is a port of the loopback interface."""
    if server.isascii() and server.isdigit():
        return LOOPBACK_HOST, _number(server, "a port", 0, 65535)
    if server.startswith("["):
        host, bracket, rest = server[1:].partition("]")
        if not _is_ipv6(host) or not bracket or (rest and not rest.startswith(":")):
            raise BadAddress(f"{text!r}: an IPv6 address is written [ADDRESS]:PORT")
    else:
        if _is_ipv6(server):
            raise BadAddress(f"{text!r}: write an IPv6 address in brackets, [{server}]:{DEFAULT_PORT}")
        host, colon, port = server.partition(":")
        if ":" in port:
            host, _, port = server.rpartition(":")
            words = f"in brackets, [{host}]:{port}" if _is_ipv6(host) else "as [ADDRESS]:PORT"
            raise BadAddress(f"{text!r}: write an IPv6 address {words}")
        rest = colon + port
    if "@" in host:
        raise BadAddress(f"{text!r}: no user stands before the host in an address of 9P")
    return ("" if host == "*" else host), _number(rest[1:], "a port", 0, 65535) if rest else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _vsock(text: str) -> Vsock:
    cid, colon, port = text.partition(":")
    if not colon:
        raise BadAddress(f"vsock:{text!r}: expected vsock:CID:PORT (CID 2 is the host, 1 this machine, -1 any)")
    return Vsock(_number(cid, "a CID", -1, 0xFFFFFFFF), _number(port, "a vsock port", 0, 0xFFFFFFFF))


def _hyperv(rest: str) -> HyperV:
    vm, colon, service = rest.partition(":")
    if not colon:
        raise BadAddress(f"hyperv:{rest!r}: expected hyperv:VM:SERVICE")
    vm = HYPERV_WILDCARDS.get(vm, vm)
    if re.fullmatch("[0-9]{1,10}", service):
        service = f"{int(service):08x}{VSOCK_SERVICE}"
    try:
        return HyperV(str(uuid.UUID(vm)), str(uuid.UUID(service)))
    except ValueError:
        raise BadAddress(f"hyperv:{rest!r}: the VM and the service are GUIDs (or a wildcard, and a port)") from None


# -- addresses to listen at ----------------------------------------------------------------------------------------------


def parse(text: str) -> Address:
    """An address to listen at, or ``BadAddress``."""
    scheme, colon, rest = (spelt := _own_spelling(text)).partition(":")
    match scheme, colon:
        case "stdio", "":
            return Stdio()
        case "systemd", "":
            return Systemd()
        case "unix", ":":
            if not rest:
                raise BadAddress("unix: needs a path")
            return Unix(rest)
        case "fd", ":":
            return Descriptor(_number(rest, "a descriptor", 0, 1 << 20))
        case "vsock", ":":
            return _vsock(rest.removesuffix("/"))
        case "hyperv", ":":
            return _hyperv(rest.removesuffix("/"))
        case _:
            return parse_tcp(text, spelt, DEFAULT_PORT)


def parse_tcp(text: str, spelt: str | None = None, default_port: int | None = None) -> Tcp:
    """A TCP address to listen at. ``default_port``: meant where ``localhost`` or an IP address has no port; any other word alone is more likely
    misspelt than a host.
    """
    spelt = _own_spelling(text) if spelt is None else spelt
    if spelt.startswith(("/", "./", "../", "~")):
        raise BadAddress(f"{text!r}: expected {FORMS}; a unix socket is written unix:{spelt}")
    server, _, path = spelt.partition("/")
    if path:
        raise BadAddress(f"{text!r}: no path is listened at; a folder is chosen by its name (--export NAME=DIR)")
    if not server:
        raise BadAddress(f"{text!r}: expected {FORMS}")
    host, port = _tcp(server, text)
    if port is None and (host == "localhost" or _is_ip(host)):
        port = default_port
    if port is None:
        raise BadAddress(f"{text!r}: expected {FORMS}")
    return Tcp(host, port)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


# -- addresses to connect to ---------------------------------------------------------------------------------------------


def parse_location(text: str) -> Location:
    """An address to connect to and a path on the server (``/`` without one), or ``BadAddress``. ``Tcp`` with an empty host is this computer."""
    spelt = _own_spelling(text)
    if spelt.startswith("unix:"):
        # A dial string has no place for a path on the server, and Plan 9's sockets are in folders like /tmp/ns.ann.:0.
        return (
            Location(Unix(spelt[5:]), "/") if text.startswith("unix!") and spelt != "unix:" else _unix_location(spelt)
        )
    server, slash, path = spelt.partition("/")
    path = slash + path or "/"
    scheme, _, rest = server.partition(":")
    if scheme in {"vsock", "hyperv"}:
        return Location(_vsock(rest) if scheme == "vsock" else _hyperv(rest), path)
    if not server:
        raise BadAddress(f"{text!r}: no server before the path (HOST:PORT/PATH or unix:SOCKET:/PATH)")
    if slash and server.endswith(":"):
        raise BadAddress(f"{text!r}: no colon before the path of a TCP address: {server.rstrip(':')}{path}")
    host, port = _tcp(server, text)
    if port == 0:
        raise BadAddress(f"{text!r}: '0' is not a port number (1 to 65535)")
    return Location(Tcp(host, DEFAULT_PORT if port is None else port), path)


def _unix_location(text: str) -> Location:
    """``unix:SOCKET`` or ``unix:SOCKET:/PATH``: SOCKET has no ``:`` here."""
    socket, colon, path = text.removeprefix("unix:").partition(":")
    if not socket:
        raise BadAddress(f"{text!r}: no socket after 'unix:'")
    if colon and not path.startswith("/"):
        raise BadAddress(f"{text!r}: the path after the socket must begin with '/'")
    return Location(Unix(socket), path or "/")
