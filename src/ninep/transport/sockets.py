"""A socket that is being made is closed if that fails, whatever the reason; and how one learns that
the other end is gone.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

_GONE_AFTER: Final = 15
"""Seconds without an answer of the other machine's kernel."""
_KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 5),
    ("TCP_KEEPALIVE", 5),  # macOS
    ("TCP_KEEPINTVL", 5),
    ("TCP_KEEPCNT", 2),
    ("TCP_USER_TIMEOUT", 1000 * _GONE_AFTER),  # for data that were sent; Linux
)


@contextmanager
def closed_on_error(sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Close the sockets (those that are in it by then, if it grows meanwhile) when the
    block fails.
    """
    try:
        yield
    except BaseException:
        for sock in sockets:
            sock.close()
        raise


def notice_loss(sock: Any) -> None:
    """Let a TCP connection end soon after the machine at its other end, which closes nothing, lost power
    or its network. What is no socket of TCP stays as it is.
    """
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
