"""Linux: a path handle is an O_PATH descriptor, and verbs go through it by ``/proc/self/fd/N``,
which is the object itself, not a name.

So there is no moment between looking at an object and acting on it: it cannot be swapped. Only
names below a directory are looked up, with O_NOFOLLOW, one at a time. Needs ``/proc`` to be
mounted.

Figures behind the choices (Linux 6, ext4, CPython 3.11): fstat 0.55 us, openat O_PATH 0.5, by
``/proc/self/fd/N`` 1.3-2, by ``N`` in that directory 0.85 less, a Python function around one of
them 0.1.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat as st
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from struct import Struct
from typing import Final, cast

from ninep import linux
from ninep.errors import Refused
from ninep.host import _libc, _posix
from ninep.host._api import LISTING_SIZE, Entry, Handle, Listing, ObjectRef, Volume
from ninep.host._buffers import BIG, big_buffer
from ninep.host._crossings import (
    SEES_MOUNTS,
    find_same_mount,
    mounts,
    open_path,
    open_path_across,
    stat_below,
    stat_same_mount,
)
from ninep.host._filesystems import WITHOUT_OWNERS, kind_of
from ninep.host._ofd_locks import lock, test_lock
from ninep.host._posix import (
    SnapshotListing,
    check_regular,
    close,
    host_flags,
    make_dir,
    make_node,
    make_symlink,
    open_at,
    open_fd,
    raise_handle_limit,
    read,
    read_into,
    read_into_now,
    remove_dir,
    remove_file,
    reserved_match,
    seek,
    stat,
    stat_at,
    sync,
    truncate,
    until_lease_ends,
    write,
    write_from,
)
from ninep.linux import Errno
from ninep.node import NOW, Buffer, WouldBlock

if sys.platform != "linux":
    raise ImportError("not on this system")  # and nothing below is looked at when types are checked for another

__all__ = [
    "BY_NAME",
    "HANDLES_BLOCK_RENAME",
    "SEES_MOUNTS",
    "UNPRIVILEGED_OWNERS",
    "allocate",
    "birth_time",
    "chmod",
    "chown",
    "close",
    "copy_file_range",
    "find_same_mount",
    "generation",
    "get_xattr",
    "linux_rdev",
    "list_xattrs",
    "lock",
    "make_dir",
    "make_link",
    "make_node",
    "make_symlink",
    "mounts",
    "open_at",
    "open_dir",
    "open_file",
    "open_path",
    "open_path_across",
    "open_path_by_id",
    "open_regular",
    "open_root",
    "open_unnamed",
    "privileged",
    "raise_handle_limit",
    "read",
    "read_into",
    "read_into_now",
    "read_link",
    "read_now",
    "remove_dir",
    "remove_file",
    "remove_xattr",
    "rename",
    "reopen_path",
    "reserved_match",
    "seek",
    "set_xattr",
    "stat",
    "stat_at",
    "stat_below",
    "stat_same_mount",
    "statfs",
    "sync",
    "sync_file_range",
    "sync_filesystem",
    "test_lock",
    "truncate",
    "utimes",
    "volume",
    "write",
    "write_from",
]

HANDLES_BLOCK_RENAME: Final = False
BY_NAME: Final = False
UNPRIVILEGED_OWNERS: Final = False

_SELF: Final = b"/proc/self/fd/%d"
"""The way to a handle for calls that take no directory."""
_OWN: Final = b"%d"
"""The same, in the directory ``_own.fds``."""


class _Own:
    """``/proc/self/fd``, held: each process has its own, so a fork must not go on with its
    parent's.
    """

    __slots__ = ("fds",)

    def __init__(self) -> None:
        self.fds = -1

    def find(self) -> None:
        """Open it, unless it is open: where all descriptors of this process were closed, its number
        may be another file's now. ENOSYS.
        """
        try:
            wanted = os.stat("/proc/self/fd")
            with suppress(OSError):
                if os.path.samestat(os.fstat(self.fds), wanted):
                    return
            self.fds = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Refused(Errno.ENOSYS, "/proc is not mounted, and files are reached through /proc/self/fd") from None

    def forked(self) -> None:
        """In the child: nothing is reached through the parent's."""
        if self.fds >= 0:
            os.close(self.fds)
            self.fds = -1
            self.find()


