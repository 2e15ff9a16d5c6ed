"""What to type where an export can be reached over TCP, by the kind of address that is listened at.

QEMU's user networking shows the host's 127.0.0.1 as 10.0.2.2 and no other of its loopback
addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any, Final

from ninep.transport.hints import GUEST, HERE, Hint, Mount

QEMU_HOST: Final = "10.0.2.2"
"""The host, for a guest with QEMU's user networking."""
ELSEWHERE: Final = "on another Linux computer"
GUEST_OR_ELSEWHERE: Final = "in a Linux guest or on another computer"
WSL: Final = "in WSL 2"
MIRRORED: Final = "in WSL 2 with mirrored networking"


def tcp_hints(tcp: Any, mount: Mount) -> list[Hint]:
    """For a ``tcp.Tcp``, by which computers it can be reached from."""
    port = tcp.port
    address = _first_address(tcp.host)
    kind = next(kind for kind, means in _KINDS if means(address))
    seen = {"any": QEMU_HOST, "loopback": QEMU_HOST}.get(kind, str(address))
    if kind == "any6":  # IPv4 is not listened at with it
        seen = _own_address(socket.AF_INET6) or "::1"
    found = [Hint(_WHERE[kind], mount.tcp(seen, port))]
    if kind == "here6":
        found.append(Hint(f"{HERE}, without a mount", f"ninep ls [{address}]:{port}/"))
    if kind == "any" and (own := _own_address()):
        found.append(Hint(ELSEWHERE, mount.tcp(own, port)))
    if mount.windows:
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
    ("any6", lambda address: address.is_unspecified and address.version == 6),
    ("any", lambda address: address.is_unspecified),
    ("loopback", lambda address: address == ipaddress.IPv4Address("127.0.0.1")),
    ("here6", lambda address: address.is_loopback and address.version == 6),
    ("here", lambda address: address.is_loopback),
    ("ipv6", lambda address: address.version == 6),
    ("lan", lambda _: True),
)
IPV6: Final = "whose 9p client knows IPv6"
_WHERE: Final = {
    "any6": f"{GUEST_OR_ELSEWHERE} {IPV6}",
    "any": GUEST,
    "loopback": GUEST,
    "here6": f"{HERE}, as root, if its 9p client knows IPv6",
    "here": f"{HERE}, as root",
    "ipv6": f"{GUEST_OR_ELSEWHERE} {IPV6}",
    "lan": GUEST_OR_ELSEWHERE,
}


_ELSEWHERE: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of documentation, RFC 5737 and RFC 3849."""


def _own_address(family: socket.AddressFamily = socket.AF_INET) -> str:
    """The address that other computers see, as the routing table has it; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((_ELSEWHERE[family], 9))
            return str(sock.getsockname()[0])
    except OSError:
        return ""
