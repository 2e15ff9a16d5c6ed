"""The driver interface. This page is its specification: implement ``Node`` and anything can be served over 9P.

A *driver* is where files come from. It hands out *nodes* (a file, a folder, a link, a device), which hand out what
is opened from them. The server never sees a path: it walks from node to node, one name at a time.

Rules every driver can rely on, because the server keeps them:

* names are ``bytes``, one component, 1 to 65535 long, without ``/`` or NUL, never ``.`` or ``..``;
* offsets and sizes are 0 .. 2**63 - 1; a read never asks for more than fits in one reply;
* every node that ``walk``, ``clone``, ``parent`` or ``create`` returned is released exactly once, and what was opened from
  it is closed before;
* verbs of one node may be called from several threads at once, unless ``inline`` is true and the driver is not ``threadsafe``: then
  all calls come from the event loop's thread, except ``fsync`` and those that asked for a worker by raising ``WouldBlock``.

Rules every driver must keep:

* a failure is an ``OSError`` whose ``errno`` is the host's, or an ``errors.Refused`` with a Linux errno; anything else is
  logged with its traceback and answered EIO;
* a verb that fails has changed nothing;
* no verb follows a symbolic link.

Every verb here has a default: the answer of a driver that does not know the thing (mostly EOPNOTSUPP or EROFS, so that
a read-only synthetic tree needs ``walk``, ``getattr``, ``open`` and ``opendir`` only). The public acceptance suite
``ninep.testing.suite`` holds a driver to this page.
"""

from __future__ import annotations

import errno
import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.wire.types import Attributes, Buffer, Dirent, Qid, Statfs

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
    "may_wait",
    "must_be_able_to_wait",
    "serve_in_this_thread",
]


class Changes(NamedTuple):
    """What a setattr asks for; None leaves a field alone.

    Apply in this order: size, owner, mode, times (a truncation moves mtime, a chown clears SUID, so that the later ones
    must win). ``mode`` is the whole ``st_mode`` or just the permissions: **only its low 12 bits count**, the type of a
    file never changes. A time is nanoseconds since 1970 (negative before), or ``NOW``. ``touch`` asks to move ctime
    even if nothing else changes. ``by`` is the uid of who asks: unless it is 0, a change of size or owner drops SUID
    and (where the group may execute) SGID.
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
"""A time of ``Changes``: the host's clock at the moment of the call. (No nanosecond count of 9P is that small.)"""


class WouldBlock(OSError):
    """Raised in a thread that must not wait (``may_wait``): the answer needs waiting, for a device or another program, so it is for a worker
    thread, where the whole request is made again. What was begun is undone as for any other ``OSError``.
    """

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "the answer needs waiting")


class _Thread(threading.local):
    loops = 0


_thread = _Thread()


def may_wait() -> bool:
    """Whether verbs may wait in this thread: everywhere but in the thread of an event loop that serves."""
    return not _thread.loops


def must_be_able_to_wait() -> None:
    """``WouldBlock`` in the thread of an event loop that serves."""
    if _thread.loops:
        raise WouldBlock


def serve_in_this_thread(change: int) -> None:
    """A server begins (1) or ends (-1) to call verbs in the event loop of this thread."""
    _thread.loops += change


