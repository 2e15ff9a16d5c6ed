"""What all connections may have together, shared out so that no connection can take another's.

Each connection is promised a little of everything, whatever others do. What it wants beyond that it
takes from a common budget, in chunks, up to its own limit; when the budget is used up, what others
took and do not use any more is taken back first. So the check that is made for every fid and every
open compares two numbers of the session itself, and only a chunk in a thousand asks here.

Worker threads may ask at the same time. A chunk that is taken back while its owner is about to use
it makes the sum wrong by as many as there are worker threads: this is about memory, not about
books.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from ninep.server.counters import Counters
from ninep.server.limits import Limits

PROMISED_FIDS: Final = 1024
PROMISED_FILES: Final = 64
PROMISED_DIRECTORIES: Final = 8
PROMISED_XATTRS: Final = 128 << 10
"""Room for one attribute of the largest size, and some small ones."""
PROMISED_REQUESTS: Final = 2


class Budget:
    """What there is of one thing, beyond what every connection is promised."""

    __slots__ = ("_guard", "_takers", "left")

    def __init__(self, total: int) -> None:
        self.left = total
        self._takers: set[Allowance] = set()
        self._guard = threading.Lock()

    def take(self, taker: Allowance, amount: int) -> bool:
        """Take ``amount``; False if there is not that much left, and none to be had back."""
        with self._guard:
            if self.left < amount:
                for other in self._takers:
                    if other is not taker:  # which is about to use what it has
                        self.left += other.spare()
            if self.left < amount:
                return False
            self.left -= amount
            self._takers.add(taker)
            return True

    def change(self, difference: int) -> None:
        """There is so much more, or less: then what is taken beyond it is not taken back, and
        nothing more is had until it was given back.
        """
        with self._guard:
            self.left += difference

    def give(self, taker: Allowance, amount: int) -> None:
        """Give back all that was taken."""
        with self._guard:
            self.left += amount
            self._takers.discard(taker)


class Allowance:
    """How much of one thing a connection may have at the moment: ``granted``. Compare with that;
    ask ``grow`` for more.
    """

    __slots__ = ("_budget", "_chunk", "_most", "_promised", "_unit", "_used", "granted")

    def __init__(
        self, budget: Budget, promised: int, most: int, chunk: int, used: Callable[[], int], *, unit: int = 1
    ) -> None:
        """``unit``: how much of the budget one of what is counted here takes."""
        self._unit = unit
        self._budget = budget
        self._promised = self.granted = min(promised, most)
        self._most = most
        self._chunk = chunk
        self._used = used

    def grow(self, needed: int) -> bool:
        """Have ``needed``, and some to spare. False beyond the connection's own limit, and when the
        budget is used up.
        """
        while self.granted < needed:
            more = min(self._chunk, self._most - self.granted)
            if more <= 0:
                return False
            if not self._budget.take(self, more * self._unit):
                more = min(more, needed - self.granted)  # the last of it
                if not self._budget.take(self, more * self._unit):
                    return False
            self.granted += more
        return True

    def spare(self) -> int:
        """For the budget, with its lock held: give up what is not in use, and say how
        much that is.
        """
        keep = max(self._used(), self._promised)
        given = max(0, self.granted - keep)
        self.granted -= given
        return given * self._unit

    def end(self) -> None:
        """The connection is gone: give everything back, and forget it."""
        taken = self.granted - self._promised
        self.granted = self._promised
        self._used = int
        self._budget.give(self, taken * self._unit)


class Budgets:
    """The budgets of a server, made from its limits; and the count of what became of them."""

    __slots__ = (
        "bytes_in_flight",
        "counters",
        "directories",
        "fids",
        "limits",
        "open_files",
        "promised_files",
        "xattr_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.counters = Counters()
        self.fids = Budget(limits.all_fids)
        self.open_files = Budget(limits.all_open_files)
        self.directories = Budget(limits.all_directories)
        self.xattr_bytes = Budget(limits.all_xattr_bytes)
        self.bytes_in_flight = Budget(limits.all_bytes_in_flight)
        self.promised_files = _promised_files(limits)

    def change(self, limits: Limits) -> None:
        """Other limits from now on. Connections keep those that they began with, of what all have
        together they share the new.
        """
        before, self.limits = self.limits, limits
        self.promised_files = _promised_files(limits)
        for name in ("fids", "open_files", "directories", "xattr_bytes", "bytes_in_flight"):
            budget: Budget = getattr(self, name)
            budget.change(getattr(limits, f"all_{name}") - getattr(before, f"all_{name}"))


def _promised_files(limits: Limits) -> int:
    """Handles are few: the promises of all connections together must leave as many for the budget."""
    return max(1, min(PROMISED_FILES, limits.all_open_files // (2 * limits.connections)))
