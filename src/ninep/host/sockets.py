"""Options of sockets whose values are structures of C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any, Final, NamedTuple


class Credentials(NamedTuple):
    """The process that called connect(2) on a unix socket, not the one that writes now."""

    uid: int
    gid: int | None
    """None where the kernel names no group."""
    pid: int | None
    """None where the kernel does not say (macOS, FreeBSD)."""


_UCRED: Final = Struct("=iII")
_XUCRED: Final = Struct("=IIhxx16I")
_TIMEVAL: Final = Struct("@ll")


def peer_credentials(sock: Any) -> Credentials | None:
    """Of the other end of a unix socket; None where nothing is known, as of a socketpair of some
    systems.
    """
    for name, ask in _OPTIONS:
        option = getattr(socket, name, None)
        if option is not None:
            with suppress(OSError):
                return ask(sock, option)
    return None


def _ucred(sock: Any, option: int) -> Credentials:
    """``struct ucred``, unix(7)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return Credentials(uid, gid, pid)


def _xucred(sock: Any, option: int) -> Credentials:
    """``struct xucred``, unix(4) of macOS and FreeBSD; level 0 is SOL_LOCAL."""
    _version, uid, count, *groups = _XUCRED.unpack(sock.getsockopt(0, option, _XUCRED.size))
    return Credentials(uid, groups[0] if count else None, None)


_OPTIONS: Final[tuple[tuple[str, Callable[[Any, int], Credentials]], ...]] = (
    ("SO_PEERCRED", _ucred),
    ("LOCAL_PEERCRED", _xucred),
)


def set_receive_timeout(sock: socket.socket, seconds: float) -> None:
    """How long a ``recv`` that finds nothing waits (SO_RCVTIMEO, socket(7): a ``struct timeval``).
    The kernel rounds up to its tick, 1 to 10 ms.
    """
    whole = int(seconds)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))
