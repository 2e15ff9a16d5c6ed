"""Framing: splits a byte stream into messages by ``size[4]``, in one reusable receive buffer.

Rules

* The transport writes into ``space()`` and reports the number of bytes with ``received()``. Whole
  frames are returned, as (size, type, tag, buffer, start), in order. Bytes may arrive split and
  joined in any way.
* A size below 7 or above ``msize`` raises ``BadFrame``: the start of the next frame is unknown, so
  the connection must end. Types and bodies are not checked here.
* Memory: the buffer is small at first. It grows to the size of a frame only after that size passed
  the msize check and the small buffer is full, and shrinks again.
* Fairness: besides a large frame, at most 64 KiB of the data that follows are read at a time,
  however large the buffer is. A megabyte of tiny requests would delay other connections by half a
  second.
* Small frames are returned as ``bytes`` (one copy for a whole batch: slicing bytes is three times
  cheaper than slicing a view), and so are large frames **unless they end in a payload**: strings
  must be bytes (``b"/" in view`` is never true, so a name in a view would pass every check for
  slashes). Large frames with a payload are returned as a view of the buffer, valid until the
  iterator is asked for the next frame, or without limit after ``keep()``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from ninep.wire.codec import HEADER_SIZE, header
from ninep.wire.messages import Rread, Rreaddir, Twrite
from ninep.wire.types import Buffer

SMALL: Final = 1 << 16
PAYLOADS: Final = frozenset({Rread.number, Twrite.number, Rreaddir.number})
"""The message types without strings, whose last field is a datum."""

RawFrame: TypeAlias = tuple[int, int, int, Buffer, int]
"""size, type, tag, the buffer that contains the frame, and the offset of the frame in it."""


def frames_of(buffers: Iterable[Buffer]) -> Iterator[RawFrame]:
    """The frames that are sent together. The fixed fields of each are in one buffer; its data may be
    buffers of their own, and empty.
    """
    at = 0
    for buffer in buffers:
        length = len(buffer)
        while at < length:
            size, number, tag = header(buffer, at)
            yield size, number, tag, buffer, at
            at += size
        at -= length


class BadFrame(ValueError):
    """A frame size that is not possible in this session: the rest of the stream cannot be
    parsed.
    """


class Receiver:
    """The receiving side of one connection."""

    __slots__ = ("_buffer", "_end", "_first", "_kept", "_start", "_view", "msize")

    def __init__(self, msize: int) -> None:
        self.msize = msize
        """The largest frame that may arrive, in bytes."""
        self._buffer = bytearray(SMALL)
        self._view = memoryview(self._buffer)
        self._first = self._view[:SMALL]
        self._start = 0
        self._end = 0
        self._kept = False

    def set_msize(self, msize: int) -> None:
        """A version was negotiated: the largest frame from now on."""
        self.msize = msize

    def space(self, sizehint: int = 0) -> memoryview:  # noqa: ARG002 - the signature of asyncio's get_buffer
        """The part of the buffer that the next bytes are to be written to; never empty."""
        end = self._end
        if not end:
            return self._first
        if end == len(self._buffer):
            self._make_room()
            end = self._end
        if len(self._buffer) == SMALL:
            return self._view[end:]
        missing = 0
        if end - self._start >= HEADER_SIZE:
            missing = header(self._buffer, self._start)[0] - (end - self._start)
        return self._view[end : end + missing + SMALL]

    @property
    def partial(self) -> bool:
        """Whether the buffer contains the begin of an incomplete frame."""
        return self._end > self._start

    @property
    def full(self) -> bool:
        """Whether frames have to be taken before more bytes come."""
        return self._end == len(self._buffer)

    def feed(self, data: Buffer) -> Iterator[RawFrame]:
        """``space`` and ``received`` in one call, for transports with buffers of their own."""
        position = 0
        while position < len(data):
            space = self.space()
            count = min(len(space), len(data) - position)
            space[:count] = data[position : position + count]
            position += count
            yield from self.received(count)

    def lone(self, count: int) -> bytes | None:
        """``count`` more bytes are in the buffer: returns the frame if they are exactly one small
        frame. After None, call ``received`` with the same count.

        This is the usual case with a client that waits for each reply, and saves the 0.35 us of the
        iterator of ``received``.
        """
        if self._end or count < HEADER_SIZE or count > self.msize or len(self._buffer) != SMALL:
            return None
        frame = bytes(self._first[:count])
        return frame if header(frame, 0)[0] == count else None

    def received(self, count: int) -> Iterator[RawFrame]:
        """``count`` more bytes are in the buffer: the frames that are now complete. Those that are not
        taken from the iterator before more bytes come, come from that of ``received`` then.
        """
        self._end += count
        return self._complete(count)

    def _complete(self, count: int) -> Iterator[RawFrame]:
        start, end = self._start, self._end
        if end - start > SMALL:
            yield from self._large_frames()
            return
        batch = bytes(self._view[start:end])
        end -= start
        position = 0
        msize = self.msize
        while end - position >= HEADER_SIZE:
            size, number, tag = header(batch, position)
            if size < HEADER_SIZE or size > msize:
                raise BadFrame(f"a frame of {size} bytes; {HEADER_SIZE} to {msize} are possible")
            if size > end - position:
                break
            self._start = start + position + size
            yield size, number, tag, batch, position
            msize = self.msize
            position += size
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > SMALL and count < SMALL // 2:
                self._replace(SMALL)

    def _large_frames(self) -> Iterator[RawFrame]:
        while self._end - self._start >= HEADER_SIZE:
            start = self._start
            size, number, tag = header(self._buffer, start)
            if size < HEADER_SIZE or size > self.msize:
                raise BadFrame(f"a frame of {size} bytes; {HEADER_SIZE} to {self.msize} are possible")
            if size > self._end - start:
                break
            self._start += size
            if size < SMALL or number not in PAYLOADS:
                yield size, number, tag, bytes(self._view[start : start + size]), 0
            else:
                yield size, number, tag, self._view[start : start + size], 0
            if self._kept:
                self._kept = False
                self._replace(len(self._buffer))
        if self._start == self._end:
            self._start = self._end = 0

    def keep(self) -> None:
        """Keep the buffer of the last frame valid: continue in another buffer."""
        self._kept = True

    def _make_room(self) -> None:
        """The buffer is full and its last frame incomplete: move that frame to the front, or grow
        the buffer to the frame's size.
        """
        needed = SMALL
        if self._end - self._start >= HEADER_SIZE:
            needed = max(needed, header(self._buffer, self._start)[0] + SMALL // 16)
        if self._start and needed <= len(self._buffer):
            rest = self._end - self._start
            self._view[:rest] = self._view[self._start : self._end]
            self._start, self._end = 0, rest
        else:
            self._replace(needed)

    def _replace(self, size: int) -> None:
        rest = self._view[self._start : self._end]
        buffer = bytearray(size)
        buffer[: len(rest)] = rest
        self._buffer = buffer
        self._view = memoryview(buffer)
        self._first = self._view[:SMALL]
        self._start, self._end = 0, len(rest)
