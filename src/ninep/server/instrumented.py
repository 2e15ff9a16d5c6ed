"""A connection, and worker threads, whose requests, bytes and times are counted (``ninep serve --metrics``).

As ``trace`` does, it looks on from outside: a server that is not asked for numbers pays nothing for them. One that is
pays 1.5 us for each batch of requests, be it one, and 0.2 us for each request in it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from ninep.protocol.framing import RawFrame
from ninep.server.connection import Connection
from ninep.server.counters import Histogram
from ninep.server.offload import Offload
from ninep.server.trace import TracedConnection
from ninep.wire.types import Buffer

T = TypeVar("T")


def _count(frames: Iterator[RawFrame], requests: list[int]) -> Iterator[RawFrame]:
    """The frames, counted by type. Knows no connection: a batch that is broken off would be a reference cycle."""
    for frame in frames:
        requests[frame[1]] += 1
        yield frame


class InstrumentedConnection(Connection):
    """A connection whose requests are counted."""

    _counting: Iterator[RawFrame] | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return len(self._tags)

    @property
    def in_threads(self) -> int:
        """Those of them that worker threads are busy with."""
        return len(self._requests.running)

    @property
    def slow(self) -> bool:
        """Its storage answered so slowly that everything goes to worker threads for a while."""
        return not (self.session.inline or self.session.slow_driver)

    def received(self, count: int) -> bool:
        """As ``Connection.received``."""
        self._budgets.counters.received += count
        return self._batch(count)

    def data(self, data: Buffer) -> None:
        """As ``Connection.data``."""
        self._budgets.counters.received += len(data)
        super().data(data)

    def _serve(self) -> bool:
        counters = self._budgets.counters
        if self._frames is not self._counting:  # else it is the rest of a batch
            self._counting = self._frames = _count(iter(self._frames), counters.requests)
        began = monotonic()
        try:
            return super()._serve()
        finally:
            counters.batches.add(monotonic() - began)

    def send(self) -> None:
        """As ``Connection.send``."""
        self._budgets.counters.sent += sum(map(len, self._out))
        super().send()

    def _pause(self) -> None:
        self._budgets.counters.pauses += not (self._paused or self._stopping)
        super()._pause()

    def _late(self, now: float, before: int | None, lasted: float) -> None:
        was = self.slow
        super()._late(now, before, lasted)
        self._budgets.counters.slow += self.slow and not was


class InstrumentedTracedConnection(InstrumentedConnection, TracedConnection):
    """Counted, and logged."""


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
