"""The fake NT: handles, and opening by name as in NTFS and the object manager (NtCreateFile,
NtClose).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple, NoReturn

from ninep.host.windows import info
from ninep.host.windows.api import (
    OBJ_CASE_INSENSITIVE,
    OBJ_DONT_REPARSE,
    Access,
    Attribute,
    Disposition,
    Options,
    Share,
    Tag,
)
from ninep.host.windows.names import MAX_UNITS, units
from ninep.host.windows.status import NtError, Status
from ninep.testing.fake_nt_volume import RECALLED, File, Link, Stream, Volume, fold

_INVALID: Final = frozenset('"*<>?|/') | frozenset(map(chr, range(0x20)))
WRITING: Final = Access.WRITE_DATA | Access.APPEND_DATA
FILE_MAX: Final = 1 << 44  # NTFS with clusters of 4 KiB
_CHANGING: Final = WRITING | Access.DELETE | Access.WRITE_ATTRIBUTES | Access.WRITE_EA
_SHARED: Final = ((Access.READ_DATA, Share.READ), (WRITING, Share.WRITE), (Access.DELETE, Share.DELETE))
_TAGS_TO_FOLLOW: Final = {Tag.SYMLINK: 4, Tag.MOUNT_POINT: 0}
_FILTERED: Final = frozenset({Tag.HSM, Tag.WIM, Tag.DEDUP, Tag.WOF, Tag.CLOUD, Tag.PROJFS})
_CLOUD_VARIANT: Final = 0xF000
_WITH_ENTRIES: Final = 0x10000000
# never the number of a real file descriptor, in case one is closed by mistake
_FIRST_HANDLE: Final = 1 << 28
_DEEPEST: Final = 63  # reparse points in one open


@dataclasses.dataclass(eq=False)
class Open:
    """An open handle (NT: a file object)."""

    file: File
    stream: Stream | None
    link: Link | None
    access: int
    share: int
    pattern: str | None = None
    last: str | None = None
    raw: bool = False
    """Opened as the reparse point that it is: its filter driver has no part in what is read."""
    keeps_mtime: bool = False
    posix_delete: bool = False


class Where(NamedTuple):
    """The result of a path lookup: a file and its link, or a directory without such a name."""

    directory: File | None
    name: str
    stream: str
    link: Link | None
    file: File | None


def is_filtered(tag: int) -> bool:
    """Is there a filter driver that handles this tag here?"""
    return tag in _FILTERED or tag & ~_CLOUD_VARIANT == Tag.CLOUD


def fail(status: Status) -> NoReturn:
    """Raise ``NtError``."""
    raise NtError(status, "FakeNt")


class Opening:
    """The table of handles, and the calls that add and remove them."""

    # shared by all fakes: a stale handle of one is invalid in all
    _numbers = itertools.count(_FIRST_HANDLE, 4)

    def __init__(self, volumes: dict[str, Volume] | None = None) -> None:
        self.volumes = volumes or {"C:": Volume()}
        self.handles: dict[int, Open] = {}
        self.counts: Counter[str] = Counter()
        self.before: Callable[[str], None] | None = None
        self.honours_dont_reparse = True

    @property
    def volume(self) -> Volume:
        """The first volume."""
        return next(iter(self.volumes.values()))

    def enter(self, call: str) -> None:
        """Called at the start of every call."""
        self.counts[call] += 1
        if self.before is not None:
            self.before(call)

    def held(self, handle: int, access: int = 0) -> Open:
        """The open handle, which must have at least one of these access rights."""
        found = self.handles.get(handle)
        if found is None:
            fail(Status.INVALID_HANDLE)
        if access and not found.access & access:
            fail(Status.ACCESS_DENIED)
        return found

    # -- from a name to a file -----------------------------------------------------------------------------------------

    def dos_path(self, path: str) -> str:
        """An NT path, without a lookup."""
        path = path.replace("/", "\\")
        return "\\??\\UNC\\" + path[2:] if path.startswith("\\\\") else "\\??\\" + path

    def _absolute(self, path: str) -> tuple[File, list[str]]:
        path = path.removeprefix("\\??\\")
        for name, volume in self.volumes.items():
            if fold(path + "\\").startswith(fold(name) + "\\"):
                return volume.root, [part for part in path[len(name) :].split("\\") if part]
        fail(Status.OBJECT_PATH_NOT_FOUND)

    def _where(self, root: int, name: str, flags: int, options: int) -> Where:
        if not root:
            directory, parts = self._absolute(name)
            if not parts:
                return Where(None, "", "", None, directory)
            return self._below(directory, parts, flags, options)
        start = self.held(root)
        if name == "" or name.startswith(":"):
            if start.link is not None and start.link.gone:
                fail(Status.FILE_DELETED)
            stream = start.stream.name if start.stream else ""
            if name:
                if not start.file.volume.streams_by_handle:
                    fail(Status.OBJECT_PATH_NOT_FOUND)
                stream = self._split(name, start.file.volume)[1]
            return Where(None, "", stream, start.link, self._itself(start.file, flags, options))
        if name.startswith("\\"):
            fail(Status.OBJECT_NAME_INVALID)
        if not start.file.is_dir:
            fail(Status.OBJECT_TYPE_MISMATCH)
        return self._below(start.file, name.split("\\"), flags, options)

    def _below(self, directory: File, parts: list[str], flags: int, options: int, depth: int = 0) -> Where:
        if depth > _DEEPEST:
            fail(Status.REPARSE_POINT_NOT_RESOLVED)
        directory = self._entered(directory, flags, depth)
        self.require_linked(directory)
        for part in parts[:-1]:
            self._check(part, directory.volume)
            link = directory.find(part)
            if link is None or not link.file.is_dir:
                fail(Status.OBJECT_PATH_NOT_FOUND)
            directory = self._entered(link.file, flags, depth)
        name, stream = self._split(parts[-1], directory.volume)
        link = directory.find(name)
        if link is not None and (itself := self._itself(link.file, flags, options, depth)) is not link.file:
            return Where(None, "", stream, None, itself)
        return Where(directory, name, stream, link, link.file if link else None)

    @staticmethod
    def require_linked(directory: File) -> None:
        """Raises if the directory was removed: nothing can be found, created or renamed below
        it.
        """
        if directory is not directory.volume.root and all(link.delete_pending for link in directory.links):
            fail(Status.DELETE_PENDING)

    def _itself(self, file: File, flags: int, options: int, depth: int = 0) -> File:
        """What an open of this object opens: another one, if it is a link that is followed; itself,
        if a filter driver handles its tag.
        """
        if file.reparse is None or options & Options.OPEN_REPARSE_POINT or is_filtered(file.reparse[0]):
            return file
        return self._entered(file, flags, depth)

    def _entered(self, directory: File, flags: int, depth: int) -> File:
        """The object at which a path continues: the target of a reparse point, unless the open
        forbids it. A directory whose tag has the bit for it has entries as any other one
        [MS-FSCC 2.1.2.1, D].
        """
        if directory.reparse is None or (directory.is_dir and directory.reparse[0] & _WITH_ENTRIES):
            return directory
        if flags & OBJ_DONT_REPARSE and self.honours_dont_reparse:
            fail(Status.REPARSE_POINT_ENCOUNTERED)
        tag, data = directory.reparse
        if tag not in _TAGS_TO_FOLLOW:
            fail(Status.IO_REPARSE_TAG_NOT_HANDLED)
        start, parts = self._absolute(info.link_names(data, _TAGS_TO_FOLLOW[Tag(tag)])[0])
        if not parts:
            return start
        found = self._below(start, parts, flags, 0, depth + 1).file
        if found is None:
            fail(Status.OBJECT_PATH_NOT_FOUND)
        return found

    @staticmethod
    def _check(name: str, volume: Volume) -> None:
        if name in {"", ".", ".."} or _INVALID & set(name) or (":" in name and not volume.streams):
            fail(Status.OBJECT_NAME_INVALID)
        if len(units(name.partition(":")[0])) > 2 * MAX_UNITS:
            fail(Status.OBJECT_NAME_INVALID)

    def _split(self, name: str, volume: Volume) -> tuple[str, str]:
        """File and stream of ``name:stream:type``."""
        self._check(name, volume)
        file, *rest = name.split(":")
        if not rest:
            return file, ""
        if len(rest) > 2 or (len(rest) == 2 and fold(rest[1]) != "$DATA") or rest == [""]:
            fail(Status.OBJECT_NAME_INVALID)
        return file, rest[0]

    # -- from a file to a handle ---------------------------------------------------------------------------------------

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
        """NtCreateFile."""
        self.enter("create")
        by_id = options & Options.OPEN_BY_FILE_ID
        where = self._by_id(root, name) if by_id else self._where(root, name, object_attributes, options)
        file, link, made = where.file, where.link, where.file is None
        if file is None:
            file, link = self._made(where, disposition, attributes, options)
        else:
            self._check_access(file, link, access)
            if disposition == Disposition.CREATE and not where.stream:
                fail(Status.OBJECT_NAME_COLLISION)
        stream, new_stream = self._stream(file, where.stream, disposition)
        if not where.stream:
            self._check_options(file, options)
        if not made:
            self._check_writable(file, access, new_stream)
        if not (made or new_stream):
            self._check_sharing(file, stream, access, share)
        if new_stream:
            file.streams[fold(where.stream)] = stream or Stream(where.stream)
            file.touch()
        raw = bool(options & Options.OPEN_REPARSE_POINT and file.reparse)
        if file.attributes & Attribute.RECALL_ON_OPEN and access & _CONTENTS and not raw and not where.stream:
            self.fetch(file)
        number = next(self._numbers)
        self.handles[number] = Open(file, file.stream(where.stream), link, access, share, raw=raw)
        if options & Options.DELETE_ON_CLOSE and link is not None:
            link.delete_pending = True
        return number, made or new_stream

    def fetch(self, file: File) -> None:
        """The filter driver has the provider bring what is not here; it waits for that."""
        if file.elsewhere is None:
            return
        self.enter("fetch")
        if file.volume.provider is not None:
            fail(file.volume.provider)
        file.streams[""].data[:] = file.elsewhere
        file.elsewhere = None
        file.attributes &= ~RECALLED

    def _by_id(self, root: int, name: str) -> Where:
        volume, raw = self.held(root).file.volume, units(name)
        if not volume.by_id or len(raw) not in {8, 16}:
            fail(Status.INVALID_PARAMETER)
        file = volume.files.get(int.from_bytes(raw, "little"))
        if file is None:
            fail(Status.INVALID_PARAMETER)
        return Where(None, "", "", file.links[0] if file.links else None, file)

    @staticmethod
    def _made(where: Where, disposition: int, attributes: int, options: int) -> tuple[File, Link]:
        directory = where.directory
        if disposition == Disposition.OPEN or directory is None:
            fail(Status.OBJECT_NAME_NOT_FOUND)
        if directory.volume.read_only:
            fail(Status.MEDIA_WRITE_PROTECTED)
        if directory.denied & WRITING:
            fail(Status.ACCESS_DENIED)
        kind = Attribute.DIRECTORY if options & Options.DIRECTORY_FILE else Attribute.ARCHIVE
        file = directory.volume.new(kind | (attributes & Attribute.READONLY))
        return file, directory.volume.link(directory, where.name, file)

    @staticmethod
    def _check_access(file: File, link: Link | None, access: int) -> None:
        if link is not None and link.delete_pending:
            fail(Status.DELETE_PENDING)
        if file.denied & access:
            fail(Status.ACCESS_DENIED)
        if file.volume.read_only and access & _CHANGING:
            fail(Status.MEDIA_WRITE_PROTECTED)

    @staticmethod
    def _stream(file: File, name: str, disposition: int) -> tuple[Stream | None, bool]:
        stream = file.stream(name)
        if stream is not None and stream.delete_pending:
            fail(Status.DELETE_PENDING)
        if not name:
            return stream, False
        if stream is None and disposition == Disposition.OPEN:
            fail(Status.OBJECT_NAME_NOT_FOUND)
        if stream is not None and disposition == Disposition.CREATE:
            fail(Status.OBJECT_NAME_COLLISION)
        return stream, stream is None

    @staticmethod
    def _check_options(file: File, options: int) -> None:
        if options & Options.DIRECTORY_FILE and not file.is_dir:
            fail(Status.NOT_A_DIRECTORY)
        if options & Options.NON_DIRECTORY_FILE and file.is_dir:
            fail(Status.FILE_IS_A_DIRECTORY)

    @staticmethod
    def _check_writable(file: File, access: int, new_stream: bool) -> None:
        if file.attributes & Attribute.READONLY and not file.is_dir and (new_stream or access & WRITING):
            fail(Status.ACCESS_DENIED)

    def _check_sharing(self, file: File, stream: Stream | None, access: int, share: int) -> None:
        """Sharing violation check. Only rights to data and to deletion take part: a handle for
        attributes conflicts with no other.
        """
        for other in list(self.handles.values()):
            if other.file is not file or other.stream is not stream:
                continue
            for right, allowed in _SHARED:
                if (access & right and not other.share & allowed and other.access & _DATA) or (
                    other.access & right and not share & allowed and access & _DATA
                ):
                    fail(Status.SHARING_VIOLATION)

    def duplicate(self, handle: int) -> int:
        """NtDuplicateObject. The copy is a second file object, which makes no difference in this
        model.
        """
        self.enter("duplicate")
        number = next(self._numbers)
        self.handles[number] = dataclasses.replace(self.held(handle))
        return number

    def close(self, handle: int) -> None:
        """NtClose. A file marked for deletion is removed with its last handle, or at once with
        POSIX semantics.
        """
        self.enter("close")
        closed = self.held(handle)
        del self.handles[handle]
        link, stream, file = closed.link, closed.stream, closed.file
        if stream is not None and stream.delete_pending and not self._others(lambda other: other.stream is stream):
            file.streams.pop(fold(stream.name), None)
            file.touch()
        if link is None or link.gone or not link.delete_pending:
            return
        if closed.posix_delete or not self._others(lambda other: other.link is link):
            file.volume.unlink(link)

    def _others(self, which: Callable[[Open], bool]) -> bool:
        return any(which(other) for other in list(self.handles.values()))


_CONTENTS: Final = Access.READ_DATA | WRITING
_DATA: Final = _CONTENTS | Access.DELETE
