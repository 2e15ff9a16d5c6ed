"""Busy polling: a socket that is read and written without the event loop, while its connection is
all that there is.

A client that waits for each reply before it asks again leaves an event loop nothing to choose from:
epoll says what the next ``recv`` would have said as well. So while one connection is all there is,
the socket is read and written directly: ``recv`` waits for the next request, which saves 0.6 of the
7.6 us of a getattr. As soon as the client hesitates, wants something that takes long, or does not
take its reply, the loop has the socket back; and it runs every few milliseconds in any case, for
new connections, timers and signals.

This waits in the thread of the event loop. It is for a loop that does nothing but serve
(``Server(owns_loop=True)``), for raw sockets (over TLS ``recv`` would take ciphertext away from the
loop), and for systems where one ``recv`` can be told how long to wait.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from ninep.host.sockets import set_receive_timeout
from ninep.transport.writer import StreamControl
from ninep.wire.types import Buffer

PROMPT: Final = 0.0005
"""Seconds between a reply and the next request: a client that takes longer does not only wait for
us.
"""
WARM_UP: Final = 8
"""Prompt requests before polling begins: changing the socket's mode there and back costs as much as
one saves.
"""
RECEIVE_TIMEOUT: Final = 0.001
"""Seconds that ``recv`` waits for a request (the kernel rounds up to its tick, 1 to 10 ms)."""
LONGEST: Final = 0.005
"""Seconds until the event loop runs again."""
DONT_WAIT: Final = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)
POSSIBLE: Final = hasattr(socket, "MSG_DONTWAIT")  # without it a send could wait for the client


def is_raw_socket(transport: asyncio.BaseTransport) -> bool:
    """Whether the bytes on the transport's socket are those that the protocol gets: not with TLS,
    nor without a socket.
    """
    return transport.get_extra_info("socket") is not None and transport.get_extra_info("sslcontext") is None


class SocketWriter(StreamControl):
    """Sends on the socket itself while it is polled, through the event loop otherwise."""

    __slots__ = (
        "_fileno",
        "_prompt",
        "_replied",
        "_send",
        "_send_all",
        "_socket",
        "polling",
    )

    _send: Callable[..., int]
    _send_all: Callable[..., int]

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport, transport)
        self._fileno: int = transport.get_extra_info("socket").fileno()
        self._socket: socket.socket | None = None
        self._prompt = 0
        self._replied = 0.0
        self.polling = False
        """The loop is not at work: writes go to the socket."""

    def release(self) -> None:
        """The connection is lost: the socket is needed no more."""
        if self._socket is not None:
            self._socket.close()

    def due(self) -> bool:
        """Called when a request that came through the loop was answered: whether the client has
        been prompt for long enough.
        """
        now = monotonic()
        self._prompt = self._prompt + 1 if now - self._replied < PROMPT else 0
        self._replied = now
        return self._prompt >= WARM_UP and not self._transport.is_closing()

    def poll(self, space: Callable[..., Buffer], received: Callable[[int], bool]) -> None:
        """Receive and serve for as long as requests come promptly and ``received`` says that all is
        answered.
        """
        try:
            recv_into = self._begin().recv_into
        except OSError:  # the process has no handle left: the loop goes on as before
            self._prompt = 0
            return
        until = monotonic() + LONGEST
        try:
            while True:
                count = recv_into(space())
                if not count:
                    break  # the client sends no more: the loop will read that, too
                if not received(count) or not self.polling:
                    break
                if monotonic() > until:
                    self._replied = monotonic()
                    break
        except OSError:
            self._prompt = 0  # it hesitates; or the connection is broken, which the loop will notice
        finally:
            self._end()

    def _begin(self) -> socket.socket:
        sock = self._socket
        if sock is None:
            # A socket object of our own, because event loops guard theirs; the same open socket
            # underneath.
            sock = self._socket = socket.socket(fileno=os.dup(self._fileno))
            set_receive_timeout(sock, RECEIVE_TIMEOUT)
            self._send = sock.send
            self._send_all = getattr(sock, "sendmsg", no_sendmsg)
        sock.setblocking(True)  # for ``recv``; the loop is not at work now
        self.polling = True
        return sock

    def _end(self) -> None:
        self.polling = False
        if self._socket is not None:
            self._socket.setblocking(False)  # before the loop writes: it would have to wait for the client

    def write(self, buffer: Buffer) -> None:
        """While polling, send at once; what the socket does not take, and all that follows, goes
        through the event loop.
        """
        if self.polling:
            try:
                sent = self._send(buffer, DONT_WAIT)
            except OSError:  # full; or broken, which the loop will notice
                sent = 0
            if sent == len(buffer):
                return
            self._end()
            buffer = memoryview(buffer)[sent:]
        self._transport.write(buffer)

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """As ``write``, for several."""
        if self.polling:
            try:
                sent = self._send_all(buffers, (), DONT_WAIT)
            except OSError:
                sent = 0
            buffers = rest(buffers, sent)
            if not buffers:
                return
            self._end()
        self._transport.writelines(buffers)


def no_sendmsg(*_: object) -> int:
    """Where sockets have none (Windows, where nothing is polled either)."""
    return 0


def rest(buffers: Sequence[Buffer], sent: int) -> list[Buffer]:
    """What of some buffers remains to be sent."""
    remaining: list[Buffer] = []
    for buffer in buffers:
        if sent < len(buffer):
            remaining.append(memoryview(buffer)[sent:] if sent else buffer)
        sent = max(0, sent - len(buffer))
    return remaining
