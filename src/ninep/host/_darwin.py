"""macOS: a path handle is a descriptor opened with O_SYMLINK, good for everything but opening and
linking, which go by the name and check.

Written from XNU's sources and manual pages, and tried on Linux only, where the tests run all of it
that has an equal there (``tests/host/test_darwin.py``); no macOS machine has seen it yet. What
macOS has not, and what that means:

* no O_PATH: ``open_file`` opens the name and compares what it got with the path handle. If a host
  process swaps a device in at that very moment, it is opened without waiting and closed unread; a
  link never is (O_NOFOLLOW).
* a path handle cannot be opened on a socket (EOPNOTSUPP, vfs_vnops.c vn_authorize_open_existing),
  must not be on a device, and may not be on a file that the server cannot read. For those a *ghost*
  stands in: a negative number for directory, name and identity, looked up again at each use, ESTALE
  if something else is there.
* no preadv2: whether a read would wait cannot be told. No O_TMPFILE. No directory cookies that
  last: listings are snapshots.
* fsync(2) does not reach the disk, F_FULLFSYNC does.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import stat as st
import sys
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Concatenate, Final, NamedTuple, ParamSpec, TypeVar

from ninep import linux
from ninep.errors import Refused
from ninep.host import _posix, _steps
from ninep.host._api import Handle, Listing, NoMounts, ObjectRef, Stat, Volume
from ninep.host._lacking import allocate, copy_file_range, sync_file_range, sync_filesystem
from ninep.host._posix import (
    SnapshotListing,
    linux_rdev,
    open_fd,
    open_root,
    raise_handle_limit,
    read,
    read_into,
    read_into_now,
    reserved_match,
    seek,
    truncate,
    write,
    write_from,
)
from ninep.linux import Errno
from ninep.node import Buffer

if sys.platform == "win32":
    raise ImportError("not on this system")  # and nothing below is looked at when types are checked for it

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
BY_NAME: Final = True
UNPRIVILEGED_OWNERS: Final = False
SEES_MOUNTS: Final = False
mounts: Final = NoMounts()

# bsd/sys/fcntl.h; numbers, because Python knows these names on macOS only
_O_EVTONLY: Final = 0x8000
_O_SYMLINK: Final = 0x200000
_F_FULLFSYNC: Final = 51
_F_OFD_SETLK: Final = 90
_F_OFD_GETLK: Final = 92
_PATH_FLAGS: Final = os.O_RDONLY | _O_SYMLINK | _O_EVTONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PINNABLE: Final = (st.S_IFREG, st.S_IFDIR, st.S_IFLNK)

# -- handles -----------------------------------------------------------------------------------------------------------


class _Ghost(NamedTuple):
    """Stands in for a path handle that cannot be: a descriptor of its directory, its name, and what
    it was.
    """

    dir: Handle
    name: bytes
    seen: Stat


P = ParamSpec("P")
R = TypeVar("R")
_ghosts: dict[int, _Ghost] = {}
_numbers = itertools.count(-2, -1)


def _in_a_directory(verb: Callable[Concatenate[Handle, P], R]) -> Callable[Concatenate[Handle, P], R]:
    """A verb on a name, when the directory may be a ghost: that is none, or one that may not be
    read.
    """

    def guarded(dir: Handle, /, *arguments: P.args, **keywords: P.kwargs) -> R:
        if dir in _ghosts:
            raise Refused(Errno.EACCES if st.S_ISDIR(stat(dir).st_mode) else Errno.ENOTDIR)
        return verb(dir, *arguments, **keywords)

    return guarded


stat_at = stat_same_mount = _in_a_directory(_posix.stat_at)
open_at = _in_a_directory(_posix.open_at)
make_dir = _in_a_directory(_posix.make_dir)
make_symlink = _in_a_directory(_posix.make_symlink)
remove_dir = _in_a_directory(_posix.remove_dir)
remove_file = _in_a_directory(_posix.remove_file)


_RENAME: Final = {linux.RENAME_EXCHANGE: 0x2, linux.RENAME_NOREPLACE: 0x4}  # bsd/sys/stdio.h: SWAP, EXCL


@_in_a_directory
def rename(olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
    """renameatx_np(2), for flags. A file system without them says ENOTSUP: EINVAL, as on Linux."""
    if not flags:
        _posix.rename(olddir, oldname, newdir, newname)
        return
    call = getattr(_libc, "renameatx_np", None)
    if flags not in _RENAME or call is None:
        raise Refused(Errno.EINVAL)
    if call(ctypes.c_int(olddir), oldname, ctypes.c_int(newdir), newname, ctypes.c_uint(_RENAME[flags])):
        error = _failed()
        raise Refused(Errno.EINVAL) if error.errno == errno.ENOTSUP else error


@_in_a_directory
def open_path(dir: Handle, name: bytes) -> Handle:
    found = stat_at(dir, name)
    if st.S_IFMT(found.st_mode) in _PINNABLE:
        try:
            handle = open_fd(name, _PATH_FLAGS, dir_fd=dir)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EOPNOTSUPP):
                raise
        else:
            if st.S_IFMT(os.fstat(handle).st_mode) in _PINNABLE:
                return handle
            os.close(handle)
    number = next(_numbers)
    _ghosts[number] = _Ghost(Handle(os.dup(dir)), name, found)
    return Handle(number)


open_path_across = open_path


def find_same_mount(dir: Handle, name: bytes) -> Stat | None:
    return _steps.find(stat_at, dir, name)


def stat_below(dir: Handle, folder: bytes, name: bytes) -> Stat | None:
    return _steps.stat_below(open_path, stat_at, close, dir, folder, name)


def reopen_path(handle: Handle) -> Handle:
    """A second descriptor of the same open file: its locks live as long as both, so it is for the
    moment only.
    """
    return Handle(os.dup(handle))


def open_path_by_id(root: Handle, ino: int) -> Handle:  # noqa: ARG001 - as in HostModule
    """Path handles are kept here."""
    raise Refused(Errno.EOPNOTSUPP)


def close(handle: Handle) -> None:
    if handle >= 0:
        os.close(handle)
    else:
        os.close(_ghosts.pop(handle).dir)


def stat(handle: Handle) -> Stat:
    if handle >= 0:
        return os.fstat(handle)
    ghost = _ghosts[handle]
    found = stat_at(ghost.dir, ghost.name)
    _posix.check_same(ghost.seen, found)
    return found


def open_file(place: ObjectRef, flags: int) -> Handle:
    return _posix.open_by_name(place, stat(place.path_handle), flags)


open_regular = open_file


def open_unnamed(dir: Handle, flags: int, mode: int) -> Handle:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)


def open_dir(place: ObjectRef) -> Listing:
    if place.path_handle < 0:
        raise Refused(Errno.EACCES)  # a directory is a ghost only if it cannot be read
    return SnapshotListing(open_fd(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place.path_handle))


# -- looking -----------------------------------------------------------------------------------------------------------


def birth_time(handle: Handle) -> int | None:
    born = getattr(stat(handle), "st_birthtime", None)
    return None if born is None else int(born * 1_000_000_000)


def generation(handle: Handle) -> int | None:
    """Shown to root only; 0 for all others, which is no generation."""
    return getattr(stat(handle), "st_gen", 0) or None


_libc = ctypes.CDLL(None, use_errno=True)
# bsd/sys/mount.h, struct statfs with 64-bit inodes: bsize, iosize, blocks, bfree, bavail, files,
# ffree, fsid, owner, type, flags, subtype, fstypename; two paths of 1024 bytes follow
_STATFS: Final = Struct("=Ii5QQ4I16s")
_MNT_RDONLY: Final = 0x1
_MNT_LOCAL: Final = 0x1000
_NAME_MAX: Final = 255


def _fstatfs(handle: Handle) -> tuple[int, ...]:
    # On Intel the call of this name is the one with 32-bit inodes.
    call = getattr(_libc, "fstatfs$INODE64", None) or _libc.fstatfs
    answer = ctypes.create_string_buffer(4096)
    if call(ctypes.c_int(handle), answer):
        raise _failed()
    return _STATFS.unpack_from(answer)


def _failed() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def statfs(handle: Handle) -> tuple[int, int, int, int, int, int, int, int, int]:
    if handle < 0:
        handle = _ghosts[handle].dir
    bsize, _, blocks, bfree, bavail, files, ffree, fsid, _, kind, _, _, _ = _fstatfs(handle)
    return kind, bsize, blocks, bfree, bavail, files, ffree, fsid, _NAME_MAX


def volume(handle: Handle, xattrs: bool = True) -> Volume:
    *_, flags, _, name = _fstatfs(handle)
    kind = bytes(name).rstrip(b"\0").decode("ascii", "replace") if isinstance(name, bytes) else "unknown"
    try:
        if xattrs:
            get_xattr(ObjectRef(handle, handle, b"."), b"user.ninep.probe")
    except OSError as error:
        xattrs = error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP)
    return Volume(
        kind=kind,
        slow=not flags & _MNT_LOCAL,
        xattrs=xattrs,
        posix_owners=kind not in ("msdos", "exfat"),
        unique_ino=True,
        read_only=bool(flags & _MNT_RDONLY),
        pseudo=kind in ("devfs", "fdesc"),
        ctime=kind not in ("msdos", "exfat"),
    )


def read_link(place: ObjectRef) -> bytes:
    return _posix.read_link_by_name(place, stat(place.path_handle))


# -- changing attributes: descriptors do, whatever they were opened for -------------------------------------------------


def chmod(place: ObjectRef, mode: int) -> None:
    held = stat(place.path_handle)
    if st.S_ISLNK(held.st_mode):
        raise Refused(Errno.EOPNOTSUPP)
    if place.path_handle >= 0:
        os.chmod(place.path_handle, mode & linux.PERMISSIONS)
    else:
        _posix.chmod_by_name(place, held, mode)


def chown(place: ObjectRef, uid: int, gid: int) -> None:
    if place.path_handle >= 0:
        os.chown(place.path_handle, uid, gid)
    else:
        _posix.chown_by_name(place, stat(place.path_handle), uid, gid)


def utimes(place: ObjectRef, atime: int | None, mtime: int | None) -> None:
    held = stat(place.path_handle)
    if place.path_handle >= 0:
        os.utime(place.path_handle, ns=_posix.both_times(held, atime, mtime))
    else:
        _posix.utimes_by_name(place, held, atime, mtime)


# -- extended attributes (xnu bsd/sys/xattr.h): as on Linux, but for a position (resource forks only) and other flags -----

_FLAGS: Final = {0: 0, linux.XATTR_CREATE: 2, linux.XATTR_REPLACE: 4}
_ROOM: Final = 4096


def _xattr_handle(place: ObjectRef) -> ctypes.c_int:
    if place.path_handle < 0:
        raise Refused(Errno.EOPNOTSUPP)
    return ctypes.c_int(place.path_handle)


def _attribute_bytes(call: str, place: ObjectRef, *name: bytes) -> bytes:
    """The answer of a call that fills a buffer, whatever its size: asked again while it grows."""
    handle, room = _xattr_handle(place), _ROOM
    last = (ctypes.c_uint(0), ctypes.c_int(0)) if name else (ctypes.c_int(0),)
    function = getattr(_libc, call)
    function.restype = ctypes.c_ssize_t
    while True:
        buffer = ctypes.create_string_buffer(room)
        size: int = function(handle, *name, buffer, ctypes.c_size_t(room), *last)
        if size >= 0:
            return buffer.raw[:size]
        if ctypes.get_errno() != errno.ERANGE or room > linux.XATTR_SIZE_MAX * 16:
            raise _failed()
        room *= 16


def get_xattr(place: ObjectRef, name: bytes) -> bytes:
    return _attribute_bytes("fgetxattr", place, name)


def list_xattrs(place: ObjectRef) -> Sequence[bytes]:
    return _attribute_bytes("flistxattr", place).split(b"\0")[:-1]


def set_xattr(place: ObjectRef, name: bytes, value: bytes, flags: int = 0) -> None:
    size, position = ctypes.c_size_t(len(value)), ctypes.c_uint(0)
    if _libc.fsetxattr(_xattr_handle(place), name, value, size, position, ctypes.c_int(_FLAGS[flags])):
        raise _failed()


def remove_xattr(place: ObjectRef, name: bytes) -> None:
    if _libc.fremovexattr(_xattr_handle(place), name, ctypes.c_int(0)):
        raise _failed()


# -- names -------------------------------------------------------------------------------------------------------------


@_in_a_directory
def make_node(dir: Handle, name: bytes, mode: int, rdev: int) -> None:
    """FIFOs and devices in a directory came with macOS 13; a socket is made by bind(2) only, which
    takes a path: EOPNOTSUPP.
    """
    kind = st.S_IFMT(mode)
    try:
        if kind == st.S_IFREG:
            os.close(open_at(dir, name, linux.O_CREAT | linux.O_EXCL | linux.O_WRONLY, st.S_IMODE(mode)))
        elif kind == st.S_IFIFO:
            os.mkfifo(name, st.S_IMODE(mode), dir_fd=dir)
        elif kind == st.S_IFSOCK:
            raise Refused(Errno.EOPNOTSUPP)
        else:
            os.mknod(name, mode, _posix.host_rdev(rdev), dir_fd=dir)
    except NotImplementedError:
        raise Refused(Errno.EOPNOTSUPP) from None


def make_link(place: ObjectRef, dir: Handle, name: bytes) -> None:
    _posix.make_link_by_name(place, stat(place.path_handle), dir, name)


# -- data --------------------------------------------------------------------------------------------------------------


def read_now(handle: Handle, count: int, offset: int) -> Buffer:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)


def sync(handle: Handle, datasync: bool) -> None:  # noqa: ARG001 - there is one way to reach the disk
    try:
        fcntl.fcntl(handle, _F_FULLFSYNC)
    except OSError:
        os.fsync(handle)  # a filesystem without it (SMB, FAT on some disks)


# -- locks -------------------------------------------------------------------------------------------------------------

_FLOCK: Final = Struct("=qqihh")  # struct flock: start, len, pid, type, whence (bsd/sys/fcntl.h)
_TO_HOST: Final = {linux.LOCK_RDLCK: fcntl.F_RDLCK, linux.LOCK_WRLCK: fcntl.F_WRLCK, linux.LOCK_UNLCK: fcntl.F_UNLCK}
_FROM_HOST: Final = {ours: theirs for theirs, ours in _TO_HOST.items()}


def lock(handle: Handle, kind: int, start: int, length: int) -> None:
    fcntl.fcntl(handle, _F_OFD_SETLK, _FLOCK.pack(start, length, 0, _TO_HOST[kind], os.SEEK_SET))


def test_lock(handle: Handle, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
    asked = _FLOCK.pack(start, length, 0, _TO_HOST[kind], os.SEEK_SET)
    at, size, pid, found, _ = _FLOCK.unpack(fcntl.fcntl(handle, _F_OFD_GETLK, asked))
    return None if found == fcntl.F_UNLCK else (_FROM_HOST[found], at, size, pid)


# -- the process -------------------------------------------------------------------------------------------------------


def privileged() -> bool:
    return os.geteuid() == 0
