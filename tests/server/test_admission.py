"""Who is let in, how many, and for how long they may do nothing."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from tests.support.client import TIMEOUT

from ninep.server.access import Access, parse_rule
from ninep.server.admission import Admission
from ninep.server.limits import Limits
from ninep.transport.peers import Peer


class Candidate:
    """A connection as admission sees it."""

    def __init__(self, peer: Peer | None = None, *, negotiated: bool = False, attached: bool = False) -> None:
        self.peer = peer or Peer("a candidate")
        self.negotiated = negotiated or attached
        self.attached = attached
        self.progress: object = 0
        self.closed = asyncio.Event()

    def abort(self) -> None:
        self.closed.set()


class Busy(Candidate):
    """One whose progress is another each time."""

    @property
    def progress(self) -> object:
        return object()

    @progress.setter
    def progress(self, value: object) -> None:
        del value


def user(number: int) -> Peer:
    return Peer(f"user {number}", uid=number)


def enter(admission: Admission, peer: Peer, *, attached: bool = True) -> bool:
    return admission.enter(Candidate(peer, attached=attached))


def in_loop(test: Callable[..., Any]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), TIMEOUT))

    run.__name__ = test.__name__
    return run


@in_loop
async def test_a_peer_that_may_not_come_is_closed_at_once() -> None:
    admission, unrelated = Admission(Access(), Limits()), Candidate(Peer("far", ip_address("203.0.113.1")))
    assert not admission.enter(unrelated)
    assert unrelated.closed.is_set()
    assert (len(admission), admission.refused) == (0, 1)


@in_loop
async def test_the_oldest_that_has_not_attached_makes_room() -> None:
    admission = Admission(Access(), Limits(connections=3))
    serious, idler, newer, new = Candidate(attached=True), Candidate(), Candidate(), Candidate()
    assert all(admission.enter(one) for one in (serious, idler, newer, new))
    assert [one.closed.is_set() for one in (serious, idler, newer, new)] == [False, True, False, False]


@in_loop
async def test_when_all_have_attached_the_new_one_is_closed() -> None:
    admission = Admission(Access(), Limits(connections=2))
    for _ in range(2):
        assert admission.enter(Candidate(attached=True))
    late = Candidate()
    assert not admission.enter(late)
    assert late.closed.is_set()


@in_loop
async def test_one_peer_does_not_take_the_places_of_others() -> None:
    admission = Admission(Access(), Limits(connections=4, peer_connections=2))
    first = [Candidate(user(1), attached=True) for _ in range(3)]
    assert [admission.enter(one) for one in first] == [True, True, False]
    assert admission.enter(Candidate(user(2), attached=True))
    admission.leave(first[0])
    admission.leave(first[0])
    assert admission.enter(Candidate(user(1)))


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1", "127.0.0.2", "127.255.255.254", "::1"],
        ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff"],
        ["fe80::1", "fe80::2"],
        ["10.0.0.1", "10.0.0.1"],
    ],
)
def test_addresses_that_one_user_has_are_one_peer(addresses: list[str]) -> None:
    @in_loop
    async def count() -> None:
        admission = Admission(Access((parse_rule("any"),)), Limits(peer_connections=len(addresses) - 1))
        came = [enter(admission, Peer(text, ip_address(text))) for text in addresses]
        assert came == [True] * (len(addresses) - 1) + [False]

    count()


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1", "10.0.0.2"], ["2001:db8::1", "2001:db8:0:1::1"], ["10.0.0.1", "::1"]]
)
def test_addresses_of_different_users_are_several(addresses: list[str]) -> None:
    @in_loop
    async def count() -> None:
        admission = Admission(Access((parse_rule("any"),)), Limits(peer_connections=1))
        assert all(enter(admission, Peer(text, ip_address(text))) for text in addresses)

    count()


@in_loop
async def test_peers_of_which_nothing_is_known_are_one() -> None:
    admission = Admission(Access(), Limits(peer_connections=2))
    assert [enter(admission, Peer("pipe")) for _ in range(3)] == [True, True, False]


@in_loop
async def test_places_are_kept_for_peers_that_have_few() -> None:
    """Two users hold all that they get; others still come in, each with a few, until nothing is
    left at all.
    """
    admission = Admission(Access(), Limits(connections=64, peer_connections=32, reserved_connections=4))
    assert sum(enter(admission, user(number % 2)) for number in range(100)) == 60
    assert enter(admission, user(2))
    assert enter(admission, user(3))
    assert not enter(admission, user(0))
    assert [enter(admission, user(4)) for _ in range(3)] == [True, True, False]
    assert not enter(admission, user(5))
    assert len(admission) == 64


@in_loop
async def test_a_peer_with_many_takes_no_place_from_one_with_few() -> None:
    admission = Admission(Access(), Limits(connections=16, peer_connections=16, reserved_connections=1))
    assert sum(enter(admission, user(0)) for _ in range(20)) == 15
    small = Candidate(user(1))
    assert admission.enter(small)
    assert not enter(admission, user(0))
    assert not small.closed.is_set()
    newcomer = Candidate(user(2), attached=True)
    assert admission.enter(newcomer)  # who has none takes it from one that has not attached
    assert small.closed.is_set()


@in_loop
async def test_no_more_is_kept_than_a_sixteenth() -> None:
    admission = Admission(Access(), Limits(connections=32, reserved_connections=64))
    assert sum(enter(admission, user(0)) for _ in range(40)) == 30


@pytest.mark.parametrize(
    ("limits", "candidate", "why"),
    [
        (Limits(version_within=0.01, attach_within=5), {}, "no Tversion within 0.01 s"),
        (Limits(version_within=0.01, attach_within=0.02), {"negotiated": True}, "no Tattach within 0.02 s"),
        (Limits(version_within=0, attach_within=0.02), {}, "no Tattach within 0.02 s"),
        (Limits(version_within=0.01, attach_within=0.01, idle=0.02), {"attached": True}, "nothing for 0.02 s"),
    ],
)
def test_what_does_not_get_on_is_closed(
    limits: Limits, candidate: dict[str, bool], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    @in_loop
    async def closes() -> None:
        admission, slow = Admission(Access(), limits), Candidate(**candidate)
        assert admission.enter(slow)
        await slow.closed.wait()

    with caplog.at_level(logging.WARNING):
        closes()
    assert caplog.messages == [f"closing a candidate: {why}"]


@in_loop
async def test_one_that_gets_on_or_waits_for_an_answer_stays() -> None:
    admission = Admission(Access(), Limits(version_within=0.01, attach_within=0.01, idle=0.02))
    busy, waiting, idle = Busy(attached=True), Candidate(attached=True), Candidate(attached=True)
    waiting.progress = None
    for one in (busy, waiting, idle):
        admission.enter(one)
    await idle.closed.wait()
    assert not busy.closed.is_set()
    assert not waiting.closed.is_set()


@in_loop
async def test_after_the_attach_there_is_no_limit_of_time_unless_asked_for() -> None:
    admission, mount = Admission(Access(), Limits(version_within=0.01, attach_within=0.01)), Candidate(attached=True)
    admission.enter(mount)
    unrelated = Candidate()
    admission.enter(unrelated)  # whose time is up only after all that could be up for the mount
    await unrelated.closed.wait()
    assert not mount.closed.is_set()


@in_loop
async def test_other_rules_and_limits_are_for_those_who_come() -> None:
    admission = Admission(Access(), Limits(connections=100, version_within=0, attach_within=0))
    assert enter(admission, user(1))
    admission.change(Access((parse_rule("uid:2"),)), Limits(connections=2, version_within=0, attach_within=0))
    assert not enter(admission, user(1))
    assert enter(admission, user(2))
    assert len(admission) == 2
    assert not enter(admission, user(2))
