"""Data in several buffers, one after the other (scatter and gather, readv(2)): a message or its
payload in memory that is not contiguous, such as the pages of a virtual machine.

The buffers are writable memoryviews of bytes (format B). Nothing here keeps one.
"""

from __future__ import annotations

from collections.abc import Sequence

from ninep.wire.types import Buffer


def length(buffers: Sequence[Buffer]) -> int:
    """The number of bytes in all of them."""
    return sum(map(len, buffers))


def first(buffers: Sequence[memoryview], size: int) -> Sequence[memoryview]:
    """The first ``size`` bytes, or all if there are no more."""
    beyond = sum(map(len, buffers)) - size
    if beyond <= 0:
        return buffers
    kept = list(buffers)
    while beyond >= len(kept[-1]):
        beyond -= len(kept.pop())
        if not kept:
            return kept
    if beyond:
        kept[-1] = kept[-1][:-beyond]
    return kept


def behind(buffers: Sequence[memoryview], size: int) -> Sequence[memoryview]:
    """What follows the first ``size`` bytes; nothing if there are no more."""
    for at, buffer in enumerate(buffers):
        if size < len(buffer):
            return [buffer[size:], *buffers[at + 1 :]] if size else buffers[at:]
        size -= len(buffer)
    return ()


def scatter(buffers: Sequence[memoryview], data: Buffer) -> int:
    """Copy data into them; how many bytes. ValueError if there is not enough room."""
    size = len(data)
    if buffers and size <= len(buffers[0]):
        buffers[0][:size] = data
        return size
    view, done = memoryview(data), 0
    for buffer in buffers:
        part = view[done : done + len(buffer)]
        buffer[: len(part)] = part
        done += len(part)
    if done < size:
        raise ValueError(f"{size} bytes for a room of {done}")
    return size
