"""How a connection writes: one class for each thing that the stream under it can do.

``LoopWriter`` writes through the event loop and suits every stream; ``busy_poll.SocketWriter``
sends on the socket itself while that is busy polled, which needs a raw socket: one whose bytes are
those of 9P. A stream chooses once, when it stands. Both are a ``Transport``, which is all that a
connection knows of the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from ninep.wire.types import Buffer


class Transport(Protocol):
    """What a connection needs of the transport under it."""

    def write(self, buffer: Buffer) -> None:
        """Send, in order. May keep the buffer until it is sent."""

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """Send several, in order."""

    def pause(self) -> None:
        """Read no more until ``resume``."""

    def resume(self) -> None:
        """Read again."""

    def close(self) -> None:
        """Send what is written, then close. ``Connection.lost`` is called at the end."""

    def abort(self) -> None:
        """Close at once."""


class StreamControl:
    """Pausing and closing, for every writer. ``reading`` is another transport than ``writing`` for
    a pair of pipes.
    """

    __slots__ = ("_reading", "_transport")

    def __init__(self, writing: asyncio.WriteTransport, reading: asyncio.ReadTransport) -> None:
        self._transport = writing
        self._reading = reading

    def pause(self) -> None:
        """Read no more until ``resume``."""
        if not self._reading.is_closing():
            self._reading.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._reading.is_closing():
            self._reading.resume_reading()

    def close(self) -> None:
        """Send what is written, then close."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class LoopWriter(StreamControl):
    """Writes through the event loop."""

    __slots__ = ()

    def write(self, buffer: Buffer) -> None:
        """Send, in order. The event loop copies what it cannot send now."""
        self._transport.write(buffer)

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """Send several, in order."""
        self._transport.writelines(buffers)
