"""Descriptor chains: what they carry, and every rule that a driver may break."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.virtio_driver import INDIRECT, NEXT, WRITE, Driver, Mapped, Memories, changing

from ninep.virtio import chains
from ninep.virtio.ring import Chain, RingError, SplitQueue

KINDS = pytest.mark.parametrize("kind", [Memories, Mapped])
MODULES = ("ninep.virtio.ring", "ninep.virtio.chains")
BUFFER = Driver.BASE + 0x2000
TABLE = 0x3000
"""Where the tests put what a driver would not make: a buffer, and an indirect table."""


def content(chain: Chain) -> tuple[bytes, int]:
    return b"".join(chain.readable), sum(map(len, chain.writable))


def popped(driver: Driver) -> Chain:
    chain = driver.device().pop()
    assert chain is not None
    return chain


def offered(*descriptors: tuple[int, int, int, int], indirect: bool = False, kind: type[Memories] = Mapped) -> Driver:
    """A driver that made a chain available: these descriptors, in a table or in the queue's."""
    driver = Driver(8, indirect=True, kind=kind)
    for place, (address, length, flags, following) in enumerate(descriptors):
        driver.describe((TABLE if indirect else 0) + 16 * place, address, length, flags, following)
    if indirect:
        driver.describe(0, driver.BASE + TABLE, 16 * len(descriptors), INDIRECT)
    driver.offer(0)
    return driver


def two_buffers() -> Driver:
    """One of 3 bytes to read and one of 5 to write, in an indirect table of head 0."""
    driver = Driver(8, indirect=True)
    driver.describe(TABLE, BUFFER, 3, NEXT, 1)
    driver.describe(TABLE + 16, BUFFER + 8, 5, WRITE, 0)
    driver.describe(0, driver.BASE + TABLE, 32, INDIRECT)
    return driver


def again(queue: SplitQueue, driver: Driver) -> Chain:
    """The chain of head 0, there and back."""
    driver.offer(0)
    chain = queue.pop()
    assert chain is not None
    queue.push(chain.head, 0)
    queue.publish()
    return chain


