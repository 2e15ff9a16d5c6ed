"""The messages of FUSE as bytes: functions made from the tables of ``fuse``. No I/O, no state.

* Requests: ``UNPACK`` gives numbers and strings as a flat tuple; ``Malformed`` for what is too short,
  not terminated, or too long. No memory is allocated by a length that the data does not fill.
* Replies: the body of each is made by a function below.
* Numbers are little-endian: virtiofs says so (virtio 1.2, 5.11.6), and /dev/fuse has the host's order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

from ninep.wire.fuse import (
    IN_HEADER_SIZE,
    MAJOR,
    OUT_HEADER_SIZE,
    PAGE,
    REQUESTS,
    SETXATTR_EXT,
    STATX_BASIC,
    STATX_BTIME,
    Form,
    Init,
    Malformed,
    Opcode,
)
from ninep.wire.types import Attributes, Buffer, Statfs

_IN_HEADER: Final = Struct("<IIQQIIIHH")
unpack_header: Final = _IN_HEADER.unpack_from
"""The fields of ``InHeader``, as a plain tuple."""
unpack_unique: Final = Struct("<8xQ").unpack_from
"""Of these ``unique`` alone."""
Unpack = Callable[[bytes], tuple[Any, ...]]


def compile_form(form: Form) -> Unpack:
    """The function that takes a request's bytes, header included, apart. ``Malformed``."""
    if form.data or form.strings > 1:
        return _any(form)
    return _one_string(form) if form.strings else _only_numbers(form)


def _only_numbers(form: Form) -> Unpack:
    numbers = Struct("<" + form.numbers)
    size, unpack_from = IN_HEADER_SIZE + numbers.size, numbers.unpack_from

    def unpack(frame: bytes) -> tuple[Any, ...]:
        if len(frame) != size:
            raise Malformed(f"{len(frame)} bytes instead of {size}")
        return unpack_from(frame, IN_HEADER_SIZE)

    return unpack


def _one_string(form: Form) -> Unpack:
    numbers = Struct("<" + form.numbers)
    start, unpack_from = IN_HEADER_SIZE + numbers.size, numbers.unpack_from

    def unpack(frame: bytes) -> tuple[Any, ...]:
        end = len(frame) - 1
        if end < start or frame.find(0, start) != end:
            raise Malformed("a string that does not end with the message")
        return (*unpack_from(frame, IN_HEADER_SIZE), frame[start:end])

    return unpack


def _any(form: Form) -> Unpack:
    numbers = Struct("<" + form.numbers)
    start, unpack_from = IN_HEADER_SIZE + numbers.size, numbers.unpack_from

    def unpack(frame: bytes) -> tuple[Any, ...]:
        if len(frame) < start:
            raise Malformed(f"{len(frame)} bytes; at least {start} are needed")
        fields = list(unpack_from(frame, IN_HEADER_SIZE))
        at = start
        for _ in range(form.strings):
            end = frame.find(0, at)
            if end < 0:
                raise Malformed("a string without an end")
            fields.append(frame[at:end])
            at = end + 1
        if form.data:
            fields.append(frame[at:])
        elif at != len(frame):
            raise Malformed(f"{len(frame) - at} bytes too many")
        return tuple(fields)

    return unpack


UNPACK: Final = {opcode: compile_form(form) for opcode, form in REQUESTS.items()}
UNPACK_SETXATTR_EXT: Final = compile_form(SETXATTR_EXT)


def pack_request(
    opcode: Opcode,
    unique: int,
    nodeid: int,
    *fields: Any,
    uid: int = 0,
    gid: int = 0,
    pid: int = 0,
    form: Form | None = None,
) -> bytes:
    """A request as a kernel sends it (for programs that speak to a server: tests)."""
    form = form or REQUESTS[opcode]
    count = len(fields) - form.strings - form.data
    body = Struct("<" + form.numbers).pack(*fields[:count])
    body += b"".join(text + b"\0" for text in fields[count : count + form.strings])
    if form.data:
        body += fields[-1]
    return _IN_HEADER.pack(IN_HEADER_SIZE + len(body), opcode, unique, nodeid, uid, gid, pid, 0, 0) + body


def name_of(opcode: int) -> str:
    """For people."""
    return Opcode(opcode).name if opcode in Opcode._value2member_map_ else f"request {opcode}"


def describe(frame: bytes) -> str:
    """A request in words, for people: the node, the user, and the fields in the order of its form. Strings
    and data are shown as Python shows bytes.
    """
    _, opcode, _, nodeid, uid, gid, pid, _, _ = unpack_header(frame)
    unpack = UNPACK.get(opcode)
    try:
        fields = () if unpack is None else unpack(frame)
    except Malformed as error:
        fields = (f"malformed: {error}",)
    shown = ", ".join(f"{one[:64]!r}..." if isinstance(one, bytes) and len(one) > 64 else repr(one) for one in fields)
    return f"node={nodeid} uid={uid} gid={gid} pid={pid} ({shown})"


