"""What looks on at a mount: its requests and replies, for an observer (``server.observer``)."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from ninep.server.observer import Observer
from ninep.transport.peers import Peer
from ninep.wire.fuse import Opcode
from ninep.wire.fuse_codec import unpack_header, unpack_out_header
from ninep.wire.types import Buffer

_BEGINS = frozenset({Opcode.INIT, Opcode.DESTROY})


class Watch:
    """The requests of one connection that are not answered, and when they came."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.in_place = observer.in_place
        """Replies may be put where they belong: they are told by ``placed``."""
        self._asked: dict[int, tuple[int, float]] = {}

    def set_observer(self, observer: Observer) -> None:
        """Another one looks on from now."""
        self.observer = observer
        self.in_place = observer.in_place

    def asked(self, peer: Peer, frame: bytes, size: int) -> None:
        """A request came; ``size``: with data that ``frame`` does not have."""
        _, opcode, unique, *_ = unpack_header(frame)
        if opcode in _BEGINS:
            self._asked.clear()  # what was asked before is not answered
        self._asked[unique] = opcode, monotonic()
        self.observer.asked(peer, opcode, frame, size)

    def placed(self, peer: Peer, frame: bytes, written: int) -> None:
        """Its reply has so many bytes, and is where it belongs; negative: there is none."""
        unique = unpack_header(frame)[2]
        opcode, began = self._asked.pop(unique, (0, 0.0))
        if written > 0:
            self.observer.answered(peer, opcode, unique, None, written, monotonic() - began)

    def replies(self, peer: Peer, replies: Sequence[Sequence[Buffer]]) -> None:
        """Replies, each in one or more buffers, are about to be sent."""
        for reply in replies:
            size, error, unique = unpack_out_header(reply[0])
            opcode, began = self._asked.pop(unique, (0, 0.0))
            self.observer.answered(peer, opcode, unique, -error, size, monotonic() - began)
