"""One virtio device of one front end (QEMU): its requests in, answers out.

The device owns the guest's memory, the rings and all descriptors that came with requests. It says
to its ``Role`` when a ring runs, stops and goes on.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from ninep.host import shared
from ninep.virtio import messages as m
from ninep.virtio.errors import RingError
from ninep.virtio.inflight import region_size
from ninep.virtio.memory import MAX_SLOTS, BadMemory, GuestMemory, Place
from ninep.virtio.messages import Answer, Message, ProtocolError, ProtocolFeature, Request
from ninep.virtio.rings import Feature, Rings, Role
from ninep.virtio.vring import NO_DESCRIPTOR, Vring

__all__ = ["Device", "Feature", "Profile", "Role"]

log = logging.getLogger("ninep.virtio")


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


class _Failed(Exception):
    """A request cannot be met; the front end may go on."""


@contextmanager
def _failing(what: str) -> Iterator[None]:
    """A call to the system that does not work with what the front end gave fails the request."""
    try:
        yield
    except (OSError, ValueError, OverflowError) as error:
        raise _Failed(f"{what}: {error}") from None


class Device:
    """A device, from the connection of its front end to the end of that."""

    def __init__(self, profile: Profile, role: Role, *, unsealed: bool = False, name: object = "virtio") -> None:
        """``unsealed``: memory of files that could shrink is taken. ``name``: for the log."""
        self._profile = profile
        self._name = name
        self._memory = GuestMemory(unsealed=unsealed)
        self._rings = Rings(profile.queues, self._memory, role, name)
        self._agreed: frozenset[ProtocolFeature] = frozenset()
        self._status = 0
        self._logged_size = False

    @property
    def features(self) -> int:
        """The feature bits that were agreed on."""
        return self._rings.features

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
            log.warning("%s: %s refused: %s", self._name, request.name, str(error))
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
        self._status |= NEEDS_RESET
        self._rings.broken(self._rings[index], error)

    def close(self) -> None:
        """The front end is gone."""
        self._rings.clear()
        self._memory.clear()
        log.info("%s: the front end is gone", self._name)

    # -- features ------------------------------------------------------------------------------------------------------

    def _get_features(self, _body: None, _descriptors: list[int]) -> int:
        return self._profile.features | COMMON

    def _set_features(self, features: int, _descriptors: list[int]) -> None:
        unknown = features & ~(self._profile.features | COMMON)
        if unknown:
            raise ProtocolError(f"SET_FEATURES with bits that were not offered: {unknown:#x}")
        self._rings.set_features(features)

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
        if self._rings.used and not self._rings.running:
            log.info("%s: reset: the guest probes the device anew", self._name)
            self._rings.end()
        have = self._profile.config
        asked = config.offset + config.size
        if asked != len(have) and not self._logged_size:
            self._logged_size = True
            log.warning(
                "%s: the front end has %d bytes of config space, the device %d: give it config_size=%d",
                self._name,
                asked,
                len(have),
                len(have),
            )
        part = have[config.offset : config.offset + config.size]
        return m.Config(config.offset, config.size, 0, part.ljust(config.size, b"\0"))

    def _set_config(self, _config: m.Config, _descriptors: list[int]) -> None:
        raise _Failed("the config space is read-only")

    def _get_status(self, _body: None, _descriptors: list[int]) -> int:
        return self._status

    def _set_status(self, status: int, _descriptors: list[int]) -> None:
        self._status = status
        if not status:
            self._rings.halt_all()

    def _reset_device(self, _body: None, _descriptors: list[int]) -> None:
        log.info("%s: reset", self._name)
        self._rings.clear()
        self._status = 0

    def _reset_owner(self, _body: None, _descriptors: list[int]) -> None:
        """Deprecated: "either ignore this message, or use it to disable all rings"."""
        self._rings.disable_all()

    # -- memory --------------------------------------------------------------------------------------------------------

    def _set_mem_table(self, regions: tuple[m.Region, ...], descriptors: list[int]) -> None:
        if len(regions) != len(descriptors):
            raise ProtocolError(f"SET_MEM_TABLE of {len(regions)} regions with {len(descriptors)} descriptors")
        self._memory.replace(regions, descriptors)
        self._rings.memory_changed()

    def _get_max_mem_slots(self, _body: None, _descriptors: list[int]) -> int:
        return MAX_SLOTS

    def _add_mem_reg(self, added: m.Region, descriptors: list[int]) -> None:
        self._memory.add(added, descriptors[0])
        self._rings.memory_changed()

    def _rem_mem_reg(self, removed: m.Region, _descriptors: list[int]) -> None:
        self._memory.remove(removed)
        self._rings.memory_changed()

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
            ring.set_size(0)
            raise _Failed(f"a ring of {size} descriptors: a power of two, at most {self._profile.queue_size}")
        ring.set_size(size)
        self._rings.start_if_ready(ring)

    def _set_vring_base(self, state: m.VringState, _descriptors: list[int]) -> None:
        if state.number > 0xFFFF:
            raise _Failed(f"index {state.number} to begin at")
        ring = self._idle(state.ring)
        ring.set_base(state.number)

    def _set_vring_addr(self, addresses: m.VringAddresses, _descriptors: list[int]) -> None:
        ring = self._ring(addresses.ring)
        if ring.running and addresses != ring.addresses:
            raise _Failed(f"ring {ring.index} runs")
        ring.set_addresses(addresses)
        self._rings.start_if_ready(ring)

    def _get_vring_base(self, state: m.VringState, _descriptors: list[int]) -> m.VringState:
        ring = self._ring(state.ring)
        self._rings.halt(ring)
        return m.VringState(ring.index, ring.base)

    def _event(self, value: int, descriptors: list[int]) -> tuple[Vring, int]:
        """The ring of a SET_VRING_KICK, CALL or ERR, and the descriptor that came, if one did."""
        ring = self._ring(value & m.VRING_INDEX_MASK)
        if bool(value & m.VRING_NOFD) == bool(descriptors):
            raise ProtocolError(f"{len(descriptors)} descriptors with {value:#x} for a ring")
        if not descriptors:
            return ring, NO_DESCRIPTOR
        with _failing("its descriptor"):
            if not shared.is_event(descriptors[0]):
                raise _Failed("the descriptor is no eventfd")
            shared.set_nonblocking(descriptors[0])
        return ring, descriptors.pop()

    def _set_vring_kick(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        self._rings.stop(ring)
        ring.replace("kick", descriptor)
        if descriptor == NO_DESCRIPTOR:
            raise _Failed("rings are not polled: they start with a kick descriptor")
        self._rings.start_if_ready(ring)

    def _set_vring_call(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        ring.replace("call", descriptor)
        ring.signal()  # what was signalled to the one before may not have been waited for

    def _set_vring_err(self, value: int, descriptors: list[int]) -> None:
        ring, descriptor = self._event(value, descriptors)
        ring.replace("err", descriptor)

    def _set_vring_enable(self, state: m.VringState, _descriptors: list[int]) -> None:
        ring = self._ring(state.ring)
        ring.set_enabled(bool(state.number))
        if ring.enabled:
            self._rings.start_if_ready(ring)
        else:
            self._rings.stop(ring)

    # -- the in-flight region ------------------------------------------------------------------------------------------

    def _get_inflight_fd(self, wanted: m.Inflight, _descriptors: list[int]) -> Answer:
        if not 0 < wanted.queues <= self._profile.queues or not 0 < wanted.queue_size <= self._profile.queue_size:
            raise ProtocolError(f"in-flight regions of {wanted.queues} rings of {wanted.queue_size} descriptors")
        size = wanted.queues * region_size(wanted.queue_size)
        try:
            descriptor = shared.sealed_memory("ninep-inflight", size)
        except OSError as error:
            log.warning("%s: no in-flight region: %s", self._name, error)
            return Answer(m.pack_answer(Request.GET_INFLIGHT_FD, wanted._replace(size=0, offset=0)))
        made = wanted._replace(size=size, offset=0)
        return Answer(m.pack_answer(Request.GET_INFLIGHT_FD, made), (descriptor,))

    def _set_inflight_fd(self, given: m.Inflight, descriptors: list[int]) -> None:
        if self._rings.running:
            raise _Failed("a ring runs")
        with _failing("the in-flight region"):
            if not shared.cannot_shrink(descriptors[0]):
                raise _Failed("the in-flight region is none that was given out here: its file could shrink")
            file, size = shared.file_size(descriptors[0])
            least = given.queues * region_size(given.queue_size)
            if given.size < least or given.offset + given.size > size or given.offset % 8:
                raise _Failed(f"an in-flight region of {given.size} bytes at {given.offset} in a file of {size}")
            view = shared.map_shared(descriptors[0], size)[given.offset : given.offset + given.size]
        self._rings.set_inflight(given, Place(file, given.offset), view)


_HANDLERS: Final[dict[Request, Callable[[Device, Any, list[int]], Any]]] = {
    request: getattr(Device, f"_{request.name.lower()}") for request in Request
}
