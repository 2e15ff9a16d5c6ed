"""The requests of a front end that a device's state follows from, kept in memory that outlives the
process: replayed to a new device, they make it what the old one was.

Of requests that replace one another only the last one counts. A descriptor is named by a number, wherever
it is kept. The memory is written so that a process which ends at any moment leaves a whole
journal.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable
from typing import Any, Final, NamedTuple

from ninep.virtio import messages as m
from ninep.virtio.messages import Message, Request

SIZE: Final = 1 << 20
"""Bytes of memory: a table of 509 regions is an eighth of it."""
_HALF: Final = SIZE // 2
_HEADER: Final = 8

_OF_DEVICE: Final = frozenset({
    Request.SET_FEATURES, Request.SET_PROTOCOL_FEATURES, Request.SET_MEM_TABLE, Request.SET_INFLIGHT_FD,
    Request.SET_STATUS,
})  # fmt: skip
_OF_RING: Final = frozenset({
    Request.SET_VRING_NUM, Request.SET_VRING_BASE, Request.SET_VRING_ADDR, Request.SET_VRING_ENABLE,
})  # fmt: skip
_EVENTS: Final = frozenset({Request.SET_VRING_KICK, Request.SET_VRING_CALL, Request.SET_VRING_ERR})


class Entry(NamedTuple):
    """A request, and the numbers of its descriptors."""

    message: Message
    numbers: tuple[int, ...]


class Journal:
    """Over ``SIZE`` bytes that are all zeros, or were written by another process before."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self._place = memory[:_HEADER].cast("Q")
        self.about = ""
        """Whose journal it is, in words of the caller."""
        self._entries: dict[Hashable, Entry] = {}
        self._load()

    @property
    def entries(self) -> list[Entry]:
        """In the order in which they are to be replayed."""
        return list(self._entries.values())

    @property
    def runs(self) -> bool:
        """A ring has its kick descriptor."""
        return any(entry.message.request is Request.SET_VRING_KICK for entry in self._entries.values())

    @property
    def numbers(self) -> set[int]:
        """Of all descriptors that are needed."""
        return {number for entry in self._entries.values() for number in entry.numbers}

    def begin(self, about: str) -> None:
        """Say whose journal it is."""
        self.about = about
        self._save()

    def add(self, message: Message, numbers: Iterable[int] = ()) -> None:
        """A request was made."""
        for ended in _ended(message, list(self._entries)):
            self._entries.pop(ended, None)
        key = _key(message)
        if key is not None:
            self._entries.pop(key, None)  # it is the last one in order, too
            self._entries[key] = Entry(message, tuple(numbers))
        self._save()

    def _save(self) -> None:
        """Write it into the half that is not in use, which one store makes the one that is."""
        entries = [
            (
                entry.message.request,
                m.TABLE[entry.message.request].payload.pack(entry.message.body).hex(),
                entry.numbers,
            )
            for entry in self._entries.values()
        ]
        data = json.dumps([self.about, entries]).encode()
        start = _HEADER if self._place[0] >> 32 > _HALF else _HALF + _HEADER
        self._memory[start : start + len(data)] = data
        self._place[0] = start << 32 | len(data)

    def _load(self) -> None:
        place = self._place[0]
        if place:
            start, size = place >> 32, place & 0xFFFF_FFFF
            self.about, entries = json.loads(self._memory[start : start + size].tobytes())
            for number, payload, numbers in entries:
                request = Request(number)
                message = Message(request, m.VERSION, m.TABLE[request].payload.unpack(bytes.fromhex(payload)))
                self._entries[_key(message)] = Entry(message, tuple(numbers))


def _key(message: Message) -> Hashable:
    """What a later request would replace it by; None: it leaves nothing behind."""
    request: Any = message.request
    body: Any = message.body
    if request in _OF_DEVICE:
        return int(request)
    if request in _OF_RING:
        return request, body.ring
    if request in _EVENTS:
        return request, body & m.VRING_INDEX_MASK
    return (request, body[:3]) if request is Request.ADD_MEM_REG else None


def _ended(message: Message, known: Iterable[Any]) -> list[Hashable]:
    """What counts no more after it."""
    request: Any = message.request
    body: Any = message.body
    if request is Request.REM_MEM_REG:
        return [(Request.ADD_MEM_REG, body[:3])]
    if request is Request.GET_VRING_BASE:
        return [(Request.SET_VRING_KICK, body.ring)]
    ends: frozenset[Request] = frozenset()
    if request is Request.SET_MEM_TABLE:
        ends = frozenset({Request.ADD_MEM_REG})
    elif request is Request.SET_STATUS and not body:
        ends = frozenset({Request.SET_VRING_KICK})
    elif request is Request.RESET_DEVICE:
        ends = _OF_RING | _EVENTS
    return [key for key in known if isinstance(key, tuple) and key[0] in ends]
