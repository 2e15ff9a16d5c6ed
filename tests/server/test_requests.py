"""Which request may run, held to the definition: nothing before it, running or waiting, stands in
its way.
"""

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ninep.server.exports import Exports
from ninep.server.limits import Limits
from ninep.server.requests import Request, Requests
from ninep.server.session import Session
from ninep.server.table import TABLES
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect

FIDS = st.integers(0, 4)
TABLE = TABLES[Dialect.LINUX]


def request(tag: int, number: int, fields: list[int], session: Session) -> Request:
    entry = TABLE[number]
    assert entry is not None
    return Request(tag, entry, fields, session)


def a_session() -> Session:
    return Session(Exports.__new__(Exports), Limits(), Dialect.LINUX, 8192)


def asked(tag: int, kind: str, fid: int, other: int, session: Session) -> Request:
    """A request that shares a fid, has one alone, or both."""
    match kind:
        case "share":
            return request(tag, m.Tgetattr.number, [fid, 0], session)
        case "alone":
            return request(tag, m.Tclunk.number, [fid], session)
    return request(tag, m.Twalk.number, [fid, other, 0], session)


KINDS = st.sampled_from(["share", "alone", "both"])


def conflicts(one: Request, other: Request) -> bool:
    """One of them needs alone what the other needs."""
    return bool(one.excludes & (other.excludes | other.reads) or other.excludes & (one.excludes | one.reads))


@given(st.lists(st.tuples(KINDS, FIDS, FIDS), max_size=20))
def test_what_may_run_at_first(shapes: list[tuple[str, int, int]]) -> None:
    requests, session = Requests(), a_session()
    requests.begin(session)
    came: list[Request] = []
    for tag, (kind, fid, other) in enumerate(shapes):
        one = asked(tag, kind, fid, other, session)
        in_the_way = any(conflicts(one, earlier) for earlier in came)
        assert requests.conflicts(one) == in_the_way
        if in_the_way:
            requests.wait(one)
        else:
            requests.hold(one)
        came.append(one)


class Life(RuleBasedStateMachine):
    """Requests come, become ready, run, end, are taken back, in any order; some are served on the
    spot when they are free.
    """

    def __init__(self) -> None:
        super().__init__()
        self.session = a_session()
        self.requests = Requests()
        self.requests.begin(self.session)
        self.came: list[Request] = []
        """All that are in flight of this session, in the order in which they came."""
        self.strangers: set[Request] = set()
        """Those of earlier sessions that still run."""
        self.tag = 0

    def begun(self, one: Request) -> bool:
        return one in self.requests.running or one in self.requests.ready

    @rule(kind=KINDS, fid=FIDS, other=FIDS)
    def come(self, kind: str, fid: int, other: int) -> None:
        self.tag += 1
        one = asked(self.tag, kind, fid, other, self.session)
        if self.requests.conflicts(one):
            self.requests.wait(one)
        else:
            self.requests.hold(one)
        self.came.append(one)

    @precondition(lambda self: self.requests.ready)
    @rule()
    def run(self) -> None:
        first = next(iter(self.requests.ready))
        assert self.requests.next() is first

    @precondition(lambda self: self.came)
    @rule(data=st.data(), at_once=st.booleans())
    def leave(self, data: st.DataObject, at_once: bool) -> None:
        """Something ends, or is taken back; what is free then is served at once, or made ready."""
        one = data.draw(st.sampled_from(self.came))
        assert self.requests.leave(one)
        assert not self.requests.leave(one)
        self.came.remove(one)
        for free in self.requests.free():
            if at_once:
                assert self.requests.leave(free)
                self.came.remove(free)
            else:
                self.requests.hold(free)

    @precondition(lambda self: self.strangers)
    @rule(data=st.data())
    def unrelated_ends(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(sorted(self.strangers, key=lambda one: one.tag)))
        self.strangers.remove(one)
        assert self.requests.leave(one)

    @rule()
    def new_session(self) -> None:
        self.strangers |= self.requests.running
        self.requests.begin(None)
        self.session = a_session()
        self.requests.begin(self.session)
        self.came = []

    @invariant()
    def none_runs_too_early_or_waits_for_nothing(self) -> None:
        for i, one in enumerate(self.came):
            in_the_way = any(conflicts(one, earlier) for earlier in self.came[:i])
            assert self.begun(one) == (not in_the_way), f"{one.tag} {'runs' if self.begun(one) else 'waits'}"

    @invariant()
    def each_is_in_one_place(self) -> None:
        found = [*self.requests.running, *self.requests.ready, *self.requests.waiting]
        assert len(found) == len(set(found))
        assert set(found) == set(self.came) | self.strangers

    @invariant()
    def sessions_are_asked_for(self) -> None:
        assert self.requests.of(self.session) == any(one in self.requests.running for one in self.came)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_nothing_is_free_while_nothing_has_left() -> None:
    requests, session = Requests(), a_session()
    requests.begin(session)
    requests.hold(asked(1, "share", 1, 1, session))
    requests.wait(asked(2, "alone", 1, 1, session))
    free: Iterator[Request] = requests.free()
    assert list(free) == []
