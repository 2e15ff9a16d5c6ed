"""The memory of metadata: right as long as ctime can tell."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import pytest

from ninep.security.attr_cache import RACY, AttrCache

NOW = 1_700_000_000_123_456_789


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=NOW)
    monkeypatch.setattr(time, "time_ns", lambda: clock.now)
    return clock


def inode(ino: int, ctime: int, device: int = 1) -> os.stat_result:
    return SimpleNamespace(st_ino=ino, st_dev=device, st_ctime_ns=ctime)  # type: ignore[return-value]


def test_what_was_read_long_after_the_change_is_kept(clock: SimpleNamespace) -> None:
    known = AttrCache[str]()
    known.store_read(inode(1, NOW - RACY - 1), "value")
    assert known.get(inode(1, NOW - RACY - 1)) == "value"
    clock.now += 10**18
    assert known.get(inode(1, NOW - RACY - 1)) == "value"


def test_a_changed_inode_is_unknown(clock: SimpleNamespace) -> None:
    known = AttrCache[str]()
    known.store_read(inode(1, NOW - 10**9), "value")
    assert known.get(inode(1, NOW - 10**9 + 1)) is None
    assert known.get(inode(2, NOW - 10**9)) is None
    assert known.get(inode(1, NOW - 10**9, device=2)) is None


def test_what_was_read_within_a_tick_of_the_change_is_not_kept(clock: SimpleNamespace) -> None:
    known = AttrCache[str]()
    for age in (0, RACY, -5):
        known.store_read(inode(1, NOW - age), "value")
        assert known.get(inode(1, NOW - age)) is None


def test_our_own_writes_are_kept_for_a_moment(clock: SimpleNamespace) -> None:
    known = AttrCache[str]()
    known.store_written(inode(1, NOW), "ours")
    assert known.get(inode(1, NOW)) == "ours"
    clock.now += RACY
    assert known.get(inode(1, NOW)) == "ours"
    clock.now += 1
    assert known.get(inode(1, NOW)) is None
    known.store_read(inode(1, NOW), "read")
    assert known.get(inode(1, NOW)) == "read"


def test_it_is_bounded_and_keeps_what_is_used(clock: SimpleNamespace) -> None:
    known = AttrCache[int](size=10)
    for number in range(1000):
        known.store_read(inode(number, 1), number)
        assert known.get(inode(0, 1)) == 0
    remembered = [number for number in range(1000) if known.get(inode(number, 1)) is not None]
    assert 0 in remembered
    assert 999 in remembered
    assert len(known._recent) + len(known._older) <= 20
