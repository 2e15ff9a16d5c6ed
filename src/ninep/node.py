"""The driver interface. This page is its specification: a class that implements ``Node`` can be
served over 9P. What its ``open`` and ``opendir`` return is specified in ``opened``.

A *driver* provides the files of an export. It returns *nodes* (a file, a folder, a link, a device),
which return open files and open directories. The server never handles a path: it walks from node to
node, one name at a time.

Guarantees of the server:

* names are ``bytes``, one component, 1 to 65535 bytes long, without ``/`` or NUL, never ``.`` or
  ``..``;
* offsets and sizes are 0 .. 2**63 - 1; a read never asks for more than fits in one reply;
* every node that ``walk``, ``clone``, ``parent`` or ``create`` returned is released exactly once,
  after everything that was opened from it was closed;
* verbs of one node may be called from several threads at once, unless ``inline`` is true and the
  driver is not ``threadsafe``: then all calls come from the event loop's thread, except ``fsync``,
  ``syncfs`` and those repeated in a worker thread after ``WouldBlock``.

Requirements for every driver:

* a failure is an ``OSError`` whose ``errno`` is the host's, or an ``errors.Refused`` with a Linux
  errno; any other exception is logged with its traceback and answered EIO;
* a verb that fails has changed nothing;
* no verb follows a symbolic link.

Every verb except the abstract ones has a default, that of a driver without the feature (mostly
EOPNOTSUPP or EROFS): a read-only synthetic tree needs ``walk``, ``parent``, ``getattr``, ``open``
and ``opendir`` only. The public acceptance suite ``ninep.testing.suite`` tests a driver against
this page.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.opened import OpenDir, OpenFile
from ninep.wire.types import Attributes, Buffer, Dirent, Qid, Statfs
from ninep.would_block import WouldBlock, check_may_wait, may_wait, serve_in_this_thread

__all__ = [
    "NOW",
    "Attributes",
    "Buffer",
    "Changes",
    "Dirent",
    "Driver",
    "Identity",
    "Node",
    "OpenDir",
    "OpenFile",
    "Qid",
    "Source",
    "Statfs",
    "User",
    "WouldBlock",
    "check_may_wait",
    "may_wait",
    "serve_in_this_thread",
]


class Changes(NamedTuple):
    """The changes of a setattr; None leaves an attribute unchanged.

    Apply in this order: size, owner, mode, times (a truncation changes mtime, a chown clears SUID,
    so the later ones must override). ``mode`` is the whole ``st_mode`` or only the permissions:
    **only its low 12 bits count**, the type of a file never changes. A time is in nanoseconds since
    1970 (negative before), or ``NOW``. ``touch`` requests a new ctime even if nothing else changes.
    ``by`` is the uid of the requesting user: unless it is 0, a change of size or owner drops SUID
    and (if the group may execute) SGID.
    """

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    atime: int | None = None
    mtime: int | None = None
    touch: bool = False
    by: int = NO_ID


NOW = -(1 << 80)
"""As a time in ``Changes``: the host's clock at the moment of the call. (No time in 9P is that
small.)"""


class Node(ABC):
    """A file, folder, link or device of a driver, held by one fid (or several, through
    ``clone``).
    """

    inline: bool = False
    """True if every verb returns in microseconds, without waiting for a device or a network. The
    server then calls the verbs in its event loop (passing a call to a thread costs ten times a
    system call). Otherwise it calls them in worker threads: all requests of a session whose root
    node is not inline. Below an inline root, a node that is not inline raises ``WouldBlock`` from
    every verb that has to wait (except ``clone`` and ``release``) where ``may_wait`` is false; what is
    open there is closed in a thread. The value never changes."""

    storage: Hashable | None = None
    """Identifies what the verbs may wait for, such as a device: requests to one storage that does
    not answer get only a part of the worker threads. None: the export as a whole."""

    @property
    def bsd_groups(self) -> bool:
        """Owners are only recorded and give no rights on the host. Where a dialect cannot name a
        group (9P2000, 9P2000.u), a new file then gets the group of its directory, as create(5)
        specifies (on Linux, the mount option bsdgroups), instead of the server process's group.
        """
        return False

    qid: Qid
    """The most recent qid: set by ``walk``, ``getattr``, ``open``, ``create`` and others. Its type
    and path are always current; the version may be older."""

    # -- life ----------------------------------------------------------------------------------------------------------

    def clone(self) -> Node:
        """The same file for another fid, to be released separately. Default: the node itself, for
        drivers without state.
        """
        return self

    def release(self) -> None:
        """A fid does not use the node any more. Must not fail."""

    # -- names ---------------------------------------------------------------------------------------------------------

    def walk(self, name: bytes) -> Node:
        """The entry ``name`` of this directory. ENOENT if there is none, ENOTDIR if this node is
        not a directory.
        """
        raise Refused(Errno.ENOTDIR)

    def look_up(self, name: bytes, mask: int) -> tuple[Node, Attributes]:
        """``walk``, and ``getattr`` of what is there. A driver that has both at once does it in one
        step; the default is one after the other, which is right for every wrapper of nodes.
        """
        node = self.walk(name)
        try:
            return node, node.getattr(mask)
        except BaseException:
            node.release()
            raise

    def through(self, names: Sequence[bytes]) -> tuple[Node, list[Qid]]:
        """Walk along as many of the directories ``names`` as is cheaper than a ``walk`` for each.
        Returns the last node, and the qids of the nodes walked.

        Never fails: the server walks to the remaining names. Without qids the returned node is this
        one; with qids it is another one, to be released.
        """
        del names
        return self, []

    @abstractmethod
    def parent(self) -> Node:
        """The parent directory (walk of ``..``); for the root of the export, the root itself."""

    @property
    def name(self) -> bytes:
        """The last name by which this node was walked to or renamed; ``/`` for the root. Rstat of
        9P2000 and 9P2000.u contains it.
        """
        return b"/"

    @property
    def pathname(self) -> bytes:
        """The path from the root of the export, as far as it is known without asking the host: for
        people, never to act on. Without one, the name.
        """
        return self.name

    # -- attributes ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def getattr(self, mask: int) -> Attributes:
        """The attributes. ``mask`` (``linux.GETATTR_*``) has the bits of those requested beyond
        BASIC; return at least BASIC.
        """

    def setattr(self, changes: Changes) -> None:
        """Change attributes, in the order and with the meaning that ``Changes`` describes. On an
        error, as few as possible are changed.
        """
        raise Refused(Errno.EROFS)

    def statfs(self) -> Statfs:
        """Statistics of the filesystem that contains this node (statfs(2))."""
        return Statfs()

    def readlink(self) -> bytes:
        """The target of a symbolic link, as stored. EINVAL for other nodes."""
        raise Refused(Errno.EINVAL)

    def fsync(self) -> None:
        """Flush attributes and data to stable storage, of a node that need not be open (Twstat
        without changes).
        """

    def syncfs(self) -> None:
        """Flush everything that was written to the filesystem that contains this node (syncfs(2)).
        Called as ``fsync`` is. EOPNOTSUPP: the server flushes the files that are open.
        """
        raise Refused(Errno.EOPNOTSUPP)

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        """Open for reading and writing according to ``flags`` (``linux.O_*``: access mode, TRUNC,
        APPEND, DIRECT, SYNC, DSYNC, NOATIME).

        EISDIR for a directory opened for writing, ENXIO for a device, FIFO or socket (never opened
        by the server: clients open these themselves), ELOOP for a symbolic link. Creation flags are
        never set.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def opendir(self) -> OpenDir:
        """Open a directory for listing. ENOTDIR for other nodes."""
        raise Refused(Errno.ENOTDIR)

    # -- creation: uid and gid own the new entry; linux.NO_ID: the host decides (process, SGID of the directory) -----

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        """Create a regular file and open it. If ``name`` exists: EEXIST with ``linux.O_EXCL`` in
        flags, else it is opened as by ``open`` (including TRUNC), without a change of its owner and
        mode. Exactly the permissions of ``mode`` are set.
        """
        raise Refused(Errno.EROFS)

    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        """Create a regular file without a name on the filesystem of this directory, and open it for
        writing according to ``flags`` (open(2), O_TMPFILE). ``link`` can name it; if it was not
        named when its last reference goes, so does its content.

        EOPNOTSUPP where the driver has no such files: programs then make one with a name.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        """Make a directory. EEXIST if ``name`` exists."""
        raise Refused(Errno.EROFS)

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        """Make a symbolic link; ``target`` (1 .. 4095 bytes, no NUL) is stored without
        interpretation.
        """
        raise Refused(Errno.EROFS)

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        """Make a device, FIFO, socket or regular file according to the type bits of ``mode``;
        ``rdev`` in the Linux layout.
        """
        raise Refused(Errno.EROFS)

    def link(self, target: Node, name: bytes) -> None:
        """Make ``name`` in this directory a hard link to ``target``. EXDEV if ``target`` is not a
        node of the same driver.
        """
        raise Refused(Errno.EROFS)

    # -- removal and renaming ----------------------------------------------------------------------------------------

    def unlink(self, name: bytes, directory: bool) -> None:
        """Remove an entry: a directory (``directory`` true; ENOTEMPTY, ENOTDIR) or anything else
        (EISDIR for a directory).
        """
        raise Refused(Errno.EROFS)

    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        """Rename the entry ``name`` to ``newname`` in ``newdir``, replacing an existing entry
        (rename(2)).

        ``flags`` (renameat2(2)): with ``linux.RENAME_NOREPLACE`` an existing entry is EEXIST; with
        ``RENAME_EXCHANGE`` both entries, which must exist, change places, whatever they are. Both
        at once, others, and those that cannot be done in one step are EINVAL.
        """
        raise Refused(Errno.EROFS)

    def remove(self) -> None:
        """Remove this node under its current name, whatever its type (Tremove). EBUSY for the
        root.
        """
        raise Refused(Errno.EROFS)

    def check_remove(self) -> None:
        """Called when a file is opened with remove-on-close: raises now (EROFS) if ``remove`` would
        be refused in any case.

        Default: EROFS if this driver does not implement ``remove``.
        """
        if type(self).remove is Node.remove:
            raise Refused(Errno.EROFS)

    def move(self, newdir: Node | None, newname: bytes) -> None:
        """Rename this node from its current name (Trename, Twstat); ``newdir`` None: in its
        directory. EBUSY for the root.
        """
        raise Refused(Errno.EROFS)

    # -- extended attributes (xattr(7)) --------------------------------------------------------------------------------

    def getxattr(self, name: bytes) -> bytes:
        """The value. ENODATA if there is no such attribute, EOPNOTSUPP for a namespace that is not
        supported.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def listxattr(self) -> Sequence[bytes]:
        """The names for which ``getxattr`` returns a value."""
        return ()

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        """Set an attribute; ``flags`` is 0, ``linux.XATTR_CREATE`` (EEXIST if it exists) or
        ``XATTR_REPLACE`` (ENODATA if it does not).
        """
        raise Refused(Errno.EOPNOTSUPP)

    def removexattr(self, name: bytes) -> None:
        """Remove an attribute. ENODATA if it does not exist."""
        raise Refused(Errno.EOPNOTSUPP)


