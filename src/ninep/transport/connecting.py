"""Connecting to an address, by its transport: for blocking clients and for asyncio."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

from ninep.transport import Address, BadAddress, transport_of


def connect(address: Address, timeout: float | None = None) -> socket.socket:
    """A connected socket; it blocks. ``OSError``; EOPNOTSUPP for an address that can only be
    listened at.
    """
    connect_to = transport_of(address).connect
    if connect_to is None:
        raise OSError(errno.EOPNOTSUPP, f"{address} can be listened at, not connected to")
    return connect_to(address, timeout)


async def dial(
    loop: Any,
    make: Callable[[], Any],
    address: Address,
    timeout: float | None = None,  # noqa: ASYNC109 - the thread has to end, too
) -> None:
    """As ``connect``, in an event loop, with a protocol that ``make`` makes; in a thread where the
    loop cannot.
    """
    row = transport_of(address)
    if row.dial is not None:
        await row.dial(loop, make, address)
        return
    sock = await loop.run_in_executor(None, connect, address, timeout)
    await loop.create_connection(make, sock=sock)


def with_files(address: Address, ca: str | None, cert: str | None, key: str | None, psk: str | None = None) -> Address:
    """The address with the files that TLS needs there, if any is given. ``BadAddress`` for one that has
    no use for them.
    """
    if not (ca or cert or key or psk):
        return address
    known = transport_of(address).with_files
    if known is None:
        raise BadAddress(
            f"{address} is not TLS, which tls_ca, tls_cert, tls_key and tls_psk are for: write tls://HOST:PORT"
        )
    return known(address, ca or "", cert or "", key or "", psk or "")
