"""The NT calls that the Windows host makes, as one small interface.

``NtCalls`` is the seam: ``calls.SystemCalls`` makes the real calls by ctypes,
``ninep.testing.fake_nt`` plays a volume with NTFS semantics for what no other system can show.
Above it is ``system`` with the primitives of ``_api``.

Rules

* Nt* only, on handles; a name is one component below a directory handle (RootDirectory), in UTF-16.
  The one exception is the folder that the person who starts the server named: ``dos_path`` turns it
  into an NT path.
* Buffers go in and come out as bytes; ``info`` knows their layouts.
* A failing call raises ``NtError`` with the NTSTATUS. Nothing returns a status, a null or -1.
* Every handle is synchronous (FILE_SYNCHRONOUS_IO_NONALERT): a call that returned is done.

Names and numbers are those of [MS-FSCC], [MS-DTYP] and the Windows driver kit's wdm.h and ntifs.h.
This module knows no policy.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final, Protocol


class Access(IntFlag):
    """ACCESS_MASK of a file [MS-DTYP 2.4.3, MS-SMB2 2.2.13.1]."""

    READ_DATA = 0x1  # FILE_LIST_DIRECTORY of a directory
    WRITE_DATA = 0x2  # FILE_ADD_FILE
    APPEND_DATA = 0x4  # FILE_ADD_SUBDIRECTORY
    READ_EA = 0x8
    WRITE_EA = 0x10
    TRAVERSE = 0x20
    DELETE_CHILD = 0x40
    READ_ATTRIBUTES = 0x80
    WRITE_ATTRIBUTES = 0x100
    DELETE = 0x10000
    SYNCHRONIZE = 0x100000


class Share(IntFlag):
    """ShareAccess of NtCreateFile."""

    READ = 1
    WRITE = 2
    DELETE = 4
    ALL = 7


class Disposition(IntEnum):
    """CreateDisposition of NtCreateFile. OVERWRITE and SUPERSEDE are missing: they drop streams and
    attributes.
    """

    OPEN = 1
    CREATE = 2
    OPEN_IF = 3


class Options(IntFlag):
    """CreateOptions of NtCreateFile."""

    DIRECTORY_FILE = 0x1
    WRITE_THROUGH = 0x2
    SYNCHRONOUS_IO_NONALERT = 0x20
    NON_DIRECTORY_FILE = 0x40
    DELETE_ON_CLOSE = 0x1000
    OPEN_BY_FILE_ID = 0x2000
    OPEN_FOR_BACKUP_INTENT = 0x4000
    OPEN_REPARSE_POINT = 0x200000


class Attribute(IntFlag):
    """File attributes [MS-FSCC 2.6]."""

    READONLY = 0x1
    HIDDEN = 0x2
    SYSTEM = 0x4
    DIRECTORY = 0x10
    ARCHIVE = 0x20
    NORMAL = 0x80
    TEMPORARY = 0x100
    SPARSE_FILE = 0x200
    REPARSE_POINT = 0x400
    COMPRESSED = 0x800
    OFFLINE = 0x1000
    RECALL_ON_OPEN = 0x40000
    PINNED = 0x80000
    UNPINNED = 0x100000
    RECALL_ON_DATA_ACCESS = 0x400000


class VolumeFlag(IntFlag):
    """FileSystemAttributes of FileFsAttributeInformation [MS-FSCC 2.5.1]."""

    NAMED_STREAMS = 0x40000
    READ_ONLY_VOLUME = 0x80000
    SUPPORTS_POSIX_UNLINK_RENAME = 0x400


class Info(IntEnum):
    """FILE_INFORMATION_CLASS [MS-FSCC 2.4]."""

    BASIC = 4
    STANDARD = 5
    INTERNAL = 6
    NAME = 9
    RENAME = 10
    LINK = 11
    DISPOSITION = 13
    ALL = 18
    END_OF_FILE = 20
    STREAM = 22
    ATTRIBUTE_TAG = 35
    ID_BOTH_DIRECTORY = 37
    ID = 59
    DISPOSITION_EX = 64
    RENAME_EX = 65


class VolumeInfo(IntEnum):
    """FS_INFORMATION_CLASS [MS-FSCC 2.5]."""

    VOLUME = 1
    DEVICE = 4
    ATTRIBUTE = 5
    FULL_SIZE = 7


class Tag(IntEnum):
    """Reparse tags [MS-FSCC 2.1.2.1, ntifs.h]; ``tags`` says what they mean."""

    MOUNT_POINT = 0xA0000003
    HSM = 0xC0000004
    HSM2 = 0x80000006
    SIS = 0x80000007
    WIM = 0x80000008
    DFS = 0x8000000A
    FILTER_MANAGER = 0x8000000B
    SYMLINK = 0xA000000C
    DFSR = 0x80000012
    DEDUP = 0x80000013
    NFS = 0x80000014
    WOF = 0x80000017
    WCI = 0x80000018
    WCI_1 = 0x90001018
    CLOUD = 0x9000001A
    APPEXECLINK = 0x8000001B
    PROJFS = 0x9000001C
    LX_SYMLINK = 0xA000001D
    STORAGE_SYNC = 0x8000001E
    UNHANDLED = 0x80000020
    ONEDRIVE = 0x80000021
    AF_UNIX = 0x80000023
    LX_FIFO = 0x80000024
    LX_CHR = 0x80000025
    LX_BLK = 0x80000026
    STORAGE_SYNC_FOLDER = 0x90000027


class Control(IntEnum):
    """FSCTL codes [MS-FSCC 2.3]."""

    SET_REPARSE_POINT = 0x900A4
    GET_REPARSE_POINT = 0x900A8
    SET_SPARSE = 0x900C4


REMOVE: Final = 1  # FILE_DISPOSITION_DELETE
REMOVE_POSIX: Final = 2  # FILE_DISPOSITION_POSIX_SEMANTICS: the name goes at once, open handles stay good
REMOVE_READONLY: Final = 0x10  # FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE
RENAME_REPLACE: Final = 1  # FILE_RENAME_REPLACE_IF_EXISTS
RENAME_POSIX: Final = 2  # FILE_RENAME_POSIX_SEMANTICS: an open target is no hindrance
RENAME_READONLY: Final = 0x40  # FILE_RENAME_IGNORE_READONLY_ATTRIBUTE
REMOTE_DEVICE: Final = 0x10  # FILE_REMOTE_DEVICE of FileFsDeviceInformation

OBJ_CASE_INSENSITIVE: Final = 0x40
OBJ_DONT_REPARSE: Final = 0x1000  # the kernel itself answers REPARSE_POINT_ENCOUNTERED rather than follow one
END: Final = -1  # FILE_WRITE_TO_END_OF_FILE: the offset that appends
NULL: Final = 0


class NtCalls(Protocol):
    """The calls. Handles are plain ints here; ``NtError`` with the call's NTSTATUS on every
    failure.
    """

    def dos_path(self, path: str) -> str:
        r"""The NT path of a Win32 one: ``\??\C:\folder`` (RtlDosPathNameToNtPathName_U)."""

    def create(
        self,
        root: int,
        name: str,
        access: int,
        options: int,
        *,
        share: int = Share.ALL,
        disposition: int = Disposition.OPEN,
        attributes: int = 0,
        object_attributes: int = OBJ_CASE_INSENSITIVE | OBJ_DONT_REPARSE,
    ) -> tuple[int, bool]:
        """NtCreateFile: the handle, and whether the file was created. "" opens the object of
        ``root`` again.
        """

    def close(self, handle: int) -> None:
        """NtClose."""

    def duplicate(self, handle: int) -> int:
        """NtDuplicateObject: another handle to the same open file, with the same rights."""

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """NtReadFile; empty at and beyond the end."""

    def write(self, handle: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """NtWriteFile; ``END`` appends. The number of bytes written."""

    def flush(self, handle: int) -> None:
        """NtFlushBuffersFile."""

    def query(self, handle: int, kind: int, size: int, *, partial: bool = False) -> bytes:
        """NtQueryInformationFile into ``size`` bytes. With ``partial``, BUFFER_OVERFLOW is an
        answer: what fitted.
        """

    def change(self, handle: int, kind: int, data: bytes) -> None:
        """NtSetInformationFile."""

    def query_directory(self, handle: int, size: int, pattern: str | None = None) -> bytes:
        """NtQueryDirectoryFile, ``Info.ID_BOTH_DIRECTORY``: the next entries, empty at the end.

        A handle keeps its first ``pattern`` and goes on where it was: another scan needs another
        handle.
        """

    def query_volume(self, handle: int, kind: int, size: int) -> bytes:
        """NtQueryVolumeInformationFile; BUFFER_OVERFLOW is an answer: what fitted."""

    def control(self, handle: int, code: int, data: bytes, size: int) -> bytes:
        """NtFsControlFile with ``data`` in and up to ``size`` bytes out."""

    def query_ea(self, handle: int, names: bytes, size: int) -> bytes:
        """NtQueryEaFile for a FILE_GET_EA_INFORMATION list."""

    def change_ea(self, handle: int, data: bytes) -> None:
        """NtSetEaFile with a FILE_FULL_EA_INFORMATION list."""
