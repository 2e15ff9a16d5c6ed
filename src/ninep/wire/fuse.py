"""The messages of FUSE: opcodes, structures and flags of ``linux/fuse.h``, as tables. ``fuse_codec``
converts them from and to bytes.

A request is a header of 40 bytes and what its row of ``REQUESTS`` says: numbers, then strings that
end in NUL, then data. A reply is a header of 16 bytes (length, minus errno, the request's ``unique``)
and a body.

The layouts are those of version 7.31 and later; what later versions added is only used after it was
agreed on (``INIT_FLAGS``).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final, NamedTuple

MAJOR: Final = 7
MINOR: Final = 39
"""What is offered; a kernel that knows less is answered in its own version."""
OLDEST_MINOR: Final = 31
"""Linux 5.4, the first with virtiofs."""
ROOT_ID: Final = 1
IN_HEADER_SIZE: Final = 40
OUT_HEADER_SIZE: Final = 16
WRITE_HEADER_SIZE: Final = 80
"""Up to the data of WRITE: ``fuse_in_header`` and ``fuse_write_in``."""
PAGE: Final = 4096


class Malformed(ValueError):
    """The body of a request does not match its opcode."""


class Opcode(IntEnum):
    """``enum fuse_opcode``."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 8
    MKDIR = 9
    UNLINK = 10
    RMDIR = 11
    RENAME = 12
    LINK = 13
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    SETXATTR = 21
    GETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FLUSH = 25
    INIT = 26
    OPENDIR = 27
    READDIR = 28
    RELEASEDIR = 29
    FSYNCDIR = 30
    GETLK = 31
    SETLK = 32
    SETLKW = 33
    ACCESS = 34
    CREATE = 35
    INTERRUPT = 36
    BMAP = 37
    DESTROY = 38
    IOCTL = 39
    POLL = 40
    NOTIFY_REPLY = 41
    BATCH_FORGET = 42
    FALLOCATE = 43
    READDIRPLUS = 44
    RENAME2 = 45
    LSEEK = 46
    COPY_FILE_RANGE = 47
    SETUPMAPPING = 48
    REMOVEMAPPING = 49
    SYNCFS = 50
    TMPFILE = 51
    STATX = 52


class Init(IntFlag):
    """``FUSE_*`` flags of INIT; bits from 32 on travel in ``flags2``."""

    ASYNC_READ = 1 << 0
    POSIX_LOCKS = 1 << 1
    FILE_OPS = 1 << 2
    ATOMIC_O_TRUNC = 1 << 3
    EXPORT_SUPPORT = 1 << 4
    BIG_WRITES = 1 << 5
    DONT_MASK = 1 << 6
    SPLICE_WRITE = 1 << 7
    SPLICE_MOVE = 1 << 8
    SPLICE_READ = 1 << 9
    FLOCK_LOCKS = 1 << 10
    HAS_IOCTL_DIR = 1 << 11
    AUTO_INVAL_DATA = 1 << 12
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    ASYNC_DIO = 1 << 15
    WRITEBACK_CACHE = 1 << 16
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    HANDLE_KILLPRIV = 1 << 19
    POSIX_ACL = 1 << 20
    ABORT_ERROR = 1 << 21
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24
    EXPLICIT_INVAL_DATA = 1 << 25
    MAP_ALIGNMENT = 1 << 26
    SUBMOUNTS = 1 << 27
    HANDLE_KILLPRIV_V2 = 1 << 28
    SETXATTR_EXT = 1 << 29
    INIT_EXT = 1 << 30
    INIT_RESERVED = 1 << 31
    SECURITY_CTX = 1 << 32
    HAS_INODE_DAX = 1 << 33
    HAS_EXPIRE_ONLY = 1 << 35


FATTR_MODE: Final = 1 << 0
FATTR_UID: Final = 1 << 1
FATTR_GID: Final = 1 << 2
FATTR_SIZE: Final = 1 << 3
FATTR_ATIME: Final = 1 << 4
FATTR_MTIME: Final = 1 << 5
FATTR_FH: Final = 1 << 6
FATTR_ATIME_NOW: Final = 1 << 7
FATTR_MTIME_NOW: Final = 1 << 8
FATTR_CTIME: Final = 1 << 10
FATTR_KILL_SUIDGID: Final = 1 << 11

