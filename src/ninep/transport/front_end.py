"""The socket of a vhost-user front end (QEMU) in the event loop: its requests go to a device, the
device's answers back.

What goes wrong ends this front end and no other: the socket is closed, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol

from ninep.virtio.device import Device, Role
from ninep.virtio.messages import MAX_DESCRIPTORS, Answer, ProtocolError, Receiver, close_all

log = logging.getLogger("ninep.virtio")

_receive: Any = getattr(socket, "recv_fds", None)
_send: Any = getattr(socket, "send_fds", None)
_FLAGS: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_TRUNCATED: Final = getattr(socket, "MSG_CTRUNC", 0)
MESSAGES_A_TURN: Final = 64
"""Requests that are met in one iteration of the event loop."""


class ServedRole(Role, Protocol):
    """The role of a device with sessions that end by themselves."""

    def shut(self) -> bool:
        """Begin no more sessions. True: there is none."""


class FrontEnd:
    """One front end, from its connection to the end of that."""

    def __init__(
        self, sock: socket.socket, device: Device, role: ServedRole, name: str, gone: Callable[[], None]
    ) -> None:
        """``name``: for the log. ``gone`` is called when the socket is closed."""
        self._socket = sock
        self._device = device
        self._role = role
        self._name = name
        self._gone = gone
        self._receiver = Receiver()
        self._ending = self._closed = False
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def end(self) -> None:
        """Close the socket, as soon as the sessions have ended."""
        self._ending = True
        if self._role.shut():
            self.close()

    def session_ended(self) -> None:
        """A session has."""
        if self._ending:
            self.close()

    def close(self) -> None:
        """Close the socket now; sessions that are left end."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._receiver.close()
            self._device.close()
            self._socket.close()
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
            answer = self._device.request(*found)
            if answer is not None:
                self._answer(answer)
        return True

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
