"""Captures: what is written is read again, and streams are put in order."""

from __future__ import annotations

import io
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.wire.pcap import PORT, NoCapture, Stream, Writer, segments


def test_what_is_written_is_read() -> None:
    writer = Writer()
    big = bytes(range(256)) * 500
    file = writer.header()
    file += writer.packets(12.25, 0, b"ask", reply=False) + writer.packets(12.5, 0, big, reply=True)
    file += writer.packets(13, 1, b"other", reply=False)
    found = list(segments(io.BytesIO(file)))
    assert [(one.time, one.source, one.target, one.sequence) for one in found] == [
        (12.25, ("10.0.0.2", 1024), ("10.0.0.1", PORT), 1),
        (12.5, ("10.0.0.1", PORT), ("10.0.0.2", 1024), 1),
        (12.5, ("10.0.0.1", PORT), ("10.0.0.2", 1024), 60_001),
        (12.5, ("10.0.0.1", PORT), ("10.0.0.2", 1024), 120_001),
        (13, ("10.0.0.2", 1025), ("10.0.0.1", PORT), 1),
    ]
    assert b"".join(one.data for one in found[1:4]) == big


def test_the_checksum_of_ip_is_right() -> None:
    packet = Writer().packets(0, 7, b"x", reply=False)[16:]
    total = sum(int.from_bytes(packet[at : at + 2]) for at in range(0, 20, 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


TCP = pack(">HHIIBBHHH", 9, 564, 5, 0, 0x50, 0, 0, 0, 0) + b"data"


IPV4 = pack(">BBHHHBBH4s4s", 0x45, 0, 44, 0, 0, 64, 6, 0, b"\x7f\0\0\x01", bytes(4))


@pytest.mark.parametrize(
    ("link", "packet", "source"),
    [
        (1, bytes(12) + b"\x08\x00" + IPV4 + TCP + b"padding", "127.0.0.1"),
        (1, bytes(12) + b"\x86\xdd" + pack(">IHBB16s16s", 6 << 28, 24, 6, 64, bytes(15) + b"\x01", bytes(16)) + TCP, "0000:" * 7 + "0001"),
        (113, bytes(16) + IPV4 + TCP, "127.0.0.1"),
    ],
    ids=["ethernet", "ipv6", "cooked"],
)  # fmt: skip
@pytest.mark.parametrize(("order", "magic", "part"), [("<", 0xA1B2C3D4, 500_000), (">", 0xA1B23C4D, 500_000_000)])
def test_forms_of_captures(link: int, packet: bytes, source: str, order: str, magic: int, part: int) -> None:
    file = (
        pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link)
        + pack(f"{order}IIII", 1, part, len(packet), len(packet))
        + packet
    )
    (found,) = segments(io.BytesIO(file))
    assert (found.time, found.source, found.target, found.sequence, found.data) == (
        1.5,
        (source, 9),
        (found.target[0], 564),
        5,
        b"data",
    )


@pytest.mark.parametrize(
    "file",
    [b"", b"\n\r\r\n" + bytes(20), b"text that is long enough to be", pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 147)],
)
def test_what_is_no_capture(file: bytes) -> None:
    with pytest.raises(NoCapture):
        list(segments(io.BytesIO(file)))


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_bytes_are_packets_or_none(packet: bytes, rest: bytes) -> None:
    file = (
        pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
        + pack("<IIII", 1, 0, len(packet), len(packet))
        + packet
        + rest[:15]
    )
    list(segments(io.BytesIO(file)))


def test_a_stream_in_any_order_and_twice() -> None:
    begin = (1 << 32) - 4
    stream = Stream()
    assert stream.add(begin, b"ab") == b"ab"
    assert stream.add(2, b"gh") == b""
    assert stream.add(begin, b"abcd") == b"cd"
    assert stream.add(0, b"efg") == b"efgh"
    assert stream.add(2, b"gh") == b""
