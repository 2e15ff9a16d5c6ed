"""What a service manager does for a process: it is notified (sd_notify(3)), hands over descriptors
(sd_listen_fds(3)), and stores descriptors for the next process of the service
(sd_pid_notify_with_fds(3)), which gets them the same way.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

log = logging.getLogger("ninep.server")

FIRST: Final = 3
"""SD_LISTEN_FDS_START."""

MAX_WAITING: Final = 4096
"""Datagrams that a manager has not taken; each may have a descriptor."""
_others: list[Callable[[str], None]] = []
_send: Any = getattr(socket, "send_fds", None)


class HandedOver(NamedTuple):
    """A descriptor, and its name (FDNAME, FileDescriptorName)."""

    name: str
    descriptor: int


def notify(state: str, descriptors: Sequence[int] = ()) -> None:
    """One datagram to ``$NOTIFY_SOCKET``, with descriptors. Nothing if there is none. What a manager
    does not take at once is sent later, in its order; other failures do not matter.
    """
    for one in _others:
        one(state)
    path = os.environ.get("NOTIFY_SOCKET", "")
    if getattr(socket, "AF_UNIX", None) is not None and path[:1] in {"/", "@"}:
        _later.send(path, state.encode(), descriptors)


def tell(function: Callable[[str], None]) -> None:
    """Call this, too, with each state: for a service manager that has no socket."""
    _others.append(function)


def flush(timeout: float) -> None:
    """Wait for so many seconds at most until all has been sent."""
    if not _later.flush(timeout):
        log.warning("the service manager does not read what it is told: some of that is lost")


def _send_to(path: str, state: bytes, descriptors: Sequence[int], *, wait: bool) -> None:
    family: Any = getattr(socket, "AF_UNIX", None)
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(wait)
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        try:
            if descriptors:
                _send(sock, [state], descriptors)
            else:
                sock.send(state)
        except BlockingIOError:
            raise _Full from None


class _Full(Exception):
    """The queue of the manager's socket (net.unix.max_dgram_qlen of unix(7))."""


class _Later:
    """What the manager did not take at once. A descriptor that it does not store is a connection that
    ends with this process; and an event loop must not wait for a manager that does not read. So a
    thread waits, which is there while there is something to send.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, bytes, list[int]]] = deque()

    def send(self, path: str, state: bytes, descriptors: Sequence[int]) -> None:
        with self._changed:
            if not self._waiting:
                with suppress(_Full):
                    _send_to(path, state, descriptors, wait=False)
                    return
            if len(self._waiting) == MAX_WAITING:
                log.warning("the service manager does not read what it is told: %r is lost", state)
                return
            self._waiting.append((path, state, [os.dup(one) for one in descriptors]))
            if len(self._waiting) == 1:
                threading.Thread(target=self._run, name="ninep-notify", daemon=True).start()

    def _run(self) -> None:
        left = True
        while left:
            path, state, descriptors = self._waiting[0]
            _send_to(path, state, descriptors, wait=True)
            for one in descriptors:
                os.close(one)
            with self._changed:
                self._waiting.popleft()
                left = bool(self._waiting)
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout)


_later: Final = _Later()


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
