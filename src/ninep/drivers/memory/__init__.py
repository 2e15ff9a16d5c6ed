"""A folder in memory: everything ``node`` specifies, as tmpfs would do it. For tests, for fuzzing, and to serve scratch space.

Rules

* Single-threaded and never waiting (``inline``): nothing here is locked.
* A node *is* a directory entry (``node``); what it names is an inode (``inode``), which lives until its last name is gone and the
  last claim of a fid or open file is released.
* Directory cookies only ever grow; an entry keeps its own until it is renamed or removed.
* Two limits hold, both answered ENOSPC: inodes, and bytes (contents, names, link targets, extended attributes).
* ACLs are stored as they come: the Linux client itself keeps mode and ACL in step (fs/9p/acl.c).

Knows no users and checks no permissions: like a hypervisor's share it trusts the client's kernel with that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ninep.drivers.memory.inode import Inode, Space, Tree
from ninep.drivers.memory.node import MemoryNode
from ninep.linux import PERMISSIONS, S_IFDIR
from ninep.node import Driver, User

__all__ = ["MemoryDriver", "MemoryNode"]


class MemoryDriver(Driver):
    """An empty folder that lives as long as this object.

    Args:
        capacity: bytes of contents, names, link targets and extended attributes; ENOSPC beyond. Each inode takes about 1 KiB more.
        inodes: files, directories, links and devices, the root included; ENOSPC beyond.
        uid: the owner of the root, and of what a client creates without saying whose it is.
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
        tree = Tree(self.space, clock, uid, gid)
        self.space.take(0, files=1)
        root = Inode(tree, S_IFDIR | mode & PERMISSIONS, uid, gid)
        root.nlink = 2
        self._root = MemoryNode(tree, root, None)

    def attach(self, user: User) -> MemoryNode:  # noqa: ARG002 - the same for everybody
        """The root."""
        return self._root.clone()
