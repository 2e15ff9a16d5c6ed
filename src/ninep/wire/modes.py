"""File modes and device numbers of the stat record, converted between Linux and 9P2000, and its "do
not change" values (stat(5); the 9P2000.u draft).

Plain 9P2000 has directories and 0777 only; the extended encodings also have links, devices, FIFOs,
sockets and the SUID, SGID and sticky bits. The server uses this to write records, the client to
read them.
"""

from __future__ import annotations

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

TYPE_BITS: Final = {
    S_IFLNK: DMSYMLINK,
    S_IFCHR: DMDEVICE,
    S_IFBLK: DMDEVICE,
    S_IFIFO: DMNAMEDPIPE,
    S_IFSOCK: DMSOCKET,
}
PERMISSION_BITS: Final = ((S_ISUID, DMSETUID), (S_ISGID, DMSETGID), (S_ISVTX, DMSETVTX))

# Values of a Twstat that leave a field unchanged.
LEAVE16: Final = 0xFFFF
LEAVE32: Final = 0xFFFFFFFF
LEAVE64: Final = 0xFFFFFFFFFFFFFFFF


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


def mode_to_wire(mode: int, extended: bool) -> int:
    """``st_mode`` as DM* bits."""
    bits = mode & 0o777
    kind = mode & S_IFMT
    if kind == S_IFDIR:
        bits |= DMDIR
    if extended:
        bits |= TYPE_BITS.get(kind, 0)
        for linux_bit, wire_bit in PERMISSION_BITS:
            if mode & linux_bit:
                bits |= wire_bit
    return bits


def permissions_from_wire(bits: int, extended: bool) -> int:
    """The 12 permission bits of DM* bits."""
    mode = bits & 0o777
    if extended:
        for linux_bit, wire_bit in PERMISSION_BITS:
            if bits & wire_bit:
                mode |= linux_bit
    return mode


def mode_from_wire(bits: int, extension: bytes, extended: bool) -> int:
    """``st_mode`` of DM* bits. Block and character devices differ only in the first letter of the
    extension.
    """
    permissions = permissions_from_wire(bits, extended)
    if bits & DMDIR:
        return S_IFDIR | permissions
    if extended:
        if bits & DMDEVICE:
            return (S_IFBLK if extension.startswith(b"b") else S_IFCHR) | permissions
        for kind, wire_bit in TYPE_BITS.items():
            if bits & wire_bit:
                return kind | permissions
    return S_IFREG | permissions
