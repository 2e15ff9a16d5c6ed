"""A directory as 9P2000.L reads it, of a driver that does not pack its entries itself
(``OpenDir.read_packed``).

Three rules that such a driver need not know of: cookies are below 2**31 (``wire.cookies``); an
entry whose name is longer than Linux's client can take is left out; and a reply after a jump to
another place is short, because the client asks for a whole message and throws away all but what the
program reads before it jumps again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ninep.errors import Refused
from ninep.linux import NAME_MAX, Errno
from ninep.wire.codec import DIRENT_SIZE, LONG_NAMES, pack_dirents
from ninep.wire.cookies import CookieTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ninep.node import Dirent, OpenDir
    from ninep.server.exports import Export

log = logging.getLogger("ninep.server")

LONGEST_ENTRY: Final = DIRENT_SIZE + NAME_MAX
"""Asked of a driver even where there is less room, so that nothing means the end."""
AT_ONCE: Final = 1 << 15
"""Bytes of one reply: a thousand entries, 3 to 10 us each. Fewer are no end."""
SEEK_ROOM: Final = 4096
"""Bytes of a reply after a jump. It grows again as the client reads on."""
GROWTH: Final = 4
FULL: Final = 1 << 32


class EntryListing:
    """The reading of one directory through one fid."""

    __slots__ = ("_directory", "_export", "_next", "_room", "_small_cookies", "_table")

    def __init__(self, directory: OpenDir, export: Export) -> None:
        self._directory = directory
        self._export = export
        self._small_cookies = directory.small_cookies
        self._table = CookieTable(export.cookies)
        self._next = 0
        self._room = FULL

    def is_far(self, number: int) -> bool:
        """Whether to go on there takes reading thousands of entries first."""
        return not self._small_cookies and self._table.is_far(number)

    def read(self, number: int, count: int) -> bytes:
        """Whole entries after ``number``, as many as fit in ``count``. EINVAL if not even one does:
        0 bytes would read as the end.
        """
        self._room = min(self._room * GROWTH, FULL) if number == self._next else SEEK_ROOM
        room = min(count, self._room, AT_ONCE)
        pieces: list[bytes] = []
        cookie = self._cookie(number)
        while cookie is not None and (entries := self._directory.read(cookie, max(room, LONGEST_ENTRY))):
            numbered = self._number(number, entries)
            more, taken = pack_dirents(numbered, room, NAME_MAX)
            if len(more) != 2 * taken:
                self._log_long_name(numbered)
            pieces += more
            room -= sum(map(len, more))
            if taken:
                number, cookie = numbered[taken - 1][3], entries[taken - 1][3]
            if taken < len(entries) or room <= DIRENT_SIZE:
                if not pieces:
                    raise Refused(Errno.EINVAL, f"{count} bytes are too few for an entry")
                break
        self._next = number if pieces else 0
        self._table.move_to(self._next)
        return b"".join(pieces)

    def _number(self, after: int, entries: Sequence[Dirent]) -> Sequence[Dirent]:
        if self._small_cookies:
            return entries
        numbers = self._table.number(after, [entry[3] for entry in entries])
        return [
            (*entry[:3], number, *entry[4:])  # type: ignore[misc] # of a Dirent's shape
            for number, entry in zip(numbers, entries, strict=True)
        ]

    def _cookie(self, number: int) -> int | None:
        """The driver's cookie for a number: from the table, or by counting so many entries. None if
        there are fewer.
        """
        if self._small_cookies:
            return number
        table = self._table
        cookie = table.cookie(number)
        if cookie is not None:
            return cookie
        last, cookie = table.last
        if number < last:
            table.restart()
            last = cookie = 0
        while last < number:
            entries = self._directory.read(cookie, 1 << 16)
            if not entries:
                return None
            cookie = entries[-1][3]
            last = table.number(last, [entry[3] for entry in entries])[-1]
        return table.cookie(number)

    def _log_long_name(self, entries: Sequence[Dirent]) -> None:
        export = self._export
        name = next((entry[5] for entry in entries if len(entry[5]) > NAME_MAX), None)
        if name is not None and export.logs_long_names():
            log.warning(LONG_NAMES, len(name), name[:40])

    def close(self) -> None:
        """The table is of no more use."""
        self._table.close()
