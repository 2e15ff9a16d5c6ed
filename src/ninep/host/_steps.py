"""Calls that one system has, put together of calls that every host has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ninep.errors import linux_errno
from ninep.host._api import Handle, Stat
from ninep.linux import Errno

_NOT_THERE: Final = frozenset({Errno.ENOENT, Errno.ENOTDIR, Errno.ENAMETOOLONG, Errno.EXDEV})


def find(stat_at: Callable[[Handle, bytes], Stat], dir: Handle, name: bytes) -> Stat | None:
    """A stat, None for ENOENT."""
    try:
        return stat_at(dir, name)
    except OSError as error:
        if linux_errno(error) is not Errno.ENOENT:
            raise
        return None


def stat_below(
    open_path: Callable[[Handle, bytes], Handle],
    stat_at: Callable[[Handle, bytes], Stat],
    close: Callable[[Handle], None],
    dir: Handle,
    folder: bytes,
    name: bytes,
) -> Stat | None:
    """Where no call resolves two names without following links: a path handle of the folder, where
    a link is opened itself, and a stat in it.
    """
    try:
        between = open_path(dir, folder)
        try:
            return stat_at(between, name)
        finally:
            close(between)
    except OSError as error:
        if linux_errno(error) not in _NOT_THERE:
            raise
        return None
