"""An open file: position, reading and writing, locks."""

from __future__ import annotations

import errno
import os
import time
from contextlib import aclosing
from types import TracebackType
from typing import Final, Self

from ninep.client.aio.connection import Stream
from ninep.client.aio.verbs import Verbs
from ninep.client.errors import about, refusal
from ninep.client.identity import lock_owner
from ninep.client.opening import readable, writable
from ninep.client.stat import FileStat, LockInfo, SetAttr
from ninep.linux import (
    LOCK_BLOCKED,
    LOCK_ERROR,
    LOCK_GRACE,
    LOCK_RDLCK,
    LOCK_SUCCESS,
    LOCK_UNLCK,
    LOCK_WRLCK,
    O_APPEND,
    Errno,
)
from ninep.wire.dialect import Dialect
from ninep.wire.types import Buffer

TO_THE_END: Final = 1 << 62
_POLL_FIRST: Final = 0.01
_POLL_LAST: Final = 0.5
_NOT_LOCKED: Final = {
    LOCK_BLOCKED: (Errno.EAGAIN, "locked by another owner"),
    LOCK_ERROR: (Errno.ENOLCK, "the server cannot lock"),
    LOCK_GRACE: (Errno.EAGAIN, "the server is in its grace period"),
}


class AsyncFile:
    """A file opened by ``AsyncClient.open``. Binary; it has one position, which tasks share.

    ``read`` and ``write`` use and move the position, ``pread`` and ``pwrite`` do not. There is no
    buffer: after ``write`` returns, the server has the data. Large reads and writes are split into
    messages, several of them in flight.
    """

    def __init__(self, verbs: Verbs, fid: int, name: str, flags: int, iounit: int) -> None:
        self.name = name
        """The path of the file, as passed to ``open``."""
        self.flags = flags
        self._verbs = verbs
        self._fid = fid
        self._chunk = verbs.chunk(iounit)
        self._position = 0
        self._closed = False
        # plain 9P2000 has no append mode: before each write the position is moved to the end
        self._seek_to_append = bool(flags & O_APPEND) and verbs.connection.dialect is Dialect.BASE

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}{' closed' if self._closed else ''}>"

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    @property
    def fid(self) -> int:
        """The fid, for sending other messages."""
        self._check()
        return self._fid

    def readable(self) -> bool:
        """Whether the file is open for reading."""
        return readable(self.flags)

    def writable(self) -> bool:
        """Whether the file is open for writing."""
        return writable(self.flags)

    def _check(self) -> None:
        if self._closed:
            raise ValueError("the file is closed")

    async def close(self) -> None:
        """Close the file. Raises the errors that the server reports at close (EDQUOT, ENOSPC). May
        be called twice.
        """
        if self._closed:
            return
        self._closed = True
        if not self._verbs.connection.closed:
            with about(self.name):
                await self._verbs.clunk(self._fid)

    # -- reading -------------------------------------------------------------------------------------------------------

    async def chunks(self, offset: int | None = None, count: int = -1) -> Stream[bytes]:
        """The content in pieces, as they arrive: from ``offset`` (default: the position, which is
        moved), at most ``count`` bytes.
        """
        self._check()
        moving = offset is None
        start = self._position if offset is None else offset
        sure = count >= 0
        pieces = self._verbs.read_ahead(self._fid, start, count if sure else TO_THE_END - start, self._chunk, sure)
        with about(self.name):
            async with aclosing(pieces):
                async for piece in pieces:
                    if moving:
                        self._position += len(piece)
                    yield piece

    async def pread(self, count: int, offset: int) -> bytes:
        """``count`` bytes from ``offset``; fewer only at the end of the file."""
        self._check()
        with about(self.name):
            if count <= self._chunk:
                data = await self._verbs.read(self._fid, offset, count)
                if len(data) == count or not data:
                    return data
                pieces = [data]
            else:
                pieces = []
            done = sum(map(len, pieces))
            rest = self._verbs.read_ahead(self._fid, offset + done, count - done, self._chunk)
            async with aclosing(rest):
                async for piece in rest:
                    pieces.append(piece)
            return b"".join(pieces)

    async def read(self, count: int = -1) -> bytes:
        """``count`` bytes from the position, or all; fewer only at the end of the file, none beyond
        it.
        """
        if count >= 0:
            data = await self.pread(count, self._position)
        else:
            self._check()
            data = await self._read_all(self._position)
        self._position += len(data)
        return data

    async def _read_all(self, offset: int) -> bytes:
        """All bytes from ``offset``. The size saves a request beyond the end, but is only a hint: a
        file may grow, and files of /proc report 0.
        """
        hint = (await self.stat()).st_size - offset
        if 0 < hint < self._chunk:
            with about(self.name):
                data = await self._verbs.read(self._fid, offset, hint + 1)
            if len(data) == hint:
                return data  # fewer than the size: the end
        else:
            data = await self.pread(hint, offset) if hint > 0 else b""
        pieces = [data]
        rest = self._rest(offset + len(data))
        async with aclosing(rest):
            async for piece in rest:
                pieces.append(piece)
        return b"".join(pieces)

    async def _rest(self, offset: int) -> Stream[bytes]:
        """The bytes after the expected end, with one request at a time."""
        while data := await self.pread(self._chunk, offset):
            offset += len(data)
            yield data

    async def lines(self) -> Stream[bytes]:
        """The lines from the position on, including line ends. The position moves with each
        line.
        """
        rest = b""
        position = self._position
        async with aclosing(self.chunks(position)) as pieces:
            async for piece in pieces:
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    position += len(line) + 1
                    self._position = position
                    yield line + b"\n"
        if rest:
            self._position = position + len(rest)
            yield rest

    def __aiter__(self) -> Stream[bytes]:
        return self.lines()

    # -- writing -------------------------------------------------------------------------------------------------------

    async def pwrite(self, data: Buffer, offset: int) -> int:
        """Write all of ``data`` at ``offset`` (in append mode: at the end). Returns its length."""
        self._check()
        ordered = bool(self.flags & O_APPEND)
        with about(self.name):
            if self._seek_to_append:
                offset = (await self._verbs.stat(self._fid)).st_size
            await self._verbs.write_behind(self._fid, offset, data, self._chunk, ordered)
        return memoryview(data).nbytes

    async def write(self, data: Buffer) -> int:
        """Write all of ``data`` at the position, and move it. Returns its length."""
        count = await self.pwrite(data, self._position)
        self._position += count
        return count

    async def truncate(self, size: int | None = None) -> int:
        """Set the size (default: to the position). Returns the size."""
        self._check()
        if size is None:
            size = self._position
        with about(self.name):
            await self._verbs.setattr(self._fid, SetAttr(size=size))
        return size

    async def fsync(self, datasync: bool = False) -> None:
        """Return when the data written is on the server's stable storage."""
        self._check()
        with about(self.name):
            await self._verbs.fsync(self._fid, datasync)

    # -- position and attributes ---------------------------------------------------------------------------------------

    def tell(self) -> int:
        """The position."""
        return self._position

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position (relative to the start, the position, or the end of the file). Returns
        the new position.
        """
        self._check()
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += (await self.stat()).st_size
        elif whence != os.SEEK_SET:
            raise ValueError(f"whence {whence} is not known")
        if offset < 0:
            raise OSError(errno.EINVAL, "the position would be negative", self.name)
        self._position = offset
        return offset

    async def stat(self) -> FileStat:
        """The attributes, also after a rename or removal of the file."""
        self._check()
        with about(self.name):
            return await self._verbs.stat(self._fid)

    # -- locks ---------------------------------------------------------------------------------------------------------

    async def lock(
        self,
        start: int = 0,
        length: int = 0,
        *,
        shared: bool = False,
        wait: bool = True,
        timeout: float | None = None,
        owner: int | None = None,
    ) -> None:
        """Lock ``length`` bytes from ``start`` (0: to the end, also if the file grows), exclusively
        or ``shared``, for one ``owner``.

        Without ``wait``, ``BlockingIOError`` at once if another owner has a conflicting lock; with
        it, ``TimeoutError`` after ``timeout`` seconds. 9P has no blocking lock request, so the
        request is repeated. The owner is this process (its id) or any other number: locks of one
        owner do not conflict, and one unlock removes them. Closing the file unlocks it.
        """
        kind = LOCK_RDLCK if shared else LOCK_WRLCK
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _POLL_FIRST
        while (status := await self._lock(kind, start, length, owner)) != LOCK_SUCCESS:
            if status == LOCK_ERROR or not wait:
                with about(self.name):
                    raise refusal(*_NOT_LOCKED[status])
            if deadline is not None and time.monotonic() + pause > deadline:
                raise TimeoutError(errno.ETIMEDOUT, f"still locked after {timeout:g} s", self.name)
            await self._verbs.connection.sleep(pause)
            pause = min(pause * 1.5, _POLL_LAST)

    async def unlock(self, start: int = 0, length: int = 0, *, owner: int | None = None) -> None:
        """Unlock a byte range, locked or not."""
        status = await self._lock(LOCK_UNLCK, start, length, owner)
        if status in {LOCK_ERROR, LOCK_GRACE}:
            with about(self.name):
                raise refusal(*_NOT_LOCKED[LOCK_ERROR])

    async def _lock(self, kind: int, start: int, length: int, owner: int | None) -> int:
        self._check()
        with about(self.name):
            return await self._verbs.lock(
                self._fid, kind, start, length, os.getpid() if owner is None else owner, lock_owner()
            )

    async def test_lock(
        self, start: int = 0, length: int = 0, *, shared: bool = False, owner: int | None = None
    ) -> LockInfo | None:
        """A conflicting lock of another owner, or None."""
        self._check()
        kind = LOCK_RDLCK if shared else LOCK_WRLCK
        with about(self.name):
            return await self._verbs.test_lock(
                self._fid, kind, start, length, os.getpid() if owner is None else owner, lock_owner()
            )
