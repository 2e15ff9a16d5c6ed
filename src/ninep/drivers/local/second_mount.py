"""Two mounts of one file system, as two servers of a cluster have them: what is done by one, as the
other sees it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from ninep import host
from ninep.drivers.local.probe import LIMIT, NO, PREFIX, YES, Found, remove
from ninep.errors import Refused, linux_errno
from ninep.host import Handle
from ninep.linux import LOCK_WRLCK, O_CREAT, O_EXCL, O_RDWR, Errno

_PAUSE: Final = 0.01


def compare(one: Handle, two: Handle) -> tuple[Found, ...]:
    """Rows as those of ``probe``. Path handles of one directory, by two mounts.

    Waits. ``OSError``, if what is made by one does not come to be seen by the other.
    """
    name = PREFIX + secrets.token_hex(8).encode()
    host.make_dir(one, name, 0o700)
    try:
        seen = _until(lambda: host.open_path(two, name))
        try:
            first = host.open_path(one, name)
            try:
                return _compared(first, seen)
            finally:
                host.close(first)
        finally:
            host.close(seen)
    finally:
        with suppress(OSError):
            remove(one, name)


def _compared(one: Handle, two: Handle) -> tuple[Found, ...]:
    made = host.open_at(one, b"file", O_RDWR | O_CREAT | O_EXCL, 0o600)
    host.close(made)  # SeaweedFS shows it to others when it was closed
    here = host.open_at(one, b"file", O_RDWR)
    try:
        began = monotonic()
        there = _until(lambda: host.open_at(two, b"file", O_RDWR))
        took = monotonic() - began
        try:
            same = host.stat(here).st_ino == host.stat(there).st_ino
            return (
                Found("names are seen", f"after {took:.1f} s", ""),
                Found("same inodes", *(_YES if same else (NO, "clients of another server see other files"))),
                Found(
                    "shared locks",
                    *(_YES if _excluded(here, there) else (NO, "locks hold among the clients of one mount alone")),
                ),
            )
        finally:
            host.close(there)
    finally:
        host.close(here)


_YES: Final = (YES, "")


def _excluded(here: Handle, there: Handle) -> bool:
    host.lock(here, LOCK_WRLCK, 0, 8)
    try:
        host.lock(there, LOCK_WRLCK, 4, 8)
    except OSError as error:
        return linux_errno(error) is Errno.EAGAIN
    return False


def _until(opening: Callable[[], Handle]) -> Handle:
    deadline = monotonic() + LIMIT
    while True:
        try:
            return opening()
        except OSError as error:
            if linux_errno(error) is not Errno.ENOENT:
                raise
            if monotonic() > deadline:
                raise Refused(Errno.ENOENT, "the second mount does not see what the first one makes") from error
        threading.Event().wait(_PAUSE)
