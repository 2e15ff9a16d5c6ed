"""The attributes that a copy preserves, and the local files that ``put`` reads. ``destination`` has
what ``get`` writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from ninep.client.paths import from_host
from ninep.wire.modes import makedev


@dataclass(frozen=True, slots=True)
class Keep:
    """The attributes that a copy preserves, besides the content and the permissions of new
    files.
    """

    times: bool = False
    """Times and exact permissions, regardless of the umask."""
    owner: bool = False
    """Owner and group, and with them SUID, SGID and sticky. Where the host does not permit changing
    the owner, the file stays this user's."""
    specials: bool = False
    """``put``: create devices, FIFOs and sockets on the server as well."""
    setid: bool = False
    """``get``: also SUID and SGID of files, with ``owner``. This lets the server create programs
    that run as their owner."""

    def mode(self, mode: int) -> int:
        """The permissions to set. Without ``owner``, SUID and SGID are dropped: the file has
        another owner.
        """
        return mode & (0o7777 if self.owner else 0o777)


NOTHING: Final = Keep()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that is copied to a server, wherever it is read from."""

    name: str
    path: str
    mode: int
    """Type and permissions, as Linux numbers."""
    size: int
    uid: int | None
    gid: int | None
    atime_ns: int
    mtime_ns: int
    rdev: int
    """Of a device, in the Linux layout."""
    identity: Hashable
    """The same for two entries that are one file."""


def entry(path: str, *, dereference: bool) -> Entry:
    """One local file."""
    found = os.stat(path, follow_symlinks=dereference)
    number = getattr(found, "st_rdev", 0) if stat.S_IFMT(found.st_mode) in {stat.S_IFCHR, stat.S_IFBLK} else 0
    return Entry(
        name=from_host(os.path.basename(path)),
        path=path,
        mode=found.st_mode,
        size=found.st_size,
        uid=found.st_uid,
        gid=found.st_gid,
        atime_ns=found.st_atime_ns,
        mtime_ns=found.st_mtime_ns,
        rdev=linux_rdev(number) if number else 0,
        identity=(found.st_dev, found.st_ino),
    )


def linux_rdev(number: int) -> int:
    """A device number of this host in the Linux layout, which the protocol uses; 0 on hosts without
    devices.
    """
    parts = getattr(os, "major", None), getattr(os, "minor", None)
    return 0 if None in parts else makedev(*(part(number) for part in parts if part))


def entries(path: str) -> list[str]:
    """The paths of a directory's entries, in order of their names."""
    return [os.path.join(path, name) for name in sorted(os.listdir(path))]
