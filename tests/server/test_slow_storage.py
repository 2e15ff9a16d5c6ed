"""What follows when storage turned out to be slow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ninep.server.observer import Observer
from ninep.server.slow_storage import late
from ninep.transport.peers import Peer


class Session:
    """One that notes when it may go back into the event loop."""

    def __init__(self, *, threadsafe: bool = True) -> None:
        self.inline = True
        self.threadsafe = threadsafe
        self.over = asyncio.Event()

    def inline_again(self) -> None:
        self.inline = True
        self.over.set()


class Guard:
    """Decides always alike."""

    def __init__(self, duration: float) -> None:
        self.duration = duration

    def late(self, now: float, before: int | None, lasted: float) -> float:
        del now, before, lasted
        return self.duration


class Notes(Observer):
    slowed = 0

    def slow(self) -> None:
        self.slowed += 1


def batch(session: Any, duration: float, observer: Observer | None = None) -> None:
    late(Guard(duration), session, Peer("test"), observer, 0.0, None, 0.05)  # type: ignore[arg-type]


def test_a_session_goes_to_threads_for_a_while() -> None:
    async def serve() -> None:
        session, notes = Session(), Notes()
        batch(session, 0.001, notes)
        assert not session.inline
        assert notes.slowed == 1
        batch(session, 0.001, notes)  # it is there already
        assert notes.slowed == 1
        await session.over.wait()
        assert session.inline

    asyncio.run(serve())


@pytest.mark.parametrize(("threadsafe", "duration"), [(False, 1.0), (True, 0.0)])
def test_not_one_that_has_no_threads_or_that_the_guard_leaves_alone(threadsafe: bool, duration: float) -> None:
    async def serve() -> None:
        session = Session(threadsafe=threadsafe)
        batch(session, duration)
        assert session.inline

    asyncio.run(serve())
