"""The compiled codec: equal to the manual's notation for any input, and strict about
inner lengths.
"""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.wire_examples import EXAMPLES, TAG, Example, octets
from tests.wire.wire_reference import frame, names_of
from tests.wire.wire_strategies import ANY_MESSAGE, U16

from ninep.wire import messages as m
from ninep.wire import modes
from ninep.wire.codec import HEADER_SIZE, Codec, Malformed, codec, header

CODECS = pytest.mark.parametrize("wire", [codec(modes.PLAIN), codec(modes.EXTENDED)], ids=["plain", "extended"])
EXTENDED = codec(modes.EXTENDED)
NEIGHBOUR = bytes(range(256)) * 2  # what may stand in the buffer behind a frame


def bytes_of(example: Example, wire: Codec) -> bytes:
    return example.extended if wire.encoding.unix_fields else example.plain


def sized(size: int, rest: bytes) -> bytes:
    return size.to_bytes(4, "little") + rest[4:]


def plain_form(message: m.Message) -> m.Message:
    """A message as plain 9P2000 gives it back."""
    names = names_of(message.number, extended=True)
    missing = set(names) - set(names_of(message.number, extended=False))
    fields = type(message).__dataclass_fields__  # type: ignore[attr-defined]
    message = replace(message, **{name: fields[name].default for name in missing})  # type: ignore[type-var]
    if isinstance(message, m.Rstat | m.Twstat):
        message = replace(message, stat=type(message.stat)(*message.stat[:11]))
    return message


class TestRoundTrip:
    @given(ANY_MESSAGE, U16, st.booleans())
    def test_every_message_in_both_encodings(self, message: m.Message, tag: int, extended: bool) -> None:
        wire = codec(modes.EXTENDED if extended else modes.PLAIN)
        data = b"".join(wire.encode(tag, message))
        assert data == frame(message.number, tag, message, extended)
        assert wire.decode(data) == (tag, message if extended else plain_form(message))

    @given(ANY_MESSAGE, st.booleans())
    def test_what_the_server_uses_agrees_with_the_objects(self, message: m.Message, extended: bool) -> None:
        wire = codec(modes.EXTENDED if extended else modes.PLAIN)
        compiled = wire.table[message.number]
        data = b"".join(wire.encode(TAG, message))
        values = compiled.unpack(data + NEIGHBOUR, HEADER_SIZE, len(data))
        packed = compiled.pack(TAG, *values)
        assert (b"".join(packed) if compiled.payload else packed) == data
        assert header(data, 0) == (len(data), message.number, TAG)
        if compiled.fixed is not None:
            assert len(data) == compiled.size
            assert tuple(compiled.fixed(data, HEADER_SIZE)) == tuple(values)

    @given(ANY_MESSAGE)
    def test_a_frame_may_stand_anywhere_in_the_buffer(self, message: m.Message) -> None:
        data = b"".join(EXTENDED.encode(TAG, message))
        compiled = EXTENDED.table[message.number]
        values = compiled.unpack(NEIGHBOUR + data + NEIGHBOUR, len(NEIGHBOUR) + HEADER_SIZE, len(NEIGHBOUR) + len(data))
        assert compiled.build(values) == message


class TestPayload:
    """A payload is sent as a separate buffer and received as a slice."""

    @pytest.mark.parametrize("message", [m.Rread(b"d" * 9), m.Twrite(1, 2, b"d" * 9), m.Rreaddir(b"d" * 9)], ids=repr)
    def test_the_payload_is_never_copied(self, message: m.Rread) -> None:
        payload = memoryview(message.data)
        head, tail = EXTENDED.encode(TAG, replace(message, data=payload))
        assert tail is payload
        data = memoryview(head + b"d" * 9)
        _, back = EXTENDED.decode(data)
        assert isinstance(back, type(message))
        assert isinstance(back.data, memoryview)
        assert back.data.obj is data.obj

    def test_all_others_are_one_buffer(self) -> None:
        assert {number for number, compiled in EXTENDED.table.items() if compiled.payload} == {41, 117, 118}


class TestOptionalTails:
    def test_tfsync_without_datasync(self) -> None:
        assert EXTENDED.decode(octets("0b000000 32 0203 01000000")) == (TAG, m.Tfsync(1, 0))

    def test_tcreate_without_extension(self) -> None:
        # FreeBSD's client leaves the string out in 9P2000.L.
        data = octets("13000000 72 0203 01000000 0100 'f' a4010000 01")
        assert EXTENDED.decode(data) == (TAG, m.Tcreate(1, b"f", 0o644, 1, b""))


OPTIONAL_CUTS = {("Tfsync", 11), ("Tcreate", 19)}  # the two shorter forms above


@CODECS
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
class TestMalformed:
    def test_a_frame_cut_anywhere(self, example: Example, wire: Codec) -> None:
        data = bytes_of(example, wire)
        for cut in range(len(data)):
            with pytest.raises(Malformed):
                wire.decode(data[:cut])

    def test_a_body_cut_anywhere_under_the_right_size(self, example: Example, wire: Codec) -> None:
        data = bytes_of(example, wire)
        unpack = wire.table[example.message.number].unpack
        for cut in range(HEADER_SIZE, len(data)):
            if (str(example), cut) in OPTIONAL_CUTS:
                continue
            with pytest.raises(Malformed):
                wire.decode(sized(cut, data[:cut]))
            with pytest.raises(Malformed):  # the rest is there, but it belongs to the next frame
                unpack(data + NEIGHBOUR, HEADER_SIZE, cut)

    def test_bytes_behind_the_body(self, example: Example, wire: Codec) -> None:
        data = bytes_of(example, wire)
        for more in (1, 2, 3, 13, 300):
            with pytest.raises(Malformed):
                wire.decode(sized(len(data) + more, data) + bytes(more))

    def test_a_size_that_is_not_the_frames(self, example: Example, wire: Codec) -> None:
        data = bytes_of(example, wire)
        for size in {0, 6, 7, len(data) - 1, len(data) + 1, 0xFFFFFFFF} - {len(data)}:
            with pytest.raises(Malformed):
                wire.decode(sized(size, data))


