"""Byte-range locks, shared by all clients of an export.

Rules (fcntl(2); protocol-facts section 9)

* The owner of a lock is (session, client_id, proc_id); what one owner holds never stands in its own way. flock(2) arrives as a lock on the
  whole file and is no different.
* Nobody waits here: a conflict is BLOCKED, the client polls.
* The ranges of a file are kept by its qid path. A lock is also taken on the host through the open file (open-file-description
  locks), so that processes of the host, and other server processes of the same export, are kept out as well.
* A lock ends with an unlock, with the fid it was taken through, or with the session.
* A session holds so many ranges and no more: splitting them by unlocks counts too.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from ninep.errors import linux_errno
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.node import OpenFile
from ninep.server.limits import OverLimit

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


CANNOT_LOCK = frozenset(
    {Errno.EBADF, Errno.EACCES, Errno.EPERM, Errno.EROFS, Errno.ETXTBSY, Errno.EOPNOTSUPP, Errno.ENOSYS}
)
"""The host cannot lock this file for us: a write lock needs a file open for writing there, which flock(2) does not, and we may not write."""


def _host_lock(file: OpenFile, kind: int, start: int, end: int) -> bool:
    """Keep host processes out too; False if one is in the way. Where the host cannot, it stays a lock among clients."""
    try:
        file.lock(kind, start, 0 if end == END else end - start)
    except OSError as error:
        code = linux_errno(error)
        if code is Errno.EAGAIN:
            return False
        if code not in CANNOT_LOCK:
            raise
    return True


class LockTable:
    """All locks of one export."""

    def __init__(self) -> None:
        self._files: dict[int, list[Range]] = {}
        self._paths: dict[object, set[int]] = {}
        """Where each fid has locks, or had some."""
        self._counts: dict[object, int] = {}
        """How many ranges each session has."""
        self._guard = threading.Lock()

    def __len__(self) -> int:
        return sum(self._counts.values())

    def _conflict(self, path: int, wanted: Range) -> Range | None:
        owner, start, end = wanted.owner, wanted.start, wanted.end
        for held in self._files.get(path, ()):
            if held.owner != owner and held.start < end and start < held.end and LOCK_WRLCK in {wanted.kind, held.kind}:
                return held
        return None

    def _own(self, path: int, cut: Range) -> list[Range]:
        """What the owner has between the ends of ``cut``, through whatever fid."""
        return [
            held
            for held in self._files.get(path, ())
            if held.owner == cut.owner and held.start < cut.end and cut.start < held.end
        ]

    def lock(self, path: int, wanted: Range, limit: int) -> bool:
        """Take a lock. False if another owner, or a process of the host, is in the way.

        ENOLCK if the session would then hold more than ``limit`` ranges.
        """
        with self._guard:
            if path not in self._files:
                return self._first(path, wanted, limit)
            if self._conflict(path, wanted):
                return False
            ranges = self._with(path, wanted, limit)
            # The host knows open files where fcntl(2) knows processes: what this owner locked here through another fid would be in its own way.
            replaced = [held for held in self._own(path, wanted) if held.file is not wanted.file]
            for held in replaced:
                self._release_host(path, held, wanted)
            taken = False
            try:
                taken = wanted.file is None or _host_lock(wanted.file, wanted.kind, wanted.start, wanted.end)
            finally:
                for held in () if taken else replaced:
                    self._relock_host(held, wanted)
            if not taken:
                return False
            self._store(path, wanted.owner.session, ranges)
            self._paths.setdefault(wanted.fid, set()).add(path)
            return True

    def _first(self, path: int, wanted: Range, limit: int) -> bool:
        """As ``lock``, where nobody has anything yet: no conflict, nothing to join or to replace (2 us less, and it is the usual case)."""
        ranges = self._counted(path, wanted, [wanted], limit)
        if wanted.file is not None and not _host_lock(wanted.file, wanted.kind, wanted.start, wanted.end):
            return False
        self._store(path, wanted.owner.session, ranges)
        self._paths.setdefault(wanted.fid, set()).add(path)
        return True

    def _last(self, path: int, given: Range) -> bool:
        """As ``unlock``, where all there is on a file is one lock, given back whole (1.5 us less, and it is the usual case); else False."""
        held = self._files[path][0]
        if len(self._files[path]) > 1 or held.start < given.start or given.end < held.end or held.owner != given.owner:
            return False
        if held.file is not None:
            _host_lock(held.file, LOCK_UNLCK, held.start, held.end)
        self._store(path, given.owner.session, [])
        return True

    def unlock(self, path: int, given: Range, limit: int) -> None:
        """Give a range back, in part or in whole, held or not. ENOLCK if what is left of a lock split in two is one range too many."""
        with self._guard:
            if path not in self._files or self._last(path, given):
                return
            ranges = self._without(path, given, limit)
            for held in self._own(path, given):
                self._release_host(path, held, given)
            self._store(path, given.owner.session, ranges)

    def test(self, path: int, wanted: Range) -> Range | tuple[int, int, int, int] | None:
        """What stands in the way of a lock: a client's range, a host process's (kind, start, length, pid), or nothing."""
        with self._guard:
            held = self._conflict(path, wanted)
            # To the host, what the same owner has there through another fid looks like somebody else's.
            if (
                held is not None
                or wanted.file is None
                or any(own.file is not wanted.file for own in self._own(path, wanted))
            ):
                return held
            length = 0 if wanted.end == END else wanted.end - wanted.start
            return wanted.file.test_lock(wanted.kind, wanted.start, length)

    def forget(self, fid: object) -> None:
        """A fid ends, and with it all locks taken through it. The host's end with its handle."""
        if fid not in self._paths:
            return
        with self._guard:
            for path in self._paths.pop(fid):
                ranges = self._files.get(path, [])
                gone = [held for held in ranges if held.fid is fid]
                if gone:
                    self._store(path, gone[0].owner.session, [held for held in ranges if held.fid is not fid])

    def _store(self, path: int, session: object, ranges: list[Range]) -> None:
        """The ranges of a file from now on; only those of one session changed in number."""
        count = self._counts.get(session, 0) + len(ranges) - len(self._files.get(path, ()))
        if count:
            self._counts[session] = count
        else:
            self._counts.pop(session, None)
        if ranges:
            self._files[path] = ranges
        else:
            self._files.pop(path, None)

    def _with(self, path: int, wanted: Range, limit: int) -> list[Range]:
        """The ranges of a file with ``wanted`` among them: in the place of what its owner had there, and as one with its neighbours."""
        wider = wanted
        touching = wanted._replace(start=max(wanted.start - 1, 0), end=min(wanted.end + 1, END))
        for held in self._own(path, touching):
            if held.kind == wanted.kind and held.fid is wanted.fid:
                wider = wider._replace(start=min(held.start, wider.start), end=max(held.end, wider.end))
        return self._counted(path, wider, [*self._less(path, wider), wider], limit)

    def _without(self, path: int, cut: Range, limit: int) -> list[Range]:
        return self._counted(path, cut, self._less(path, cut), limit)

    def _counted(self, path: int, one: Range, ranges: list[Range], limit: int) -> list[Range]:
        more = len(ranges) - len(self._files.get(path, ()))
        if more > 0 and self._counts.get(one.owner.session, 0) + more > limit:
            raise OverLimit("locks", Errno.ENOLCK, f"{limit} locks are the limit of a connection")
        return ranges

    def _less(self, path: int, cut: Range) -> list[Range]:
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

    def _release_host(self, path: int, held: Range, cut: Range) -> None:
        """Unlock on the host what of ``held`` lies in ``cut``, except where another owner's lock goes through the same open file."""
        if held.file is None:
            return
        start, end = max(held.start, cut.start), min(held.end, cut.end)
        _host_lock(held.file, LOCK_UNLCK, start, end)
        for other in self._files[path]:
            if other.file is held.file and other.owner != held.owner and other.start < end and start < other.end:
                self._relock_host(other, held._replace(start=start, end=end))

    @staticmethod
    def _relock_host(held: Range, cut: Range) -> None:
        if held.file is not None:
            _host_lock(held.file, held.kind, max(held.start, cut.start), min(held.end, cut.end))


def conflict_kind(asked: int) -> int:
    """Linux sends Tgetlock always with type *unlock*: look for any lock, as a writer would."""
    return LOCK_RDLCK if asked == LOCK_RDLCK else LOCK_WRLCK
