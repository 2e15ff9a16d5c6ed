"""The wall: what every operating system must offer, under the same names. This page is the list.

``host/__init__.py`` picks the module of the running system (the only place in the program that asks
which one that is) and everything above says ``from ninep import host`` and ``host.stat(handle)``. A
new system is one new module with these names; mypy holds each to the ``HostModule`` protocol below.

Rules

* Authority is a handle. The only function that takes a path is ``open_root``; everything else is
  relative to a handle, **one name at a time**, and never follows a symbolic link, a junction or any
  other reparse point.
* A *path handle* is a handle to an object for its attributes only, whatever it is (O_PATH on Linux;
  on Windows a handle without data access, opened for a moment: see ``HANDLES_BLOCK_RENAME``). It
  does not open devices, and permission bits of the object do not matter for it.
* Some systems cannot do everything through a path handle. Verbs on an object therefore take a
  ``ObjectRef``: its path handle, and the directory and name it was last seen at. A system that must
  go by the name checks that it still is the same object: ESTALE if not.
* Special files are never opened: ENXIO.
* Flags are Linux numbers (``ninep.linux``), translated here. Times are nanoseconds since 1970.
  ``rdev`` is in the Linux layout.
* Failures are ``OSError`` with the host's errno, or ``errors.Refused`` with a Linux one. Never a
  bare -1, never None.
* A handle belongs to whom it was returned to, who calls ``close`` once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, NewType, Protocol

from ninep.node import Buffer

Handle = NewType("Handle", int)
"""A file descriptor, or an NT handle."""

NO_HANDLE = Handle(-1)


class Stat(Protocol):
    """What ``stat`` returns: ``os.stat_result`` on POSIX, the same fields on Windows."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_dev(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_rdev(self) -> int: ...
    @property
    def st_blksize(self) -> int: ...
    @property
    def st_blocks(self) -> int: ...
    @property
    def st_atime_ns(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


class ObjectRef(NamedTuple):
    """An object: its path handle, and where it was last seen (for systems that cannot do all
    through a path handle).
    """

    path_handle: Handle
    dir: Handle
    name: bytes
    ignores_read_only: bool = False
    """The mode is kept elsewhere and decides: an attribute of the host that forbids writing
    (Windows' read-only one) is lifted for the act.
    """


class Entry(NamedTuple):
    """One directory entry. ``cookie``: where the next one begins, 1 .. 2**63 - 1. ``type``: a
    ``linux.DT_*``, 0 if unknown.

    Read it by position: a listing may hand out plain tuples, which are half the price.
    """

    ino: int
    cookie: int
    type: int
    name: bytes


LISTING_SIZE: Final = 32768
"""Bytes of a batch of directory entries."""


class Listing(Protocol):
    """A directory being read. Keeps its own handle, so that readers do not disturb each other."""

    def read(self, cookie: int, size: int = LISTING_SIZE) -> Sequence[Entry]:
        """The next batch of entries after ``cookie`` (0: from the start, afresh), ``.`` and ``..``
        included; empty at the end.

        ``size``: bytes that they take in the host's form, at most, where the host can be told; a
        batch is bounded in any case (some tens of KiB). Stable as ``node.OpenDir.read`` asks.
        """

    def sync(self) -> None:
        """The directory's entries to stable storage."""

    def close(self) -> None: ...


class Volume(NamedTuple):
    """What the filesystem under a handle can do; asked once, at start."""

    kind: str
    """Its name for people and logs (``ext4``, ``nfs``, ``NTFS``), or its number in hex."""
    slow: bool
    """A network filesystem, or one served by another program (NFS, SMB, FUSE, 9P): every call may
    wait.
    """
    xattrs: bool
    """Extended attributes of the ``user.`` namespace (named streams on Windows) can be stored."""
    posix_owners: bool
    """Owner, group and permission bits are real."""
    unique_ino: bool
    """``st_ino`` alone (with ``st_dev``) identifies a file in 64 bits."""
    read_only: bool
    pseudo: bool = False
    """No files, but what the kernel shows in their form (procfs, sysfs): reads may wait, show other
    processes' secrets, or change the system.
    """
    ctime: bool = True
    """Each change of a file moves its ctime."""


class Mounts(Protocol):
    """The table of mounts, as this process sees it."""

    @property
    def changes(self) -> int:
        """A number that another mount, or one less, makes another; negative while that is not
        known.
        """

    def watch(self) -> None:
        """Begin to follow the changes. Once for each process; again is nothing."""


class NoMounts:
    """For systems where nothing tells of mounts: looks are as cheap as if there never were any."""

    changes = 1

    def watch(self) -> None:
        """See ``Mounts``."""


class HostModule(Protocol):
    """The primitives. Handles and errors as the head of this page says."""

    HANDLES_BLOCK_RENAME: bool
    """An open handle, even a path handle, hinders renames and removals of the directories above it
    (NTFS). The driver then keeps no idle path handles.
    """
    BY_NAME: bool
    """Verbs on a ``ObjectRef`` go by its directory and name: the caller must fill them in.
    Otherwise the path handle alone will do.
    """
    UNPRIVILEGED_OWNERS: bool
    """An ordinary user may give files away (never on POSIX hosts; there is no such thing on
    Windows).
    """
    SEES_MOUNTS: bool
    """``open_path`` and ``stat_same_mount`` notice where another filesystem is mounted (EXDEV).
    Where it is false they go there.
    """

    @property
    def mounts(self) -> Mounts: ...

    # -- handles -------------------------------------------------------------------------------------------------------
    def open_root(self, path: str) -> Handle:
        """A path handle of the directory ``path``, links in it followed (the person who starts the
        server chose it). ENOTDIR, ENOENT.
        """

    def open_path(self, dir: Handle, name: bytes) -> Handle:
        """A path handle of the entry ``name``, whatever it is; a link is opened itself. ENOENT,
        ENOTDIR, EACCES (no search permission), EXDEV if another filesystem is mounted there, which
        is not asked anything (``SEES_MOUNTS``).
        """

    def open_path_across(self, dir: Handle, name: bytes) -> Handle:
        """The same, of what is mounted there. May wait."""

    def open_path_by_id(self, root: Handle, ino: int) -> Handle:
        """A path handle of a directory below an exported one, by its ``st_ino``, wherever it is.
        ENOENT; EOPNOTSUPP where the host or the volume cannot.
        """

    def close(self, handle: Handle, /) -> None:
        """Close any handle of this page."""

    def open_file(self, place: ObjectRef, flags: int) -> Handle:
        """Open a regular file for data. ``WouldBlock`` while another process has a lease on it, in
        a thread that must not wait.

        ``flags``: access mode, TRUNC, APPEND, DIRECT, SYNC, DSYNC, NOATIME; others are ignored, as
        is what the host does not have (NOATIME that is refused with EPERM is left out). ENXIO for a
        special file, EISDIR for a directory, ELOOP for a link: by the object itself, with no moment
        between look and open.
        """

    def open_regular(self, place: ObjectRef, flags: int) -> Handle:
        """The same where the path handle is known to be a regular file's: it is not looked at again."""

    def open_at(self, dir: Handle, name: bytes, flags: int, mode: int = 0) -> Handle:
        """Open or create (``O_CREAT``, with ``O_EXCL`` or not) a regular file by name. Errors as
        ``open_file``.

        ``mode`` is subject to the process's umask.
        """

    def open_unnamed(self, dir: Handle, flags: int, mode: int) -> Handle:
        """A regular file without a name on the filesystem of ``dir``, which ``make_link`` can
        publish whole (O_TMPFILE). EOPNOTSUPP where the host or the filesystem has none.
        """

    def reopen_path(self, handle: Handle) -> Handle:
        """A path handle of what ``handle`` has open, whatever its name became. EOPNOTSUPP where the
        host cannot: go by the name.
        """

    def open_dir(self, place: ObjectRef) -> Listing:
        """A directory for listing. ENOTDIR, EACCES."""

    # -- looking -------------------------------------------------------------------------------------------------------
    def stat(self, handle: Handle, /) -> Stat:
        """By any handle (fstat(2))."""

    def stat_at(self, dir: Handle, name: bytes) -> Stat:
        """By name, never following (fstatat(2) AT_SYMLINK_NOFOLLOW); of what is mounted there,
        which may wait.
        """

    def stat_same_mount(self, dir: Handle, name: bytes) -> Stat:
        """The same, with EXDEV as in ``open_path``; twice the price."""

    def find_same_mount(self, dir: Handle, name: bytes) -> Stat | None:
        """The same, None for ENOENT: where nothing is expected an exception would cost as much again."""

    def stat_below(self, dir: Handle, folder: bytes, name: bytes) -> Stat | None:
        """The stat of ``name`` in the folder ``folder`` of a directory; no link is followed and no
        mount crossed. None if there is no such folder or no such name in it.
        """

    def birth_time(self, handle: Handle) -> int | None:
        """Birth time in ns, or None where the filesystem keeps none (statx(2) STATX_BTIME)."""

    def generation(self, handle: Handle) -> int | None:
        """The inode's generation number where the filesystem has one and the handle is good for
        asking, else None.
        """

    def linux_rdev(self, rdev: int) -> int:
        """A host ``st_rdev`` in the Linux layout (makedev(3) of glibc), which Rgetattr has."""

    def statfs(self, handle: Handle) -> tuple[int, int, int, int, int, int, int, int, int]:
        """type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen: as ``node.Statfs``."""

    def volume(self, handle: Handle, xattrs: bool = True) -> Volume:
        """What the filesystem can do. Asking about xattrs writes nothing that stays; without
        ``xattrs`` that is not asked.
        """

    def read_link(self, place: ObjectRef) -> bytes:
        """The target. EINVAL if it is no link."""

    # -- changing attributes -------------------------------------------------------------------------------------------
    def chmod(self, place: ObjectRef, mode: int) -> None:
        """Permission bits (12). Of a link: EOPNOTSUPP."""

    def chown(self, place: ObjectRef, uid: int, gid: int) -> None:
        """Owner and group; -1 leaves one alone, both -1 just move ctime. Of a link: the
        link's own.
        """

    def utimes(self, place: ObjectRef, atime: int | None, mtime: int | None) -> None:
        """Times in ns; None leaves one alone, ``node.NOW`` is the host's clock."""

    def truncate(self, handle: Handle, size: int, /) -> None:
        """By a handle open for writing."""

    # -- extended attributes, by place (path handle) or by an open handle (``ObjectRef(handle, NO_HANDLE, b"")``: no name, no path handle) -----
    def get_xattr(self, place: ObjectRef, name: bytes) -> bytes:
        """ENODATA, EOPNOTSUPP."""

    def list_xattrs(self, place: ObjectRef) -> Sequence[bytes]:
        """All names that the host shows."""

    def set_xattr(self, place: ObjectRef, name: bytes, value: bytes, flags: int = 0) -> None:
        """``flags``: ``linux.XATTR_CREATE`` or ``XATTR_REPLACE``."""

    def remove_xattr(self, place: ObjectRef, name: bytes) -> None:
        """ENODATA."""

    # -- names ---------------------------------------------------------------------------------------------------------
    def make_dir(self, dir: Handle, name: bytes, mode: int) -> None: ...
    def make_node(self, dir: Handle, name: bytes, mode: int, rdev: int) -> None:
        """mknod(2): devices, FIFOs, sockets, empty files; ``rdev`` in the Linux layout. EPERM."""

    def make_symlink(self, dir: Handle, name: bytes, target: bytes) -> None: ...
    def make_link(self, place: ObjectRef, dir: Handle, name: bytes) -> None:
        """Another name for the object of ``place``, a link itself included. EXDEV, EPERM for a
        directory.
        """

    def rename(self, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
        """Atomic, replacing; over open and read-only targets as POSIX has it. ``flags``:
        ``linux.RENAME_*``; EINVAL for those that the host or the filesystem has not.
        """

    def remove_file(self, dir: Handle, name: bytes) -> None:
        """EISDIR for a directory. An open file lives on until its last handle is closed."""

    def remove_dir(self, dir: Handle, name: bytes) -> None:
        """ENOTDIR, ENOTEMPTY."""

    def reserved_match(self, name: bytes, reserved: bytes) -> bool:
        """True if the host could open ``reserved`` by the spelling ``name``: exact on
        case-sensitive hosts, folded and normalised on others.
        """

    # -- data ----------------------------------------------------------------------------------------------------------
    def read(self, handle: Handle, count: int, offset: int, /) -> bytes: ...
    def read_into(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        """Into buffers, one after the other, none of them empty: fewer bytes only at the end."""

    def read_now(self, handle: Handle, count: int, offset: int, /) -> Buffer:
        """As ``read``, or ``node.WouldBlock`` raised if it would wait for the device. EOPNOTSUPP
        where that cannot be told.
        """

    def read_into_now(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        """As ``read_into``, with the errors of ``read_now``."""

    def write(self, handle: Handle, data: Buffer, offset: int, /) -> int: ...
    def write_from(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        """As ``write``, of several buffers as one piece."""

    def sync(self, handle: Handle, datasync: bool) -> None: ...
    def sync_filesystem(self, place: ObjectRef, /) -> None:
        """All that was written to the filesystem of a file or directory. May wait. EOPNOTSUPP."""

    def allocate(self, handle: Handle, mode: int, offset: int, length: int, /) -> None:
        """fallocate(2); ``mode``: ``linux.FALLOC_FL_*``. May wait. EOPNOTSUPP."""

    def seek(self, handle: Handle, offset: int, whence: int, /) -> int:
        """Where data or a hole begin; ``whence``: ``linux.SEEK_*``. May wait. ENXIO, EOPNOTSUPP."""

    def copy_file_range(self, source: Handle, offset: int, target: Handle, target_offset: int, count: int, /) -> int:
        """Between handles: how many bytes. May wait. EXDEV, EOPNOTSUPP."""

    def sync_file_range(self, handle: Handle, offset: int, count: int, /) -> None:
        """Wait for what is being written back of a range, then begin with the rest of it
        (SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE). ``count`` 0: to the end. EOPNOTSUPP.
        """

    # -- locks of host processes, on open handles: never wait ------------------------------------------------------------
    def lock(self, handle: Handle, kind: int, start: int, length: int) -> None:
        """``linux.LOCK_*``; ``length`` 0: to the end. EAGAIN if another process is in the way.
        Nothing where the host's locks are mandatory.
        """

    def test_lock(self, handle: Handle, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        """(kind, start, length, pid) of a conflicting lock of another process, or None."""

    # -- the process ---------------------------------------------------------------------------------------------------
    def raise_handle_limit(self) -> int:
        """Raise the soft limit of open files to the hard one; how many this process may have."""

    def privileged(self) -> bool:
        """May give files away and make devices (root, or the capabilities)."""


def iterate(listing: Listing) -> Iterator[Entry]:
    """All entries of a listing, from its start."""
    cookie = 0
    while batch := listing.read(cookie):
        yield from batch
        cookie = batch[-1][1]
