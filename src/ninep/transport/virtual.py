"""What AF_VSOCK (Linux, vsock(7)) and AF_HYPERV (Windows, Python 3.12) have in common: sockets
between a virtual machine and its host. A listening one and a connected one are made the same way.
"""

from __future__ import annotations

import errno
import socket
from abc import abstractmethod
from typing import ClassVar

from ninep.transport import BACKLOG, Address, Bound
from ninep.transport.sockets import closed_on_error


class VirtualAddress(Address):
    """The address of a socket between virtual machines."""

    __slots__ = ()

    family: ClassVar[str]
    """The name of its address family in ``socket``."""
    needs: ClassVar[str]
    """What to do where there is none."""

    @property
    @abstractmethod
    def sockaddr(self) -> tuple[int, int] | tuple[str, str]:
        """As ``bind`` and ``connect`` want it."""

    @property
    def protocol(self) -> int:
        """Of the socket."""
        return 0

    @property
    @abstractmethod
    def names_one(self) -> bool:
        """Whether it is one machine, to connect to: an address for listening may stand for many."""


def virtual_socket(address: VirtualAddress) -> socket.socket:
    """A socket of the address's family. EAFNOSUPPORT."""
    family = getattr(socket, address.family, None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, f"this system's Python has no {address.family}: {address.needs}")
    return socket.socket(family, socket.SOCK_STREAM, address.protocol)


def bind(address: VirtualAddress) -> Bound:
    """A listening socket."""
    sock = virtual_socket(address)
    with closed_on_error([sock]):
        sock.bind(address.sockaddr)
        sock.listen(BACKLOG)
    return Bound(address, [sock])


def connect_virtual(address: VirtualAddress, timeout: float | None = None) -> socket.socket:
    """A connected socket. It waits: event loops know no such addresses, so they have a thread call
    this.
    """
    sock = virtual_socket(address)
    with closed_on_error([sock]):
        sock.settimeout(timeout)
        sock.connect(address.sockaddr)
    return sock
