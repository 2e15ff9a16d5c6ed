"""The types of message fields, and the records that consist of several fields.

All numbers are unsigned and little-endian. A string is ``len[2]`` and that many bytes, a datum
``count[4]`` and that many; there is no terminating NUL. Names are ``bytes``: 9P specifies UTF-8,
but a Linux client sends the bytes that its applications used.

A field of a message is annotated with one of the aliases below (``U32``, ``String`` ...); ``codec``
compiles the annotations.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

from ninep.linux import GETATTR_BASIC

Buffer: TypeAlias = bytes | bytearray | memoryview


class Qid(NamedTuple):
    """Identifies a file to clients: 13 bytes on the wire (intro(5)).

    ``type`` is 0x80 for a directory, 0x02 for a symbolic link, else 0 (plus the 9P2000 bits of a
    driver that has append-only or exclusive files). ``version`` changes with every change of the
    content, and never on access. ``path`` is unique in the export for the lifetime of the file:
    clients use it as the inode number.
    """

    type: int
    version: int
    path: int


QT_DIR = 0x80
QT_APPEND = 0x40
QT_EXCL = 0x20
QT_AUTH = 0x08
QT_TMP = 0x04
QT_SYMLINK = 0x02
QT_FILE = 0x00


class Attributes(NamedTuple):
    """The attributes of a file, in the field order of Rgetattr.

    ``valid`` has the bits of the fields that are set (``linux.GETATTR_*``). Sizes are in bytes,
    ``blocks`` in units of 512 bytes. Times are seconds (negative before 1970) and nanoseconds (0 ..
    999,999,999, added to them). ``rdev`` is in the Linux (glibc) layout; ``mode`` includes the file
    type.
    """

    valid: int = GETATTR_BASIC
    qid_type: int = 0
    qid_version: int = 0
    qid_path: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    rdev: int = 0
    size: int = 0
    blksize: int = 4096
    blocks: int = 0
    atime_sec: int = 0
    atime_nsec: int = 0
    mtime_sec: int = 0
    mtime_nsec: int = 0
    ctime_sec: int = 0
    ctime_nsec: int = 0
    btime_sec: int = 0
    btime_nsec: int = 0
    gen: int = 0
    data_version: int = 0


class Statfs(NamedTuple):
    """Statistics of a filesystem, in the field order of Rstatfs (statfs(2)): sizes in blocks of
    ``bsize`` bytes.
    """

    type: int = 0x01021997
    bsize: int = 4096
    blocks: int = 0
    bfree: int = 0
    bavail: int = 0
    files: int = 0
    ffree: int = 0
    fsid: int = 0
    namelen: int = 255


class Dirent(NamedTuple):
    """One entry of a directory, in the field order of Rreaddir.

    ``cookie`` is the offset at which the *next* entry begins (1 .. 2**63 - 1): a Treaddir with this
    offset returns the entries after this one. ``type`` is a ``linux.DT_*``; use DT_UNKNOWN (0)
    where the type would cost a look-up.
    """

    qid_type: int
    qid_version: int
    qid_path: int
    cookie: int
    type: int
    name: bytes


class Stat(NamedTuple):
    """The stat record of 9P2000 and 9P2000.u (stat(5)). Times in seconds, ``mode`` with DM* bits.

    The last four fields exist only in 9P2000.u and 9P2000.L. In a Twstat, all ones (or an empty
    string) leaves a field unchanged.
    """

    type: int = 0
    dev: int = 0
    qid: Qid = Qid(0, 0, 0)
    mode: int = 0
    atime: int = 0
    mtime: int = 0
    length: int = 0
    name: bytes = b""
    uid: bytes = b""
    gid: bytes = b""
    muid: bytes = b""
    extension: bytes = b""
    n_uid: int = 0xFFFFFFFF
    n_gid: int = 0xFFFFFFFF
    n_muid: int = 0xFFFFFFFF


class Kind(NamedTuple):
    """The encoding of a field: ``code`` is a struct format for fixed-size fields, ``form`` the name
    of the encoding of the others.

    ``extended``: plain 9P2000 lacks the field. ``optional``: the message may end before it.
    """

    form: str
    code: str = ""
    extended: bool = False
    optional: bool = False


U8 = Annotated[int, Kind("number", "B")]
U16 = Annotated[int, Kind("number", "H")]
U32 = Annotated[int, Kind("number", "I")]
U64 = Annotated[int, Kind("number", "Q")]
Seconds = Annotated[int, Kind("number", "q")]
"""Signed: a time before 1970 is negative. Linux casts its time64_t to the wire's 64 bits and back
(fs/9p/vfs_inode_dotl.c).
"""
QidField = Annotated[Qid, Kind("record", "BIQ")]
AttributesField = Annotated[Attributes, Kind("record", "QBIQIII" + "Q" * 5 + "qQ" * 4 + "QQ")]
StatfsField = Annotated[Statfs, Kind("record", "II" + "Q" * 6 + "I")]
String = Annotated[bytes, Kind("string")]
Strings = Annotated[list[bytes], Kind("strings")]
Qids = Annotated[list[Qid], Kind("qids")]
Data = Annotated[Buffer, Kind("data")]
StatField = Annotated[Stat, Kind("stat")]

# Types of fields that plain 9P2000 lacks, and of fields at the end that some clients leave out.
ExtendedU32 = Annotated[int, Kind("number", "I", extended=True)]
ExtendedString = Annotated[bytes, Kind("string", extended=True, optional=True)]
OptionalU32 = Annotated[int, Kind("number", "I", optional=True)]
