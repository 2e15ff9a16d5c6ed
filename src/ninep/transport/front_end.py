"""The socket of a vhost-user front end (QEMU) in the event loop: its requests go to a device, the
device's answers back.

What goes wrong ends this front end and no other: the socket is closed, and the log says why. One
that is kept (``stored_front_end``) is left to the next process when the server ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from ninep.transport import nothing
from ninep.transport.stored_front_end import StoredFrontEnd
from ninep.virtio.device import Device, Profile
from ninep.virtio.errors import RingError
from ninep.virtio.messages import MAX_DESCRIPTORS, Answer, Message, ProtocolError, Receiver, close_all
from ninep.virtio.rings import Role

log = logging.getLogger("ninep.virtio")

_receive: Any = getattr(socket, "recv_fds", None)
_send: Any = getattr(socket, "send_fds", None)
_FLAGS: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_TRUNCATED: Final = getattr(socket, "MSG_CTRUNC", 0)
MESSAGES_A_TURN: Final = 64
"""Requests that are met in one iteration of the event loop."""


class ServedRole(Role, Protocol):
    """The role of a device with sessions that end by themselves."""

    broken: Callable[[int, RingError], None]
    """To be called when a driver broke the rules of a ring, which is served no more."""
    session_ended: Callable[[], None]
    """To be called when a session has ended."""

    def shut(self) -> bool:
        """Begin no more sessions. True: there is none."""


class _StoredRole:
    """A role, and the in-flight region that ends with its sessions."""

    def __init__(self, role: Role, stored: StoredFrontEnd) -> None:
        self._role = role
        self.start = role.start
        self.stop = role.stop
        self.sessions_ended = stored.sessions_ended

    def end(self) -> None:
        self._role.end()
        self.sessions_ended()


def serve(
    sock: socket.socket,
    profile: Profile,
    role: ServedRole,
    name: object,
    gone: Callable[[], None],
    *,
    unsealed: bool,
    stored: StoredFrontEnd | None,
) -> Callable[[], None]:
    """Serve a front end (``FrontEnd``): what ends that."""
    front_end = FrontEnd(sock, profile, role, name, gone, unsealed=unsealed, stored=stored)
    if stored is not None and stored.begun:
        front_end.replay()
    return front_end.end


class FrontEnd:
    """One front end, from its connection to the end of that."""

    def __init__(
        self,
        sock: socket.socket,
        profile: Profile,
        role: ServedRole,
        name: object,
        gone: Callable[[], None],
        *,
        unsealed: bool = False,
        stored: StoredFrontEnd | None = None,
    ) -> None:
        """``name``: for the log. ``gone`` is called when the socket is closed. ``unsealed``: memory
        in files that could shrink is taken. ``stored``: what is stored of it.
        """
        self._socket = sock
        self._profile = profile
        self._role = role
        self._name = name
        self._gone = gone
        self._stored = stored
        self._stored_role = None if stored is None else _StoredRole(role, stored)
        self._device = Device(profile, self._stored_role or role, unsealed=unsealed, name=name)
        role.broken, role.session_ended = self._device.broken, self._session_ended
        self._receiver = Receiver()
        self._ending = self._closed = False
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def replay(self) -> None:
        """Go on with a front end that connected to an earlier process."""
        log.info("%s: taken over from an earlier process", self._name)
        for message, descriptors in self._stored.replay() if self._stored is not None else ():
            self._device.request(message, descriptors)

    def end(self) -> None:
        """Let go of the front end, as soon as the sessions have ended."""
        self._ending = True
        if self._role.shut():
            self._leave()

    def _session_ended(self) -> None:
        if self._ending:
            self._leave()

    def _leave(self) -> None:
        """Close the socket here; a front end that is kept does not notice."""
        stored, self._stored = self._stored, None
        if self._stored_role is not None:
            self._stored_role.sessions_ended = nothing  # what is in flight is for the next process
        self.close()
        if stored is not None:
            stored.close()

    def close(self) -> None:
        """Close the socket now; sessions that are left end."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._receiver.close()
            self._device.close()
            self._socket.close()
            if self._stored is not None:
                self._stored.forget()
            self._gone()

    def _readable(self) -> None:
        goes_on = False
        try:
            for _ in range(MESSAGES_A_TURN):
                if self._closed or not self._read():
                    return
            goes_on = True
        except BlockingIOError:
            goes_on = True
        except ProtocolError as error:
            log.warning("closing %s: %s", self._name, error)
        except OSError as error:
            log.info("closing %s: %s", self._name, error.strerror or error)
        finally:
            if not goes_on:
                self.close()

    def _read(self) -> bool:
        """Read once. False: the end."""
        data, descriptors, flags, _ = _receive(self._socket, self._receiver.wanted, MAX_DESCRIPTORS, _FLAGS)
        if flags & _TRUNCATED:
            close_all(descriptors)
            raise ProtocolError("more descriptors than a message has")
        if not data:
            return False
        found = self._receiver.feed(data, descriptors)
        if found is not None:
            answer = self._request(*found)
            if answer is not None:
                self._answer(answer)
        return True

    def _request(self, message: Message, descriptors: list[int]) -> Answer | None:
        if self._stored is None:
            return self._device.request(message, descriptors)
        answer = self._device.request(self._stored.note(message, descriptors), descriptors)
        own = self._stored.own(message, self._profile.queues, self._profile.queue_size)
        if own is not None:
            self._device.request(*own)
        return answer

    def _answer(self, answer: Answer) -> None:
        """Send an answer. A front end that takes none has a full socket: that is its end."""
        try:
            sent = _send(self._socket, [answer.data], answer.descriptors)
        except BlockingIOError:
            sent = 0
        finally:
            close_all(answer.descriptors)
        if sent != len(answer.data):
            raise ProtocolError("it does not read its answers")
