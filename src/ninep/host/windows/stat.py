"""Attributes on Windows: what a handle tells about its object, as ``stat`` wants it.

Everything comes from the handle in two or three calls; no file is opened for reading in order to
look at it, nothing is looked up a second time, and a call that fails is an error, never a
half-filled answer (bug 13).

Mode. Windows keeps no permission bits: files and folders are 0777, without the write bits if the
file has the read-only attribute (on a folder that attribute means something else to Windows and is
not looked at). The owner is uid 0, gid 0. Links are NT symbolic links, mount points (junctions,
volumes mounted in folders) and WSL's symbolic links; FIFOs, sockets and devices are WSL's. A file
that a filter driver keeps (a cloud provider's, a compressed one) is what it is without the tag,
with the size of its contents, wherever those are. Any other reparse point is a regular file without
permissions and without size: it can be seen and removed, not opened. ``tags`` has the table.

Identity. ``st_ino`` is the 128-bit file id as one number: on NTFS its upper half is 0, on ReFS it
is not (``Volume.unique_ino`` tells).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ninep import linux
from ninep.host._api import Handle, Volume
from ninep.host.windows import info
from ninep.host.windows.api import REMOTE_DEVICE, Attribute, Info, NtCalls, Tag, VolumeFlag, VolumeInfo
from ninep.host.windows.links import rdev_of, target_of
from ninep.host.windows.open import NO_CLASS, tag_of
from ninep.host.windows.status import NtError
from ninep.host.windows.tags import Meaning, is_contents, is_link, row_of

_SECTOR: Final = 512
_BLKSIZE: Final = 4096
_WRITE_BITS: Final = 0o222


class WinStat(NamedTuple):
    """The fields of ``os.stat_result`` that ``_api.Stat`` asks for, and the birth time."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_size: int
    st_rdev: int
    st_blocks: int
    st_atime_ns: int
    st_mtime_ns: int
    st_ctime_ns: int
    birth_ns: int
    st_uid: int = 0
    st_gid: int = 0
    st_blksize: int = _BLKSIZE


def mode_of(attributes: int, tag: int) -> int:
    """File type and permissions from attributes and (for a reparse point) the tag."""
    row = row_of(tag if attributes & Attribute.REPARSE_POINT else 0)
    if row.meaning is not Meaning.CONTENTS:
        return row.type if row.meaning is Meaning.OPAQUE else row.type | 0o777
    if attributes & Attribute.DIRECTORY:
        return linux.S_IFDIR | 0o777
    return linux.S_IFREG | (0o777 & ~_WRITE_BITS if attributes & Attribute.READONLY else 0o777)


def identity(calls: NtCalls, handle: int) -> info.FileId:
    """Volume and file id: 128 bits where the filesystem has them, else the 64 of
    FileInternalInformation.
    """
    try:
        return info.id_of(calls.query(handle, Info.ID, info.ID.size))
    except NtError as error:
        if error.status not in NO_CLASS:
            raise
    (index,) = info.INDEX.unpack(calls.query(handle, Info.INTERNAL, info.INDEX.size))
    return info.FileId(_serial(calls, handle), index & 0xFFFFFFFFFFFFFFFF)


def _serial(calls: NtCalls, handle: int) -> int:
    try:
        return int(info.VOLUME.unpack_from(calls.query_volume(handle, VolumeInfo.VOLUME, 64))[1])
    except NtError as error:
        if error.status not in NO_CLASS:
            raise
        return 0


def stat_of(calls: NtCalls, handle: Handle, *, root: bool = False) -> WinStat:
    """The attributes of what is open; ``root``: of an exported folder, which was opened through
    links and is none.
    """
    found = info.all_of(calls.query(handle, Info.ALL, info.ALL_SIZE, partial=True))
    who = identity(calls, handle)
    tag = tag_of(calls, handle) if found.attributes & Attribute.REPARSE_POINT and not root else 0
    mode = mode_of(found.attributes, tag)
    size, rdev = found.size, 0
    if not is_contents(tag):
        size = len(target_of(calls, handle)) if is_link(tag) else 0
        rdev = rdev_of(calls, handle) if tag in {Tag.LX_CHR, Tag.LX_BLK} else 0
    elif found.attributes & Attribute.DIRECTORY:
        size = 0  # NTFS gives the size of its index here, which clients would take for content
    return WinStat(
        st_mode=mode,
        st_ino=who.file,
        st_dev=who.volume,
        st_nlink=found.links,
        st_size=size,
        st_rdev=rdev,
        st_blocks=found.allocation // _SECTOR,
        st_atime_ns=info.to_ns(found.accessed),
        st_mtime_ns=info.to_ns(found.written),
        st_ctime_ns=info.to_ns(found.changed),
        birth_ns=info.to_ns(found.created),
    )


_FS_TYPE: Final = 0x53465039  # what the hypervisor's Windows patches report (9p-util-win32.c statfs_win32)
_UNKNOWN_COUNT: Final = (1 << 64) - 1


def statfs_of(calls: NtCalls, handle: Handle) -> tuple[int, int, int, int, int, int, int, int, int]:
    """type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen.

    By handle, so that network shares and volumes mounted in folders answer for themselves; 64-bit
    counts (bug 16). NTFS has no fixed number of files: both counts are -1. The fsid is the volume's
    serial number (bug 20).
    """
    size = info.full_size_of(calls.query_volume(handle, VolumeInfo.FULL_SIZE, info.FULL_SIZE.size))
    fsid = identity(calls, handle).volume
    counts = (size.total, size.free, size.caller_free, _UNKNOWN_COUNT, _UNKNOWN_COUNT)
    return (_FS_TYPE, size.unit, *counts, fsid, linux.NAME_MAX)


def volume_of(calls: NtCalls, handle: Handle) -> Volume:
    """What the volume says that it can do."""
    found = info.volume_attributes_of(calls.query_volume(handle, VolumeInfo.ATTRIBUTE, 256))
    _, characteristics = info.DEVICE.unpack(calls.query_volume(handle, VolumeInfo.DEVICE, info.DEVICE.size))
    return Volume(
        kind=found.name,
        slow=bool(characteristics & REMOTE_DEVICE),
        xattrs=bool(found.flags & VolumeFlag.NAMED_STREAMS),
        posix_owners=False,
        # Only NTFS promises that 64 bits of file id are unique and stay with the file [MS-FSCC
        # 2.1.9]; FAT's move with a rename.
        unique_ino=found.name == "NTFS",
        read_only=bool(found.flags & VolumeFlag.READ_ONLY_VOLUME),
    )
