"""What a service manager does for a process: it is notified (sd_notify(3)), hands over descriptors
(sd_listen_fds(3)), and stores descriptors for the next process of the service
(sd_pid_notify_with_fds(3)), which gets them the same way.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

FIRST: Final = 3
"""SD_LISTEN_FDS_START."""

_send: Any = getattr(socket, "send_fds", None)


class HandedOver(NamedTuple):
    """A descriptor, and its name (FDNAME, FileDescriptorName)."""

    name: str
    descriptor: int


def notify(state: str, descriptors: Sequence[int] = ()) -> None:
    """One datagram to ``$NOTIFY_SOCKET``, with descriptors. Nothing if there is none; failures do
    not matter.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    family = getattr(socket, "AF_UNIX", None)
    if family is None or path[:1] not in {"/", "@"}:
        return
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # a manager that does not read must not keep the server from serving
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        if descriptors:
            _send(sock, [state.encode()], descriptors)
        else:
            sock.send(state.encode())


def stores() -> bool:
    """Whether there is a service manager that may store descriptors (FDSTORE=1 of sd_notify(3))."""
    return bool(os.environ.get("NOTIFY_SOCKET")) and _send is not None


def store(name: str, descriptor: int) -> None:
    """Store a descriptor. It remains the caller's."""
    notify(f"FDSTORE=1\nFDNAME={name}", [descriptor])


def remove(name: str) -> None:
    """Close what is stored under a name."""
    notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def handed_over() -> list[HandedOver]:
    """The descriptors that this process was started with: LISTEN_PID must be us, LISTEN_FDS says
    how many.
    """
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return []
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * int(count)
    return [HandedOver(names[number], FIRST + number) for number in range(int(count))]
