"""The program's locks, which check that they are taken in the order of ``docs/threading.md``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ninep.drivers.local.handle_cache import HandleCache
from ninep.drivers.local.packed import Listings
from ninep.drivers.local.slow import SlowFile, SlowIdleFile
from ninep.logs import RateLimit
from ninep.server.budgets import Budget
from ninep.server.counters import Counters, Histogram
from ninep.server.listing import StatListing
from ninep.server.locks import LockTable
from ninep.server.offload import Offload
from ninep.server.session import Session
from ninep.testing.lock_order import PROGRAM, LockOrder
from ninep.wire.cookies import CookiePool

LOCKS: tuple[tuple[type, str, str], ...] = (
    (LockTable, "_guard", "lock table"),
    (StatListing, "_guard", "listing"),
    (HandleCache, "lock", "handle cache"),
    (SlowFile, "_turn", "reading"),
    (SlowIdleFile, "_turn", "reading"),
    (Listings, "_guard", "listings"),
    (CookiePool, "guard", "cookies"),
    (Session, "_guard", "session"),
    (Budget, "_guard", "budget"),
    (Counters, "_guard", "counters"),
    (Histogram, "_guard", "counters"),
    (Offload, "_guard", "offload"),
    (RateLimit, "_guard", "logs"),
)
ORDER = LockOrder(*PROGRAM)
"""One for all tests: some of these objects outlive a test."""


def _watch(monkeypatch: pytest.MonkeyPatch, cls: Any, attribute: str, name: str) -> None:
    plain = cls.__init__

    def init(self: Any, *args: Any, **named: Any) -> None:
        plain(self, *args, **named)
        lock = ORDER.watch(getattr(self, attribute), name)
        setattr(self, attribute, lock)
        if isinstance(self, LockTable):
            self._left = threading.Condition(lock)  # type: ignore[arg-type]

    monkeypatch.setattr(cls, "__init__", init)


@contextmanager
def locks_in_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the length of a block, what is made has locks that check their order. AssertionError at
    its end, too, if one was taken out of order in any thread.
    """
    ORDER.broken.clear()
    for cls, attribute, name in LOCKS:
        _watch(monkeypatch, cls, attribute, name)
    yield
    assert not ORDER.broken
