"""The split virtqueue. An input is what a driver does with its ring, step by step, most of it wrong,
and when the device looks (``STEPS``).

The only legal outcomes:

* a chain has the buffers that an independent reader finds in the same memory, byte for byte in the
  same places; if the driver changes memory meanwhile, buffers inside memory, of the sizes told; or
* ``RingError``, and nothing else, when that reader finds a broken rule; nothing was taken then;
* what was pushed stands in the used ring, and the index after it; the device writes nothing else;
* a device that starts anew finds, by its in-flight region, what was taken and not returned;
* no more than ``MOST`` questions to memory for one chain.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from tests.support.virtio_driver import INDIRECT, NEXT, WRITE, Driver, Mapped, Memories

from ninep.virtio.inflight import Inflight, region_size
from ninep.virtio.ring import MAX_CHAIN, Chain, RingError, SplitQueue

NAME = "ring"
SESSION = False
LONGEST = 512

SIZES = (1, 2, 4, 8)
FIRST = (0, 0x7FFF, 0xFFFE, 0xFFFF)
TABLE = 0x1000
"""Where indirect tables are, in guest memory after its begin."""
BUFFERS = 0x2000
MEMORY = 0x6400
SECOND = Driver.BASE + MEMORY
"""A second region that is adjacent to the first."""
THIRD = 1 << 40
ADDRESSES = (
    Driver.BASE + BUFFERS, Driver.BASE + BUFFERS + 0x1000, Driver.BASE + TABLE, Driver.BASE, SECOND - 16, SECOND, SECOND + 60, THIRD,
    THIRD + 200, Driver.BASE - 1, 0, (1 << 64) - 1, (1 << 64) - 16, 1 << 63, THIRD - 1, SECOND + 64,
)  # fmt: skip
LENGTHS = (1, 16, 32, 48, 0, 2, 64, 128, 240, 256, 4096, 16384, 16400, 24, 0xFFFFFFFF, 0x80000000)
MOST = MAX_CHAIN + 16


class Broken(Exception):
    """A rule was broken, by the independent reader."""


class Buffer(NamedTuple):
    """Bytes of guest memory."""

    address: int
    length: int


def begin() -> None:
    """Nothing to prepare."""


def finish() -> None:
    """Nothing to clean up."""


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    Trial(data).run()


class Trial:
    """A driver, a device, and what the device must have."""

    def __init__(self, data: bytes) -> None:
        self.bytes = iter(data)
        options = self.byte()
        size = SIZES[options >> 4 & 3]
        self.driver = driver = Driver(
            size,
            event_idx=bool(options & 1),
            indirect=bool(options & 2),
            first=FIRST[options >> 6],
            content=bytearray(MEMORY),
        )
        for place in (driver.available_at, driver.used_at):
            driver.put(place + 2, "H", FIRST[options >> 6])
        self.regions = ((driver.BASE, driver.content), (SECOND, bytearray(64)), (THIRD, bytearray(256)))
        driver.memory = self.memory = (Mapped if options & 4 else Memories)(*self.regions)
        self.begins = [ctypes.addressof(ctypes.c_char.from_buffer(content)) for _, content in self.regions]
        self.memory.looked = self.looked
        self.region = bytearray(region_size(size)) if options & 8 else None
        self.used_poked = self.region_poked = False
        self.meanwhile: Callable[[], None] | None = None
        self.looks = 0
        self.start(FIRST[options >> 6])

    def start(self, first: int) -> None:
        driver = self.driver
        kept = Inflight(memoryview(self.region), driver.size) if self.region else None
        self.queue = SplitQueue(
            self.memory,
            driver.size,
            *driver.parts(),
            event_idx=driver.event_idx,
            indirect=driver.indirect,
            next_available=first,
            inflight=kept,
        )
        self.next = self.seen = first
        self.used = driver.used_index
        self.out: list[int] = []  # popped, in order
        self.batch: list[tuple[int, int]] = []

    def byte(self) -> int:
        return next(self.bytes, 0)

    def run(self) -> None:
        for step in self.bytes:
            STEPS[step % len(STEPS)](self)
            self.meanwhile = None if STEPS[step % len(STEPS)] in DEVICE else self.meanwhile

    # -- the driver ----------------------------------------------------------------------------------------------------

    def describe(self) -> None:
        """Write a descriptor into the queue's table or an indirect one."""
        self.described()()

    def described(self) -> Callable[[], None]:
        place, address, length, flags, following = (self.byte() for _ in range(5))
        table = TABLE if place & 0x80 else 0
        return lambda: self.driver.describe(
            table + 16 * (place & 0x7F) if table else 16 * (place % self.driver.size),
            ADDRESSES[address & 15] + (address >> 4) * 8 & (1 << 64) - 1,
            LENGTHS[length & 15] + (length >> 4) & 0xFFFFFFFF,
            flags & 7 | (flags & 0x80) << 8,
            following if following < 0xF0 else following << 8,
        )

    def fill(self) -> None:
        """Write an indirect table in order, and a descriptor for it, and make it available."""
        count, readable, length, place = (self.byte() for _ in range(4))
        count %= 131
        table = in_order(count, readable, LENGTHS[length & 7] + (length >> 4), length >> 3 & 1)
        self.driver.content[TABLE : TABLE + len(table)] = table
        self.driver.describe(16 * (place % self.driver.size), self.driver.BASE + TABLE, 16 * count, INDIRECT)
        self.driver.offer(place % self.driver.size)

    def offer(self) -> None:
        """Make a head available, usually one that exists."""
        head = self.byte()
        self.driver.offer(head % self.driver.size if head < 0xC0 else head)

    def index(self) -> None:
        """Set the available index."""
        ahead = self.byte()
        self.driver.available_index = self.next + (ahead % (self.driver.size + 1) if ahead < 0xF0 else ahead) & 0xFFFF
        self.driver.put(self.driver.available_at + 2, "H", self.driver.available_index)

    def poke(self) -> None:
        """Write two bytes anywhere in the first page."""
        place, value = self.byte() | self.byte() << 8, self.byte() | self.byte() << 8
        place &= 0xFFE
        self.driver.put(place, "H", value)
        self.used_poked |= place == self.driver.used_at + 2

    def poke_region(self) -> None:
        """Write into the in-flight region."""
        place, value = self.byte(), self.byte()
        if self.region:
            self.region[place % len(self.region)] = value
            self.region_poked = True

    def arm(self) -> None:
        """Write a descriptor when the device next asks memory."""
        self.meanwhile = self.described()

    def looked(self) -> None:
        self.looks += 1
        if self.meanwhile:
            self.meanwhile()

    # -- the device ----------------------------------------------------------------------------------------------------

    def pop(self) -> None:
        expected, broken = self.expected()
        self.looks = 0
        chain = None
        before = self.snapshot()
        try:
            chain = self.queue.pop()
            assert broken is None or self.meanwhile, f"popped, in spite of {broken}"
        except RingError:
            assert broken or self.meanwhile, "refused without a reason"
        else:
            if chain:
                assert self.meanwhile or expected is not None
                self.took(chain, expected)
            else:
                assert self.next == self.driver.get(self.driver.available_at + 2)
        self.unchanged(before)
        assert self.looks <= MOST
        assert self.queue.next_available == self.next
        assert self.queue.outstanding == set(self.out)

    def took(self, chain: Chain, expected: tuple[list[Buffer], list[Buffer]] | None) -> None:
        self.check(chain, None if self.meanwhile else expected)
        assert chain.head not in self.out
        self.out.append(chain.head)
        self.next = self.next + 1 & 0xFFFF

    def check(self, chain: Chain, expected: tuple[list[Buffer], list[Buffer]] | None) -> None:
        found = tuple([self.place(view) for view in views] for views in (chain.readable, chain.writable))
        assert chain.readable_size == sum(map(len, chain.readable))
        assert chain.writable_size == sum(map(len, chain.writable))
        assert len(chain.readable) + len(chain.writable) <= MAX_CHAIN
        assert chain.head < self.driver.size
        assert all(buffer.length for buffers in found for buffer in buffers)
        if expected is not None:
            assert tuple(map(joined, found)) == tuple(map(joined, expected)), "other buffers"

    def place(self, view: memoryview) -> Buffer:
        """The guest address of a view."""
        assert not view.readonly
        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        for (start, content), begin in zip(self.regions, self.begins, strict=True):
            offset = address - begin
            if offset >= 0 and offset + len(view) <= len(content):
                return Buffer(start + offset, len(view))
        raise AssertionError("a view outside of memory")

    def push(self) -> None:
        which, written = self.byte(), self.byte()
        if self.out:
            head = self.out.pop(which % len(self.out))
            before = self.snapshot()
            self.queue.push(head, written << 24 | which)
            place = (self.used + len(self.batch)) % self.driver.size
            self.batch.append((head, written << 24 | which))
            self.unchanged(before, (self.driver.used_at + 4 + 8 * place, struct.pack("<II", *self.batch[-1])))

    def publish(self) -> None:
        self.used = self.used + len(self.batch) & 0xFFFF
        before = self.snapshot()
        self.queue.publish()
        if self.batch:
            self.unchanged(before, (self.driver.used_at + 2, struct.pack("<H", self.used)))
            self.used_poked = False
        else:
            self.unchanged(before)
        self.batch.clear()

    def kicks(self) -> None:
        """Ask for kicks, or not."""
        before = self.snapshot()
        place = self.driver.used_at + (4 + 8 * self.driver.size if self.driver.event_idx else 0)
        if self.byte() & 1:
            more = self.queue.has_more()
            assert self.queue.enable_kicks() is not more
            self.unchanged(before, (place, struct.pack("<H", self.next if self.driver.event_idx else 0)))
        else:
            self.queue.disable_kicks()
            self.unchanged(before, *([] if self.driver.event_idx else [(place, b"\1\0")]))

    def restart(self) -> None:
        """The device's process ends, and another one starts."""
        expected = [*self.out, *(head for head, _ in self.batch)]
        before = self.snapshot()
        poked = self.used_poked or self.region_poked
        self.looks = 0
        try:
            self.start(self.driver.used_index)
            heads = [chain.head for chain in self.recovered()]
        except RingError:
            assert poked or self.meanwhile or any(self.breaks(head) for head in expected)
            self.region = None
            self.start(self.driver.used_index)
            heads = []
        else:
            assert poked or sorted(heads) == (sorted(expected) if self.region else []), "other chains recovered"
        self.next = self.seen = self.queue.next_available
        self.out = heads
        self.used_poked = self.region_poked = False
        self.unchanged(before)

    def recovered(self) -> list[Chain]:
        chains = self.queue.recover()
        for chain in chains:
            self.check(chain, None)
        assert len({chain.head for chain in chains}) == len(chains)
        return chains

    def snapshot(self) -> list[bytes]:
        return [bytes(content) for _, content in self.regions]

    def unchanged(self, before: list[bytes], *written: tuple[int, bytes]) -> None:
        """Memory is as before, but for what the device may have written."""
        if self.meanwhile and self.looks:
            return
        first = bytearray(before[0])
        for place, data in written:
            first[place : place + len(data)] = data
        assert first == self.driver.content, "the device wrote something else"
        assert before[1:] == [content for _, content in self.regions[1:]]

    # -- the independent reader ----------------------------------------------------------------------------------------

    def expected(self) -> tuple[tuple[list[Buffer], list[Buffer]] | None, Broken | None]:
        """What pop must give: the buffers, None if there is nothing; or what is broken."""
        try:
            return self.following(), None
        except Broken as broken:
            return None, broken

    def following(self) -> tuple[list[Buffer], list[Buffer]] | None:
        driver = self.driver
        if self.next == self.seen:
            index = driver.get(driver.available_at + 2)
            if (index - self.next) % 0x10000 > driver.size:
                raise Broken("index")
            self.seen = index
        if self.next == self.seen:
            return None
        head = driver.get(driver.available_at + 4 + 2 * (self.next % driver.size))
        if head >= driver.size or head in self.out or head in [one for one, _ in self.batch]:
            raise Broken("head")
        return self.buffers(head)

    def breaks(self, head: int) -> bool:
        try:
            self.buffers(head)
        except Broken:
            return True
        return False

    def buffers(self, head: int) -> tuple[list[Buffer], list[Buffer]]:
        found = list(self.follow(bytes(self.driver.content[: 16 * self.driver.size]), head, nested=False))
        directions = [writes for _, writes in found]
        if directions != sorted(directions) or len(found) > MAX_CHAIN:
            raise Broken("order")
        for buffer, _ in found:
            self.read(buffer)
        return [one for one, writes in found if not writes], [one for one, writes in found if writes]

    def follow(self, table: bytes, place: int, *, nested: bool) -> Iterator[tuple[Buffer, bool]]:
        visited = set()
        while True:
            if place in visited or 16 * place >= len(table):
                raise Broken("next")
            visited.add(place)
            address, length, flags, following = struct.unpack_from("<QIHH", table, 16 * place)
            if flags & INDIRECT:
                if nested or not self.driver.indirect or flags & NEXT or length % 16 or not 16 <= length <= 16 * 1024:
                    raise Broken("indirect")
                yield from self.follow(self.read(Buffer(address, length)), 0, nested=True)
                return
            if length:
                yield Buffer(address, length), bool(flags & WRITE)
            if not flags & NEXT:
                return
            place = following

    def read(self, buffer: Buffer) -> bytes:
        for start, content in self.regions:
            if buffer.address >= start and buffer.address + buffer.length <= start + len(content):
                return bytes(content[buffer.address - start :][: buffer.length])
        raise Broken("address")


