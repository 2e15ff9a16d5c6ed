"""Captures of packets: the files of tcpdump(8) and Wireshark (pcap-savefile(5)), and the streams of
TCP in them. Pure: bytes in, bytes out.

Read are IPv4 and IPv6 in Ethernet, Linux cooked captures, loopback of BSD, and raw IP. Written is raw
IPv4 with invented addresses: one segment or more for each message, so that Wireshark shows a session
as 9P (port 564). Checksums of TCP are left out, which Wireshark does not look at by default.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error
from typing import BinaryIO, Final, NamedTuple

PORT: Final = 564
"""IANA's for 9P (9pfs)."""
_MAGICS: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e6), b"\xa1\xb2\xc3\xd4": (">", 1e6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e9), b"\xa1\xb2\x3c\x4d": (">", 1e9),
}  # fmt: skip
RAW_IP: Final = 101
_LINKS: Final = {0: 4, 1: 14, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
"""LINKTYPE_: bytes before the header of IP."""
_TCP: Final = 6
LONGEST: Final = 1 << 18
_SEGMENT: Final = 60_000
_FILE = Struct("<IHHiIII")
_RECORD = Struct("<IIII")
_IP = Struct(">BBHHHBBHII")
_SEGMENT_HEADER = Struct(">HHIIBBHHH")
_ADDRESSES: Final = 0x0A000001, 0x0A000002
"""10.0.0.1, the server; 10.0.0.2, all clients, which have ports of their own."""


class NoCapture(ValueError):
    """The file is no capture that can be read; the text says why."""


class Segment(NamedTuple):
    """A segment of TCP with data."""

    time: float
    source: tuple[str, int]
    target: tuple[str, int]
    sequence: int
    data: bytes


def segments(file: BinaryIO) -> Iterator[Segment]:
    """The segments of a capture in its order. ``NoCapture``; a file that ends early ends there."""
    head = file.read(24)
    if head[:4] == b"\n\r\r\n":
        raise NoCapture("this is pcapng: convert it with 'editcap -F pcap FILE FILE.pcap'")
    if len(head) < 24 or head[:4] not in _MAGICS:
        raise NoCapture("this is no pcap file")
    order, fraction = _MAGICS[head[:4]]
    record = Struct(f"{order}IIII")
    link = Struct(f"{order}I").unpack(head[20:24])[0] & 0xFFFF
    if link not in _LINKS:
        raise NoCapture(f"packets of link type {link} are not known here")
    while len(found := file.read(16)) == 16:
        seconds, part, length, _ = record.unpack(found)
        if length > LONGEST:
            raise NoCapture(f"a packet of {length} bytes")
        packet = file.read(length)
        segment = _segment(seconds + part / fraction, packet, _LINKS[link])
        if segment is not None and segment.data:
            yield segment


def _segment(time: float, packet: bytes, at: int) -> Segment | None:
    try:
        if at == 14 and packet[12:14] == b"\x81\x00":  # a tag of 802.1Q
            at += 4
        version = packet[at] >> 4
        if version == 4:
            size, protocol = int.from_bytes(packet[at + 2 : at + 4]), packet[at + 9]
            addresses = [".".join(map(str, packet[at + begin : at + begin + 4])) for begin in (12, 16)]
            tcp, end = at + (packet[at] & 15) * 4, at + size if size else len(packet)
        elif version == 6:
            size, protocol = int.from_bytes(packet[at + 4 : at + 6]), packet[at + 6]
            addresses = [packet[at + begin : at + begin + 16].hex(":", 2) for begin in (8, 24)]
            tcp, end = at + 40, at + 40 + size if size else len(packet)
        else:
            return None
        if protocol != _TCP:
            return None
        source, target, sequence, _, offset, *_ = _SEGMENT_HEADER.unpack_from(packet, tcp)
    except (IndexError, error):
        return None
    data = packet[tcp + (offset >> 4) * 4 : end]
    return Segment(time, (addresses[0], source), (addresses[1], target), sequence, data)


class Stream:
    """The bytes of one direction, in order: what was sent twice once, what came early later."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, bytes] = {}

    def add(self, sequence: int, data: bytes) -> bytes:
        """A segment; the bytes that are in order with it."""
        if self._next is None:
            self._next = sequence
        self._early[sequence] = max(self._early.get(sequence, b""), data, key=len)
        ready = b""
        while True:
            begin = next((one for one in self._early if (self._next - one) % (1 << 32) < 1 << 31), None)
            if begin is None:
                return ready
            more = self._early.pop(begin)[(self._next - begin) % (1 << 32) :]
            ready += more
            self._next = (self._next + len(more)) % (1 << 32)


class Writer:
    """Makes the packets of a capture of 9P."""

    def __init__(self) -> None:
        self._sequences: dict[tuple[int, bool], int] = {}

    @staticmethod
    def header() -> bytes:
        """What a file begins with."""
        return _FILE.pack(0xA1B2C3D4, 2, 4, 0, 0, LONGEST, RAW_IP)

    def packets(self, time: float, client: int, data: bytes, *, reply: bool) -> bytes:
        """A message of the client with this number, or the reply to one."""
        out = b""
        for at in range(0, len(data), _SEGMENT):
            part = data[at : at + _SEGMENT]
            out += self._packet(time, client, part, reply)
        return out

    def _packet(self, time: float, client: int, data: bytes, reply: bool) -> bytes:
        mine, other = self._sequences.get((client, reply), 1), self._sequences.get((client, not reply), 1)
        self._sequences[client, reply] = (mine + len(data)) % (1 << 32)
        port = 1024 + client % 60_000
        ports = (PORT, port) if reply else (port, PORT)
        addresses = _ADDRESSES if reply else _ADDRESSES[::-1]
        size = 40 + len(data)
        ip = _IP.pack(0x45, 0, size, 0, 0x4000, 64, _TCP, 0, *addresses)
        total = sum(int.from_bytes(ip[at : at + 2]) for at in range(0, 20, 2))
        total = (total & 0xFFFF) + (total >> 16)
        checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        ip = _IP.pack(0x45, 0, size, 0, 0x4000, 64, _TCP, checksum, *addresses)
        tcp = _SEGMENT_HEADER.pack(*ports, mine, other, 0x50, 0x18, 0xFFFF, 0, 0)  # ACK and PSH
        seconds = int(time)
        return _RECORD.pack(seconds, int((time - seconds) * 1e6), size, size) + ip + tcp + data
