"""Whole sessions on the memory driver, by a transport that has a place for each reply
(``Connection.message``). An input is a conversation (``frames``), as for ``memory``; the number of a
``glue`` command says how what follows lies in memory (``PLACES``), and whether the data of a Twrite
are left there.

The only legal outcomes: those of ``memory``; and

* what is not one whole message within msize is a ``BadFrame``, and nothing else is;
* what is written of a reply is one whole R-message, within its place;
* no view of the client's memory is kept after the return.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

from fuzz.conversation import LIMITS, Conversation, finish, listen
from fuzz.memory import LONGEST, SESSION, exports
from ninep.protocol.framing import BadFrame
from ninep.server.budgets import Budgets
from ninep.wire.codec import WRITE_HEADER
from ninep.wire.messages import Twrite

__all__ = ["LONGEST", "NAME", "SESSION", "begin", "finish", "try_one"]

NAME = "message"
begin = listen

PLACES: Final = ((LIMITS.msize,), (11, *[4096] * 16), (7, 24, 100), (11, 50, 3000), (160,), (11,), (4096, 4096), ())
"""Sizes of the buffers for a reply."""
DATA: Final = (0, 1, 13, 4096)
"""Bytes of each buffer of a Twrite's data; 0: they are copied with the message."""


class Messages(Conversation):
    """A conversation whose frames come one by one."""

    _layout = 0

    def _do(self, word: str, number: int) -> None:
        if word == "glue":
            self._deliver()
            self._layout = number
        else:
            super()._do(word, number)

    def _deliver(self) -> None:
        while self._glued and not self.line.paused and not self.line.closed:
            size = int.from_bytes(self._glued[:4], "little")
            whole = 7 <= size <= len(self._glued)
            frame, self._glued = (self._glued[:size], self._glued[size:]) if whole else (self._glued, b"")
            try:
                self._message(frame)
            except BadFrame:
                assert not whole or size > self.checker.judge.msize, f"refused: {frame!r}"
                self.line.closed = self._must_close = True
            else:
                assert whole, f"taken: {frame!r}"

    def _message(self, frame: bytes) -> None:
        sizes = PLACES[self._layout % len(PLACES)]
        each = DATA[self._layout // len(PLACES) % len(DATA)]
        place, data = bytearray(sum(sizes)), bytearray()
        views, start = [], 0
        for size in sizes:
            views.append(memoryview(place)[start : start + size])
            start += size
        payload = None
        if each and len(frame) > WRITE_HEADER and frame[4] == Twrite.number:
            data += frame[WRITE_HEADER:]
            frame = frame[:WRITE_HEADER]
            payload = [memoryview(data)[at : at + each] for at in range(0, len(data), each)]
        began = monotonic()
        written = self.connection.message(frame, payload, views)
        self.connection.took(monotonic() - began)
        reply = bytes(place[:written])
        assert written <= len(place), "a reply beyond its place"
        del views, payload
        for memory in (place, data):
            try:
                memory.append(0)
            except BufferError:
                raise AssertionError(f"a view of memory is kept after {frame!r}") from None
        if written:
            assert int.from_bytes(reply[:4], "little") == written, f"half a reply: {reply!r}"
            self.checker.received(reply)


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    made, audit, fail = exports()
    Messages(made, Budgets(LIMITS), fail=fail).run(data)
    audit.check()
