"""A vhost-user front end that says anything, and a guest that writes its ring. An input is what they
do, step by step (``STEPS``): requests of the table with fields that are right or nearly right, any
bytes, descriptors of many kinds, pieces.

The only legal outcomes:

* a request is met, refused, or a ``ProtocolError`` and the end; nothing else is raised;
* an answer is one message of the request's own kind; a request with an answer of its own, or one
  that is to be acknowledged, has one, all others have none;
* the role is told of starts and stops in turn, and of the end when no ring runs;
* when the front end is gone, no descriptor and no mapping is left.
"""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from tests.support.vhost_back_end import Echo
from tests.support.vhost_front_end import USER, memory
from tests.support.virtio_driver import Driver

from ninep.virtio import messages as m
from ninep.virtio.device import Device, Profile
from ninep.virtio.errors import RingError
from ninep.virtio.messages import ProtocolError, ProtocolFeature, Receiver, Request
from ninep.virtio.ring import SplitQueue

NAME = "vhost_user"
SESSION = False
LONGEST = 512

PROFILE: Final = Profile(features=1, config=b"\x03\0tag", queues=2, queue_size=128)
SIZE: Final = 8
OFFERED: Final = 0x1_7000_0001
AGREED: Final = sum(1 << bit for bit in ProtocolFeature)
_DRIVER: Final = Driver(SIZE)
MEMORY: Final = len(_DRIVER.content)

NUMBERS = (0, 1, SIZE, 5, 2, 3, 128, 256, 0xFFFF, 0x10000, 1 << 31, (1 << 32) - 1)
WIDE = (
    0, 1, USER, USER + _DRIVER.available_at, USER + _DRIVER.used_at, Driver.BASE, MEMORY, MEMORY - 0x1000, 0x1000, OFFERED, AGREED,
    OFFERED & ~(1 << 30), OFFERED & ~(1 << 29), AGREED & ~8, 0x100, 0x101, USER + 8, (1 << 64) - 1, (1 << 64) - 0x1000, 1 << 63, 8, 64, 2112,
    1 << 32, 192,
)  # fmt: skip
REQUESTS = tuple(Request)


class Descriptors:
    """The kinds of files that come with requests, opened once; each request has duplicates."""

    def __init__(self) -> None:
        self.memory = memory(MEMORY)
        self.content = mmap.mmap(self.memory, MEMORY)
        self.events = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(2)]
        reading, writing = os.pipe()
        self.all = [
            self.memory,
            *self.events,
            memory(MEMORY, sealed=False),
            memory(4096),
            memory(0),
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC),
            reading,
            writing,
        ]

    def close(self) -> None:
        """Close all."""
        self.content.close()
        m.close_all(self.all)


