"""Time in the event loop, shared out between the connections of a server.

64 KiB are three thousand small requests, 10 ms of them or 10 s, as the file system will have it. So
a batch is bounded by time, not by bytes:

* A batch that has taken a slice stops between two requests, and its connection waits in a queue
  while everything else that is ready has its turn.
* In each iteration of the event loop the queue is served for one slice in all, round robin. With
  more connections in it each gets less, down to ``LEAST``, and not all of them get something in
  every iteration.
* New batches of one iteration share another slice; those that come when it is used up are served
  one request, the rest of them waits in the queue. All of them waits if the connection's last
  requests took more than ``COUNTED`` each: so a hundred clients with one long request each, as a
  page of a directory that is not kept, keep no other waiting for all of them.

So whatever clients send, a request that arrives waits for the rest of one iteration and the queue's
slice of the next: at most three slices, and one request (or ``STRIDE`` cheap ones) of each
connection that has something ready. ``docs/design.md`` has the bound and the test that holds it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final, Protocol

SLICE: Final = 0.003
"""Seconds. A round trip through the event loop costs 10 us, so that slicing takes less than a
hundredth.
"""
LEAST: Final = 0.0005
"""Seconds that a connection in the queue gets at least: requests of one connection in a row find
warm caches.
"""
COUNTED: Final = 0.0001
"""Seconds up to which a batch is not counted: to do so costs a microsecond."""
STRIDE: Final = 4
"""The clock is read after so many requests that took less than ``CHEAP`` seconds together,
otherwise after each.
"""
CHEAP: Final = 0.0002


class Interrupted(Protocol):
    """What waits in the queue: a ``Connection``."""

    def next_slice(self) -> None:
        """Go on, for ``Slices.left`` seconds."""


class Slices:
    """Of one event loop. ``seconds`` is the length of a slice; infinite, and batches are never
    interrupted.
    """

    __slots__ = ("_loop", "_queue", "_scheduled", "_seconds", "_uncounted", "left")

    def __init__(self, seconds: float = SLICE) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: deque[Interrupted] = deque()
        self._scheduled = False
        self._uncounted = 0.0
        self.left = seconds
        """Seconds that the next batch of this iteration may take."""

    def used(self, seconds: float) -> None:
        """A batch has taken so long."""
        self.left = max(0.0, self.left - seconds)
        self._schedule()

    def one(self, seconds: float) -> float:
        """One message of those that come one by one, many in an iteration, took so long: those that
        are too short to be counted are counted together. What is left; 0: serve no more.
        """
        if seconds <= COUNTED:
            seconds += self._uncounted
            if seconds > COUNTED:
                self.used(seconds)
                seconds = 0.0
            self._uncounted = seconds
        return self.left

    def add(self, interrupted: Interrupted) -> None:
        """It was interrupted, and goes on later. Not twice: see ``Connection``."""
        self._queue.append(interrupted)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        """The queue's part of an iteration; afterwards new batches have a slice again."""
        self._scheduled = False
        queue = self._queue
        now = monotonic()
        end = now + self._seconds
        for waiting in range(len(queue), 0, -1):  # once each: one that is interrupted again is behind them
            if now >= end:
                break
            self.left = min(end - now, max((end - now) / waiting, LEAST))
            queue.popleft().next_slice()
            now = monotonic()
        self.left = self._seconds
        if queue:
            self._schedule()
