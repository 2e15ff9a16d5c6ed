"""Open files and directories of the memory driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.drivers.memory.inode import Entry, Inode
from ninep.drivers.memory.sparse import Sparse
from ninep.errors import Refused
from ninep.linux import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    NO_ID,
    O_ACCMODE,
    O_APPEND,
    O_NOATIME,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    SEEK_DATA,
    SEEK_HOLE,
    Errno,
)
from ninep.node import OpenDir, OpenFile
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.types import Buffer, Dirent

_MODES: Final = frozenset(
    {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE}
    | {FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE}
)


class MemoryFile(OpenFile):
    """An open regular file; it holds a reference to its inode."""

    __slots__ = ("flags", "inode", "reads", "writes")

    def __init__(self, inode: Inode, flags: int) -> None:
        inode.ref()
        self.inode = inode
        self.flags = flags
        access = flags & O_ACCMODE
        self.reads = access in {O_RDONLY, O_RDWR}
        self.writes = access in {O_WRONLY, O_RDWR}

    def read(self, offset: int, count: int) -> Buffer:
        return self._content().read(offset, count)

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        return self._content().read_into(offset, buffers)

    def _content(self) -> Sparse:
        """What is read, now."""
        if not self.reads:
            raise Refused(Errno.EBADF, "not open for reading")
        inode = self.inode
        if not self.flags & O_NOATIME:
            inode.accessed()
        return inode.content

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        return self.write_from(offset, (memoryview(data),), by)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        if not self.writes:
            raise Refused(Errno.EBADF, "not open for writing")
        inode = self.inode
        return inode.write(inode.content.size if self.flags & O_APPEND else offset, buffers, by)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        if not self.writes:
            raise Refused(Errno.EBADF, "not open for writing")
        self.inode.truncate(size, by)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:
        if not self.writes:
            raise Refused(Errno.EBADF, "not open for writing")
        if mode not in _MODES:
            raise Refused(Errno.EOPNOTSUPP)
        self.inode.allocate(mode, offset, length, by)

    def seek(self, offset: int, whence: int) -> int:
        content = self.inode.content
        if whence not in {SEEK_DATA, SEEK_HOLE}:
            raise Refused(Errno.EINVAL)
        found = content.seek(offset, hole=whence == SEEK_HOLE) if offset < content.size else None
        if found is None:
            raise Refused(Errno.ENXIO)
        return found

    def copy_file_range(self, offset: int, target: OpenFile, target_offset: int, count: int, by: int = NO_ID) -> int:
        if not isinstance(target, MemoryFile) or target.inode.superblock is not self.inode.superblock:
            raise Refused(Errno.EXDEV)
        if not target.writes or target.flags & O_APPEND:
            raise Refused(Errno.EBADF)
        content = self._content()
        count = min(count, max(0, content.size - offset))
        if target.inode is self.inode and abs(offset - target_offset) < count:
            raise Refused(Errno.EINVAL, "the ranges overlap")
        return target.inode.write(target_offset, (memoryview(content.read(offset, count)),), by)

    def close(self) -> None:
        self.inode.release()


class MemoryDir(OpenDir):
    """An open directory. The cookies are stored in the entries, so it has no state. They count what
    was ever made in the directory.
    """

    small_cookies = True
    __slots__ = ("node",)

    def __init__(self, node: Entry) -> None:
        node.clone()
        self.node = node

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        node = self.node
        inode = node.inode
        if not inode.nlink:  # a removed directory has not even "." (getdents(2))
            return ()
        found = []
        for number, name, there in ((1, b".", node), (2, b"..", node.directory)):
            if cookie < number:
                found.append(Dirent(*there.qid, number, there.inode.mode >> 12, name))
                room -= DIRENT_SIZE + len(name)
        found += [
            Dirent(*entry.qid, entry.cookie, entry.inode.mode >> 12, entry.name_now)
            for entry in inode.entries.after(cookie, room)
        ]
        return found

    def close(self) -> None:
        self.node.release()
