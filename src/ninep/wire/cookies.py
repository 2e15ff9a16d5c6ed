"""Directory offsets for clients: numbers below 2**31 that replace the cookies of a driver.

A cookie of Rreaddir becomes d_off of getdents(2). Cookies of hosts have up to 63 bits (ext4:
hashes), and a 32-bit program gets EOVERFLOW for them or cannot call seekdir(3). So the server
numbers entries in the order in which it reads them, from 1, and a table maps each number to its
cookie, with 8 bytes per entry. An entry that is read again gets the same number, so that a number
denotes the same position for as long as the directory is open, whatever is created and deleted. An
unchanged directory gives the same numbers at each open.

The size of all tables of a pool is bounded. When the bound is reached, the table that has not grown
for the longest time is cleared, except for the current position of its reader. After that, as in a
directory that was just opened, the position of a number has to be found by counting entries from
the start.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

LAST_NUMBER: Final = (1 << 31) - 1
POOL: Final = 1 << 19
"""Numbers that all tables of a pool may hold together: 4 MiB."""
FAR: Final = 4096
"""Entries that may be counted in the event loop: about 4 ms."""
SMALL: Final = 128
"""A table of up to this many numbers is not charged to the pool."""
MATCHED: Final = 1 << 16
"""Maximum number of entries that are matched by cookie after a change of the directory (about 100
bytes each). In larger tables, entries get new numbers.
"""


class CookiePool:
    """Bounds the total size of the tables of several open directories."""

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self._sizes: OrderedDict[CookieTable, int] = OrderedDict()
        self._total = 0

    def set_size(self, table: CookieTable, size: int) -> None:
        """Set the size of a table (0: not charged), and clear the oldest tables if the total is too
        large.
        """
        with self.guard:
            self._total += size - self._sizes.pop(table, 0)
            if size:
                self._sizes[table] = size
            while self._total > POOL and len(self._sizes) > 1:
                next(iter(self._sizes)).clear()


class CookieTable:
    """The numbers of one open directory. Used by one thread at a time, except ``clear``, which any
    thread may call.
    """

    __slots__ = ("_counted", "_numbers", "_pool", "_shared", "_state", "here", "plain", "until")

    def __init__(self, pool: CookiePool) -> None:
        self._pool = pool
        self._state: tuple[int, int, array[int]] = (0, 0, array("Q"))
        """A number, its cookie, and the cookies of the numbers after it. Replaced as a whole,
        because another thread may call ``clear``.
        """
        self._numbers: dict[int, int] | None = None
        """The reverse mapping, cookie to number; built when the directory was found to have
        changed.
        """
        self.here = 0
        """The number of the reader's position."""
        self.until = 0
        """The last number of the reader's batch: ``clear`` keeps the cookies from ``here`` to
        here.
        """
        self._counted = False
        self._shared = False
        """The array of cookies belongs to a cached listing and must not be extended."""
        self.plain = True
        """The directory has not changed since: entries have consecutive numbers from 1 in their
        order.
        """

    @property
    def last(self) -> tuple[int, int]:
        """The last number, and its cookie."""
        first, start, cookies = self._state
        return (first + len(cookies), cookies[-1]) if cookies else (first, start)

    def cookie(self, number: int) -> int | None:
        """The cookie of a number: 0 for 0, None if it is not in the table."""
        if not number:
            return 0
        first, start, cookies = self._state
        index = number - first - 1
        if 0 <= index < len(cookies):
            return cookies[index]
        return start if index == -1 else None

    def is_far(self, number: int) -> bool:
        """Whether finding the cookie of a number takes counting more than ``FAR`` entries."""
        if self.cookie(number) is not None:
            return False
        last = self.last[0]
        return number - (last if last < number else 0) > FAR

    def number(self, after: int, cookies: Sequence[int]) -> Sequence[int]:
        """Assign numbers to entries with these cookies, which were read after number ``after``."""
        if not self._counted:  # only tables that are charged to the pool can be cleared
            return self._number(after, cookies)
        with self._pool.guard:
            return self._number(after, cookies)

    def _number(self, after: int, cookies: Sequence[int]) -> Sequence[int]:
        first, _, assigned = self._state
        at = after - first
        if self._numbers is not None:
            return self._match(cookies)
        if at == len(assigned):
            return self._append(cookies)
        if 0 <= at < len(assigned):
            count = len(cookies)
            fresh = array("Q", cookies)
            part = assigned[at : at + count]
            if part == fresh[: len(part)]:
                if len(part) < count:
                    self._append(fresh[len(part) :])
                return range(after + 1, after + 1 + count)
        return self._match(cookies)

    def _append(self, cookies: Sequence[int]) -> Sequence[int]:
        first, _, assigned = self._state
        last = first + len(assigned)
        count = len(cookies)
        if self._shared or len(assigned) + count > POOL or last + count > LAST_NUMBER:
            first, _, assigned = self._make_room(count)
            last = first + len(assigned)
        assigned.extend(cookies)
        if self._numbers is not None:
            self._numbers.update(zip(cookies, range(last + 1, last + 1 + count), strict=True))
        if self._counted or len(assigned) > SMALL or self._numbers is not None:
            self._report_size()
        return range(last + 1, last + 1 + count)

    def _make_room(self, count: int) -> tuple[int, int, array[int]]:
        """Make the table extensible: copy a shared array, start from the last number when it is
        full, or restart when the numbers end.
        """
        first, start, assigned = self._state
        assigned = assigned[:]
        if len(assigned) + count > POOL:
            (first, start), assigned = self.last, array("Q")
            self._numbers = None
        if first + len(assigned) + count > LAST_NUMBER:
            first, start, assigned = 0, 0, array("Q")
            self._numbers = None
            self.plain = False
        self._shared = False
        self._state = first, start, assigned
        return self._state

    def _match(self, cookies: Sequence[int]) -> Sequence[int]:
        self.plain = False
        first, _, assigned = self._state
        if len(assigned) > MATCHED:
            self._numbers = None
            return self._append(cookies)
        if self._numbers is None:
            self._numbers = dict(zip(assigned, range(first + 1, first + 1 + len(assigned)), strict=True))
        get = self._numbers.get
        return [get(cookie) or self._append((cookie,))[0] for cookie in cookies]

    def _report_size(self) -> None:
        size = len(self._state[2])
        if self._numbers is not None:
            size *= 13
        if size <= SMALL:
            size = 0
        if size or self._counted:
            self._counted = bool(size)
            self._pool.set_size(self, size)

    def adopt(self, cookies: array[int]) -> bool:
        """Use the numbers of a listing that was read as a whole before, sharing its ``cookies``.
        False if other numbers were assigned already; a table that was cleared meanwhile has the
        right ones as far as it goes.
        """
        with self._pool.guard:
            first, start, assigned = self._state
            if assigned is not cookies:
                known = assigned if not first else array("Q", [start, *assigned])
                at = max(first - 1, 0)
                if not self.plain or known != cookies[at : at + len(known)]:
                    return False
                self._state = 0, 0, cookies
                self._shared = True
                self._report_size()
            return True

    def between(self, after: int, last: int) -> array[int] | None:
        """The cookies of the numbers after ``after`` up to ``last``; None if not all of them are in
        the table.
        """
        first, _, cookies = self._state
        if after < first or last > first + len(cookies):
            return None
        return cookies[after - first : last - first]

    def move_to(self, number: int) -> None:
        """The reader goes on after this number."""
        self.here = number

    def keep_to(self, number: int) -> None:
        """The reader has a batch at hand that ends with this number; 0: none."""
        self.until = number

    def restart(self) -> None:
        """Remove all numbers and start again from 1."""
        with self._pool.guard:
            self._state = 0, 0, array("Q")
            self._numbers = None
            self._shared = False
            self.plain = True
            self._report_size()

    def clear(self) -> None:
        """Remove all numbers except those of the reader's position and batch."""
        with self._pool.guard:
            first, _, assigned = self._state
            here = self.cookie(self.here)
            if here is None:
                self._state = 0, 0, array("Q")
            else:
                last = max(self.here, self.until)
                self._state = self.here, here, assigned[self.here - first : last - first]
            self._numbers = None
            self._shared = self._counted = False
            self._pool.set_size(self, 0)

    def close(self) -> None:
        """Release the table's share of the pool."""
        if self._counted:
            self.restart()
