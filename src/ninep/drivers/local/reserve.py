"""Handles kept for a process that has none left.

All the handles that a process may have can be of files that its clients hold open, while each look
at an attribute needs a path handle (``handle_cache``), and mapped-file some more for its records.
So a few are kept for that: they are closed when the host says EMFILE or ENFILE, and opened again
after the call. What may keep a handle for good, an open file or listing, is not given them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import Handle
from ninep.linux import Errno

T = TypeVar("T")

MAX_RESERVED: Final = 8
"""A verb needs no more at a time: path handles of a file, of its directory and of one on the way
there, in mapped-file two directories of records and a record, and contents to be cut off.
"""
_NAMED: Final = "/"
"""What they are handles of: it is always there, and never unmounted."""
_EXHAUSTED: Final = (Errno.EMFILE, Errno.ENFILE)


def exhausted(error: OSError) -> bool:
    """Did the host have no handle left? A limit of our own, which no room helps, is a refusal."""
    return linux_errno(error) in _EXHAUSTED and not isinstance(error, Refused)


class MakesRoom(Protocol):
    """What ``HandleCache`` is here."""

    def with_reserve(self, call: Callable[..., T], *arguments: object) -> T:
        """Repeat a call that found no handle left."""


def retrying(handles: MakesRoom, call: Callable[..., T], *arguments: object) -> T:
    """A call that opens what it needs for its own time only: again if the host had no handle left."""
    try:
        return call(*arguments)
    except OSError as error:
        if not exhausted(error):
            raise
    return handles.with_reserve(call, *arguments)


class Reserve:
    """Up to ``size`` handles. Any thread may call this, with no lock of the handle cache held."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._handles: deque[Handle] = deque()

    def __del__(self) -> None:
        self.give()

    @property
    def missing(self) -> int:
        """How many of them there should be and are not."""
        return max(0, self.size - len(self._handles))

    def give(self) -> None:
        """Close them all."""
        with suppress(IndexError):
            while True:
                host.close(self._handles.pop())

    def fill(self) -> bool:
        """Open those that are missing; false if the host has none."""
        try:
            while self.missing:
                self._handles.append(host.open_root(_NAMED))
        except OSError:
            return False
        return True
