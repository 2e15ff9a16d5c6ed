"""A virtio device and its front end: what QEMU does, and what no front end may do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ninep.host import shared

if not shared.AVAILABLE:
    pytest.skip("memory is shared by memfds, on Linux", allow_module_level=True)

from tests.support.vhost_back_end import Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_a_guest_boots_and_its_requests_are_answered(pair: Pair) -> None:
    pair.front.realize()
    assert pair.front.config(5) == b"\x03\0tag"
    pair.front.start()
    assert pair.told == ["start 0 at 0"]
    assert [pair.front.call(b"request %d" % n, 20) for n in range(20)] == [b"REQUEST %d" % n for n in range(20)]


def test_stop_and_cont_resume_the_ring(pair: Pair) -> None:
    pair.front.realize()
    pair.front.start()
    assert pair.front.call(b"one", 10) == b"ONE"
    pair.front.stop()
    pair.front.start()
    assert pair.told == ["start 0 at 0", "stop 0", "resume 0 at 1"]
    assert pair.front.call(b"two", 10) == b"TWO"


def test_requests_in_flight_at_a_stop_are_answered_when_the_guest_goes_on(pair: Pair) -> None:
    pair.front.realize()
    pair.front.start()
    pair.back.role.holds = True
    pair.front.offer([b"slow"], [10])
    pair.front.stop()
    pair.back.role.holds = False
    pair.front.start()
    assert pair.front.collect() == b"SLOW"
    assert pair.told == ["start 0 at 0", "stop 0", "resume 0 at 1"]


def test_another_driver_begins_with_new_sessions(pair: Pair) -> None:
    pair.front.realize()
    pair.front.start()
    assert pair.front.call(b"one", 10) == b"ONE"
    pair.front.reset()
    pair.front.start()
    assert pair.told == ["start 0 at 0", "stop 0", "end", "start 0 at 0"]
    assert pair.front.call(b"two", 10) == b"TWO"
