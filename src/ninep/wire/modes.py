"""File modes and device numbers of the stat record, converted between Linux and 9P2000, and its "do
not change" values (stat(5); the 9P2000.u draft).

Plain 9P2000 has directories and 0777 only; the extended encodings also have links, devices, FIFOs,
sockets and the SUID, SGID and sticky bits. The server uses this to write records, the client to
read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Final

from ninep.linux import (
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
    S_ISVTX,
)
from ninep.wire.types import Qid, Stat

DMDIR: Final = 0x80000000
DMAPPEND: Final = 0x40000000
DMEXCL: Final = 0x20000000
DMAUTH: Final = 0x08000000
DMTMP: Final = 0x04000000
DMSYMLINK: Final = 0x02000000
DMLINK: Final = 0x01000000
DMDEVICE: Final = 0x00800000
DMNAMEDPIPE: Final = 0x00200000
DMSOCKET: Final = 0x00100000
DMSETUID: Final = 0x00080000
DMSETGID: Final = 0x00040000
DMSETVTX: Final = 0x00010000


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How messages, stat records and modes are encoded."""

    unix_fields: bool
    """There are the fields that plain 9P2000 lacks; users and groups are numbers."""
    strings: int
    """Of a stat record, from its name on; the fifth is the extension."""
    ids: Struct
    """The numbers at the end of a stat record."""
    type_bits: Mapping[int, int]
    """From a file type of Linux to its bit, besides DMDIR."""
    kinds: int
    """All bits of types."""
    permission_bits: tuple[tuple[int, int], ...]
    """From a bit of Linux to its bit, besides 0777."""


PLAIN: Final = Encoding(False, 4, Struct("<"), {}, DMDIR, ())
EXTENDED: Final = Encoding(
    True,
    5,
    Struct("<III"),
    {S_IFCHR: DMDEVICE, S_IFBLK: DMDEVICE, S_IFLNK: DMSYMLINK, S_IFIFO: DMNAMEDPIPE, S_IFSOCK: DMSOCKET},
    DMDIR | DMDEVICE | DMSYMLINK | DMNAMEDPIPE | DMSOCKET,
    ((S_ISUID, DMSETUID), (S_ISGID, DMSETGID), (S_ISVTX, DMSETVTX)),
)

# Values of a Twstat that leave a field unchanged.
LEAVE16: Final = 0xFFFF
LEAVE32: Final = 0xFFFFFFFF
LEAVE64: Final = 0xFFFFFFFFFFFFFFFF
UNTOUCHED: Final = Stat(
    type=LEAVE16,
    dev=LEAVE32,
    qid=Qid(0xFF, LEAVE32, LEAVE64),
    mode=LEAVE32,
    atime=LEAVE32,
    mtime=LEAVE32,
    length=LEAVE64,
)
"""A Twstat without changes; servers perform an fsync."""


def major(rdev: int) -> int:
    """The major number of a device in the glibc layout, which 9P2000.L uses on every host."""
    return (rdev >> 8 & 0xFFF) | (rdev >> 32 & ~0xFFF)


def minor(rdev: int) -> int:
    """The minor number."""
    return (rdev & 0xFF) | (rdev >> 12 & ~0xFF & 0xFFFFFFFF)


def makedev(major_number: int, minor_number: int) -> int:
    """A device number in the glibc layout."""
    low = (major_number & 0xFFF) << 8 | minor_number & 0xFF
    return low | (major_number & ~0xFFF) << 32 | (minor_number & ~0xFF) << 12


def mode_to_wire(mode: int, encoding: Encoding) -> int:
    """``st_mode`` as DM* bits."""
    bits = mode & 0o777
    kind = mode & S_IFMT
    bits |= DMDIR if kind == S_IFDIR else encoding.type_bits.get(kind, 0)
    for linux_bit, wire_bit in encoding.permission_bits:
        if mode & linux_bit:
            bits |= wire_bit
    return bits


def permissions_from_wire(bits: int, encoding: Encoding) -> int:
    """The 12 permission bits of DM* bits."""
    mode = bits & 0o777
    for linux_bit, wire_bit in encoding.permission_bits:
        if bits & wire_bit:
            mode |= linux_bit
    return mode


def mode_from_wire(bits: int, extension: bytes, encoding: Encoding) -> int:
    """``st_mode`` of DM* bits. Block and character devices differ only in the first letter of the
    extension.
    """
    permissions = permissions_from_wire(bits, encoding)
    if bits & DMDIR:
        return S_IFDIR | permissions
    for kind, wire_bit in encoding.type_bits.items():
        if bits & wire_bit:
            return (S_IFBLK if kind == S_IFCHR and extension.startswith(b"b") else kind) | permissions
    return S_IFREG | permissions
