"""A listing that is read whole when it begins, for file systems whose directory cookies lead
elsewhere when entries are removed (``probe``): a client that removes what it has read, as ``rm -r``
does, would miss the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

from ninep.host import LISTING_SIZE, Entry, Listing, iterate

MAX_ENTRIES: Final = 100_000
"""Entries that are kept, some 20 MB; a larger directory is read by the file system's own cookies."""
BATCH: Final = 512


class WholeListing:
    """``host.Listing`` around another. A cookie is the number of the entry."""

    __slots__ = ("_entries", "_listing")

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._entries: list[Entry] | None = None

    def read(self, cookie: int, size: int = LISTING_SIZE) -> Sequence[Entry]:
        """See ``Listing``."""
        if cookie == 0:
            self._entries = list(islice(iterate(self._listing), MAX_ENTRIES + 1))
        elif self._entries is None:
            self.read(0)
        entries = self._entries
        if entries is None or len(entries) > MAX_ENTRIES:
            return self._listing.read(cookie, size)
        part = entries[cookie : cookie + min(BATCH, max(1, size // 64))]
        return [Entry(one[0], number, one[2], one[3]) for number, one in enumerate(part, cookie + 1)]

    def sync(self) -> None:
        """See ``Listing``."""
        self._listing.sync()

    def close(self) -> None:
        """See ``Listing``."""
        self._entries = None
        self._listing.close()
