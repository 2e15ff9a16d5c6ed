"""A driver of a 9P device in the same process: what `bench/inside.py --ring` puts in the place of a guest.

It lays requests out as Linux's trans_virtio does, one indirect table for each: the T-message, then
the place for its R-message; data of reads and writes are in pages of their own.  The device signals
it by a call, in which it takes the reply and makes the next request available.  So all of the
device is measured but the wait for a kick, which needs a second process (`bench/load`).
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import time
from collections.abc import Callable, Sequence

from ninep.transport.peers import Peer
from ninep.transport.stream import MakeConnection
from ninep.transport.virtio_9p import Virtio9P
from ninep.virtio.ring import SplitQueue

QUEUE = 128
PAGE = 4096
SMALL = 4096  # bytes for a request or a reply without data
DATA = 1 << 20
NEXT, WRITE, INDIRECT = 1, 2, 4
BASE = 0x4000_0000  # where the memory is for the "guest"
TREAD, TWRITE, TREADDIR = 116, 118, 40
READ_HEADER, WRITE_HEADER = 11, 23


class Memory:
    """One region."""

    def __init__(self, size: int) -> None:
        self.bytes = memoryview(mmap.mmap(-1, size))
        self.mapped = ((BASE, BASE + size, self.bytes),)

    def view(self, address: int, length: int) -> memoryview:
        """Never called: all is in the region."""
        raise NotImplementedError


class Driver:
    """One ring, and the device behind it."""

    def __init__(self, make: MakeConnection, depth: int = 1) -> None:
        self._depth = depth
        self._each = 2 * SMALL + 2 * DATA
        places = [0, 16 * QUEUE, 16 * QUEUE + PAGE]
        self._tables = places[2] + 2 * PAGE
        self._data = self._tables + 16 * QUEUE * QUEUE
        self._memory = Memory(self._data + depth * self._each)
        content = self._memory.bytes
        descriptors, available, used = (content[at:] for at in places)
        self._available = content[places[1] : places[1] + 6 + 2 * QUEUE].cast("H")
        used_ring = content[places[2] : places[2] + 6 + 8 * QUEUE]
        self._used = used_ring.cast("H")
        self._index = self._seen = 0
        self._event = os.eventfd(0, os.EFD_NONBLOCK)
        self._kick = os.eventfd(0, os.EFD_NONBLOCK)
        self._frames: Sequence[Sequence[int]] = ()
        """By slot, how long the table of each request is, in turn."""
        self._turn = [0] * depth
        self._left = self._running = 0
        self._done = asyncio.Event()
        self.errors = self.served = 0
        self._role = Virtio9P(make, Peer(), "")
        self._role.broken = self._broken
        queue = SplitQueue(
            self._memory, QUEUE, descriptors, available, used, event_idx=True, indirect=True, next_available=0
        )
        self._role.start(0, queue, self._kick, self._signal, resumed=False)

    def _broken(self, index: int, error: Exception) -> None:
        raise RuntimeError(f"ring {index}: {error}")

    async def run(self, frames: Sequence[bytes], count: int) -> None:
        """Have the sequence of requests served ``count`` times, with ``depth`` of them outstanding."""
        depth = min(self._depth, count)
        self._frames = [self._lay_out(slot, frames) for slot in range(depth)]
        self._turn = [0] * depth
        self._left = count * len(frames) - depth
        self._running = depth
        self._done.clear()
        for slot in range(depth):
            self._add(slot)
        os.eventfd_write(self._kick, 1)
        await self._done.wait()

    def _lay_out(self, slot: int, frames: Sequence[bytes]) -> list[int]:
        """Write the requests and their tables. Tables of a slot are one behind the other."""
        sizes: list[int] = []
        request = self._data + slot * self._each
        table = self._tables + slot * 16 * QUEUE
        for number, frame in enumerate(frames):
            at = request + number * (SMALL // 8)
            tagged = frame if frame[4] == 100 else frame[:5] + struct.pack("<H", slot) + frame[7:]
            parts = _parts(tagged, at, request + SMALL + number * (SMALL // 8), request + 2 * SMALL)
            if frame[4] == TWRITE:
                self._memory.bytes[at : at + WRITE_HEADER] = tagged[:WRITE_HEADER]
            else:
                self._memory.bytes[at : at + len(tagged)] = tagged
            packed = b"".join(
                struct.pack("<QIHH", BASE + start, length, flags | (NEXT if n < len(parts) else 0), n % len(parts))
                for n, (start, length, flags) in enumerate(parts, 1)
            )
            start = table + sum(sizes)
            self._memory.bytes[start : start + len(packed)] = packed
            sizes.append(len(packed))
        return sizes

    def _add(self, slot: int) -> None:
        """Make the next request of a slot available."""
        sizes = self._frames[slot]
        turn = self._turn[slot]
        self._turn[slot] = (turn + 1) % len(sizes)
        start = BASE + self._tables + slot * 16 * QUEUE + sum(sizes[:turn])
        struct.pack_into("<QIHH", self._memory.bytes, 16 * slot, start, sizes[turn], INDIRECT, 0)
        self._available[2 + self._index % QUEUE] = slot
        self._index = (self._index + 1) & 0xFFFF
        self._available[1] = self._index

    def _signal(self) -> None:
        """The device has replies."""
        os.eventfd_write(self._event, 1)
        while self._seen != self._used[1]:
            slot = self._used[2 + 4 * (self._seen % QUEUE)]
            self._seen = (self._seen + 1) & 0xFFFF
            turn = (self._turn[slot] or len(self._frames[slot])) - 1
            if self._memory.bytes[self._data + slot * self._each + SMALL + turn * (SMALL // 8) + 4] == 7:
                self.errors += 1
            self.served += 1
            if self._left:
                self._left -= 1
                self._add(slot)
            else:
                self._running -= 1
        self._available[2 + QUEUE] = self._seen
        if not self._running:
            self._done.set()

    def close(self) -> None:
        """The guest is gone."""
        self._role.stop(0)
        self._role.end()
        os.close(self._event)
        os.close(self._kick)


def _parts(frame: bytes, at: int, reply: int, data: int) -> list[tuple[int, int, int]]:
    """The buffers of a request: where, how long, flags."""
    number = frame[4]
    if number == TWRITE:
        size = len(frame) - WRITE_HEADER
        return [(at, WRITE_HEADER, 0), *_pages(data + DATA, size, 0), (reply, READ_HEADER, WRITE)]
    if number in {TREAD, TREADDIR}:
        size = min(int.from_bytes(frame[19:23], "little"), DATA, (QUEUE - 3) * PAGE)
        return [(at, len(frame), 0), (reply, READ_HEADER, WRITE), *_pages(data, size, WRITE)]
    return [(at, len(frame), 0), (reply, SMALL // 8, WRITE)]


def _pages(start: int, size: int, flags: int) -> list[tuple[int, int, int]]:
    return [(start + at, min(PAGE, size - at), flags) for at in range(0, size, PAGE)]


async def measure(
    driver: Driver, frames: Sequence[bytes], seconds: float, clock: Callable[[], float] = time.process_time
) -> float:
    """Seconds of processor time for one sequence: the best of many series."""
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = clock()
        await driver.run(frames, 100)
        best = min(best, (clock() - began) / 100)
    return best
