"""Requests, bytes and times, counted (``ninep serve --metrics``).

A server that is not asked for metrics pays nothing for them. One that is pays 1.5 us for each batch
of requests, be it one, and 0.2 us for each request in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from ninep.protocol.framing import RawFrame
from ninep.server.counters import Counters, Histogram
from ninep.server.observer import Observed, Observer
from ninep.server.offload import Offload
from ninep.transport.peers import Peer
from ninep.wire.types import Buffer

T = TypeVar("T")


class CountingObserver(Observer):
    """Adds to the counters of a server."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    in_place = True

    def placed(self, number: int, size: int, reply: int) -> None:
        """One request, and bytes."""
        counters = self._counters
        counters.requests[number] += 1
        counters.received += size
        counters.sent += reply

    def received(self, size: int) -> None:
        """Bytes."""
        self._counters.received += size

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """By type. The iterator knows no connection: a batch that is broken off would be a
        reference cycle.
        """
        del connection
        return _count(frames, self._counters.requests)

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """Bytes."""
        del connection
        self._counters.sent += sum(map(len, replies))

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """By opcode, and bytes."""
        del peer, frame
        self._counters.received += size
        self._counters.operation(opcode).requests += 1

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """Times, by opcode, and bytes."""
        del peer, unique, error
        self._counters.sent += size
        self._counters.operation(opcode).times.add(seconds)

    def batch(self, seconds: float) -> None:
        """Times."""
        self._counters.batches.add(seconds)

    def paused(self) -> None:
        """Pauses."""
        self._counters.pauses += 1

    def slow(self) -> None:
        """Slow storage."""
        self._counters.slow += 1


def _count(frames: Iterator[RawFrame], requests: list[int]) -> Iterator[RawFrame]:
    for frame in frames:
        requests[frame[1]] += 1
        yield frame


class InstrumentedOffload(Offload):
    """Worker threads that note how long requests take in them."""

    def __init__(self, threads: int, name: str, times: Histogram) -> None:
        super().__init__(threads, name)
        self._times = times

    def submit(self, storage: Hashable, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """As ``Offload.submit``."""
        return super().submit(storage, self._timed, partial(call, *args))

    def _timed(self, call: Callable[[], T]) -> T:
        began = monotonic()
        try:
            return call()
        finally:
            self._times.add_guarded(monotonic() - began)
