"""Descriptor chains: from the descriptors of a split virtqueue to the buffers in the guest's memory
(virtio 1.2, sections 2.7.5 and 2.7.5.3).

The driver may change memory at any moment. So every descriptor is fetched once, and what was
fetched is checked and used; an indirect table is copied as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Final, Protocol, TypeAlias

from ninep.virtio.errors import RingError

MAX_CHAIN: Final = 1024
"""Descriptors of an indirect table at most: as many buffers as preadv(2) takes (IOV_MAX)."""

FEW: Final = 16 * 12
"""Bytes of a short table, for which it takes less time to read one descriptor after the other."""

NEXT, WRITE, INDIRECT = 1, 2, 4  # VIRTQ_DESC_F_*

KNOWN: Final = 256
"""Short tables that ``ChainReader`` keeps."""

LONG_KNOWN: Final = 32
"""Long ones. Each keeps a view of each of its buffers: 25 KB for the 128 of Linux's 9P driver."""

_copy: Final = Struct("16s").unpack_from
_fetch: Final = Struct("<QIHH").unpack_from  # a descriptor: address, length, flags, next
_fetch_each: Final = Struct("<QIHH").iter_unpack
_READABLE_TAILS: Final = b"".join((NEXT | n << 16).to_bytes(4, "little") for n in range(1, MAX_CHAIN))
_WRITABLE_TAILS: Final = b"".join((NEXT | WRITE | n << 16).to_bytes(4, "little") for n in range(1, MAX_CHAIN))
"""Flags and next of descriptors in order."""

Region: TypeAlias = tuple[int, int, memoryview]
"""Its first address, the one after its last, its bytes (writable, format B)."""


_Place: TypeAlias = tuple[Callable[[memoryview, int], tuple[bytes]], memoryview, int]
"""What copies a table, and from where."""


class Memory(Protocol):
    """The guest's memory, by the addresses of the guest."""

    @property
    def mapped(self) -> Sequence[Region]:
        """The regions, the largest first; asked for each chain, so that they may be replaced."""

    def view(self, address: int, length: int) -> memoryview:
        """What lies in none of ``mapped``: writable, format B, or RingError."""


class Chain:
    """The buffers of one request, in guest memory: the driver may still change what they hold."""

    __slots__ = ("head", "readable", "readable_size", "writable", "writable_size")

    head: int
    """The descriptor that names the chain in the used ring."""
    readable: Sequence[memoryview]
    """What the driver sends, in order; none is empty. Adjacent buffers may be one view."""
    writable: Sequence[memoryview]
    """Where the device may write, likewise."""
    readable_size: int
    writable_size: int

    def __init__(self, head: int) -> None:
        """The rest is set later."""
        self.head = head

    def with_head(self, head: int) -> Chain:
        """The same buffers, named by another descriptor."""
        chain = Chain(head)
        chain.readable, chain.writable = self.readable, self.writable
        chain.readable_size, chain.writable_size = self.readable_size, self.writable_size
        return chain


