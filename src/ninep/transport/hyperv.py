"""Sockets between Windows hosts and their guests: ``hyperv:VM:SERVICE`` (Python 3.12)."""

from __future__ import annotations

import re
import socket
import uuid
from dataclasses import dataclass
from typing import ClassVar, Final

from ninep.transport import BadAddress, TransportType
from ninep.transport.hints import Hint, Mount, bridge
from ninep.transport.virtual import VirtualAddress, bind, connect_virtual

WILDCARDS: Final = {
    "any": "00000000-0000-0000-0000-000000000000",
    "children": "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
    "loopback": "e0e16197-dd56-4a10-9195-5ee7a155a838",
    "parent": "a42e7cda-d03f-480c-9cc2-a4de20abb878",
}
VSOCK_SERVICE: Final = "-facb-11e6-bd58-64006a7986d3"
"""A Linux guest's vsock port P is the service ``%08x`` of P and this (Microsoft's template for
Linux guests).
"""


@dataclass(frozen=True, slots=True)
class HyperV(VirtualAddress):
    """AF_HYPERV: GUIDs of the VM (or a wildcard) and of the service."""

    transport: ClassVar[str] = "hyperv"
    family: ClassVar[str] = "AF_HYPERV"
    needs: ClassVar[str] = "Hyper-V sockets need Windows, and Python 3.12 or newer"
    vm: str
    service: str

    def __str__(self) -> str:
        return f"hyperv:{self.vm}:{self.service}"

    @property
    def sockaddr(self) -> tuple[str, str]:
        """Both GUIDs."""
        return self.vm, self.service

    @property
    def protocol(self) -> int:
        """HV_PROTOCOL_RAW."""
        return int(getattr(socket, "HV_PROTOCOL_RAW", 1))

    @property
    def names_one(self) -> bool:
        """Two of the wildcards name many."""
        return self.vm not in {WILDCARDS["any"], WILDCARDS["children"]}


def parse(rest: str) -> HyperV:
    """An address to listen at."""
    vm, colon, service = rest.removesuffix("/").partition(":")
    if not colon:
        raise BadAddress(f"hyperv:{rest!r}: expected hyperv:VM:SERVICE")
    vm = WILDCARDS.get(vm, vm)
    if re.fullmatch("[0-9]{1,10}", service):
        service = f"{int(service):08x}{VSOCK_SERVICE}"
    try:
        return HyperV(str(uuid.UUID(vm)), str(uuid.UUID(service)))
    except ValueError:
        raise BadAddress(f"hyperv:{rest!r}: the VM and the service are GUIDs (or a wildcard, and a port)") from None


def parse_remote(rest: str) -> HyperV:
    """An address to connect to."""
    address = parse(rest)
    if not address.names_one:
        raise BadAddress("it stands for any machine: it can be listened at, not connected to")
    return address


def hints(address: HyperV, mount: Mount) -> list[Hint]:
    """A Linux guest connects to a service by its vsock port."""
    if not address.service.endswith(VSOCK_SERVICE):
        return []
    return bridge(mount, int(address.service[:8], 16))


TRANSPORT: Final = TransportType(
    form="hyperv:VM:SERVICE",
    remote=lambda _: False,
    parse=parse,
    bind=bind,
    parse_remote=parse_remote,
    connect=connect_virtual,
    hints=hints,
    uvloop=False,
    peers=frozenset(),
)
