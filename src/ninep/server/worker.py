"""One of several processes that serve: what it and its parent say to each other, on a socket
between them. See ``workers``.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, NamedTuple

CONNECTION: Final = b"+"
PING: Final = b"?"
"""What the parent sends: a connection, with its descriptor and the number of the listening socket
that it is from (two bytes), or nothing but a question. Each message is answered.
"""
READY: Final = b"!"
ANSWER: Final = b"."
ENDED: Final = b"-"
"""What a worker sends: it serves, it has taken a message, a connection has ended."""

TAKEN_WITHIN: Final = 0.25
HANGING_WITHIN: Final = 6.0
KILLED_WITHIN: Final = 2.0
"""What SIGKILL does not end in time waits in the kernel for a device, and is left to it."""

MOST_SAID: Final = 1 << 12
"""Bytes and descriptors that are received at once: more than there can be."""

_send: Any = getattr(socket, "send_fds", None)
_receive: Any = getattr(socket, "recv_fds", None)


def can_hand_over() -> bool:
    """Whether this system's Python sends descriptors (SCM_RIGHTS)."""
    return _send is not None and _receive is not None


class Handed(NamedTuple):
    """A connection, and the number of the listening socket that it came to."""

    number: int
    sock: socket.socket


def _read(said: bytes, descriptors: Sequence[int]) -> tuple[int, list[Handed]]:
    """What the parent said: how many messages, and the connections among them."""
    count = at = 0
    numbers: list[int] = []
    while at < len(said):
        count += 1
        at += 1
        if said[at - 1 : at] == CONNECTION:
            numbers.append(int.from_bytes(said[at : at + 2], "little"))
            at += 2
    connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
    return count, [Handed(*one) for one in zip(numbers, connections, strict=True)]


class Worker:
    """One process, as the parent sees it."""

    def __init__(self, pid: int, control: socket.socket, place: int, theirs: socket.socket) -> None:
        self.pid = pid
        self.place = place
        """Which of them it is; one that is started in its stead is the same."""
        self.control = control
        self.theirs = theirs
        """The worker's end of ``control``: what it has not received yet can be received here."""
        self.connections = 0
        self.began = monotonic()
        self.ready = False
        self.aside = False
        self.asked_to_end = False
        self.killed = 0.0
        """When."""
        self.owes = 0
        """Messages that it has not answered ..."""
        self.since = self.began
        """... and since when; or when it answered the last one."""

    def late(self, now: float) -> bool:
        """It has owed an answer for so long that no connection should wait for it."""
        return self.owes > 0 and now - self.since > TAKEN_WITHIN

    def due(self, began: float, deadline: float) -> float:
        """When, since the end began, it is to be forced: one whose event loop hangs need not be
        waited for as long.
        """
        if self.killed:
            return self.killed + KILLED_WITHIN
        return min(deadline, began + HANGING_WITHIN) if self.owes else deadline

    def send(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """``OSError`` if it is dead, or its line is full."""
        if descriptors:
            _send(self.control, [message], descriptors)
        else:
            self.control.send(message)
        if not self.owes:
            self.since = monotonic()
        self.owes += 1

    def hand(self, connection: socket.socket, number: int) -> None:
        """Give it a connection that came to the listening socket of this number. ``OSError`` as of
        ``send``.
        """
        self.send(CONNECTION + number.to_bytes(2, "little"), [connection.fileno()])

    def take_back(self) -> list[Handed]:
        """The connections that it has not received, and will not receive now."""
        back: list[Handed] = []
        while True:
            try:
                said, descriptors, _, _ = _receive(self.theirs, MOST_SAID, MOST_SAID)
            except OSError:  # EAGAIN: that was all
                return back
            if not said:
                return back
            count, handed = _read(said, descriptors)
            self.owes -= count
            self.connections -= len(handed)
            back += handed

    def close(self) -> None:
        """Let go of the line."""
        self.control.close()
        self.theirs.close()


# -- in a worker ---------------------------------------------------------------------------------------------------------


def take_connections(control: socket.socket) -> list[Handed] | None:
    """The connections that the parent handed over; None when the parent is gone. What is taken is
    answered.
    """
    try:
        said, descriptors, _, _ = _receive(control, MOST_SAID, MOST_SAID)
    except BlockingIOError:
        return []
    if not said:
        return None
    count, handed = _read(said, descriptors)
    say(control, ANSWER * count)
    return handed


def say(control: socket.socket, what: bytes) -> None:
    """Tell the parent something; that it is gone is noticed elsewhere."""
    with suppress(OSError):
        control.send(what)


def when_parent_ends(control: socket.socket, then: Callable[[], None]) -> None:
    """Call ``then``, in a thread of its own, when the parent is gone: an event loop that hangs
    would not notice.
    """
    poll: Any = getattr(select, "poll", None)

    def wait() -> None:
        poller = poll()
        poller.register(control.fileno(), 0)  # POLLHUP alone
        poller.poll()
        then()

    threading.Thread(target=wait, name="ninep-parent", daemon=True).start()
