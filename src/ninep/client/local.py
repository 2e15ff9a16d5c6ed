"""What a copy keeps of a file, and local files as ``put`` reads them. Where ``get`` writes is in ``destination``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from ninep.client.paths import from_host
from ninep.wire.modes import makedev


@dataclass(frozen=True, slots=True)
class Keep:
    """What a copy keeps of the original besides its content and the permissions of new files."""

    times: bool = False
    """Times and exact permissions, whatever the umask."""
    owner: bool = False
    """Owner, group, and with them SUID, SGID and sticky. Where the host does not let this user give files away, they stay this user's."""
    specials: bool = False
    """``put``: devices, FIFOs and sockets are made on the server as well."""
    setid: bool = False
    """``get``: also SUID and SGID of files, with ``owner``. A server that may say so makes programs that run as their owner."""

    def mode(self, mode: int) -> int:
        """The permissions to set. SUID and SGID mean nothing good on a file of another owner."""
        return mode & (0o7777 if self.owner else 0o777)


NOTHING: Final = Keep()


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A local file as ``put`` sees it."""

    name: str
    path: str
    stat: os.stat_result


def entry(path: str, *, dereference: bool) -> LocalEntry:
    """One local file."""
    return LocalEntry(from_host(os.path.basename(path)), path, os.stat(path, follow_symlinks=dereference))


def linux_rdev(number: int) -> int:
    """A device number of this host in the layout of Linux, which the protocol has. Where the host knows no devices it is 0."""
    parts = getattr(os, "major", None), getattr(os, "minor", None)
    return 0 if None in parts else makedev(*(part(number) for part in parts if part))


def entries(path: str) -> list[str]:
    """The paths of a directory's entries, in order of their names."""
    return [os.path.join(path, name) for name in sorted(os.listdir(path))]
