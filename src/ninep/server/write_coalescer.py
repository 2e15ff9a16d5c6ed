"""When replies are sent: several of a connection together, and those of one round of the event
loop.

With several connections, epoll brings requests of many of them at once. A reply that is sent at
once wakes its client on another core (an interrupt, 1 to 3 us in a virtual machine), again and
again, since that client is asleep before the next reply comes. When the replies of a round leave
one right after the other, the first one wakes the reader and the others find it awake. What that
brings depends on what waking costs: 8 connections get 1.0 to 1.3 times as many requests served, 100
connections 1.1 to 1.65 times (``bench/changes.py``).

Large payloads do not wait: their buffers are wanted again. A round ends after some connections or a
fraction of a millisecond, so that no reply waits for the slow request of another connection, and so
that clients have something to do meanwhile. One connection alone sends by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from ninep.server.transport import Transport
from ninep.wire.types import Buffer

REPLIES_A_WRITE: Final = 8
MAX_A_WRITE: Final = 32
"""Replies are sent in writes of half a batch, within these two: the client works on one half while
the other is served, and is woken twice and not eight times (with 64 outstanding 1.2 to 1.45 times
as many getattr a second).
"""
BYTES_A_WRITE: Final = 1 << 18
"""A payload of so many bytes waits for no others: what is collected is less than four of these
(each is two buffers) and one more reply.
"""
JOIN_BELOW: Final = 1 << 14
"""Bytes of replies that are cheaper to join than to send as they are."""
MAX_WAITING: Final = 16
"""Connections whose replies wait for one another. With 4 half of the gain is left, more than 16
gain nothing.
"""
LONGEST: Final = 0.0002
"""Seconds that a reply waits for others."""


def deliver(replies: Sequence[Buffer], transport: Transport) -> None:
    """Send some replies together: one as it is, small ones joined, large ones side by side."""
    if len(replies) == 1:
        transport.write(replies[0])
    elif sum(map(len, replies)) < JOIN_BELOW:
        transport.write(b"".join(replies))
    else:
        transport.write_all(list(replies))


class Sender(Protocol):
    """What has replies to send: a ``Connection``."""

    def send(self) -> None:
        """Send them."""


class WriteCoalescer:
    """Of one event loop."""

    __slots__ = ("_loop", "_senders", "_since", "shared")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._senders: list[Sender] = []
        self._since = 0.0
        self.shared = False
        """There are several connections: replies go through here."""

    def share(self, shared: bool) -> None:
        """Whether there are several connections now."""
        self.shared = shared

    def add(self, sender: Sender, now: float) -> None:
        """A connection has replies at ``now`` (seconds, monotonic): they are sent at the end of
        this round of the loop, or before.
        """
        senders = self._senders
        senders.append(sender)
        if len(senders) == 1:
            self._since = now
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self.flush)
        elif len(senders) >= MAX_WAITING or now - self._since > LONGEST:
            self.flush()

    def flush(self) -> None:
        """Send them all."""
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.send()
