"""A filesystem in memory that implements all of ``node``, with the semantics of tmpfs. For tests,
fuzzing, and scratch space.

Rules

* Single-threaded, and no verb waits (``inline``): there are no locks.
* A node *is* a directory entry (``node``); it refers to an inode (``inode``), which exists until
  its last name is removed and the last reference of a fid or open file is released.
* Directory cookies only increase; an entry keeps its cookie until it is renamed or removed.
* Two limits are enforced with ENOSPC: the number of inodes, and bytes (contents, names, link
  targets, extended attributes).
* ACLs are stored as received: the Linux client keeps mode and ACL consistent (fs/9p/acl.c).

The driver does not check permissions and does not distinguish users: the client's kernel does, as
with the shared folders of a hypervisor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ninep.drivers.memory.inode import Inode, Space, Superblock
from ninep.drivers.memory.node import MemoryNode
from ninep.linux import PERMISSIONS, S_IFDIR
from ninep.node import Driver, User

__all__ = ["MemoryDriver", "MemoryNode"]


class MemoryDriver(Driver):
    """A filesystem, empty at first, that exists as long as this object.

    Args:
        capacity: bytes of contents, names, link targets and extended attributes; ENOSPC beyond.
            Each inode takes about 1 KiB more.
        inodes: files, directories, links and devices, the root included; ENOSPC beyond.
        uid: the owner of the root, and of files that a client creates without a uid.
        gid: the same for the group.
        mode: the permissions of the root.
        clock: the time in nanoseconds since 1970.
    """

    def __init__(
        self,
        *,
        capacity: int = 1 << 30,
        inodes: int = 1 << 20,
        uid: int = 0,
        gid: int = 0,
        mode: int = 0o755,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.space = Space(capacity, inodes)
        superblock = Superblock(self.space, clock, uid, gid)
        self.space.reserve(0, files=1)
        root = Inode(superblock, S_IFDIR | mode & PERMISSIONS, uid, gid, links=2)
        self._root = MemoryNode(superblock, root, None)

    def attach(self, user: User) -> MemoryNode:  # noqa: ARG002 - the same root for all users
        """The root node."""
        return self._root.clone()
