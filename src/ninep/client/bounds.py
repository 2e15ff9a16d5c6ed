"""How much of what a server lists is kept here: a listing may never end, a tree may have no bottom.

Entries are counted with an estimate of the memory they take. Who keeps them (``walk``, ``ls``, ``tree``, a copy's list of what is still to
be done) takes from one ``Held`` and gives back; who only passes them on needs none.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Final

from ninep.client.stat import DirEntry

MAX_HELD: Final = 1 << 29
"""Bytes, estimated: some 1.5 million names, or half a million with their attributes."""
_ENTRY: Final = 300
_STAT: Final = 700


def size_of(entry: DirEntry) -> int:
    """About what an entry takes in memory."""
    return _ENTRY + len(entry.name) + len(entry.path) + (0 if entry.stat is None else _STAT)


class TooMuch(OSError):
    """A server lists more than is kept here (ENOMEM)."""


class Held:
    """What is kept at the moment. ``TooMuch`` for more than ``MAX_HELD``."""

    def __init__(self) -> None:
        self._bytes = 0

    def take(self, size: int) -> int:
        """Something of this size is kept from now on."""
        if self._bytes + size > MAX_HELD:
            raise TooMuch(errno.ENOMEM, f"the server lists more than fits in {MAX_HELD >> 20} MiB here")
        self._bytes += size
        return size

    def give(self, size: int) -> None:
        """It is not kept any more."""
        self._bytes -= size

    def keep(self, entries: Iterable[DirEntry]) -> list[DirEntry]:
        """All the entries, counted; none is if it fails."""
        size = 0
        found = []
        try:
            for entry in entries:
                size += self.take(size_of(entry))
                found.append(entry)
        except OSError:
            self.give(size)
            raise
        return found
