"""A vhost-user front end, as QEMU 11.1 is with its generic device: the order of its messages was
taken down from the real one at start, stop and cont, reset, hot-plug and reconnect.

It has memory in memfds, kicks and signals by eventfds, and a guest with a driver
(``virtio_driver``). It blocks: with a back end in the same thread, ``pump`` has that do its work.

    front = FrontEnd(sock, pump)
    front.realize()                          # QEMU starts
    assert front.config(5) == b"\\x03\\0tag"  # the guest's driver probes the device
    front.start()                            # ... and sets DRIVER_OK
    assert front.call(request, room) == reply
    front.stop(); front.start()              # stop, cont: goes on
    front.reset(); front.start()             # another driver, from index 0
"""

from __future__ import annotations

import fcntl
import mmap
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.virtio_driver import Driver

from ninep.virtio import messages as m
from ninep.virtio.messages import Message, ProtocolFeature, Region, Request, VringAddresses, VringState

INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1 = 28, 29, 30, 32
FEATURES_OK = 8
USER = 0x7F00_0000_0000
"""Where the front end has its first region, in its own addresses."""
WAIT = 10.0


class Lost(Exception):
    """The back end has closed the socket."""


def memory(size: int, *, sealed: bool = True) -> int:
    """A new memfd, as memory-backend-memfd makes it."""
    descriptor = os.memfd_create("memory-backend-memfd", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size)
    if sealed:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return descriptor


def event() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


class Guest:
    """Memory of one region at ``Driver.BASE``, and a driver of one ring in it."""

    def __init__(self, size: int, *, event_idx: bool = True, indirect: bool = True, sealed: bool = True) -> None:
        self.size = size
        self._options = {"event_idx": event_idx, "indirect": indirect}
        length = len(Driver(size).content)
        self.descriptor = memory(length, sealed=sealed)
        self.content = mmap.mmap(self.descriptor, length)
        self.region = Region(Driver.BASE, length, USER, 0)
        self.boot()

    def boot(self) -> None:
        """A driver that begins: its ring is all zeros."""
        self.driver = self._driver()
        self.content[: self.driver.areas_at] = bytes(self.driver.areas_at)

    def _driver(self) -> Driver:
        content: Any = self.content  # as good as a bytearray
        return Driver(self.size, content=content, **self._options)

    def close(self) -> None:
        """Nothing is left of it here. Other views of its memory live on."""
        self.content.close()
        os.close(self.descriptor)


