# Generated from ninep/client/aio/verbs.py by tools/unasync.py. Do not edit.
"""The verbs of 9P on fids, as far as all dialects have them in common; the others are in ``dotl``
(9P2000.L) and ``base`` (9P2000, .u).

A verb sends as few messages as its dialect permits, raises an error reply as ``OSError``, and
leaves no fid behind: after an error or a cancellation, the fids it allocated are released. Verbs
use fids and names, not paths.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from ninep.client.blocking.connection import Connection, Stream
from ninep.client.bounds import NamesSeen
from ninep.client.errors import ListingLost, refusal
from ninep.client.exchange import Call
from ninep.client.stat import FileStat, FileSystem, LockInfo, SetAttr
from ninep.linux import NO_ID, O_DIRECTORY, Errno
from ninep.wire.codec import IOHDRSZ
from ninep.wire.messages import (
    MAX_WALK,
    NOFID,
    Message,
    Rattach,
    Rclunk,
    Rread,
    Rwalk,
    Rwrite,
    Tattach,
    Tclunk,
    Tread,
    Twalk,
    Twrite,
)
from ninep.wire.types import QT_DIR, Buffer, Qid

BYTES_IN_FLIGHT: Final = 2 << 20
REQUESTS_IN_FLIGHT: Final = 16
STATS_IN_FLIGHT: Final = 48


class Listed(NamedTuple):
    """An entry of a listing. ``kind`` is a ``linux.DT_*``; ``stat`` is set in dialects whose
    listings consist of stat records.
    """

    name: bytes
    ino: int
    kind: int
    stat: FileStat | None


class Verbs(ABC):
    """The verbs of one connection, in its dialect."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    # -- fids ----------------------------------------------------------------------------------------------------------

    def attach(self, uname: bytes, aname: bytes, n_uname: int = NO_ID) -> tuple[int, Qid]:
        """A fid for the root of the export ``aname``."""
        fid = self.connection.exchange.fids.allocate()
        request = Tattach(fid, NOFID, uname, aname, n_uname)
        return fid, (self.connection.call(request, Rattach, undo=Tclunk(fid))).qid

    def walk_partial(self, fid: int, names: Sequence[bytes]) -> tuple[int | None, list[Qid]]:
        """Walk along ``names`` as far as possible. Returns the new fid (None if not all names were
        walked) and the qids.

        Raises the server's error if the first name cannot be walked. walk(5) permits an error only
        then, and a partial list of qids otherwise; some servers send an error whenever *any* name
        cannot be walked. So after an error, names are walked one at a time.
        """
        try:
            return self._walk_in_steps(MAX_WALK, fid, names)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            if len(names) < 2:
                raise
        return self._walk_in_steps(1, fid, names)

    def _walk_in_steps(self, step: int, fid: int, names: Sequence[bytes]) -> tuple[int | None, list[Qid]]:
        """``walk_partial`` with at most ``step`` names in a message. Raises if the first message is
        refused, or one with several names.
        """
        connection = self.connection
        newfid = connection.exchange.fids.allocate()
        reply = connection.call(Twalk(fid, newfid, list(names[:step])), Rwalk, undo=Tclunk(newfid))
        qids = reply.qids
        if len(qids) < min(len(names), step):
            return None, qids  # the exchange frees newfid
        try:
            while len(qids) < len(names):
                more = list(names[len(qids) : len(qids) + step])
                reply = connection.call(Twalk(newfid, newfid, more), Rwalk)
                qids += reply.qids
                if len(reply.qids) < len(more):
                    break
        except (ConnectionError, TimeoutError):
            self.release(newfid)
            raise
        except OSError:
            self.release(newfid)
            if len(more) > 1:
                raise
            return None, qids
        except BaseException:
            self.release(newfid)
            raise
        if len(qids) < len(names):
            self.release(newfid)
            return None, qids
        return newfid, qids

    def walk(self, fid: int, names: Sequence[bytes]) -> tuple[int, Qid | None]:
        """A new fid at the end of ``names``, and its qid (None without names: a copy of the
        fid).
        """
        newfid, qids = self.walk_partial(fid, names)
        if newfid is not None:
            return newfid, qids[-1] if qids else None
        if not qids[-1].type & QT_DIR:
            raise refusal(Errno.ENOTDIR)
        # A partial walk has no error; that of the next name alone has one.
        last, _ = self.walk_partial(fid, names[: len(qids)])
        if last is None:
            raise refusal(Errno.ENOENT)
        try:
            newfid, more = self.walk_partial(last, names[len(qids) :])
        finally:
            self.release(last)
        if newfid is None:
            raise refusal(Errno.ENOENT)
        return newfid, more[-1]

    def clunk(self, fid: int) -> None:
        """Release a fid and wait for the reply, which can report errors of closing. The fid is
        invalid in any case.
        """
        self.connection.call(Tclunk(fid), Rclunk)

    def release(self, fid: int) -> None:
        """Release a fid without waiting for the reply."""
        self.connection.detach(Tclunk(fid))

    # -- reading and writing -------------------------------------------------------------------------------------------

    def chunk(self, iounit: int) -> int:
        """The number of bytes of one Tread or Twrite of a file."""
        largest = self.connection.msize - IOHDRSZ
        return min(iounit, largest) if iounit else largest

    def checked(self, qid: Qid, iounit: int, flags: int) -> int:
        """The iounit of an opened file. ENOTDIR if a directory was requested: the data of a file
        would look like a damaged listing.
        """
        if flags & O_DIRECTORY and not qid.type & QT_DIR:
            raise refusal(Errno.ENOTDIR)
        return iounit

    def read(self, fid: int, offset: int, count: int) -> bytes:
        """One Tread. Empty at the end of the file."""
        return bytes((self.connection.call(Tread(fid, offset, count), Rread)).data)

    def read_ahead(self, fid: int, offset: int, count: int, chunk: int, sure: bool = True) -> Stream[bytes]:
        """The bytes from ``offset``, in pieces, at most ``count``; stops at the end of the file.
        Several Treads are in flight.

        Unless it is ``sure`` that (nearly) ``count`` bytes exist, it starts with one Tread and
        doubles the number: otherwise most files would cost many requests beyond their end.
        """
        connection = self.connection
        window = _window(chunk) if sure else 1
        end = offset + count
        asked = offset
        pending: deque[tuple[Call, int]] = deque()
        try:
            while asked < end or pending:
                while asked < end and len(pending) < window:
                    size = min(chunk, end - asked)
                    pending.append((connection.start(Tread(fid, asked, size)), size))
                    asked += size
                call, size = pending.popleft()
                data = bytes((connection.finish(call, Rread)).data)
                offset += len(data)
                if data:
                    yield data
                if len(data) == size:
                    window = min(2 * window, _window(chunk))
                else:
                    # The requests after this one now have wrong offsets. Some servers return short
                    # replies before the end, so only an empty reply is the end.
                    while pending:
                        connection.finish(pending.popleft()[0], Rread)
                    if not data:
                        return
                    asked = offset
                    chunk = max(len(data), 512)  # the server's maximum, or the end is near
                    window = 1
        finally:
            connection.abandon([call for call, _ in pending])

    def write_behind(self, fid: int, offset: int, data: Buffer, chunk: int, ordered: bool = False) -> None:
        """Write all of ``data`` at ``offset``, with several Twrites in flight (one if ``ordered``,
        for files in append mode).

        After an error, nothing more is written when this returns.
        """
        connection = self.connection
        view = memoryview(data).cast("B")
        window = 1 if ordered else _window(chunk)
        left = deque((start, min(start + chunk, len(view))) for start in range(0, len(view), chunk))
        pending: deque[tuple[Call, int, int]] = deque()
        failure: OSError | None = None
        try:
            while left or pending:
                while left and len(pending) < window:
                    start, end = left.popleft()
                    pending.append((connection.start(Twrite(fid, offset + start, view[start:end])), start, end))
                call, start, end = pending.popleft()
                try:
                    written = (connection.finish(call, Rwrite)).count
                except (ConnectionError, TimeoutError):
                    raise
                except OSError as error:
                    failure = failure or error
                    left.clear()
                    continue
                if not written:
                    failure = failure or refusal(Errno.EIO, "the server wrote nothing")
                    left.clear()
                elif start + written < end and failure is None:
                    left.appendleft((start + written, end))
        finally:
            connection.abandon([call for call, _, _ in pending])
        if failure is not None:
            raise failure

    # -- attributes of many --------------------------------------------------------------------------------------------

    def stat_many(self, dirfid: int, names: Sequence[bytes]) -> list[FileStat | OSError]:
        """The attributes of entries of a directory, in the order of ``names``, or the error of each
        that failed.

        Takes three round trips per ``STATS_IN_FLIGHT`` entries.
        """
        results: list[FileStat | OSError] = []
        for start in range(0, len(names), STATS_IN_FLIGHT):
            results += self._stat_batch(dirfid, names[start : start + STATS_IN_FLIGHT])
        return results

    def _stat_batch(self, dirfid: int, names: Sequence[bytes]) -> list[FileStat | OSError]:
        connection = self.connection
        fids = [connection.exchange.fids.allocate() for _ in names]
        walked: list[OSError | None] = []
        results: list[FileStat | OSError] = []
        pending: deque[Call] = deque()
        try:
            for fid, name in zip(fids, names, strict=True):
                pending.append(connection.start(Twalk(dirfid, fid, [name]), Tclunk(fid)))
            while pending:
                walked.append(self._outcome(pending.popleft()))
            for fid, failure in zip(fids, walked, strict=True):
                if failure is None:
                    pending.append(connection.start(self.stat_request(fid)))
            for failure in walked:
                if failure is not None:
                    results.append(failure)
                    continue
                call = pending.popleft()
                refused = self._outcome(call)
                results.append(
                    self.stat_of(call.reply) if refused is None and call.reply else refused or refusal(Errno.EIO)
                )
        finally:
            connection.abandon(pending)
            for fid, failure in zip(fids, walked, strict=False):
                if failure is None:
                    self.release(fid)
        return results

    def _outcome(self, call: Call) -> OSError | None:
        """Wait for a call. Returns None, or the server's error. A broken connection is raised."""
        try:
            self.connection.finish(call, Message)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            return error
        return None

    # -- what the dialects do differently ------------------------------------------------------------------------------

    @abstractmethod
    def stat_request(self, fid: int) -> Message:
        """The message that requests the attributes."""

    @abstractmethod
    def stat_of(self, reply: Message) -> FileStat:
        """The attributes in the reply to it."""

    @abstractmethod
    def stat(self, fid: int) -> FileStat:
        """The attributes of a file, open or not."""

    @abstractmethod
    def setattr(self, fid: int, changes: SetAttr) -> None:
        """Change attributes of a file, open or not."""

    @abstractmethod
    def open(self, fid: int, flags: int) -> int:
        """Open a file or directory with ``linux.O_*``. Returns the iounit."""

    @abstractmethod
    def create(self, fid: int, name: bytes, flags: int, mode: int, gid: int) -> tuple[int, Qid]:
        """Create a file and open it; the directory's fid becomes the file's. EEXIST if the name
        exists. Returns iounit and qid.
        """

    def names_seen(self) -> NamesSeen | None:
        """For a listing that may have to begin again at another server."""
        return None if self.connection.exchange.state is None else NamesSeen()

    @staticmethod
    def unseen(batch: list[Listed], seen: NamesSeen | None) -> list[Listed]:
        """The entries that the listing has not given already."""
        return batch if seen is None else [entry for entry in batch if seen.add(entry.name)]

    @staticmethod
    def check_restart(error: ListingLost, seen: NamesSeen | None) -> None:
        """Raise the error if the listing cannot begin again."""
        if seen is None or not seen.complete:
            raise error

    @abstractmethod
    def entries(self, fid: int) -> Stream[list[Listed]]:
        """The entries of an opened directory, in batches, without ``.`` and ``..``."""

    @abstractmethod
    def mkdir(self, dirfid: int, name: bytes, mode: int, gid: int) -> None:
        """Make a directory."""

    @abstractmethod
    def symlink(self, dirfid: int, name: bytes, target: bytes, gid: int) -> None:
        """Make a symbolic link."""

    @abstractmethod
    def mknod(self, dirfid: int, name: bytes, mode: int, rdev: int, gid: int) -> None:
        """Make a device, FIFO or socket."""

    @abstractmethod
    def link(self, dirfid: int, fid: int, name: bytes) -> None:
        """Make a hard link."""

    @abstractmethod
    def readlink(self, fid: int) -> bytes:
        """The target of a symbolic link."""

    @abstractmethod
    def rename(self, olddir: int, oldname: bytes, newdir: int | None, newname: bytes) -> None:
        """Rename an entry; ``newdir`` None: in its directory."""

    @abstractmethod
    def unlink(self, dirfid: int, name: bytes, directory: bool) -> None:
        """Remove a directory, or anything else."""

    @abstractmethod
    def unlink_request(self, dirfid: int, name: bytes) -> Message | None:
        """The message that removes a file, in dialects where one is enough."""

    @abstractmethod
    def fsync(self, fid: int, datasync: bool) -> None:
        """Flush to stable storage."""

    # -- what only 9P2000.L has ----------------------------------------------------------------------------------------

    def statfs(self, fid: int) -> FileSystem:
        """Statistics of the filesystem."""
        raise self.unsupported("statfs")

    def xattr(self, fid: int, name: bytes) -> bytes:
        """The value of an extended attribute; with an empty name the list of names, each terminated
        by a NUL.
        """
        raise self.unsupported("extended attributes")

    def set_xattr(self, fid: int, name: bytes, value: bytes, flags: int) -> None:
        """Set an extended attribute."""
        raise self.unsupported("extended attributes")

    def lock(self, fid: int, kind: int, start: int, length: int, proc_id: int, client_id: bytes) -> int:
        """Lock or unlock a byte range; returns ``linux.LOCK_SUCCESS``, ``LOCK_BLOCKED`` ..."""
        raise self.unsupported("locks")

    def test_lock(
        self, fid: int, kind: int, start: int, length: int, proc_id: int, client_id: bytes
    ) -> LockInfo | None:
        """The conflicting lock, if there is one."""
        raise self.unsupported("locks")

    def unsupported(self, what: str) -> OSError:
        """The error for a verb without a message in this dialect."""
        return refusal(Errno.EOPNOTSUPP, f"{self.connection.dialect.value.decode()} has no {what}")


def _window(chunk: int) -> int:
    return max(2, min(REQUESTS_IN_FLIGHT, BYTES_IN_FLIGHT // chunk))
