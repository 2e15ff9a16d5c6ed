"""Messages of vhost-user: bytes beside what they say, in pieces, and what is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.virtio import messages as m
from ninep.virtio.messages import Message, ProtocolError, Receiver, Request

REGION = m.Region(guest=0x1_0000_0000, size=0x800_0000, user=0x7F1D_4280_0000, offset=0x2000)

# As the real front end sent them, or as the specification has them.
EXAMPLES = [
    ("0f000000 01000000 00000000", Message(Request.GET_PROTOCOL_FEATURES, 1, None)),
    ("02000000 01000000 08000000 01000070 01000000", Message(Request.SET_FEATURES, 1, 0x1_7000_0001)),
    ("08000000 01000000 08000000 00000000 80000000", Message(Request.SET_VRING_NUM, 1, m.VringState(0, 128))),
    ("0c000000 09000000 08000000 02010000 00000000", Message(Request.SET_VRING_KICK, 9, 0x102)),
    (
        "09000000 01000000 28000000 00000000 00000000 0040fb8a7f7f0000 4049fb8a7f7f0000 0048fb8a7f7f0000 0040b70200000000",
        Message(
            Request.SET_VRING_ADDR,
            1,
            m.VringAddresses(0, 0, 0x7F7F_8AFB_4000, 0x7F7F_8AFB_4940, 0x7F7F_8AFB_4800, 0x2B7_4000),
        ),
    ),
    (
        "05000000 01000000 28000000 01000000 00000000 0000000001000000 0000000800000000 000080421d7f0000 0020000000000000",
        Message(Request.SET_MEM_TABLE, 1, (REGION,)),
    ),
    (
        "25000000 09000000 28000000 0000000000000000 0000000001000000 0000000800000000 000080421d7f0000 0020000000000000",
        Message(Request.ADD_MEM_REG, 9, REGION),
    ),
    (
        "18000000 01000000 11000000 00000000 05000000 00000000 0000000000",
        Message(Request.GET_CONFIG, 1, m.Config(0, 5, 0, bytes(5))),
    ),
    (
        "1f000000 01000000 18000000 0000000000000000 0000000000000000 0100 8000 00000000",
        Message(Request.GET_INFLIGHT_FD, 1, m.Inflight(0, 0, 1, 128)),
    ),
    (
        "1f000000 01000000 14000000 0000000000000000 0000000000000000 0100 8000",
        Message(Request.GET_INFLIGHT_FD, 1, m.Inflight(0, 0, 1, 128, b"")),
    ),
]


@pytest.fixture
def descriptors() -> Iterator[Callable[[int], list[int]]]:
    """Makes open descriptors; those that were not closed at the end are an error."""
    made: list[int] = []

    def make(count: int) -> list[int]:
        new = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
        made.extend(new)
        return new

    yield make
    assert [descriptor for descriptor in made if is_open(descriptor)] == []


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def received(data: bytes, descriptors: list[int] | None = None) -> Message:
    """The one message of these bytes. Its descriptors are closed."""
    receiver = Receiver()
    first = receiver.feed(data[: receiver.wanted], descriptors or [])
    found = first or receiver.feed(data[m.HEADER_SIZE :])
    assert found is not None
    m.close_all(found[1])
    return found[0]


def enough(message: Message, make: Callable[[int], list[int]]) -> list[int]:
    """As many descriptors as the message must have."""
    return make(m.TABLE[message.request].descriptors[0])


@pytest.mark.parametrize(
    ("text", "message"), EXAMPLES, ids=lambda one: one.request.name if isinstance(one, Message) else ""
)
def test_bytes_and_what_they_say(text: str, message: Message, descriptors: Callable[[int], list[int]]) -> None:
    data = bytes.fromhex(text)
    assert received(data, enough(message, descriptors)) == message
    assert m.pack(message.request, message.body, message.flags) == data


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_messages_in_pieces(step: int, descriptors: Callable[[int], list[int]]) -> None:
    """``wanted`` never reaches into the next message, so that descriptors are those of this one."""
    receiver = Receiver()
    found = []
    for text, message in EXAMPLES:
        data = bytes.fromhex(text)
        come = enough(message, descriptors)
        while data:
            count = min(step, receiver.wanted)
            piece, data = data[:count], data[count:]
            whole = receiver.feed(piece, come)
            come = []
            if whole is not None:
                assert not data
                found.append(whole[0])
                assert len(whole[1]) == m.TABLE[message.request].descriptors[0]
                m.close_all(whole[1])
    assert found == [message for _, message in EXAMPLES]


def head(request: int, size: int, flags: int = m.VERSION) -> bytes:
    return m.HEADER.pack(request, flags, size)


REFUSED = [
    ("flags 0x0: no request of version 1", head(Request.SET_OWNER, 0, flags=0), 0),
    ("flags 0x2: no request of version 1", head(Request.SET_OWNER, 0, flags=2), 0),
    ("flags 0x5: no request of version 1", head(Request.SET_OWNER, 0, flags=5), 0),
    ("request 0, which is none that was offered", head(0, 0), 0),
    ("request 6, which is none that was offered", head(6, 8), 0),
    ("request 4294967295, which is none that was offered", head(0xFFFF_FFFF, 0), 0),
    ("SET_OWNER with 1 bytes", head(Request.SET_OWNER, 1), 0),
    ("SET_FEATURES with 7 bytes", head(Request.SET_FEATURES, 7), 0),
    ("SET_MEM_TABLE with 265 bytes", head(Request.SET_MEM_TABLE, 265), 0),
    ("GET_CONFIG with 269 bytes", head(Request.GET_CONFIG, 269), 0),
    ("GET_FEATURES with 4294967295 bytes", head(Request.GET_FEATURES, 0xFFFF_FFFF), 0),
    ("SET_MEM_TABLE with 9 descriptors", head(Request.SET_MEM_TABLE, 264), 9),
    ("SET_OWNER with 1 descriptors", head(Request.SET_OWNER, 0), 1),
    ("SET_VRING_CALL with 2 descriptors", head(Request.SET_VRING_CALL, 8), 2),
    ("ADD_MEM_REG with 0 descriptors", head(Request.ADD_MEM_REG, 40), 0),
]


@pytest.mark.parametrize(("words", "data", "count"), REFUSED, ids=[words for words, _, _ in REFUSED])
def test_a_header_is_refused_before_its_payload_is_read(
    words: str, data: bytes, count: int, descriptors: Callable[[int], list[int]]
) -> None:
    receiver = Receiver()
    with pytest.raises(ProtocolError, match=re.escape(words)):
        receiver.feed(data, descriptors(count))
    assert receiver.wanted == m.HEADER_SIZE


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("a table of 2 regions in 40 bytes", head(Request.SET_MEM_TABLE, 40) + b"\2" + bytes(39)),
        ("a table of 4294967295 regions in 8 bytes", head(Request.SET_MEM_TABLE, 8) + b"\xff" * 8),
        ("9 bytes of config space in 17", head(Request.GET_CONFIG, 17) + bytes(4) + b"\x09" + bytes(12)),
    ],
)
def test_lengths_inside_a_payload_must_be_those_of_the_payload(
    words: str, data: bytes, descriptors: Callable[[int], list[int]]
) -> None:
    with pytest.raises(ProtocolError, match=words):
        received(data, descriptors(m.TABLE[Request(data[0])].descriptors[1]))


def test_descriptors_come_with_the_first_byte(descriptors: Callable[[int], list[int]]) -> None:
    data = m.pack(Request.SET_VRING_KICK, 0)
    receiver = Receiver()
    assert receiver.feed(data[:4]) is None
    with pytest.raises(ProtocolError, match="did not come with the first byte"):
        receiver.feed(data[4:12], descriptors(1))


def test_descriptors_of_a_message_that_never_became_whole_are_closed(descriptors: Callable[[int], list[int]]) -> None:
    receiver = Receiver()
    assert receiver.feed(m.pack(Request.SET_VRING_KICK, 0)[:12], descriptors(1)) is None
    receiver.close()
    assert receiver.wanted == m.HEADER_SIZE


def test_no_more_is_taken_than_was_wanted() -> None:
    with pytest.raises(ValueError, match="13 bytes, where 12 are wanted"):
        Receiver().feed(bytes(13))


def test_an_answer_has_the_payload_of_its_request() -> None:
    answer = m.pack_answer(Request.GET_VRING_BASE, m.VringState(1, 500))
    assert answer == bytes.fromhex("0b000000 05000000 08000000 01000000 f4010000")


def test_an_acknowledgement_is_a_number() -> None:
    assert m.pack_answer(Request.SET_MEM_TABLE, 1) == bytes.fromhex("05000000 05000000 08000000 0100000000000000")


BODIES: dict[int, st.SearchStrategy[m.Body]] = {
    id(m.NOTHING): st.none(),
    id(m.U64): st.integers(0, 2**64 - 1),
    id(m.STATE): st.builds(m.VringState, *[st.integers(0, 2**32 - 1)] * 2),
    id(m.ADDRESSES): st.builds(m.VringAddresses, *[st.integers(0, 2**32 - 1)] * 2, *[st.integers(0, 2**64 - 1)] * 4),
    id(m.REGION): st.builds(m.Region, *[st.integers(0, 2**64 - 1)] * 4),
    id(m.REGIONS): st.lists(st.builds(m.Region, *[st.integers(0, 2**64 - 1)] * 4), max_size=8).map(tuple),
    id(m.CONFIG): st.binary(max_size=m.MAX_CONFIG).flatmap(
        lambda data: st.builds(m.Config, st.integers(0, 2**32 - 1), st.just(len(data)), st.just(0), st.just(data))
    ),
    id(m.INFLIGHT): st.builds(
        m.Inflight,
        *[st.integers(0, 2**64 - 1)] * 2,
        *[st.integers(0, 2**16 - 1)] * 2,
        padding=st.binary(max_size=4),
    ),
}


@given(st.data())
def test_every_request_can_be_packed_and_read(data: st.DataObject) -> None:
    request = data.draw(st.sampled_from(Request))
    row = m.TABLE[request]
    body = data.draw(BODIES[id(row.payload)])
    packed = m.pack(request, body)
    assert len(packed) - m.HEADER_SIZE <= row.payload.most
    come = [os.open(os.devnull, os.O_RDONLY) for _ in range(row.descriptors[0])]
    assert received(packed, come) == Message(request, m.VERSION, body)


def test_every_request_is_in_the_table() -> None:
    assert set(m.TABLE) == set(Request)
