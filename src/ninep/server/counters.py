"""What a server has done since it began, in numbers: for the administrator, never for a client.

Rules

* What is counted in any case is rare or fails anyway: attaches, errors, what is beyond a limit.
  Requests, bytes and times are counted only if metrics were asked for (``server.instrumented``).
* Keys are this program's own words (message types, errnos, limits, names of exports), so that no
  client can make a table grow.
* Counted in the event loop and in worker threads, read in any thread. A number may be one behind,
  never wrong for good.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import Final

from ninep.linux import Errno
from ninep.wire.fuse import Opcode

SECONDS: Final = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
"""Upper ends of the classes that times are sorted into."""


_OPERATIONS: Final = {int(opcode): opcode.name for opcode in Opcode}


class Histogram:
    """A histogram of durations."""

    __slots__ = ("_guard", "classes", "total")

    def __init__(self) -> None:
        self.classes = [0] * (len(SECONDS) + 1)
        """One for each of ``SECONDS``, and one for what took longer."""
        self.total = 0.0
        self._guard = threading.Lock()

    def add(self, seconds: float) -> None:
        """Something took so long. For one thread only."""
        self.classes[bisect_left(SECONDS, seconds)] += 1
        self.total += seconds

    def add_guarded(self, seconds: float) -> None:
        """The same, for several threads."""
        with self._guard:
            self.add(seconds)


class Answered(Histogram):
    """Requests of 9P of one type to one export: their times, bytes and errors."""

    __slots__ = ("errors", "received", "sent")

    def __init__(self) -> None:
        super().__init__()
        self.received = self.sent = self.errors = 0

    def answer(self, seconds: float, received: int, sent: int, *, failed: bool) -> None:
        """One was answered."""
        self.add(seconds)
        self.received += received
        self.sent += sent
        self.errors += failed


class Operation:
    """One kind of request of FUSE."""

    __slots__ = ("requests", "times")

    def __init__(self) -> None:
        self.requests = 0
        self.times = Histogram()
        """From the request to its reply, in whatever thread; none of those that have no reply."""

    def requested(self) -> None:
        """One more came."""
        self.requests += 1


class Counters:
    """The numbers of one server process."""

    __slots__ = (
        "_guard",
        "answered",
        "attaches",
        "batches",
        "connections",
        "errors",
        "limits",
        "operations",
        "pauses",
        "received",
        "requests",
        "sent",
        "slow",
        "threads",
    )

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self.connections = 0
        """Admitted."""
        self.attaches: Counter[str] = Counter()
        """That succeeded, by export."""
        self.errors: Counter[Errno] = Counter()
        """Error replies."""
        self.limits: Counter[str] = Counter()
        """Requests refused and connections closed because of a limit, by its name; ``access``:
        peers that were not admitted.
        """
        self.requests = [0] * 256
        """By type."""
        self.operations: dict[str, Operation] = {}
        """Of FUSE, by the name of the opcode; ``other`` for those that are none."""
        self.answered: dict[tuple[str, int], Answered] = {}
        """Requests of 9P, from each to its reply, in whatever thread, by export and type; none of those
        that are answered in place.
        """
        self.received = 0
        self.sent = 0
        self.pauses = 0
        """Times a connection was not read from, because its replies were not taken or too much was
        in flight.
        """
        self.slow = 0
        """Times storage turned out to be slow."""
        self.batches = Histogram()
        """What one connection kept the event loop for, at a time."""
        self.threads = Histogram()
        """What requests took in worker threads."""

    def attached(self, export: str) -> None:
        """An attach succeeded."""
        with self._guard:
            self.attaches[export] += 1

    def admitted(self) -> None:
        """A connection was admitted."""
        self.connections += 1

    def add_received(self, size: int) -> None:
        """So many bytes of requests came."""
        self.received += size

    def add_sent(self, size: int) -> None:
        """So many bytes of replies went."""
        self.sent += size

    def paused(self) -> None:
        """A connection is not read from for a while."""
        self.pauses += 1

    def slowed(self) -> None:
        """Storage turned out to be slow."""
        self.slow += 1

    def operation(self, opcode: int) -> Operation:
        """Of FUSE. Called in the event loop."""
        name = _OPERATIONS.get(opcode, "other")
        found = self.operations.get(name)
        if found is None:
            found = self.operations[name] = Operation()
        return found

    def of(self, export: str, number: int) -> Answered:
        """Where a request of 9P that is answered is added. Called in the event loop."""
        found = self.answered.get((export, number))
        if found is None:
            found = self.answered[export, number] = Answered()
        return found

    def beyond(self, limit: str) -> None:
        """Something was beyond a limit."""
        with self._guard:
            self.limits[limit] += 1