class TestLies:
    @pytest.mark.parametrize("count", [17, 0xFFFF])
    def test_more_than_sixteen_names(self, count: int) -> None:
        names = b"\1\0a" * count
        data = octets("00000000 6e 0203 01000000 02000000") + count.to_bytes(2, "little") + names
        with pytest.raises(Malformed, match="more than 16 names"):
            EXTENDED.decode(sized(len(data), data))

    def test_sixteen_names_are_fine(self) -> None:
        walk = m.Twalk(1, 2, [b"a"] * 16)
        assert EXTENDED.decode(EXTENDED.encode(TAG, walk)[0]) == (TAG, walk)  # type: ignore[arg-type]

    def test_seventeen_names_are_not_sent_either(self) -> None:
        with pytest.raises(Malformed, match="more than 16 names"):
            EXTENDED.encode(TAG, m.Twalk(1, 2, [b"a"] * 17))

    @pytest.mark.parametrize(
        "body",
        [
            "11000000 6e 0203 01000000 02000000 1000",  # sixteen names, none there
            "13000000 6e 0203 01000000 02000000 0100 ffff",  # a name of 65535 bytes
            "09000000 6f 0203 ffff",  # 65535 qids
            "16000000 6f 0203 0200 00 01000000 0200000000000000",  # two qids, one there
            "0b000000 75 0203 ffffffff",  # 4 GiB of data
            "0d000000 75 0203 01000000 'ab'",  # less than there is
            "19000000 76 0203 01000000 0000000000000000 03000000 'ab'",
            "17000000 76 0203 01000000 0000000000000000 00000080",
            "0d000000 64 0203 00200000 0800",  # a version string that is not there
            "0a000000 7d 0203 0000 00",  # Rstat: no record
            "09000000 7d 0203 0000",
            "0b000000 7d 0203 0200 0000",  # an empty record
        ],
    )
    def test_wrong_counts(self, body: str) -> None:
        with pytest.raises(Malformed):
            EXTENDED.decode(octets(body))

    @pytest.mark.parametrize("outer", [0, 0x42, 0x44, 0xFFFF])
    def test_rstat_whose_two_sizes_disagree(self, outer: int) -> None:
        data = next(example.extended for example in EXAMPLES if str(example) == "Rstat")
        with pytest.raises(Malformed):
            EXTENDED.decode(data[:7] + outer.to_bytes(2, "little") + data[9:])

    @pytest.mark.parametrize("number", sorted(set(range(256)) - set(m.BY_NUMBER)))
    def test_types_that_no_message_has(self, number: int) -> None:
        with pytest.raises(Malformed, match="no message has type"):
            EXTENDED.decode(bytes([7, 0, 0, 0, number, 0, 0]))

    @given(st.sampled_from(sorted(m.BY_NUMBER)), st.binary(max_size=80), st.booleans())
    def test_random_bodies_are_refused_or_understood(self, number: int, body: bytes, extended: bool) -> None:
        wire = codec(modes.EXTENDED if extended else modes.PLAIN)
        data = (7 + len(body)).to_bytes(4, "little") + bytes([number, 2, 3]) + body
        try:
            tag, message = wire.decode(data)
        except Malformed:
            return
        again = b"".join(wire.encode(tag, message))
        assert wire.decode(again) == (tag, message)
        assert again == data or number in {50, 114}  # the optional tails come back written out

    @given(st.sampled_from(EXAMPLES), st.data())
    def test_a_flipped_byte_is_refused_or_understood(self, example: Example, data: st.DataObject) -> None:
        frame_bytes = bytearray(example.extended)
        at = data.draw(st.integers(4, len(frame_bytes) - 1))
        frame_bytes[at] ^= data.draw(st.integers(1, 255))
        try:
            tag, message = EXTENDED.decode(bytes(frame_bytes))
        except Malformed:
            return
        assert EXTENDED.decode(b"".join(EXTENDED.encode(tag, message))) == (tag, message)


class TestEncodeRefuses:
    @pytest.mark.parametrize(
        "message",
        [
            m.Tclunk(-1),
            m.Tclunk(1 << 32),
            m.Tread(1, 1 << 64, 1),
            m.Topen(1, 256),
            m.Tversion(8192, b"v" * 0x10000),
            m.Tversion(8192, "9P2000"),  # type: ignore[arg-type]
            m.Twalk(1, 2, [b"n" * 0x10000]),
            m.Twalk(1, 2, ["name"]),  # type: ignore[list-item]
            m.Tclunk(None),  # type: ignore[arg-type]
        ],
        ids=lambda message: repr(message)[:40],
    )
    def test_fields_that_do_not_fit(self, message: m.Message) -> None:
        with pytest.raises(Malformed):
            EXTENDED.encode(TAG, message)

    def test_a_tag_that_does_not_fit(self) -> None:
        with pytest.raises(Malformed):
            EXTENDED.encode(0x10000, m.Rflush())
