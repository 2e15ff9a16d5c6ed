"""A memory of file metadata that costs system calls to read, good for as long as the inode's ctime
stands still.

ctime moves with every change of an inode, but only with the kernel's clock tick (up to 10 ms): what
was read within a tick of the last change may have been changed again without a trace. So

* an answer read when ctime was younger than ``RACY``, or than the filesystem's own steps
  (``filesystems``), is not kept;
* what this server wrote itself is kept for ``RACY`` after the write, then read again once.
  Meanwhile a change by a host process in the same tick would go unseen, for 20 ms;
* where a rule of seconds holds (``filesystems.Coherence``), both are kept for so long.

Bounded: two generations of ``SIZE`` entries each; what is not used while one fills is dropped with
the other. An entry takes about 300 bytes.
"""

from __future__ import annotations

import time
from typing import Final, Generic, TypeVar

from ninep.host import Stat
from ninep.security.filesystems import Filesystems

V = TypeVar("V")

RACY: Final = 20_000_000  # ns: two ticks of the slowest kernel clock (HZ=100)
SIZE: Final = 16384


class AttrCache(Generic[V]):
    """From an inode as its stat shows it to a value."""

    __slots__ = ("_filesystems", "_older", "_recent", "_size")

    def __init__(self, filesystems: Filesystems | None = None, size: int = SIZE) -> None:
        self._filesystems = filesystems or Filesystems()
        self._size = size
        self._recent: dict[tuple[int, int], tuple[int, int, V]] = {}
        self._older: dict[tuple[int, int], tuple[int, int, V]] = {}

    def get(self, found: Stat) -> V | None:
        """What is known of this inode in this state, or None."""
        key = (found.st_ino, found.st_dev)
        entry = self._recent.get(key)
        if entry is None:
            entry = self._older.get(key)
            if entry is None:
                return None
            self._keep(key, entry)
        ctime, until, value = entry
        if ctime != found.st_ctime_ns or (until and time.time_ns() > until):
            return None
        return value

    def store_read(self, found: Stat, value: V) -> None:
        """``value`` was read just now, after ``found``."""
        if self._filesystems.settled(found, RACY):
            self._keep((found.st_ino, found.st_dev), (found.st_ctime_ns, 0, value))
        elif span := self._filesystems.attr_timeout(found.st_dev):
            self._keep((found.st_ino, found.st_dev), (found.st_ctime_ns, time.time_ns() + span, value))

    def store_written(self, found: Stat, value: V) -> None:
        """We set this value ourselves; ``found`` is the state after that."""
        span = self._filesystems.attr_timeout(found.st_dev) or (RACY if self._filesystems.keeps(found.st_dev) else 0)
        if span:
            self._keep((found.st_ino, found.st_dev), (found.st_ctime_ns, time.time_ns() + span, value))

    def _keep(self, key: tuple[int, int], entry: tuple[int, int, V]) -> None:
        recent = self._recent
        recent[key] = entry
        if len(recent) >= self._size:
            self._older, self._recent = recent, {}