FOPEN_DIRECT_IO: Final = 1 << 0
FOPEN_KEEP_CACHE: Final = 1 << 1
FOPEN_NOFLUSH: Final = 1 << 5
NOFLUSH_MINOR: Final = 35
"""The first version that knows it."""
OPEN_KILL_SUIDGID: Final = 1 << 0
WRITE_CACHE: Final = 1 << 0
WRITE_KILL_SUIDGID: Final = 1 << 2
RELEASE_FLOCK_UNLOCK: Final = 1 << 1
LK_FLOCK: Final = 1 << 0
FSYNC_FDATASYNC: Final = 1 << 0
SETXATTR_ACL_KILL_SGID: Final = 1 << 0
STATX_BASIC: Final = 0x7FF
STATX_BTIME: Final = 0x800
OFFSET_MAX: Final = (1 << 63) - 1
"""The end of a lock that reaches to the end of the file (inclusive)."""


# -- requests ----------------------------------------------------------------------------------------------------------


class InHeader(NamedTuple):
    """``struct fuse_in_header``."""

    length: int
    opcode: int
    unique: int
    nodeid: int
    uid: int
    gid: int
    pid: int
    total_extlen: int = 0
    padding: int = 0


class Form(NamedTuple):
    """What follows the header: a ``struct`` format (without byte order), how many strings, whether
    data.
    """

    numbers: str = ""
    strings: int = 0
    data: bool = False


_LOCK: Final = "QQQQIIII"
_READ: Final = "QQIIQII"
_XATTR_EXT: Final = "IIII"

REQUESTS: Final[dict[Opcode, Form]] = {
    Opcode.LOOKUP: Form(strings=1),
    Opcode.FORGET: Form("Q"),
    Opcode.GETATTR: Form("IIQ"),
    Opcode.SETATTR: Form("II" + "QQQqqq" + "IIIIIIII"),
    Opcode.READLINK: Form(),
    Opcode.SYMLINK: Form(strings=2),
    Opcode.MKNOD: Form("IIII", 1),
    Opcode.MKDIR: Form("II", 1),
    Opcode.UNLINK: Form(strings=1),
    Opcode.RMDIR: Form(strings=1),
    Opcode.RENAME: Form("Q", 2),
    Opcode.LINK: Form("Q", 1),
    Opcode.OPEN: Form("II"),
    Opcode.READ: Form(_READ),
    Opcode.WRITE: Form(_READ, data=True),
    Opcode.STATFS: Form(),
    Opcode.RELEASE: Form("QIIQ"),
    Opcode.FSYNC: Form("QII"),
    Opcode.SETXATTR: Form("II", 1, data=True),
    Opcode.GETXATTR: Form("II", 1),
    Opcode.LISTXATTR: Form("II"),
    Opcode.REMOVEXATTR: Form(strings=1),
    Opcode.FLUSH: Form("QIIQ"),
    Opcode.INIT: Form("IIII", data=True),
    Opcode.OPENDIR: Form("II"),
    Opcode.READDIR: Form(_READ),
    Opcode.RELEASEDIR: Form("QIIQ"),
    Opcode.FSYNCDIR: Form("QII"),
    Opcode.GETLK: Form(_LOCK),
    Opcode.SETLK: Form(_LOCK),
    Opcode.SETLKW: Form(_LOCK),
    Opcode.ACCESS: Form("II"),
    Opcode.CREATE: Form("IIII", 1),
    Opcode.INTERRUPT: Form("Q"),
    Opcode.BMAP: Form("QII"),
    Opcode.DESTROY: Form(),
    Opcode.IOCTL: Form("QIIQII", data=True),
    Opcode.POLL: Form("QQII"),
    Opcode.NOTIFY_REPLY: Form(data=True),
    Opcode.BATCH_FORGET: Form("II", data=True),
    Opcode.FALLOCATE: Form("QQQII"),
    Opcode.READDIRPLUS: Form(_READ),
    Opcode.RENAME2: Form("QII", 2),
    Opcode.LSEEK: Form("QQII"),
    Opcode.COPY_FILE_RANGE: Form("QQQQQQQ"),
    Opcode.SETUPMAPPING: Form("QQQQQ"),
    Opcode.REMOVEMAPPING: Form("I", data=True),
    Opcode.SYNCFS: Form("Q"),
    Opcode.TMPFILE: Form("IIII", 1),
    Opcode.STATX: Form("IIQII"),
}
SETXATTR_EXT: Final = Form(_XATTR_EXT, 1, data=True)
"""SETXATTR once ``Init.SETXATTR_EXT`` was agreed on."""
