"""The other end of a connection, as far as the transport can tell: an address, a user of this
machine, a virtual machine.

What a client says of itself (uname, n_uname) is the client's word; this is the kernel's. A peer
that the kernel says nothing about has no address and no uid, and matches no rule that asks for one.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import Any

from ninep.host.sockets import peer_credentials

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side; ``str`` of it goes to logs."""

    shown: str = "?"
    address: IPAddress | None = None
    """TCP: where from. An IPv4 address that came through an IPv6 socket is an IPv4 address."""
    uid: int | None = None
    """Unix sockets: the user and group of the process that connected."""
    gid: int | None = None
    cid: int | None = None
    """Vsock: the virtual machine."""
    vm: str | None = None
    """Hyper-V sockets: the virtual machine's GUID."""
    device: str | None = None
    """Virtio devices: the tag. One user may run several virtual machines."""
    certificate: tuple[str, ...] | None = None
    """TLS: the names of the certificate that the other side has shown and a CA has signed, the common
    name first; empty while it still has to show one. None: none is asked for.
    """

    def __str__(self) -> str:
        return self.shown

    @property
    def account(self) -> object:
        """Peers of one account count together against what one of them may have; None for those
        that nothing is known of.

        A user of this computer has all of 127.0.0.0/8, and ::1; a host with an IPv6 address has the
        2^64 of its network (RFC 4291, 2.5.4).
        """
        address: object = self.address
        if self.address is not None and self.address.is_loopback:
            address = "loopback"
        elif isinstance(self.address, ipaddress.IPv6Address):
            address = self.address.packed[:8]
        known = (("address", address), ("uid", self.uid), ("cid", self.cid), ("vm", self.vm))
        return next((what for what in known if what[1] is not None), None)

    @property
    def source(self) -> object:
        """Peers of one source share their lines in the log (``logs.RateLimit``): those of an
        account, but each virtual machine has its own; what nothing is known of is its own source.
        """
        return (self.account or self.shown, self.device)


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """The peer of a transport."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return Peer("pipe")
    name = transport.get_extra_info("peername")
    match _family(sock.family):
        case "AF_INET" | "AF_INET6" if isinstance(name, tuple):
            return _tcp(str(name[0]), int(name[1]))
        case "AF_UNIX":
            return unix_peer(sock)
        case "AF_VSOCK" if isinstance(name, tuple):
            return Peer(f"vsock:{name[0]}:{name[1]}", cid=int(name[0]))
        case "AF_HYPERV" if isinstance(name, tuple):
            return Peer(f"hyperv:{name[0]}", vm=str(name[0]).lower())
        case family:
            return Peer(f"{family} socket {sock.fileno()}")


def _family(number: int) -> str:
    try:
        return socket.AddressFamily(number).name
    except ValueError:
        return f"family {number}"


def _tcp(host: str, port: int) -> Peer:
    address: IPAddress = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return Peer(f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}", address)


def unix_peer(sock: Any) -> Peer:
    """The process at the other end of a unix socket."""
    found = peer_credentials(sock)
    if found is None:
        return Peer(f"unix socket {sock.fileno()}")
    pid = "" if found.pid is None else f" pid={found.pid}"
    return Peer(f"unix uid={found.uid}{pid}", uid=found.uid, gid=found.gid)
