"""Inodes of the memory driver, the entries of directories, and the accounting of space.

Single-threaded. The rules of the driver interface are in ``node.py``; this module only stores nodes
in directories.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from ninep.drivers.memory.sparse import Sparse
from ninep.errors import Refused
from ninep.linux import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    PERMISSIONS,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISUID,
    S_IXGRP,
    Errno,
)
from ninep.node import Node
from ninep.wire.buffers import length
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.types import QT_DIR, QT_SYMLINK, Qid

MAX_SIZE = (1 << 63) - 1
QID_TYPES = {S_IFDIR: QT_DIR, S_IFLNK: QT_SYMLINK}


class Space:
    """The free space: bytes and inodes."""

    __slots__ = ("bytes", "capacity", "files", "inodes")

    def __init__(self, capacity: int, inodes: int) -> None:
        self.capacity = capacity
        self.inodes = inodes
        self.bytes = 0
        self.files = 0

    def reserve(self, count: int, files: int = 0) -> None:
        """Reserve space. ENOSPC if there is not enough; nothing is reserved then."""
        if self.bytes + count > self.capacity or self.files + files > self.inodes:
            raise Refused(Errno.ENOSPC)
        self.bytes += count
        self.files += files

    def free(self, count: int, files: int = 0) -> None:
        self.bytes -= count
        self.files -= files


class Superblock:
    """The state that all inodes of one filesystem share."""

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
        "atime", "btime", "content", "ctime", "entries", "gid", "linkable", "mode", "mtime", "nlink", "number", "rdev", "refs",
        "superblock", "target", "uid", "version", "xattrs",
    )  # fmt: skip

    def __init__(
        self,
        superblock: Superblock,
        mode: int,
        uid: int,
        gid: int,
        *,
        target: bytes = b"",
        rdev: int = 0,
        links: int = 0,
    ) -> None:
        self.superblock = superblock
        self.number = superblock.next_number()
        self.version = 0
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.rdev = rdev
        self.nlink = links
        self.linkable = False
        """Without a name, and to be given one (I_LINKABLE of fs/namei.c)."""
        self.refs = 0
        self.atime = self.mtime = self.ctime = self.btime = superblock.clock()
        self.xattrs: dict[bytes, bytes] = {}
        self.content = Sparse()
        self.entries = Entries() if mode & S_IFMT == S_IFDIR else NO_ENTRIES
        self.target = target

    @property
    def is_dir(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    @property
    def qid(self) -> Qid:
        return Qid(QID_TYPES.get(self.mode & S_IFMT, 0), self.version & 0xFFFFFFFF, self.number)

    def ref(self) -> None:
        """Add a reference."""
        self.refs += 1

    def release(self) -> None:
        """Remove one reference. The space of an inode without references and names is freed."""
        self.refs -= 1
        if not self.refs and not self.nlink:
            self.drop()

    def drop(self) -> None:
        held = self.content.allocated + len(self.target) + sum(len(k) + len(v) for k, v in self.xattrs.items())
        self.superblock.space.free(held, files=1)
        self.content = Sparse()
        self.xattrs = {}

    def modified(self) -> None:
        """Record a change of the content: times and version."""
        self.version += 1
        self.mtime = self.ctime = self.superblock.clock()

    def changed(self, now: int | None = None) -> None:
        """Record a change of what is not content: ctime."""
        self.ctime = self.superblock.clock() if now is None else now

    def accessed(self) -> None:
        """Its content is read. As relatime: one change of atime after each change of mtime is enough
        to tell "read since".
        """
        if self.atime <= self.mtime:
            self.atime = self.superblock.clock()

    def add_links(self, count: int) -> None:
        """Names, and the ``.`` and ``..`` of directories; less than 0: fewer."""
        self.nlink += count

    def set_linkable(self, value: bool) -> None:
        """A file without a name can be given one, or has got it."""
        self.linkable = value

    def set_owner(self, uid: int | None, gid: int | None, by: int) -> None:
        """chown(2)."""
        self.uid = self.uid if uid is None else uid
        self.gid = self.gid if gid is None else gid
        self.drop_privileges(by)

    def set_mode(self, mode: int) -> None:
        """chmod(2)."""
        self.mode = self.mode & S_IFMT | mode & PERMISSIONS

    def set_times(self, atime: int | None, mtime: int | None) -> None:
        """utimensat(2); None leaves one."""
        self.atime = self.atime if atime is None else atime
        self.mtime = self.mtime if mtime is None else mtime

    def drop_privileges(self, by: int) -> None:
        """Clear SUID, and SGID if the group may execute, after a change of content or owner by a
        user other than root (notify_change in fs/attr.c).
        """
        if by != 0 and self.mode & S_IFMT == S_IFREG:
            self.mode &= ~(S_ISUID | (S_ISGID if self.mode & S_IXGRP else 0))

    def write(self, offset: int, buffers: Sequence[memoryview], by: int) -> int:
        size = length(buffers)
        if not size:
            return 0
        if offset + size > MAX_SIZE:
            raise Refused(Errno.EFBIG)
        self.superblock.space.reserve(self.content.growth(offset, size))
        for buffer in buffers:
            self.content.write(offset, buffer)
            offset += len(buffer)
        self.drop_privileges(by)
        self.modified()
        return size

    def allocate(self, mode: int, offset: int, count: int, by: int) -> None:
        """fallocate(2)."""
        if offset + count > MAX_SIZE:
            raise Refused(Errno.EFBIG)
        content, space = self.content, self.superblock.space
        if mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE):
            before = content.allocated
            content.clear(offset, count)
            space.free(before - content.allocated)
        else:
            if count > space.capacity:  # before all its chunks are looked at
                raise Refused(Errno.ENOSPC)
            space.reserve(content.growth(offset, count))
            content.allocate(offset, count)
        if not mode & FALLOC_FL_KEEP_SIZE:
            content.extend(offset + count)
        self.drop_privileges(by)
        self.modified()

    def truncate(self, size: int, by: int) -> None:
        before = self.content.allocated
        self.content.truncate(size)
        self.superblock.space.free(before - self.content.allocated)
        self.drop_privileges(by)
        self.modified()


class Entry(Node):
    """A name of an inode in a directory (or the root): what ``Entries`` and open directories know
    of a node.
    """

    __slots__ = ("cookie", "directory", "inode", "name_now")

    inode: Inode
    directory: Entry
    name_now: bytes
    cookie: int

    @property
    def qid(self) -> Qid:  # type: ignore[override]  # always fresh; mypy wants attributes to stay writable
        return self.inode.qid


class Entries:
    """The entries of a directory, in the order of their cookies (1 and 2 are ``.`` and ``..``)."""

    __slots__ = ("by_cookie", "last", "names", "order")

    def __init__(self) -> None:
        self.names: dict[bytes, Any] = {}
        """Of one class of nodes, which the driver knows."""
        self.by_cookie: dict[int, Any] = {}
        self.order: list[int] = []
        """All cookies, ascending, for bisection. Those no longer in ``by_cookie`` are removed when
        they are the majority."""
        self.last = 2

    def add(self, node: Entry, name: bytes) -> None:
        self.last += 1
        self.names[name] = self.by_cookie[self.last] = node
        self.order.append(self.last)
        node.name_now = name
        node.cookie = self.last

    def remove(self, node: Entry) -> None:
        del self.names[node.name_now], self.by_cookie[node.cookie]
        if len(self.order) > 2 * len(self.by_cookie) + 64:
            self.order = list(self.by_cookie)

    def after(self, cookie: int, room: int) -> list[Entry]:
        """The entries after ``cookie`` whose records fill about ``room`` bytes; at least one, if
        there is one.
        """
        found: list[Entry] = []
        get = self.by_cookie.get
        for i in range(bisect_right(self.order, cookie), len(self.order)):
            if room <= 0 and found:
                break
            if (node := get(self.order[i])) is not None:
                found.append(node)
                room -= DIRENT_SIZE + len(node.name_now)
        return found


NO_ENTRIES = Entries()
