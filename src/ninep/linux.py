"""The Linux constants of 9P2000.L, the same on every host.

9P2000.L uses x86 Linux values for errno, open flags, file types and lock types, whatever the host
is (kernel ``fs/9p``, ``include/uapi/asm-generic``). This module neither uses the host's own headers
nor depends on the host: ``errors`` and ``host`` translate a host's numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Errno(IntEnum):
    """Linux errno values (asm-generic/errno-base.h and errno.h)."""

    EPERM = 1
    ENOENT = 2
    ESRCH = 3
    EINTR = 4
    EIO = 5
    ENXIO = 6
    E2BIG = 7
    ENOEXEC = 8
    EBADF = 9
    ECHILD = 10
    EAGAIN = 11
    ENOMEM = 12
    EACCES = 13
    EFAULT = 14
    ENOTBLK = 15
    EBUSY = 16
    EEXIST = 17
    EXDEV = 18
    ENODEV = 19
    ENOTDIR = 20
    EISDIR = 21
    EINVAL = 22
    ENFILE = 23
    EMFILE = 24
    ENOTTY = 25
    ETXTBSY = 26
    EFBIG = 27
    ENOSPC = 28
    ESPIPE = 29
    EROFS = 30
    EMLINK = 31
    EPIPE = 32
    EDOM = 33
    ERANGE = 34
    EDEADLK = 35
    ENAMETOOLONG = 36
    ENOLCK = 37
    ENOSYS = 38
    ENOTEMPTY = 39
    ELOOP = 40
    ENOMSG = 42
    EIDRM = 43
    ENOSTR = 60
    ENODATA = 61
    ETIME = 62
    ENOSR = 63
    EREMOTE = 66
    ENOLINK = 67
    EPROTO = 71
    EMULTIHOP = 72
    EBADMSG = 74
    EOVERFLOW = 75
    EILSEQ = 84
    EUSERS = 87
    ENOTSOCK = 88
    EDESTADDRREQ = 89
    EMSGSIZE = 90
    EPROTOTYPE = 91
    ENOPROTOOPT = 92
    EPROTONOSUPPORT = 93
    ESOCKTNOSUPPORT = 94
    EOPNOTSUPP = 95
    EPFNOSUPPORT = 96
    EAFNOSUPPORT = 97
    EADDRINUSE = 98
    EADDRNOTAVAIL = 99
    ENETDOWN = 100
    ENETUNREACH = 101
    ENETRESET = 102
    ECONNABORTED = 103
    ECONNRESET = 104
    ENOBUFS = 105
    EISCONN = 106
    ENOTCONN = 107
    ESHUTDOWN = 108
    ETOOMANYREFS = 109
    ETIMEDOUT = 110
    ECONNREFUSED = 111
    EHOSTDOWN = 112
    EHOSTUNREACH = 113
    EALREADY = 114
    EINPROGRESS = 115
    ESTALE = 116
    EDQUOT = 122
    ENOMEDIUM = 123
    EMEDIUMTYPE = 124
    ECANCELED = 125
    EOWNERDEAD = 130
    ENOTRECOVERABLE = 131


# Open flags of Tlopen and Tlcreate (kernel fs/9p/vfs_inode_dotl.c, v9fs_mapped_dotl_flags).
O_RDONLY: Final = 0o0
O_WRONLY: Final = 0o1
O_RDWR: Final = 0o2
O_ACCMODE: Final = 0o3
O_CREAT: Final = 0o100
O_EXCL: Final = 0o200
O_NOCTTY: Final = 0o400
O_TRUNC: Final = 0o1000
O_APPEND: Final = 0o2000
O_NONBLOCK: Final = 0o4000
O_DSYNC: Final = 0o10000
O_FASYNC: Final = 0o20000
O_DIRECT: Final = 0o40000
O_LARGEFILE: Final = 0o100000
O_DIRECTORY: Final = 0o200000
O_NOFOLLOW: Final = 0o400000
O_NOATIME: Final = 0o1000000
O_CLOEXEC: Final = 0o2000000
O_SYNC: Final = 0o4000000

# Modes of fallocate(2) (include/uapi/linux/falloc.h); what lseek(2) looks for; flags of renameat2(2).
FALLOC_FL_KEEP_SIZE: Final = 0x01
FALLOC_FL_PUNCH_HOLE: Final = 0x02
FALLOC_FL_COLLAPSE_RANGE: Final = 0x08
FALLOC_FL_ZERO_RANGE: Final = 0x10
FALLOC_FL_INSERT_RANGE: Final = 0x20
FALLOC_FL_UNSHARE_RANGE: Final = 0x40
SEEK_DATA: Final = 3
SEEK_HOLE: Final = 4
RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2

# File types and permission bits (include/uapi/linux/stat.h).
S_IFMT: Final = 0o170000
S_IFSOCK: Final = 0o140000
S_IFLNK: Final = 0o120000
S_IFREG: Final = 0o100000
S_IFBLK: Final = 0o060000
S_IFDIR: Final = 0o040000
S_IFCHR: Final = 0o020000
S_IFIFO: Final = 0o010000
S_ISUID: Final = 0o4000
S_ISGID: Final = 0o2000
S_ISVTX: Final = 0o1000
S_IXGRP: Final = 0o010
PERMISSIONS: Final = 0o7777

# Directory entry types of Treaddir (include/linux/fs_types.h): the file type shifted down.
DT_UNKNOWN: Final = 0
DT_FIFO: Final = 1
DT_CHR: Final = 2
DT_DIR: Final = 4
DT_BLK: Final = 6
DT_REG: Final = 8
DT_LNK: Final = 10
DT_SOCK: Final = 12

# Request mask of Tgetattr (kernel include/net/9p/9p.h, P9_STATS_*).
GETATTR_MODE: Final = 0x1
GETATTR_NLINK: Final = 0x2
GETATTR_UID: Final = 0x4
GETATTR_GID: Final = 0x8
GETATTR_RDEV: Final = 0x10
GETATTR_ATIME: Final = 0x20
GETATTR_MTIME: Final = 0x40
GETATTR_CTIME: Final = 0x80
GETATTR_INO: Final = 0x100
GETATTR_SIZE: Final = 0x200
GETATTR_BLOCKS: Final = 0x400
GETATTR_BASIC: Final = 0x7FF
GETATTR_BTIME: Final = 0x800
GETATTR_GEN: Final = 0x1000
GETATTR_DATA_VERSION: Final = 0x2000
GETATTR_ALL: Final = 0x3FFF

# Valid mask of Tsetattr (P9_ATTR_*). ATIME or MTIME without its _SET bit means the current time.
SETATTR_MODE: Final = 0x1
SETATTR_UID: Final = 0x2
SETATTR_GID: Final = 0x4
SETATTR_SIZE: Final = 0x8
SETATTR_ATIME: Final = 0x10
SETATTR_MTIME: Final = 0x20
SETATTR_CTIME: Final = 0x40
SETATTR_ATIME_SET: Final = 0x80
SETATTR_MTIME_SET: Final = 0x100

# Locks (kernel include/net/9p/9p.h, P9_LOCK_*).
LOCK_RDLCK: Final = 0
LOCK_WRLCK: Final = 1
LOCK_UNLCK: Final = 2
LOCK_FLAG_BLOCK: Final = 1
LOCK_FLAG_RECLAIM: Final = 2
LOCK_SUCCESS: Final = 0
LOCK_BLOCKED: Final = 1
LOCK_ERROR: Final = 2
LOCK_GRACE: Final = 3

# Txattrcreate flags (setxattr(2)) and Tunlinkat flag (unlinkat(2)).
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2
XATTR_SIZE_MAX: Final = 65536
AT_REMOVEDIR: Final = 0x200

NAME_MAX: Final = 255
PATH_MAX: Final = 4096
NO_ID: Final = 0xFFFFFFFF
"""(u32) -1: no uid or gid."""
