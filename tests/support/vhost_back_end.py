"""A virtio device in the same thread as its front end (``vhost_front_end``), with a role that writes
down what it is told and answers requests itself.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from tests.support.vhost_front_end import FrontEnd, Guest

from ninep.virtio import messages as m
from ninep.virtio.device import Device, Profile
from ninep.virtio.messages import ProtocolError, Receiver
from ninep.virtio.ring import Chain, RingError, SplitQueue

PROFILE = Profile(features=1, config=b"\x03\0tag", queues=1, queue_size=128)


class Echo:
    """A role that answers each request with its bytes in upper case."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        """What the device said, oldest first."""
        self.queue: SplitQueue | None = None
        self.index = self.kick = -1
        self.call: Callable[[], None] = lambda: None
        self.holds = False
        """Requests are kept unanswered."""
        self.held: list[Chain] = []
        """Of the ring that was started last."""
        self._held: dict[int, list[Chain]] = {}
        self.broken: Callable[[int, RingError], None] = lambda _index, _error: None

    def start(self, index: int, queue: SplitQueue, kick: int, call: Callable[[], None], *, resumed: bool) -> None:
        self.calls.append(f"{'resume' if resumed else 'start'} {index} at {queue.next_available}")
        self.index, self.queue, self.kick, self.call = index, queue, kick, call
        try:
            if not resumed:
                self._held[index] = queue.recover()
            self.held = self._held[index]
            self._serve()
        except RingError as error:
            self._break(error)

    def stop(self, index: int) -> None:
        self.calls.append(f"stop {index}")
        self.queue = None

    def end(self) -> None:
        self.calls.append("end")
        self.held = []
        self._held.clear()

    def serve(self) -> None:
        """Answer what is there, and what was held if nothing is to be held any more."""
        try:
            self._serve()
        except RingError as error:
            self._break(error)

    def _break(self, error: RingError) -> None:
        self.queue = None
        self.broken(self.index, error)

    def _serve(self) -> None:
        queue = self.queue
        while queue is not None:
            while chain := queue.pop():
                self.held.append(chain)
            while self.held and not self.holds:
                queue.push(self.held[0].head, self._answer(self.held.pop(0)))
            if queue.publish():
                self.call()
            if queue.enable_kicks():
                return

    @staticmethod
    def _answer(chain: Chain) -> int:
        reply = b"".join(bytes(part) for part in chain.readable).upper()
        room = chain.writable[0] if chain.writable else memoryview(bytearray())
        reply = reply[: len(room)]
        room[: len(reply)] = reply
        return len(reply)


class BackEnd:
    """The device, and the other end of its front end's socket."""

    def __init__(self, sock: socket.socket, profile: Profile = PROFILE, *, unsealed: bool = False) -> None:
        self.socket = sock
        sock.setblocking(False)
        self.role = Echo()
        self.device = Device(profile, self.role, unsealed=unsealed, name="vhost-user:test")
        self.role.broken = self.device.broken
        self.receiver = Receiver()
        self.error: ProtocolError | None = None
        """Why the socket was closed."""
        self.closed = False

    def pump(self) -> None:
        """Do all that there is to do."""
        try:
            while not self.closed and self._message():
                pass
        except ProtocolError as error:
            self.error = error
            self.close()
        if self.role.queue is not None:
            with suppress(BlockingIOError):
                os.eventfd_read(self.role.kick)
            self.role.serve()

    def _message(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self.socket, self.receiver.wanted, m.MAX_DESCRIPTORS)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        found = self.receiver.feed(data, descriptors)
        answer = self.device.request(*found) if found is not None else None
        if answer is not None:
            socket.send_fds(self.socket, [answer.data], answer.descriptors)
            m.close_all(answer.descriptors)
        return True

    def close(self) -> None:
        """The end of the device."""
        if not self.closed:
            self.closed = True
            self.receiver.close()
            self.device.close()
            self.socket.close()


class Pair:
    """A front end and a back end, each with its end of a socket."""

    def __init__(
        self,
        *,
        guest: Guest | None = None,
        size: int = 8,
        profile: Profile = PROFILE,
        unsealed: bool = False,
        sealed: bool = True,
        without: tuple[m.ProtocolFeature, ...] = (),
    ) -> None:
        ours, theirs = socket.socketpair()
        self.back = BackEnd(theirs, profile, unsealed=unsealed)
        self._guest = None if guest else Guest(size, sealed=sealed)
        self.front = FrontEnd(ours, self.back.pump, guest=guest or self._guest, without=without)

    @property
    def calls(self) -> list[str]:
        """What the role was told since the last question."""
        calls = self.back.role.calls[:]
        self.back.role.calls.clear()
        return calls

    def close(self) -> None:
        """The front end goes, and with it the memory that was made for it."""
        self.front.close()
        if self._guest is not None:
            self._guest.close()
