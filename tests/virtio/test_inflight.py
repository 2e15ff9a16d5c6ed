"""The in-flight region: a device that ends between any two stores leaves what its next start needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.virtio_driver import Driver, changing

from ninep.virtio.inflight import Inflight, region_size
from ninep.virtio.ring import RingError, SplitQueue

SIZE = 4
MODULES = ("ninep.virtio.ring", "ninep.virtio.inflight")


def region(size: int = SIZE) -> bytearray:
    return bytearray(region_size(size))


def device(driver: Driver, kept: bytearray) -> SplitQueue:
    return driver.device(Inflight(memoryview(kept), driver.size))


class TestLayout:
    @pytest.mark.parametrize(("size", "length"), [(1, 64), (3, 64), (4, 128), (128, 2112), (1024, 16448)])
    def test_its_size(self, size: int, length: int) -> None:
        assert region_size(size) == length

    def test_a_new_one(self) -> None:
        kept = region()
        Inflight(memoryview(kept), SIZE).start(7)
        assert kept[:16].hex(" ", 2) == "0000 0000 0000 0000 0100 0400 0000 0700"
        assert not any(kept[16:])

    def test_each_field(self) -> None:
        """Counter and flag of a chain that was taken; the list of the last batch."""
        kept = region()
        inflight = Inflight(memoryview(kept), SIZE)
        inflight.start(0)
        for head in (2, 0, 3):
            inflight.take(head)
        assert [kept[16 * head + 16] for head in range(SIZE)] == [1, 0, 1, 1]
        assert [kept[16 * head + 24] for head in range(SIZE)] == [2, 0, 1, 3]
        inflight.put(3)
        inflight.put(2)
        assert kept[12:14].hex() == "0200"  # last_batch_head
        assert kept[16 * 2 + 22 : 16 * 2 + 24].hex() == "0300"  # next
        inflight.commit([3, 2], 0x1234)
        assert [kept[16 * head + 16] for head in range(SIZE)] == [1, 0, 0, 0]
        assert kept[14:16].hex() == "3412"  # used_idx

    def test_a_later_start_keeps_it(self) -> None:
        kept = region()
        inflight = Inflight(memoryview(kept), SIZE)
        inflight.start(7)
        inflight.take(1)
        before = bytes(kept)
        Inflight(memoryview(kept), SIZE).start(9)
        assert kept == before

    def test_counting_goes_on(self) -> None:
        kept = region()
        first = Inflight(memoryview(kept), SIZE)
        first.start(0)
        first.take(3)
        second = Inflight(memoryview(kept), SIZE)
        second.take(1)
        assert second.recover(0) == [3, 1]

    def test_reset(self) -> None:
        kept = region()
        inflight = Inflight(memoryview(kept), SIZE)
        inflight.start(0)
        inflight.take(3)
        inflight.put(3)
        inflight.reset(5)
        fresh = region()
        Inflight(memoryview(fresh), SIZE).start(5)
        assert kept == fresh
        assert inflight.recover(5) == []


class TestBroken:
    def test_too_short(self) -> None:
        with pytest.raises(RingError, match="an in-flight region of 79 bytes for 4 descriptors"):
            Inflight(memoryview(region())[:79], SIZE)

    @pytest.mark.parametrize(("version", "size"), [(2, 4), (1, 8)])
    def test_another_version_or_size(self, version: int, size: int) -> None:
        kept = region()
        kept[8:12] = bytes([version, 0, size, 0])
        with pytest.raises(RingError, match=f"region of version {version} with {size} descriptors, not 4"):
            Inflight(memoryview(kept), SIZE)

    def test_a_count_that_would_overflow(self) -> None:
        kept = region()
        Inflight(memoryview(kept), SIZE).start(0)
        kept[16 * 2 + 24 : 16 * 2 + 32] = b"\xff" * 8
        with pytest.raises(RingError, match="an in-flight region that counts 18446744073709551616 chains"):
            Inflight(memoryview(kept), SIZE)

    def test_a_used_index_too_far_ahead(self) -> None:
        inflight = Inflight(memoryview(region()), SIZE)
        inflight.start(0xFFFE)
        with pytest.raises(RingError, match="the used index is 5 ahead of the in-flight region, of 4 descriptors"):
            inflight.recover(3)
        assert inflight.recover(2) == []

    @pytest.mark.parametrize("entry", [12, 22])
    def test_a_list_that_leads_out(self, entry: int) -> None:
        kept = region()
        inflight = Inflight(memoryview(kept), SIZE)
        inflight.start(0)
        kept[entry] = SIZE
        with pytest.raises(RingError, match="descriptor 4 of 4 in the in-flight region"):
            inflight.recover(2)


# -- a process that ends -----------------------------------------------------------------------------------------------


def copies(driver: Driver, kept: bytearray, act: Callable[[], object]) -> list[tuple[Driver, bytearray]]:
    """What memory and region are after each store of ``act``, and before the first: a line stores
    once at most.
    """
    found = {}
    memory = memoryview(driver.content), memoryview(kept)
    before = bytes(driver.content), bytes(kept)
    for line in itertools.count():
        for view, content in zip(memory, before, strict=True):
            view[:] = content
        if not changing(act, lambda: found.setdefault((bytes(driver.content), bytes(kept))), line, *MODULES):
            return [(driver_at(driver, bytearray(content)), bytearray(left)) for content, left in found]
    raise AssertionError


def driver_at(driver: Driver, content: bytearray) -> Driver:
    """The same driver, over a copy of its memory."""
    other = Driver(driver.size, event_idx=driver.event_idx, indirect=driver.indirect, content=content)
    other.requests, other.free = dict(driver.requests), list(driver.free)
    other.available_index, other.last_used = driver.available_index, driver.last_used
    other.made = driver.made
    return other


def finished(driver: Driver, kept: bytearray) -> list[int]:
    """The heads that a fresh device recovers, then pops and returns; all come back once to the
    driver, which gives its own an error if one did already.
    """
    queue = device(driver, kept)
    heads = [chain.head for chain in queue.recover()]
    assert queue.outstanding == set(heads)
    while chain := queue.pop():
        heads.append(chain.head)
    for head in reversed(heads):
        queue.push(head, 0)
        queue.publish()
    while driver.take():
        pass
    assert not driver.requests
    assert device(driver, kept).recover() == []
    return heads


class Served:
    """What a device does in the tests: a list of ``("pop",)``, ``("push", which)``, ``("publish",)``."""

    def __init__(self, driver: Driver, kept: bytearray) -> None:
        self.queue = device(driver, kept)
        self.queue.recover()
        self.out: list[int] = []

    def run(self, steps: list[tuple[str, int]]) -> None:
        for step, which in steps:
            if step == "pop":
                chain = self.queue.pop()
                if chain:
                    self.out.append(chain.head)
            elif step == "push" and self.out:
                self.queue.push(self.out.pop(which % len(self.out)), 0)
            elif step == "publish":
                self.queue.publish()


STEPS = st.lists(st.tuples(st.sampled_from(["pop", "push", "publish"]), st.integers(0, 3)), max_size=14)


class TestEnd:
    @given(steps=STEPS, first=st.sampled_from([0, 0xFFFE]), number=st.integers(1, SIZE))
    @settings(max_examples=25, deadline=None)
    def test_at_any_store(self, steps: list[tuple[str, int]], first: int, number: int) -> None:
        driver = Driver(SIZE, indirect=True, first=first)
        for _ in range(number):
            driver.add([b"x"], [4])
        kept = region()
        returned = set()
        for crashed, left in copies(driver, kept, lambda: Served(driver, kept).run(steps)):
            visible = crashed.used_index - first & 0xFFFF
            heads = finished(crashed, left)
            assert len(heads) == number - visible
            returned.add(visible)
        assert 0 in returned

    def test_a_second_time_while_recovering(self) -> None:
        driver = Driver(SIZE, indirect=True, first=0xFFFF)
        for _ in range(3):
            driver.add([b"x"], [4])
        kept = region()
        steps = [("pop", 0), ("pop", 0), ("push", 1), ("push", 0), ("publish", 0)]
        for crashed, left in copies(driver, kept, lambda: Served(driver, kept).run(steps)):
            number = 3 - (crashed.used_index + 1 & 0xFFFF)
            for again, kept_again in copies(crashed, left, lambda: device(crashed, left).recover()):  # noqa: B023
                assert len(finished(again, kept_again)) == number

    def test_the_order_is_that_of_taking(self) -> None:
        driver = Driver(SIZE)
        driver.free.reverse()
        for number in range(3):
            driver.add([bytes([number])])
        kept = region()
        served = Served(driver, kept)
        served.run([("pop", 0)] * 3)
        assert served.out == [3, 2, 1]
        queue = device(driver, kept)
        assert [bytes(chain.readable[0]) for chain in queue.recover()] == [b"\0", b"\1", b"\2"]
        assert queue.next_available == 3

    def test_where_it_begins_follows_from_the_region(self) -> None:
        """The front end knows the used index alone when the device's end was not orderly."""
        driver = Driver(SIZE, first=0xFFFF)
        for _ in range(4):
            driver.add([b"x"])
        kept = region()
        Served(driver, kept).run([("pop", 0), ("pop", 0), ("pop", 0), ("push", 2), ("publish", 0)])
        queue = device(driver, kept)
        assert queue.next_available == 0
        assert [chain.head for chain in queue.recover()] == [0, 1]
        assert queue.next_available == 2
        chain = queue.pop()
        assert chain is not None
        assert chain.head == 3

    def test_a_recovered_head_made_available_again(self) -> None:
        driver = Driver(SIZE)
        driver.add([b"x"])
        kept = region()
        Served(driver, kept).run([("pop", 0)])
        driver.offer(0)
        queue = device(driver, kept)
        queue.recover()
        with pytest.raises(RingError, match="descriptor 0 made available before it was returned"):
            queue.pop()

    def test_without_a_region_nothing_is_recovered(self) -> None:
        driver = Driver(SIZE)
        driver.add([b"x"])
        queue = driver.device()
        assert queue.recover() == []
        assert queue.pop() is not None
