"""The layouts of what goes into and comes out of the NT calls: bytes to named values and back.

One ``Struct`` per layout, as [MS-FSCC] 2.4 and 2.5 and ntifs.h give them; sizes of names are in
bytes there. Both directions are here where the fake of the NT interface needs the other one, so
that there is one table and not two. Times are FILETIMEs (100 ns since 1601) below and nanoseconds
since 1970 above this module. It knows neither calls nor policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from ninep.host.windows.names import from_units, units

EPOCH: Final = 116_444_736_000_000_000  # 1970 as a FILETIME
_FILETIME_MAX: Final = (1 << 63) - 1


def to_ns(filetime: int) -> int:
    """Nanoseconds since 1970 of a FILETIME."""
    return (filetime - EPOCH) * 100


def to_filetime(ns: int) -> int:
    """The FILETIME of nanoseconds since 1970, cut to what the volume can keep.

    0 means "leave it alone" to NT and negative values switch updates off, so the earliest time is
    100 ns into 1601.
    """
    return max(1, min(ns // 100 + EPOCH, _FILETIME_MAX))


class Basic(NamedTuple):
    """FileBasicInformation: FILETIMEs (0: leave alone, when set) and attributes (0 likewise)."""

    created: int = 0
    accessed: int = 0
    written: int = 0
    changed: int = 0
    attributes: int = 0


class All(NamedTuple):
    """The fixed part of FileAllInformation."""

    created: int
    accessed: int
    written: int
    changed: int
    attributes: int
    allocation: int
    size: int
    links: int
    delete_pending: int
    directory: int
    ino: int


class FileId(NamedTuple):
    """FileIdInformation: identity of a file, volume and 128 bits."""

    volume: int
    file: int


class DirectoryEntry(NamedTuple):
    """One entry of FileIdBothDirectoryInformation. ``tag`` is what stands in EaSize of a reparse
    point.
    """

    created: int
    accessed: int
    written: int
    changed: int
    size: int
    allocation: int
    attributes: int
    tag: int
    short: str
    ino: int
    name: str


class FullSize(NamedTuple):
    """FileFsFullSizeInformation, in allocation units; ``unit`` in bytes."""

    total: int
    caller_free: int
    free: int
    unit: int


class VolumeAttributes(NamedTuple):
    """FileFsAttributeInformation."""

    flags: int
    name_max: int
    name: str


BASIC: Final = Struct("<4qI4x")
STANDARD: Final = Struct("<qqIBB2x")
ALL: Final = Struct("<4qI4xqqIBB2xq28x")
ALL_SIZE: Final = 104  # with the length and the first unit of the name
INDEX: Final = Struct("<q")
ID: Final = Struct("<Q16s")
ATTRIBUTE_TAG: Final = Struct("<II")
END_OF_FILE: Final = Struct("<q")
FULL_SIZE: Final = Struct("<qqqII")
VOLUME: Final = Struct("<qIIBx")
VOLUME_ATTRIBUTES: Final = Struct("<IiI")
DEVICE: Final = Struct("<II")
_ENTRY: Final = Struct("<II6qIIIBx24sxxq")
_STREAM: Final = Struct("<IIqq")
# HANDLE members are as wide as a pointer and aligned like one: native sizes, the only ones in this
# file.
_RENAME: Final = Struct("@IPI")
_REPARSE: Final = Struct("<IHH")
_LINK_OFFSETS: Final = Struct("<4H")
_EA_GET: Final = Struct("<IB")
_EA_FULL: Final = Struct("<IBBH")


def all_of(raw: bytes) -> All:
    """Unpack FileAllInformation, however much of the name came along."""
    return All._make(ALL.unpack_from(raw))


def id_of(raw: bytes) -> FileId:
    """Unpack FileIdInformation."""
    volume, file = ID.unpack(raw)
    return FileId(volume, int.from_bytes(file, "little"))


def rename(flags: int, directory: int, name: str) -> bytes:
    """FileRenameInformation(Ex), and FileLinkInformation of the same layout: to ``name`` below
    ``directory``.
    """
    raw = units(name)
    fixed = _RENAME.pack(flags, directory, len(raw))
    # The kernel wants at least the size of the structure with one unit of name, padding included.
    return (fixed + raw).ljust(_RENAME.size + 4, b"\0")


def unpack_rename(raw: bytes) -> tuple[int, int, str]:
    """The way back of ``rename``: flags, directory handle, name."""
    flags, directory, length = _RENAME.unpack_from(raw)
    return flags, directory, from_units(raw[_RENAME.size : _RENAME.size + length])


def pack_entries(entries: Sequence[DirectoryEntry], size: int) -> tuple[bytes, int]:
    """FileIdBothDirectoryInformation of as many entries as fit into ``size`` bytes; how
    many did.
    """
    out, last = bytearray(), 0
    for count, entry in enumerate(entries):
        raw, short = units(entry.name), units(entry.short)
        start = -len(out) % 8 + len(out)
        if start + _ENTRY.size + len(raw) > size:
            return bytes(out), count
        if out:
            out[last : last + 4] = (start - last).to_bytes(4, "little")
            out.extend(bytes(start - len(out)))
        last = start
        figures = (*entry[:6], entry.attributes, len(raw), entry.tag)
        out += _ENTRY.pack(0, 0, *figures, len(short), short, entry.ino)
        out += raw
    return bytes(out), len(entries)


def entries_of(raw: bytes) -> Iterator[DirectoryEntry]:
    """Unpack FileIdBothDirectoryInformation."""
    at, following = 0, 1
    while raw and following:
        following, _, *rest, short, ino = _ENTRY.unpack_from(raw, at)
        *figures, length, tag, short_length = rest
        name = raw[at + _ENTRY.size : at + _ENTRY.size + length]
        yield DirectoryEntry._make((*figures, tag, from_units(short[:short_length]), ino, from_units(name)))
        at += following


def pack_streams(streams: Sequence[tuple[str, int, int]]) -> bytes:
    """FileStreamInformation of (``:name:$DATA``, size, allocation)."""
    out = b""
    for number, (name, size, allocation) in enumerate(streams):
        raw = units(name)
        body = len(raw) + _STREAM.size
        following = 0 if number == len(streams) - 1 else body + -body % 8
        out += (_STREAM.pack(following, len(raw), size, allocation) + raw).ljust(following, b"\0")
    return out


def streams_of(raw: bytes) -> Iterator[str]:
    """The names in FileStreamInformation, without the colons and the type; "" is the file's own
    data.
    """
    at, following = 0, 1
    while raw and following:
        following, length, _, _ = _STREAM.unpack_from(raw, at)
        name = from_units(raw[at + _STREAM.size : at + _STREAM.size + length])
        yield name.split(":")[1]
        at += following


def pack_name(name: str) -> bytes:
    """FileNameInformation."""
    raw = units(name)
    return len(raw).to_bytes(4, "little") + raw


def name_of(raw: bytes) -> str:
    """The name in FileNameInformation: from the volume's root, for messages and comparisons, never
    to open anything by.
    """
    return from_units(raw[4 : 4 + int.from_bytes(raw[:4], "little")])


def full_size_of(raw: bytes) -> FullSize:
    """Unpack FileFsFullSizeInformation."""
    total, caller_free, free, sectors, sector = FULL_SIZE.unpack(raw)
    return FullSize(total, caller_free, free, sectors * sector)


def volume_attributes_of(raw: bytes) -> VolumeAttributes:
    """Unpack FileFsAttributeInformation."""
    flags, name_max, length = VOLUME_ATTRIBUTES.unpack_from(raw)
    return VolumeAttributes(flags, name_max, from_units(raw[VOLUME_ATTRIBUTES.size :][:length]))


def reparse(tag: int, data: bytes) -> bytes:
    """REPARSE_DATA_BUFFER of a Microsoft tag."""
    return _REPARSE.pack(tag, len(data), 0) + data


def reparse_of(raw: bytes) -> tuple[int, bytes]:
    """Tag and data of a REPARSE_DATA_BUFFER."""
    tag, length, _ = _REPARSE.unpack_from(raw)
    return tag, raw[_REPARSE.size : _REPARSE.size + length]


def link_names(data: bytes, flags_size: int) -> tuple[str, str]:
    """Substitute and print name of a symbolic link (``flags_size`` 4) or mount point (0) [MS-FSCC
    2.1.2.4, 2.1.2.5].

    ValueError, or struct's own error, for damaged data.
    """
    at, length, print_at, print_length = _LINK_OFFSETS.unpack_from(data)
    names = data[_LINK_OFFSETS.size + flags_size :]
    if max(at + length, print_at + print_length) > len(names):
        raise ValueError("a name ends beyond the data")
    return from_units(names[at : at + length]), from_units(names[print_at : print_at + print_length])


def get_ea(name: bytes) -> bytes:
    """FILE_GET_EA_INFORMATION for one name."""
    return _EA_GET.pack(0, len(name)) + name + b"\0"


def full_ea(name: bytes, value: bytes) -> bytes:
    """FILE_FULL_EA_INFORMATION of one attribute."""
    return _EA_FULL.pack(0, 0, len(name), len(value)) + name + b"\0" + value


def ea_of(raw: bytes) -> tuple[bytes, bytes]:
    """Name and value of the first FILE_FULL_EA_INFORMATION."""
    _, _, name_length, value_length = _EA_FULL.unpack_from(raw)
    at = _EA_FULL.size
    return raw[at : at + name_length], raw[at + name_length + 1 : at + name_length + 1 + value_length]