class Watched(Echo):
    """A role that must be told in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.running: set[int] = set()

    def start(self, index: int, queue: SplitQueue, kick: int, call: Callable[[], None], *, resumed: bool) -> None:
        """A ring runs."""
        assert index not in self.running, "started twice"
        os.fstat(kick)
        self.running.add(index)
        super().start(index, queue, kick, call, resumed=resumed)

    def stop(self, index: int) -> None:
        """It does no more."""
        assert index in self.running, "stopped, though it did not run"
        self.running.discard(index)
        super().stop(index)

    def end(self) -> None:
        """Sessions end."""
        assert not self.running, "the end, and a ring runs"
        super().end()


_given: list[Descriptors] = []


def begin() -> None:
    """Open what is given away."""
    logging.getLogger("ninep.virtio").setLevel(logging.CRITICAL)
    _given.append(Descriptors())


def finish() -> None:
    """Close it."""
    _given.pop().close()
    logging.getLogger("ninep.virtio").setLevel(logging.NOTSET)


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    if not _given:
        begin()
    before = _open_descriptors()
    trial = Trial(data, _given[0])
    try:
        trial.run()
    except ProtocolError:
        pass
    finally:
        trial.close()
    del trial
    left = _open_descriptors()
    assert left == before, f"{left} descriptors are open, of {before}"
    maps = _mappings()
    assert maps == 1, f"the memory is mapped {maps} times"


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _mappings() -> int:
    """How often the memory of the guest is mapped. Expensive, so one in many times."""
    _count[0] += 1
    if _count[0] % 256:
        return 1
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        return sum(f" {os.fstat(_given[0].memory).st_ino} " in line for line in maps)


_count = [0]


class Trial:
    """A device, and the front end's side of it."""

    def __init__(self, data: bytes, given: Descriptors) -> None:
        self.bytes = iter(data)
        self.given = given
        self.content = given.content
        self.content[: _DRIVER.areas_at] = bytes(_DRIVER.areas_at)
        self.role = Watched()
        options = self.byte()
        self.device = Device(PROFILE, self.role, unsealed=bool(options & 1))
        self.role.broken = self.broken
        self.receiver = Receiver()
        self.inflight: list[int] = []
        self.step = (options >> 1 & 63) + 1

    def broken(self, index: int, error: RingError) -> None:
        """The role gave a ring up."""
        self.role.running.discard(index)
        self.device.broken(index, error)

    def byte(self) -> int:
        """The next of the input."""
        return next(self.bytes, 0)

    def run(self) -> None:
        """Do all steps."""
        for step in self.bytes:
            STEPS[step % len(STEPS)](self)

    def close(self) -> None:
        """The front end is gone."""
        self.receiver.close()
        self.device.close()
        m.close_all(self.inflight)
        assert not self.role.running
        self.role.broken = lambda _index, _error: None

    # -- steps ---------------------------------------------------------------------------------------------------------

    def request(self) -> None:
        """A request: which, flags, descriptors, fields."""
        request = REQUESTS[self.byte() % len(REQUESTS)]
        row = m.TABLE[request]
        need_reply, count = self.byte() & 1, self.byte()
        descriptors = self.descriptors(row.descriptors[1] if count < 192 else count & 15)
        payload = row.payload.pack(self.body(row.payload))
        self.send(m.HEADER.pack(request, m.VERSION | need_reply << 3, len(payload)) + payload, descriptors)

    def raw(self) -> None:
        """Any header, any payload."""
        request, flags, size = self.byte(), self.byte(), self.byte()
        payload = bytes(islice(self.bytes, size))
        self.send(m.HEADER.pack(request, flags, size) + payload, self.descriptors(self.byte() & 3))

    def noise(self) -> None:
        """Any bytes."""
        self.send(bytes(islice(self.bytes, self.byte() & 31)), self.descriptors(self.byte() & 1))

    def setup(self) -> None:
        """All that a ring needs, up to one step that is left out."""
        left_out = self.byte()
        queue = self.byte() & 1
        ring = (Request.SET_VRING_NUM, m.VringState(queue, SIZE), ())
        parts = m.VringAddresses(queue, 0, USER, USER + _DRIVER.used_at, USER + _DRIVER.available_at, 0)
        region = m.Region(Driver.BASE, MEMORY, USER, 0)
        steps: list[tuple[Request, m.Body, Sequence[int]]] = [
            (Request.SET_PROTOCOL_FEATURES, AGREED, ()),
            (Request.SET_FEATURES, OFFERED, ()),
            (Request.SET_MEM_TABLE, (region,), (self.given.memory,)),
            ring,
            (Request.SET_VRING_ADDR, parts, ()),
            (Request.SET_VRING_CALL, queue, (self.given.events[0],)),
            (Request.SET_VRING_KICK, queue, (self.given.events[1],)),
            (Request.SET_VRING_ENABLE, m.VringState(queue, 1), ()),
        ]
        for number, (request, body, descriptors) in enumerate(steps):
            if number != left_out:
                self.send(m.pack(request, body), [os.dup(one) for one in descriptors])

    def stop(self) -> None:
        """GET_VRING_BASE."""
        self.send(m.pack(Request.GET_VRING_BASE, m.VringState(self.byte() & 1, 0)), [])

    def poke(self) -> None:
        """The guest writes the ring."""
        place = self.byte() << 8 | self.byte()
        self.content[place % (_DRIVER.areas_at + 512)] = self.byte()

    def chain(self) -> None:
        """The guest makes a chain available."""
        head, length = self.byte() % SIZE, self.byte()
        second = (head + 1) % SIZE
        data = Driver.BASE + _DRIVER.areas_at
        for place, fields in ((head, (data, 1 + length, 1, second)), (second, (data + 0x1000, 256, 2, 0))):
            self.content[16 * place : 16 * place + 16] = (
                fields[0].to_bytes(8, "little")
                + fields[1].to_bytes(4, "little")
                + fields[2].to_bytes(2, "little")
                + fields[3].to_bytes(2, "little")
            )
        at = _DRIVER.available_at
        index = int.from_bytes(self.content[at + 2 : at + 4], "little")
        entry = at + 4 + 2 * (index % SIZE)
        self.content[entry : entry + 2] = head.to_bytes(2, "little")
        self.content[at + 2 : at + 4] = (index + 1 & 0xFFFF).to_bytes(2, "little")

    def serve(self) -> None:
        """The role looks at its ring."""
        self.role.serve()

    def hold(self) -> None:
        """It answers no requests for now, or those that it held."""
        self.role.holds = not self.role.holds

    # -- messages ------------------------------------------------------------------------------------------------------

    def descriptors(self, count: int) -> list[int]:
        """Duplicates of descriptors of some kinds."""
        kinds = [*self.given.all, *self.inflight]
        return [os.dup(kinds[self.byte() % len(kinds)]) for _ in range(min(count, m.MAX_DESCRIPTORS))]

    def number(self) -> int:
        """A number of 32 bits."""
        return NUMBERS[self.byte() % len(NUMBERS)]

    def wide(self) -> int:
        """One of 64 bits."""
        chosen = self.byte()
        return WIDE[chosen % len(WIDE)] + (chosen >> 6 if chosen >= 192 else 0) & (1 << 64) - 1

    def region(self) -> m.Region:
        """A region."""
        return m.Region(self.wide(), self.wide(), self.wide(), self.wide())

    def body(self, payload: m.Payload) -> m.Body:
        """What a payload of this kind may say."""
        return BODIES[id(payload)](self)

    def config(self) -> m.Config:
        """A part of the config space."""
        size = self.byte() % (m.MAX_CONFIG + 1)
        return m.Config(self.number(), size, self.byte() & 1, bytes(size))

    def in_flight(self) -> m.Inflight:
        """An in-flight description."""
        return m.Inflight(self.wide(), self.wide(), self.byte() & 3, self.number() & 0xFFFF, bytes(self.byte() & 4))

    def send(self, data: bytes, descriptors: list[int]) -> None:
        """Send bytes, in pieces."""
        while data:
            count = min(self.step, self.receiver.wanted)
            piece, data = data[:count], data[count:]
            come, descriptors = descriptors, []
            found = self.receiver.feed(piece, come)
            if found is not None:
                self.answered(found[0], self.device.request(*found))
                if data and descriptors:
                    break
        m.close_all(descriptors)

    def answered(self, message: m.Message, answer: m.Answer | None) -> None:
        """Check an answer."""
        row = m.TABLE[message.request]
        if answer is None:
            assert row.answer is None, f"{message} is not answered"
            return
        number, flags, size = m.HEADER.unpack_from(answer.data)
        assert (number, flags) == (message.request, m.VERSION | m.REPLY)
        assert size == len(answer.data) - m.HEADER_SIZE
        assert row.answer is not None or message.need_reply, f"{message} is answered"
        (row.answer or m.U64).unpack(answer.data[m.HEADER_SIZE :])
        self.inflight += answer.descriptors


