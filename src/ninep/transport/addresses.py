"""Addresses as people write them.

==================  ================================================================================
``HOST:PORT``       TCP; ``[::1]:5640`` for IPv6; ``:5640`` on every interface; port 0 lets the system choose
``unix:PATH``       a unix socket
``fd:N``            an inherited descriptor: a listening socket, or a connected one
``stdio``           standard input and output (inetd; a program at the other end of a pipe)
``systemd``         the sockets handed over by socket activation (LISTEN_FDS)
``vsock:CID:PORT``  a virtual machine's socket; CID -1 is any
``hyperv:VM:PORT``  a Hyper-V socket; VM a GUID, ``any`` or ``children``; PORT a service GUID or a vsock port number
==================  ================================================================================
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

DEFAULT = "127.0.0.1:5640"


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


def _number(text: str, what: str, low: int, high: int) -> int:
    if not re.fullmatch("-?[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise BadAddress(f"{text!r} is not {what} ({low} to {high})")
    return int(text)


def _tcp(text: str) -> Tcp:
    host, colon, port = text.rpartition(":")
    if not colon:
        raise BadAddress(
            f"{text!r}: expected HOST:PORT, unix:PATH, fd:N, stdio, systemd, vsock:CID:PORT or hyperv:VM:SERVICE"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise BadAddress(f"{text!r}: write an IPv6 address in brackets, [{host}]:{port}")
    return Tcp(host, _number(port, "a port", 0, 65535))


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


def parse(text: str) -> Address:
    """An address, or ``BadAddress``."""
    scheme, colon, rest = text.partition(":")
    match scheme, colon:
        case "stdio", "":
            return Stdio()
        case "systemd", "":
            return Systemd()
        case "unix", ":":
            if not rest or "\0" in rest:
                raise BadAddress("unix: needs a path")
            return Unix(rest)
        case "fd", ":":
            return Descriptor(_number(rest, "a descriptor", 0, 1 << 20))
        case "vsock", ":":
            cid, _, port = rest.partition(":")
            return Vsock(_number(cid, "a CID", -1, 0xFFFFFFFF), _number(port, "a vsock port", 0, 0xFFFFFFFF))
        case "hyperv", ":":
            return _hyperv(rest)
        case _:
            return _tcp(text)
