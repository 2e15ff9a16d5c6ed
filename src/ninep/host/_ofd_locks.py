"""Linux: byte-range locks of open file descriptions (fcntl(2), F_OFD_SETLK)."""

from __future__ import annotations

import fcntl
import os
import sys
from struct import Struct
from typing import Final

from ninep import linux
from ninep.host._api import Handle

if sys.platform != "linux":
    raise ImportError("not on this system")  # and nothing below is looked at when types are checked for another

_FLOCK: Final = Struct("@hhqqi0q")  # struct flock of 64-bit Linux: type, whence, start, len, pid
_TO_HOST: Final = {linux.LOCK_RDLCK: fcntl.F_RDLCK, linux.LOCK_WRLCK: fcntl.F_WRLCK, linux.LOCK_UNLCK: fcntl.F_UNLCK}
_FROM_HOST: Final = {ours: theirs for theirs, ours in _TO_HOST.items()}


def lock(handle: Handle, kind: int, start: int, length: int) -> None:
    """An open-file-description lock (fcntl(2)): it belongs to the handle, not to this process, and
    excludes POSIX locks of others.
    """
    fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _FLOCK.pack(_TO_HOST[kind], os.SEEK_SET, start, length, 0))


def test_lock(handle: Handle, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
    asked = _FLOCK.pack(_TO_HOST[kind], os.SEEK_SET, start, length, 0)
    found, _, at, size, pid = _FLOCK.unpack(fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))
    return None if found == fcntl.F_UNLCK else (_FROM_HOST[found], at, size, pid)
