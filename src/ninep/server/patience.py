"""When storage that was thought to be fast turns out slow.

The event loop serves requests itself as long as they return in microseconds. A disk that has to spin up, or a network file system that nobody
recognised, makes it wait, and everybody with it. One late batch says little (this process may just not have been given the processor); three
within two seconds send the session's requests to worker threads, first for two seconds, then, if it is late again soon after, for twice as long
each time, up to a minute.
"""

from __future__ import annotations

from typing import Final

LATE: Final = 0.020
"""Seconds that a batch of requests may take ..."""
LATE_EACH: Final = 0.002
"""... and seconds for each of its requests: a batch is late beyond both."""
STRIKES: Final = 3
WINDOW: Final = 2.0
FIRST: Final = 2.0
LONGEST: Final = 60.0


class Patience:
    """The memory of one connection for late batches."""

    __slots__ = ("_duration", "_ends", "_strikes")

    def __init__(self) -> None:
        self._strikes: list[float] = []
        self._duration = FIRST
        self._ends = 0.0

    def late(self, now: float) -> float:
        """A late batch ended at ``now`` (seconds, monotonic): how long to use worker threads from now on, 0 to go on as before."""
        self._strikes = [moment for moment in self._strikes if now - moment < WINDOW] + [now]
        if len(self._strikes) < STRIKES:
            return 0.0
        self._strikes.clear()
        self._duration = min(self._duration * 2, LONGEST) if now - self._ends < self._duration else FIRST
        self._ends = now + self._duration
        return self._duration
