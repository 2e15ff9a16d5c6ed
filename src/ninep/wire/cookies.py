"""Numbers below 2**31 in place of a directory's own cookies.

A cookie of Rreaddir becomes d_off of getdents(2), and the host's cookies take 63 bits (ext4: hashes): a program of 32 bits gets EOVERFLOW for them,
or cannot seekdir(3). So clients are given numbers: the first entry read has 1, the next 2 and so on, and a table says which cookie
each stands for, in 8 bytes. An entry that is read again gets the number it had, so that a number leads to the same place whatever is created and
deleted, for as long as the directory is open. A directory that did not change gives the same numbers whenever it is opened.

What all tables of a pool take is bounded. The least recently grown one is forgotten but for the place where its reader is; after that, as in a
directory opened anew, a number stands for so many entries from the start, and whoever needs its cookie has to count.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

LAST_NUMBER: Final = (1 << 31) - 1
POOL: Final = 1 << 19
"""Numbers that the tables of a pool hold: 4 MiB."""
FAR: Final = 4096
"""Entries that may be counted while others wait: about 4 ms."""
SMALL: Final = 128
"""A table with no more than these is not worth counting."""
MATCHED: Final = 1 << 16
"""Entries of a directory that changed are found again by their cookies up to so many (about 100 bytes each); beyond, they get new numbers."""


class CookiePool:
    """What several tables may take together."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self._sizes: OrderedDict[CookieTable, int] = OrderedDict()
        self._total = 0

    def resized(self, table: CookieTable, size: int) -> None:
        """A table takes this much now (0: no more than any may). Others are forgotten if it is too much for all."""
        with self.guard:
            self._total += size - self._sizes.pop(table, 0)
            if size:
                self._sizes[table] = size
            while self._total > POOL and len(self._sizes) > 1:
                next(iter(self._sizes)).forget()


class CookieTable:
    """The numbers of one open directory. Used by one thread at a time; ``forget`` may come from any."""

    __slots__ = ("_counted", "_known", "_pool", "_shared", "_state", "here", "plain", "until")

    def __init__(self, pool: CookiePool) -> None:
        self._pool = pool
        self._state: tuple[int, int, array[int]] = (0, 0, array("Q"))
        """A number, its cookie, and the cookies of the numbers after it. Replaced as one, because another thread may say ``forget``."""
        self._known: dict[int, int] | None = None
        """The other way round, once the directory was seen to have changed."""
        self.here = 0
        """The number that the reader has got to ..."""
        self.until = 0
        """... and the last one that it has at hand: their cookies and those between are kept, whatever is forgotten."""
        self._counted = False
        self._shared = False
        """The cookies are those of a kept listing, and must not be added to."""
        self.plain = True
        """The numbers are those of a directory that does not change: entries in their order from 1."""

    @property
    def last(self) -> tuple[int, int]:
        """The last number there is, and its cookie."""
        first, start, cookies = self._state
        return (first + len(cookies), cookies[-1]) if cookies else (first, start)

    def cookie(self, number: int) -> int | None:
        """What a number stands for: 0 for 0, None if that is not known."""
        if not number:
            return 0
        first, start, cookies = self._state
        index = number - first - 1
        if 0 <= index < len(cookies):
            return cookies[index]
        return start if index == -1 else None

    def is_far(self, number: int) -> bool:
        """To find out what it stands for takes counting more than ``FAR`` entries."""
        if self.cookie(number) is not None:
            return False
        last = self.last[0]
        return number - (last if last < number else 0) > FAR

    def number(self, after: int, cookies: Sequence[int]) -> Sequence[int]:
        """The numbers of entries with these cookies, which were read after the place ``after``."""
        if not self._counted:  # nothing but a pool that counts it would forget it
            return self._number(after, cookies)
        with self._pool.guard:
            return self._number(after, cookies)

    def _number(self, after: int, cookies: Sequence[int]) -> Sequence[int]:
        first, _, known = self._state
        at = after - first
        if self._known is not None:
            return self._match(cookies)
        if at == len(known):
            return self._append(cookies)
        if 0 <= at < len(known):
            count = len(cookies)
            fresh = array("Q", cookies)
            part = known[at : at + count]
            if part == fresh[: len(part)]:
                if len(part) < count:
                    self._append(fresh[len(part) :])
                return range(after + 1, after + 1 + count)
        return self._match(cookies)

    def _append(self, cookies: Sequence[int]) -> Sequence[int]:
        first, _, known = self._state
        last = first + len(known)
        count = len(cookies)
        if self._shared or len(known) + count > POOL or last + count > LAST_NUMBER:
            first, _, known = self._make_room(count)
            last = first + len(known)
        known.extend(cookies)
        if self._known is not None:
            self._known.update(zip(cookies, range(last + 1, last + 1 + count), strict=True))
        if self._counted or len(known) > SMALL or self._known is not None:
            self._resized()
        return range(last + 1, last + 1 + count)

    def _make_room(self, count: int) -> tuple[int, int, array[int]]:
        """The cookies are another's, or too many, or numbers come to their end: begin with a copy, from here, or afresh."""
        first, start, known = self._state
        known = known[:]
        if len(known) + count > POOL:
            (first, start), known = self.last, array("Q")
            self._known = None
        if first + len(known) + count > LAST_NUMBER:
            first, start, known = 0, 0, array("Q")
            self._known = None
            self.plain = False
        self._shared = False
        self._state = first, start, known
        return self._state

    def _match(self, cookies: Sequence[int]) -> Sequence[int]:
        self.plain = False
        first, _, known = self._state
        if len(known) > MATCHED:
            self._known = None
            return self._append(cookies)
        if self._known is None:
            self._known = dict(zip(known, range(first + 1, first + 1 + len(known)), strict=True))
        get = self._known.get
        return [get(cookie) or self._append((cookie,))[0] for cookie in cookies]

    def _resized(self) -> None:
        size = len(self._state[2])
        if self._known is not None:
            size *= 13
        if size <= SMALL:
            size = 0
        if size or self._counted:
            self._counted = bool(size)
            self._pool.resized(self, size)

    def adopt(self, cookies: array[int]) -> bool:
        """Have the numbers of a listing that was read as a whole before, and share its ``cookies``. False if others were given out already."""
        with self._pool.guard:
            first, _, known = self._state
            if known is not cookies:
                if first or not self.plain or len(known) > len(cookies) or known != cookies[: len(known)]:
                    return False
                self._state = 0, 0, cookies
                self._shared = True
                self._resized()
            return True

    def copy(self) -> array[int]:
        """All cookies, from the first number on."""
        return self._state[2][:]

    def restart(self) -> None:
        """Number afresh, from the start."""
        with self._pool.guard:
            self._state = 0, 0, array("Q")
            self._known = None
            self._shared = False
            self.plain = True
            self._resized()

    def forget(self) -> None:
        """Keep nothing but where the reader is, and what it has at hand from there on."""
        with self._pool.guard:
            first, _, known = self._state
            here = self.cookie(self.here)
            if here is None:
                self._state = 0, 0, array("Q")
            else:
                last = max(self.here, self.until)
                self._state = self.here, here, known[self.here - first : last - first]
            self._known = None
            self._shared = self._counted = False
            self._pool.resized(self, 0)

    def close(self) -> None:
        """It is of no more use."""
        if self._counted:
            self.restart()
