"""Sockets between a virtual machine and its host: AF_VSOCK (Linux, vsock(7)) and AF_HYPERV (Windows, Python 3.12).

A listening one and a connected one are made the same way; which systems have them is known here.
"""

from __future__ import annotations

import errno
import socket

from ninep.transport.addresses import HYPERV_WILDCARDS, HyperV, Vsock
from ninep.transport.sockets import closed_on_error

_ANYBODY = (HYPERV_WILDCARDS["any"], HYPERV_WILDCARDS["children"])
_NEEDS = {
    "AF_VSOCK": "vsock sockets are there on Linux; a Windows host listens at hyperv:children:PORT",
    "AF_HYPERV": "Hyper-V sockets need Windows, and Python 3.12 or newer",
}
_ANY_CID = 0xFFFFFFFF  # VMADDR_CID_ANY


def virtual_socket(address: Vsock | HyperV) -> tuple[socket.socket, tuple[int, int] | tuple[str, str]]:
    """A socket of the address's family, and the address as ``bind`` and ``connect`` want it. EAFNOSUPPORT."""
    name = "AF_VSOCK" if isinstance(address, Vsock) else "AF_HYPERV"
    family = getattr(socket, name, None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, f"this system's Python has no {name}: {_NEEDS[name]}")
    if isinstance(address, Vsock):
        return socket.socket(family, socket.SOCK_STREAM), (address.cid & _ANY_CID, address.port)
    protocol = getattr(socket, "HV_PROTOCOL_RAW", 1)
    return socket.socket(family, socket.SOCK_STREAM, protocol), (address.vm, address.service)


def names_one(address: Vsock | HyperV) -> bool:
    """Whether somebody can connect there: an address for listening may stand for many machines."""
    if isinstance(address, Vsock):
        return address.cid & _ANY_CID != _ANY_CID
    return address.vm not in _ANYBODY


def connect_virtual(address: Vsock | HyperV, timeout: float | None = None) -> socket.socket:
    """A connected socket. It waits: event loops know no such addresses, so they have a thread call this."""
    sock, where = virtual_socket(address)
    with closed_on_error([sock]):
        sock.settimeout(timeout)
        sock.connect(where)
    return sock