class ChainReader:
    """Reads the chains of one queue.

    Drivers use the same buffers again and again. So chains are kept by what the table says, all of it
    and as it was copied, and where short tables are by their descriptor; until the next chain after
    the regions were replaced.
    """

    def __init__(self, memory: Memory, descriptors: memoryview, *, indirect: bool) -> None:
        """``descriptors``: the queue's table. ``indirect``: INDIRECT_DESC was negotiated."""
        self._memory = memory
        self._descriptors = descriptors
        self._indirect = indirect
        self._tables: dict[bytes, _Place] = {}
        self._known: dict[bytes, Chain] = {}
        self._long: dict[bytes, Chain] = {}
        """Of long tables, whose buffers are all in one region."""
        self._mapped: Sequence[Region] = ()
        """The regions that ``_tables``, ``_known`` and ``_long`` are of."""

    def read(self, head: int) -> Chain:
        """The chain that begins with a descriptor of the queue's table. The usual chain is an
        indirect table: one buffer each way, or more in order. Do not change it: it may come again.
        """
        (descriptor,) = _copy(self._descriptors, 16 * head)
        if self._memory.mapped is self._mapped:
            place = self._tables.get(descriptor)
            if place is not None:
                copy, whole, at = place
                (table,) = copy(whole, at)
                chain = self._known.get(table)
                return chain if chain is not None and chain.head == head else self._new(head, table)
        return self._read(head, _fetch(descriptor, 0), descriptor)

    def _read(self, head: int, fields: tuple[int, int, int, int], descriptor: bytes) -> Chain:
        """The same for any descriptor."""
        address, size, flags, _ = fields
        if not flags & INDIRECT:
            return self._fill(head, self._linked(self._descriptors, fields))
        low, _, whole = region = self._table(address, size, flags)
        if size <= FEW:
            place = _copier(size), whole, address - low
            self._keep(descriptor, place)
            return self._new(head, *place[0](*place[1:]))
        return self._of_long(head, whole[address - low : address - low + size].tobytes(), region)

    def _of_long(self, head: int, table: bytes, region: Region) -> Chain:
        """The chain of a long table, which lies in a region."""
        mapped = self._regions()
        chain = self._long.get(table)
        if chain is not None:
            return chain if chain.head == head else chain.with_head(head)
        chain = Chain(head)
        if not _many(chain, table, region):
            return self._fill(head, self._linked(table, _fetch(table, 0)))
        if len(self._long) >= LONG_KNOWN:
            self._long.clear()
        if any(region is one for one in mapped):
            self._long[table] = chain
        return chain

    def _regions(self) -> Sequence[Region]:
        """Those of now. If they were replaced, nothing is kept of the ones before."""
        mapped = self._memory.mapped
        if mapped is not self._mapped:
            self._mapped = mapped
            self._known.clear()
            self._tables.clear()
            self._long.clear()
        return mapped

    def _keep(self, descriptor: bytes, place: _Place) -> None:
        """Where a table is, if that is in one of the regions."""
        mapped = self._regions()
        if len(self._tables) >= KNOWN:
            self._tables.clear()
        if any(place[1] is whole for _, _, whole in mapped):
            self._tables[descriptor] = place

    def _new(self, head: int, table: bytes) -> Chain:
        """The chain of a short table."""
        chain = Chain(head)
        for region in self._mapped:
            if _few(chain, table, region):
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known[table] = chain
                return chain
        return self._fill(head, self._linked(table, _fetch(table, 0)))

    def _table(self, address: int, size: int, flags: int) -> Region:
        """Check the descriptor of an indirect table: the region it lies in. The flag WRITE has no
        meaning there.
        """
        if not self._indirect:
            raise RingError("an indirect descriptor, not negotiated")
        if flags & NEXT:
            raise RingError("an indirect descriptor with a next one")
        if size & 15 or not 0 < size <= 16 * MAX_CHAIN:
            raise RingError(f"an indirect table of {size} bytes: 16 for each of 1 to {MAX_CHAIN} descriptors")
        stop = address + size
        for region in self._memory.mapped:  # as in _region, for speed
            if region[0] <= address and stop <= region[1]:
                return region
        return self._region(address, size)

    def _region(self, address: int, size: int) -> Region:
        """The region that a buffer lies in."""
        memory = self._memory
        stop = address + size
        for region in memory.mapped:
            if region[0] <= address and stop <= region[1]:
                return region
        return address, stop, memory.view(address, size)

    def _linked(
        self, table: memoryview | bytes, descriptor: tuple[int, int, int, int]
    ) -> list[tuple[int, int, int, int]]:
        """The descriptors of any chain, from its first on, without those of length 0."""
        found = []
        left = length = len(table) >> 4
        while True:
            address, size, flags, following = descriptor
            left -= 1
            if flags & INDIRECT:
                if table is not self._descriptors:
                    raise RingError("an indirect descriptor in an indirect table")
                low, _, whole = self._table(address, size, flags)
                table = whole[address - low : address - low + size].tobytes()
                left = length = size >> 4
                following = 0
            else:
                if size:
                    found.append(descriptor)
                if not flags & NEXT:
                    return found
                if following >= length:
                    raise RingError(f"next descriptor {following} in a table of {length}")
                if not left:
                    raise RingError(f"a chain is longer than its table of {length} descriptors")
            descriptor = _fetch(table, 16 * following)

    def _fill(self, head: int, descriptors: Sequence[tuple[int, int, int, int]]) -> Chain:
        """The chain of these buffers."""
        if len(descriptors) > MAX_CHAIN:
            raise RingError(f"a chain of {len(descriptors)} buffers, at most {MAX_CHAIN}")
        low = high = 0
        whole = self._descriptors
        readable: list[memoryview] = []
        writable: list[memoryview] = []
        sizes = [0, 0]
        for address, size, flags, _ in descriptors:
            stop = address + size
            if address < low or stop > high:
                low, high, whole = self._region(address, size)
            if flags & WRITE:
                writable.append(whole[address - low : stop - low])
                sizes[1] += size
            elif writable:
                raise RingError("a readable buffer after a writable one")
            else:
                readable.append(whole[address - low : stop - low])
                sizes[0] += size
        chain = Chain(head)
        chain.readable, chain.writable = readable, writable
        chain.readable_size, chain.writable_size = sizes
        return chain