_FORGET_ONE: Final = Struct("<QQ")


def unpack_forgets(count: int, data: bytes) -> Iterable[tuple[int, int]]:
    """The (node id, lookups) pairs of BATCH_FORGET. ``Malformed`` for fewer than ``count`` of
    them.
    """
    if len(data) < count * _FORGET_ONE.size:
        raise Malformed(f"{len(data)} bytes for {count} node ids")
    return _FORGET_ONE.iter_unpack(data[: count * _FORGET_ONE.size])


def pack_forgets(pairs: Sequence[tuple[int, int]]) -> bytes:
    """The reverse."""
    return b"".join(_FORGET_ONE.pack(*pair) for pair in pairs)


_INIT_MORE: Final = Struct("<I44x")


def unpack_init_flags(flags: int, more: bytes) -> Init:
    """All flags of INIT: ``more`` is what follows the 16 bytes that every version has."""
    if flags & Init.INIT_EXT and len(more) >= _INIT_MORE.size:
        flags |= _INIT_MORE.unpack_from(more)[0] << 32
    return Init(flags)


# -- replies -----------------------------------------------------------------------------------------------------------

_OUT_HEADER: Final = Struct("<IiQ")
unpack_out_header: Final = _OUT_HEADER.unpack_from
"""(length, error, unique): the error is minus an errno, or 0."""
_ATTR: Final = "QQQqqqIIIIIIIIII"
_ATTR_OUT: Final = Struct("<QII" + _ATTR)
_ENTRY: Final = "QQQQII" + _ATTR
_ENTRY_OUT: Final = Struct("<" + _ENTRY)
_OPEN_OUT: Final = Struct("<QII")
_CREATE_OUT: Final = Struct("<" + _ENTRY + "QII")
_WRITE_OUT: Final = Struct("<II")
_OFFSET_OUT: Final = Struct("<Q")
_STATFS_OUT: Final = Struct("<QQQQQIIII24x")
_LK_OUT: Final = Struct("<QQII")
_INIT_OUT: Final = Struct("<IIIIHHIIHHI28x")
_SX_TIME: Final = "qIi"
_STATX_OUT: Final = Struct("<QII16x" + "IIQIIIHHQQQQ" + _SX_TIME * 4 + "IIII112x")

ENTRY_OUT_SIZE: Final = _ENTRY_OUT.size
ATTR_OUT_SIZE: Final = _ATTR_OUT.size
_MAX_LINKS: Final = 0xFFFFFFFF


class Timeout(NamedTuple):
    """How long a kernel may keep an answer: seconds and nanoseconds."""

    seconds: int
    nanoseconds: int

    @classmethod
    def of(cls, seconds: float) -> Timeout:
        """A number of seconds; the most there is for an infinite one."""
        if seconds >= 1 << 62:
            return cls(1 << 62, 0)
        whole = int(seconds)
        return cls(whole, int((seconds - whole) * 1e9))


def pack_reply(unique: int, body: Buffer = b"") -> bytes:
    """A whole reply."""
    return _OUT_HEADER.pack(OUT_HEADER_SIZE + len(body), 0, unique) + body


def pack_out_header(unique: int, length: int) -> bytes:
    """The header of a reply whose body has ``length`` bytes."""
    return _OUT_HEADER.pack(OUT_HEADER_SIZE + length, 0, unique)


def pack_error(unique: int, code: int) -> bytes:
    """An error reply; ``code`` is a Linux errno, positive."""
    return _OUT_HEADER.pack(OUT_HEADER_SIZE, -code, unique)


def _attr(a: Attributes) -> tuple[int, ...]:
    return (
        a[3],
        a[9],
        a[11],
        a[12],
        a[14],
        a[16],
        a[13],
        a[15],
        a[17],
        a[4],
        min(a[7], _MAX_LINKS),
        a[5],
        a[6],
        a[8] & 0xFFFFFFFF,  # new_encode_dev(): the low 32 bits of the glibc layout
        a[10] & 0xFFFFFFFF,
        0,
    )


def pack_attr(a: Attributes, timeout: Timeout) -> bytes:
    """``struct fuse_attr_out``."""
    return _ATTR_OUT.pack(timeout[0], timeout[1], 0, *_attr(a))


def _entry(nodeid: int, a: Attributes, timeout: Timeout) -> tuple[int, ...]:
    seconds, nanoseconds = timeout
    return (nodeid, 0, seconds, seconds, nanoseconds, nanoseconds, *_attr(a))


def pack_entry(nodeid: int, a: Attributes, timeout: Timeout) -> bytes:
    """``struct fuse_entry_out``. Node ids are never used twice, so that the generation is 0."""
    return _ENTRY_OUT.pack(*_entry(nodeid, a, timeout))


