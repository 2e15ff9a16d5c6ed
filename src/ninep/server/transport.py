"""What a connection needs of the transport under it, and what it has when there is none
any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from ninep.transport.writer import Transport
from ninep.wire.types import Buffer

__all__ = ["GONE", "Transport"]


class _Gone:
    """The transport of a connection that is lost."""

    def write(self, buffer: Buffer) -> None:
        """It is thrown away."""

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """They are thrown away."""

    def pause(self) -> None:
        """Nothing comes."""

    resume = close = abort = pause


GONE: Transport = _Gone()
