"""Locks that check in which order they are taken: for tests of what several threads do."""

from __future__ import annotations

import threading
from typing import Any, Final

PROGRAM: Final = (
    ("lock table", "listing", "reading"),
    ("handle cache",),
    ("listings",),
    ("cookies",),
    ("session", "budget", "counters", "offload", "logs"),
)
"""The locks of the program, outermost first (``docs/threading.md``): one of each group at a time."""


class _Held(threading.local):
    def __init__(self) -> None:
        self.locks: list[OrderedLock] = []


class LockOrder:
    """An order of locks, outermost first, in groups of which a thread may hold one at a time.

    ``watch(lock, name)`` gives a lock to use in the place of another one. A thread that takes one
    while it holds one which comes later, or another of the same group, fails with AssertionError.
    """

    def __init__(self, *groups: tuple[str, ...]) -> None:
        self.ranks = {name: rank for rank, group in enumerate(groups) for name in group}
        self.held = _Held()
        self.broken: list[str] = []
        """What was taken out of order, in any thread: the error itself may be answered there."""

    def watch(self, lock: Any, name: str) -> OrderedLock:
        """The same lock, checked; KeyError for a name that is not in the order."""
        return OrderedLock(self, lock, name, self.ranks[name])


class OrderedLock:
    """Stands for a ``threading.Lock`` or ``RLock``, also in a ``Condition``."""

    def __init__(self, order: LockOrder, lock: Any, name: str, rank: int) -> None:
        self.name = name
        self.rank = rank
        self._order = order
        self._held = order.held
        self._lock = lock

    def acquire(self, *args: Any, **named: Any) -> bool:
        """As of the lock."""
        held = self._held.locks
        if self not in held:
            for other in held:
                if other.rank >= self.rank:
                    self._order.broken.append(f"{self.name} is taken while {other.name} is held")
                    raise AssertionError(self._order.broken[-1])
        taken: bool = self._lock.acquire(*args, **named)
        if taken:
            held.append(self)
        return taken

    def release(self) -> None:
        """As of the lock."""
        self._lock.release()
        held = self._held.locks
        del held[len(held) - 1 - held[::-1].index(self)]

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)  # what a Condition asks of an RLock
