"""When storage that was thought to be fast turns out slow.

The event loop serves requests itself as long as they return in microseconds. A disk that has to
spin up, or a network file system that was not recognised, makes it wait, and all connections with
it. A late batch alone says little: this process may not have been given the processor. So the first
one only makes the connection watch itself: from then on it asks the kernel, before and after each
batch, how often this thread gave up the processor because it had to wait (0.5 us each;
getrusage(2), ru_nvcsw). Three late batches that waited within two seconds send the session's
requests to worker threads, first for two seconds, then, if it is late again soon after, for twice
as long each time, up to a minute.

Three of a second each do not fit in two seconds, and one is enough: a batch that takes a second
counts at once, unless it is known that it did not wait. Otherwise only a machine that stood still
is so late, and then worker threads for two seconds do no harm.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Final

LATE: Final = 0.020
"""Seconds that a batch of requests may take ..."""
LATE_EACH: Final = 0.002
"""... and seconds for each of its requests: a batch is late beyond both."""
LATE_ALONE: Final = 1.0
"""Seconds after which one batch is enough."""
STRIKES: Final = 3
WINDOW: Final = 2.0
FIRST: Final = 2.0
LONGEST: Final = 60.0


def _waits() -> Callable[[], int] | None:
    """How often this thread has waited, where the system tells (Linux); None elsewhere: there every
    late batch counts.
    """
    try:
        resource: ModuleType = importlib.import_module("resource")
        getrusage, thread = resource.getrusage, resource.RUSAGE_THREAD
    except (ImportError, AttributeError):
        return None
    return lambda: int(getrusage(thread).ru_nvcsw)


waits: Final = _waits()


class LatencyGuard:
    """What one connection keeps of its late batches."""

    __slots__ = ("_duration", "_ends", "_strikes", "_watched_until", "watching")

    def __init__(self) -> None:
        self.watching = False
        """``waits`` should be asked before each batch."""
        self._watched_until = 0.0
        self._strikes: list[float] = []
        self._duration = FIRST
        self._ends = float("-inf")

    def before(self, now: float) -> int | None:
        """While watching, before a batch: how often the thread has waited so far."""
        if now > self._watched_until:
            self.watching = False
        return None if waits is None else waits()

    def late(self, now: float, before: int | None, lasted: float = LATE) -> float:
        """A late batch of ``lasted`` seconds ended at ``now`` (monotonic): how long to use worker
        threads from now on, 0 to go on as before.

        ``before`` is what the method of that name said before the batch, None if it was not
        watched.
        """
        alone = lasted >= LATE_ALONE
        if waits is not None:
            self.watching = True
            self._watched_until = now + WINDOW
            if (before is None and not alone) or waits() == before:
                return 0.0  # the processor was busy with others, or it is not known
        self._strikes = [moment for moment in self._strikes if now - moment < WINDOW] + [now]
        if len(self._strikes) < STRIKES and not alone:
            return 0.0
        self._strikes.clear()
        self.watching = False
        self._duration = min(self._duration * 2, LONGEST) if now - self._ends < self._duration else FIRST
        self._ends = now + self._duration
        return self._duration
