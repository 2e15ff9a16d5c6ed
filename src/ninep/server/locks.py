"""Byte-range locks, shared by all clients of an export.

Rules (fcntl(2), flock(2); Linux fs/9p/vfs_file.c for what its client sends)

* The owner of a lock is (session, client_id, proc_id); what one owner holds never stands in its own
  way. flock(2) arrives as a lock on the whole file and is no different.
* No request waits here: a conflict is BLOCKED, the client polls.
* The ranges of a file are kept by its qid path. A lock is also taken on the host through the open
  file (open-file-description locks), so that processes of the host, and other server processes of
  the same export, are kept out as well.
* A lock ends with an unlock, with the fid it was taken through, or with the session.
* A session holds so many ranges and no more, and so does a file: splitting them by unlocks counts
  too.

Cost: what an owner has on a file is kept in order, so that a request looks at the ranges that it
touches, once, and at most at all those of others. The host is asked once for each stretch that is
to be unlocked, however many ranges that was. In the event loop a request that would ask it more
than ``MAX_CALLS`` times raises ``WouldBlock``, and so does one for a file that a thread is at;
there an unlock lets others have the file after so many.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from ninep.errors import linux_errno
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.node import OpenFile, WouldBlock
from ninep.server.limits import OverLimit
from ninep.server.lock_ranges import END, START, Change, FileLocks, Range, less, without
from ninep.server.steps import too_late

FILE_LOCKS = 1 << 14
"""Ranges of one file, of all sessions: two sessions full of them. A lock that conflicts with none
is compared with every one of them (1 ms).
"""
MAX_CALLS = 64
"""Calls to the host in one go. Each takes 1 to 20 us, as it goes through its own list of the locks
of the file.
"""
MAX_REPLACED = 1024
"""Ranges, each taken through another open file, that one lock may replace: all of them have to be
given back and come back if it fails.
"""


CANNOT_LOCK = frozenset(
    {Errno.EBADF, Errno.EACCES, Errno.EPERM, Errno.EROFS, Errno.ETXTBSY, Errno.EOPNOTSUPP, Errno.ENOSYS}
)
"""The host cannot lock this file for us: a write lock needs a file open for writing there, which
flock(2) does not, and we may not write.
"""


def _host_lock(file: OpenFile, kind: int, start: int, end: int) -> bool:
    """Keep host processes out too; False if one is in the way. Where the host cannot, it stays a
    lock among clients.
    """
    try:
        file.lock(kind, start, 0 if end == END else end - start)
    except WouldBlock:
        raise
    except OSError as error:
        code = linux_errno(error)
        if code is Errno.EAGAIN:
            return False
        if code not in CANNOT_LOCK:
            raise
    return True


def _too_many(limit: int, of: str) -> OverLimit:
    return OverLimit("locks", Errno.ENOLCK, f"{limit} locks are the limit of {of}")


class LockTable:
    """All locks of one export.

    In the event loop (``wait`` is false) a request has the table for itself from begin to end. In a
    thread it has only its file for itself, because the host may not answer; others for that file
    wait, or raise ``WouldBlock`` in the event loop.
    """

    def __init__(self) -> None:
        self._files: dict[int, FileLocks] = {}
        self._paths: dict[object, set[int]] = {}
        """Where each fid has locks, or had some."""
        self._counts: dict[object, int] = {}
        """How many ranges each session has."""
        self._guard = threading.RLock()
        self._left = threading.Condition(self._guard)
        self._busy: set[int] = set()
        """The files that threads have for themselves ..."""
        self._later: list[tuple[int, Callable[[int], None]]] = []
        """... and what is to be done when they leave them."""

    def __len__(self) -> int:
        return sum(self._counts.values())

    def held(self, most: int) -> list[tuple[int, Range]]:
        """So many of the ranges at most, each with the qid path of its file."""
        with self._guard:
            every = (
                (path, one) for path, locks in self._files.items() for owned in locks.owners.values() for one in owned
            )
            return list(islice(every, most))

    def of_session(self, session: object) -> int:
        """How many ranges a session holds."""
        return self._counts.get(session, 0)

    def _enter(self, path: int, wait: bool) -> None:
        self._guard.acquire()
        if wait:
            while path in self._busy:
                self._left.wait()
            self._busy.add(path)
            self._guard.release()
        elif path in self._busy:
            self._guard.release()
            raise WouldBlock

    def _leave(self, path: int, wait: bool) -> None:
        if not wait:
            self._guard.release()
            return
        with self._guard:
            self._busy.discard(path)
            later, self._later = self._later, []
            for one, forget in later:
                self._soon(one, forget)
            self._left.notify_all()

    def _soon(self, path: int, forget: Callable[[int], None]) -> None:
        """Now, or when a thread leaves the file. Until then it conflicts with nothing: a request
        that wants to lock there waits as well.
        """
        if path in self._busy:
            self._later.append((path, forget))
        elif path in self._files:
            forget(path)

    def lock(self, path: int, wanted: Range, limit: int, *, wait: bool = True) -> bool:
        """Take a lock. False if another owner, or a process of the host, is in the way.

        ENOLCK if the session would then hold more than ``limit`` ranges. With ``wait`` false it may
        raise ``WouldBlock``.
        """
        if not wait:  # as below, without the calls: the usual case
            with self._guard:
                if path in self._busy:
                    raise WouldBlock
                locks = self._files.get(path)
                if locks is None:
                    return self._first(path, wanted, limit)
                return self._lock(locks, path, wanted, limit, wait)
        self._enter(path, wait)
        try:
            locks = self._files.get(path)
            if locks is None:
                return self._first(path, wanted, limit)
            return self._lock(locks, path, wanted, limit, wait)
        finally:
            self._leave(path, wait)

    def _first(self, path: int, wanted: Range, limit: int) -> bool:
        """As ``lock``, where there is no lock yet: no conflict, nothing to join or to replace (and
        it is the usual case).
        """
        owner, kind, start, end, fid, file = wanted
        session, counts = owner.session, self._counts
        if counts.get(session, 0) >= limit:
            raise _too_many(limit, "a connection")
        if file is not None and not _host_lock(file, kind, start, end):
            return False
        with self._guard:
            self._files[path] = FileLocks(wanted)
            counts[session] = counts.get(session, 0) + 1
            paths = self._paths.get(fid)
            if paths is None:
                self._paths[fid] = {path}
            else:
                paths.add(path)
        return True

    def _lock(self, locks: FileLocks, path: int, wanted: Range, limit: int, wait: bool) -> bool:
        if locks.conflict(wanted):
            return False
        change = self._with(locks, wanted)
        self._check(locks, change, limit)
        # The host knows open files where fcntl(2) knows processes: what this owner locked here
        # through another fid would be in its own way.
        own = locks.own(wanted.owner, wanted.start, wanted.end)
        replaced = [held for held in own if held.file is not wanted.file]
        if len(replaced) > MAX_CALLS and not wait:
            raise WouldBlock
        if len(replaced) > MAX_REPLACED:
            raise _too_many(MAX_REPLACED, "what one lock may replace")
        taken = self._take(locks, wanted, replaced)
        if taken:
            self._store(path, change)
            with self._guard:
                self._paths.setdefault(wanted.fid, set()).add(path)
        return taken

    def _take(self, locks: FileLocks, wanted: Range, replaced: list[Range]) -> bool:
        """Take it on the host, in the place of ``replaced``; all as it was if that cannot be."""
        for held in replaced:
            self._release_host(locks, [held], wanted.start, wanted.end)
        taken = False
        try:
            taken = wanted.file is None or _host_lock(wanted.file, wanted.kind, wanted.start, wanted.end)
        except WouldBlock as error:
            if replaced:
                raise too_late(wanted.file) from error
            raise
        finally:
            for held in () if taken else replaced:
                if held.file is not None:
                    _host_lock(held.file, held.kind, max(held.start, wanted.start), min(held.end, wanted.end))
        return taken

    def unlock(self, path: int, given: Range, limit: int, *, wait: bool = True) -> None:
        """Give a range back, in part or in whole, held or not. ENOLCK if what is left of a lock
        split in two is one range too many.

        With ``wait`` false it may raise ``WouldBlock``, and has given nothing back then.
        """
        if not wait:
            with self._guard:
                locks = self._files.get(path)
                if locks is None:
                    return
                if path in self._busy:
                    raise WouldBlock
                if self._last(path, locks, given):
                    return
        elif path not in self._files:
            return
        start = given.start
        while start < given.end:
            self._enter(path, wait)
            try:
                locks = self._files.get(path)
                if locks is None or self._last(path, locks, given):
                    return
                start = self._unlock_some(path, locks, given._replace(start=start), limit, wait)
            finally:
                self._leave(path, wait)

    def _last(self, path: int, locks: FileLocks, given: Range) -> bool:
        """As ``unlock``, where all there is on a file is one lock, given back whole (which is the
        usual case); else False.
        """
        ranges = locks.owners.get(given.owner) if locks.count == 1 else None
        if ranges is None:
            return False
        _owner, _kind, start, end, _fid, file = ranges[0]
        if start < given.start or given.end < end:
            return False
        if file is not None:
            _host_lock(file, LOCK_UNLCK, start, end)
        with self._guard:
            del self._files[path]
            self._count(given.owner.session, -1)
        return True

    def _unlock_some(self, path: int, locks: FileLocks, given: Range, limit: int, wait: bool) -> int:
        """Give back what begins at the start of ``given``, as much as may be in one go; where the
        rest begins.
        """
        owner, start, end = given.owner, given.start, given.end
        first, last = locks.touched(owner, start, end)
        if first == last:
            return end
        held = locks.owners[owner][first:last]
        spans = list(self._spans(locks, held, start, end))
        if len(spans) > MAX_CALLS:
            if not wait:
                raise WouldBlock
            held = held[:MAX_CALLS]
            end = held[-1].end
            spans = list(self._spans(locks, held, start, end))
        change = Change(owner, first, first + len(held), less(held, start, end))
        self._check(locks, change, limit)
        for file, at, until in spans:
            _host_lock(file, LOCK_UNLCK, at, until)
        self._store(path, change)
        return end

    def test(self, path: int, wanted: Range, *, wait: bool = True) -> Range | tuple[int, int, int, int] | None:
        """What stands in the way of a lock: a client's range, a host process's (kind, start,
        length, pid), or nothing.
        """
        self._enter(path, wait)
        try:
            locks = self._files.get(path)
            if locks is not None:
                held = locks.conflict(wanted)
                # To the host, what the same owner has there through another fid looks like another
                # owner's.
                own = () if held else locks.own(wanted.owner, wanted.start, wanted.end)
                if held is not None or any(one.file is not wanted.file for one in own):
                    return held
            if wanted.file is None:
                return None
            length = 0 if wanted.end == END else wanted.end - wanted.start
            return wanted.file.test_lock(wanted.kind, wanted.start, length)
        finally:
            self._leave(path, wait)

    def forget(self, fid: object) -> None:
        """A fid ends, and with it all locks taken through it. The host's end with its handle."""
        if fid not in self._paths:
            return

        def forget(path: int) -> None:
            for owner, ranges in list(self._files[path].owners.items()):
                kept = [held for held in ranges if held.fid is not fid]
                if len(kept) < len(ranges):
                    self._store(path, Change(owner, 0, len(ranges), kept))

        with self._guard:
            for path in self._paths.pop(fid, ()):
                self._soon(path, forget)

    def forget_session(self, session: object, fids: Iterable[object]) -> None:
        """A session ends, and with it all its locks; ``fids`` are those with something open. As
        ``forget`` for each, but each file once.
        """
        if session not in self._counts:
            return

        def forget(path: int) -> None:
            owners = self._files[path].owners
            for owner in [one for one in owners if one.session is session]:
                self._store(path, Change(owner, 0, len(owners[owner]), []))

        with self._guard:
            for path in {path for fid in fids for path in self._paths.pop(fid, ())}:
                self._soon(path, forget)

    # -- with the file for itself ----------------------------------------------------------------------------------------

    def _check(self, locks: FileLocks, change: Change, limit: int) -> None:
        """There may be so many ranges: ENOLCK."""
        more = change.more
        if more <= 0:
            return
        if self._counts.get(change.owner.session, 0) + more > limit:
            raise _too_many(limit, "a connection")
        if locks.count + more > FILE_LOCKS:
            raise _too_many(FILE_LOCKS, "a file")

    def _store(self, path: int, change: Change) -> None:
        """Carry out a change."""
        owner, first, last, by = change
        with self._guard:
            locks = self._files[path]
            ranges = locks.owners.setdefault(owner, [])
            ranges[first:last] = by
            if not ranges:
                del locks.owners[owner]
                if not locks.owners:
                    del self._files[path]
            locks.add(change.more)
            self._count(owner.session, change.more)

    def _count(self, session: object, more: int) -> None:
        count = self._counts.get(session, 0) + more
        if count:
            self._counts[session] = count
        else:
            self._counts.pop(session, None)

    @staticmethod
    def _with(locks: FileLocks, wanted: Range) -> Change:
        """``wanted`` in the place of what its owner had there, and as one with its neighbours of
        the same kind and fid.
        """
        first, last = locks.touched(wanted.owner, max(wanted.start - 1, 0), min(wanted.end + 1, END))
        owner, kind, start, end, fid, file = wanted
        left, right = start, end
        beside: list[Range] = []
        for held in locks.owners[owner][first:last] if last > first else ():
            _, held_kind, held_start, held_end, held_fid, _ = held
            if held_kind == kind and held_fid is fid and held_start <= end and start <= held_end:
                left, right = min(left, held_start), max(right, held_end)
            else:
                beside += less([held], start, end)
        wider = Range(owner, kind, left, right, fid, file)
        return Change(owner, first, last, sorted([*beside, wider], key=START))

    @staticmethod
    def _spans(locks: FileLocks, held: list[Range], start: int, end: int) -> Iterator[tuple[OpenFile, int, int]]:
        """What the host is to unlock, for ranges of one owner, in order: the stretch from the first
        to the last of each open file, except where another owner's lock goes through the same one.
        """
        spans: dict[OpenFile, tuple[int, int]] = {}
        for one in held:
            if one.file is not None:
                begin = spans[one.file][0] if one.file in spans else max(one.start, start)
                spans[one.file] = begin, min(one.end, end)
        kept: dict[OpenFile, list[Range]] = {}
        for other in locks.others(held[0].owner, start, end) if spans else ():
            if other.file in spans:
                kept.setdefault(other.file, []).append(other)
        for file, (begin, last) in spans.items():
            for at, until in without(begin, last, kept.get(file, ())):
                yield file, at, until

    def _release_host(self, locks: FileLocks, held: list[Range], start: int, end: int) -> None:
        for file, at, last in list(self._spans(locks, held, start, end)):
            _host_lock(file, LOCK_UNLCK, at, last)


def conflict_kind(asked: int) -> int:
    """Linux sends Tgetlock always with type *unlock*: look for any lock, as a writer would."""
    return LOCK_RDLCK if asked == LOCK_RDLCK else LOCK_WRLCK
