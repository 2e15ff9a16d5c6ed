"""What to type where an export can be reached: one table, from what is listened at to who can use it and how.

What the ways need: Linux's client takes ``trans=tcp`` with an IPv4 address in digits (it resolves no names; IPv6 only in recent kernels),
``trans=unix`` with a path of the same machine, ``trans=fd`` with a descriptor that a program opened (net/9p/trans_fd.c). QEMU's user networking shows
the host's 127.0.0.1 as 10.0.2.2 and no other of its loopback addresses.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

from ninep.transport import addresses
from ninep.transport.addresses import Address, HyperV, Tcp, Unix, Vsock

QEMU_HOST: Final = "10.0.2.2"
"""The host, for a guest with QEMU's user networking."""
GUEST: Final = "in a Linux guest"
HERE: Final = "on this computer"
ELSEWHERE: Final = "on another Linux computer"
GUEST_OR_ELSEWHERE: Final = "in a Linux guest or on another computer"
WSL: Final = "in WSL 2"
MIRRORED: Final = "in WSL 2 with mirrored networking"
BRIDGE: Final = "/run/ninep.sock"
WINDOWS: Final = hasattr(socket, "SO_EXCLUSIVEADDRUSE")
"""Winsock's own option: only there are Linux guests of WSL."""
LARGEST_MSIZE: Final = 1 << 20
"""What Linux's client takes over TCP and unix sockets."""


class Hint(NamedTuple):
    """Where something can be typed, and what."""

    where: str
    line: str


class Mount(NamedTuple):
    """The parts of a mount command that all ways have in common."""

    name: str
    msize: int

    def line(self, transport: str, device: str) -> str:
        """The command; empty if mount(8) cannot say the name (a comma ends an option, and it knows no escape here)."""
        if "," in self.name:
            return ""
        options = f"{transport},version=9p2000.L,msize={min(self.msize, LARGEST_MSIZE)}"
        options += f",aname={self.name}" if self.name else ""
        return shlex.join(["mount", "-t", "9p", "-o", options, device, "/mnt"])

    def tcp(self, host: str, port: int) -> str:
        """Over TCP."""
        return self.line(f"trans=tcp,port={port}", host)

    def unix(self, path: str) -> str:
        """Over a unix socket."""
        return self.line("trans=unix", path)


def hints(place: Address, name: str, msize: int, *, windows: bool = WINDOWS) -> list[Hint]:
    """What to type for an export at a place that is listened at; nothing for descriptors, whose other end is not known."""
    mount = Mount(name, msize)
    match place:
        case Tcp(host, port):
            found = _tcp(mount, host, port, windows)
        case Unix(path):
            found = [Hint(f"{HERE}, as root", mount.unix(os.path.abspath(path)))]
        case Vsock(cid, port):
            found = _vsock(mount, cid, port)
        case HyperV(_, service) if service.endswith(addresses.VSOCK_SERVICE):
            found = _bridge(mount, int(service[:8], 16))
        case _:
            found = []
    return [hint for hint in found if hint.line]


def _tcp(mount: Mount, host: str, port: int, windows: bool) -> list[Hint]:
    address = _first_address(host)
    kind = next(kind for kind, means in _KINDS if means(address))
    seen = {"any": QEMU_HOST, "loopback": QEMU_HOST}.get(kind, str(address))
    found = [Hint(_WHERE[kind], mount.tcp(seen, port))]
    if kind == "any" and (own := _own_address()):
        found.append(Hint(ELSEWHERE, mount.tcp(own, port)))
    if windows:
        wsl = {
            "loopback": Hint(MIRRORED, mount.tcp("127.0.0.1", port)),
            "lan": Hint(WSL, mount.tcp(str(address), port)),
        }
        if kind == "any" and own:
            wsl["any"] = Hint(WSL, mount.tcp(own, port))
        found += [wsl[kind]] if kind in wsl else []
    return found


def _first_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address that a host's name stands for, IPv4 if there is one."""
    if not host:
        return ipaddress.IPv4Address(0)
    found = [str(where[4][0]) for where in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    return min(map(ipaddress.ip_address, found), key=lambda address: address.version)


_KINDS: Final[tuple[tuple[str, Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool]], ...]] = (
    ("any", lambda address: address.is_unspecified),
    ("loopback", lambda address: address == ipaddress.IPv4Address("127.0.0.1")),
    ("here", lambda address: address.is_loopback),
    ("ipv6", lambda address: address.version == 6),
    ("lan", lambda _: True),
)
_WHERE: Final = {
    "any": GUEST,
    "loopback": GUEST,
    "here": HERE,
    "ipv6": f"{GUEST_OR_ELSEWHERE} whose 9p client knows IPv6",
    "lan": GUEST_OR_ELSEWHERE,
}


def _own_address() -> str:
    """The IPv4 address that other computers see, as the routing table has it; nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("192.0.2.1", 9))
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def _vsock(mount: Mount, cid: int, port: int) -> list[Hint]:
    if cid == 1:  # VMADDR_CID_LOCAL
        return [Hint(HERE, f"ninep ls vsock:1:{port}/")]
    return _bridge(mount, port)


def _bridge(mount: Mount, port: int) -> list[Hint]:
    """A kernel mounts a vsock connection that a program opened for it (``trans=fd``); socat does that behind a unix socket."""
    line = mount.unix(BRIDGE)
    socat = f"socat UNIX-LISTEN:{BRIDGE} VSOCK-CONNECT:2:{port} & sleep 1; "
    return [Hint(GUEST, line and socat + line), Hint(f"{GUEST}, without a mount", f"ninep ls vsock:2:{port}/")]
