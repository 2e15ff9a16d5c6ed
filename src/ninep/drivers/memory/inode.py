"""What a name in memory leads to: inodes, the entries of directories, and the room they all share.

Single-threaded. Knows no nodes' rules (``node.py``) beyond the fact that entries hold nodes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

from ninep.drivers.memory.sparse import Sparse
from ninep.errors import Refused
from ninep.linux import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP, Errno
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.types import QT_DIR, QT_SYMLINK, Buffer, Qid

if TYPE_CHECKING:
    from ninep.drivers.memory.node import MemoryNode

MAX_SIZE = (1 << 63) - 1
QID_TYPES = {S_IFDIR: QT_DIR, S_IFLNK: QT_SYMLINK}


class Space:
    """What is left of the two limits."""

    __slots__ = ("bytes", "capacity", "files", "inodes")

    def __init__(self, capacity: int, inodes: int) -> None:
        self.capacity = capacity
        self.inodes = inodes
        self.bytes = 0
        self.files = 0

    def take(self, count: int, files: int = 0) -> None:
        """ENOSPC, with nothing taken, if it is not there."""
        if self.bytes + count > self.capacity or self.files + files > self.inodes:
            raise Refused(Errno.ENOSPC)
        self.bytes += count
        self.files += files

    def give(self, count: int, files: int = 0) -> None:
        self.bytes -= count
        self.files -= files


class Tree:
    """What all inodes of one export share."""

    __slots__ = ("clock", "gid", "next_number", "space", "uid")

    def __init__(self, space: Space, clock: Callable[[], int], uid: int, gid: int) -> None:
        self.space = space
        self.clock = clock
        self.uid = uid
        self.gid = gid
        self.next_number = count(1).__next__


class Inode:
    """A file of any type."""

    __slots__ = (
        "atime", "btime", "claims", "content", "ctime", "entries", "gid", "mode", "mtime", "nlink", "number", "rdev",
        "target", "tree", "uid", "version", "xattrs",
    )  # fmt: skip

    def __init__(self, tree: Tree, mode: int, uid: int, gid: int) -> None:
        self.tree = tree
        self.number = tree.next_number()
        self.version = 0
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.rdev = 0
        self.nlink = 0
        self.claims = 0
        self.atime = self.mtime = self.ctime = self.btime = tree.clock()
        self.xattrs: dict[bytes, bytes] = {}
        self.content = Sparse()
        self.entries = Entries() if mode & S_IFMT == S_IFDIR else NO_ENTRIES
        self.target = b""

    @property
    def is_dir(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    @property
    def qid(self) -> Qid:
        return Qid(QID_TYPES.get(self.mode & S_IFMT, 0), self.version & 0xFFFFFFFF, self.number)

    def release(self) -> None:
        """One claim less; without claims and names the inode's room is free again."""
        self.claims -= 1
        if not self.claims and not self.nlink:
            self.drop()

    def drop(self) -> None:
        held = self.content.allocated + len(self.target) + sum(len(k) + len(v) for k, v in self.xattrs.items())
        self.tree.space.give(held, files=1)
        self.content = Sparse()
        self.xattrs = {}

    def modified(self) -> None:
        """The content is another one."""
        self.version += 1
        self.mtime = self.ctime = self.tree.clock()

    def drop_privileges(self, by: int) -> None:
        """Content or owner change hands: nobody but root keeps SUID, and SGID where it lends group rights (notify_change)."""
        if by != 0 and self.mode & S_IFMT == S_IFREG:
            self.mode &= ~(S_ISUID | (S_ISGID if self.mode & S_IXGRP else 0))

    def write(self, offset: int, data: Buffer, by: int) -> int:
        if not data:
            return 0
        if offset + len(data) > MAX_SIZE:
            raise Refused(Errno.EFBIG)
        self.tree.space.take(self.content.growth(offset, len(data)))
        self.content.write(offset, data)
        self.drop_privileges(by)
        self.modified()
        return len(data)

    def truncate(self, size: int, by: int) -> None:
        before = self.content.allocated
        self.content.truncate(size)
        self.tree.space.give(before - self.content.allocated)
        self.drop_privileges(by)
        self.modified()


class Entries:
    """The names in a directory, in the order of their cookies (1 and 2 are ``.`` and ``..``)."""

    __slots__ = ("by_cookie", "last", "names", "order")

    def __init__(self) -> None:
        self.names: dict[bytes, MemoryNode] = {}
        self.by_cookie: dict[int, MemoryNode] = {}
        self.order: list[int] = []
        """All cookies ascending, to bisect in; those no longer in ``by_cookie`` are swept when they are the majority."""
        self.last = 2

    def add(self, node: MemoryNode, name: bytes) -> None:
        self.last += 1
        self.names[name] = self.by_cookie[self.last] = node
        self.order.append(self.last)
        node.name_now = name
        node.cookie = self.last

    def remove(self, node: MemoryNode) -> None:
        del self.names[node.name_now], self.by_cookie[node.cookie]
        if len(self.order) > 2 * len(self.by_cookie) + 64:
            self.order = list(self.by_cookie)

    def after(self, cookie: int, room: int) -> list[MemoryNode]:
        """Entries behind ``cookie`` whose records fill about ``room`` bytes; one at least, if there is one."""
        found: list[MemoryNode] = []
        get = self.by_cookie.get
        for i in range(bisect_right(self.order, cookie), len(self.order)):
            if room <= 0 and found:
                break
            if (node := get(self.order[i])) is not None:
                found.append(node)
                room -= DIRENT_SIZE + len(node.name_now)
        return found


NO_ENTRIES = Entries()
