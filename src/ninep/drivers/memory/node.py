"""The nodes of the memory driver: a directory entry, held by any number of fids.

A rename moves the object itself, so that every fid that holds it has the new name.
"""

from __future__ import annotations

from collections.abc import Sequence

from ninep.drivers.memory.inode import QID_TYPES, Entries, Entry, Inode, Superblock
from ninep.drivers.memory.opened import MemoryDir, MemoryFile
from ninep.drivers.xattrs import check_name, check_set
from ninep.errors import Refused
from ninep.linux import (
    GETATTR_ALL,
    NAME_MAX,
    NO_ID,
    O_EXCL,
    O_TRUNC,
    PATH_MAX,
    PERMISSIONS,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    XATTR_SIZE_MAX,
    Errno,
)
from ninep.node import NOW, Changes, Node
from ninep.wire.types import Attributes, Qid, Statfs

BLOCK = 4096
MAX_LINKS = 65000
TMPFS_MAGIC = 0x01021994
ACL_ACCESS = b"system.posix_acl_access"
ACL_DEFAULT = b"system.posix_acl_default"
NANO = 1_000_000_000
UNCHANGED = Changes()[:7]


class MemoryNode(Entry):
    """A directory entry (or the root), held by any number of fids."""

    __slots__ = ("superblock",)

    directory: MemoryNode
    inline = True

    def __init__(self, superblock: Superblock, inode: Inode, directory: MemoryNode | None) -> None:
        self.superblock = superblock
        self.inode = inode
        self.directory = directory or self
        self.name_now = b"/"
        self.cookie = 0

    # -- life ----------------------------------------------------------------------------------------------------------

    def clone(self) -> MemoryNode:
        self.inode.ref()
        return self

    def release(self) -> None:
        self.inode.release()

    # -- names ---------------------------------------------------------------------------------------------------------

    def _entries(self) -> Entries:
        if not self.inode.is_dir:
            raise Refused(Errno.ENOTDIR)
        return self.inode.entries

    def _find(self, name: bytes) -> MemoryNode:
        node: MemoryNode | None = self._entries().names.get(name)
        if node is None:
            raise Refused(Errno.ENOENT if len(name) <= NAME_MAX else Errno.ENAMETOOLONG)
        return node

    def walk(self, name: bytes) -> MemoryNode:
        return self._find(name).clone()

    def parent(self) -> MemoryNode:
        return self.directory.clone()

    @property
    def name(self) -> bytes:
        return self.name_now

    @property
    def pathname(self) -> bytes:
        names: list[bytes] = []
        node = self
        while node.directory is not node:
            names.append(node.name_now)
            node = node.directory
        return b"/" + b"/".join(reversed(names))

    # -- attributes ----------------------------------------------------------------------------------------------------

    def getattr(self, mask: int) -> Attributes:  # noqa: ARG002 - all attributes are returned in any case
        inode = self.inode
        kind = inode.mode & S_IFMT
        size = inode.content.size
        if kind != S_IFREG:
            size = len(inode.target) or 20 * len(inode.entries.names)
        return Attributes(
            GETATTR_ALL, QID_TYPES.get(kind, 0), inode.version & 0xFFFFFFFF, inode.number, inode.mode, inode.uid, inode.gid,
            inode.nlink, inode.rdev, size, BLOCK, -(-inode.content.allocated // 512), *divmod(inode.atime, NANO),
            *divmod(inode.mtime, NANO), *divmod(inode.ctime, NANO), *divmod(inode.btime, NANO), 0, inode.version,
        )  # fmt: skip

    def setattr(self, changes: Changes) -> None:
        self._check_changes(changes)
        inode = self.inode
        size, uid, gid, mode, atime, mtime, _, by = changes
        if size is not None:
            inode.truncate(size, by)
        if uid is not None or gid is not None:
            inode.set_owner(uid, gid, by)
        if mode is not None:
            inode.set_mode(mode)
        now = self.superblock.clock()
        inode.set_times(*(now if time == NOW else time for time in (atime, mtime)))
        if changes[:7] != UNCHANGED:
            inode.changed(now)

    def _check_changes(self, changes: Changes) -> None:
        """Raise the error of the changes, before anything is changed."""
        kind = self.inode.mode & S_IFMT
        if changes.size is not None and kind != S_IFREG:
            raise Refused(Errno.EISDIR if kind == S_IFDIR else Errno.EINVAL)
        if changes.mode is not None and kind == S_IFLNK:
            raise Refused(Errno.EOPNOTSUPP, "a link has no permissions")
        for moment in (changes.atime, changes.mtime):
            if moment is not None and moment != NOW and not -(1 << 63) <= moment // NANO < 1 << 63:
                raise Refused(Errno.EINVAL, "the time does not fit in a field of 9P")

    def statfs(self) -> Statfs:
        space = self.superblock.space
        free = (space.capacity - space.bytes) // BLOCK
        return Statfs(
            TMPFS_MAGIC,
            BLOCK,
            space.capacity // BLOCK,
            free,
            free,
            space.inodes,
            space.inodes - space.files,
            0,
            NAME_MAX,
        )

    def readlink(self) -> bytes:
        if self.inode.mode & S_IFMT != S_IFLNK:
            raise Refused(Errno.EINVAL)
        return self.inode.target

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, flags: int, by: int = NO_ID) -> MemoryFile:
        inode = self.inode
        kind = inode.mode & S_IFMT
        if kind != S_IFREG:
            raise Refused({S_IFDIR: Errno.EISDIR, S_IFLNK: Errno.ELOOP}.get(kind, Errno.ENXIO))
        if flags & O_TRUNC:
            inode.truncate(0, by)
        return MemoryFile(inode, flags)

    def opendir(self) -> MemoryDir:
        self._entries()
        return MemoryDir(self)

    # -- making --------------------------------------------------------------------------------------------------------

    def _room_for(self, name: bytes) -> Entries:
        """The entries of this directory. ENOENT if it was removed, EEXIST if ``name`` exists."""
        entries = self._entries()
        if len(name) > NAME_MAX:
            raise Refused(Errno.ENAMETOOLONG)
        if not self.inode.nlink:
            raise Refused(Errno.ENOENT, "the directory is deleted")
        if name in entries.names:
            raise Refused(Errno.EEXIST)
        return entries

    def _enter(self, name: bytes, inode: Inode) -> MemoryNode:
        """Add an entry for an inode whose space is reserved."""
        node = MemoryNode(self.superblock, inode, self)
        self.inode.entries.add(node, name)
        inode.add_links(2 if inode.is_dir else 1)
        self.inode.add_links(inode.is_dir)
        self.inode.modified()
        return node

    def _make(self, name: bytes, mode: int, uid: int, gid: int, target: bytes = b"", rdev: int = 0) -> MemoryNode:
        self._room_for(name)
        superblock = self.superblock
        superblock.space.reserve(len(name) + len(target), files=1)
        return self._enter(name, self._new(mode, uid, gid, target, rdev))

    def _new(self, mode: int, uid: int, gid: int, target: bytes = b"", rdev: int = 0) -> Inode:
        """An inode whose space is reserved, with its owner."""
        superblock = self.superblock
        if gid == NO_ID:
            gid = self.inode.gid if self.inode.mode & S_ISGID else superblock.gid
        uid = superblock.uid if uid == NO_ID else uid
        return Inode(superblock, mode, uid, gid, target=target, rdev=rdev)

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[MemoryNode, MemoryFile]:
        existing = self._entries().names.get(name)
        if existing is None:
            node = self._make(name, S_IFREG | mode & PERMISSIONS, uid, gid)
            file = MemoryFile(node.inode, flags)
        elif flags & O_EXCL:
            raise Refused(Errno.EEXIST)
        else:
            node = existing
            file = node.open(flags, uid)
        return node.clone(), file

    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[MemoryNode, MemoryFile]:
        self._entries()
        if not self.inode.nlink:
            raise Refused(Errno.ENOENT, "the directory is deleted")
        self.superblock.space.reserve(0, files=1)
        node = MemoryNode(self.superblock, self._new(S_IFREG | mode & PERMISSIONS, uid, gid), self)
        node.name_now = b"#%d" % node.inode.number
        node.inode.set_linkable(True)
        return node.clone(), MemoryFile(node.inode, flags)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        return self._make(name, S_IFDIR | mode & PERMISSIONS, uid, gid).qid

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        if len(target) >= PATH_MAX:
            raise Refused(Errno.ENAMETOOLONG)
        if not target:
            raise Refused(Errno.ENOENT)
        return self._make(name, S_IFLNK | 0o777, uid, gid, target).qid

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        kind = mode & S_IFMT or S_IFREG
        if kind not in {S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}:
            raise Refused(Errno.EPERM if kind == S_IFDIR else Errno.EINVAL)
        rdev = rdev if kind in {S_IFCHR, S_IFBLK} else 0
        return self._make(name, kind | mode & PERMISSIONS, uid, gid, rdev=rdev).qid

    def _ours(self, node: Node) -> MemoryNode:
        if not isinstance(node, MemoryNode) or node.superblock is not self.superblock:
            raise Refused(Errno.EXDEV)
        return node

    def link(self, target: Node, name: bytes) -> None:
        inode = self._ours(target).inode
        if inode.is_dir:
            raise Refused(Errno.EPERM)
        self._room_for(name)
        if not inode.nlink and not inode.linkable:
            raise Refused(Errno.ENOENT, "the file is deleted")
        if inode.nlink >= MAX_LINKS:
            raise Refused(Errno.EMLINK)
        self.superblock.space.reserve(len(name))
        self._enter(name, inode)
        inode.set_linkable(False)
        inode.changed()

    # -- unmaking ------------------------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self.directory is self:
            raise Refused(Errno.EBUSY, "the root")
        if not self.cookie:
            raise Refused(Errno.ENOENT, "deleted")

    def _detach(self) -> None:
        """Remove this entry from its directory, and the inode with its last name."""
        inode, directory = self.inode, self.directory.inode
        directory.entries.remove(self)
        self.cookie = 0
        inode.add_links(-2 if inode.is_dir else -1)
        directory.add_links(-inode.is_dir)
        self.superblock.space.free(len(self.name_now))
        directory.modified()
        inode.changed()
        if not inode.nlink and not inode.refs:
            inode.drop()

    def unlink(self, name: bytes, directory: bool) -> None:
        node = self._find(name)
        if node.inode.is_dir != directory:
            raise Refused(Errno.ENOTDIR if directory else Errno.EISDIR)
        if node.inode.entries.names:
            raise Refused(Errno.ENOTEMPTY)
        node._detach()

    def remove(self) -> None:
        self._alive()
        if self.inode.entries.names:
            raise Refused(Errno.ENOTEMPTY)
        self._detach()

    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        target, node = self._ours(newdir), self._find(name)
        if flags not in {0, RENAME_NOREPLACE, RENAME_EXCHANGE}:
            raise Refused(Errno.EINVAL, f"flags {flags:#x}")
        if flags == RENAME_EXCHANGE:
            node._exchange(target._find(newname))
            return
        if flags and newname in target._entries().names:
            raise Refused(Errno.EEXIST)
        node._move(target, newname)

    def _exchange(self, other: MemoryNode) -> None:
        """RENAME_EXCHANGE of renameat2(2)."""
        if self.inode is other.inode:
            return
        if self.directory.is_below(other) or other.directory.is_below(self):
            raise Refused(Errno.EINVAL, "one is above the other")
        places = [(node.directory, node.name_now) for node in (self, other)]
        for node in (self, other):
            node.directory.inode.entries.remove(node)
            node.directory.inode.add_links(-node.inode.is_dir)
        for node, (directory, name) in zip((other, self), places, strict=True):
            directory.inode.entries.add(node, name)
            directory.inode.add_links(node.inode.is_dir)
            node.directory = directory
            node.inode.changed()
        for directory in {id(directory): directory for directory, _ in places}.values():
            directory.inode.modified()

    def move(self, newdir: Node | None, newname: bytes) -> None:
        self._alive()
        self._move(self.directory if newdir is None else self._ours(newdir), newname)

    def _move(self, newdir: MemoryNode, newname: bytes) -> None:
        """rename(2), with errors in the order in which Linux detects them (fs/namei.c do_renameat2,
        vfs_rename).
        """
        moving, old, new = self.inode, self.directory.inode, newdir.inode
        replaced = newdir._entries().names.get(newname)
        if not new.nlink:
            raise Refused(Errno.ENOENT, "the directory is deleted")
        if len(newname) > NAME_MAX:
            raise Refused(Errno.ENAMETOOLONG)
        if moving.is_dir and newdir.is_below(self):
            raise Refused(Errno.EINVAL, "into itself")
        if replaced is not None:
            if replaced.inode is moving:
                return
            if replaced.inode.is_dir != moving.is_dir:
                raise Refused(Errno.ENOTDIR if moving.is_dir else Errno.EISDIR)
            if replaced.inode.entries.names:
                raise Refused(Errno.ENOTEMPTY)
            replaced._detach()
        # after a replacement the space is available
        self.superblock.space.reserve(len(newname) - len(self.name_now))
        old.entries.remove(self)
        new.entries.add(self, newname)
        self.directory = newdir
        old.add_links(-moving.is_dir)
        new.add_links(moving.is_dir)
        old.modified()
        if new is not old:
            new.modified()
        moving.changed()

    def is_below(self, node: MemoryNode) -> bool:
        """Whether this is ``node`` or below it."""
        here = self
        while here is not node:
            if here.directory is here:
                return False
            here = here.directory
        return True

    # -- extended attributes -------------------------------------------------------------------------------------------

    def _xattr(self, name: bytes, *, change: bool) -> dict[bytes, bytes]:
        """The extended attributes, if ``name`` is permitted."""
        kind = self.inode.mode & S_IFMT
        if name in {ACL_ACCESS, ACL_DEFAULT}:
            if kind == S_IFLNK:
                raise Refused(Errno.EOPNOTSUPP)
            if change and name == ACL_DEFAULT and kind != S_IFDIR:
                raise Refused(Errno.EACCES, "only directories have default ACLs")
        else:
            check_name(name, kind, change=change)
        return self.inode.xattrs

    def getxattr(self, name: bytes) -> bytes:
        value = self._xattr(name, change=False).get(name)
        if value is None:
            raise Refused(Errno.ENODATA)
        return value

    def listxattr(self) -> Sequence[bytes]:
        return list(self.inode.xattrs)

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        xattrs = self._xattr(name, change=True)
        if len(value) > XATTR_SIZE_MAX:
            raise Refused(Errno.E2BIG)
        check_set(name, flags, xattrs)
        before = xattrs.get(name)
        self.superblock.space.reserve(len(value) - len(before) if before is not None else len(name) + len(value))
        xattrs[name] = bytes(value)
        self.inode.changed()

    def removexattr(self, name: bytes) -> None:
        xattrs = self._xattr(name, change=True)
        if name not in xattrs:
            raise Refused(Errno.ENODATA)
        self.superblock.space.free(len(name) + len(xattrs.pop(name)))
        self.inode.changed()
