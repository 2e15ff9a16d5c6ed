"""Locks that check in which order they are taken: for tests of what several threads do."""

from __future__ import annotations

import threading
from typing import Any, Final

LOCAL_DRIVER: Final = ("handle cache", "listings", "cookies")
"""The locks of the local driver, outermost first (``docs/threading.md``)."""


class _Held(threading.local):
    def __init__(self) -> None:
        self.locks: list[OrderedLock] = []


class LockOrder:
    """An order of locks, outermost first.

    ``watch(lock, name)`` gives a lock to use in the place of another one. A thread that takes one
    while it holds one which comes later, or another of the same name, fails with AssertionError.
    """

    def __init__(self, *names: str) -> None:
        self.ranks = {name: rank for rank, name in enumerate(names)}
        self.held = _Held()

    def watch(self, lock: Any, name: str) -> OrderedLock:
        """The same lock, checked; KeyError for a name that is not in the order."""
        return OrderedLock(self, lock, name, self.ranks[name])


class OrderedLock:
    """Stands for a ``threading.Lock`` or ``RLock``, also in a ``Condition``."""

    def __init__(self, order: LockOrder, lock: Any, name: str, rank: int) -> None:
        self.name = name
        self.rank = rank
        self._held = order.held
        self._lock = lock

    def acquire(self, *args: Any, **named: Any) -> bool:
        """As of the lock."""
        held = self._held.locks
        if self not in held:
            for other in held:
                assert other.rank < self.rank, f"{self.name} is taken while {other.name} is held"
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
