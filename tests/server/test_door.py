"""Who is let in, how many, and for how long they may do nothing."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from ninep.server.access import Access
from ninep.server.door import Door
from ninep.server.limits import Limits
from ninep.transport.peers import Peer


class Visitor:
    """A connection as the door sees it."""

    def __init__(self, peer: Peer | None = None, *, negotiated: bool = False, attached: bool = False) -> None:
        self.peer = peer or Peer("a visitor")
        self.negotiated = negotiated or attached
        self.attached = attached
        self.progress: object = 0
        self.closed = asyncio.Event()

    def abort(self) -> None:
        self.closed.set()


class Busy(Visitor):
    """One that got on whenever somebody looks."""

    @property
    def progress(self) -> object:
        return object()

    @progress.setter
    def progress(self, value: object) -> None:
        del value


def address(number: int) -> Peer:
    return Peer(f"10.0.0.{number}", ip_address(f"127.0.0.{number}"))


def in_loop(test: Callable[..., Any]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 10))

    run.__name__ = test.__name__
    return run


@in_loop
async def test_a_peer_that_may_not_come_is_closed_at_once() -> None:
    door, stranger = Door(Access(), Limits()), Visitor(Peer("far", ip_address("203.0.113.1")))
    assert not door.enter(stranger)
    assert stranger.closed.is_set()
    assert (len(door), door.refused) == (0, 1)


@in_loop
async def test_the_oldest_that_has_not_attached_makes_room() -> None:
    door = Door(Access(), Limits(connections=3))
    serious, idler, newer, new = Visitor(attached=True), Visitor(), Visitor(), Visitor()
    assert all(door.enter(one) for one in (serious, idler, newer, new))
    assert [one.closed.is_set() for one in (serious, idler, newer, new)] == [False, True, False, False]


@in_loop
async def test_when_all_have_attached_the_new_one_is_closed() -> None:
    door = Door(Access(), Limits(connections=2))
    for _ in range(2):
        assert door.enter(Visitor(attached=True))
    late = Visitor()
    assert not door.enter(late)
    assert late.closed.is_set()


@in_loop
async def test_one_peer_does_not_take_the_places_of_others() -> None:
    door = Door(Access(), Limits(connections=4, peer_connections=2))
    first = [Visitor(address(1), attached=True) for _ in range(3)]
    assert [door.enter(one) for one in first] == [True, True, False]
    assert door.enter(Visitor(address(2), attached=True))
    door.leave(first[0])
    door.leave(first[0])
    assert door.enter(Visitor(address(1)))


@pytest.mark.parametrize(
    ("limits", "visitor", "why"),
    [
        (Limits(version_within=0.01, attach_within=5), {}, "no Tversion within 0.01 s"),
        (Limits(version_within=0.01, attach_within=0.02), {"negotiated": True}, "no Tattach within 0.02 s"),
        (Limits(version_within=0, attach_within=0.02), {}, "no Tattach within 0.02 s"),
        (Limits(version_within=0.01, attach_within=0.01, idle=0.02), {"attached": True}, "nothing for 0.02 s"),
    ],
)
def test_what_does_not_get_on_is_closed(
    limits: Limits, visitor: dict[str, bool], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    @in_loop
    async def closes() -> None:
        door, slow = Door(Access(), limits), Visitor(**visitor)
        assert door.enter(slow)
        await slow.closed.wait()

    with caplog.at_level(logging.WARNING):
        closes()
    assert caplog.messages == [f"closing a visitor: {why}"]


@in_loop
async def test_one_that_gets_on_or_waits_for_an_answer_stays() -> None:
    door = Door(Access(), Limits(version_within=0.01, attach_within=0.01, idle=0.02))
    busy, waiting, idle = Busy(attached=True), Visitor(attached=True), Visitor(attached=True)
    waiting.progress = None
    for one in (busy, waiting, idle):
        door.enter(one)
    await idle.closed.wait()
    assert not busy.closed.is_set()
    assert not waiting.closed.is_set()


@in_loop
async def test_after_the_attach_there_is_no_limit_of_time_unless_asked_for() -> None:
    door, mount = Door(Access(), Limits(version_within=0.01, attach_within=0.01)), Visitor(attached=True)
    door.enter(mount)
    stranger = Visitor()
    door.enter(stranger)  # whose time is up only after all that could be up for the mount
    await stranger.closed.wait()
    assert not mount.closed.is_set()
