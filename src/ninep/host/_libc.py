"""Linux calls that Python does not offer: statx, getdents64, fstatfs, utimensat with its special
times, chmod and chown of an O_PATH descriptor itself; by ctypes.

Each is one C function with its types told, an ``OSError`` on failure, and plain numbers back.
ctypes lets other threads run during the call (which costs about half a microsecond), so nothing
here is on the way of a getattr.
"""

from __future__ import annotations

import ctypes
import errno
import os
from struct import Struct
from typing import Final

from ninep.errors import Refused
from ninep.linux import Errno

_libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
UTIME_NOW: Final = (1 << 30) - 1
UTIME_OMIT: Final = (1 << 30) - 2


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_longlong), ("nsec", ctypes.c_long))


_STATFS = Struct("@ll5L2I3l")
"""``struct statfs`` of 64-bit Linux (statfs(2)): type, bsize, blocks, bfree, bavail, files, ffree,
fsid (two), namelen, frsize, flags.
"""
_Statfs = ctypes.c_char * (_STATFS.size + 16 * 8)  # and some room to spare

_fstatfs = _libc.fstatfs
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)
_utimensat = _libc.utimensat
_utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.POINTER(_Timespec), ctypes.c_int)
# Both are in glibc since 2.28 and 2.30 and in musl since 1.2; without them there is no birth time,
# and listings go by snapshot.
_statx = getattr(_libc, "statx", None)
if _statx is not None:
    _statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
_getdents64 = getattr(_libc, "getdents64", None)
if _getdents64 is not None:
    _getdents64.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    _getdents64.restype = ctypes.c_ssize_t

_syncfs = _libc.syncfs
_syncfs.argtypes = (ctypes.c_int,)
# The one with 64-bit offsets has a name of its own in glibc.
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_sync_file_range = getattr(_libc, "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
_WAIT_BEFORE_AND_WRITE: Final = 1 | 2  # include/uapi/linux/fs.h
_renameat2 = getattr(_libc, "renameat2", None)  # in glibc since 2.28, and not in every musl
if _renameat2 is not None:
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_fchownat = _libc.fchownat
_fchownat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_int)
# Linux 6.6 has it, libraries do not yet. The number is the same on all machines that count with
# others (include/uapi/asm-generic/unistd.h).
_FCHMODAT2: Final = 452
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint, ctypes.c_int)
_syscall.restype = ctypes.c_long


OPENAT2: Final = ctypes.c_long(437)
"""Since Linux 5.6, the same number on all machines; libraries do not have it."""
_open_how = Struct("=QQQ")  # struct open_how: flags, mode, resolve (openat2(2))
OPEN_HOW_SIZE: Final = ctypes.c_size_t(_open_how.size)
RESOLVE_NO_XDEV: Final = 1
RESOLVE_NO_SYMLINKS: Final = 4
openat2 = _libc["syscall"]
"""openat2(2): called with ``OPENAT2``, a directory, a name, what ``open_how`` made, and
``OPEN_HOW_SIZE``, by those who need it often: a Python function around it, and arguments whose
types are told once, would take 0.5 us, as long as the call. -1 on failure: raise ``failed()``. Only
if ``HAS_OPENAT2``."""


def open_how(flags: int, resolve: int) -> bytes:
    """What ``openat2`` wants, of which there is one for each purpose."""
    return _open_how.pack(flags, 0, resolve)


def _knows_openat2() -> bool:
    """As below."""
    return openat2(OPENAT2, -1, b".", open_how(os.O_RDONLY, 0), OPEN_HOW_SIZE) < 0 and ctypes.get_errno() == errno.EBADF


def _knows_fchmodat2() -> bool:
    """An older kernel says ENOSYS, a container's filter perhaps EPERM; one that knows the call says
    that -1 is no descriptor.
    """
    return _syscall(_FCHMODAT2, -1, b"", 0, _AT_EMPTY_PATH) < 0 and ctypes.get_errno() == errno.EBADF