class TestBuffers:
    @KINDS
    @pytest.mark.parametrize("indirect", [False, True])
    @given(
        readable=st.lists(st.binary(max_size=40), max_size=10),
        writable=st.lists(st.integers(0, 40), max_size=10),
        gap=st.integers(0, 1),
        shuffled=st.randoms(use_true_random=False),
        whether=st.booleans(),
    )
    def test_any_chain(self, kind, indirect, readable, writable, gap, shuffled, whether) -> None:
        count = len(readable) + len(writable)
        if not count:
            return
        driver = Driver(32, indirect=indirect, kind=kind)
        rest = list(range(1, count))
        if whether:
            shuffled.shuffle(rest)
            shuffled.shuffle(driver.free)
        head = driver.add(readable, writable, gap=gap, order=[0, *rest] if indirect else ())
        chain = popped(driver)
        assert chain.head == head
        assert content(chain) == (b"".join(readable), sum(writable))
        assert (chain.readable_size, chain.writable_size) == content_sizes(chain)
        assert all(map(len, [*chain.readable, *chain.writable]))
        written = bytearray(range(256)) * 2
        at = 0
        for view in chain.writable:
            view[:] = written[at : at + len(view)]
            at += len(view)
        rooms = driver.requests[head].writable
        assert b"".join(driver.content[place : place + size] for place, size in rooms) == written[:at]

    @pytest.mark.parametrize("count", [1, 2, 3, 66, 128, 1024])
    def test_adjacent_buffers_are_one_view(self, count: int) -> None:
        driver = Driver(8, indirect=True)
        driver.AREA = 0x8000
        driver.content.extend(bytes(8 * driver.AREA))
        parts = [bytes([number % 256]) * 8 for number in range(count)]
        driver.add(parts, [8] * (1024 - count), gap=0)
        chain = popped(driver)
        assert content(chain) == (b"".join(parts), 8 * (1024 - count))
        assert len(chain.readable) == 1
        assert len(chain.writable) == (count < 1024)

    def test_buffers_in_several_regions(self) -> None:
        """Also adjacent ones, of regions that are adjacent."""
        driver = Driver(8, indirect=True)
        end = driver.BASE + len(driver.content)
        driver.memory = Mapped(
            (driver.BASE, driver.content), (end, bytearray(b"second" + bytes(90))), (0, bytearray(9))
        )
        for place, (address, length, flags) in enumerate(
            [(end - 4, 4, NEXT), (end, 6, NEXT), (3, 6, NEXT | WRITE), (end + 50, 46, WRITE)]
        ):
            driver.describe(TABLE + 16 * place, address, length, flags, place + 1)
        driver.content[-4:] = b"one,"
        driver.describe(0, driver.BASE + TABLE, 64, INDIRECT)
        driver.offer(0)
        chain = popped(driver)
        assert [bytes(view) for view in chain.readable] == [b"one,", b"second"]
        assert list(map(len, chain.writable)) == [6, 46]

    @KINDS
    def test_descriptors_before_an_indirect_one(self, kind: type[Memories]) -> None:
        """ "zero or more normal chained descriptors followed by a single descriptor with INDIRECT",
        whose flag WRITE has no meaning (2.7.5.3.2).
        """
        driver = offered((BUFFER, 3, NEXT, 1), (driver_table(), 16 * 2, INDIRECT | WRITE, 0), kind=kind)
        driver.describe(TABLE, BUFFER + 10, 2, NEXT, 1)
        driver.describe(TABLE + 16, BUFFER + 20, 7, WRITE)
        driver.content[0x2000:0x200C] = b"abc.......de"
        assert content(popped(driver)) == (b"abcde", 7)

    def test_flags_without_a_meaning_are_ignored(self) -> None:
        driver = offered((BUFFER, 3, NEXT | 0xFFF8, 1), (BUFFER, 9, WRITE | 0xFFF8, 0xFFFF), indirect=True)
        assert content(popped(driver)) == (bytes(3), 9)

    def test_next_without_its_flag_has_no_meaning(self) -> None:
        for indirect in (False, True):
            driver = offered((BUFFER, 3, NEXT, 1), (BUFFER, 9, WRITE, 0xFFFF), indirect=indirect)
            assert content(popped(driver)) == (bytes(3), 9)

    def test_a_buffer_of_no_bytes_may_be_anywhere(self) -> None:
        for indirect in (False, True):
            driver = offered(
                (BUFFER, 3, NEXT, 1),
                (1 << 63, 0, WRITE | NEXT, 2),  # not even its direction counts
                (BUFFER, 2, NEXT, 3),
                (BUFFER, 4, WRITE | NEXT, 4),
                ((1 << 64) - 1, 0, WRITE, 0),
                indirect=indirect,
            )
            assert content(popped(driver)) == (bytes(5), 4)

    def test_overlapping_buffers_are_what_the_driver_wanted(self) -> None:
        driver = offered((BUFFER, 9, NEXT, 1), (BUFFER + 3, 9, NEXT, 2), (BUFFER, 12, WRITE, 0), indirect=True)
        driver.content[0x2000:0x200C] = b"abcdefghijkl"
        assert content(popped(driver)) == (b"abcdefghidefghijkl", 12)

    @pytest.mark.parametrize("count", [2, 3, 20])
    def test_a_chain_may_end_before_its_table(self, count: int) -> None:
        rest = [((1 << 64) - 1, 9, NEXT | WRITE | INDIRECT, 0xFFFF)] * (count - 1)
        assert content(popped(offered((BUFFER, 3, 0, 1), *rest, indirect=True))) == (bytes(3), 0)

    def test_a_chain_of_nothing(self) -> None:
        assert content(popped(offered((0, 0, 0, 0)))) == (b"", 0)


def driver_table() -> int:
    return Driver.BASE + TABLE


def content_sizes(chain: Chain) -> tuple[int, int]:
    return sum(map(len, chain.readable)), sum(map(len, chain.writable))