class OpenFile(ABC):
    """A file opened by ``Node.open`` or ``Node.create``: what a fid reads and writes.

    Stays usable when the file is renamed or unlinked. Verbs may be called from worker threads.
    """

    idle: bool = False
    """It keeps nothing while nobody uses it that there are few of, such as a handle of the host, until it is locked."""

    @abstractmethod
    def read(self, offset: int, count: int) -> Buffer:
        """Up to ``count`` bytes from ``offset``; short only at the end of the file, empty beyond it."""

    def read_now(self, offset: int, count: int) -> Buffer:
        """As ``read``, for the event loop: raises ``WouldBlock`` where it would have to wait (preadv2(2), RWF_NOWAIT)."""
        return self.read(offset, count)

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        """Write ``data`` at ``offset`` (at the end for a file opened O_APPEND); the number of bytes written, may be short.

        ``by`` is the uid of who writes: unless it is 0, SUID and (with group execution) SGID are dropped.
        The buffer belongs to the caller and is reused after the return.
        """
        raise Refused(Errno.EBADF)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        """Set the size, as ``Changes.size`` does, through the open file: works whatever its mode became meanwhile."""
        raise Refused(Errno.EBADF)

    def fsync(self, datasync: bool) -> None:
        """Return when what was written is on stable storage (fsync(2), or fdatasync(2))."""

    def lock(self, kind: int, start: int, length: int) -> None:
        """Take (``linux.LOCK_RDLCK``, ``LOCK_WRLCK``) or give back (``LOCK_UNLCK``) a byte range against other processes of the host.

        ``length`` 0 reaches to the end of the file. EAGAIN when another process is in the way: never waits. Clients are
        kept apart by the server itself; a driver without host processes has nothing to do. A write lock takes a file that is open for
        writing (fcntl(2)): EBADF otherwise, and the server then keeps the lock among its clients. flock(2) clients ask for it through files that
        they opened for reading; a driver may open such a file for writing to lock it, as far as the user may, but not below a read-only export,
        which refuses before it is asked.
        """

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        """A lock of a host process that conflicts, as (kind, start, length, pid), or None."""
        return None

    def close(self) -> None:
        """Called exactly once. An error is reported to the client, the file is closed all the same."""


class OpenDir(ABC):
    """A directory opened by ``Node.opendir``."""

    packs: bool = False
    """``read_packed`` answers always. None from it then means that not even one entry fits."""

    @abstractmethod
    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        """Entries after ``cookie`` (0: from the start, read afresh), ``.`` and ``..`` included; none at the end, and only there.

        ``room`` is the size of the reply in bytes, an entry takes 24 + the length of its name: a driver need not return more than
        that (but one entry, if there is any), and the server may use fewer. Plain tuples of a ``Dirent``'s shape will do. An entry
        that existed throughout is returned exactly once between two rewinds, whatever is created and deleted meanwhile. One
        entry that cannot be looked at never fails the call.
        """

    def read_packed(self, cookie: int, room: int) -> Buffer | None:
        """As ``read``, in the form of Rreaddir (``wire.codec.pack_dirents``): whole entries, at most ``room`` bytes, empty at the end.

        For drivers that have entries at hand in this form. None: ask ``read`` (also when not even one entry fits). Where this answers, cookies are
        below 2**31 (``wire.cookies`` helps), and a reply after a jump to another place is short: the client may throw away all but its first entry.
        What ``read`` gives may have any cookies: the server puts numbers in their place.
        """
        return None

    def is_far(self, cookie: int) -> bool:
        """Whether to go on after this cookie takes reading thousands of entries first: ``read_packed`` is then called in a worker thread."""
        del cookie
        return False

    def fsync(self, datasync: bool) -> None:
        """As ``OpenFile.fsync``, for the directory's entries."""

    def close(self) -> None:
        """Called exactly once."""


