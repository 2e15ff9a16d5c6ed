"""The tags in flight, and the order that flush(5) requires.

Only requests that are not answered at once are entered. The rules (flush(5); QEMU v9fs_flush,
pdu_complete):

* a tag is in flight from its request until its reply; a second request with it is an error of the
  client;
* the reply to a request is sent *before* the Rflush of a Tflush that named it, or not at all;
* no reply is sent for a tag after its Rflush;
* several Tflush for one tag are answered in their order; a Tflush is itself in flight, and can be
  flushed;
* a Tflush for a tag that is not in flight, or for its own, is answered at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class InFlight:
    """A request (or a Tflush) that has no reply yet."""

    tag: int
    flushes: list[InFlight] = field(default_factory=list)
    """The Tflush requests waiting for this one, in order."""
    abandoned: bool = False
    """No reply is to be sent (a new version was negotiated, or the connection is lost)."""


class Tags:
    """The tags in flight of one connection."""

    __slots__ = ("owed",)

    def __init__(self) -> None:
        self.owed: dict[int, InFlight] = {}
        """The requests in flight, by tag. Read-only for callers: the request loop tests for each
        request whether it is empty.
        """

    def __len__(self) -> int:
        return len(self.owed)

    def __contains__(self, tag: int) -> bool:
        return tag in self.owed

    def get(self, tag: int) -> InFlight | None:
        """The request in flight with this tag."""
        return self.owed.get(tag)

    def enter(self, request: InFlight) -> None:
        """Add a request in flight."""
        self.owed[request.tag] = request

    def flush(self, tag: int, oldtag: int) -> bool:
        """A Tflush arrived. True: answer it now. False: it waits for ``oldtag`` and ``leave`` will
        name it.
        """
        old = self.owed.get(oldtag)
        if old is None or oldtag == tag:
            return True
        waiting = InFlight(tag)
        old.flushes.append(waiting)
        self.owed[tag] = waiting
        return False

    def leave(self, request: InFlight) -> list[int]:
        """The reply to ``request`` was sent, or the request was dropped: returns the tags of the
        Tflush requests to answer now, in order.
        """
        if self.owed.get(request.tag) is request:
            del self.owed[request.tag]
        # Without recursion: a client may flush a flush as often as there are tags.
        answer: list[int] = []
        waiting = deque(request.flushes)
        while waiting:
            flush = waiting.popleft()
            if self.owed.get(flush.tag) is flush:
                del self.owed[flush.tag]
            answer.append(flush.tag)
            waiting.extendleft(reversed(flush.flushes))
        return answer

    def abandon(self) -> None:
        """Mark all requests in flight as abandoned: no reply to them is sent."""
        for request in self.owed.values():
            request.abandoned = True
        self.owed.clear()
