"""The rings of a device: when they start, stop and go on, and what the device's role is told of it.

A ring runs while the front end has given it memory, a size, addresses and a kick descriptor, and
has enabled it (without VHOST_USER_F_PROTOCOL_FEATURES it is enabled at once), in whatever order.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import Protocol

from ninep.host import shared
from ninep.virtio import messages as m
from ninep.virtio.errors import RingError
from ninep.virtio.inflight import Inflight, region_size
from ninep.virtio.memory import BadMemory, GuestMemory, Place
from ninep.virtio.ring import SplitQueue
from ninep.virtio.vring import NO_DESCRIPTOR, Parts, Setup, Vring

log = logging.getLogger("ninep.virtio")


class Feature(IntEnum):
    """Bits of GET_FEATURES that all devices have here."""

    INDIRECT_DESC = 28
    EVENT_IDX = 29
    PROTOCOL_FEATURES = 30  # VHOST_USER_F_PROTOCOL_FEATURES
    VERSION_1 = 32


class Role(Protocol):
    """What a device does with its rings."""

    def start(self, index: int, queue: SplitQueue, kick: int, call: Callable[[], None], *, resumed: bool) -> None:
        """The ring runs; there may be chains in it already. ``kick``: the descriptor to wait on,
        which is the device's. ``call()``: signal the driver. ``resumed``: it is the same queue that
        was stopped, and goes on: sessions live on.
        """

    def stop(self, index: int) -> None:
        """Touch the ring no more, nor wait on its descriptor. A resumed start may follow."""

    def end(self) -> None:
        """The front end is gone, or the device was reset: sessions end. No ring runs."""


class Rings:
    """All rings of one device, by index."""

    def __init__(self, count: int, memory: GuestMemory, role: Role, name: object) -> None:
        """``name``: for the log."""
        self._all = [Vring(index) for index in range(count)]
        self._memory = memory
        self._role = role
        self._name = name
        self._inflight: tuple[m.Inflight, Place, memoryview] | None = None
        self.features = 0
        """The feature bits that were agreed on."""
        self.used = False
        """Whether the role has had a ring since its last end."""

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, index: int) -> Vring:
        """IndexError."""
        return self._all[index]

    def _has(self, feature: Feature) -> bool:
        return bool(self.features >> feature & 1)

    @property
    def running(self) -> bool:
        """Whether one runs."""
        return any(ring.running for ring in self._all)

    # -- what the front end changes ------------------------------------------------------------------------------------

    def set_features(self, features: int) -> None:
        """Other features were agreed on."""
        self.features = features
        self._start_ready()

    def set_inflight(self, given: m.Inflight, place: Place, view: memoryview) -> None:
        """Keep what is in flight there, from the next starts on."""
        self._inflight = (given, place, view)

    def memory_changed(self) -> None:
        """Rings whose memory is where it was go on; others stop, until it is there again."""
        for ring in self._all:
            if ring.running and not self._in_place(ring):
                self.stop(ring)
        self._start_ready()

    def _in_place(self, ring: Vring) -> bool:
        with suppress(BadMemory):
            return self._find(ring)[0] == ring.setup
        return False

    def clear(self) -> None:
        """The state at the beginning. The role comes to its end."""
        self.end()
        self.features = 0
        self._inflight = None
        for ring in self._all:
            ring.clear()

    # -- starting ------------------------------------------------------------------------------------------------------

    def _start_ready(self) -> None:
        for ring in self._all:
            self.start_if_ready(ring)

    def start_if_ready(self, ring: Vring) -> None:
        """Start a ring if all is there that it needs. What is wrong with it is logged."""
        if ring.running or not ring.ready(enabled=not self._has(Feature.PROTOCOL_FEATURES)):
            return
        try:
            setup, parts = self._find(ring)
            resumed = ring.resumes(setup)
            if not resumed:
                self._make(ring, setup, parts)
        except (BadMemory, RingError) as error:
            if ring.set_start_error(str(error)):
                log.warning("%s: ring %d does not start: %s", self._name, ring.index, str(error))
            return
        self._run(ring, resumed=resumed)

    def _find(self, ring: Vring) -> tuple[Setup, Parts]:
        return ring.find(
            self._memory,
            event_idx=self._has(Feature.EVENT_IDX),
            indirect=self._has(Feature.INDIRECT_DESC),
            inflight=self._inflight[1] if self._inflight else None,
        )

    def _make(self, ring: Vring, setup: Setup, parts: Parts) -> None:
        """A new queue. Sessions of the one that the ring was before end, and what it had in flight
        is in flight no more.
        """
        anew = ring.queue is not None
        if anew:
            self.end()
        inflight = self._inflight_of(ring)
        if inflight is not None and anew:
            inflight.reset(parts.used.cast("H")[1])
        ring.make(self._memory, setup, parts, inflight)

    def _inflight_of(self, ring: Vring) -> Inflight | None:
        """The part of the in-flight region that is a ring's. ``RingError``."""
        if self._inflight is None or ring.index >= self._inflight[0].queues:
            return None
        given, _, view = self._inflight
        each = region_size(given.queue_size)
        return Inflight(view[ring.index * each : (ring.index + 1) * each], ring.size)

    def _run(self, ring: Vring, *, resumed: bool) -> None:
        queue = ring.begin()
        self.used = True
        if resumed:
            log.debug("%s: ring %d goes on at %d", self._name, ring.index, ring.base)
        else:
            log.info(
                "%s: ring %d started: %d descriptors, features %s",
                self._name,
                ring.index,
                ring.size,
                _names(self.features),
            )
        self._role.start(ring.index, queue, ring.kick, ring.signal, resumed=resumed)

    # -- stopping ------------------------------------------------------------------------------------------------------

    def stop(self, ring: Vring) -> None:
        """Stop a ring, if it runs."""
        if ring.running:
            self._role.stop(ring.index)
            ring.stopped()
            log.debug("%s: ring %d stopped at %d", self._name, ring.index, ring.base)

    def halt(self, ring: Vring) -> None:
        """Stop a ring until a kick descriptor comes again."""
        self.stop(ring)
        ring.halted()

    def halt_all(self) -> None:
        """Stop all, likewise."""
        for ring in self._all:
            self.halt(ring)

    def disable_all(self) -> None:
        """Stop all until they are enabled."""
        for ring in self._all:
            ring.set_enabled(False)
            self.stop(ring)

    def broken(self, ring: Vring, error: RingError) -> None:
        """A ring that the role serves no longer, because the driver broke its rules."""
        ring.stopped()
        ring.set_broken()
        log.warning(
            "%s: ring %d is broken, and served no more until the guest resets it: %s",
            self._name,
            ring.index,
            str(error),
        )
        if ring.err != NO_DESCRIPTOR:
            shared.signal(ring.err)

    def end(self) -> None:
        """All that the role has comes to its end."""
        for ring in self._all:
            self.stop(ring)
            ring.forget()
        if self.used:
            self.used = False
            self._role.end()


def _names(features: int) -> str:
    """Feature bits as the specification calls them, and the device's own."""
    names = [bit.name for bit in Feature if features >> bit & 1 and bit is not Feature.PROTOCOL_FEATURES]
    own = features & ~sum(1 << bit for bit in Feature)
    return " ".join([*names, hex(own)])
