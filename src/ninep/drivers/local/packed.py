"""Listings kept in the form of Rreaddir, for directories that have not changed since.

To list 10,000 entries costs 6 ms of asking the host and packing, and a client without a cache (or
several clients) lists the same directories again and again. A directory whose entries change gets
another mtime, so a listing that was read from start to end while mtime and ctime stood still is
kept under them, and served as slices of one buffer as long as they stand.

Timestamps are coarse (a tick of the kernel, 1 to 10 ms, or a second or two:
``security.filesystems``): a change in the same step as the last one would not show. So a listing is
kept only if it began well after the directory's last change. What an export keeps is bounded; the
least recently used go first. What is being recorded is bounded as well, or a client that reads many
listings to just before their end would fill the memory: beyond the bound nothing more is recorded.
"""

from __future__ import annotations

import logging
import threading
import time
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from ninep.host import Stat
from ninep.linux import NAME_MAX
from ninep.node import Buffer, Dirent
from ninep.security.filesystems import long_ago
from ninep.wire.codec import LONG_NAMES, pack_dirents
from ninep.wire.cookies import CookiePool

log = logging.getLogger("ninep.drivers")

BUDGET: Final = 8 << 20
"""Bytes of listings that an export keeps, and bytes that it records at the same time."""
COST: Final = 512
"""What a listing takes besides its bytes: a thousand of nothing but ``.`` and ``..``
are not free.
"""
READERS: Final = 64
"""Open directories that have entries at hand: a batch of the host, up to 1400 entries, 300 KiB."""
QUIET: Final = 50_000_000
"""Nanoseconds since the last change of a directory: later changes are sure to show in its times."""

BESIDE: Final = 12
"""Bytes that an entry takes besides its own: where it ends, and the host's cookie."""

Stamp = tuple[int, int]


class PackedListing:
    """All entries of a directory, packed; where each ends, and the host's cookie there. The cookies
    in ``data`` are numbers: 1, 2, 3 ...
    """

    __slots__ = ("__weakref__", "cookies", "data", "ends", "stamp", "until")

    def __init__(
        self, stamp: Stamp, data: bytes, ends: array[int], cookies: array[int] | None = None, until: int = 0
    ) -> None:
        self.stamp = stamp
        self.until = until
        """When it ends, in ns since 1970, though the stamp stands; 0: never."""
        self.data = data
        self.ends = ends
        self.cookies = array("Q") if cookies is None else cookies

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return COST + len(self.data) + len(self.ends) * BESIDE

    def slice(self, number: int, room: int) -> tuple[Buffer, int]:
        """Whole entries after ``number`` that fit in ``room``: the bytes, and the number of the
        last one.

        A reply that is not sent yet must not keep much more alive than itself: a small part is a
        copy.
        """
        ends = self.ends
        start = ends[number - 1] if number else 0
        index = bisect_right(ends, start + room, number)
        if index == number:
            return b"", number
        part = memoryview(self.data)[start : ends[index - 1]]
        return bytes(part) if 2 * len(part) < len(self.data) else part, index