class Node(ABC):
    """A file, folder, link or device of a driver, as one fid (or several, through ``clone``) holds it."""

    inline: bool = False
    """True when every verb returns in microseconds without waiting for a device or a network. The server then calls the
    verbs in its event loop (a hand-over to a thread costs ten times a system call); otherwise in worker threads: all requests of a
    session whose export's root is not inline. Below a root that is, a node that is not raises ``WouldBlock`` from every verb (but ``clone`` and
    ``release``) where ``may_wait`` says no. It never changes."""

    storage: Hashable | None = None
    """What the verbs may have to wait for, such as a device: one storage that does not answer gets only a part of the worker threads.
    None: the export as a whole."""

    @property
    def bsd_groups(self) -> bool:
        """Owners are only recorded, so that no right of the host hangs on them: where a dialect cannot name a group (9P2000, 9P2000.u) a new
        file gets its directory's, as create(5) has it (and Linux with the mount option bsdgroups), and not the server process's.
        """
        return False

    qid: Qid
    """The qid as last seen: set by ``walk``, ``getattr``, ``open``, ``create`` and friends. The type and path are always right."""

    # -- life ----------------------------------------------------------------------------------------------------------

    def clone(self) -> Node:
        """The same file for another fid. Released on its own. Default: the node itself, for drivers without state."""
        return self

    def release(self) -> None:
        """The claim of one fid ends. Must not fail."""

    # -- names ---------------------------------------------------------------------------------------------------------

    def walk(self, name: bytes) -> Node:
        """The entry ``name`` of this directory. ENOENT if there is none, ENOTDIR if this is no directory."""
        raise Refused(Errno.ENOTDIR)

    def through(self, names: Sequence[bytes]) -> tuple[Node, list[Qid]]:
        """As far along directories as a driver gets for less than a ``walk`` each: where that is, and the qids on the way.

        Never an error: what is not reached is walked to. Without qids the node is this one, with them another one to be released.
        """
        del names
        return self, []

    @abstractmethod
    def parent(self) -> Node:
        """The directory this is in (walk of ``..``); at the root of the export, the root itself."""

    @property
    def name(self) -> bytes:
        """The last name this was reached or renamed by; ``/`` for the root. Shown by Rstat of 9P2000 and 9P2000.u."""
        return b"/"

    # -- attributes ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def getattr(self, mask: int) -> Attributes:
        """The attributes. ``mask`` (``linux.GETATTR_*``) says which beyond BASIC are wanted; answer at least BASIC."""

    def setattr(self, changes: Changes) -> None:
        """Change attributes, in the order and with the meaning that ``Changes`` tells. All or, on an error, as few as possible."""
        raise Refused(Errno.EROFS)

    def statfs(self) -> Statfs:
        """The figures of the filesystem this is on."""
        return Statfs()

    def readlink(self) -> bytes:
        """The target of a symbolic link, as stored. EINVAL if this is none."""
        raise Refused(Errno.EINVAL)

    def fsync(self) -> None:
        """Attributes and data to stable storage, of a node that may not be open (Twstat with nothing to change)."""

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        """Open for reading and writing as ``flags`` (``linux.O_*``: access mode, TRUNC, APPEND, DIRECT, SYNC, DSYNC, NOATIME) say.

        EISDIR for a directory opened for writing, ENXIO for a device, FIFO or socket (never opened here: clients do that
        themselves), ELOOP for a symbolic link. Creation flags do not arrive.
        """
        raise Refused(Errno.EOPNOTSUPP)

    def opendir(self) -> OpenDir:
        """Open a directory for listing. ENOTDIR for anything else."""
        raise Refused(Errno.ENOTDIR)

    # -- making: uid and gid own the new entry; linux.NO_ID leaves that to the host (the server process, or a directory with SGID) ---

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        """Create a regular file and open it. If ``name`` exists: EEXIST with ``linux.O_EXCL`` in flags, else it is opened as
        by ``open`` (TRUNC honoured), its owner and mode untouched. Exactly the permissions of ``mode`` are set.
        """
        raise Refused(Errno.EROFS)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        """Make a directory. EEXIST if there is something of that name."""
        raise Refused(Errno.EROFS)

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        """Make a symbolic link; ``target`` (1 .. 4095 bytes, no NUL) is stored, never looked at."""
        raise Refused(Errno.EROFS)

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        """Make a device, FIFO, socket or regular file as the type bits of ``mode`` say; ``rdev`` in the Linux layout."""
        raise Refused(Errno.EROFS)

    def link(self, target: Node, name: bytes) -> None:
        """Make ``name`` in this directory another name of ``target``, a node of the same driver. EXDEV if it is not."""
        raise Refused(Errno.EROFS)

    # -- unmaking ------------------------------------------------------------------------------------------------------

    def unlink(self, name: bytes, directory: bool) -> None:
        """Remove an entry: a directory (``directory``; ENOTEMPTY, ENOTDIR) or anything else (EISDIR for a directory)."""
        raise Refused(Errno.EROFS)

    def rename(self, name: bytes, newdir: Node, newname: bytes) -> None:
        """Move the entry ``name`` to ``newdir`` under ``newname``, replacing what is there (rename(2))."""
        raise Refused(Errno.EROFS)

    def remove(self) -> None:
        """Remove this node under its current name, whatever its type (Tremove). EBUSY for the root."""
        raise Refused(Errno.EROFS)

    def may_remove(self) -> None:
        """Asked when a file is opened to be removed at its clunk: refuse now (EROFS) what ``remove`` would refuse in any case.

        Default: refused if this driver has no ``remove``.
        """
        if type(self).remove is Node.remove:
            raise Refused(Errno.EROFS)

    def move(self, newdir: Node | None, newname: bytes) -> None:
        """Rename this node from its current place (Trename, Twstat); ``newdir`` None keeps the directory. EBUSY for the root."""
        raise Refused(Errno.EROFS)

    # -- extended attributes (xattr(7)) --------------------------------------------------------------------------------

    def getxattr(self, name: bytes) -> bytes:
        """The value. ENODATA if there is none of that name, EOPNOTSUPP for a namespace that is not served."""
        raise Refused(Errno.EOPNOTSUPP)

    def listxattr(self) -> Sequence[bytes]:
        """The names that ``getxattr`` would answer."""
        return ()

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        """Set; ``flags`` 0, ``linux.XATTR_CREATE`` (EEXIST if there is one) or ``XATTR_REPLACE`` (ENODATA if there is none)."""
        raise Refused(Errno.EOPNOTSUPP)

    def removexattr(self, name: bytes) -> None:
        """Remove. ENODATA if there is none."""
        raise Refused(Errno.EOPNOTSUPP)


