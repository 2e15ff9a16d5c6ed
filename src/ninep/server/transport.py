"""What a connection needs of the transport under it, and what it has when there is none any more."""

from __future__ import annotations

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


class _Gone:
    """The transport of a connection that is lost."""

    def write(self, buffer: Buffer) -> None:
        """It is thrown away."""

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """They are thrown away."""

    def pause(self) -> None:
        """Nothing comes."""

    resume = close = abort = pause


GONE = _Gone()
