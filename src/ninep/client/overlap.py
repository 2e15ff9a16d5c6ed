"""Copies from and to one place: a server may serve a folder of this host, or another server's, under
other numbers, owners and modes, and what is copied may lead to where the copy goes.

The time of the last change tells. It is the same by both ways; if it is, it is changed for a moment
by the one, and looked at by the other.
"""

from __future__ import annotations

import os
from typing import Final

from ninep.client.destination import Destination
from ninep.client.stat import SECOND

ONTO_ITSELF: Final = "a file cannot be copied onto itself"
INTO_ITSELF: Final = "a directory cannot be copied into itself"


def same_time(one: int, other: int) -> bool:
    """Are two times, in nanoseconds, one? To the second, where one of them has no fraction: 9P2000 has
    whole seconds.
    """
    unit = 1 if one % SECOND and other % SECOND else SECOND
    return one // unit == other // unit


def mtime_of(top: Destination) -> int:
    """Of a directory of this host, in nanoseconds."""
    with top.folder() as folder:
        return os.stat(folder.at(os.curdir), dir_fd=folder.fd).st_mtime_ns


def set_mtime_of(top: Destination, mtime: int) -> None:
    """Set it. ``PermissionError`` if the directory is another user's."""
    with top.folder() as folder:
        here = folder.at(os.curdir)
        os.utime(here, ns=(os.stat(here, dir_fd=folder.fd).st_atime_ns, mtime), dir_fd=folder.fd)
