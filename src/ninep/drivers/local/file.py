"""An open file of the local driver: a handle and what a write must see to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ninep import host
from ninep.errors import linux_errno
from ninep.host import NO_HANDLE, Handle, Place
from ninep.linux import LOCK_UNLCK, NO_ID, O_ACCMODE, O_RDWR, Errno
from ninep.node import Buffer, OpenFile

if TYPE_CHECKING:
    from ninep.drivers.local.node import LocalNode


class LocalFile(OpenFile):
    """A regular file, open."""

    __slots__ = ("_locks", "_node", "_read_now", "by", "handle", "writable")

    def __init__(self, node: LocalNode, handle: Handle, flags: int, by: int) -> None:
        self._node = node
        self._locks = NO_HANDLE
        self._read_now: Callable[[Handle, int, int], Buffer] = host.read_now
        self.handle = handle
        self.by = by
        """Who opened it: nobody else's requests may use the rights that the open gave."""
        self.writable = bool(flags & O_ACCMODE)

    def read(self, offset: int, count: int) -> Buffer:
        data = host.read(self.handle, count, offset)
        # Short is not the end yet on every filesystem (FUSE, NFS); only nothing is.
        while 0 < len(data) < count:
            more = host.read(self.handle, count - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def read_now(self, offset: int, count: int) -> Buffer:
        try:
            return self._read_now(self.handle, count, offset)
        except OSError as error:
            if linux_errno(error) is not Errno.EOPNOTSUPP:
                raise
            # tmpfs and a few others cannot tell, and do not wait either; asking each time would cost an exception.
            self._read_now = host.read
            return self.read(offset, count)

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        if by:
            self._node.tree.model.drop_setid(self._node, Place(self.handle, NO_HANDLE, b""))
        return host.write(self.handle, data, offset)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        if by:
            self._node.tree.model.drop_setid(self._node, Place(self.handle, NO_HANDLE, b""))
        host.truncate(self.handle, size)

    def fsync(self, datasync: bool) -> None:
        host.sync(self.handle, datasync)

    # -- locks ---------------------------------------------------------------------------------------------------------

    def lock(self, kind: int, start: int, length: int) -> None:
        """The host wants a handle open for writing for a write lock; flock(2) clients have one for reading only."""
        try:
            host.lock(self.handle if self._locks == NO_HANDLE else self._locks, kind, start, length)
        except OSError as error:
            if linux_errno(error) is not Errno.EBADF or kind == LOCK_UNLCK or self._locks != NO_HANDLE:
                raise
            self._locks = self._node.open_handle(O_RDWR)
            self._node.tree.pins.count_opened(1)
            host.lock(self._locks, kind, start, length)

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        return host.test_lock(self.handle if self._locks == NO_HANDLE else self._locks, kind, start, length)

    def close(self) -> None:
        node = self._node
        node.closed(self)
        if self._locks != NO_HANDLE:
            node.tree.pins.count_opened(-1)
            host.close(self._locks)
        host.close(self.handle)
