"""qid paths: 64 bits that tell files apart though they come from several devices.

The first device keeps its inode numbers, shifted by one bit; others get prefix codes, so that no
two are the same (QEMU 9p.c qid_path_suffixmap, affixForIndex, qid_inode_prefix_hash_bits; the
numbers are the hypervisor's own):

* each device has ``bits``, fixed at first sight: the length of the *next* suffix to be given out;
* what the shift will push out, ``ino >> (64 - bits)``, and the device are the key; a new key takes
  the next index 1, 2, 3 ...;
* the suffix of index k is k written in ``2 * floor(log2 k) + 1`` bits, in reversed order; the path
  is ``ino << length | suffix``.

One fault is not copied: a later key of a device may draw a suffix longer than the device's
``bits``, whose shift loses bits that the key does not tell apart. Such keys, longer ones than 16
bits, and all beyond 65535, go to a table of single files under suffix 65536 (33 bits), which ends
in ENFILE. Their numbers are hashes of the inode number: SeaweedFS has inode numbers of 64 bits, and
the servers of one cluster are to show the same paths.

Paths on other devices than the first depend on the order of first sight. They live as long as the server.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from ninep.drivers.local.entry_types import QID_TYPES
from ninep.errors import Refused
from ninep.host import Stat
from ninep.linux import Errno
from ninep.node import Qid

log = logging.getLogger(__name__)

_ALL: Final = (1 << 64) - 1
_LAST_INDEX: Final = 65535


def version(found: Stat) -> int:
    """A qid's version: 32 bits that change when contents or attributes do, never on access alone.
    hash() of a tuple mixes well (xxHash) and is the same in every process; a XOR of the two times
    would cancel for every file just written.
    """
    return hash((found.st_mtime_ns, found.st_ctime_ns, found.st_size)) & 0xFFFFFFFF


class Affix(NamedTuple):
    """For inodes below ``limit`` of a device the path is ``ino << bits | suffix``."""

    bits: int
    suffix: int
    limit: int


def suffix(index: int) -> tuple[int, int]:
    """Length in bits, and value, of the suffix of an index (1 ..)."""
    bits = 2 * index.bit_length() - 1
    return bits, int(f"{index:0{bits}b}"[::-1], 2)


_FULL_BITS, _FULL_SUFFIX = suffix(_LAST_INDEX + 1)

_NUMBERS: Final = 1 << 64 - _FULL_BITS
_GOLDEN: Final = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio: multiplied by it, the upper bits of a product are a good hash."""


class QidMap:
    """``multidevs=remap``: every device is welcome, no two files share a path."""

    def __init__(self, root_device: int) -> None:
        self.root_device = root_device
        self._bits: dict[int, int] = {}
        self._indices: dict[tuple[int, int], int] = {}
        self._affixes: dict[int, Affix] = {}
        self._single: dict[tuple[int, int], int] = {}
        self._taken: dict[int, tuple[int, int]] = {}

    def path(self, device: int, ino: int) -> int:
        """The qid path of a file. ENFILE when the numbers are used up."""
        affix = self._affixes.get(device) or self.affix(device)
        if ino < affix.limit:
            return ino << affix.bits | affix.suffix
        return self._rare(device, ino)

    def qid(self, kind: int, found: Stat) -> Qid:
        """The qid of a file of that type (``mode >> 12``)."""
        return Qid(QID_TYPES[kind], version(found), self.path(found.st_dev, found.st_ino))

    def affix(self, device: int) -> Affix:
        """The affix of a device's small inode numbers, which are nearly all there are: to make many
        paths with.
        """
        known = self._affixes.get(device)
        if known is None:
            bits = self._bits.setdefault(device, suffix(self._next())[0])
            given = self._suffix(device, 0)
            known = Affix(*given, 1 << 64 - bits) if given else Affix(0, 0, 0)
            self._affixes[device] = known
        return known

    def _rare(self, device: int, ino: int) -> int:
        given = self._suffix(device, ino >> 64 - self._bits[device])
        if given:
            return (ino << given[0] | given[1]) & _ALL
        number = self._single.get((device, ino))
        if number is None:
            number = self._number(device, ino)
        return number << _FULL_BITS | _FULL_SUFFIX

    def _number(self, device: int, ino: int) -> int:
        """The number of a single file: a hash, so that it is the same in other servers of a cluster;
        of several with one hash, the next that is free.
        """
        if len(self._taken) >= _NUMBERS:
            raise Refused(Errno.ENFILE, "no qid path is left")
        number = (ino ^ (device if device != self.root_device else 0)) * _GOLDEN >> 33 & _NUMBERS - 1
        key = device, ino
        while self._taken.setdefault(number, key) != key:
            number = number + 1 & _NUMBERS - 1
        return self._single.setdefault(key, number)

    def _next(self) -> int:
        return min(len(self._indices) + 1, _LAST_INDEX)

    def _suffix(self, device: int, prefix: int) -> tuple[int, int] | None:
        """Bits and value for a key, or None if its files are for the table."""
        if prefix >> 16:
            return None  # the hypervisor cuts its key here, and takes two prefixes for one
        key = (device, prefix)
        index = self._indices.get(key)
        if index is None:
            if len(self._indices) >= _LAST_INDEX:
                return None
            index = self._indices[key] = len(self._indices) + 1
        bits, value = suffix(index)
        return (bits, value) if bits <= self._bits[device] else None


class OneDevice(QidMap):
    """``multidevs=forbid``: paths are inode numbers, another device than the root's is ENODEV."""

    def path(self, device: int, ino: int) -> int:
        if device != self.root_device:
            raise Refused(Errno.ENODEV, "multidevs=forbid: another filesystem is mounted here")
        return ino

    def affix(self, device: int) -> Affix:  # noqa: ARG002
        """Listings show what is there, also a mount point."""
        return Affix(0, 0, 1 << 64)


class Unmapped(QidMap):
    """``multidevs=warn``: paths are inode numbers, and the log says that they may clash."""

    _warned = False

    def path(self, device: int, ino: int) -> int:
        if device != self.root_device and not self._warned:
            self._warned = True
            log.warning("several filesystems in one export: qid paths may clash (multidevs=warn)")
        return ino

    def affix(self, device: int) -> Affix:  # noqa: ARG002
        return Affix(0, 0, 1 << 64)


MULTIDEVS: Final[dict[str, type[QidMap]]] = {"remap": QidMap, "forbid": OneDevice, "warn": Unmapped}
