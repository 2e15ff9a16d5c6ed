"""What follows when storage turned out to be slow: a session's requests go to worker threads for a
while. ``latency_guard`` says when.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from ninep.server.latency_guard import LatencyGuard
from ninep.server.observer import Observer
from ninep.transport.peers import Peer

log = logging.getLogger("ninep.server")


class InlineSession(Protocol):
    """What is needed of a session."""

    inline: bool
    threadsafe: bool

    def inline_again(self) -> None:
        """The while is over."""


def late(
    guard: LatencyGuard,
    session: InlineSession,
    peer: Peer,
    observer: Observer | None,
    now: float,
    before: int | None,
    lasted: float,
) -> None:
    """A batch of ``session`` was late: the arguments of ``LatencyGuard.late``, which decides."""
    if session.inline and session.threadsafe and (duration := guard.late(now, before, lasted)):
        log.info("storage answers slowly: serving %s from worker threads for %g s", peer, duration)
        session.inline = False
        asyncio.get_running_loop().call_later(duration, session.inline_again)
        if observer is not None:
            observer.slow()
