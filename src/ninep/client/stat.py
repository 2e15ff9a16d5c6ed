"""Attributes in all dialects: ``FileStat``, ``DirEntry``, ``FileSystem``, ``LockInfo``.

``FileStat`` has the names of ``os.stat_result``. What a dialect lacks is 0 (numbers), or None
(where 0 would be wrong): plain 9P2000 has no numeric owners, no link counts, and whole seconds
only.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from ninep.client.paths import decode
from ninep.linux import (
    DT_BLK,
    DT_CHR,
    DT_DIR,
    DT_FIFO,
    DT_LNK,
    DT_REG,
    DT_SOCK,
    DT_UNKNOWN,
    GETATTR_BTIME,
    NO_ID,
    S_IFMT,
)
from ninep.wire.modes import Encoding, makedev, mode_from_wire
from ninep.wire.types import QT_DIR, QT_SYMLINK, Attributes, Qid, Stat

SECOND: Final = 1_000_000_000
NOW: Final = "now"
"""As a time in ``SetAttr``: the server's clock."""
Time: TypeAlias = int | Literal["now"]


@dataclass(frozen=True, slots=True)
class FileStat:
    """The attributes of a file. Times in nanoseconds since 1970 (``*_ns``) and in seconds
    (properties), sizes in bytes.
    """

    st_mode: int
    """Type and permissions, as Linux numbers (those of the ``stat`` module on every host)."""
    st_ino: int
    """The qid's path, unique in the export."""
    st_nlink: int
    st_uid: int | None
    """None if the server sent no number (plain 9P2000); see ``user``."""
    st_gid: int | None
    st_size: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int
    """In 9P2000 and 9P2000.u, which have no ctime: mtime."""
    st_birthtime_ns: int | None
    st_rdev: int
    """In the Linux layout."""
    st_blksize: int
    st_blocks: int
    """In units of 512 bytes."""
    qid: Qid
    user: str = ""
    """The owner's name, where the dialect has names."""
    group: str = ""
    target: str | None = None
    """The target of a symbolic link, if the stat record contains it (9P2000.u)."""

    @property
    def st_atime(self) -> float:
        """Last access, in seconds."""
        return self.st_atime_ns / SECOND

    @property
    def st_mtime(self) -> float:
        """Last change of the content, in seconds."""
        return self.st_mtime_ns / SECOND

    @property
    def st_ctime(self) -> float:
        """Last change of the attributes, in seconds."""
        return self.st_ctime_ns / SECOND

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.st_mode)

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.st_mode)

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.st_mode)


def from_attributes(a: Attributes) -> FileStat:
    """From an Rgetattr (9P2000.L)."""
    return FileStat(
        st_mode=a.mode,
        st_ino=a.qid_path,
        st_nlink=a.nlink,
        st_uid=a.uid,
        st_gid=a.gid,
        st_size=a.size,
        st_atime_ns=a.atime_sec * SECOND + a.atime_nsec,
        st_mtime_ns=a.mtime_sec * SECOND + a.mtime_nsec,
        st_ctime_ns=a.ctime_sec * SECOND + a.ctime_nsec,
        # diod and others return the request mask as valid, with a birth time of 0
        st_birthtime_ns=(a.btime_sec * SECOND + a.btime_nsec or None) if a.valid & GETATTR_BTIME else None,
        st_rdev=a.rdev,
        st_blksize=a.blksize,
        st_blocks=a.blocks,
        qid=Qid(a.qid_type, a.qid_version, a.qid_path),
    )


def _number(text: bytes) -> int | None:
    """A 32-bit decimal number, None for anything else. The server may send any number of digits."""
    return int(text) if text.isdigit() and len(text) <= 10 and int(text) < NO_ID else None


def _identity(number: int, name: bytes) -> int | None:
    return number if number != NO_ID else _number(name)


def _device(extension: bytes) -> int:
    parts = extension.split()
    if len(parts) != 3 or parts[0] not in {b"b", b"c"}:
        return 0
    first, second = _number(parts[1]), _number(parts[2])
    return 0 if first is None or second is None else makedev(first, second)


def from_record(record: Stat, encoding: Encoding) -> FileStat:
    """From a stat record (9P2000, 9P2000.u)."""
    mode = mode_from_wire(record.mode, record.extension, encoding)
    kind = mode & S_IFMT
    word, _, count = record.extension.partition(b" ")
    return FileStat(
        st_mode=mode,
        st_ino=record.qid.path,
        st_nlink=(_number(count) or 1) if word == b"HARDLINKCOUNT" else 1,
        st_uid=_identity(record.n_uid, record.uid),
        st_gid=_identity(record.n_gid, record.gid),
        st_size=record.length,
        st_atime_ns=record.atime * SECOND,
        st_mtime_ns=record.mtime * SECOND,
        st_ctime_ns=record.mtime * SECOND,
        st_birthtime_ns=None,
        st_rdev=_device(record.extension) if kind in {stat.S_IFBLK, stat.S_IFCHR} else 0,
        st_blksize=4096,
        st_blocks=(record.length + 511) // 512,
        qid=record.qid,
        user=decode(record.uid),
        group=decode(record.gid),
        target=decode(record.extension) if kind == stat.S_IFLNK else None,
    )


_KINDS: Final = {
    stat.S_IFDIR: DT_DIR,
    stat.S_IFREG: DT_REG,
    stat.S_IFLNK: DT_LNK,
    stat.S_IFCHR: DT_CHR,
    stat.S_IFBLK: DT_BLK,
    stat.S_IFIFO: DT_FIFO,
    stat.S_IFSOCK: DT_SOCK,
}


def kind_of_mode(mode: int) -> int:
    """The ``linux.DT_*`` of an ``st_mode``."""
    return _KINDS.get(mode & S_IFMT, DT_UNKNOWN)


def kind_of_qid(kind: int, qid_type: int) -> int:
    """The ``linux.DT_*`` of an entry of a listing, from its qid and its type field. The qid has
    priority: a walk returns it, and some servers send 0 or DT_REG as the type of everything. A
    directory or link that the qid does not confirm is DT_UNKNOWN.
    """
    if qid_type & QT_DIR:
        return DT_DIR
    if qid_type & QT_SYMLINK:
        return DT_LNK
    return DT_UNKNOWN if kind in {DT_DIR, DT_LNK} else kind


@dataclass(slots=True)
class DirEntry:
    """An entry of a directory. ``kind`` is a ``linux.DT_*``, or DT_UNKNOWN if the listing has none
    and the attributes were not requested.
    """

    name: str
    path: str
    """The directory's path as given by the caller, and the name."""
    kind: int
    ino: int
    stat: FileStat | None = None
    """The attributes, if they were requested or are part of the listing."""

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.kind == DT_DIR

    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.kind == DT_REG

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.kind == DT_LNK


class SetAttr(NamedTuple):
    """Changes of attributes; None leaves an attribute unchanged. Times in nanoseconds since 1970,
    or ``NOW``.
    """

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime: Time | None = None
    mtime: Time | None = None


class FileSystem(NamedTuple):
    """Statistics of a filesystem, with the names of ``os.statvfs_result`` where it has them. Sizes
    in blocks of ``f_bsize`` bytes.
    """

    f_type: int
    f_bsize: int
    f_blocks: int
    f_bfree: int
    f_bavail: int
    f_files: int
    f_ffree: int
    f_fsid: int
    f_namemax: int


class LockInfo(NamedTuple):
    """A conflicting lock; ``length`` 0 extends to the end of the file."""

    exclusive: bool
    start: int
    length: int
    proc_id: int
    client_id: str