class Recorder:
    """A listing being read from its start, to be kept if it gets to its end. What it took of the
    budget is given back when it goes.
    """

    __slots__ = ("_cookies", "_ends", "_listings", "_parts", "_size", "_taken", "_until", "cookie", "stamp")

    def __init__(self, listings: Listings, stamp: Stamp, until: int = 0) -> None:
        self._listings = listings
        self._until = until
        self._taken = 0
        self.stamp = stamp
        self.cookie = 0
        """Where the recording has got to."""
        self._parts: list[bytes] = []
        self._ends = array("I")
        self._cookies = array("Q")
        self._size = 0

    def add(self, pieces: Sequence[bytes], cookie: int, cookies: array[int]) -> bool:
        """More packed entries up to ``cookie``, each as its head and its name, and the host's
        cookies of them; False when they have become too many.
        """
        before = size = self._size
        for head, name in zip(pieces[::2], pieces[1::2], strict=True):
            size += len(head) + len(name)
            self._ends.append(size)
        if not self._take(size - before + len(pieces) // 2 * BESIDE):
            return False
        self._parts.append(b"".join(pieces))
        self._cookies += cookies
        self._size = size
        self.cookie = cookie
        return True

    def _take(self, count: int) -> bool:
        self._taken += count
        return self._listings.record(count)

    def __del__(self) -> None:
        self._listings.record(-self._taken)

    def listing(self) -> PackedListing | None:
        """What was recorded; None if that is not all, because some entries were not shown."""
        if self.cookie != len(self._ends) or len(self._ends) != len(self._cookies):
            return None
        return PackedListing(self.stamp, b"".join(self._parts), self._ends, self._cookies, self._until)


class Reader(Protocol):
    """A directory that is being read, and has some entries at hand."""

    def forget(self) -> None:
        """Ask the host again."""


class Listings:
    """The listings that an export keeps, by device and inode number, and which directories have
    entries at hand.
    """

    def __init__(self) -> None:
        self._readers: OrderedDict[Reader, None] = OrderedDict()
        self._kept: OrderedDict[tuple[int, int], PackedListing] = OrderedDict()
        self._size = 0
        self._recorded = 0
        self.pool = CookiePool()
        self._logged_names = False
        self._guard = threading.RLock()  # a recorder that goes while this thread has it gives back as well

    def get(self, key: tuple[int, int], found: Stat) -> PackedListing | None:
        """The listing of a directory, if it has not changed."""
        listing = self._kept.get(key)
        if listing is None:
            return None
        late = listing.until and time.time_ns() > listing.until
        if late or listing.stamp != (found.st_mtime_ns, found.st_ctime_ns):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return listing

    def recorder(self, found: Stat, span: int = 0) -> Recorder | None:
        """Record the listing that begins now, to be kept for ``span`` nanoseconds, or for as long as
        its times stand; None if the directory changed just before.
        """
        if span:
            return Recorder(self, (found.st_mtime_ns, found.st_ctime_ns), time.time_ns() + span)
        changed = max(found.st_mtime_ns, found.st_ctime_ns)
        if not long_ago(changed, found.st_ctime_ns, QUIET):
            return None
        return Recorder(self, (found.st_mtime_ns, found.st_ctime_ns))

    def record(self, count: int) -> bool:
        """So many more bytes are recorded; False when they have become too many."""
        with self._guard:
            self._recorded += count
            return self._recorded <= BUDGET

    def keep(self, key: tuple[int, int], listing: PackedListing) -> None:
        """Keep a listing, and as many of the others as there is room for."""
        if key in self._kept:
            self._drop(key)
        self._kept[key] = listing
        self._size += listing.size
        while self._size > BUDGET:
            self._drop(next(iter(self._kept)))

    def reading(self, reader: Reader) -> None:
        """It has entries at hand. The last few directories may; a client can have
        thousands open.
        """
        with self._guard:
            self._readers[reader] = None
            self._readers.move_to_end(reader)
            oldest = self._readers.popitem(last=False)[0] if len(self._readers) > READERS else None
        if oldest is not None:
            oldest.forget()

    def read(self, reader: Reader) -> None:
        """It has none."""
        with self._guard:
            self._readers.pop(reader, None)

    def leave_out(self, entries: Sequence[Dirent]) -> None:
        """Entries of these were not shown, for the length of their names: said once."""
        if not self._logged_names:
            self._logged_names = True
            name = next(entry[5] for entry in entries if len(entry[5]) > NAME_MAX)
            log.warning(LONG_NAMES, len(name), name[:40])

    def _drop(self, key: tuple[int, int]) -> None:
        self._size -= self._kept.pop(key).size


def pack(entries: Sequence[Dirent], room: int) -> tuple[list[bytes], int, int]:
    """Whole entries that fit: the pieces, their size, and how many entries they are, those left out
    included.
    """
    pieces, taken = pack_dirents(entries, room, NAME_MAX)
    return pieces, sum(map(len, pieces)), taken
