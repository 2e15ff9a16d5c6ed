"""Front ends of virtual machines that outlive this process: a service manager stores their sockets
and descriptors (``service_manager``), and the next process of the service serves them on.

QEMU's generic vhost-user device does not survive that its back end goes: it cannot reconnect, and
QEMU ends itself if the guest's driver does not run at that moment (seen with 11.1). So the socket
must not close. What the device is made of follows from a journal of the front end's requests
(``virtio.journal``), in a memfd that is stored too; which chains were in flight, from a region as
vhost-user has it, that is made here if the front end has none.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from typing import Final, Self

from ninep.host import shared
from ninep.transport import service_manager
from ninep.transport.service_manager import HandedOver
from ninep.virtio import messages as m
from ninep.virtio.inflight import region_size
from ninep.virtio.journal import SIZE, Journal
from ninep.virtio.messages import Message, ProtocolFeature, Request

log = logging.getLogger("ninep.virtio")

PREFIX: Final = "ninep-front-end"
"""Names of stored descriptors are this, a front end's own name, and which it is, with dots between."""
SOCKET, JOURNAL = "socket", "journal"


class StoredFrontEnd:
    """What is stored of one front end."""

    def __init__(self, name: str, journal: int, descriptors: dict[int, int]) -> None:
        """``journal``: its memfd, which is this object's from now on, as are the stored
        ``descriptors``, by number.
        """
        self._name = name
        self._journal_descriptor = journal
        self._journal = Journal(shared.map_shared(journal, SIZE))
        self._descriptors = descriptors
        self._next = max(descriptors, default=-1) + 1
        self._region: memoryview | None = None
        """The in-flight region, if it was made here."""

    @classmethod
    def begin(cls, address: str, sock: socket.socket) -> Self:
        """Store a front end that has connected."""
        stored = cls(os.urandom(8).hex(), shared.sealed_memory(PREFIX, SIZE), {})
        stored._journal.begin(address)
        stored._store(JOURNAL, stored._journal_descriptor)
        stored._store(SOCKET, sock.fileno())
        return stored

    @property
    def begun(self) -> bool:
        """Requests were made of it, in an earlier process."""
        return bool(self._journal.entries)

    def check(self) -> None:
        """``ValueError`` if a descriptor was not stored that a request had."""
        if missing := self._journal.numbers - self._descriptors.keys():
            raise ValueError(f"{len(missing)} of its descriptors are missing")

    @property
    def address(self) -> str:
        """Where it connected."""
        return self._journal.about

    def _store(self, what: object, descriptor: int) -> None:
        service_manager.store(f"{PREFIX}.{self._name}.{what}", descriptor)

    def _remove(self, what: object) -> None:
        service_manager.remove(f"{PREFIX}.{self._name}.{what}")

    # -- requests ------------------------------------------------------------------------------------------------------

    def note(self, message: Message, descriptors: list[int]) -> Message:
        """A request is about to be made of the device: the one to make. The descriptors remain the
        caller's.
        """
        if message.request is Request.SET_PROTOCOL_FEATURES:
            message = message._replace(body=message.body | 1 << ProtocolFeature.INFLIGHT_SHMFD)
        elif message.request is Request.SET_INFLIGHT_FD:
            self._region = None
        elif message.request is Request.GET_CONFIG and not self._journal.runs:
            self.sessions_ended()  # a driver probes the device, perhaps not the one of before the restart
        self._add(message, descriptors)
        return message

    def _add(self, message: Message, descriptors: list[int]) -> None:
        numbers = []
        for descriptor in descriptors:
            number, self._next = self._next, self._next + 1
            self._descriptors[number] = os.dup(descriptor)
            self._store(number, descriptor)
            numbers.append(number)
        self._journal.add(message, numbers)
        for number in self._descriptors.keys() - self._journal.numbers:
            os.close(self._descriptors.pop(number))
            self._remove(number)

    def own(self, message: Message, queues: int, queue_size: int) -> tuple[Message, list[int]] | None:
        """The request to make after that one: to use an in-flight region of ours."""
        if message.request not in {Request.SET_PROTOCOL_FEATURES, Request.RESET_DEVICE}:
            return None
        size = queues * region_size(queue_size)
        descriptor = shared.sealed_memory("ninep-inflight", size)
        self._region = shared.map_shared(descriptor, size)
        made = Message(Request.SET_INFLIGHT_FD, m.VERSION, m.Inflight(size, 0, queues, queue_size))
        self._add(made, [descriptor])
        return made, [descriptor]

    def sessions_ended(self) -> None:
        """Nothing is in flight any more."""
        if self._region is not None:
            self._region[:] = bytes(len(self._region))

    def replay(self) -> Iterator[tuple[Message, list[int]]]:
        """The requests to make of a new device; the descriptors are the taker's."""
        for entry in self._journal.entries:
            descriptors = [os.dup(self._descriptors[number]) for number in entry.numbers]
            if entry.message.request is Request.SET_INFLIGHT_FD:
                size = entry.message.body.size
                self._region = shared.map_shared(descriptors[0], size)
            yield entry.message, descriptors

    # -- the end -------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """This process is done with it; it remains stored."""
        self._region = None
        for descriptor in (self._journal_descriptor, *self._descriptors.values()):
            os.close(descriptor)
        self._descriptors = {}

    def forget(self) -> None:
        """The front end is gone: nothing remains stored."""
        for what in (SOCKET, JOURNAL, *self._descriptors):
            self._remove(what)
        self.close()


# -- at the start ----------------------------------------------------------------------------------------------------------


def is_stored(handed: HandedOver) -> bool:
    """Whether a descriptor that was handed over is one of a front end."""
    return handed.name.startswith(f"{PREFIX}.")


_found: dict[str, dict[str, int]] | None = None
"""The descriptors of front ends that were handed over and not taken yet, by names."""


def take(address: str) -> list[tuple[socket.socket, StoredFrontEnd]]:
    """The front ends that connected to an address before this process was there."""
    taken = []
    for name, parts in list(_stored().items()):
        try:
            numbers = {int(what): descriptor for what, descriptor in parts.items() if what.isdecimal()}
            stored = StoredFrontEnd(name, parts[JOURNAL], numbers)
            if stored.address != address:
                continue
            stored.check()
            taken.append((socket.socket(fileno=parts[SOCKET]), stored))
        except (KeyError, ValueError, OSError) as error:
            log.warning("what is stored of a front end cannot be used: %s", error)
            _close(name, parts)
        del _stored()[name]
    return taken


def drop_rest() -> None:
    """Let go of front ends whose address is listened at no more."""
    for name, parts in _stored().items():
        log.warning("a front end that was kept is let go: nothing listens at its address any more")
        _close(name, parts)
    _stored().clear()


def _close(name: str, parts: dict[str, int]) -> None:
    for what, descriptor in parts.items():
        service_manager.remove(f"{PREFIX}.{name}.{what}")
        os.close(descriptor)


def _stored() -> dict[str, dict[str, int]]:
    global _found  # noqa: PLW0603 - what a process was started with, it has once
    if _found is None:
        _found = {}
        for handed in filter(is_stored, service_manager.handed_over()):
            _, name, what = handed.name.split(".")
            _found.setdefault(name, {})[what] = handed.descriptor
            os.set_inheritable(handed.descriptor, False)
    return _found
