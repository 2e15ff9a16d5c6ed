"""Linux: where another filesystem is mounted, found out without a call that it could keep waiting.

A mount below an export may belong to a program (FUSE), another computer or an automounter. Even to
look at the name where it is mounted asks it for its root's attributes, and waits. openat2(2) with
RESOLVE_NO_XDEV does not: it says EXDEV. It costs 0.4 us more than openat(2), and with the look at
what was opened twice as much as fstatat(2), so that objects that were looked at before are looked
at by fstatat again as long as the table of mounts stands still (``Mounts``).

Before Linux 5.6, or where a container's filter forbids the call, names are opened whatever is
mounted there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Final

from ninep.host import _libc, _steps
from ninep.host._api import Handle, Stat
from ninep.host._posix import open_fd, stat_at

if sys.platform != "linux":
    raise ImportError("not on this system")  # and nothing below is looked at when types are checked for another

SEES_MOUNTS: Final = _libc.HAS_OPENAT2

_PATH_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_HOW: Final = _libc.open_how(_PATH_FLAGS, _libc.RESOLVE_NO_XDEV)
_HOW_BELOW: Final = _libc.open_how(_PATH_FLAGS, _libc.RESOLVE_NO_XDEV | _libc.RESOLVE_NO_SYMLINKS)
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EXDEV, errno.ELOOP})
_openat2, _OPENAT2, _SIZE = _libc.openat2, _libc.OPENAT2, _libc.OPEN_HOW_SIZE


def open_path_across(dir: Handle, name: bytes) -> Handle:
    return open_fd(name, _PATH_FLAGS, dir_fd=dir)


def _open_path_same(dir: Handle, name: bytes) -> Handle:
    handle: Handle = _openat2(_OPENAT2, dir, name, _HOW, _SIZE)
    if handle < 0:
        raise _libc.failed()
    return handle


def _find_same(dir: Handle, name: bytes) -> Stat | None:
    handle: Handle = _openat2(_OPENAT2, dir, name, _HOW, _SIZE)
    if handle < 0:
        if ctypes.get_errno() == errno.ENOENT:
            return None
        raise _libc.failed()
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


def _stat_same(dir: Handle, name: bytes) -> Stat:
    found = _find_same(dir, name)
    if found is None:
        raise _libc.failed()
    return found


def _stat_below(dir: Handle, folder: bytes, name: bytes) -> Stat | None:
    """One openat2(2) for both names. What is not there is no exception, which would take 1 us."""
    handle: Handle = _openat2(_OPENAT2, dir, folder + b"/" + name, _HOW_BELOW, _SIZE)
    if handle < 0:
        if ctypes.get_errno() in _NOT_THERE:
            return None
        raise _libc.failed()
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


open_path = _open_path_same if SEES_MOUNTS else open_path_across
stat_same_mount = _stat_same if SEES_MOUNTS else stat_at
find_same_mount = _find_same if SEES_MOUNTS else partial(_steps.find, stat_at)
stat_below = _stat_below if SEES_MOUNTS else partial(_steps.stat_below, open_path_across, stat_at, os.close)


class Mounts:
    """Tells when this process's table of mounts changes: poll(2) of ``/proc/self/mountinfo``, in a
    thread of its own (proc_pid_mountinfo(5)).
    """

    def __init__(self) -> None:
        self.changes = -1
        """Goes up with each change, some microseconds later; -1 while nothing tells of them."""
        self._table = -1
        self._watched = False
        self._guard = threading.Lock()
        self._open()

    def _open(self) -> None:
        with suppress(OSError):
            self._table = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)

    def watch(self) -> None:
        """Begin, unless it has begun. Not in a process that will fork: threads do not
        go with it.
        """
        if self._watched or self._table < 0:
            return
        with self._guard:
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._wait, args=(self._table,), name="ninep-mounts", daemon=True).start()
                self.changes = 1

    def _wait(self, table: int) -> None:
        poll = select.poll()
        poll.register(table, select.POLLPRI)
        while True:
            found = poll.poll()
            if not found or found[0][1] & select.POLLNVAL:
                break
            self.changes += 1
        self.changes = -1

    def forked(self) -> None:
        """In the child: a table of its own, because what one process was told of, another that
        shares the descriptor is not.
        """
        self._guard = threading.Lock()
        self.changes, self._watched = -1, False
        if self._table >= 0:
            os.close(self._table)
            self._table = -1
            self._open()


mounts: Final = Mounts()
os.register_at_fork(after_in_child=mounts.forked)
