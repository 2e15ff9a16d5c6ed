"""Time shared out between connections: in turn, one slice for all in an iteration, less for each
the more they are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from ninep.server import slices as module
from ninep.server.slices import COUNTED, LEAST, SLICE, Slices


class Loop:
    """An event loop whose iterations are told to be, and a clock that work moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: deque[Callable[[], Any]] = deque()

    def call_soon(self, call: Callable[[], Any]) -> None:
        self.calls.append(call)

    def iterate(self) -> float:
        """One iteration; how long it took."""
        began = self.now
        for _ in range(len(self.calls)):
            self.calls.popleft()()
        return self.now - began


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(module, "monotonic", lambda: loop.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    return loop


class Busy:
    """A connection with so many requests of so many seconds each."""

    def __init__(self, loop: Loop, slices: Slices, requests: int, seconds: float) -> None:
        self.loop, self.slices, self.requests, self.seconds = loop, slices, requests, seconds
        self.turns = 0

    def next_slice(self) -> None:
        self.turns += 1
        until = self.loop.now + self.slices.left
        while self.requests:
            self.requests -= 1
            self.loop.now += self.seconds
            if self.loop.now >= until:
                break
        if self.requests:
            self.slices.add(self)


def test_one_gets_a_slice_in_each_iteration(loop: Loop) -> None:
    slices = Slices(10)  # ten requests of one second: whole numbers, which a float adds up exactly
    busy = Busy(loop, slices, 1000, 1)
    slices.add(busy)
    assert loop.iterate() == 10
    assert busy.requests == 990
    while loop.calls:
        loop.iterate()
    assert (busy.requests, busy.turns) == (0, 100)


@pytest.mark.parametrize("count", [2, 10, 100])
@pytest.mark.parametrize("seconds", [LEAST / 10, LEAST / 2, LEAST * 2])
def test_all_together_get_one_slice_and_are_served_alike(loop: Loop, count: int, seconds: float) -> None:
    slices = Slices()
    all_ = [Busy(loop, slices, 10_000, seconds) for _ in range(count)]
    for busy in all_:
        slices.add(busy)
    for _ in range(20 * count):
        assert loop.iterate() <= SLICE + max(LEAST, seconds) + 1e-9
    turns = [busy.turns for busy in all_]
    assert max(turns) - min(turns) <= 1
    assert min(turns) >= 20 * SLICE / max(LEAST, SLICE / count, seconds) * 0.8


def test_new_batches_share_a_slice(loop: Loop) -> None:
    slices = Slices()
    for _ in range(3):
        slices.used(SLICE / 4)
    assert slices.left == pytest.approx(SLICE / 4)
    slices.used(SLICE)
    assert slices.left == 0
    loop.iterate()
    assert slices.left == SLICE
    assert not loop.calls  # nothing more to do


def test_what_is_not_counted_is_short() -> None:
    assert COUNTED < SLICE / 10


def test_messages_that_come_one_by_one_are_counted_together(loop: Loop) -> None:
    slices = Slices()
    assert [slices.one(COUNTED * 0.4) for _ in range(2)] == [SLICE] * 2
    assert not loop.calls
    assert slices.one(COUNTED * 0.4) == pytest.approx(SLICE - COUNTED * 1.2)
    assert slices.one(COUNTED * 2) == pytest.approx(SLICE - COUNTED * 1.2)  # the batch was counted by itself
    slices.used(SLICE)
    assert slices.one(0) == 0
    loop.iterate()
    assert slices.one(0) == SLICE
