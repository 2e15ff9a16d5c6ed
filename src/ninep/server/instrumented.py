"""Requests, bytes and times, counted (``ninep serve --metrics``).

A server that is not asked for metrics pays nothing for them. What one pays that is:
``bench/inside.py --metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from ninep.protocol.framing import RawFrame, frames_of
from ninep.server.counters import Counters, Histogram
from ninep.server.observer import Observed, Observer
from ninep.server.offload import Offload
from ninep.server.session import Session
from ninep.transport.peers import Peer
from ninep.wire.messages import Rerror, Rlerror, Tversion
from ninep.wire.types import Buffer

T = TypeVar("T")
Asked = tuple[str, int, int, float]
"""A request: its export, type and size, and when it came."""
ERRORS: Final = frozenset({Rerror.number, Rlerror.number})


class CountingObserver(Observer):
    """Adds to the counters of a server what one connection does."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._asked: dict[int, Asked] = {}
        """By tag."""

    in_place = True

    def placed(self, number: int, size: int, reply: int) -> None:
        """One request, and bytes."""
        counters = self._counters
        counters.requests[number] += 1
        counters.add_received(size)
        counters.add_sent(reply)

    def received(self, size: int) -> None:
        """Bytes."""
        self._counters.add_received(size)

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """By type, and when they came. The iterator knows no connection: a batch that is broken off
        would be a reference cycle.
        """
        return _count(frames, self._counters.requests, self._asked, connection.session)

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """Bytes, and by export and type times, bytes and errors."""
        del connection
        counters, now = self._counters, monotonic()
        counters.add_sent(sum(map(len, replies)))
        for size, number, tag, _, _ in frames_of(replies):
            asked = self._asked.pop(tag, None)
            if asked is not None:
                export, kind, received, came = asked
                counters.of(export, kind).answer(now - came, received, size, failed=number in ERRORS)

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """By opcode, and bytes."""
        del peer, frame
        self._counters.add_received(size)
        self._counters.operation(opcode).requested()

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """Times, by opcode, and bytes."""
        del peer, unique, error
        self._counters.add_sent(size)
        self._counters.operation(opcode).times.add(seconds)

    def batch(self, seconds: float) -> None:
        """Times."""
        self._counters.batches.add(seconds)

    def paused(self) -> None:
        """Pauses."""
        self._counters.paused()

    def slow(self) -> None:
        """Slow storage."""
        self._counters.slowed()


def _count(
    frames: Iterator[RawFrame], requests: list[int], asked: dict[int, Asked], session: Session
) -> Iterator[RawFrame]:
    fids = session.fids
    for frame in frames:
        size, number, tag, buffer, start = frame
        requests[number] += 1
        if number == Tversion.number:
            asked.clear()  # what was asked before is not answered
        held = fids.get(int.from_bytes(buffer[start + 7 : start + 11], "little")) if size >= 11 else None
        asked[tag] = "" if held is None else held.export.name, number, size, monotonic()
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