class Identity(NamedTuple):
    """A user of the host, as its kernel checks access: numbers, whatever the names are."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class User(NamedTuple):
    """Who attached: what Tattach said, and what the transport knows of its peer.

    ``uid`` is ``linux.NO_ID`` when the client named no number (plain 9P2000, or n_uname ~0). A driver makes such a user's files as those of
    the server process, as QEMU's 9pfs does; an export with a policy (squash, id map, run-as) never lets it come to that. ``peer`` is the
    transport's word for the other side (an address, or ``uid=1000 pid=17`` of a unix socket), for logs. ``gid``: the group that the kernel
    tells of the peer, where the user is who the kernel says. ``identity``: where requests run with users' rights, the user of the host that it
    comes to, found once, when the attach is made (``layers.run_as``).
    """

    uname: bytes = b""
    uid: int = NO_ID
    peer: str = ""
    gid: int = NO_ID
    identity: Identity | None = None


class Source(NamedTuple):
    """Where on the host a driver's files are, to find exports that show the same ones."""

    path: str
    """The folder, for messages."""
    model: str
    """How owners are kept there: the name of the security model."""
    above: tuple[tuple[int, int], ...]
    """Device and inode of the folder and of each above it."""
    areas: tuple[tuple[str, str], ...]
    """What it shows of which filesystem, its own first: a name for the filesystem, and a path in it."""


class Driver(ABC):
    """Where the files of an export come from."""

    threadsafe: bool = False
    """True when verbs may be called from several threads at once although the nodes are ``inline``: should the storage turn out slow, the
    server then moves to worker threads for a while."""

    @abstractmethod
    def attach(self, user: User) -> Node:
        """The root, for this user. Released like any node."""

    def source(self) -> Source | None:
        """The folder of the host that is served, if it is one."""
        return None

    def tidy(self) -> None:
        """Called from the event loop about once a second while there are connections; must not wait.

        Let go of what is only kept because it may be used again, if others wait for it.
        """

    def close(self) -> None:
        """The server ends. All nodes are released and all files closed before."""
