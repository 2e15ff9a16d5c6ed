"""What is compiled from the declaration of one message."""

import pytest

from ninep.wire import messages as m
from ninep.wire.compiler import compile_message
from ninep.wire.layouts import Malformed
from ninep.wire.modes import EXTENDED, PLAIN


def test_a_message_of_numbers_has_a_fixed_size() -> None:
    compiled = compile_message(m.Tgetattr, EXTENDED)
    frame = bytes.fromhex("13000000 18 0500 01000000 ff07000000000000")
    assert compiled.number == 24
    assert compiled.pack(5, 1, 0x7FF) == frame
    assert compiled.size == len(frame)
    assert compiled.fixed is not None
    assert list(compiled.fixed(frame, 7)) == list(compiled.unpack(frame, 7, len(frame))) == [1, 0x7FF]
    assert compiled.build([1, 0x7FF]) == m.Tgetattr(1, 0x7FF)
    assert compiled.pack_message(5, m.Tgetattr(1, 0x7FF)) == frame


def test_one_with_a_string_has_none() -> None:
    compiled = compile_message(m.Tversion, PLAIN)
    assert compiled.fixed is None
    assert compiled.size == 0


@pytest.mark.parametrize("message", [m.Rread, m.Twrite, m.Rreaddir])
def test_a_payload_is_a_buffer_of_its_own(message: type[m.Message]) -> None:
    assert compile_message(message, EXTENDED).payload


def test_the_head_of_a_payload() -> None:
    payload = bytearray(b"abc")
    head, data = compile_message(m.Rread, EXTENDED).pack(5, payload)
    assert head == bytes.fromhex("0e000000 75 0500 03000000")
    assert data is payload


def test_fields_that_plain_9p2000_lacks_get_their_defaults() -> None:
    frame = compile_message(m.Tattach, PLAIN).pack(1, 0, m.NOFID, b"user", b"")
    assert isinstance(frame, bytes)
    assert frame == bytes.fromhex("17000000 68 0100 00000000 ffffffff 0400") + b"user" + b"\0\0"
    compiled = compile_message(m.Tattach, PLAIN)
    assert compiled.build(compiled.unpack(frame, 7, len(frame))) == m.Tattach(0, m.NOFID, b"user", b"", 0xFFFFFFFF)


@pytest.mark.parametrize("body", ["0000000001", "00000000ff0700000000000000", ""])
def test_a_body_of_another_size_is_malformed(body: str) -> None:
    data = bytes.fromhex(body)
    with pytest.raises(Malformed):
        compile_message(m.Tgetattr, EXTENDED).unpack(data, 0, len(data))
