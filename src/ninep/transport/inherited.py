"""Sockets that another program opened: ``fd:N``, and ``systemd`` for socket activation."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import ClassVar, Final

from ninep.transport import Address, Bound, TransportType, parse_number
from ninep.transport.service_manager import handed_over
from ninep.transport.stored_front_end import is_stored

NOTHING_HANDED_OVER: Final = "no sockets were handed over (LISTEN_PID and LISTEN_FDS)"


@dataclass(frozen=True, slots=True)
class Descriptor(Address):
    """An inherited descriptor."""

    transport: ClassVar[str] = "fd"
    number: int

    def __str__(self) -> str:
        return f"fd:{self.number}"


@dataclass(frozen=True, slots=True)
class Systemd(Address):
    """Socket activation (sd_listen_fds(3))."""

    transport: ClassVar[str] = "systemd"

    def __str__(self) -> str:
        return "systemd"


def _bind_systemd(address: Systemd) -> Bound:
    """What was handed over, but for what this program has stored itself."""
    handed = [one.descriptor for one in handed_over() if not is_stored(one)]
    if not handed:
        raise OSError(errno.ENOENT, NOTHING_HANDED_OVER)
    return Bound(address, [_socket(number) for number in handed])


def _socket(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    return sock


DESCRIPTOR: Final = TransportType(
    form="fd:N",
    remote=lambda _: False,  # the program that opened it has decided that
    parse=lambda rest: Descriptor(parse_number(rest, "a descriptor", 0, 1 << 20)),
    bind=lambda address: Bound(address, [_socket(address.number)]),
)
SYSTEMD: Final = TransportType(
    form="systemd",
    remote=lambda _: False,
    parse=lambda _: Systemd(),
    bind=_bind_systemd,
)
