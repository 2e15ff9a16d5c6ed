"""The decoder and the framing. An input is type, tag and body of a frame; the size is added here.
The same bytes are also used as a stream.

The only legal outcomes, for each dialect:

* a frame decodes, and the message encodes to the same bytes (where a client may leave out the last
  field: to the same message); or
* it raises ``Malformed``, and nothing else;
* an independent decoder agrees which of the two it is (``tests.support.judge``), for all types of
  buffers;
* a frame within other bytes decodes to the same fields as alone: nothing beyond its end is read;
* the server's fast path for messages of numbers gives the same fields;
* a stream gives the same frames however it is split, or ``BadFrame`` at the same offset.
"""

from __future__ import annotations

from typing import Any

from tests.support import judge

from fuzz.frames import cut, frame
from ninep.protocol.framing import BadFrame, Receiver
from ninep.server.table import TABLES
from ninep.wire.codec import MAX_WALK, Codec, Malformed, unpack_dirents
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Message, Rread, Rreaddir, Tcreate, Tfsync, Twalk, Twrite

NAME = "decoder"
SESSION = False
LONGEST = 512
MSIZE = 4096
SHORT = {Tfsync.number: bytes(4), Tcreate.number: bytes(2)}
"""Messages whose last field clients may leave out, and its default. (That of Tcreate does not exist
in plain 9P2000.)"""


def try_one(data: bytes) -> None:
    """Run one input. An exception is a finding."""
    if len(data) >= 3:
        whole = frame(data[0], data[1] | data[2] << 8, data[3:])
        for dialect in (Dialect.BASE, Dialect.UNIX, Dialect.LINUX):
            _one_frame(whole, dialect)
        _entries(data[3:])
    _stream(data)


def begin() -> None:
    """Nothing to prepare."""


def finish() -> None:
    """Nothing to clean up."""


def _decoded(table: Codec, whole: Any) -> tuple[int, Message] | None:
    try:
        return table.decode(whole)
    except Malformed:
        return None


def _one_frame(whole: bytes, dialect: Dialect) -> None:
    if dialect is not Dialect.UNIX:  # the encoding is that of .L
        _both_ways(whole, dialect.codec)
    entry = TABLES[dialect][whole[4]]
    if entry is not None and entry.fixed is not None and len(whole) == entry.size:
        assert list(entry.fixed(whole, 7)) == list(entry.unpack(whole, 7, len(whole))), (
            "the fast path gives other fields"
        )


def _both_ways(whole: bytes, table: Codec) -> None:
    found = _decoded(table, whole)
    legal = reads(whole, extended=table.encoding.unix_fields)
    assert (found is not None) == legal, f"decoded: {found!r}; an independent reader: {legal}"
    for other in (bytearray(whole), memoryview(whole)):
        assert _decoded(table, other) == found, f"another outcome for {type(other).__name__}"
    if found is None:
        return
    tag, message = found
    again = b"".join(table.encode(tag, message))
    if again != whole:
        assert whole[4] in SHORT, f"{message!r} became {again.hex()}"
        assert _decoded(table, again) == found
        return
    compiled = table.table[message.number]
    around = b"\xa5\xa5" + whole + b"\xa5" * 40
    fields = compiled.unpack(around, 9, 2 + len(whole))
    assert compiled.build(fields) == message, "what stands behind the frame was read"


def reads(whole: bytes, *, extended: bool) -> bool:
    """Whether a decoder that shares no code with ``ninep.wire`` accepts a frame."""
    try:
        number, _, fields = judge.parse(in_full(whole, extended=extended), extended)
    except AssertionError:
        return False
    return number != Twalk.number or len(fields["wnames"]) <= MAX_WALK


def in_full(whole: bytes, *, extended: bool) -> bytes:
    """A frame with the last field that its client left out; any other frame unchanged."""
    number = whole[4]
    short = (number == Tfsync.number and len(whole) == 11) or (
        number == Tcreate.number and extended and reads(whole, extended=False)
    )
    return frame(whole[4], whole[5] | whole[6] << 8, whole[7:] + SHORT[whole[4]]) if short else whole


def _entries(data: bytes) -> None:
    """Decode the data of an Rreaddir, as the client does."""
    try:
        entries = unpack_dirents(data)
    except Malformed:
        return
    expected = judge.dirents(data)
    assert [tuple(entry) for entry in entries] == [(*qid, cookie, kind, name) for qid, cookie, kind, name in expected]


def _frames(data: bytes, step: int) -> tuple[list[bytes], bool]:
    """The frames of a stream that arrives in pieces of ``step`` bytes, and whether it ended with an
    error.
    """
    receiver = Receiver(MSIZE)
    found = []
    try:
        for start in range(0, len(data), step):
            for size, number, tag, buffer, begin in receiver.feed(data[start : start + step]):
                taken = bytes(buffer[begin : begin + size])
                assert taken[4] == number
                assert int.from_bytes(taken[5:7], "little") == tag
                found.append(taken)
    except BadFrame:
        return found, True
    return found, False


def _stream(data: bytes) -> None:
    found, broken = _frames(data, len(data) or 1)
    assert _frames(data, 5) == (found, broken), "cut up otherwise, the stream has other frames"
    pieces = cut(data)
    whole = [piece for piece in pieces if len(piece) >= 7 and int.from_bytes(piece[:4], "little") == len(piece)]
    rest = pieces[-1] if len(whole) < len(pieces) else b""
    bad = len(rest) >= 7 and not 7 <= int.from_bytes(rest[:4], "little") <= MSIZE
    assert (found, broken) == (whole, bad)


assert {Rread.number, Rreaddir.number, Twrite.number} == {
    number for number, one in Dialect.LINUX.codec.table.items() if one.payload
}
