"""What looks on while a connection serves: ``trace`` and ``instrumented``. The one seam for it.

An observer is chosen when a connection begins. Without one nothing is called at all; with one,
requests do not take the shortest way (``connection``), and every hook below is called once for each
batch, or each time replies leave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ninep.protocol.framing import RawFrame
from ninep.server.session import Session
from ninep.transport.peers import Peer
from ninep.wire.types import Buffer


class Resources(NamedTuple):
    """What a connection has of the budgets of its server."""

    fids: int
    """Or node ids."""
    open_files: int
    """Directories included."""
    open_directories: int
    attribute_bytes: int


class Observed(Protocol):
    """What an observer may read of a connection."""

    peer: Peer

    @property
    def session(self) -> Session:
        """The session there is now."""


class Observer:
    """One that does nothing: override what is of interest. Shared by all connections of a server,
    so it keeps nothing of one.
    """

    in_place = False
    """What is served in place, data and reply, may be told by ``placed``, instead of ``received``,
    ``requests`` and ``replies``: it does not read messages."""

    def placed(self, number: int, size: int, reply: int) -> None:
        """A request of this type and size was served in place. ``reply`` is the size of what was
        written; 0, and the reply is told by ``replies``.
        """

    def received(self, size: int) -> None:
        """So many bytes arrived."""

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """The frames of a batch, which are to be returned as they are, one by one as they are asked
        for.
        """
        del connection
        return frames

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """Whole frames that are about to be sent; one may be in several buffers."""

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """A request of FUSE: its message, without the data of a WRITE that are elsewhere, and how many
        bytes it has with them.
        """

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """Its reply is about to be sent, so many seconds after it came: an errno, 0 for success, or
        None where a reply in place was not looked at.
        """

    def batch(self, seconds: float) -> None:
        """What came together, or a part of it, kept the event loop for so long."""

    def paused(self) -> None:
        """A connection is not read from for a while."""

    def slow(self) -> None:
        """Storage turned out to be slow."""


class Observers(Observer):
    """Several, one after the other."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self.in_place = all(one.in_place for one in observers)

    def placed(self, number: int, size: int, reply: int) -> None:
        """To each."""
        for one in self._observers:
            one.placed(number, size, reply)

    def received(self, size: int) -> None:
        """To each."""
        for one in self._observers:
            one.received(size)

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """Through each."""
        for one in self._observers:
            frames = one.requests(connection, frames)
        return frames

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """To each."""
        for one in self._observers:
            one.replies(connection, replies)

    def asked(self, peer: Peer, opcode: int, frame: bytes, size: int) -> None:
        """To each."""
        for one in self._observers:
            one.asked(peer, opcode, frame, size)

    def answered(self, peer: Peer, opcode: int, unique: int, error: int | None, size: int, seconds: float) -> None:
        """To each."""
        for one in self._observers:
            one.answered(peer, opcode, unique, error, size, seconds)

    def batch(self, seconds: float) -> None:
        """To each."""
        for one in self._observers:
            one.batch(seconds)

    def paused(self) -> None:
        """To each."""
        for one in self._observers:
            one.paused()

    def slow(self) -> None:
        """To each."""
        for one in self._observers:
            one.slow()


def together(observers: Sequence[Observer]) -> Observer | None:
    """One for all of them; None for none."""
    return observers[0] if len(observers) == 1 else Observers(*observers) if observers else None


Observe = Callable[[], Observer | None]
"""Asked when a connection begins."""
