"""Compiles the declaration of a message to the functions that pack and unpack it: see ``codec``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import fields as dataclass_fields
from typing import Any, NamedTuple, TypeAlias, get_type_hints

from ninep.wire.layouts import HEADER_SIZE, Malformed, pack_stat, unpack_stat
from ninep.wire.messages import MAX_WALK, Message
from ninep.wire.modes import Encoding
from ninep.wire.types import Attributes, Buffer, Kind, Qid, Statfs

_U16 = struct.Struct("<H")

Frame: TypeAlias = bytes | tuple[bytes, Buffer]
Unpack: TypeAlias = Callable[[Buffer, int, int], Sequence[Any]]
Pack: TypeAlias = Callable[..., Frame]


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


class _Source:
    """Source text of the two functions of one message: lines of Python, and the structs they
    use.
    """

    def __init__(self, number: int, encoding: Encoding) -> None:
        self.number = number
        self.names: dict[str, Any] = {
            "ENCODING": encoding,
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
            f"{name}, p = unpack_stat(b, p, e, ENCODING)",
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
            f"    record_{name} = pack_stat({name}, ENCODING)\n"
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


def compile_message(message: type[Message], encoding: Encoding) -> Compiled:
    """The functions of one message, in one of the two encodings."""
    source = _Source(message.number, encoding)
    hints = get_type_hints(message, include_extras=True)
    kinds: list[Kind] = []
    left_out: list[str] = []
    for field in dataclass_fields(message):  # type: ignore[arg-type]
        kind: Kind = hints[field.name].__metadata__[0]
        if kind.extended and not encoding.unix_fields:
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
