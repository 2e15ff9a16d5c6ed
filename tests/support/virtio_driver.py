"""The driver's side of a split virtqueue, as Linux has it (drivers/virtio/virtio_ring.c), over guest
memory in a bytearray; and such memory.

What Linux writes in one step is one step here: descriptors, the entry, then the index. Signals and
kicks are answers: whether one is due is said by ``kick`` and by the device's ``publish``.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NamedTuple

from ninep.virtio.inflight import Inflight
from ninep.virtio.ring import Memory, Region, RingError, SplitQueue

NEXT, WRITE, INDIRECT = 1, 2, 4


class Memories:
    """Guest memory: regions at guest addresses, each view of which is asked for. ``looked`` is called
    whenever memory is asked.
    """

    def __init__(self, *regions: tuple[int, bytearray]) -> None:
        self.regions = regions
        self.looked: Callable[[], object] = lambda: None

    @property
    def mapped(self) -> list[Region]:
        self.looked()
        return []

    def view(self, address: int, length: int) -> memoryview:
        self.looked()
        for start, content in self.regions:
            if start <= address and address + length <= start + len(content):
                return memoryview(content)[address - start : address - start + length]
        raise RingError(f"{length} bytes at {address:#x} are in no region")


class Mapped(Memories):
    """The same, which gives out its regions: one list of them until they are replaced."""

    _of: object = None

    @property
    def mapped(self) -> list[Region]:
        self.looked()
        if self._of is not self.regions:
            self._of = self.regions
            by_size = sorted(self.regions, key=lambda region: -len(region[1]))
            self._mapped = [(start, start + len(content), memoryview(content)) for start, content in by_size]
        return self._mapped


class Request(NamedTuple):
    """What a chain was made of."""

    readable: bytes
    writable: list[tuple[int, int]]  # address and length
    descriptors: list[int]
    number: int


def need_event(event: int, new: int, old: int) -> bool:
    """vring_need_event() of include/uapi/linux/virtio_ring.h."""
    return (new - event - 1) & 0xFFFF < (new - old) & 0xFFFF


class Driver:
    """A driver with a queue of ``size`` descriptors, whose parts are at ``BASE`` in guest memory."""

    BASE = 0x10000
    AREA = 0x1000
    """Bytes for the buffers and the table of each head."""

    def __init__(
        self,
        size: int = 8,
        *,
        event_idx: bool = False,
        indirect: bool = False,
        first: int = 0,
        kind: Callable[..., Memories] = Mapped,
        content: bytearray | None = None,
    ) -> None:
        """``first``: the value of both indices at the start."""
        self.size, self.event_idx, self.indirect = size, event_idx, indirect
        self.available_at = 16 * size
        self.used_at = (self.available_at + 6 + 2 * size + 3) & ~3
        self.areas_at = (self.used_at + 6 + 8 * size + 0xFFF) & ~0xFFF
        self.content = bytearray(self.areas_at + size * self.AREA) if content is None else content
        self.memory: Memory = kind((self.BASE, self.content))
        self.free = list(range(size))
        self.requests: dict[int, Request] = {}
        self.available_index = self.last_used = self.kicked_index = first & 0xFFFF
        self.signals = True
        self.made = 0
        if content is None:
            self.put(self.available_at + 2, "H", first & 0xFFFF)
            self.put(self.used_at + 2, "H", first & 0xFFFF)
            self._put_used_event()

    # -- memory --------------------------------------------------------------------------------------------------------

    def put(self, place: int, form: str, *values: int) -> None:
        struct.pack_into("<" + form, self.content, place, *values)

    def get(self, place: int, form: str = "H") -> int:
        return int(struct.unpack_from("<" + form, self.content, place)[0])

    def parts(self) -> tuple[memoryview, memoryview, memoryview]:
        """Descriptor table, available ring, used ring."""
        whole = memoryview(self.content)
        return (
            whole[: self.available_at],
            whole[self.available_at : self.available_at + 6 + 2 * self.size],
            whole[self.used_at : self.used_at + 6 + 8 * self.size],
        )

    def describe(self, place: int, address: int, length: int, flags: int = 0, following: int = 0) -> None:
        """Write a descriptor, at an offset in memory."""
        self.put(place, "QIHH", address, length, flags, following)

    @property
    def used_index(self) -> int:
        return self.get(self.used_at + 2)

    # -- requests ------------------------------------------------------------------------------------------------------

    def add(
        self,
        readable: Sequence[bytes],
        writable: Sequence[int] = (),
        *,
        direct: bool = False,
        gap: int = 1,
        order: Sequence[int] = (),
    ) -> int | None:
        """Make a request available: buffers with these contents, and buffers of these lengths;
        ``gap`` bytes between buffers. ``order``: the places of the descriptors of an indirect table.
        The head; None if there are too few free descriptors.
        """
        count = len(readable) + len(writable)
        use_table = self.indirect and not direct
        needed = 1 if use_table else count
        if needed > len(self.free):
            return None
        taken, self.free = self.free[:needed], self.free[needed:]
        head = taken[0]
        area = self.areas_at + head * self.AREA
        at = area + 16 * count if use_table else area
        places = list(order) or (list(range(count)) if use_table else taken)
        table = area if use_table else 0
        rooms = []
        for number, part in enumerate([*readable, *writable]):
            writes = number >= len(readable)
            length = part if isinstance(part, int) else len(part)
            if isinstance(part, bytes):
                self.content[at : at + length] = part
            else:
                rooms.append((at, length))
            last = number == count - 1
            flags = (0 if last else NEXT) | (WRITE if writes else 0)
            following = 0 if last else places[number + 1]
            self.describe(table + 16 * places[number], self.BASE + at, length, flags, following)
            at += length + gap
        assert at <= area + self.AREA + gap
        if use_table:
            self.describe(16 * head, self.BASE + area, 16 * count, INDIRECT)
        self.requests[head] = Request(b"".join(readable), rooms, taken, self.made)
        self.made += 1
        self.offer(head)
        return head

    def offer(self, head: int) -> None:
        """Put a head into the available ring: the entry, then the index."""
        self.put(self.available_at + 4 + 2 * (self.available_index % self.size), "H", head)
        self.available_index = (self.available_index + 1) & 0xFFFF
        self.put(self.available_at + 2, "H", self.available_index)

    def kick(self) -> bool:
        """Whether the device must be kicked for what was added since the last call
        (virtqueue_kick_prepare).
        """
        old, self.kicked_index = self.kicked_index, self.available_index
        if self.event_idx:
            return need_event(self.get(self.used_at + 4 + 8 * self.size), self.available_index, old)
        return not self.get(self.used_at) & 1

    def take(self) -> tuple[Request, bytes] | None:
        """The next request that came back, with what the device wrote (virtqueue_get_buf)."""
        if self.used_index == self.last_used:
            return None
        head, written = struct.unpack_from("<II", self.content, self.used_at + 4 + 8 * (self.last_used % self.size))
        request = self.requests.pop(head)  # KeyError: "id %u is not a head!"
        self.free += request.descriptors
        self.last_used = (self.last_used + 1) & 0xFFFF
        if self.signals:
            self._put_used_event()
        room = b"".join(self.content[at : at + length] for at, length in request.writable)
        assert written <= len(room)
        return request, room[:written]

    # -- signals -------------------------------------------------------------------------------------------------------

    def _put_used_event(self) -> None:
        if self.event_idx:
            self.put(self.available_at + 4 + 2 * self.size, "H", self.last_used)

    def enable_signals(self) -> bool:
        """Ask for the next signal (virtqueue_enable_cb). False: something has come back already."""
        self.signals = True
        if self.event_idx:
            self._put_used_event()
        else:
            self.put(self.available_at, "H", 0)
        return self.used_index == self.last_used

    def disable_signals(self) -> None:
        """Ask for none (virtqueue_disable_cb)."""
        self.signals = False
        if self.event_idx:
            self.put(self.available_at + 4 + 2 * self.size, "H", 0)
        else:
            self.put(self.available_at, "H", 1)

    def device(self, inflight: Inflight | None = None) -> SplitQueue:
        """A device's queue over the same memory, which begins where the driver does."""
        return SplitQueue(
            self.memory,
            self.size,
            *self.parts(),
            event_idx=self.event_idx,
            indirect=self.indirect,
            next_available=self.used_index,
            inflight=inflight,
        )


def changing(act: Callable[[], object], change: Callable[[], object], line: int, *modules: str) -> bool:
    """Call ``act``, and ``change`` before the line of these modules that is the so manieth (from 0)
    to run meanwhile. Whether there was such a line.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        nonlocal count
        if frame.f_globals.get("__name__") not in modules:
            return None
        if event in {"line", "return"}:
            if count == line:
                change()
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count > line
