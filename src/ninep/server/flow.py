"""The flow of one connection: replies out, and when no more requests are taken. What is served and how is for ``connection``."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod

from ninep.protocol.framing import BadFrame
from ninep.server.session import UNKNOWN_PEER
from ninep.server.slices import Slices
from ninep.server.transport import Transport
from ninep.server.write_coalescer import REPLIES_A_WRITE, deliver
from ninep.wire.types import Buffer

log = logging.getLogger("ninep.server")


class Flow(ABC):
    """The part of a connection that knows the transport."""

    def __init__(self, transport: Transport, slices: Slices) -> None:
        self.peer = UNKNOWN_PEER
        self._transport = transport
        self._slices = slices
        self._out: list[Buffer] = []
        self._most = REPLIES_A_WRITE
        """So many replies are sent together, according to the last batch."""
        self._full = self._paused = self._stopping = self._lost = False
        self._queued = False
        """It waits for its next slice of time."""

    def full(self) -> None:
        """The client does not take its replies fast enough: serve no more for now."""
        self._full = True

    def send(self) -> None:
        """Send the replies that are ready."""
        out = self._out
        if out and not self._lost:
            deliver(out, self._transport)
        out.clear()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause()

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self._slices.add(self)

    def next_slice(self) -> None:
        """The other connections have had their turn: serve some more of what was interrupted."""
        self._queued = False
        self._serve_interrupted()

    @abstractmethod
    def _serve_interrupted(self) -> None: ...

    def _finish(self) -> None:
        self.send()
        self._transport.close()

    def _bad_frame(self, error: BadFrame) -> None:
        log.warning("closing %s: %s", self.peer, error)
        self._finish()
