"""Where a folder lies: its identity and that of the folders above it, and what of which filesystems
it shows.

A path does not tell: two may lead to one folder by links and by bind mounts. Folders above are
compared by device and inode; a bind mount shows a folder without those above it, so that on Linux
the mount table is asked as well: proc_pid_mountinfo(5) says which part of a filesystem a mount
shows. For the start of a server; nothing of this is asked while it serves.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final, NamedTuple

_MOUNTS: Final = "/proc/self/mountinfo"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


class _Mount(NamedTuple):
    device: str
    root: str
    """The path within the filesystem that is mounted."""
    point: str


def lineage(path: str) -> tuple[tuple[int, int], ...]:
    """Device and inode of the folder, and of each above it that may be looked at."""
    here = os.path.realpath(path)
    found = []
    while True:
        with suppress(OSError):
            seen = os.stat(here)
            found.append((seen.st_dev, seen.st_ino))
        above = os.path.dirname(here)
        if above == here:
            return tuple(found)
        here = above


def areas(path: str) -> tuple[tuple[str, str], ...]:
    """The filesystem that the folder is on and its path there; then the same of all that is mounted
    below it. Nothing where there is no mount table.
    """
    here = os.path.realpath(path)
    own: _Mount | None = None
    below = []
    for mount in _table():
        if is_below(here, mount.point):
            if own is None or len(mount.point) >= len(own.point):  # a later one at the same point hides the earlier
                own = mount
        elif is_below(mount.point, here):
            below.append((mount.device, mount.root))
    if own is None:
        return ()
    inside = os.path.normpath(f"{own.root.rstrip('/')}/{os.path.relpath(here, own.point)}")
    return ((own.device, inside), *below)


def is_below(path: str, folder: str) -> bool:
    """Is a path that of a folder, or one below it?"""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _table() -> list[_Mount]:
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as table:
            rows = [line.split(" ", 5) for line in table]
    except OSError:
        return []
    return [_Mount(row[2], _plain(row[3]), _plain(row[4])) for row in rows if len(row) > 5]


def _plain(field: str) -> str:
    """Space, tab, newline and backslash are written as octal numbers."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)