HAS_GETDENTS: Final = _getdents64 is not None
HAS_FCHMODAT2: Final = _knows_fchmodat2()
HAS_OPENAT2: Final = _knows_openat2()

_Statx = ctypes.c_char * 256  # a third of the price of create_string_buffer (0.2 us)
_STATX_MASK = Struct("=I")  # struct statx: stx_mask is its first field,
_STATX_BTIME_AT = Struct("=qI")  # stx_btime stands at byte 80 (include/uapi/linux/stat.h)


def failed() -> OSError:
    """The error of the call that has just failed."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def statfs(fd: int) -> tuple[int, ...]:
    """fstatfs(2), O_PATH descriptors included: the fields of ``struct statfs`` (12: the type first,
    the flags last).
    """
    answer = _Statfs()
    if _fstatfs(fd, answer):
        raise failed()
    return _STATFS.unpack_from(answer)


def birth_time(fd: int) -> int | None:
    """Birth time in ns (statx(2)), None if the filesystem keeps none."""
    if _statx is None:
        return None
    answer = _Statx()
    if _statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer):
        raise failed()
    if not _STATX_MASK.unpack_from(answer)[0] & _STATX_BTIME:
        return None
    seconds, nanoseconds = _STATX_BTIME_AT.unpack_from(answer, 80)
    return int(seconds * 1_000_000_000 + nanoseconds)


def utimensat(path: bytes, atime: tuple[int, int], mtime: tuple[int, int]) -> None:
    """Set times by a path, with ``(0, UTIME_NOW)`` and ``(0, UTIME_OMIT)`` as times."""
    if _utimensat(AT_FDCWD, path, (_Timespec * 2)(_Timespec(*atime), _Timespec(*mtime)), 0):
        raise failed()


def chmod(fd: int, mode: int) -> None:
    """fchmodat2(2) of a descriptor itself, O_PATH included; 0.7 us less than by way of /proc. Only
    if ``HAS_FCHMODAT2``.
    """
    if _syscall(_FCHMODAT2, fd, b"", mode, _AT_EMPTY_PATH) < 0:
        raise failed()


def chown(fd: int, uid: int, gid: int) -> None:
    """fchownat(2) of a descriptor itself, O_PATH included; -1 leaves one alone. 0.7 us less than by
    way of /proc.
    """
    if _fchownat(fd, b"", uid, gid, _AT_EMPTY_PATH):
        raise failed()


def syncfs(fd: int) -> None:
    """The system call of that name."""
    if _syncfs(fd):
        raise failed()


def sync_file_range(fd: int, offset: int, count: int) -> None:
    """The system call of that name, as QEMU's ``writeout=immediate`` has it."""
    if _sync_file_range is None:
        raise Refused(Errno.EOPNOTSUPP)
    if _sync_file_range(fd, offset, count, _WAIT_BEFORE_AND_WRITE):
        raise failed()


def fallocate(fd: int, mode: int, offset: int, length: int) -> None:
    """The system call of that name."""
    if _fallocate(fd, mode, offset, length):
        raise failed()


def rename(olddir: int, oldname: bytes, newdir: int, newname: bytes, flags: int) -> None:
    """renameat2(2). EINVAL where there is none, as from a filesystem without the flags."""
    if _renameat2 is None:
        raise Refused(Errno.EINVAL)
    if _renameat2(olddir, oldname, newdir, newname, flags):
        raise failed()


def getdents(fd: int, buffer: ctypes.Array[ctypes.c_char], size: int) -> int:
    """The next entries (getdents64(2)) into ``size`` bytes of ``buffer``: how many were filled, 0
    at the end.
    """
    if _getdents64 is None:
        raise Refused(Errno.EOPNOTSUPP)
    count: int = _getdents64(fd, buffer, size)
    if count < 0:
        raise failed()
    return count
