"""The messages of vhost-user (QEMU, docs/interop/vhost-user.rst): requests, payloads and flags as
one table.

Rules

* Bytes and descriptors in, messages out; fields in, bytes out. No sockets.
* A message may arrive in pieces. ``Receiver.wanted`` is how much may be read: never beyond the end
  of a message, so that descriptors (SCM_RIGHTS) belong to the message that is being read.
* Descriptors come with a message's first byte. ``Receiver`` owns them until the message is whole;
  the taker of the message owns them from then on. With a ``ProtocolError`` all are closed.
* Numbers have the byte order of the machine, which is little-endian here.
* A size that a request cannot have is refused from the header alone, before its payload is read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

HEADER: Final = struct.Struct("<III")  # request, flags, size of the payload
HEADER_SIZE: Final = HEADER.size

VERSION: Final = 1
VERSION_MASK: Final = 3
REPLY: Final = 1 << 2
NEED_REPLY: Final = 1 << 3

MAX_REGIONS: Final = 8  # VHOST_MEMORY_BASELINE_NREGIONS, of one SET_MEM_TABLE
MAX_CONFIG: Final = 256  # VHOST_USER_MAX_CONFIG_SIZE
MAX_DESCRIPTORS: Final = MAX_REGIONS
"""The most that come with one message. Give recvmsg(2) room for so many: MSG_CTRUNC is an error."""

VRING_INDEX_MASK: Final = 0xFF
VRING_NOFD: Final = 1 << 8
"""In the payload of SET_VRING_KICK, CALL and ERR: no descriptor comes with it."""


class ProtocolError(Exception):
    """The front end broke the protocol, and the words say how. Close the socket."""


class ProtocolFeature(IntEnum):
    """Bits of GET_PROTOCOL_FEATURES (VHOST_USER_PROTOCOL_F_*) that are used here."""

    MQ = 0
    REPLY_ACK = 3
    CONFIG = 9
    INFLIGHT_SHMFD = 12
    RESET_DEVICE = 13
    CONFIGURE_MEM_SLOTS = 15
    STATUS = 16


class Request(IntEnum):
    """Requests of the front end (VHOST_USER_*) that are answered here."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    GET_CONFIG = 24
    SET_CONFIG = 25
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40


# -- payloads ----------------------------------------------------------------------------------------------------------


class VringState(NamedTuple):
    """A vring state description."""

    ring: int
    number: int


class VringAddresses(NamedTuple):
    """A vring address description: user addresses."""

    ring: int
    flags: int
    descriptor: int
    used: int
    available: int
    log: int


class Region(NamedTuple):
    """A region of guest memory, in bytes."""

    guest: int
    size: int
    user: int
    offset: int
    """Where it begins in its file."""


class Config(NamedTuple):
    """A part of the config space."""

    offset: int
    size: int
    flags: int
    data: bytes


class Inflight(NamedTuple):
    """An in-flight description."""

    size: int
    offset: int
    queues: int
    queue_size: int
    padding: bytes = bytes(4)
    """None in the specification; C programs have the 4 bytes that their structure ends with, and
    want as many back.
    """


Body = int | VringState | VringAddresses | tuple[Region, ...] | Region | Config | Inflight | None
"""What a payload says. None: there is none."""

_U64: Final = struct.Struct("<Q")
_STATE: Final = struct.Struct("<II")
_ADDRESSES: Final = struct.Struct("<IIQQQQ")
_COUNT: Final = struct.Struct("<II")  # number of regions, padding
_REGION: Final = struct.Struct("<QQQQ")
_ONE_REGION: Final = struct.Struct("<8xQQQQ")
_CONFIG: Final = struct.Struct("<III")
_INFLIGHT: Final = struct.Struct("<QQHH")


def _unpack_regions(payload: bytes) -> tuple[Region, ...]:
    count, _ = _COUNT.unpack_from(payload)
    if len(payload) != _COUNT.size + count * _REGION.size:
        raise ProtocolError(f"a table of {count} regions in {len(payload)} bytes")
    return tuple(map(Region._make, _REGION.iter_unpack(payload[_COUNT.size :])))


def _unpack_config(payload: bytes) -> Config:
    offset, size, flags = _CONFIG.unpack_from(payload)
    if len(payload) != _CONFIG.size + size:
        raise ProtocolError(f"{size} bytes of config space in {len(payload)}")
    return Config(offset, size, flags, payload[_CONFIG.size :])