def _few(chain: Chain, table: bytes, region: Region) -> bool:
    """Set the buffers of a chain from a table where each descriptor is followed by the next, none is
    empty or has an unusual flag, and all buffers are in one region. False for any other table.
    """
    low, high, whole = region
    high -= low
    readable: list[memoryview] = []
    writable: list[memoryview] = []
    readable_size = writable_size = 0
    for number, (address, length, flags, following) in enumerate(_fetch_each(table), 1):
        start = address - low
        stop = start + length
        if flags > NEXT | WRITE or not 0 <= start < stop <= high:
            return False
        if flags & WRITE:
            writable.append(whole[start:stop])
            writable_size += length
        elif writable:
            return False
        else:
            readable.append(whole[start:stop])
            readable_size += length
        if not flags & NEXT:
            break
        if following != number:
            return False
    else:
        return False
    chain.readable = readable
    chain.writable = writable
    chain.readable_size = readable_size
    chain.writable_size = writable_size
    return True


def _many(chain: Chain, table: bytes, region: Region) -> bool:
    """The same for a long table, which takes less time for each descriptor: adjacent buffers, as
    those of a large reply are, become one view.
    """
    count = len(table) >> 4
    tails = memoryview(table).cast("I")[3::4].tobytes()[:-2]  # the last next has no meaning
    readable = tails[::4].count(NEXT)
    if tails[-2:] == b"\0\0":
        readable += 1
        known = _READABLE_TAILS[: 4 * count - 4] + b"\0\0"
    else:
        known = _READABLE_TAILS[: 4 * readable] + _WRITABLE_TAILS[4 * readable : 4 * count - 4] + b"\2\0"
    if tails != known:
        return False
    columns = _columns(count)(table)
    low, high, whole = region
    addresses: Sequence[int] = columns[::2]
    lengths = columns[1::2]
    if low:
        addresses = [address - low for address in addresses]
        high -= low
    sent = lengths[:readable]
    room = lengths[readable:]
    first = _merged(addresses[:readable], sent, whole, high)
    second = _merged(addresses[readable:], room, whole, high)
    if first is None or second is None:
        return False
    chain.readable = first
    chain.writable = second
    chain.readable_size = sum(sent)
    chain.writable_size = sum(room)
    return True


@cache
def _copier(size: int) -> Callable[[memoryview, int], tuple[bytes]]:
    """What copies so many bytes: for less than a slice of a view costs."""
    return Struct(f"{size}s").unpack_from


@cache
def _columns(count: int) -> Callable[[bytes], tuple[int, ...]]:
    """What takes the address and length, in turn, of each descriptor from a table of so many."""
    return Struct("<" + count * "QI4x").unpack


def _merged(starts: Sequence[int], lengths: Sequence[int], whole: memoryview, limit: int) -> list[memoryview] | None:
    """The buffers as few views, adjacent ones as one. None if one is outside of the region: starts
    before ``whole``, or ends after ``limit``.
    """
    views: list[memoryview] = []
    begin = stop = 0
    for start, length in zip(starts, lengths, strict=True):
        if start == stop:
            stop += length
        else:
            if begin < stop:
                if begin < 0 or stop > limit:
                    return None
                views.append(whole[begin:stop])
            begin = start
            stop = start + length
    if begin < stop:
        if begin < 0 or stop > limit:
            return None
        views.append(whole[begin:stop])
    return views
