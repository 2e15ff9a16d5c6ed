"""One virtio device of one front end (QEMU): its requests in, answers out.

The device owns the guest's memory, the rings and all descriptors that came with requests. It says
to its ``Role`` when a ring runs, stops and goes on.

* A ring runs while the front end has given it memory, a size, addresses and a kick descriptor, and
  has enabled it (without VHOST_USER_F_PROTOCOL_FEATURES it is enabled at once), in whatever order.
* QEMU stops rings by GET_VRING_BASE when it stops the guest (``stop``) and when the guest resets the
  device, and nothing tells the two apart until the next start. A ring that is set up as it was, and
  is to begin where it ended, is *resumed*: it was ``stop`` and ``cont``, and sessions go on. Any
  other start is fresh: ``Role.end`` is called first. A driver that reads the config space while no
  ring runs is probing the device anew: ``Role.end`` at once.
* What a front end gets wrong is its own: a request that cannot be met is logged, answered 1 if it
  asked for an answer, and changes nothing. A ``ProtocolError`` ends the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, NamedTuple, Protocol

from ninep.host import shared
from ninep.virtio import inflight as region
from ninep.virtio import messages as m
from ninep.virtio.errors import RingError
from ninep.virtio.memory import MAX_SLOTS, BadMemory, GuestMemory, Place
from ninep.virtio.messages import Answer, Message, ProtocolError, ProtocolFeature, Request
from ninep.virtio.ring import SplitQueue
from ninep.virtio.vring import NO_DESCRIPTOR, Vring

log = logging.getLogger("ninep.virtio")


class Feature(IntEnum):
    """Bits of GET_FEATURES that all devices have here."""

    INDIRECT_DESC = 28
    EVENT_IDX = 29
    PROTOCOL_FEATURES = 30  # VHOST_USER_F_PROTOCOL_FEATURES
    VERSION_1 = 32


COMMON: Final = sum(1 << bit for bit in Feature)

NEEDS_RESET: Final = 1 << 6  # DEVICE_NEEDS_RESET


class Profile(NamedTuple):
    """What kind of device it is."""

    features: int
    """Feature bits of the device, beyond those that all have here."""
    config: bytes
    """The config space."""
    queues: int
    queue_size: int
    """The most descriptors of a ring."""


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


class _Failed(Exception):
    """A request cannot be met; the front end may go on."""


class Device:
    """A device, from the connection of its front end to the end of that."""

    def __init__(self, profile: Profile, role: Role, *, unsealed: bool = False, name: str = "virtio") -> None:
        """``unsealed``: memory of files that could shrink is taken. ``name``: for the log."""
        self._profile = profile
        self._role = role
        self._name = name
        self._memory = GuestMemory(unsealed=unsealed)
        self._rings = [Vring(index) for index in range(profile.queues)]
        self._features = 0
        self._agreed: frozenset[ProtocolFeature] = frozenset()
        self._status = 0
        self._inflight: tuple[m.Inflight, Place, memoryview] | None = None
        self._used = False
        """Whether the role has had a ring since its last end."""

    @property
    def features(self) -> int:
        """The feature bits that were agreed on."""
        return self._features

    # -- requests ------------------------------------------------------------------------------------------------------

    def request(self, message: Message, descriptors: list[int]) -> Answer | None:
        """Do what a request says. The descriptors are the device's from now on. The answer to send,
        if there is one. ``ProtocolError``: close the socket.
        """
        request = message.request
        row = m.TABLE[request]
        try:
            if row.feature is not None and row.feature not in self._agreed:
                raise ProtocolError(f"{request.name} without {row.feature.name}")
            body = _HANDLERS[request](self, message.body, descriptors)
        except (_Failed, BadMemory) as error:
            log.warning("%s: %s refused: %s", self._name, request.name, error)
            body = 1
        finally:
            m.close_all(descriptors)
        if isinstance(body, Answer):
            return body
        if row.answer is None:
            if not message.need_reply or ProtocolFeature.REPLY_ACK not in self._agreed:
                return None
            body = body or 0
        return Answer(m.pack_answer(request, body))

    def broken(self, index: int, error: RingError) -> None:
        """A ring that its role serves no longer, because the driver broke its rules: it is dead
        until it starts anew. ``Role.stop`` is not called.
        """
        ring = self._rings[index]
        ring.stopped()
        ring.broken = True
        self._status |= NEEDS_RESET
        log.warning("%s: ring %d is broken, and served no more until the guest resets it: %s", self._name, index, error)
        if ring.err != NO_DESCRIPTOR:
            shared.signal(ring.err)

    def close(self) -> None:
        """The front end is gone."""
        self._end()
        for ring in self._rings:
            ring.close()
        self._inflight = None
        self._memory.clear()
        log.info("%s: the front end is gone", self._name)

    # -- features ------------------------------------------------------------------------------------------------------

    def _get_features(self, _body: None, _descriptors: list[int]) -> int:
        return self._profile.features | COMMON

    def _set_features(self, features: int, _descriptors: list[int]) -> None:
        unknown = features & ~(self._profile.features | COMMON)
        if unknown:
            raise ProtocolError(f"SET_FEATURES with bits that were not offered: {unknown:#x}")
        self._features = features
        self._start_ready()

    def _offered(self) -> frozenset[ProtocolFeature]:
        without = () if self._profile.config else (ProtocolFeature.CONFIG,)
        return frozenset(ProtocolFeature).difference(without)

    def _get_protocol_features(self, _body: None, _descriptors: list[int]) -> int:
        return sum(1 << bit for bit in self._offered())

    def _set_protocol_features(self, features: int, _descriptors: list[int]) -> None:
        agreed = frozenset(bit for bit in self._offered() if features >> bit & 1)
        if sum(1 << bit for bit in agreed) != features:
            raise ProtocolError(f"SET_PROTOCOL_FEATURES with bits that were not offered: {features:#x}")
        self._agreed = agreed

    def _get_queue_num(self, _body: None, _descriptors: list[int]) -> int:
        return self._profile.queues

    def _set_owner(self, _body: None, _descriptors: list[int]) -> None:
        log.info("%s: the front end is connected", self._name)

    # -- config space and status ---------------------------------------------------------------------------------------

    def _get_config(self, config: m.Config, _descriptors: list[int]) -> m.Config:
        if self._used and not any(ring.running for ring in self._rings):
            log.info("%s: reset: the guest probes the device anew", self._name)
            self._end()
        have = self._profile.config
        if config.offset + config.size != len(have):
            log.info("%s: %d bytes of config space were asked for: config_size=%d", self._name, config.size, len(have))
        part = have[config.offset : config.offset + config.size]
        return m.Config(config.offset, config.size, 0, part.ljust(config.size, b"\0"))

    def _set_config(self, _config: m.Config, _descriptors: list[int]) -> None:
        raise _Failed("the config space is read-only")

    def _get_status(self, _body: None, _descriptors: list[int]) -> int:
        return self._status

    def _set_status(self, status: int, _descriptors: list[int]) -> None:
        self._status = status
        if not status:
            for ring in self._rings:
                self._halt(ring)

    def _reset_device(self, _body: None, _descriptors: list[int]) -> None:
        log.info("%s: reset", self._name)
        self._end()
        self._features = self._status = 0
        self._inflight = None
        for ring in self._rings:
            ring.clear()

    def _reset_owner(self, _body: None, _descriptors: list[int]) -> None:
        """Deprecated: "either ignore this message, or use it to disable all rings"."""
        for ring in self._rings:
            ring.enabled = False
            self._stop(ring)

    # -- memory --------------------------------------------------------------------------------------------------------

    def _set_mem_table(self, regions: tuple[m.Region, ...], descriptors: list[int]) -> None:
        if len(regions) != len(descriptors):
            raise ProtocolError(f"SET_MEM_TABLE of {len(regions)} regions with {len(descriptors)} descriptors")
        self._memory.replace(regions, descriptors)
        self._memory_changed()

    def _get_max_mem_slots(self, _body: None, _descriptors: list[int]) -> int:
        return MAX_SLOTS

    def _add_mem_reg(self, added: m.Region, descriptors: list[int]) -> None:
        self._memory.add(added, descriptors[0])
        self._memory_changed()

    def _rem_mem_reg(self, removed: m.Region, _descriptors: list[int]) -> None:
        self._memory.remove(removed)
        self._memory_changed()

    def _memory_changed(self) -> None:
        """Rings whose memory is where it was go on; others stop, until it is there again."""
        for ring in self._rings:
            if not ring.running:
                continue
            try:
                same = self._find(ring)[0] == ring.setup
            except BadMemory as error:
                log.debug("%s: ring %d: %s", self._name, ring.index, error)
                same = False
            if not same:
                self._stop(ring)
        self._start_ready()

    # -- rings ---------------------------------------------------------------------------------------------------------

    def _ring(self, index: int) -> Vring:
        if index >= len(self._rings):
            raise ProtocolError(f"ring {index}: the device has {len(self._rings)} (num_vqs={len(self._rings)})")
        return self._rings[index]

    def _idle(self, index: int) -> Vring:
        ring = self._ring(index)
        if ring.running:
            raise _Failed(f"ring {index} runs")
        return ring

    def _set_vring_num(self, state: m.VringState, _descriptors: list[int]) -> None:
        ring = self._idle(state.ring)
        size = state.number
        if not 0 < size <= self._profile.queue_size or size & (size - 1):
            ring.size = 0
            raise _Failed(f"a ring of {size} descriptors: a power of two, at most {self._profile.queue_size}")
        ring.size = size
        self._start_if_ready(ring)

    def _set_vring_base(self, state: m.VringState, _descriptors: list[int]) -> None:
        if state.number > 0xFFFF:
            raise _Failed(f"index {state.number} to begin at")
        ring = self._idle(state.ring)
        ring.base = state.number

    def _set_vring_addr(self, addresses: m.VringAddresses, _descriptors: list[int]) -> None:
        ring = self._ring(addresses.ring)
        if ring.running and addresses != ring.addresses:
            raise _Failed(f"ring {ring.index} runs")
        ring.addresses = addresses
        self._start_if_ready(ring)

    def _get_vring_base(self, state: m.VringState, _descriptors: list[int]) -> m.VringState:
        ring = self._ring(state.ring)
        self._halt(ring)
        return m.VringState(ring.index, ring.base)

    def _event(self, value: int, descriptors: list[int]) -> tuple[Vring, int]:
        """The ring of a SET_VRING_KICK, CALL or ERR, and the descriptor that came, if one did."""
        ring = self._ring(value & m.VRING_INDEX_MASK)
        if bool(value & m.VRING_NOFD) == bool(descriptors):
            raise ProtocolError(f"{len(descriptors)} descriptors with {value:#x} for a ring")
        if not descriptors:
            return ring, NO_DESCRIPTOR
        if not shared.is_event(descriptors[0]):
            raise _Failed("the descriptor is no eventfd")
        return ring, descriptors.pop()

    def _set_vring_kick(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        self._stop(ring)
        ring.replace("kick", descriptor)
        if descriptor == NO_DESCRIPTOR:
            raise _Failed("rings are not polled: they start with a kick descriptor")
        self._start_if_ready(ring)

    def _set_vring_call(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        ring.replace("call", descriptor)
        ring.signal()  # what was signalled to the one before may have had nobody who waits

    def _set_vring_err(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        ring.replace("err", descriptor)

    def _set_vring_enable(self, state: m.VringState, _descriptors: list[int]) -> None:
        ring = self._ring(state.ring)
        ring.enabled = bool(state.number)
        if ring.enabled:
            self._start_if_ready(ring)
        else:
            self._stop(ring)

    # -- the in-flight region ------------------------------------------------------------------------------------------

    def _get_inflight_fd(self, wanted: m.Inflight, _descriptors: list[int]) -> Answer:
        if not 0 < wanted.queues <= self._profile.queues or not 0 < wanted.queue_size <= self._profile.queue_size:
            raise ProtocolError(f"in-flight regions of {wanted.queues} rings of {wanted.queue_size} descriptors")
        size = wanted.queues * region.region_size(wanted.queue_size)
        descriptor = shared.sealed_memory("ninep-inflight", size)
        made = m.Inflight(size, 0, wanted.queues, wanted.queue_size)
        return Answer(m.pack_answer(Request.GET_INFLIGHT_FD, made), (descriptor,))

    def _set_inflight_fd(self, given: m.Inflight, descriptors: list[int]) -> None:
        if any(ring.running for ring in self._rings):
            raise _Failed("a ring runs")
        if not shared.cannot_shrink(descriptors[0]):
            raise _Failed("the in-flight region is not the one that was given out")
        file, size = shared.file_size(descriptors[0])
        least = given.queues * region.region_size(given.queue_size)
        if given.offset + max(given.size, least) > size or given.size < least or given.offset % 8:
            raise _Failed(f"an in-flight region of {given.size} bytes at {given.offset} in a file of {size}")
        view = shared.map_shared(descriptors[0], size)[given.offset : given.offset + given.size]
        self._inflight = (given, Place(file, given.offset), view)

    def _inflight_of(self, ring: Vring) -> region.Inflight | None:
        """The part of a ring. ``RingError``."""
        if self._inflight is None or ring.index >= self._inflight[0].queues:
            return None
        each = region.region_size(self._inflight[0].queue_size)
        return region.Inflight(self._inflight[2][ring.index * each :][:each], ring.size)

    # -- starting and stopping -----------------------------------------------------------------------------------------

    def _find(self, ring: Vring) -> Any:
        return ring.find(
            self._memory,
            event_idx=bool(self._features >> Feature.EVENT_IDX & 1),
            indirect=bool(self._features >> Feature.INDIRECT_DESC & 1),
            inflight=self._inflight[1] if self._inflight else None,
        )

    def _start_ready(self) -> None:
        for ring in self._rings:
            self._start_if_ready(ring)

    def _start_if_ready(self, ring: Vring) -> None:
        enabled = not self._features >> Feature.PROTOCOL_FEATURES & 1
        if ring.running or not ring.ready(enabled=enabled):
            return
        try:
            setup, parts = self._find(ring)
            resumed = ring.resumes(setup)
            if not resumed:
                anew = ring.queue is not None
                if anew:
                    self._end()
                inflight = self._inflight_of(ring)
                if inflight is not None and anew:
                    inflight.reset(parts.used.cast("H")[1])
                ring.make(self._memory, setup, parts, inflight)
        except (BadMemory, RingError) as error:
            if ring.told != str(error):
                ring.told = str(error)
                log.warning("%s: ring %d does not start: %s", self._name, ring.index, error)
            return
        self._run(ring, resumed=resumed)

    def _run(self, ring: Vring, *, resumed: bool) -> None:
        assert ring.queue is not None  # noqa: S101 - for types
        ring.running = self._used = True
        ring.told = ""
        if resumed:
            log.debug("%s: ring %d resumed at %d", self._name, ring.index, ring.base)
        else:
            log.info(
                "%s: ring %d started: %d descriptors, features %#x", self._name, ring.index, ring.size, self._features
            )
        self._role.start(ring.index, ring.queue, ring.kick, ring.signal, resumed=resumed)

    def _stop(self, ring: Vring) -> None:
        if ring.running:
            self._role.stop(ring.index)
            ring.stopped()
            log.debug("%s: ring %d stopped at %d", self._name, ring.index, ring.base)

    def _halt(self, ring: Vring) -> None:
        """Stop a ring until a kick descriptor comes again."""
        self._stop(ring)
        ring.halted()

    def _end(self) -> None:
        """All that the role has comes to its end."""
        for ring in self._rings:
            self._stop(ring)
            ring.forget()
        if self._used:
            self._used = False
            self._role.end()


_HANDLERS: Final[dict[Request, Callable[[Device, Any, list[int]], Any]]] = {
    request: getattr(Device, f"_{request.name.lower()}") for request in Request
}
