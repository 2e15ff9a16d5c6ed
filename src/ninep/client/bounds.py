"""A bound on the memory for entries that a server lists: a listing may be endless, a tree
infinitely deep.

Entries are counted with an estimate of their size. Code that stores entries (``walk``, ``ls``,
``tree``, the list of directories that a copy still has to visit) reserves their size in one
``MemoryBudget`` and frees it; code that only passes entries on needs none.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from ninep.client.stat import DirEntry

MAX_HELD: Final = 1 << 29
"""Estimated bytes: about 1.5 million names, or half a million with their attributes."""
MAX_NAMES: Final = 250_000
"""Some 30 MB."""
_ENTRY: Final = 300
_STAT: Final = 700


def size_of(entry: DirEntry) -> int:
    """The estimated size of an entry in memory, in bytes."""
    return _ENTRY + len(entry.name) + len(entry.path) + (0 if entry.stat is None else _STAT)


class ListingTooLarge(OSError):
    """ENOMEM: the server lists more entries than ``MAX_HELD`` bytes can store."""


class MemoryBudget:
    """The size of the stored entries."""

    def __init__(self) -> None:
        self._bytes = 0

    def reserve(self, size: int) -> int:
        """Add ``size`` bytes. ``ListingTooLarge`` if the sum exceeds ``MAX_HELD``. Returns
        ``size``.
        """
        if self._bytes + size > MAX_HELD:
            raise ListingTooLarge(errno.ENOMEM, f"the server lists more than fits in {MAX_HELD >> 20} MiB here")
        self._bytes += size
        return size

    def free(self, size: int) -> None:
        """Subtract ``size`` bytes."""
        self._bytes -= size

    def collect(self, entries: Iterable[DirEntry]) -> list[DirEntry]:
        """A list of all the entries, with their size reserved. If that fails, nothing is
        reserved.
        """
        size = 0
        found = []
        try:
            for entry in entries:
                size += self.reserve(size_of(entry))
                found.append(entry)
        except OSError:
            self.free(size)
            raise
        return found


class NamesSeen:
    """The names that a listing has given, for one that may have to begin again; of a listing with more
    than ``MAX_NAMES`` none: that one cannot.
    """

    def __init__(self) -> None:
        self._names: set[bytes] | None = set()

    @property
    def complete(self) -> bool:
        """Whether all are known."""
        return self._names is not None

    def add(self, name: bytes) -> bool:
        """The listing has this name. Whether it is new."""
        if self._names is None:
            return True
        before = len(self._names)
        self._names.add(name)
        new = len(self._names) > before
        if len(self._names) > MAX_NAMES:
            self._names = None
        return new
