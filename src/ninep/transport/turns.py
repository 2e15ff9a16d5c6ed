"""Client and server taking turns: the short way for a connection that is alone.

A client that waits for each reply before it asks again leaves an event loop nothing to choose from: it is told by epoll what the next ``recv``
would have told as well. So while one connection is all there is, the socket is read and written directly: ``recv`` waits for the next
request, which saves 0.6 of the 7.6 us of a getattr. As soon as the client hesitates, wants something that takes long, or does not
take its reply, the loop has the socket back; and it gets a turn of its own every few milliseconds, for new connections, timers and signals.

This waits in the thread of the event loop. It is for a loop that does nothing but serve (``Server(owns_loop=True)``), and only on systems where
one ``recv`` can be told how long to wait.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from ninep.wire.types import Buffer

PROMPT: Final = 0.0005
"""Seconds between a reply and the next request: a client that takes longer does not only wait for us."""
WARM_UP: Final = 8
"""Prompt requests before turns are taken: changing the socket's mode there and back costs as much as one saves."""
PATIENCE: Final = 0.001
"""Seconds that ``recv`` waits for a request (the kernel rounds up to its tick, 1 to 10 ms)."""
LONGEST: Final = 0.005
"""Seconds until the event loop gets its turn."""
DONT_WAIT: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
POSSIBLE: Final = hasattr(socket, "MSG_DONTWAIT")  # without it a send could wait for the client


class Turns:
    """The short way of one socket. ``fallback`` is how the event loop writes."""

    __slots__ = ("_fallback", "_prompt", "_replied", "_send", "_send_all", "_socket", "open")

    def __init__(self, fileno: int, fallback: Callable[[Sequence[Buffer]], None]) -> None:
        # A socket object of our own, because event loops guard theirs; the same open socket underneath.
        self._socket = socket.socket(fileno=os.dup(fileno))
        wait = struct.pack("@ll", int(PATIENCE), int(PATIENCE % 1 * 1e6))  # struct timeval, socket(7) SO_RCVTIMEO
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._send: Callable[..., int] = self._socket.send
        self._send_all: Callable[..., int] = getattr(self._socket, "sendmsg", no_sendmsg)
        self._fallback = fallback
        self._prompt = 0
        self._replied = 0.0
        self.open = False
        """Turns are being taken."""

    def close(self) -> None:
        """Give the socket back for good."""
        self._socket.close()

    def due(self) -> bool:
        """Called when a request that came through the loop was answered: whether the client has been prompt for long enough."""
        now = monotonic()
        self._prompt = self._prompt + 1 if now - self._replied < PROMPT else 0
        self._replied = now
        return self._prompt >= WARM_UP

    def take(self, space: Callable[..., Buffer], received: Callable[[int], bool]) -> None:
        """Receive and serve for as long as requests come promptly and ``received`` says that all is answered."""
        sock = self._socket
        sock.setblocking(True)  # for ``recv``; the loop is not at work now
        self.open = True
        recv_into = sock.recv_into
        until = monotonic() + LONGEST
        try:
            while True:
                count = recv_into(space())
                if not count:
                    break  # the client sends no more: the loop will read that, too
                if not received(count) or not self.open:
                    break
                if monotonic() > until:
                    self._replied = monotonic()
                    break
        except OSError:
            self._prompt = 0  # it hesitates; or the connection is broken, which the loop will notice
        finally:
            self._end()

    def _end(self) -> None:
        self.open = False
        self._socket.setblocking(False)  # before the loop writes: it would have to wait for the client

    def write(self, buffer: Buffer) -> None:
        """Send at once; what the socket does not take, and all that follows, goes through the event loop."""
        if self.open:
            try:
                sent = self._send(buffer, DONT_WAIT)
            except OSError:  # full; or broken, which the loop will notice
                sent = 0
            if sent == len(buffer):
                return
            self._end()
            buffer = memoryview(buffer)[sent:]
        self._fallback((buffer,))

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """As ``write``, for several."""
        if self.open:
            try:
                sent = self._send_all(buffers, (), DONT_WAIT)
            except OSError:
                sent = 0
            buffers = rest(buffers, sent)
            if not buffers:
                return
            self._end()
        self._fallback(buffers)


def no_sendmsg(*_: object) -> int:
    """Where sockets have none (Windows, where no turns are taken either)."""
    return 0


def rest(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What of some buffers remains to be sent."""
    remaining: list[Buffer] = []
    for buffer in buffers:
        if sent < len(buffer):
            remaining.append(memoryview(buffer)[sent:] if sent else buffer)
        sent = max(0, sent - len(buffer))
    return remaining