_own: Final = _Own()
os.register_at_fork(after_in_child=_own.forked)
with suppress(OSError):  # open_root will say what is wrong
    _own.find()  # now, so that no export costs a descriptor more than another

# -- handles -----------------------------------------------------------------------------------------------------------


def open_root(path: str) -> Handle:
    _own.find()
    return open_fd(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def reopen_path(handle: Handle) -> Handle:
    return open_fd(_OWN % handle, os.O_PATH | os.O_CLOEXEC, dir_fd=_own.fds)


def open_path_by_id(root: Handle, ino: int) -> Handle:  # noqa: ARG001 - as in HostModule
    """Path handles are kept here."""
    raise Refused(Errno.EOPNOTSUPP)


def open_file(place: ObjectRef, flags: int) -> Handle:
    """The type of an inode never changes, so a look at the path handle settles it. O_NOFOLLOW would
    refuse the way through /proc itself.

    NONBLOCK, which means nothing for a regular file itself, makes a file on which another process
    has a lease EAGAIN: without it open(2) waits until that process has given it up, 45 s perhaps
    (fcntl(2), F_SETLEASE; /proc/sys/fs/lease-break-time).
    """
    check_regular(os.fstat(place.path_handle).st_mode)
    return open_regular(place, flags)


def open_regular(place: ObjectRef, flags: int) -> Handle:
    wanted = host_flags(flags & ~(linux.O_CREAT | linux.O_EXCL)) & ~os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return open_fd(_OWN % place.path_handle, wanted, dir_fd=_own.fds)
    except BlockingIOError:
        return until_lease_ends(partial(open_fd, _OWN % place.path_handle, wanted, dir_fd=_own.fds))
    except PermissionError:
        if not wanted & os.O_NOATIME:
            raise
        return open_regular(place, flags & ~linux.O_NOATIME)


def open_unnamed(dir: Handle, flags: int, mode: int) -> Handle:
    """O_TMPFILE wants a file open for writing: one asked for reading only is EOPNOTSUPP here, and
    so is a filesystem without them.
    """
    if not flags & linux.O_ACCMODE:
        raise Refused(Errno.EOPNOTSUPP)
    wanted = host_flags(flags & ~(linux.O_CREAT | linux.O_EXCL | linux.O_TRUNC)) & ~(os.O_NOFOLLOW | os.O_NOATIME)
    try:
        return open_fd(b".", wanted | os.O_TMPFILE, mode, dir_fd=dir)
    except IsADirectoryError:  # what open(2) says O_TMPFILE gives on a filesystem that never heard of it
        raise Refused(Errno.EOPNOTSUPP) from None


def open_dir(place: ObjectRef) -> Listing:
    handle = open_fd(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.path_handle)
    return DirectoryListing(handle) if _libc.HAS_GETDENTS else SnapshotListing(handle)


_scratch = threading.local()
"""A buffer for entries, one for each thread: a client may have thousands of directories open."""


class DirectoryListing:
    """getdents64 with the kernel's own cookies (d_off), which stay right whatever is created and
    deleted meanwhile.

    Seeks only when asked for another place than where the last batch ended: tmpfs before 6.6 cannot
    seek stably. ``.`` and ``..`` come from the kernel.
    """

    _HEAD = Struct("=QqHB")  # struct linux_dirent64: d_ino, d_off, d_reclen, d_type; d_name follows, NUL-terminated
    __slots__ = ("_at", "_handle")

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._at = 0

    def read(self, cookie: int, size: int = LISTING_SIZE) -> Sequence[Entry]:
        if cookie != self._at or cookie == 0:
            os.lseek(self._handle, cookie, os.SEEK_SET)
            self._at = cookie
        buffer: ctypes.Array[ctypes.c_char] | None = getattr(_scratch, "buffer", None)
        if buffer is None:
            buffer = _scratch.buffer = ctypes.create_string_buffer(LISTING_SIZE)
        try:
            count = _libc.getdents(self._handle, buffer, min(size, LISTING_SIZE))
        except FileNotFoundError:
            return ()  # the directory was removed, which POSIX wants to look like its end (readdir(3))
        if not count:
            return ()
        data = ctypes.string_at(buffer, count)
        unpack, find = self._HEAD.unpack_from, data.index
        entries: list[tuple[int, int, int, bytes]] = []
        append = entries.append
        place = offset = 0
        while place < count:
            ino, offset, length, kind = unpack(data, place)
            start = place + 19
            append((ino, offset, kind, data[start : find(0, start)]))
            place += length
        self._at = offset
        # Plain tuples: a NamedTuple apiece doubles the cost of an entry (0.25 us more), and nothing
        # above reads them by field name.
        return cast("list[Entry]", entries)

    def sync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


# -- looking -----------------------------------------------------------------------------------------------------------


def birth_time(handle: Handle) -> int | None:
    return _libc.birth_time(handle)


_GETVERSION: Final = (
    (2 << 30) | (ctypes.sizeof(ctypes.c_long) << 16) | (ord("v") << 8) | 1
)  # FS_IOC_GETVERSION = _IOR('v', 1, long)


def generation(handle: Handle) -> int | None:
    """FS_IOC_GETVERSION; a path handle is no good for asking, nor is a filesystem without it."""
    try:
        return int.from_bytes(fcntl.ioctl(handle, _GETVERSION, bytes(8))[:4], "little")
    except OSError:
        return None


def linux_rdev(rdev: int) -> int:
    return rdev


def statfs(handle: Handle) -> tuple[int, int, int, int, int, int, int, int, int]:
    kind, bsize, blocks, bfree, bavail, files, ffree, low, high, namelen, _, _ = _libc.statfs(handle)
    return kind & 0xFFFFFFFF, bsize, blocks, bfree, bavail, files, ffree, low | high << 32, namelen


_READ_ONLY: Final = 1  # ST_RDONLY of statfs(2)


def volume(handle: Handle, xattrs: bool = True) -> Volume:
    figures = _libc.statfs(handle)
    kind = kind_of(figures[0] & 0xFFFFFFFF)
    try:
        if xattrs:
            os.getxattr(_SELF % handle, b"user.ninep.probe")
    except OSError as error:
        if error.errno == errno.EACCES:
            raise  # it cannot be told, nor read
        xattrs = error.errno == errno.ENODATA
    return Volume(
        kind=kind.name,
        slow=kind.slow,
        xattrs=xattrs,
        posix_owners=kind.name not in WITHOUT_OWNERS,
        unique_ino=True,
        read_only=bool(figures[-1] & _READ_ONLY),
        pseudo=kind.pseudo,
        ctime=kind.ctime,
    )


def read_link(place: ObjectRef) -> bytes:
    """readlinkat(2) with an empty name reads the link the path handle holds; for anything else the
    kernel says ENOENT.
    """
    try:
        return os.readlink(b"", dir_fd=place.path_handle)
    except FileNotFoundError:
        raise Refused(Errno.EINVAL) from None


# -- changing attributes -----------------------------------------------------------------------------------------------


def chmod(place: ObjectRef, mode: int) -> None:
    try:
        if _libc.HAS_FCHMODAT2:
            _libc.chmod(place.path_handle, mode & linux.PERMISSIONS)
        else:
            os.chmod(_OWN % place.path_handle, mode & linux.PERMISSIONS, dir_fd=_own.fds)
    except OSError:
        if st.S_ISLNK(os.fstat(place.path_handle).st_mode):  # kernels differ in the number
            raise Refused(Errno.EOPNOTSUPP) from None
        raise


def chown(place: ObjectRef, uid: int, gid: int) -> None:
    _libc.chown(place.path_handle, uid, gid)


def utimes(place: ObjectRef, atime: int | None, mtime: int | None) -> None:
    if atime is None or mtime is None or NOW in (atime, mtime):
        _libc.utimensat(_SELF % place.path_handle, _timespec(atime), _timespec(mtime))
    else:
        os.utime(_OWN % place.path_handle, ns=(atime, mtime), dir_fd=_own.fds)


def _timespec(time: int | None) -> tuple[int, int]:
    if time is None:
        return (0, _libc.UTIME_OMIT)
    return (0, _libc.UTIME_NOW) if time == NOW else divmod(time, 1_000_000_000)


# -- extended attributes -----------------------------------------------------------------------------------------------


def _xattr_target(place: ObjectRef) -> bytes | Handle:
    """A place without a name is an open handle (see _api), which is a third of the price: 0.4 us to
    1.4.
    """
    return _SELF % place.path_handle if place.name else place.path_handle


def get_xattr(place: ObjectRef, name: bytes) -> bytes:
    return os.getxattr(_xattr_target(place), name)


_ENCODING: Final = sys.getfilesystemencoding()


def list_xattrs(place: ObjectRef) -> Sequence[bytes]:
    """Some FUSE filesystems answer ENODATA when there are none."""
    try:
        # As os.fsencode does, in a third of the time.
        return [name.encode(_ENCODING, "surrogateescape") for name in os.listxattr(_xattr_target(place))]
    except OSError as error:
        if error.errno == errno.ENODATA:
            return []
        raise


def set_xattr(place: ObjectRef, name: bytes, value: bytes, flags: int = 0) -> None:
    os.setxattr(_xattr_target(place), name, value, flags)


def remove_xattr(place: ObjectRef, name: bytes) -> None:
    os.removexattr(_xattr_target(place), name)


# -- names -------------------------------------------------------------------------------------------------------------


def make_link(place: ObjectRef, dir: Handle, name: bytes) -> None:
    os.link(_OWN % place.path_handle, name, src_dir_fd=_own.fds, dst_dir_fd=dir, follow_symlinks=True)


def rename(olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
    if flags:
        _libc.rename(olddir, oldname, newdir, newname, flags)
    else:
        _posix.rename(olddir, oldname, newdir, newname)


# -- data --------------------------------------------------------------------------------------------------------------

allocate = _libc.fallocate
sync_file_range = _libc.sync_file_range


def sync_filesystem(place: ObjectRef) -> None:
    if st.S_IFMT(os.fstat(place.path_handle).st_mode) not in (st.S_IFDIR, st.S_IFREG):
        raise Refused(Errno.ENXIO)
    handle = open_fd(_OWN % place.path_handle, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=_own.fds)
    try:
        _libc.syncfs(handle)
    finally:
        os.close(handle)


def copy_file_range(source: Handle, offset: int, target: Handle, target_offset: int, count: int) -> int:
    return os.copy_file_range(source, target, count, offset, target_offset)


def read_now(handle: Handle, count: int, offset: int) -> Buffer:
    """preadv2(2) with RWF_NOWAIT, which may stop short where the page cache has a hole: only a
    second try tells that from the end.
    """
    room = memoryview(big_buffer(count))[:count] if count >= BIG else bytearray(count)
    done = 0
    try:
        while done < count:
            more = os.preadv(handle, [memoryview(room)[done:]] if done else [room], offset + done, os.RWF_NOWAIT)
            if not more:
                return room[:done]
            done += more
    except BlockingIOError:
        raise WouldBlock from None
    return room


# -- the process -------------------------------------------------------------------------------------------------------

_OWNER_CAPABILITIES: Final = 0b11011  # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID (capabilities(7))


def privileged() -> bool:
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"CapEff:"):
                return int(line.split()[1], 16) & _OWNER_CAPABILITIES == _OWNER_CAPABILITIES
    return os.geteuid() == 0