@lru_cache(1 << 12)
def in_order(count: int, readable: int, size: int, gap: int) -> bytes:
    """A table of buffers of one size."""
    table = bytearray()
    for number in range(count):
        flags = (NEXT if number < count - 1 else 0) | (WRITE if number >= readable else 0)
        table += struct.pack("<QIHH", Driver.BASE + BUFFERS + number * (size + gap), size, flags, number + 1)
    return bytes(table)


def joined(buffers: list[Buffer]) -> list[Buffer]:
    """Adjacent buffers as one."""
    found: list[Buffer] = []
    for buffer in buffers:
        if found and sum(found[-1]) == buffer.address:
            buffer = Buffer(found[-1].address, found.pop().length + buffer.length)  # noqa: PLW2901
        found.append(buffer)
    return found


def step(name: str, *values: int) -> bytes:
    """A step of an input."""
    return bytes([STEPS.index(getattr(Trial, name)), *values])


DEVICE = (Trial.pop, Trial.restart)
STEPS = (
    Trial.pop,
    Trial.offer,
    Trial.describe,
    Trial.fill,
    Trial.push,
    Trial.publish,
    Trial.index,
    Trial.kicks,
    Trial.arm,
    Trial.poke,
    Trial.restart,
    Trial.poke_region,
    Trial.pop,
    Trial.pop,
    Trial.describe,
    Trial.offer,
)
