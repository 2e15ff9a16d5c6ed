"""Numbers of a server: into which class a duration falls, and what is counted apart."""

import pytest

from ninep.server.counters import SECONDS, Counters, Histogram
from ninep.wire.fuse import Opcode


@pytest.mark.parametrize(("seconds", "at"), [(0.0, 0), (0.0001, 0), (0.00011, 1), (1.0, 4), (10.0, 5), (11.0, 6)])
def test_the_upper_end_of_a_class_belongs_to_it(seconds: float, at: int) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    histogram.add_guarded(seconds)
    assert [number for number, count in enumerate(histogram.classes) if count == 2] == [at]
    assert histogram.total == 2 * seconds
    assert len(histogram.classes) == len(SECONDS) + 1


def test_answers_are_counted_by_export_and_type() -> None:
    counters = Counters()
    counters.of("a", 24).answer(0.5, 19, 160, failed=False)
    counters.of("a", 24).answer(0.25, 19, 11, failed=True)
    counters.of("b", 24).answer(1.0, 19, 160, failed=False)
    found = counters.answered["a", 24]
    assert (found.received, found.sent, found.errors, found.total) == (38, 171, 1, 0.75)
    assert counters.answered.keys() == {("a", 24), ("b", 24)}


def test_opcodes_that_are_none_are_counted_together() -> None:
    counters = Counters()
    for opcode in (int(Opcode.GETATTR), 3000, 4000):
        counters.operation(opcode).requested()
    assert {name: one.requests for name, one in counters.operations.items()} == {"GETATTR": 1, "other": 2}


def test_limits_and_attaches_are_counted_by_name() -> None:
    counters = Counters()
    for limit in ("fids", "fids", "access"):
        counters.beyond(limit)
    counters.attached("data")
    assert counters.limits == {"fids": 2, "access": 1}
    assert counters.attaches == {"data": 1}
