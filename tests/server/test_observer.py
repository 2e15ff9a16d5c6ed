"""Several observers as one."""

from collections.abc import Iterator
from typing import Any

from ninep.protocol.framing import RawFrame
from ninep.server.observer import Observer, Observers, together


class Notes(Observer):
    """One that notes what it is told."""

    def __init__(self, *, in_place: bool) -> None:
        self.in_place = in_place
        self.seen: list[tuple[Any, ...]] = []

    def received(self, size: int) -> None:
        self.seen.append(("received", size))

    def placed(self, number: int, size: int, reply: int) -> None:
        self.seen.append(("placed", number, size, reply))

    def batch(self, seconds: float) -> None:
        self.seen.append(("batch", seconds))

    def paused(self) -> None:
        self.seen.append(("paused",))

    def slow(self) -> None:
        self.seen.append(("slow",))

    def requests(self, connection: Any, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        del connection
        for frame in frames:
            self.seen.append(("request", frame[1]))
            yield frame


def test_none_and_one() -> None:
    one = Notes(in_place=True)
    assert together([]) is None
    assert together([one]) is one


def test_several_are_told_all_of_them() -> None:
    both = Notes(in_place=True), Notes(in_place=True)
    observer = together(both)
    assert isinstance(observer, Observers)
    observer.received(100)
    observer.placed(24, 19, 160)
    observer.batch(0.5)
    observer.paused()
    observer.slow()
    expected = [("received", 100), ("placed", 24, 19, 160), ("batch", 0.5), ("paused",), ("slow",)]
    assert both[0].seen == both[1].seen == expected


def test_frames_go_through_each_and_stay_the_same() -> None:
    both = Notes(in_place=True), Notes(in_place=True)
    frames: list[Any] = [(19, 24, 1, b"", 0), (11, 120, 2, b"", 19)]
    assert list(Observers(*both).requests(None, iter(frames))) == frames  # type: ignore[arg-type]
    assert both[0].seen == both[1].seen == [("request", 24), ("request", 120)]


def test_what_is_served_in_place_needs_the_consent_of_all() -> None:
    assert Observers(Notes(in_place=True), Notes(in_place=True)).in_place
    assert not Observers(Notes(in_place=True), Notes(in_place=False)).in_place
