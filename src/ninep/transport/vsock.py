"""Sockets between Linux guests and hosts: ``vsock:CID:PORT`` (vsock(7))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from ninep.transport import BadAddress, TransportType, parse_number
from ninep.transport.hints import HERE, Hint, Mount, bridge
from ninep.transport.virtual import VirtualAddress, bind, connect_virtual

_ANY_CID: Final = 0xFFFFFFFF  # VMADDR_CID_ANY
_LOCAL_CID: Final = 1  # VMADDR_CID_LOCAL


@dataclass(frozen=True, slots=True)
class Vsock(VirtualAddress):
    """AF_VSOCK."""

    transport: ClassVar[str] = "vsock"
    family: ClassVar[str] = "AF_VSOCK"
    needs: ClassVar[str] = "vsock sockets are there on Linux; a Windows host listens at hyperv:children:PORT"
    cid: int
    port: int

    def __str__(self) -> str:
        return f"vsock:{self.cid}:{self.port}"

    @property
    def sockaddr(self) -> tuple[int, int]:
        """CID and port, unsigned."""
        return self.cid & _ANY_CID, self.port

    @property
    def names_one(self) -> bool:
        """VMADDR_CID_ANY names every machine."""
        return self.cid & _ANY_CID != _ANY_CID


def parse(rest: str) -> Vsock:
    """An address to listen at."""
    cid, colon, port = rest.removesuffix("/").partition(":")
    if not colon:
        raise BadAddress(f"vsock:{rest!r}: expected vsock:CID:PORT (CID 2 is the host, 1 this machine, -1 any)")
    return Vsock(parse_number(cid, "a CID", -1, _ANY_CID), parse_number(port, "a vsock port", 0, 0xFFFFFFFF))


def parse_remote(rest: str) -> Vsock:
    """An address to connect to."""
    address = parse(rest)
    if not address.names_one:
        raise BadAddress("it stands for any machine: it can be listened at, not connected to")
    return address


def hints(address: Vsock, mount: Mount) -> list[Hint]:
    """For a guest, unless only this machine can connect."""
    if address.cid == _LOCAL_CID:
        return [Hint(HERE, f"ninep ls vsock:1:{address.port}/")]
    return bridge(mount, address.port)


TRANSPORT: Final = TransportType(
    form="vsock:CID:PORT",
    remote=lambda _: False,
    parse=parse,
    bind=bind,
    parse_remote=parse_remote,
    connect=connect_virtual,
    hints=hints,
    peers=frozenset({"cid"}),
    uvloop=False,
)
