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