class Identity(NamedTuple):
    """A user of the host, as the kernel checks access: by numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class User(NamedTuple):
    """The user of an attach: the fields of Tattach, and what the transport reports of its peer.

    ``uid`` is ``linux.NO_ID`` if the client sent no number (plain 9P2000, or n_uname ~0). A driver
    then creates files as those of the server process, as QEMU's 9pfs does; an export with a policy
    (squash, id map, run-as) never passes NO_ID on. ``peer`` describes the other side for logs (an
    address, or ``uid=1000 pid=17`` of a unix socket). ``gid``: the peer's group as reported by the
    kernel, where the kernel identifies the user. ``identity``: where requests run with users'
    rights, the resulting user of the host, determined once at the attach (``layers.run_as``).
    """

    uname: bytes = b""
    uid: int = NO_ID
    peer: str = ""
    gid: int = NO_ID
    identity: Identity | None = None


class Source(NamedTuple):
    """The location on the host of a driver's files, for detecting exports that overlap."""

    path: str
    """The folder, for messages."""
    model: str
    """How owners are stored: the name of the security model."""
    above: tuple[tuple[int, int], ...]
    """Device and inode numbers of the folder and of each folder above it."""
    areas: tuple[tuple[str, str], ...]
    """What the driver serves of each filesystem, its own first: a name for the filesystem, and a
    path in it."""


class Driver(ABC):
    """Provides the files of an export."""

    threadsafe: bool = False
    """True if verbs may be called from several threads at once although the nodes are ``inline``:
    if the storage turns out to be slow, the server then uses worker threads for a while."""

    @abstractmethod
    def attach(self, user: User) -> Node:
        """The root node for this user, to be released like any node."""

    def prepare(self, *, writable: bool) -> None:
        """Called once before the first attach, and may wait. ``writable``: clients may change
        something, so this may as well.
        """

    def storage(self) -> Mapping[str, str]:
        """What the storage is and was found to do, as words for people, by name. Must not wait."""
        return {}

    def source(self) -> Source | None:
        """The folder of the host that is served, if there is one."""
        return None

    def tidy(self) -> None:
        """Called from the event loop about once a second while there are connections: release what
        is only cached, if others need it. Must not wait.
        """

    def close(self) -> None:
        """The server ends. All nodes were released and all files closed before."""
