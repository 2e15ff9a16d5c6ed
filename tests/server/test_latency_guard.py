"""When storage is taken for slow, and when not."""

from __future__ import annotations

import pytest

from ninep.server import latency_guard
from ninep.server.latency_guard import FIRST, LATE_ALONE, LONGEST, STRIKES, WINDOW, LatencyGuard


class Waits:
    """How often the thread has waited, as the test likes it."""

    def __init__(self) -> None:
        self.count = 7

    def __call__(self) -> int:
        return self.count


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    fake = Waits()
    monkeypatch.setattr(latency_guard, "waits", fake)
    return fake


def late_batch(memory: LatencyGuard, waits: Waits, now: float, *, waited: bool) -> float:
    before = memory.before(now) if memory.watching else None
    waits.count += waited
    return memory.late(now, before)


def test_three_late_batches_that_waited_are_enough(waits: Waits) -> None:
    memory = LatencyGuard()
    assert late_batch(memory, waits, 0.0, waited=True) == 0  # not watched yet
    answers = [late_batch(memory, waits, 0.1 * i, waited=True) for i in range(1, STRIKES + 1)]
    assert answers == [0] * (STRIKES - 1) + [FIRST]


def test_a_busy_processor_is_not_slow_storage(waits: Waits) -> None:
    memory = LatencyGuard()
    assert [late_batch(memory, waits, 0.1 * i, waited=False) for i in range(50)] == [0] * 50


def test_late_batches_far_apart_do_not_add_up(waits: Waits) -> None:
    memory = LatencyGuard()
    assert [late_batch(memory, waits, (WINDOW + 1) * i, waited=True) for i in range(20)] == [0] * 20


def test_watching_ends_when_all_is_quiet(waits: Waits) -> None:
    memory = LatencyGuard()
    late_batch(memory, waits, 0.0, waited=True)
    assert memory.watching
    memory.before(WINDOW / 2)
    assert memory.watching
    memory.before(WINDOW * 2)
    assert not memory.watching


def test_who_is_late_again_waits_longer_up_to_a_minute(waits: Waits) -> None:
    memory = LatencyGuard()
    now, durations = 0.0, []
    for _ in range(8):
        while not (duration := late_batch(memory, waits, now, waited=True)):
            now += 0.1
        durations.append(duration)
        now += duration
    assert durations[:4] == [FIRST, FIRST * 2, FIRST * 4, FIRST * 8]
    assert durations[-1] == LONGEST


def test_where_the_system_does_not_tell_every_late_batch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_guard, "waits", None)
    memory = LatencyGuard()
    assert [memory.late(0.1 * i, None) for i in range(STRIKES)] == [0] * (STRIKES - 1) + [FIRST]


def test_one_of_a_second_is_enough(waits: Waits) -> None:
    assert LatencyGuard().late(0.0, None, LATE_ALONE) == FIRST  # not watched, but what else takes a second?
    memory = LatencyGuard()
    assert memory.late(0.0, 3, LATE_ALONE) == FIRST
    assert memory.late(0.0, 3, LATE_ALONE * 0.9) == 0


def test_a_second_of_the_processor_is_not_slow_storage(waits: Waits) -> None:
    assert LatencyGuard().late(0.0, waits.count, LATE_ALONE) == 0


def test_seconds_again_and_again_are_waited_for_longer(waits: Waits) -> None:
    memory, now, durations = LatencyGuard(), 0.0, []
    for _ in range(4):
        durations.append(memory.late(now, None, 1.5))
        now += durations[-1] + 1.5
    assert durations == [FIRST, FIRST * 2, FIRST * 4, FIRST * 8]
