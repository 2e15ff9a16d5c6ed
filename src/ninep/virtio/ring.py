"""The split virtqueue, device side (virtio 1.2, section 2.7): descriptor chains in, used elements
out.

Everything is read and written in memory that the driver may change at any moment. So every index is
fetched once, checked, and what was checked is used, as every descriptor is (``chains``). What
breaks a rule is a ``RingError``.

Indices count modulo 65536 and are loaded and stored by one access of two bytes (an element of a
memoryview of format H); places in the rings are indices modulo the size. One thread uses a queue.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ninep.host.memory_order import IN_ORDER
from ninep.host.shared import address_of
from ninep.virtio.chains import MAX_CHAIN, Chain, ChainReader, Memory, Region
from ninep.virtio.errors import RingError
from ninep.virtio.inflight import Inflight

__all__ = ["MAX_CHAIN", "Chain", "Memory", "Region", "RingError", "SplitQueue"]

NO_INTERRUPT = 1  # VIRTQ_AVAIL_F_*
NO_NOTIFY = 1  # VIRTQ_USED_F_*


class SplitQueue:
    """One queue. For each chain ``pop``, then ``push``; ``publish`` after one or several."""

    def __init__(
        self,
        memory: Memory,
        size: int,
        descriptors: memoryview,
        available: memoryview,
        used: memoryview,
        *,
        event_idx: bool,
        indirect: bool,
        next_available: int,
        inflight: Inflight | None = None,
    ) -> None:
        """``descriptors``, ``available``, ``used``: the three parts, writable, format B, of 16 *
        size, 6 + 2 * size and 6 + 8 * size bytes. RingError for what the driver may not set up.
        """
        if not 0 < size <= 1 << 15 or size & (size - 1):
            raise RingError(f"a queue of {size} descriptors: the size is a power of two up to 32768")
        descriptors = _part("descriptor table", descriptors, 16 * size, 16)
        self._read = ChainReader(memory, descriptors, indirect=indirect).read
        self._available = _part("available ring", available, 6 + 2 * size, 2).cast("H")
        used = _part("used ring", used, 6 + 8 * size, 4)
        self._used = used.cast("H")
        self._elements = used[4 : 4 + 8 * size].cast("Q")
        self._size = size
        self._mask = size - 1
        self._event_idx = event_idx
        self._inflight = inflight
        self.next_available = next_available & 0xFFFF
        """The index of the next chain to pop: what GET_VRING_BASE is answered."""
        self.outstanding: set[int] = set()
        """The heads popped and not pushed yet."""
        self.interrupted = False
        """``serve`` takes no more chains."""
        self._seen = self.next_available  # the available index, when last looked at
        self._used_index = self._used[1]  # as published
        self._batch: list[int] = []  # heads pushed and not published yet
        self._signalled = False  # the driver was signalled once, or did not want that
        self._fence = threading.Lock()
        self._fence.acquire()
        if inflight is not None:
            inflight.start(self._used_index)

    def _barrier(self) -> None:
        """A full memory barrier: what was stored before is visible before anything is loaded after.

        A lock released, then acquired: both are locked instructions on x86-64, and on arm64 a
        store-release that no load-acquire after it may pass. Where ``IN_ORDER``, only a load after
        a store needs it.
        """
        self._fence.release()
        self._fence.acquire()

    def pop(self) -> Chain | None:
        """Take the next chain that the driver made available, if there is one."""
        index = self.next_available
        available = self._available
        if index == self._seen:
            seen = available[1]
            if seen == index:
                return None
            ahead = (seen - index) & 0xFFFF
            if ahead > self._size:
                raise RingError(f"the available index is {ahead} ahead, in a ring of {self._size}")
            self._seen = seen
            if not IN_ORDER:
                self._barrier()  # what the index tells of is loaded after it
        head = available[2 + (index & self._mask)]
        outstanding = self.outstanding
        if head > self._mask:
            raise RingError(f"descriptor {head} of {self._size} made available")
        if head in outstanding or (self._batch and head in self._batch):
            raise RingError(f"descriptor {head} made available before it was returned")
        chain = self._read(head)
        self.next_available = (index + 1) & 0xFFFF
        outstanding.add(head)
        if self._inflight is not None:
            self._inflight.take(head)
        return chain

    def push(self, head: int, written: int) -> None:
        """Return a chain, ``written`` bytes of which were written. Not visible before ``publish``.
        KeyError for a head that is not outstanding.
        """
        self.outstanding.remove(head)
        batch = self._batch
        if self._inflight is not None:
            self._inflight.put(head)
        self._elements[(self._used_index + len(batch)) & self._mask] = head | written << 32
        batch.append(head)

    @property
    def pushed(self) -> int:
        """Chains that wait for ``publish``."""
        return len(self._batch)

    def interrupt(self) -> None:
        """Have ``serve`` take no more chains, until ``go_on``."""
        self.interrupted = True

    def go_on(self) -> None:
        """It may take them again."""
        self.interrupted = False

    def discard(self) -> None:
        """What was pushed and not published never will be."""
        self._batch = []

    def serve(self, handle: Callable[[Chain], int | None], most: int) -> bool:
        """Pop chains, at most so many, for ``handle``, which returns how many bytes it has written to
        one: that is pushed; or None. False: there are no more at the moment.
        """
        pop, push = self.pop, self.push
        while True:
            chain = pop()
            if chain is None:
                return False
            written = handle(chain)
            if written is not None:
                push(chain.head, written)
            most -= 1
            if not most or self.interrupted:
                return True

    def publish(self, *, kicks: bool = False) -> bool:
        """Make the pushed chains visible. True: the driver wants a signal.

        The first answer is always True, since a process before this one may have ended between its
        last publish and the signal.

        Args:
            kicks: ask for the next kick as well, as ``enable_kicks`` does: ``has_more`` then tells
                whether a chain was made available before the driver could see that.
        """
        batch = self._batch
        index = self._used_index
        if batch:
            index = (index + len(batch)) & 0xFFFF
            if not IN_ORDER:
                self._barrier()  # the index after the elements
            self._used[1] = self._used_index = index
        if kicks:
            self._ask()
        if batch or kicks:
            self._barrier()  # the driver's wish after the index
        if batch:
            if self._inflight is not None:
                self._inflight.commit(batch, index)
            self._batch = []
        if not self._signalled:
            self._signalled = True
            return True
        if not batch:
            return False
        if self._event_idx:
            return (index - self._available[2 + self._size] - 1) & 0xFFFF < len(batch)
        return not self._available[0] & NO_INTERRUPT

    def enable_kicks(self) -> bool:
        """Ask for the next kick. False: a chain was made available before the driver could see
        that, so that it may not kick.
        """
        self._ask()
        self._barrier()
        return self._available[1] == self.next_available

    def _ask(self) -> None:
        if self._event_idx:
            self._used[2 + 4 * self._size] = self.next_available
        else:
            self._used[0] = 0

    def disable_kicks(self) -> None:
        """Ask for no kicks. With EVENT_IDX there is nothing to write: the index that was asked for
        is passed once.
        """
        if not self._event_idx:
            self._used[0] = NO_NOTIFY

    def has_more(self) -> bool:
        """Whether a chain is there to pop."""
        return self._available[1] != self.next_available

    def recover(self) -> list[Chain]:
        """The chains that an earlier process took and did not return, oldest first, by the in-flight
        region. They are outstanding, and ``next_available`` is what follows from their number. Once,
        before the first ``pop``.
        """
        if self._inflight is None:
            return []
        heads = self._inflight.recover(self._used_index)
        self.next_available = self._seen = (self._used_index + len(heads)) & 0xFFFF
        chains = [self._read(head) for head in heads]
        self.outstanding.update(heads)
        return chains


def _part(name: str, part: memoryview, size: int, alignment: int) -> memoryview:
    if len(part) < size:
        raise RingError(f"the {name} has {len(part)} bytes, not {size}")
    if address_of(part) % alignment:
        raise RingError(f"the {name} is not aligned to {alignment} bytes")
    return part[:size]
