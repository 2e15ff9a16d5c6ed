"""Addresses of servers, and locations: an address with a path on the server.

============================  =============================================
``HOST``                      TCP, port 5640 (where ``ninep serve`` listens)
``HOST:PORT``                 TCP
``[V6ADDRESS]:PORT``          TCP over IPv6
``PORT``                      TCP, this computer
``tls:HOST:PORT``             TLS over TCP; ``tls://HOST:PORT``
``unix:SOCKET``               a unix socket; SOCKET is a path without ``:``
``vsock:CID:PORT``            a vsock: CID 2 is the host, 1 this machine
``hyperv:VM:SERVICE``         a Hyper-V socket: GUIDs, ``parent``, a vsock port
============================  =============================================

A *location* is an address followed by a path on the server: ``HOST:PORT/dir/file``,
``unix:SOCKET:/dir/file``, ``vsock:2:5640/dir/file``. Without a path it means the root of the
export. URLs (``tcp://HOST:PORT/dir/file``, ``9p://HOST``) and the dial strings of Plan 9
(``tcp!HOST!PORT``) are accepted as well: ``transport.addresses`` parses them all.
Transports of other packages have prefixes of their own.
"""

from __future__ import annotations

from ninep.transport import Address
from ninep.transport.addresses import Location, parse_location

__all__ = ["Address", "Location", "parse_address", "parse_location"]


def parse_address(text: str) -> Address:
    """Parse an address without a path (a URL may end with ``/``). ``ValueError`` for anything
    else.
    """
    location = parse_location(text)
    if location.path != "/" or (text.endswith("/") and "://" not in text):
        raise ValueError(f"{text!r} is a path on a server; an address was expected")
    return location.address