def pack_open(fh: int, flags: int) -> bytes:
    """``struct fuse_open_out``."""
    return _OPEN_OUT.pack(fh, flags, 0)


def pack_create(nodeid: int, a: Attributes, timeout: Timeout, fh: int, flags: int) -> bytes:
    """``fuse_entry_out`` and ``fuse_open_out``."""
    return _CREATE_OUT.pack(*_entry(nodeid, a, timeout), fh, flags, 0)


def pack_write(size: int) -> bytes:
    """``struct fuse_write_out``; that of GETXATTR and LISTXATTR with size 0 is the same."""
    return _WRITE_OUT.pack(size, 0)


def pack_offset(offset: int) -> bytes:
    """``struct fuse_lseek_out``."""
    return _OFFSET_OUT.pack(offset)


def pack_statfs(figures: Statfs) -> bytes:
    """``struct fuse_statfs_out``."""
    _, bsize, blocks, bfree, bavail, files, ffree, _, namelen = figures
    return _STATFS_OUT.pack(blocks, bfree, bavail, files, ffree, bsize, namelen, bsize, 0)


def pack_lock(start: int, end: int, kind: int, pid: int) -> bytes:
    """``struct fuse_lk_out``; ``end`` is inclusive."""
    return _LK_OUT.pack(start, end, kind, pid & 0xFFFFFFFF)


def pack_init(minor: int, max_readahead: int, flags: Init, *, max_write: int, background: int) -> bytes:
    """``struct fuse_init_out``."""
    return _INIT_OUT.pack(
        MAJOR,
        minor,
        max_readahead,
        flags & 0xFFFFFFFF,
        background,
        background * 3 // 4,
        max_write,
        1,
        -(-max_write // PAGE),
        0,
        flags >> 32,
    )


def pack_statx(a: Attributes, timeout: Timeout, *, birth: bool) -> bytes:
    """``struct fuse_statx_out``. ``birth``: the attributes have the time of creation."""
    rdev = a[8]
    return _STATX_OUT.pack(
        timeout[0],
        timeout[1],
        0,
        STATX_BASIC | (STATX_BTIME if birth else 0),
        a[10] & 0xFFFFFFFF,
        0,
        min(a[7], _MAX_LINKS),
        a[5],
        a[6],
        a[4],
        0,
        a[3],
        a[9],
        a[11],
        0,
        *(a[12], a[13], 0),
        *(a[18], a[19], 0),
        *(a[16], a[17], 0),
        *(a[14], a[15], 0),
        rdev >> 8 & 0xFFF,
        (rdev & 0xFF) | (rdev >> 12 & 0xFFF00),
        0,
        0,
    )


# -- directories -------------------------------------------------------------------------------------------------------

_DIRENT: Final = Struct("<QQII")
_DIRENT_SIZE: Final = _DIRENT.size
_RREADDIR: Final = Struct("<BIQQBH")
_PADDING: Final = [b"\0" * (-length % 8) for length in range(8)]
NO_ENTRY: Final = bytes(ENTRY_OUT_SIZE)
"""Of READDIRPLUS, for an entry without attributes (its node id is 0): the kernel looks it up when it
needs it.
"""


def dirent_size(name: bytes, *, plus: bool) -> int:
    """The bytes that an entry takes: FUSE_DIRENT_SIZE or FUSE_DIRENTPLUS_SIZE."""
    return (ENTRY_OUT_SIZE if plus else 0) + (_DIRENT_SIZE + len(name) + 7 & ~7)


def pack_dirent(inode: int, offset: int, kind: int, name: bytes) -> bytes:
    """``struct fuse_dirent``; ``offset`` is where the next one begins."""
    return _DIRENT.pack(inode, offset, len(name), kind) + name + _PADDING[len(name) % 8]


def unpack_dirents(data: Buffer, *, plus: bool = False) -> list[tuple[int, int, int, bytes, int]]:
    """Entries of a reply, as (inode, offset, type, name, node id): for programs that speak to a
    server.
    """
    found = []
    at = 0
    while at < len(data):
        nodeid = int.from_bytes(data[at : at + 8], "little") if plus else 0
        at += ENTRY_OUT_SIZE if plus else 0
        inode, offset, length, kind = _DIRENT.unpack_from(data, at)
        start = at + _DIRENT_SIZE
        found.append((inode, offset, kind, bytes(data[start : start + length]), nodeid))
        at = start + (length + 7 & ~7)
    return found


def entries_of(data: Buffer) -> Iterable[tuple[int, int, int, bytes]]:
    """The entries in the data of an Rreaddir (``codec.pack_dirents``), as (inode, offset, type,
    name): drivers have listings in this format.
    """
    data = bytes(data)
    at, end = 0, len(data)
    unpack, size = _RREADDIR.unpack_from, _RREADDIR.size
    while at < end:
        _, _, path, cookie, kind, length = unpack(data, at)
        at += size
        yield path, cookie, kind, data[at : at + length]
        at += length
