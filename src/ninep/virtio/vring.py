"""What a front end has said about one ring (vhost-user's "vring"), and the queue that it became."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

from ninep.host import shared
from ninep.virtio.inflight import Inflight
from ninep.virtio.memory import BadMemory, GuestMemory, Place
from ninep.virtio.messages import VringAddresses
from ninep.virtio.ring import SplitQueue

NO_DESCRIPTOR: Final = -1


class Setup(NamedTuple):
    """All that a queue is made from but the index to begin at: a queue goes on where it stopped if
    it is set up the same.
    """

    size: int
    descriptors: Place
    available: Place
    used: Place
    event_idx: bool
    indirect: bool
    inflight: Place | None


class Parts(NamedTuple):
    """The memory of a ring."""

    descriptors: memoryview
    available: memoryview
    used: memoryview


class Vring:
    """One ring. ``size`` 0 and ``addresses`` None: not told yet."""

    __slots__ = (
        "_used_index",
        "addresses",
        "base",
        "broken",
        "call",
        "enabled",
        "err",
        "index",
        "kick",
        "parts",
        "queue",
        "running",
        "setup",
        "size",
        "start_error",
    )

    start_error: str

    def __init__(self, index: int) -> None:
        self.index = index
        self.kick = self.call = self.err = NO_DESCRIPTOR
        self.running = False
        self.forget()
        self.clear()

    def clear(self) -> None:
        """The state at the beginning."""
        self.size = 0
        self.addresses: VringAddresses | None = None
        self.base = 0
        self.enabled: bool | None = None
        """None: SET_VRING_ENABLE has not come yet."""
        self.close()

    def set_size(self, size: int) -> None:
        """SET_VRING_NUM; 0: none yet."""
        self.size = size

    def set_base(self, base: int) -> None:
        """SET_VRING_BASE: the index to begin at."""
        self.base = base

    def set_addresses(self, addresses: VringAddresses) -> None:
        """SET_VRING_ADDR."""
        self.addresses = addresses

    def set_enabled(self, enabled: bool) -> None:
        """SET_VRING_ENABLE."""
        self.enabled = enabled

    def set_broken(self) -> None:
        """The driver broke its rules: it starts no more until it is set up afresh."""
        self.broken = True

    def set_start_error(self, why: str) -> bool:
        """It could not start. Whether that is to be logged: not the same again."""
        changed = why != self.start_error
        self.start_error = why
        return changed

    def close(self) -> None:
        """Close its descriptors."""
        for name in ("kick", "call", "err"):
            self.replace(name, NO_DESCRIPTOR)

    def replace(self, name: str, descriptor: int) -> None:
        """Put a descriptor in the place of ``kick``, ``call`` or ``err``; the old one is closed."""
        old = getattr(self, name)
        setattr(self, name, descriptor)
        if old != NO_DESCRIPTOR:
            os.close(old)

    def forget(self) -> None:
        """Forget the queue that it was: its next start is a fresh one."""
        self.queue: SplitQueue | None = None
        self.setup: Setup | None = None
        self.parts: Parts | None = None
        self.broken = False
        self.start_error = ""
        """Why it could not start, as logged."""
        self._used_index = 0

    def ready(self, *, enabled: bool) -> bool:
        """Whether all is there that a start needs. ``enabled``: what it is without being told."""
        wanted = enabled if self.enabled is None else self.enabled
        return (
            wanted and not self.broken and self.kick != NO_DESCRIPTOR and self.size > 0 and self.addresses is not None
        )

    def find(
        self, memory: GuestMemory, *, event_idx: bool, indirect: bool, inflight: Place | None
    ) -> tuple[Setup, Parts]:
        """Its parts in the memory of the front end. ``BadMemory``."""
        at = self.addresses
        if at is None:
            raise BadMemory("it has no addresses")
        size = self.size
        descriptors, first = _part(memory, "descriptor table", at.descriptor, 16 * size, 16)
        available, second = _part(memory, "available ring", at.available, 6 + 2 * size, 2)
        used, third = _part(memory, "used ring", at.used, 6 + 8 * size, 4)
        return Setup(size, first, second, third, event_idx, indirect, inflight), Parts(descriptors, available, used)

    def resumes(self, setup: Setup) -> bool:
        """Whether a start would go on where the ring stopped: it is set up the same, is to begin
        where it ended, and the used ring was not written meanwhile.
        """
        return (
            self.queue is not None
            and self.setup == setup
            and self.base == self.queue.next_available
            and self._used_index == self._index_now()
        )

    def make(self, memory: GuestMemory, setup: Setup, parts: Parts, inflight: Inflight | None) -> SplitQueue:
        """A new queue that begins at ``base``. ``RingError``."""
        self.queue = SplitQueue(
            memory,
            setup.size,
            *parts,
            event_idx=setup.event_idx,
            indirect=setup.indirect,
            next_available=self.base,
            inflight=inflight,
        )
        self.setup, self.parts = setup, parts
        return self.queue

    def begin(self) -> SplitQueue:
        """It runs. Its queue, which was made or resumes."""
        if self.queue is None:
            raise RuntimeError("a ring that was not made")
        self.running = True
        self.start_error = ""
        return self.queue

    def stopped(self) -> None:
        """It runs no longer; what it is to resume from is noted."""
        self.running = False
        if self.queue is not None:
            self.base = self.queue.next_available
            self._used_index = self._index_now()

    def halted(self) -> None:
        """It starts with the next kick descriptor; one that was broken starts afresh then."""
        self.replace("kick", NO_DESCRIPTOR)
        if self.broken:
            self.broken = False
            self.setup = None

    def _index_now(self) -> int:
        return int(self.parts.used.cast("H")[1]) if self.parts else 0

    def signal(self) -> None:
        """Signal the driver, if it waits for signals."""
        if self.running and self.call != NO_DESCRIPTOR:
            shared.signal(self.call)


def _part(memory: GuestMemory, name: str, address: int, size: int, alignment: int) -> tuple[memoryview, Place]:
    if address % alignment:
        raise BadMemory(f"its {name} at {address:#x} is not aligned to {alignment} bytes")
    try:
        return memory.user_view(address, size)
    except BadMemory as error:
        raise BadMemory(f"its {name}: {error}") from None
