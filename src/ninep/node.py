"""The driver interface. This page is its specification: a class that implements ``Node`` can be
served over 9P.

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
  driver is not ``threadsafe``: then all calls come from the event loop's thread, except ``fsync``
  and those repeated in a worker thread after ``WouldBlock``.

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
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.wire.buffers import length, scatter
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


class Node(ABC):
    """A file, folder, link or device of a driver, held by one fid (or several, through
    ``clone``).
    """

    inline: bool = False
    """True if every verb returns in microseconds, without waiting for a device or a network. The
    server then calls the verbs in its event loop (passing a call to a thread costs ten times a
    system call). Otherwise it calls them in worker threads: all requests of a session whose root
    node is not inline. Below an inline root, a node that is not inline raises ``WouldBlock`` from
    every verb (except ``clone`` and ``release``) where ``may_wait`` is false. The value never
    changes."""

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

    def rename(self, name: bytes, newdir: Node, newname: bytes) -> None:
        """Rename the entry ``name`` to ``newname`` in ``newdir``, replacing an existing entry
        (rename(2)).
        """
        raise Refused(Errno.EROFS)

    def remove(self) -> None:
        """Remove this node under its current name, whatever its type (Tremove). EBUSY for the
        root.
        """
        raise Refused(Errno.EROFS)

    def may_remove(self) -> None:
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

    def source(self) -> Source | None:
        """The folder of the host that is served, if there is one."""
        return None

    def tidy(self) -> None:
        """Called from the event loop about once a second while there are connections: release what
        is only cached, if others need it. Must not wait.
        """

    def close(self) -> None:
        """The server ends. All nodes were released and all files closed before."""
