"""Renames that are under way, and how a look by name waits for them."""

from __future__ import annotations

from threading import Condition
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from threading import RLock

RENAME_TIMEOUT: Final = 0.5
"""Seconds that a look by name waits for a rename in another thread: the storage may be slow, or not
answer any more.
"""


class RenameGate:
    """Renames that are under way: the host's entry may have moved and the tree not yet, so that no
    name in it can be relied on.
    """

    __slots__ = ("_ended", "_lock", "_under_way", "_waiting", "ended")

    def __init__(self, lock: RLock) -> None:
        self.ended = 0
        """How many have ended: read it before a look by name, for ``quiet_since``."""
        self._lock = lock
        self._ended = Condition(lock)
        self._under_way = 0
        self._waiting = 0

    def __enter__(self) -> None:
        with self._lock:
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            self.ended += 1
            if self._waiting:
                self._ended.notify_all()

    def quiet_since(self, mark: int) -> bool:
        """A name led nowhere. False: some rename has ended since ``ended`` was
        ``mark``, try again.
        """
        with self._lock:
            if self.ended != mark:
                return False
            if not self._under_way:
                return True
            self._waiting += 1
            try:
                return not self._ended.wait(RENAME_TIMEOUT)
            finally:
                self._waiting -= 1