END = Driver.BASE + len(Driver(8).content)
LINK = (BUFFER, 1, NEXT)
MANY = [(BUFFER, 1, NEXT, number) for number in range(1, 20)]
"""The first 19 descriptors of a table."""

BROKEN: dict[str, tuple[str, list[tuple[int, int, int, int]], bool]] = {
    "a loop": ("a chain is longer than its table of 8 descriptors", [(*LINK, 1), (*LINK, 0)], False),
    "a loop in an indirect table": (
        "a chain is longer than its table of 3 descriptors",
        [(*LINK, 1), (*LINK, 2), (*LINK, 0)],
        True,
    ),
    "a descriptor that is its own next": ("a chain is longer than its table of 1 descriptors", [(*LINK, 0)], True),
    "next beyond the queue's table": ("next descriptor 8 in a table of 8", [(*LINK, 8)], False),
    "next beyond an indirect table": ("next descriptor 2 in a table of 2", [(*LINK, 1), (*LINK, 2)], True),
    "indirect in indirect": (
        "an indirect descriptor in an indirect table",
        [(*LINK, 1), (BUFFER, 16, INDIRECT, 0)],
        True,
    ),
    "indirect in indirect, the last of three": (
        "an indirect descriptor in an indirect table",
        [(*LINK, 1), (*LINK, 2), (BUFFER, 16, INDIRECT, 0)],
        True,
    ),
    "next beyond a table of three": ("next descriptor 3 in a table of 3", [(*LINK, 1), (*LINK, 2), (*LINK, 3)], True),
    "indirect with a next": ("an indirect descriptor with a next one", [(BUFFER, 16, INDIRECT | NEXT, 1)], False),
    "an indirect table of no bytes": ("an indirect table of 0 bytes", [(BUFFER, 0, INDIRECT, 0)], False),
    "an indirect table of 24 bytes": ("an indirect table of 24 bytes", [(BUFFER, 24, INDIRECT, 0)], False),
    "an indirect table of 1025": ("an indirect table of 16400 bytes", [(BUFFER, 16400, INDIRECT, 0)], False),
    "an indirect table nowhere": ("32 bytes at 0x0 are in no region", [(0, 32, INDIRECT, 0)], False),
    "an indirect table beyond the end": (
        f"32 bytes at {END - 16:#x} are in no region",
        [(END - 16, 32, INDIRECT, 0)],
        False,
    ),
    "a buffer before memory": (f"2 bytes at {Driver.BASE - 1:#x} are in no region", [(Driver.BASE - 1, 2, 0, 0)], True),
    "a buffer beyond the end": (f"9 bytes at {END - 8:#x} are in no region", [(END - 8, 9, WRITE, 0)], True),
    "the second buffer beyond the end": (
        f"2 bytes at {END - 1:#x} are in no region",
        [(*LINK, 1), (END - 1, 2, WRITE, 0)],
        True,
    ),
    "the first of three beyond the end": (
        f"4294967295 bytes at {BUFFER:#x} are in no region",
        [(BUFFER, 0xFFFFFFFF, NEXT, 1), (*LINK, 2), (BUFFER, 1, WRITE, 0)],
        True,
    ),
    "a buffer beyond 2**64": (
        "2 bytes at 0xffffffffffffffff are in no region",
        [((1 << 64) - 1, 2, WRITE, 0)],
        False,
    ),
    "the last of many beyond the end": (
        f"2 bytes at {END - 1:#x} are in no region",
        [*MANY, (END - 1, 2, WRITE, 0)],
        True,
    ),
    "the first of many before memory": (
        f"2 bytes at {Driver.BASE - 1:#x} are in no region",
        [(Driver.BASE - 1, 2, NEXT, 1), *MANY[1:], (BUFFER, 1, WRITE, 0)],
        True,
    ),
    "next beyond a table of many": ("next descriptor 20 in a table of 20", [*MANY, (*LINK, 20)], True),
    "a loop of many": ("a chain is longer than its table of 20 descriptors", [*MANY, (*LINK, 0)], True),
    "readable after writable in many": (
        "a readable buffer after a writable one",
        [(BUFFER, 1, NEXT | WRITE, 1), *MANY[1:], (BUFFER, 1, WRITE, 0)],
        True,
    ),
    "indirect in indirect, after many": (
        "an indirect descriptor in an indirect table",
        [*MANY, (BUFFER, 16, INDIRECT, 0)],
        True,
    ),
    "readable after writable": (
        "a readable buffer after a writable one",
        [(BUFFER, 1, NEXT | WRITE, 1), (BUFFER, 1, 0, 0)],
        False,
    ),
    "readable after writable in a table": (
        "a readable buffer after a writable one",
        [(BUFFER, 1, NEXT | WRITE, 1), (BUFFER, 1, 0, 0)],
        True,
    ),
    "readable between writable": (
        "a readable buffer after a writable one",
        [(BUFFER, 1, NEXT | WRITE, 1), (*LINK, 2), (BUFFER, 1, WRITE, 0)],
        True,
    ),
}


