"""Messages of a transport that has a place for each reply: memory of a virtual machine, say.

The message itself is the server's own copy, because the other side may change what is in shared
memory at any moment. Only the data of a Twrite may still be where the client put it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.protocol.framing import PAYLOADS, BadFrame, RawFrame
from ninep.wire.codec import HEADER_SIZE, header

VIEWED: Final = 4096
"""Bytes from which on the data of a request is a view of its frame and not another copy."""


def check_size(frame: bytes, payload: Sequence[memoryview] | None, msize: int) -> int:
    """The size of the message, which is also what it says it is. ``BadFrame``."""
    size = len(frame) if payload is None else len(frame) + sum(map(len, payload))
    if len(frame) < HEADER_SIZE or size > msize:
        raise BadFrame(f"a message of {size} bytes; {HEADER_SIZE} to {msize} are possible")
    said = header(frame, 0)[0]
    if said != size:
        raise BadFrame(f"a message of {size} bytes that says {said}")
    return size


def joined(frame: bytes, payload: Sequence[memoryview] | None, size: int) -> RawFrame:
    """The whole message, copied, as it comes out of ``protocol.framing``."""
    whole = frame if payload is None else b"".join((frame, *payload))
    _, number, tag = header(frame, 0)
    viewed = size >= VIEWED and number in PAYLOADS
    return size, number, tag, memoryview(whole) if viewed else whole, 0
