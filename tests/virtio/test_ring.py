"""The split virtqueue against a driver as Linux has it: what goes in comes back once, and nobody
sleeps while there is something for it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.virtio_driver import Driver, Mapped, Memories

from ninep.virtio import ring
from ninep.virtio.ring import Chain, RingError, SplitQueue

EVENT_IDX = pytest.mark.parametrize("event_idx", [False, True])


def pop(queue: SplitQueue) -> Chain:
    chain = queue.pop()
    assert chain is not None
    return chain


def answer(queue: SplitQueue, data: bytes, chain: Chain | None = None) -> None:
    """Write a reply into the chain, the next one by default, and push it."""
    chain = chain or pop(queue)
    rest = data
    for view in chain.writable:
        part, rest = rest[: len(view)], rest[len(view) :]
        view[: len(part)] = part
    queue.push(chain.head, len(data) - len(rest))


class TestOneRequest:
    def test_there_and_back(self) -> None:
        driver = Driver(indirect=True)
        queue = driver.device()
        assert not queue.has_more()
        assert queue.pop() is None
        head = driver.add([b"request"], [16])
        assert queue.has_more()
        chain = pop(queue)
        assert b"".join(chain.readable) == b"request"
        assert queue.outstanding == {head}
        assert queue.next_available == 1
        assert not queue.has_more()
        assert queue.pop() is None
        answer(queue, b"reply", chain)
        assert not queue.outstanding
        assert driver.take() is None, "visible before it is published"
        queue.publish()
        taken = driver.take()
        assert taken is not None
        assert taken[1] == b"reply"
        assert driver.take() is None

    def test_the_used_element(self) -> None:
        """u32 id, u32 length, behind flags and index; then the index."""
        driver = Driver(size=4, first=0xFFFE)
        for _ in range(3):
            driver.add([b"x"], [])
        queue = driver.device()
        for head in [pop(queue).head for _ in range(3)]:
            queue.push(head, 0xFFFFFFF0 + head)
        queue.publish()
        used = driver.content[driver.used_at :]
        assert used[:4].hex() == "00000100"
        assert used[4 : 4 + 32].hex(" ", 8) == (
            "02000000f2ffffff 0000000000000000 00000000f0ffffff 01000000f1ffffff"  # places 2, 3, 0
        )

    def test_out_of_order(self) -> None:
        driver = Driver()
        for number in range(3):
            driver.add([bytes([number])], [1])
        queue = driver.device()
        chains = [pop(queue) for _ in range(3)]
        for number in (2, 0, 1):
            answer(queue, bytes(chains[number].readable[0]), chains[number])
        queue.publish()
        assert [taken[1] for _ in range(3) if (taken := driver.take())] == [b"\2", b"\0", b"\1"]

    def test_a_head_that_is_not_out(self) -> None:
        driver = Driver()
        driver.add([b"x"])
        queue = driver.device()
        with pytest.raises(KeyError):
            queue.push(0, 0)
        chain = pop(queue)
        queue.push(chain.head, 0)
        with pytest.raises(KeyError):
            queue.push(chain.head, 0)
        queue.publish()
        assert driver.used_index == 1


class TestBroken:
    @pytest.mark.parametrize("first", [0, 0xFFFA])
    def test_an_available_index_too_far_ahead(self, first: int) -> None:
        driver = Driver(8, first=first)
        for _ in range(8):
            driver.add([b"x"])
        queue = driver.device()
        driver.put(driver.available_at + 2, "H", first + 9 & 0xFFFF)
        with pytest.raises(RingError, match="the available index is 9 ahead, in a ring of 8"):
            queue.pop()
        driver.put(driver.available_at + 2, "H", first + 8 & 0xFFFF)
        assert sum(queue.pop() is not None for _ in range(9)) == 8

    def test_an_available_index_that_goes_back(self) -> None:
        driver = Driver(8, first=5)
        queue = driver.device()
        driver.put(driver.available_at + 2, "H", 4)
        with pytest.raises(RingError, match="the available index is 65535 ahead"):
            queue.pop()

    def test_a_head_beyond_the_table(self) -> None:
        driver = Driver(8)
        driver.offer(8)
        with pytest.raises(RingError, match="descriptor 8 of 8 made available"):
            driver.device().pop()

    def test_a_head_that_is_out_already(self) -> None:
        """Until the driver can see that it came back."""
        driver = Driver(8)
        driver.add([b"x"])
        driver.offer(0)
        queue = driver.device()
        chain = pop(queue)
        words = "descriptor 0 made available before it was returned"
        with pytest.raises(RingError, match=words):
            queue.pop()
        queue.push(chain.head, 0)
        with pytest.raises(RingError, match=words):
            queue.pop()
        queue.publish()
        assert pop(queue).head == 0

    @pytest.mark.parametrize("size", [0, 3, 12, 1 << 16])
    def test_a_size_that_is_no_power_of_two(self, size: int) -> None:
        driver = Driver(8)
        driver.size = size
        with pytest.raises(RingError, match=f"a queue of {size} descriptors"):
            driver.device()

    @pytest.mark.parametrize(
        ("part", "name", "size", "alignment"),
        [(0, "descriptor table", 128, 16), (1, "available ring", 22, 2), (2, "used ring", 70, 4)],
    )
    def test_a_part_that_is_too_short_or_not_aligned(self, part: int, name: str, size: int, alignment: int) -> None:
        driver = Driver(8)
        parts = list(driver.parts())
        whole = parts[part]
        for view, words in [
            (whole[: size - 1], f"the {name} has {size - 1} bytes, not {size}"),
            (memoryview(bytearray(size + 16))[1:], f"the {name} is not aligned to {alignment} bytes"),
        ]:
            parts[part] = view
            with pytest.raises(RingError, match=re.escape(words)):
                SplitQueue(driver.memory, 8, *parts, event_idx=False, indirect=False, next_available=0)


class TestSignals:
    @EVENT_IDX
    def test_the_first_publish_asks_for_one(self, event_idx: bool) -> None:
        """What a process before published last may not have been signalled."""
        driver = Driver(event_idx=event_idx, first=100)
        driver.disable_signals()
        queue = driver.device()
        assert [queue.publish() for _ in range(3)] == [True, False, False]
        driver.add([b"x"], [1])
        answer(queue, b"y")
        assert not queue.publish()

    def test_a_flag_without_event_idx(self) -> None:
        driver = Driver()
        queue = driver.device()
        queue.publish()
        for wanted in (True, False, True):
            (driver.enable_signals if wanted else driver.disable_signals)()
            driver.add([b"x"])
            answer(queue, b"")
            assert queue.publish() is wanted
            assert driver.take()

    @pytest.mark.parametrize("first", [0, 0xFFFD])
    @pytest.mark.parametrize(
        ("event", "batches", "wanted"),
        [
            (0, [1, 1, 1], [True, False, False]),
            (2, [1, 1, 1, 1], [False, False, True, False]),
            (2, [2, 2], [False, True]),
            (3, [5], [True]),
            (5, [5], [False]),
            (0xFFFF, [5], [False]),
        ],
    )
    def test_the_index_that_the_driver_waits_for(
        self, first: int, event: int, batches: list[int], wanted: list[bool]
    ) -> None:
        """Signalled when the element with the index ``event`` is published, and only then."""
        driver = Driver(8, event_idx=True, first=first)
        queue = driver.device()
        queue.publish()
        driver.put(driver.available_at + 4 + 2 * driver.size, "H", first + event & 0xFFFF)
        said = []
        for batch in batches:
            for _ in range(batch):
                driver.add([b"x"])
                answer(queue, b"")
            said.append(queue.publish())
        assert said == wanted


class TestKicks:
    @EVENT_IDX
    @pytest.mark.parametrize("first", [0, 0xFFFF])
    def test_asked_for_and_not(self, event_idx: bool, first: int) -> None:
        driver = Driver(event_idx=event_idx, first=first)
        queue = driver.device()
        assert queue.enable_kicks()
        driver.add([b"x"])
        assert driver.kick()
        assert not queue.enable_kicks(), "there is one already"
        queue.disable_kicks()
        pop(queue)
        driver.add([b"x"])
        assert not driver.kick()
        pop(queue)
        assert queue.enable_kicks()
        driver.add([b"x"])
        driver.add([b"x"])
        assert driver.kick()


class TestBarriers:
    """What the barriers stand between. ``IN_ORDER`` processors need only those between a store and
    a load.
    """

    @pytest.fixture(params=[True, False], ids=["in order", "reordering"])
    def in_order(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
        monkeypatch.setattr(ring, "IN_ORDER", request.param)
        return bool(request.param)

    def test_publish(self, in_order: bool) -> None:
        driver = Driver(event_idx=True)
        driver.add([b"x"], [5])
        queue = driver.device()
        answer(queue, b"reply")
        seen: list[tuple[int, int]] = []
        at = driver.used_at
        queue._barrier = lambda: seen.append((driver.used_index, driver.get(at + 8, "I")))  # type: ignore[method-assign]
        queue.publish()
        assert seen == ([(1, 5)] if in_order else [(0, 5), (1, 5)])

    def test_pop(self, in_order: bool) -> None:
        """The entry is loaded after the index."""
        driver = Driver()
        driver.add([b"x"])
        other = driver.add([b"other"])
        queue = driver.device()
        entry = driver.available_at + 4
        queue._barrier = lambda: driver.put(entry, "H", other)  # type: ignore[method-assign]
        assert bytes(pop(queue).readable[0]) == (b"x" if in_order else b"other")

    @EVENT_IDX
    @pytest.mark.usefixtures("in_order")
    def test_enable_kicks(self, event_idx: bool) -> None:
        driver = Driver(event_idx=event_idx)
        queue = driver.device()
        queue.disable_kicks()
        kicked: list[bool] = []

        def adds() -> None:
            driver.add([b"x"])
            kicked.append(driver.kick())

        queue._barrier = adds  # type: ignore[method-assign]
        assert not queue.enable_kicks()
        assert kicked == [True]

    def test_it_leaves_the_lock_as_it_was(self) -> None:
        queue = Driver().device()
        queue._barrier()
        assert queue._fence.locked()


class Both(RuleBasedStateMachine):
    """A driver and a device, each of which serves, or sleeps until the other wakes it."""

    def __init__(self) -> None:
        super().__init__()
        self.device_sleeps = self.driver_sleeps = False
        self.unkicked = False
        self.popped: dict[int, tuple[Chain, int]] = {}
        self.returned: list[int] = []
        self.during: Callable[[], object] | None = None

    @initialize(
        size=st.sampled_from([1, 2, 8]),
        first=st.sampled_from([0, 0x7FFE, 0xFFFC, 0xFFFF]),
        event_idx=st.booleans(),
        indirect=st.booleans(),
        kind=st.sampled_from([Memories, Mapped]),
    )
    def begin(self, size: int, first: int, event_idx: bool, indirect: bool, kind: type[Memories]) -> None:
        self.driver = Driver(size, event_idx=event_idx, indirect=indirect, first=first, kind=kind)
        self.queue = self.driver.device()
        barrier = self.queue._barrier

        def stop_there() -> None:
            barrier()
            during, self.during = self.during, None
            if during:
                during()

        self.queue._barrier = stop_there  # type: ignore[method-assign]

    # -- the driver ----------------------------------------------------------------------------------------------------

    @rule(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6), readable=st.integers(0, 6), direct=st.booleans())
    def add(self, sizes: list[int], readable: int, direct: bool) -> None:
        number = self.driver.made
        sent = [bytes([number % 256]) * size for size in sizes[:readable]]
        if self.driver.add(sent, sizes[readable:], direct=direct) is not None:
            self.unkicked = True

    @precondition(lambda self: self.unkicked)
    @rule()
    def kick(self) -> None:
        self.unkicked = False
        if self.driver.kick():
            self.device_sleeps = False
        assert not (self.device_sleeps and self.queue.has_more()), "the device is not woken"

    @rule()
    def take(self) -> None:
        while taken := self.driver.take():
            request, reply = taken
            room = sum(length for _, length in request.writable)
            assert reply == (request.number.to_bytes(2, "little") * 30)[: min(room, 2 * request.number)]
            self.returned.append(request.number)

    @rule()
    def driver_sleeps_(self) -> None:
        self.take()
        while not self.driver.enable_signals():
            self.take()
        self.driver_sleeps = True

    @rule()
    def driver_polls(self) -> None:
        self.driver.disable_signals()
        self.driver_sleeps = False

    # -- the device ----------------------------------------------------------------------------------------------------

    @rule(most=st.integers(1, 8))
    def pop(self, most: int) -> None:
        for _ in range(most):
            chain = self.queue.pop()
            if chain is None:
                assert self.queue.next_available == self.driver.available_index
                break
            request = self.driver.requests[chain.head]
            assert b"".join(chain.readable) == request.readable
            assert chain.writable_size == sum(length for _, length in request.writable)
            self.popped[chain.head] = chain, request.number

    @precondition(lambda self: self.popped)
    @rule(which=st.integers(0, 7))
    def push(self, which: int) -> None:
        chain, number = self.popped.pop(sorted(self.popped)[which % len(self.popped)])
        answer(self.queue, (number.to_bytes(2, "little") * 30)[: 2 * number], chain)

    @rule(meanwhile=st.sampled_from(["", "driver_sleeps_", "take", "driver_polls"]))
    def publish(self, meanwhile: str) -> None:
        """``meanwhile``: what the driver does after the index is written."""
        self.during = getattr(self, meanwhile) if meanwhile else None
        if self.queue.publish():
            self.driver_sleeps = False
        self.during = None  # nothing was pushed
        unseen = self.driver.used_index != self.driver.last_used
        assert not (self.driver_sleeps and unseen), "the driver is not signalled"

    @rule(meanwhile=st.booleans())
    def device_sleeps_(self, meanwhile: bool) -> None:
        """``meanwhile``: the driver adds a request after the kick was asked for, and before the
        device looks.
        """
        woken = False

        def adds() -> None:
            nonlocal woken
            self.driver.add([b"x"])
            self.unkicked = False
            woken = self.driver.kick()

        if meanwhile:
            self.during = adds
        self.device_sleeps = self.queue.enable_kicks() and not woken
        assert not self.device_sleeps or self.unkicked or not self.queue.has_more(), "the device is not woken"

    @rule()
    def device_serves(self) -> None:
        self.queue.disable_kicks()
        self.device_sleeps = False

    # -- always --------------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_out_twice(self) -> None:
        if hasattr(self, "queue"):
            assert self.queue.outstanding == set(self.popped)

    def teardown(self) -> None:
        if hasattr(self, "queue"):
            self.pop(8)
            while self.popped:
                self.push(0)
            self.queue.publish()
            self.take()
            assert sorted(self.returned) == list(range(self.driver.made)), "each comes back once"
            assert len(self.driver.free) == self.driver.size


TestBoth = Both.TestCase
TestBoth.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=1, deadline=None)
def test_indices_go_round(seed: int) -> None:
    """More than 65536 requests, a random number at a time, answered in any order."""
    chance = random.Random(seed)
    driver = Driver(64, event_idx=True, indirect=True, first=chance.randrange(1 << 16))
    queue = driver.device()
    out: list[Chain] = []
    while driver.made < 66_000:
        for _ in range(chance.randrange(40)):
            driver.add([b"\1\2"], [3])
        while chain := queue.pop():
            out.append(chain)
        chance.shuffle(out)
        for _ in range(chance.randrange(len(out) + 1)):
            queue.push(out.pop().head, 0)
        queue.publish()
        while driver.take():
            pass
    assert set(driver.requests) == {chain.head for chain in out}