class FrontEnd:
    """A front end with one ring."""

    def __init__(
        self,
        sock: socket.socket,
        pump: Callable[[], object] = lambda: None,
        *,
        guest: Guest | None = None,
        size: int = 8,
        features: int = 1,
        without: Sequence[ProtocolFeature] = (),
    ) -> None:
        """``guest``: one that ran with another back end before. ``features``: of the device.
        ``without``: protocol features that are not agreed on.
        """
        self.socket = sock
        sock.settimeout(WAIT)
        self.pump = pump
        self.guest = guest or Guest(size)
        self.plugged: list[tuple[Region, int]] = [(self.guest.region, self.guest.descriptor)]
        self.without = frozenset(without)
        self.wanted = features | sum(1 << bit for bit in (INDIRECT_DESC, EVENT_IDX, PROTOCOL_FEATURES, VERSION_1))
        self.features = 0
        self.agreed: frozenset[ProtocolFeature] = frozenset()
        self.base = 0
        self.kick, self.signal, self.err = event(), event(), event()
        self._told: list[Region] = []

    @property
    def driver(self) -> Driver:
        """The guest's."""
        return self.guest.driver

    def close_socket(self) -> None:
        """The connection ends."""
        self.socket.close()
        self.pump()

    def close(self) -> None:
        """QEMU is gone. The guest's memory is the caller's."""
        self.close_socket()
        for descriptor in (self.kick, self.signal, self.err, *(one for _, one in self.plugged[1:])):
            os.close(descriptor)

    # -- messages ------------------------------------------------------------------------------------------------------

    def send(self, request: Request, body: m.Body = None, descriptors: Sequence[int] = (), flags: int = 0) -> None:
        """Send a request. The descriptors remain the caller's."""
        self.raw(m.pack(request, body, m.VERSION | flags), descriptors)

    def raw(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Send any bytes."""
        try:
            socket.send_fds(self.socket, [data], descriptors)
        except (BrokenPipeError, ConnectionResetError):
            raise Lost from None
        self.pump()

    def ask(self, request: Request, body: m.Body = None) -> Any:
        """Send a request that is answered, and return what the answer says."""
        self.send(request, body)
        return self.answer(request).body

    def acknowledged(self, request: Request, body: m.Body = None, descriptors: Sequence[int] = ()) -> int:
        """Send a request and have it acknowledged, if that was agreed on: 0 is success."""
        if ProtocolFeature.REPLY_ACK not in self.agreed:
            self.send(request, body, descriptors)
            return 0
        self.send(request, body, descriptors, m.NEED_REPLY)
        return int(self.answer(request).body)

    def answer(self, request: Request) -> Message:
        """Read the answer to a request."""
        return self.answer_with(request)[0]

    def answer_with(self, request: Request) -> tuple[Message, list[int]]:
        """The same, and the descriptors that came with it."""
        head, descriptors = self._read(m.HEADER_SIZE)
        number, flags, size = m.HEADER.unpack(head)
        assert (number, flags) == (request, m.VERSION | m.REPLY)
        payload, _ = self._read(size) if size else (b"", [])
        row = m.TABLE[request]
        return Message(request, flags, (row.answer or m.U64).unpack(payload) if payload else None), descriptors

    def _read(self, count: int) -> tuple[bytes, list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self.socket, count, m.MAX_DESCRIPTORS)
        while 0 < len(data) < count:
            data += self.socket.recv(count - len(data))
        if not data:
            raise Lost
        return data, descriptors

    # -- what QEMU does ------------------------------------------------------------------------------------------------

    def realize(self) -> None:
        """The device is made: it connects."""
        offered = self.ask(Request.GET_FEATURES)
        if offered >> PROTOCOL_FEATURES & 1:
            bits = self.ask(Request.GET_PROTOCOL_FEATURES)
            self.agreed = frozenset(bit for bit in ProtocolFeature if bits >> bit & 1) - self.without
            self.send(Request.SET_PROTOCOL_FEATURES, sum(1 << bit for bit in self.agreed))
            if ProtocolFeature.MQ in self.agreed:
                assert self.ask(Request.GET_QUEUE_NUM) >= 1
            if ProtocolFeature.CONFIGURE_MEM_SLOTS in self.agreed:
                assert self.ask(Request.GET_MAX_MEM_SLOTS) >= m.MAX_REGIONS
        self.send(Request.SET_OWNER)
        self.features = self.ask(Request.GET_FEATURES) & self.wanted
        assert self.acknowledged(Request.SET_VRING_CALL, 0, [self.signal]) == 0
        assert self.acknowledged(Request.SET_VRING_ERR, 0, [self.err]) == 0

    def config(self, size: int) -> bytes:
        """The guest reads the config space."""
        answered = self.ask(Request.GET_CONFIG, m.Config(0, size, 0, bytes(size)))
        return bytes(answered.data)

    def start(self) -> None:
        """DRIVER_OK, or ``cont``, or the back end is back."""
        self.send(Request.SET_FEATURES, self.features)
        if ProtocolFeature.STATUS in self.agreed:
            status = self.ask(Request.GET_STATUS)
            if not status & FEATURES_OK:
                self.send(Request.SET_STATUS, status | FEATURES_OK)
        assert self.tell_memory() == 0
        self.send(Request.SET_VRING_NUM, VringState(0, self.guest.size))
        self.send(Request.SET_VRING_BASE, VringState(0, self.base))
        self.send(Request.SET_VRING_ADDR, self.addresses)
        assert self.acknowledged(Request.SET_VRING_KICK, 0, [self.kick]) == 0
        assert self.acknowledged(Request.SET_VRING_CALL, 0, [self.signal]) == 0
        if PROTOCOL_FEATURES in self._bits():
            assert self.acknowledged(Request.SET_VRING_ENABLE, VringState(0, 1)) == 0
        assert self.acknowledged(Request.SET_VRING_CALL, 0, [self.signal]) == 0

    def _bits(self) -> list[int]:
        return [bit for bit in range(64) if self.features >> bit & 1]

    @property
    def addresses(self) -> VringAddresses:
        """Of the ring, in the front end's own addresses."""
        driver, user = self.driver, self.guest.region.user
        return VringAddresses(0, 0, user, user + driver.used_at, user + driver.available_at, 0)

    def tell_memory(self) -> int:
        """Tell what the table of regions has become: the answer of the back end."""
        regions = [region for region, _ in self.plugged]
        if ProtocolFeature.CONFIGURE_MEM_SLOTS not in self.agreed:
            return self.acknowledged(
                Request.SET_MEM_TABLE, tuple(regions), [descriptor for _, descriptor in self.plugged]
            )
        for region in [one for one in self._told if one not in regions]:
            self._told.remove(region)
            if self.acknowledged(Request.REM_MEM_REG, region):
                return 1
        for region, descriptor in self.plugged:
            if region not in self._told:
                self._told.append(region)
                if self.acknowledged(Request.ADD_MEM_REG, region, [descriptor]):
                    return 1
        return 0

    def plug(self, region: Region) -> int:
        """Plug memory in, while the guest runs. Returns its descriptor."""
        descriptor = memory(region.offset + region.size)
        self.plugged.append((region, descriptor))
        assert self.tell_memory() == 0
        return descriptor

    def unplug(self) -> None:
        """Unplug what was plugged in last."""
        _, descriptor = self.plugged.pop()
        assert self.tell_memory() == 0
        os.close(descriptor)

    def inflight(self, queues: int = 1, queue_size: int = 0) -> tuple[m.Inflight, int]:
        """Have the back end make an in-flight region, and give it back to it. The description, and
        a descriptor, which is the caller's.
        """
        self.send(Request.GET_INFLIGHT_FD, m.Inflight(0, 0, queues, queue_size or self.guest.size))
        message, descriptors = self.answer_with(Request.GET_INFLIGHT_FD)
        region = (message.body, descriptors[0])
        self.give_inflight(region)
        return region

    def give_inflight(self, region: tuple[m.Inflight, int]) -> None:
        """Give the back end the in-flight region of an earlier one, before the start."""
        assert self.acknowledged(Request.SET_INFLIGHT_FD, region[0], [region[1]]) == 0

    def stop(self) -> None:
        """``stop``, or the guest's driver resets the device: nobody can tell which."""
        if PROTOCOL_FEATURES in self._bits():
            assert self.acknowledged(Request.SET_VRING_ENABLE, VringState(0, 0)) == 0
        ring, self.base = self.ask(Request.GET_VRING_BASE, VringState(0, 0))
        assert ring == 0

    def reset(self) -> None:
        """The guest reboots, or its driver is unloaded; another driver begins."""
        self.stop()
        self.base = 0
        self.guest.boot()

    def lost(self) -> None:
        """The back end died. The ring is to go on after what was returned
        (virtio_queue_restore_last_avail_idx).
        """
        self.base = self.driver.used_index

    # -- the guest -----------------------------------------------------------------------------------------------------

    def offer(self, readable: Sequence[bytes], writable: Sequence[int]) -> int:
        """Make a request available, and kick if the device wants that. Its head."""
        head = self.driver.add(readable, writable)
        assert head is not None, "the ring is full"
        if self.driver.kick():
            os.eventfd_write(self.kick, 1)
        self.pump()
        return head

    def collect(self) -> bytes:
        """Wait for the next request that comes back, by the signal; what was written."""
        while True:
            self.pump()
            found = self.driver.take()
            if found is not None:
                return found[1]
            if self.driver.enable_signals():
                ready, _, _ = select.select([self.signal], [], [], WAIT)
                assert ready, "no signal"
                os.eventfd_read(self.signal)

    def call(self, request: bytes, room: int) -> bytes:
        """One request, and its reply."""
        self.offer([request], [room])
        return self.collect()

    def signalled(self) -> bool:
        """Whether the guest was signalled since the last question."""
        return _drained(self.signal)

    def failed(self) -> bool:
        """Whether the ring was reported broken since the last question."""
        return _drained(self.err)


def _drained(descriptor: int) -> bool:
    try:
        return bool(os.eventfd_read(descriptor))
    except BlockingIOError:
        return False
