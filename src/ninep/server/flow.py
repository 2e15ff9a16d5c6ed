"""When a connection takes no more requests: the reasons, and the one place where reading is paused
and resumed.

While there is any reason, nothing is read and nothing is served; a batch that was interrupted goes
on when the last reason is gone, and only when it came to its end, reading is resumed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from ninep.server.transport import GONE, Transport


class Reason(Enum):
    """Why no more requests are taken."""

    FULL = auto()
    """The client does not take its replies fast enough."""
    IN_FLIGHT = auto()
    """As many requests as may be are in flight."""
    SLICE = auto()
    """The slice of time is used up: it goes on with the next (``slices``)."""
    THROTTLED = auto()
    """The limits of the export say that the next request is to wait (``shares``)."""
    FORGETTING = auto()
    """What the client gave up in large numbers is being given back (FUSE)."""
    STOPPING = auto()
    """The client sends no more, or the server ends. For good."""


class Flow:
    """The reasons of one connection."""

    __slots__ = ("_on_pause", "_transport", "paused", "reasons")

    def __init__(self, transport: Transport, on_pause: Callable[[], None] | None = None) -> None:
        """``on_pause`` is called each time it is paused, unless because of the end."""
        self._transport = transport
        self._on_pause = on_pause
        self.reasons: set[Reason] = set()
        """Only to be read."""
        self.paused = False
        """Reading is paused: until ``resume``, also when the last reason is gone."""

    def hold(self, reason: Reason) -> None:
        """Take no more requests, for one more reason."""
        self.reasons.add(reason)
        if not self.paused:
            self.paused = True
            self._transport.pause()
            if self._on_pause is not None and Reason.STOPPING not in self.reasons:
                self._on_pause()

    def lift(self, reason: Reason) -> None:
        """The reason is gone, if it was one."""
        self.reasons.discard(reason)

    def resume(self) -> None:
        """Read again, unless there is another reason."""
        if self.paused and not self.reasons:
            self.paused = False
            self._transport.resume()

    def detach(self) -> None:
        """The transport is gone."""
        self._transport = GONE