class TestBroken:
    @KINDS
    @pytest.mark.parametrize("name", BROKEN)
    def test_each_rule(self, name: str, kind: type[Memories]) -> None:
        words, descriptors, indirect = BROKEN[name]
        driver = offered(*descriptors, indirect=indirect, kind=kind)
        queue = driver.device()
        for _ in range(2):  # and nothing was taken
            with pytest.raises(RingError, match=re.escape(words)):
                queue.pop()
            assert queue.next_available == 0
            assert not queue.outstanding

    def test_a_buffer_across_two_regions(self) -> None:
        driver = offered((END - 1, 2, WRITE, 0))
        driver.memory = Mapped((driver.BASE, driver.content), (END, bytearray(64)))
        with pytest.raises(RingError, match=f"2 bytes at {END - 1:#x} are in no region"):
            driver.device().pop()

    def test_an_indirect_table_across_two_regions(self) -> None:
        driver = offered((END - 16, 32, INDIRECT, 0))
        driver.memory = Mapped((driver.BASE, driver.content), (END, bytearray(64)))
        with pytest.raises(RingError, match=f"32 bytes at {END - 16:#x} are in no region"):
            driver.device().pop()

    def test_indirect_that_was_not_negotiated(self) -> None:
        driver = offered((BUFFER, 16, INDIRECT, 0))
        driver.indirect = False
        with pytest.raises(RingError, match="an indirect descriptor, not negotiated"):
            driver.device().pop()

    def test_more_buffers_than_a_system_call_takes(self) -> None:
        """The most of a table, with one before it."""
        driver = offered((BUFFER, 1, NEXT, 1), (Driver.BASE + 0x3000, 16 * 1024, INDIRECT, 0))
        driver.content.extend(bytes(1 << 16))
        for place in range(1024):
            driver.describe(TABLE + 16 * place, BUFFER, 1, NEXT if place < 1023 else 0, place + 1)
        with pytest.raises(RingError, match="a chain of 1025 buffers, at most 1024"):
            driver.device().pop()