BODIES: Final[dict[int, Callable[[Trial], m.Body]]] = {
    id(m.NOTHING): lambda _: None,
    id(m.U64): Trial.wide,
    id(m.STATE): lambda trial: m.VringState(trial.byte() & 3, trial.number()),
    id(m.ADDRESSES): lambda trial: m.VringAddresses(trial.byte() & 1, 0, trial.wide(), trial.wide(), trial.wide(), 0),
    id(m.REGIONS): lambda trial: tuple(trial.region() for _ in range(trial.byte() % (m.MAX_REGIONS + 1))),
    id(m.REGION): Trial.region,
    id(m.CONFIG): Trial.config,
    id(m.INFLIGHT): Trial.in_flight,
}

STEPS: Final[tuple[Callable[[Trial], None], ...]] = (
    Trial.request, Trial.request, Trial.request, Trial.setup, Trial.stop, Trial.chain, Trial.serve, Trial.poke, Trial.hold, Trial.raw,
    Trial.noise,
)  # fmt: skip


def do(name: str, *values: int) -> bytes:
    """A step of an input."""
    return bytes([STEPS.index(getattr(Trial, name)), *values])


def ask(name: str, *values: int) -> bytes:
    """A request of an input: flags, number of descriptors, their kinds, fields."""
    return do("request", REQUESTS.index(Request[name]), *values)
