"""Packs and unpacks messages, with functions that are compiled at import from the declarations in
``messages``.

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
from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from functools import cache
from typing import Any, NamedTuple, TypeAlias, get_type_hints

from ninep.linux import NO_ID
from ninep.wire.messages import BY_NUMBER, MAX_WALK, Message
from ninep.wire.types import Attributes, Buffer, Dirent, Kind, Qid, Stat, Statfs

HEADER_SIZE = 7
IOHDRSZ = 24  # the header that Linux and QEMU subtract from msize for Tread and Twrite payloads
READ_HEADER = 11  # size[4] type[1] tag[2] count[4]
WRITE_HEADER = 23  # of Twrite: size[4] type[1] tag[2] fid[4] offset[8] count[4]
DIRENT_SIZE = 24  # qid[13] offset[8] type[1] len[2]
# type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] and four string lengths (stat(5)),
# without the size[2] in front
STAT_BASE = 47

header = struct.Struct("<IBH").unpack_from
"""(size, type, tag) of the frame at an offset: ``header(buffer, offset)``."""

io_reply = struct.Struct("<IBHI").pack
"""The first 11 bytes of Rread, and the whole of Rwrite: ``io_reply(size, type, tag, count)``."""

Frame: TypeAlias = bytes | tuple[bytes, Buffer]
Unpack: TypeAlias = Callable[[Buffer, int, int], Sequence[Any]]
Pack: TypeAlias = Callable[..., Frame]


class Malformed(ValueError):
    """The body of a message does not match its type."""


class Compiled(NamedTuple):
    """The compiled form of one declaration in one encoding."""

    message: type[Message]
    number: int
    unpack: Unpack
    pack: Pack
    fixed: Callable[..., Sequence[int]] | None
    """For bodies of numbers only: ``Struct.unpack_from``, to be used if the frame's size is exactly
    ``size`` (0.1 us less per request).
    """
    size: int
    """The size in bytes of the whole frame if ``fixed`` is set, else 0."""
    payload: bool
    """``pack`` returns (head, payload)."""
    build: Callable[[Sequence[Any]], Message]
    """The message object for a result of ``unpack``. Fields that this encoding lacks get their
    defaults.
    """
    pack_message: Callable[[int, Message], Frame]
    """``pack`` with the fields of a message object."""


# -- records of more than one field ------------------------------------------------------------------------------------

_STAT_FIXED = struct.Struct("<HHIBIQIIIQ")  # its own size, then type .. length
_U16 = struct.Struct("<H")
_IDS = struct.Struct("<III")
_NO_IDS = (NO_ID,) * 3


def pack_stat(stat: Stat, extended: bool) -> bytes:
    """A stat record with its ``size[2]`` in front, as in the data of a directory (stat(5))."""
    strings = [stat.name, stat.uid, stat.gid, stat.muid]
    if extended:
        strings.append(stat.extension)
    body = b"".join(_U16.pack(len(text)) + text for text in strings)
    if extended:
        body += _IDS.pack(stat.n_uid, stat.n_gid, stat.n_muid)
    size = _STAT_FIXED.size - 2 + len(body)
    return _STAT_FIXED.pack(size, stat.type, stat.dev, *stat.qid, stat.mode, stat.atime, stat.mtime, stat.length) + body


def unpack_stat(buffer: Buffer, start: int, end: int, extended: bool) -> tuple[Stat, int]:
    """The record at ``start``, and the offset of its end. ``Malformed`` if it is not a whole
    record.
    """
    try:
        size, kind, dev, qtype, version, path, mode, atime, mtime, length = _STAT_FIXED.unpack_from(buffer, start)
        stop = start + 2 + size
        if stop > end:
            raise Malformed("stat record over the end")
        position = start + _STAT_FIXED.size
        strings = []
        for _ in range(5 if extended else 4):
            (count,) = _U16.unpack_from(buffer, position)
            strings.append(bytes(buffer[position + 2 : position + 2 + count]))
            position += 2 + count
        ids = _IDS.unpack_from(buffer, position) if extended else ()
    except struct.error as error:
        raise Malformed(f"stat record: {error}") from None
    if position + len(ids) * 4 != stop:
        raise Malformed("stat record: wrong size")
    qid = Qid(qtype, version, path)
    if not extended:
        strings.append(b"")
    return Stat._make((kind, dev, qid, mode, atime, mtime, length, *strings, *(ids or _NO_IDS))), stop


_DIRENT = struct.Struct("<BIQQBH").pack
LONG_NAMES = "left out of listings: names of more than 255 bytes, which Linux's client cannot take, such as one of %d bytes that begins with %r"
"""Log message, written once per export."""


def pack_dirents(entries: Sequence[Dirent], room: int, longest: int = 0xFFFF) -> tuple[list[bytes], int]:
    """Pack as many whole entries as fit in ``room`` bytes. Returns the buffers and the number of
    entries consumed.

    An entry whose name is longer than ``longest`` bytes is consumed and left out. The server passes
    NAME_MAX: Linux's client has a buffer of 256 bytes for a name, and discards the rest of a reply
    after a longer one (fs/9p/vfs_dir.c, net/9p/protocol.c p9dirent_read).
    """
    pieces: list[bytes] = []
    add = pieces.append
    pack = _DIRENT
    taken = 0
    for qid_type, version, path, cookie, kind, name in entries:
        length = len(name)
        if length > longest:
            taken += 1
            continue
        room -= 24 + length
        if room < 0:
            break
        add(pack(qid_type, version, path, cookie, kind, length))
        add(name)
        taken += 1
    return pieces, taken


_DIRENT_HEAD = struct.Struct("<BIQQBH").unpack_from


def unpack_dirents(data: Buffer) -> list[Dirent]:
    """The entries of an Rreaddir. ``Malformed`` if the last one is incomplete."""
    data = bytes(data)
    entries = []
    position, end = 0, len(data)
    while position < end:
        try:
            *head, length = _DIRENT_HEAD(data, position)
        except struct.error:
            raise Malformed("directory entry cut off") from None
        position += DIRENT_SIZE + length
        if position > end:
            raise Malformed("directory entry cut off")
        entries.append(Dirent._make((*head, data[position - length : position])))
    return entries


# -- the compiler ------------------------------------------------------------------------------------------------------


class _Source:
    """Source text of the two functions of one message: lines of Python, and the structs they
    use.
    """

    def __init__(self, number: int, *, extended: bool) -> None:
        self.number = number
        self.extended = extended
        self.names: dict[str, Any] = {
            "U16": _U16.unpack_from,
            "P16": _U16.pack,
            "Malformed": Malformed,
            "Qid": Qid,
            "Attributes": Attributes,
            "Statfs": Statfs,
            "struct_error": struct.error,
            "pack_stat": pack_stat,
            "unpack_stat": unpack_stat,
        }
        self.read: list[str] = []
        self.results: list[str] = []
        self.arguments: list[str] = []
        self.pieces: list[str] = []  # expressions, joined by + into the frame
        self.sizes: list[str] = []  # expressions for the lengths of variable parts
        self.fixed_size = HEADER_SIZE
        self.run_codes = ""
        self.run_targets: list[str] = []
        self.run_values: list[str] = []
        self.head_done = False
        self.payload = ""

    def number_field(self, name: str, kind: Kind) -> None:
        self.run_codes += kind.code
        self.run_targets.append(name)
        self.run_values.append(name)
        self.arguments.append(name)
        self.results.append(name)

    def record_field(self, name: str, kind: Kind, cls: type) -> None:
        parts = [f"{name}_{i}" for i in range(len(kind.code))]
        self.run_codes += kind.code
        self.run_targets += parts
        self.run_values.append(f"*{name}")
        self.arguments.append(name)
        self.results.append(f"{cls.__name__}({', '.join(parts)})")

    def flush(self) -> None:
        """End a run of fixed-size fields: one struct for unpacking, one for packing (the first run
        includes the header).
        """
        code = self.run_codes
        if code:
            reader = struct.Struct("<" + code)
            name = f"R{len(self.names)}"
            self.names[name] = reader.unpack_from
            self.read.append(f"{', '.join(self.run_targets)}, = {name}(b, p); p += {reader.size}")
            self.fixed_size += reader.size
        if not self.head_done:
            name = f"W{len(self.names)}"
            self.names[name] = struct.Struct("<IBH" + code).pack
            values = "".join(f", {value}" for value in self.run_values)
            self.pieces.append(f"{name}(SIZE, {self.number}, tag{values})")
            self.head_done = True
        elif code:
            name = f"W{len(self.names)}"
            self.names[name] = struct.Struct("<" + code).pack
            self.pieces.append(f"{name}({', '.join(self.run_values)})")
        self.run_codes = ""
        self.run_targets = []
        self.run_values = []

    def string_field(self, name: str, kind: Kind) -> None:
        self.flush()
        lines = [f"n, = U16(b, p); p += 2 + n; {name} = b[p - n:p]"]
        if kind.optional:
            lines = [f"{name} = b''", "if p != e:", "    " + lines[0]]
        self.read += lines
        self.fixed_size += 2
        self.sizes.append(f"len({name})")
        self.pieces.append(f"P16(len({name})) + {name}")
        self.arguments.append(name)
        self.results.append(name)

    def optional_number(self, name: str, kind: Kind) -> None:
        self.flush()
        reader = struct.Struct("<" + kind.code)
        self.names["O" + name] = reader.unpack_from
        self.names["OP" + name] = reader.pack
        self.read += [
            f"{name} = 0",
            "if p != e:",
            f"    {name}, = O{name}(b, p); p += {reader.size}",
        ]
        self.fixed_size += reader.size
        self.pieces.append(f"OP{name}({name})")
        self.arguments.append(name)
        self.results.append(name)

    def strings_field(self, name: str) -> None:
        self.flush()
        self.read += [
            "count, = U16(b, p); p += 2",
            f"if count > {MAX_WALK}: raise Malformed('more than {MAX_WALK} names')",
            f"{name} = []",
            "for _ in range(count):",
            f"    n, = U16(b, p); p += 2 + n; {name}.append(b[p - n:p])",
        ]
        self.fixed_size += 2
        self.sizes.append(f"sum([2 + len(x) for x in {name}])")
        # a longer list is an IndexError
        self.names["COUNTS"] = tuple(_U16.pack(i) for i in range(MAX_WALK + 1))
        self.pieces.append(f"COUNTS[len({name})] + b''.join([P16(len(x)) + x for x in {name}])")
        self.arguments.append(name)
        self.results.append(name)

    def qids_field(self, name: str) -> None:
        self.flush()
        one = struct.Struct("<BIQ")
        self.names |= {"RQ": one.unpack_from, "WQ": one.pack}
        self.read += [
            "count, = U16(b, p); p += 2",
            f"if p + 13 * count != e: raise Malformed('{name}: wrong count')",
            f"{name} = [Qid(*RQ(b, p + 13 * i)) for i in range(count)]; p = e",
        ]
        self.fixed_size += 2
        self.sizes.append(f"13 * len({name})")
        self.pieces.append(f"P16(len({name})) + b''.join([WQ(*x) for x in {name}])")
        self.arguments.append(name)
        self.results.append(name)

    def data_field(self, name: str) -> None:
        self.run_codes += "I"
        self.run_targets.append("count")
        self.run_values.append(f"len({name})")
        self.flush()
        self.read += [f"if p + count != e: raise Malformed('{name}: wrong count')", f"{name} = b[p:e]; p = e"]
        self.sizes.append(f"len({name})")
        self.payload = name
        self.arguments.append(name)
        self.results.append(name)

    def stat_field(self, name: str) -> None:
        self.flush()
        self.read += [
            "n, = U16(b, p); p += 2",
            "if p + n != e: raise Malformed('stat: wrong size')",
            f"{name}, p = unpack_stat(b, p, e, {self.extended})",
        ]
        self.fixed_size += 2
        self.sizes.append(f"len(record_{name})")
        self.pieces.append(f"P16(len(record_{name})) + record_{name}")
        self.arguments.append(name)
        self.results.append(name)

    def unpack_source(self) -> str:
        body = "\n".join("        " + line for line in self.read) or "        pass"
        results = ", ".join(self.results) + ("," if self.results else "")
        return (
            f"def unpack(b, p, e):\n    try:\n{body}\n    except struct_error as error:\n"
            f"        raise Malformed(str(error)) from None\n"
            f"    if p != e: raise Malformed('body is %d bytes off its size' % (e - p))\n    return ({results})\n"
        )

    def pack_source(self) -> str:
        records = "".join(
            f"    record_{name} = pack_stat({name}, {self.extended})\n"
            for name in self.arguments
            if f"len(record_{name})" in self.sizes
        )
        size = " + ".join([str(self.fixed_size), *self.sizes])
        frame = " + ".join(self.pieces).replace("SIZE", size)
        result = f"({frame}, {self.payload})" if self.payload else frame
        return f"def pack({', '.join(['tag', *self.arguments])}):\n{records}    return {result}\n"

    def object_source(self, left_out: Sequence[str]) -> str:
        """Conversion from and to message objects. A ``getattr`` for each field would cost the
        client 30 us per request.
        """
        values = [f"{name}=v[{i}]" for i, name in enumerate(self.arguments)] + [f"{name}=D_{name}" for name in left_out]
        wanted = "".join(f", m.{name}" for name in self.arguments)
        return (
            f"def build(v):\n    return Message({', '.join(values) if left_out else '*v'})\n"
            f"def pack_message(tag, m):\n    return pack(tag{wanted})\n"
        )


_RECORDS: dict[str, type] = {"BIQ": Qid, "II" + "Q" * 6 + "I": Statfs}


def _compile(message: type[Message], *, extended: bool) -> Compiled:
    source = _Source(message.number, extended=extended)
    hints = get_type_hints(message, include_extras=True)
    kinds: list[Kind] = []
    left_out: list[str] = []
    for field in dataclass_fields(message):  # type: ignore[arg-type]
        kind: Kind = hints[field.name].__metadata__[0]
        if kind.extended and not extended:
            left_out.append(field.name)
            source.names[f"D_{field.name}"] = field.default
            continue
        kinds.append(kind)
        match kind.form:
            case "number" if kind.optional:
                source.optional_number(field.name, kind)
            case "number":
                source.number_field(field.name, kind)
            case "record":
                source.record_field(field.name, kind, _RECORDS.get(kind.code, Attributes))
            case "string":
                source.string_field(field.name, kind)
            case form:
                getattr(source, form + "_field")(field.name)
    source.flush()
    names = source.names | {"Message": message}
    text = source.unpack_source() + source.pack_source() + source.object_source(left_out)
    exec(text, names)  # noqa: S102 - the source text comes from the table in this package, at import
    plain = all(kind.form == "number" and not kind.optional for kind in kinds)
    layout = struct.Struct("<" + "".join(kind.code for kind in kinds)) if plain else None
    return Compiled(
        message,
        message.number,
        names["unpack"],
        names["pack"],
        layout.unpack_from if layout else None,
        HEADER_SIZE + layout.size if layout else 0,
        bool(source.payload),
        names["build"],
        names["pack_message"],
    )


class Codec:
    """All messages in one encoding. ``table[number]`` is the compiled form of a message type."""

    def __init__(self, *, extended: bool) -> None:
        self.extended = extended
        self.table = {number: _compile(cls, extended=extended) for number, cls in BY_NUMBER.items()}

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
def codec(*, extended: bool) -> Codec:
    """The codec of plain 9P2000 (``extended=False``) or of 9P2000.u and .L."""
    return Codec(extended=extended)
