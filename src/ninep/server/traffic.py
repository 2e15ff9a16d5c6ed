"""The bytes of each connection, counted only while they are asked for.

A server that is not asked pays nothing for it; while it is, requests do not take the
shortest way (``observer``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from ninep.server.observer import Observed, Observer
from ninep.transport.peers import Peer
from ninep.wire.types import Buffer

COUNTS_FOR: Final = 15.0
"""Seconds after the last request."""


class Watched(Protocol):
    """What is asked of a connection."""

    def watch(self, observer: Observer | None) -> None:
        """From now on this looks on; None: no longer."""


class Traffic(Observer):
    """The bytes of one connection, since they were asked for."""

    in_place = True

    def __init__(self) -> None:
        self.received_bytes = 0
        self.sent_bytes = 0

    def placed(self, number: int, size: int, reply: int) -> None:
        """A request and its reply."""
        del number
        self.received_bytes += size
        self.sent_bytes += reply

    def received(self, size: int) -> None:
        """Of requests."""
        self.received_bytes += size

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """A request of FUSE."""
        del peer, opcode, frame
        self.received_bytes += size

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """Its reply."""
        del peer, opcode, unique, error, seconds
        self.sent_bytes += size

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """Of replies."""
        del connection
        self.sent_bytes += sum(map(len, replies))


class TrafficCounters:
    """The counts of all connections, begun by a request and ended some time after the last one."""

    def __init__(self, connections: Callable[[], Iterable[Watched]]) -> None:
        self._connections = connections
        self._counts: dict[Watched, Traffic] = {}
        self._timer: asyncio.TimerHandle | None = None

    def request(self) -> None:
        """They are asked for: count from now on, if that has not begun."""
        for connection in self._connections():
            if connection not in self._counts:
                self._counts[connection] = traffic = Traffic()
                connection.watch(traffic)
        self._rest()
        self._timer = asyncio.get_running_loop().call_later(COUNTS_FOR, self.end)

    def of(self, connection: Watched) -> Traffic | None:
        """What was counted of a connection."""
        return self._counts.get(connection)

    def forget(self, connection: Watched) -> None:
        """A connection is gone."""
        self._counts.pop(connection, None)

    def end(self) -> None:
        """Count no longer."""
        self._rest()
        for connection in self._counts:
            connection.watch(None)
        self._counts.clear()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