class Payload(NamedTuple):
    """A kind of payload: which sizes it may have, and its fields."""

    least: int
    most: int
    unpack: Callable[[bytes], Body]
    """For bytes of such a size."""
    pack: Callable[[Any], bytes]


NOTHING: Final = Payload(0, 0, lambda _: None, lambda _: b"")
U64: Final = Payload(8, 8, lambda data: _U64.unpack(data)[0], _U64.pack)
STATE: Final = Payload(8, 8, lambda data: VringState(*_STATE.unpack(data)), lambda body: _STATE.pack(*body))
ADDRESSES: Final = Payload(
    40, 40, lambda data: VringAddresses(*_ADDRESSES.unpack(data)), lambda body: _ADDRESSES.pack(*body)
)
REGIONS: Final = Payload(
    _COUNT.size,
    _COUNT.size + MAX_REGIONS * _REGION.size,
    _unpack_regions,
    lambda body: _COUNT.pack(len(body), 0) + b"".join(_REGION.pack(*one) for one in body),
)
REGION: Final = Payload(40, 40, lambda data: Region(*_ONE_REGION.unpack(data)), lambda body: _ONE_REGION.pack(*body))
CONFIG: Final = Payload(
    _CONFIG.size, _CONFIG.size + MAX_CONFIG, _unpack_config, lambda body: _CONFIG.pack(*body[:3]) + body.data
)
INFLIGHT: Final = Payload(
    _INFLIGHT.size,
    _INFLIGHT.size + 4,
    lambda data: Inflight._make((*_INFLIGHT.unpack_from(data), data[_INFLIGHT.size :])),
    lambda body: _INFLIGHT.pack(*body[:4]) + body.padding,
)


class Row(NamedTuple):
    """What is known of a request."""

    payload: Payload
    answer: Payload | None = None
    """None: answered only if the front end asks for it (NEED_REPLY)."""
    descriptors: tuple[int, int] = (0, 0)
    """The fewest and the most that come with it."""
    feature: ProtocolFeature | None = None
    """It is legal only when this one was agreed on."""