class TestTheSameTableAgain:
    """As drivers have it: the same buffers in the same place, request after request."""

    def test_it_has_what_is_in_the_buffers_now(self) -> None:
        driver = two_buffers()
        queue = driver.device()
        for data in (b"one", b"two", b"six"):
            driver.put(BUFFER - driver.BASE, "3s", data)  # type: ignore[arg-type]
            assert content(again(queue, driver)) == (data, 5)

    @pytest.mark.parametrize("length", [1, 2, 3, 4, 1000])
    def test_another_length_is_another_table(self, length: int) -> None:
        driver = two_buffers()
        queue = driver.device()
        for size, room in [(3, 5), (length, 5), (3, length), (3, 5)]:
            driver.describe(TABLE, BUFFER, size, NEXT, 1)
            driver.describe(TABLE + 16, BUFFER + 2000, room, WRITE, 0)
            chain = again(queue, driver)
            assert (chain.readable_size, chain.writable_size) == content_sizes(chain) == (size, room)

    @pytest.mark.parametrize("which", [0, 1])
    @pytest.mark.parametrize("address", [0, Driver.BASE - 1, Driver.BASE + (1 << 20), (1 << 64) - 1])
    def test_a_buffer_that_is_outside_now(self, which: int, address: int) -> None:
        driver = two_buffers()
        queue = driver.device()
        again(queue, driver)
        driver.describe(TABLE + 16 * which, address, 3, WRITE if which else NEXT, 1)
        with pytest.raises(RingError, match="are in no region"):
            again(queue, driver)

    def test_regions_that_were_replaced(self) -> None:
        driver = two_buffers()
        queue = driver.device()
        again(queue, driver)
        other = bytearray(driver.content)
        other[BUFFER - driver.BASE : BUFFER - driver.BASE + 3] = b"new"
        driver.memory.regions = ((driver.BASE, other),)  # type: ignore[attr-defined]
        assert content(again(queue, driver)) == (b"new", 5)
        driver.memory.regions = ((driver.BASE + TABLE, other[TABLE:]),)  # type: ignore[attr-defined]
        with pytest.raises(RingError, match="are in no region"):
            again(queue, driver)

    def test_any_number_of_tables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Few of them are kept."""
        monkeypatch.setattr(chains, "KNOWN", 2)
        driver = two_buffers()
        queue = driver.device()
        for size in (1, 2, 3, 1, 2, 3, 4):
            driver.describe(TABLE, BUFFER, size, NEXT, 1)
            assert again(queue, driver).readable_size == size


class TestTheSameLongTableAgain:
    """As in large reads and writes into one buffer of a program."""

    PAGES = 30

    def many(self) -> Driver:
        """A buffer of 5 bytes to read and 30 to write, none beside another, in a table of head 0."""
        driver = Driver(8, indirect=True)
        driver.describe(TABLE, BUFFER, 5, NEXT, 1)
        for place in range(1, self.PAGES + 1):
            self.page(driver, place, BUFFER + 16 * place)
        driver.describe(0, driver.BASE + TABLE, 16 * (self.PAGES + 1), INDIRECT)
        return driver

    def page(self, driver: Driver, place: int, address: int, length: int = 4) -> None:
        last = place == self.PAGES
        driver.describe(TABLE + 16 * place, address, length, WRITE if last else NEXT | WRITE, 0 if last else place + 1)

    def test_it_has_what_is_in_the_buffers_now(self) -> None:
        driver = self.many()
        queue = driver.device()
        for data in (b"one  ", b"two  "):
            driver.put(BUFFER - driver.BASE, "5s", data)  # type: ignore[arg-type]
            chain = again(queue, driver)
            assert content(chain) == (data, 4 * self.PAGES)
            assert len(chain.writable) == self.PAGES
        assert again(queue, driver) is again(queue, driver)

    def test_by_another_descriptor(self) -> None:
        driver = self.many()
        queue = driver.device()
        first = again(queue, driver)
        driver.describe(16 * 3, driver.BASE + TABLE, 16 * (self.PAGES + 1), INDIRECT)
        driver.offer(3)
        driver.offer(0)
        other, same = queue.pop(), queue.pop()
        assert other is not None
        assert same is not None
        assert (other.head, same.head) == (3, 0)
        assert content(other) == content(same) == content(first)

    @pytest.mark.parametrize("place", [1, 17, PAGES])
    def test_another_length_is_another_table(self, place: int) -> None:
        driver = self.many()
        queue = driver.device()
        for length in (4, 9, 4, 1):
            self.page(driver, place, BUFFER + 16 * place, length)
            chain = again(queue, driver)
            assert chain.writable_size == content_sizes(chain)[1] == 4 * self.PAGES - 4 + length

    @pytest.mark.parametrize("address", [0, Driver.BASE - 1, Driver.BASE + (1 << 20), (1 << 64) - 1])
    def test_a_buffer_that_is_outside_now(self, address: int) -> None:
        driver = self.many()
        queue = driver.device()
        again(queue, driver)
        self.page(driver, 17, address)
        with pytest.raises(RingError, match="are in no region"):
            again(queue, driver)

    def test_regions_that_were_replaced(self) -> None:
        driver = self.many()
        queue = driver.device()
        again(queue, driver)
        other = bytearray(driver.content)
        other[BUFFER - driver.BASE : BUFFER - driver.BASE + 5] = b"new  "
        driver.memory.regions = ((driver.BASE, other),)  # type: ignore[attr-defined]
        assert content(again(queue, driver)) == (b"new  ", 4 * self.PAGES)
        driver.memory.regions = ((driver.BASE + TABLE, other[TABLE : TABLE + 4096]),)  # type: ignore[attr-defined]
        with pytest.raises(RingError, match="are in no region"):
            again(queue, driver)

    def test_any_number_of_tables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Few of them are kept."""
        monkeypatch.setattr(chains, "LONG_KNOWN", 2)
        driver = self.many()
        queue = driver.device()
        for length in (1, 2, 3, 1, 2, 3, 4):
            self.page(driver, 5, BUFFER + 16 * 5, length)
            assert again(queue, driver).writable_size == 4 * self.PAGES - 4 + length


