"""Conversations as bytes: the concatenated frames of a client, and their mutation.

A frame of type 0 is never sent: its tag is a *command* for the harness (``WORDS``): run threads, or
let the client read. Bytes after the last whole frame are sent unchanged.

``mutate`` uses the message types: most results are well-formed and refer to existing fids, tags and
files; sometimes a frame is cut, extended or overwritten. It does not consider what is legal.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

from ninep.wire import messages as m
from ninep.wire.codec import Malformed, codec
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Qid, Stat

WORD = 0
WORDS = ("run oldest", "run newest", "run all", "turn", "full", "drained", "glue", "hang up", "fail")
MOST_PIECES = 48

DIALECTS = (b"9P2000.L", b"9P2000.u", b"9P2000", b"9P2000.x", b"9P1999", b"")
EXPORTS = (
    b"",
    b"passthrough",
    b"none",
    b"mapped-xattr",
    b"mapped-file",
    b"read-only",
    b"waits",
    b"misses",
    b"/",
    b"../canary",
    b"mapped-owner",
)
PLAIN_NAMES = (b"dir", b"file", b"link", b"pipe", b"a", b"b")
ODD_NAMES = (
    b"..", b".", b"", b"/", b"a/b", b"../canary", b"\0", b"a\0b", b"x" * 255, b"y" * 256, b"\xff\xfe", b".virtfs_metadata",
    b".virtfs_metadata_root", b".VIRTFS_METADATA", b".virtfs_metadata_new.1.1", b"VIRTFS~1", b"\x1b[2J",
)  # fmt: skip
TARGETS = (b"file", b"..", b"../canary/secret", b"/etc/passwd", b"", b"dir/a", b"z" * 4095, b"a\0b")
ATTRIBUTES = (b"", b"user.a", b"user.b", b"user.virtfs.uid", b"user.virtfs.mode", b"security.capability", b"trusted.x",
              b"system.posix_acl_access", b"user." + b"n" * 250, b"user.", b"a\0b")  # fmt: skip
NUMBERS = (0, 1, 2, 3, 7, 24, 0xFF, 0x1FF, 0x200, 4096, 8192, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF,
           1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 2, (1 << 64) - 1)  # fmt: skip
MODES = (0o644, 0o755, 0o6755, 0, 0o7777, 0o100644, 0o120777, 0o010644, 0o020644, 0o060644, 0o140644, 0o040755, 0x80000000 | 0o755,
         0x02000000, 0x01000000, 0x00800000, 0x00200000, 0x00100000, 0xFFFFFFFF)  # fmt: skip
FLAGS = (
    0,
    1,
    2,
    3,
    0x10,
    0x12,
    0x40,
    0o100,
    0o102,
    0o300,
    0o1002,
    0o2002,
    0o200000,
    0o20200002,
    0o10000,
    0o4000,
    0xFFFFFFFF,
)
VALID = (1, 2, 4, 8, 16, 32, 128, 256, 64, 0x1FF, 8 | 32 | 256, 6, 0xFFFFFFFF)
FID_FIELDS = {"fid", "newfid", "dfid", "dirfid", "olddirfid", "newdirfid", "afid"}
KEEP = Stat(0xFFFF, 0xFFFFFFFF, Qid(0xFF, 0xFFFFFFFF, (1 << 64) - 1), *[0xFFFFFFFF] * 3, (1 << 64) - 1)
CHANGES: tuple[dict[str, Any], ...] = (
    {}, {"name": b"a"}, {"name": b"b"}, {"name": b"../x"}, {"mode": 0o600}, {"mode": 0x80000000}, {"length": 0}, {"length": 1 << 40},
    {"mtime": 5}, {"atime": 5, "mtime": 5}, {"n_uid": 1}, {"n_gid": 2}, {"length": 3, "name": b"b", "mode": 0o640}, {"dev": 0}, {"uid": b"x"},
)  # fmt: skip

Chance = random.Random
Maker = Callable[[Chance], Any]


def _fid(chance: Chance) -> int:
    return chance.randrange(5) if chance.random() < 0.97 else chance.choice((m.NOFID, 5, 1 << 31))


def _name(chance: Chance) -> bytes:
    return chance.choice(PLAIN_NAMES if chance.random() < 0.85 else ODD_NAMES)


def _names(chance: Chance) -> list[bytes]:
    count = chance.choice((0, 1, 1, 1, 2, 2, 3, 16))
    return [_name(chance) if chance.random() < 0.8 else b".." for _ in range(count)]


def _number(chance: Chance) -> int:
    return chance.choice(NUMBERS) if chance.random() < 0.7 else chance.randrange(100)


def _small(chance: Chance) -> int:
    """Offsets and counts that are close enough to overlap."""
    return chance.randrange(64) if chance.random() < 0.8 else chance.choice(NUMBERS)


def _of(*values: Any) -> Maker:
    return lambda chance: chance.choice(values)


BY_FIELD: dict[str, Maker] = {
    **dict.fromkeys(FID_FIELDS, _fid),
    "name": _name, "oldname": _name, "newname": _name, "wnames": _names,
    "aname": _of(*EXPORTS), "uname": _of(b"root", b"nobody", b"", b"\xff"), "version": _of(*DIALECTS),
    "msize": _of(8192, 4096, 4095, 65536, 0, 0xFFFFFFFF), "oldtag": lambda chance: chance.randrange(12),
    "client_id": _of(b"c", b"d", b""), "proc_id": _of(0, 1, 2), "target": _of(*TARGETS),
    "extension": _of(b"", b"1", b"2", b"9", b"c 1 3", b"b 8 0", b"c", *TARGETS), "perm": _of(*MODES), "mode": _of(*MODES),
    "flags": _of(*FLAGS), "valid": _of(*VALID), "offset": _small, "count": _small, "start": _small, "length": _small,
    "data": lambda chance: chance.randbytes(chance.choice((0, 1, 5, 44, 300))), "size": _small,
    "n_uname": _of(0, 1, 1000, m.NOFID), "uid": _of(0, 1, 1000, m.NOFID), "gid": _of(0, 1, 1000, m.NOFID), "type": _of(0, 1, 2, 3, 255),
    "stat": lambda chance: KEEP._replace(**chance.choice(CHANGES)), "datasync": _of(0, 1),
}  # fmt: skip
BY_MESSAGE: dict[tuple[str, str], Maker] = {
    ("Txattrwalk", "name"): _of(*ATTRIBUTES), ("Txattrcreate", "name"): _of(*ATTRIBUTES),
    ("Txattrcreate", "size"): _of(0, 1, 5, 44, 65536, 65537, 1 << 40), ("Txattrcreate", "flags"): _of(0, 1, 2, 3, 9),
    ("Tattach", "afid"): lambda chance: m.NOFID if chance.random() < 0.95 else 3, ("Topen", "mode"): _of(0, 1, 2, 3, 0x10, 0x12, 0x40, 0x42, 255),
    ("Tcreate", "mode"): _of(0, 1, 2, 0x12, 0x40, 0x42, 255), ("Tunlinkat", "flags"): _of(0, 0x200, 1),
    ("Treaddir", "count"): _of(4096, 100, 24, 8192, 0, 0xFFFFFFFF), ("Treaddir", "offset"): _of(0, 0, 1, 2, 3, (1 << 63) - 1),
    ("Tread", "count"): _of(0, 1, 100, 4096, 0xFFFFFFFF), ("Tsetattr", "mode"): _of(0o600, 0o6755, 0xFFFFFFFF),
}  # fmt: skip
REQUESTS = [cls for cls in m.BY_NUMBER.values() if cls.__name__.startswith("T")]
OFTEN = [
    m.Twalk,
    m.Twalk,
    m.Tlopen,
    m.Tlcreate,
    m.Tread,
    m.Twrite,
    m.Tclunk,
    m.Treaddir,
    m.Topen,
    m.Tcreate,
    m.Tflush,
    m.Txattrwalk,
]


def _makers(cls: type[m.Message]) -> list[Maker]:
    return [BY_MESSAGE.get((cls.__name__, field.name)) or BY_FIELD.get(field.name, _number) for field in fields(cls)]  # type: ignore[arg-type]


MAKERS = {cls: _makers(cls) for cls in REQUESTS}
HINTS = {cls: get_type_hints(cls, include_extras=True) for cls in REQUESTS}


def cut(data: bytes) -> list[bytes]:
    """The whole frames at the front, and the rest."""
    pieces = []
    start = 0
    while len(data) - start >= 7:
        size = int.from_bytes(data[start : start + 4], "little")
        if not 7 <= size <= len(data) - start:
            break
        pieces.append(data[start : start + size])
        start += size
    return [*pieces, data[start:]] if start < len(data) else pieces


def word(text: str, number: int = 0) -> bytes:
    """A command for the harness, with the number of the call that is to fail, if it is that one."""
    return bytes([7, 0, 0, 0, WORD, WORDS.index(text), number])


def frame(number: int, tag: int, body: bytes) -> bytes:
    """A frame of any type."""
    return (7 + len(body)).to_bytes(4, "little") + bytes([number]) + tag.to_bytes(2, "little") + body


def conversation_of(*messages: m.Message | str | bytes, extended: bool = True) -> bytes:
    """A conversation of messages and commands; tags count from 1."""
    table = codec(EXTENDED if extended else PLAIN)
    parts = []
    for tag, message in enumerate(messages, 1):
        if isinstance(message, str):
            parts.append(word(message))
        else:
            parts.append(message if isinstance(message, bytes) else b"".join(table.encode(tag, message)))
    return b"".join(parts)


def make(chance: Chance, cls: type[m.Message]) -> m.Message:
    """Any message of a type."""
    return cls(*[maker(chance) for maker in MAKERS[cls]])


def encode(message: m.Message, tag: int, *, extended: bool) -> bytes | None:
    """A frame; None if a field does not fit."""
    try:
        return b"".join(codec(EXTENDED if extended else PLAIN).encode(tag, message))
    except Malformed:
        return None


def new(chance: Chance, extended: bool) -> bytes | None:
    """A new frame."""
    if chance.random() < 0.15:
        return word(chance.choice(WORDS), chance.randrange(256))
    cls = chance.choice(OFTEN if chance.random() < 0.5 else REQUESTS)
    return encode(make(chance, cls), chance.randrange(1, 12), extended=extended)


def altered(chance: Chance, piece: bytes, extended: bool) -> bytes | None:
    """A message with one field changed; other frames get other bytes."""
    if len(piece) < 7 or chance.random() < 0.1:
        return damaged(chance, piece)
    if piece[4] == WORD:
        return word(chance.choice(WORDS), chance.randrange(256))
    try:
        tag, message = codec(EXTENDED if extended else PLAIN).decode(piece)
    except Malformed:
        return damaged(chance, piece)
    cls = type(message)
    if cls not in MAKERS:
        return damaged(chance, piece)
    which = chance.randrange(len(MAKERS[cls]) + 1)
    if which == len(MAKERS[cls]):
        tag = chance.randrange(1, 12)
    else:
        setattr(message, fields(cls)[which].name, MAKERS[cls][which](chance))  # type: ignore[arg-type]
    return encode(message, tag, extended=extended)


def damaged(chance: Chance, piece: bytes) -> bytes:
    """A damaged frame: overwritten, cut or extended; its size is correct in most cases."""
    body = bytearray(piece)
    for _ in range(chance.randrange(1, 4)):
        where = chance.randrange(len(body) + 1)
        match chance.randrange(3):
            case 0 if where < len(body):
                body[where] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 1:
                del body[where : where + chance.randrange(1, 9)]
            case _:
                body[where:where] = chance.randbytes(chance.randrange(1, 9))
    if chance.random() < 0.8 and len(body) >= 7:
        body[:4] = len(body).to_bytes(4, "little")
    return bytes(body)


def extended_at(pieces: list[bytes], end: int) -> bool:
    """Whether the session at piece ``end`` uses the extended encoding."""
    for piece in reversed(pieces[:end]):
        if len(piece) > 13 and piece[4] == m.Tversion.number:
            return piece[13:] in DIALECTS[:2]
    return False


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A conversation similar to this one."""
    chance = random.Random(seed)
    pieces = cut(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        where = chance.randrange(len(pieces) + 1)
        extended = extended_at(pieces, where)
        kind = chance.random()
        if kind < 0.45 or not pieces:
            made = new(chance, extended)
            if made is not None and len(pieces) < MOST_PIECES:
                pieces.insert(where, made)
            continue
        where = min(where, len(pieces) - 1)
        if kind < 0.75:
            other = altered(chance, pieces[where], extended)
            if other is not None:
                pieces[where] = other
        elif kind < 0.85:
            del pieces[where]
        elif kind < 0.92 and len(pieces) < MOST_PIECES:
            pieces.insert(where, chance.choice(pieces))
        else:
            other_place = chance.randrange(len(pieces))
            pieces[where], pieces[other_place] = pieces[other_place], pieces[where]
    made = b"".join(pieces)
    return made if len(made) <= max_size else data[:max_size]
