"""Byte-range locks, shared by all clients of an export.

Rules (fcntl(2); protocol-facts section 9)

* The owner of a lock is (session, client_id, proc_id); what one owner holds never stands in its own way. flock(2) arrives as a lock on the
  whole file and is no different.
* Nobody waits here: a conflict is BLOCKED, the client polls.
* The ranges of a file are kept by its qid path. A lock is also taken on the host through the open file (open-file-description
  locks), so that processes of the host, and other server processes of the same export, are kept out as well.
* A lock ends with an unlock, with the fid it was taken through, or with the session.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from ninep.errors import Refused, linux_errno
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.node import OpenFile

END = 1 << 63
"""Where a lock 'to the end of the file' ends."""


class Owner(NamedTuple):
    """Who holds a lock."""

    session: object
    client_id: bytes
    proc_id: int


class Range(NamedTuple):
    """One locked range: ``start`` to ``end`` (exclusive)."""

    owner: Owner
    kind: int
    start: int
    end: int
    fid: object
    file: OpenFile | None
    """What the lock is also taken through on the host; None for a directory, which the host cannot lock."""

    @property
    def length(self) -> int:
        """The length as Tlock has it: 0 to the end of the file."""
        return 0 if self.end == END else self.end - self.start


def _host_length(start: int, end: int) -> int:
    return 0 if end == END else end - start


def _lock_on_host(wanted: Range) -> bool:
    """Keep host processes out too; False if one is in the way.

    A write lock needs a file open for writing on the host, but flock(2) does not: EBADF leaves it a lock among clients.
    """
    if wanted.file is None:
        return True
    try:
        wanted.file.lock(wanted.kind, wanted.start, wanted.length)
    except OSError as error:
        code = linux_errno(error)
        if code in {Errno.EAGAIN, Errno.EACCES}:
            return False
        if code is not Errno.EBADF:
            raise
    return True


class LockTable:
    """All locks of one export."""

    def __init__(self, limit: int = 65536) -> None:
        self._files: dict[int, list[Range]] = {}
        self._guard = threading.Lock()
        self._limit = limit
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def _conflict(self, path: int, owner: Owner, kind: int, start: int, end: int) -> Range | None:
        for held in self._files.get(path, ()):
            if held.owner != owner and held.start < end and start < held.end and LOCK_WRLCK in {kind, held.kind}:
                return held
        return None

    def lock(self, path: int, wanted: Range) -> bool:
        """Take a lock. False if another owner, or a process of the host, is in the way. ENOLCK beyond the limit."""
        with self._guard:
            if self._count >= self._limit:
                raise Refused(Errno.ENOLCK, "too many locks in this export")
            if self._conflict(path, wanted.owner, wanted.kind, wanted.start, wanted.end):
                return False
            if not _lock_on_host(wanted):
                return False
            rest = self._without(path, wanted)
            self._store(path, [*rest, wanted])
            return True

    def unlock(self, path: int, given: Range) -> None:
        """Give a range back, in part or in whole, held or not."""
        with self._guard:
            self._store(path, self._without(path, given))
            self._settle_host(path, given)

    def test(self, path: int, wanted: Range) -> Range | tuple[int, int, int, int] | None:
        """What stands in the way of a lock: a client's range, a host process's (kind, start, length, pid), or nothing."""
        with self._guard:
            held = self._conflict(path, wanted.owner, wanted.kind, wanted.start, wanted.end)
            if held is not None or wanted.file is None:
                return held
            return wanted.file.test_lock(wanted.kind, wanted.start, wanted.length)

    def forget(self, session: object, fid: object) -> None:
        """A fid ends, and with it all locks taken through it. The host's end with its handle."""
        if not self._count:
            return
        with self._guard:
            for path, held in list(self._files.items()):
                kept = [one for one in held if one.fid is not fid or one.owner.session is not session]
                if len(kept) != len(held):
                    self._store(path, kept)

    def _store(self, path: int, ranges: list[Range]) -> None:
        self._count += len(ranges) - len(self._files.get(path, ()))
        if ranges:
            self._files[path] = ranges
        else:
            self._files.pop(path, None)

    def _without(self, path: int, cut: Range) -> list[Range]:
        """The ranges of a file less what ``cut``'s owner has between its ends: what sticks out on either side stays."""
        rest: list[Range] = []
        for held in self._files.get(path, ()):
            if held.owner != cut.owner or held.end <= cut.start or cut.end <= held.start:
                rest.append(held)
                continue
            if held.start < cut.start:
                rest.append(held._replace(end=cut.start))
            if cut.end < held.end:
                rest.append(held._replace(start=cut.end))
        return rest

    def _settle_host(self, path: int, given: Range) -> None:
        """Unlock on the host, then lock again what others hold through the same open file: the host knows one owner per open file only."""
        if given.file is None:
            return
        given.file.lock(LOCK_UNLCK, given.start, given.length)
        for held in self._files.get(path, ()):
            start, end = max(held.start, given.start), min(held.end, given.end)
            if held.file is given.file and start < end:
                held.file.lock(held.kind, start, _host_length(start, end))


def conflict_kind(asked: int) -> int:
    """Linux sends Tgetlock always with type *unlock*: look for any lock, as a writer would."""
    return LOCK_RDLCK if asked == LOCK_RDLCK else LOCK_WRLCK