OUTSIDE = (1 << 40, 0xFFFFFFFF)


def popped_while(queue: SplitQueue, change: Callable[[], object], line: int) -> Chain | RingError | None:
    """What ``pop`` gives if memory changes before a line of it. None if it has no such line."""
    got: list[Chain | None] = []
    try:
        if not changing(lambda: got.append(queue.pop()), change, line, *MODULES):
            return None
    except RingError as error:
        return error
    return got[0]


class TestChangedMeanwhile:
    """The driver changes what was read, before each line that runs: what was checked is used."""

    @KINDS
    @pytest.mark.parametrize(
        ("count", "indirect"), [(1, False), (2, False), (5, False), (1, True), (2, True), (3, True), (14, True)]
    )
    @pytest.mark.parametrize("change", ["outside", "flags", "following", "length", "table"])
    def test_descriptors(self, kind: type[Memories], count: int, indirect: bool, change: str) -> None:
        outcomes = set()
        for line in itertools.count():
            driver = Driver(8, indirect=indirect, kind=kind)
            head = driver.add([bytes(30)] * (count - 1), [40])
            act = partial(CHANGES[change], driver, driver.areas_at if indirect else 0, count)
            got = popped_while(driver.device(), act, line)
            if isinstance(got, Chain):
                assert got.head == head
                assert (got.readable_size, got.writable_size) == content_sizes(got)
                assert got.readable_size + got.writable_size <= 16 * count * 40
            outcomes.add("popped" if isinstance(got, Chain) else str(got))
            if got is None:
                break
        assert "popped" in outcomes
        assert line > 5

    def test_the_available_entry(self) -> None:
        heads = set()
        for line in itertools.count():
            driver = Driver(8)
            first, other = driver.add([b"one"]), driver.add([b"other"])
            queue = driver.device()
            got = popped_while(queue, partial(driver.put, driver.available_at + 4, "H", 1), line)
            if not isinstance(got, Chain):
                assert got is None
                break
            assert content(got)[0] == {first: b"one", other: b"other"}[got.head]
            assert queue.outstanding == {got.head}
            heads.add(got.head)
        assert heads == {0, 1}


def _rewritten(*fields: int) -> Callable[[Driver, int, int], None]:
    def act(driver: Driver, table: int, count: int) -> None:
        for place in range(count):
            driver.describe(table + 16 * place, *fields)

    return act


CHANGES: dict[str, Callable[[Driver, int, int], None]] = {
    "outside": _rewritten(*OUTSIDE, NEXT, 0),
    "flags": _rewritten(BUFFER, 30, INDIRECT | NEXT | WRITE, 0),
    "following": _rewritten(BUFFER, 30, NEXT, 0xFFFF),
    "length": _rewritten(BUFFER, 0xFFFFFFFF, 0, 0),
    "table": lambda driver, table, count: driver.describe(0, *OUTSIDE, INDIRECT),
}