TABLE: Final[dict[Request, Row]] = {
    Request.GET_FEATURES: Row(NOTHING, U64),
    Request.SET_FEATURES: Row(U64),
    Request.SET_OWNER: Row(NOTHING),
    Request.RESET_OWNER: Row(NOTHING),
    Request.SET_MEM_TABLE: Row(REGIONS, descriptors=(0, MAX_REGIONS)),
    Request.SET_VRING_NUM: Row(STATE),
    Request.SET_VRING_ADDR: Row(ADDRESSES),
    Request.SET_VRING_BASE: Row(STATE),
    Request.GET_VRING_BASE: Row(STATE, STATE),
    Request.SET_VRING_KICK: Row(U64, descriptors=(0, 1)),
    Request.SET_VRING_CALL: Row(U64, descriptors=(0, 1)),
    Request.SET_VRING_ERR: Row(U64, descriptors=(0, 1)),
    Request.GET_PROTOCOL_FEATURES: Row(NOTHING, U64),
    Request.SET_PROTOCOL_FEATURES: Row(U64),
    Request.GET_QUEUE_NUM: Row(NOTHING, U64, feature=ProtocolFeature.MQ),
    Request.SET_VRING_ENABLE: Row(STATE),
    Request.GET_CONFIG: Row(CONFIG, CONFIG, feature=ProtocolFeature.CONFIG),
    Request.SET_CONFIG: Row(CONFIG, feature=ProtocolFeature.CONFIG),
    Request.GET_INFLIGHT_FD: Row(INFLIGHT, INFLIGHT, feature=ProtocolFeature.INFLIGHT_SHMFD),
    Request.SET_INFLIGHT_FD: Row(INFLIGHT, descriptors=(1, 1), feature=ProtocolFeature.INFLIGHT_SHMFD),
    Request.RESET_DEVICE: Row(NOTHING, feature=ProtocolFeature.RESET_DEVICE),
    Request.GET_MAX_MEM_SLOTS: Row(NOTHING, U64, feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
    Request.ADD_MEM_REG: Row(REGION, descriptors=(1, 1), feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
    # "For compatibility ... the back-end MAY accept messages with one file descriptor."
    Request.REM_MEM_REG: Row(REGION, descriptors=(0, 1), feature=ProtocolFeature.CONFIGURE_MEM_SLOTS),
    Request.SET_STATUS: Row(U64, feature=ProtocolFeature.STATUS),
    Request.GET_STATUS: Row(NOTHING, U64, feature=ProtocolFeature.STATUS),
}


class Message(NamedTuple):
    """A request of the front end."""

    request: Request
    flags: int
    body: Any
    """A ``Body``, of the kind that the request's row says."""

    @property
    def need_reply(self) -> bool:
        """Whether it is to be acknowledged, if REPLY_ACK was agreed on."""
        return bool(self.flags & NEED_REPLY)


class Answer(NamedTuple):
    """What goes back to the front end, as one message."""

    data: bytes
    descriptors: tuple[int, ...] = ()
    """To be sent with the first byte of ``data``, and then closed."""


def pack(request: Request, body: Body = None, flags: int = VERSION, payload: Payload | None = None) -> bytes:
    """A request; an answer if ``payload`` is that of an answer and the flags say so."""
    packed = (payload or TABLE[request].payload).pack(body)
    return HEADER.pack(request, flags, len(packed)) + packed


def pack_answer(request: Request, body: Body) -> bytes:
    """The answer to a request; a number for one that is only acknowledged (0: done)."""
    return pack(request, body, VERSION | REPLY, TABLE[request].answer or U64)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors."""
    for descriptor in descriptors:
        os.close(descriptor)


class Receiver:
    """Puts messages together from what a stream socket gives."""

    __slots__ = ("_data", "_descriptors", "_row", "_size")

    def __init__(self) -> None:
        self._data = bytearray()
        self._descriptors: list[int] = []
        self._row: Row | None = None
        self._size = HEADER_SIZE

    @property
    def wanted(self) -> int:
        """How many bytes to read next, at most: those that are missing of the header, or of the
        payload. At least 1.
        """
        return self._size - len(self._data)

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> tuple[Message, list[int]] | None:
        """Take what was received, at most ``wanted`` bytes. A whole message and its descriptors,
        which are the caller's then; or None. ``ProtocolError``: all descriptors are closed.
        ``ValueError`` for more bytes than were wanted.
        """
        if len(data) > self.wanted:
            raise ValueError(f"{len(data)} bytes, where {self.wanted} are wanted")
        late = bool(descriptors and (self._data or not data))
        self._descriptors += descriptors
        self._data += data
        try:
            return self._next(late=late)
        except ProtocolError:
            self.close()
            raise

    def close(self) -> None:
        """Forget a message that is not whole."""
        descriptors, self._descriptors = self._descriptors, []
        self._begin()
        close_all(descriptors)

    def _begin(self) -> None:
        self._data = bytearray()
        self._row = None
        self._size = HEADER_SIZE

    def _next(self, *, late: bool) -> tuple[Message, list[int]] | None:
        if late:
            raise ProtocolError("descriptors that did not come with the first byte of a message")
        if self._row is None and len(self._data) >= HEADER_SIZE:
            self._row, size = self._header()
            self._size += size
        if self._row is None or len(self._data) < self._size:
            return None
        request, flags, _ = HEADER.unpack_from(self._data)
        message = Message(Request(request), flags, self._row.payload.unpack(bytes(self._data[HEADER_SIZE:])))
        taken, self._descriptors = self._descriptors, []
        self._begin()
        return message, taken

    def _header(self) -> tuple[Row, int]:
        number, flags, size = HEADER.unpack_from(self._data)
        if flags & VERSION_MASK != VERSION or flags & REPLY:
            raise ProtocolError(f"a message with flags {flags:#x}: no request of version {VERSION}")
        try:
            request = Request(number)
        except ValueError:
            raise ProtocolError(f"request {number}, which is none that was offered") from None
        row = TABLE[request]
        if not row.payload.least <= size <= row.payload.most:
            raise ProtocolError(f"{request.name} with {size} bytes")
        fewest, most = row.descriptors
        if not fewest <= len(self._descriptors) <= most:
            raise ProtocolError(f"{request.name} with {len(self._descriptors)} descriptors")
        return row, size
