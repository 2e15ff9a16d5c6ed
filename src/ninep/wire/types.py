"""The kinds of fields that messages are made of, and the records of more than one field.

All numbers are unsigned and little-endian. A string is ``len[2]`` and that many bytes, a datum ``count[4]`` and that many; nothing
ends in NUL. Names stay ``bytes``: 9P says UTF-8, but what a Linux client sends is whatever its applications gave it.

A field of a message is annotated with one of the aliases below (``U32``, ``String`` ...); ``codec`` compiles the annotations.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

from ninep.linux import GETATTR_BASIC

Buffer: TypeAlias = bytes | bytearray | memoryview


class Qid(NamedTuple):
    """What identifies a file to clients: 13 bytes on the wire (intro(5)).

    ``type`` is 0x80 for a directory, 0x02 for a symbolic link, else 0 (plus the 9P2000 bits of a driver that has append-only
    or exclusive files). ``version`` changes whenever the content does, never on access alone. ``path`` is unique in the
    export for as long as the file lives: clients use it as the inode number.
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
    """The attributes of a file, in the order of Rgetattr, so that a reply is packed from it as it stands.

    ``valid`` says which fields mean something (``linux.GETATTR_*``). Sizes in bytes, ``blocks`` in units of 512, times as seconds
    (negative before 1970) and nanoseconds (0 .. 999,999,999, added to them), ``rdev`` in the Linux (glibc) layout, ``mode`` with its file type.
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
    """A filesystem's figures in the order of Rstatfs (statfs(2)): sizes in blocks of ``bsize`` bytes."""

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
    """One entry of a directory, in the order of Rreaddir.

    ``cookie`` is where the *next* entry begins (1 .. 2**63 - 1): a Treaddir with this offset goes on after this entry. ``type`` is a
    ``linux.DT_*``; DT_UNKNOWN (0) is a fair answer where knowing it would cost a look-up.
    """

    qid_type: int
    qid_version: int
    qid_path: int
    cookie: int
    type: int
    name: bytes


class Stat(NamedTuple):
    """The stat record of 9P2000 and 9P2000.u (stat(5)). Times in seconds, ``mode`` with the DM* bits of ``dialect``.

    The last four fields travel only in 9P2000.u and 9P2000.L. In a Twstat, all ones (or an empty string) leaves a field alone.
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
    """How a field looks on the wire: ``code`` is a struct format for fixed fields, ``form`` a word for the others.

    ``extended``: the field is absent in plain 9P2000. ``optional``: the message may end before it.
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
"""A time before 1970 is negative: Linux casts its signed time64_t to the wire's 64 bits and back (fs/9p/vfs_inode_dotl.c)."""
QidField = Annotated[Qid, Kind("record", "BIQ")]
AttributesField = Annotated[Attributes, Kind("record", "QBIQIII" + "Q" * 5 + "qQ" * 4 + "QQ")]
StatfsField = Annotated[Statfs, Kind("record", "II" + "Q" * 6 + "I")]
String = Annotated[bytes, Kind("string")]
Strings = Annotated[list[bytes], Kind("strings")]
Qids = Annotated[list[Qid], Kind("qids")]
Data = Annotated[Buffer, Kind("data")]
StatField = Annotated[Stat, Kind("stat")]

# The same, absent in plain 9P2000 (".u" and ".L" have them); and those that some clients leave out at the end.
ExtendedU32 = Annotated[int, Kind("number", "I", extended=True)]
ExtendedString = Annotated[bytes, Kind("string", extended=True, optional=True)]
OptionalU32 = Annotated[int, Kind("number", "I", optional=True)]
