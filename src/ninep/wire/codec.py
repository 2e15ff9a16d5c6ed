"""Packs and unpacks messages, with functions that are compiled at import from the declarations in
``messages`` (by ``compiler``; records in them: ``layouts``).

Rules

* No other module uses ``struct`` for messages. The codec does no I/O, keeps no state and does not
  depend on sessions.
* For each message and each of the two encodings (plain 9P2000; 9P2000.u and .L) two functions are
  generated: ``unpack(buffer, start, end) -> fields`` from a message's body, and ``pack(tag,
  *fields) -> frame``. Tests and the client use message objects (``decode``, ``encode``); the server
  passes the fields to its handlers directly (a message object costs 0.3 us, one thirtieth of a
  whole request).
* ``Malformed`` is raised for a body that is too short or too long, or whose inner lengths are
  wrong. Bytes beyond ``end`` never become part of a result, and no memory is allocated by a length
  that the data does not fill.
* A frame that ends in a payload (Rread, Twrite, Rreaddir) is packed as ``(head, payload)``: joining
  64 KiB costs ten times more than sending two buffers. All other frames are packed as one
  ``bytes``.
* Input buffers: ``bytes`` for messages with strings (the strings are slices of it). Twrite may be
  in any buffer: its payload is a slice of the buffer, not a copy, and is valid as long as the
  buffer's content is.
"""

from __future__ import annotations

import struct
from functools import cache

from ninep.wire.compiler import Frame, compile_message
from ninep.wire.layouts import (
    DIRENT_SIZE,
    HEADER_SIZE,
    IOHDRSZ,
    LONG_NAMES,
    READ_HEADER,
    STAT_BASE,
    WRITE_HEADER,
    Malformed,
    header,
    io_reply,
    pack_dirents,
    pack_stat,
    unpack_dirents,
    unpack_stat,
)
from ninep.wire.messages import BY_NUMBER, MAX_WALK, Message
from ninep.wire.modes import Encoding
from ninep.wire.types import Buffer

__all__ = [
    "DIRENT_SIZE",
    "HEADER_SIZE",
    "IOHDRSZ",
    "LONG_NAMES",
    "READ_HEADER",
    "STAT_BASE",
    "WRITE_HEADER",
    "Codec",
    "Frame",
    "Malformed",
    "codec",
    "header",
    "io_reply",
    "pack_dirents",
    "pack_stat",
    "unpack_dirents",
    "unpack_stat",
]


class Codec:
    """All messages in one encoding. ``table[number]`` is the compiled form of a message type."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.table = {number: compile_message(cls, encoding) for number, cls in BY_NUMBER.items()}

    def decode(self, frame: Buffer) -> tuple[int, Message]:
        """Unpack one whole frame: its tag and its message. ``Malformed`` for anything else.

        A payload (Rread, Twrite, Rreaddir) is a slice of ``frame``; strings are ``bytes`` for every
        type of ``frame``.
        """
        if len(frame) < HEADER_SIZE:
            raise Malformed("a frame is at least 7 bytes")
        size, number, tag = header(frame, 0)
        if size != len(frame):
            raise Malformed(f"size is {size}, but the frame has {len(frame)} bytes")
        compiled = self.table.get(number)
        if compiled is None:
            raise Malformed(f"no message has type {number}")
        if not compiled.payload and type(frame) is not bytes:
            frame = bytes(frame)
        return tag, compiled.build(compiled.unpack(frame, HEADER_SIZE, size))

    def encode(self, tag: int, message: Message) -> list[Buffer]:
        """The buffers of one frame, in order. ``Malformed`` if the value of a field does not fit
        its type.
        """
        try:
            frame = self.table[message.number].pack_message(tag, message)
        except (struct.error, TypeError) as error:
            raise Malformed(f"{type(message).__name__}: {error}") from None
        except IndexError:
            raise Malformed(f"more than {MAX_WALK} names") from None
        return list(frame) if isinstance(frame, tuple) else [frame]


@cache
def codec(encoding: Encoding) -> Codec:
    """The codec of an encoding: ``modes.PLAIN`` or ``modes.EXTENDED``."""
    return Codec(encoding)
