"""What nodes open: the second page of the driver interface, whose rules are those of ``node``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.wire.buffers import length, scatter
from ninep.wire.types import Buffer, Dirent


class OpenFile(ABC):
    """A file opened by ``Node.open`` or ``Node.create``; a fid reads and writes it.

    It stays usable after the file is renamed or unlinked. Verbs may be called from worker threads.
    """

    idle: bool = False
    """Between calls, it holds no scarce resource, such as a file descriptor of the host, until it
    is locked."""

    @abstractmethod
    def read(self, offset: int, count: int) -> Buffer:
        """Up to ``count`` bytes from ``offset``: fewer only at the end of the file, none beyond
        it.
        """

    def read_now(self, offset: int, count: int) -> Buffer:
        """As ``read``, for the event loop: raises ``WouldBlock`` if it would have to wait
        (preadv2(2), RWF_NOWAIT).
        """
        return self.read(offset, count)

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """As ``read_now``, into memory of the caller: fills ``buffers`` in order, and returns the
        number of bytes read. Called in the event loop only.

        The memory may be shared with a client, which sees and changes it at any moment: what was
        put there must not be read again. After an error its content is undefined, so an error may
        come at any point, ``WouldBlock`` too. No reference to it may be kept.
        """
        return scatter(buffers, self.read_now(offset, length(buffers)))

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        """Write ``data`` at ``offset`` (at the end for a file opened O_APPEND). Returns the number
        of bytes written, which may be fewer.

        ``by`` is the uid of the writing user: unless it is 0, SUID and (with group execution) SGID
        are dropped. The buffer belongs to the caller, which reuses it after the return.
        """
        raise Refused(Errno.EBADF)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        """As ``write``, of the content of several buffers one after the other. Called in the event
        loop only: raises ``WouldBlock``, before anything is written, if it would have to wait.

        As for ``read_into`` the memory may change at any moment (what is looked at twice may
        differ), and no reference to it may be kept.
        """
        return self.write(offset, b"".join(buffers), by)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        """Set the size, as ``Changes.size`` does, through the open file: permitted whatever mode
        the file has now.
        """
        raise Refused(Errno.EBADF)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:
        """Reserve or give back the space of ``length`` bytes (at least 1) from ``offset``:
        fallocate(2). ``mode`` is a set of ``linux.FALLOC_FL_*``; 0 reserves space and, where the
        range ends behind the end, extends the file.

        Raises ``WouldBlock`` where it may not wait. ``by`` as in ``write``. EBADF if the file is not open for
        writing, ENOSPC, EFBIG, EINVAL. EOPNOTSUPP for a mode that the driver does not have: nothing
        may take its place, or a program that relies on the space would be misled.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def seek(self, offset: int, whence: int) -> int:
        """The offset, not before ``offset``, where data (``linux.SEEK_DATA``) or a hole
        (``SEEK_HOLE``) begin: lseek(2). The end of the file counts as a hole.

        Raises ``WouldBlock`` where it may not wait; changes nothing. ENXIO if ``offset`` is at the end or
        behind it, and for SEEK_DATA where only a hole follows. EOPNOTSUPP from a driver that keeps
        no holes: the server then takes the file for data from begin to end.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def copy_file_range(self, offset: int, target: OpenFile, target_offset: int, count: int, by: int = NO_ID) -> int:
        """Copy up to ``count`` bytes from ``offset`` to ``target_offset`` of another open file,
        without the client seeing them: copy_file_range(2). Returns the number of bytes copied, 0
        at the end of this file.

        Raises ``WouldBlock`` where it may not wait. ``by``: as in ``write``, of the target. EBADF unless this
        file is open for reading and the target for writing, EINVAL where both ranges overlap in one
        file, EXDEV for a file of another driver or export. With EXDEV and EOPNOTSUPP the client
        copies by reading and writing.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def fsync(self, datasync: bool) -> None:
        """Return when the data written is on stable storage (fsync(2), or fdatasync(2))."""

    def lock(self, kind: int, start: int, length: int) -> None:
        """Set (``linux.LOCK_RDLCK``, ``LOCK_WRLCK``) or remove (``LOCK_UNLCK``) a lock of a byte
        range against other processes of the host.

        ``length`` 0 extends to the end of the file. Never waits: EAGAIN if another process holds a
        conflicting lock. The server itself keeps the locks of its clients apart; a driver without
        host processes has nothing to do. A write lock requires a file that is open for writing
        (fcntl(2)): EBADF otherwise, and the server then keeps the lock among its clients only.
        flock(2) clients request it for files that they opened for reading; a driver may open such a
        file for writing to lock it, if the user has that permission, but not below a read-only
        export, whose layer refuses before the driver is called.
        """

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        """The conflicting lock of a host process, as (kind, start, length, pid), or None."""
        return None

    def close(self) -> None:
        """Called exactly once. An error is reported to the client; the file is closed in any
        case.
        """


class OpenDir(ABC):
    """A directory opened by ``Node.opendir``."""

    packs: bool = False
    """``read_packed`` is always supported: None then means that not even one entry fits."""
    small_cookies: bool = False
    """Cookies are below 2**31 and found in no time, wherever they lead: clients get them as they are.
    Otherwise the server numbers the entries, and counts them to find a place again.
    """

    @abstractmethod
    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        """Entries after ``cookie`` (0: from the start, read again), including ``.`` and ``..``;
        empty only at the end.

        ``room`` is the size of the reply in bytes; an entry takes 24 + the length of its name. A
        driver need not return more entries than fit (but at least one, if there is one), and the
        server may use fewer. Plain tuples in the field order of ``Dirent`` are permitted. An entry
        that exists throughout is returned exactly once between two rewinds, whatever is created and
        deleted meanwhile. An entry whose attributes cannot be read never makes the call fail.
        """

    def read_packed(self, cookie: int, room: int) -> Buffer | None:
        """As ``read``, in the format of Rreaddir (``wire.codec.pack_dirents``): whole entries, at
        most ``room`` bytes, empty at the end.

        For drivers that have the entries in this format already. None: the server calls ``read``
        instead (also if not even one entry fits). Cookies in this format must be below 2**31
        (``wire.cookies`` helps), and a reply after a jump to another position must be short: the
        client may discard all but its first entry. ``read`` may return any cookies: the server
        replaces them by numbers.
        """
        return None

    def is_far(self, cookie: int) -> bool:
        """Whether continuing after this cookie requires reading thousands of entries first: the
        server then calls ``read_packed`` in a worker thread.
        """
        del cookie
        return False

    def fsync(self, datasync: bool) -> None:
        """As ``OpenFile.fsync``, for the directory's entries."""

    def close(self) -> None:
        """Called exactly once."""
