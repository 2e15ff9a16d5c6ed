"""The order of flush(5), checked against an oracle that implements the manual alone."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ninep.protocol.tags import InFlight, Tags

TAGS = st.integers(0, 9)


class TestBookkeeping:
    def test_a_tag_is_in_flight_until_it_leaves(self) -> None:
        tags = Tags()
        request = InFlight(5)
        assert 5 not in tags
        tags.enter(request)
        assert 5 in tags
        assert tags.get(5) is request
        assert len(tags) == 1
        assert tags.leave(request) == []
        assert 5 not in tags
        assert not tags

    @pytest.mark.parametrize("oldtag", [6, 7], ids=["unknown", "its own"])
    def test_flushes_that_need_not_wait(self, oldtag: int) -> None:
        tags = Tags()
        tags.enter(InFlight(5))
        assert tags.flush(7, oldtag)
        assert 7 not in tags

    def test_several_flushes_in_their_order(self) -> None:
        tags = Tags()
        request = InFlight(5)
        tags.enter(request)
        assert [tags.flush(tag, 5) for tag in (9, 3, 7)] == [False] * 3
        assert tags.leave(request) == [9, 3, 7]
        assert not tags

    def test_a_flush_of_a_flush(self) -> None:
        tags = Tags()
        request = InFlight(5)
        tags.enter(request)
        for tag, oldtag in ((6, 5), (7, 6), (8, 5)):
            assert not tags.flush(tag, oldtag)
        answered = tags.leave(request)
        assert sorted(answered) == [6, 7, 8]
        assert answered.index(6) < answered.index(7)
        assert answered.index(6) < answered.index(8)

    def test_a_chain_of_all_the_tags_there_are(self) -> None:
        tags = Tags()
        request = InFlight(0)
        tags.enter(request)
        for tag in range(1, 0xFFFF):
            assert not tags.flush(tag, tag - 1)
        assert tags.leave(request) == list(range(1, 0xFFFF))

    def test_leaving_twice_does_not_take_the_tag_from_its_next_request(self) -> None:
        tags = Tags()
        first, second = InFlight(5), InFlight(5)
        tags.enter(first)
        tags.leave(first)
        tags.enter(second)
        assert tags.leave(first) == []
        assert tags.get(5) is second

    def test_abandoned(self) -> None:
        tags = Tags()
        requests = [InFlight(tag) for tag in (1, 2)]
        for request in requests:
            tags.enter(request)
        tags.flush(3, 1)
        tags.abandon()
        assert not tags
        assert all(request.abandoned for request in requests)


class Order(RuleBasedStateMachine):
    """A server and an observer. The observer records the messages on the wire, and uses nothing
    else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tags = Tags()
        self.requests: dict[int, InFlight] = {}
        self.wire: list[tuple[str, int, int]] = []
        """(``T``, tag, -1), (``flush``, tag, oldtag), (``R``, tag, -1), (``Rflush``, tag, -1), in
        order.
        """

    @rule(tag=TAGS)
    def request(self, tag: int) -> None:
        if tag in self.tags:
            return  # an error of the client, which the server refuses
        self.requests[tag] = InFlight(tag)
        self.wire.append(("T", tag, -1))
        self.tags.enter(self.requests[tag])

    @rule(tag=TAGS, oldtag=TAGS)
    def flush(self, tag: int, oldtag: int) -> None:
        if tag in self.tags:
            return
        self.wire.append(("flush", tag, oldtag))
        if self.tags.flush(tag, oldtag):
            self.wire.append(("Rflush", tag, -1))

    def finish(self, tag: int) -> None:
        for flushed in self.tags.leave(self.requests.pop(tag)):
            self.wire.append(("Rflush", flushed, -1))

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        tag = data.draw(st.sampled_from(sorted(self.requests)))
        self.wire.append(("R", tag, -1))
        self.finish(tag)

    @precondition(lambda self: self.requests)
    @rule(tag=TAGS, data=st.data())
    def withdraw(self, tag: int, data: st.DataObject) -> None:
        """A flush of a request that has not started: it never starts, and the Rflush is sent at
        once.
        """
        if tag in self.tags:
            return
        oldtag = data.draw(st.sampled_from(sorted(self.requests)))
        self.wire.append(("flush", tag, oldtag))
        self.finish(oldtag)
        self.wire.append(("Rflush", tag, -1))

    @invariant()
    def as_the_manual_says(self) -> None:
        owed: dict[int, str] = {}  # tag -> what it owes
        named: dict[int, list[int]] = {}  # request -> its flushes, in order
        for kind, tag, oldtag in self.wire:
            match kind:
                case "T":
                    assert tag not in owed
                    owed[tag] = "R"
                    named[tag] = []
                case "flush":
                    assert tag not in owed
                    if oldtag in owed and oldtag != tag:
                        named[oldtag].append(tag)
                    owed[tag] = "Rflush"
                    named[tag] = []
                case _:
                    assert owed.get(tag) == kind, f"{kind} to tag {tag}, which owes {owed.get(tag)}"
                    del owed[tag]
                    if kind == "Rflush":
                        # Whatever it named is over: no reply may follow. Flushes before it, of the
                        # same tag, came first.
                        for old, flushes in named.items():
                            if tag in flushes:
                                owed.pop(old, None)
                                assert flushes[0] == tag, f"{tag} answered before {flushes[0]}"
                                flushes.remove(tag)
        assert set(owed) == set(self.tags.owed), "something is owed that nobody remembers, or the reverse"

    def teardown(self) -> None:
        for tag in sorted(self.requests):
            self.wire.append(("R", tag, -1))
            self.finish(tag)
        self.as_the_manual_says()
        assert not self.tags


TestOrder = Order.TestCase
TestOrder.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
