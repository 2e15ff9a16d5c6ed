"""The fake NT: NtQueryInformationFile and NtSetInformationFile, with NTFS's rules for deletion,
renaming and links.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ninep.host.windows import info
from ninep.host.windows.api import (
    REMOVE,
    REMOVE_POSIX,
    REMOVE_READONLY,
    RENAME_POSIX,
    RENAME_READONLY,
    RENAME_REPLACE,
    Access,
    Attribute,
    Info,
)
from ninep.host.windows.status import Status
from ninep.testing.fake_nt_open import FILE_MAX, WRITING, Open, Opening, fail
from ninep.testing.fake_nt_volume import File, Link, Volume

_CLUSTER: Final = 4096
_LINKS_MAX: Final = 1024
_SETTABLE: Final = ~(
    Attribute.DIRECTORY
    | Attribute.REPARSE_POINT
    | Attribute.SPARSE_FILE
    | Attribute.COMPRESSED
    | Attribute.RECALL_ON_OPEN
    | Attribute.RECALL_ON_DATA_ACCESS
)


class Informing(Opening):
    """Queries and changes of the file of a handle."""

    # -- asking --------------------------------------------------------------------------------------------------------

    def query(self, handle: int, kind: int, size: int, *, partial: bool = False) -> bytes:
        """NtQueryInformationFile."""
        self.enter("query")
        opened = self.held(handle)
        answers: dict[int, Callable[[Open], bytes]] = {
            Info.BASIC: self._basic,
            Info.STANDARD: self._standard,
            Info.INTERNAL: lambda o: info.INDEX.pack(o.file.id & 0x7FFFFFFFFFFFFFFF),
            Info.ALL: self._all,
            Info.ID: lambda o: info.ID.pack(o.file.volume.serial, o.file.id.to_bytes(16, "little")),
            Info.ATTRIBUTE_TAG: self._tag,
            Info.STREAM: self._streams,
            Info.NAME: self._name,
        }
        if kind not in answers:
            fail(Status.INVALID_INFO_CLASS)
        if kind in {Info.BASIC, Info.ALL, Info.ATTRIBUTE_TAG} and not opened.access & Access.READ_ATTRIBUTES:
            fail(Status.ACCESS_DENIED)
        raw = answers[kind](opened)
        if len(raw) > size:
            if not partial:
                fail(Status.BUFFER_OVERFLOW)
            return raw[:size]
        return raw

    @staticmethod
    def _attributes(file: File) -> int:
        return file.attributes or Attribute.NORMAL

    def _basic(self, opened: Open) -> bytes:
        file = opened.file
        return info.BASIC.pack(file.created, file.accessed, file.written, file.changed, self._attributes(file))

    @staticmethod
    def _size(opened: Open) -> tuple[int, int]:
        size = len(opened.stream.data) if opened.stream else 0
        return -(-size // _CLUSTER) * _CLUSTER, size

    def _standard(self, opened: Open) -> bytes:
        pending = bool(opened.link and (opened.link.delete_pending or opened.link.gone))
        links = sum(not link.delete_pending for link in opened.file.links) or int(
            opened.file.volume.root is opened.file
        )
        return info.STANDARD.pack(*self._size(opened), links, pending, opened.file.is_dir)

    def _all(self, opened: Open) -> bytes:
        raw = self._basic(opened) + self._standard(opened) + info.INDEX.pack(opened.file.id & 0x7FFFFFFFFFFFFFFF)
        return raw.ljust(info.ALL.size, b"\0") + bytes(4)

    @staticmethod
    def _tag(opened: Open) -> bytes:
        return info.ATTRIBUTE_TAG.pack(opened.file.attributes, opened.file.reparse[0] if opened.file.reparse else 0)

    @staticmethod
    def _streams(opened: Open) -> bytes:
        if not opened.file.volume.streams:
            fail(Status.INVALID_PARAMETER)
        streams = opened.file.streams.values()
        return info.pack_streams([(f":{s.name}:$DATA", len(s.data), len(s.data)) for s in streams])

    @staticmethod
    def _name(opened: Open) -> bytes:
        parts, link = [], opened.link
        while link is not None:
            parts.append(link.name)
            link = link.parent.links[0] if link.parent.links else None
        return info.pack_name("\\" + "\\".join(reversed(parts)))

    # -- changing ------------------------------------------------------------------------------------------------------

    def change(self, handle: int, kind: int, data: bytes) -> None:
        """NtSetInformationFile."""
        self.enter("change")
        opened = self.held(handle)
        if kind in {Info.DISPOSITION_EX, Info.RENAME_EX} and not opened.file.volume.posix:
            fail(Status.INVALID_PARAMETER)
        changes: dict[int, Callable[[Open, bytes], None]] = {
            Info.BASIC: self._set_basic,
            Info.END_OF_FILE: self._set_end,
            Info.DISPOSITION: lambda o, raw: self._dispose(o, REMOVE if raw[0] else 0),
            Info.DISPOSITION_EX: lambda o, raw: self._dispose(o, int.from_bytes(raw[:4], "little")),
            Info.RENAME: lambda o, raw: self._rename(o, raw, ex=False),
            Info.RENAME_EX: lambda o, raw: self._rename(o, raw, ex=True),
            Info.LINK: self._link,
        }
        if kind not in changes:
            fail(Status.INVALID_INFO_CLASS)
        changes[kind](opened, data)

    @staticmethod
    def _set_basic(opened: Open, raw: bytes) -> None:
        if not opened.access & Access.WRITE_ATTRIBUTES:
            fail(Status.ACCESS_DENIED)
        wanted, file = info.Basic._make(info.BASIC.unpack(raw)), opened.file
        if any(when < -2 for when in wanted[:4]):
            fail(Status.INVALID_PARAMETER)
        file.created = wanted.created or file.created
        file.accessed = wanted.accessed or file.accessed
        file.written = wanted.written or file.written
        opened.keeps_mtime = opened.keeps_mtime or bool(wanted.written)
        if wanted.attributes:
            file.attributes = file.attributes & ~_SETTABLE | wanted.attributes & _SETTABLE & ~Attribute.NORMAL
        file.changed = wanted.changed or file.volume.tick()

    def _set_end(self, opened: Open, raw: bytes) -> None:
        if not opened.access & WRITING:
            fail(Status.ACCESS_DENIED)
        (size,) = info.END_OF_FILE.unpack(raw)
        if opened.stream is None or not 0 <= size <= FILE_MAX:
            fail(Status.INVALID_PARAMETER)
        if opened.file.mapped:
            fail(Status.USER_MAPPED_FILE)
        if not opened.raw and size:
            self.fetch(opened.file)
        data = opened.stream.data
        if size != len(data):
            data[size:] = bytes(max(0, size - len(data)))
            opened.file.touch(data=not opened.keeps_mtime)

    # -- deletion ------------------------------------------------------------------------------------------------------

    def _dispose(self, opened: Open, flags: int) -> None:
        if not opened.access & Access.DELETE:
            fail(Status.ACCESS_DENIED)
        if opened.stream is not None and opened.stream.name:
            opened.stream.delete_pending = bool(flags & REMOVE)
            return
        file, link = opened.file, opened.link
        if link is None:
            fail(Status.CANNOT_DELETE)  # the root of a volume
        if flags & REMOVE:
            if file.mapped or (file.attributes & Attribute.READONLY and not flags & REMOVE_READONLY):
                fail(Status.CANNOT_DELETE)
            if file.children:
                fail(Status.DIRECTORY_NOT_EMPTY)
        link.delete_pending = bool(flags & REMOVE)
        opened.posix_delete = bool(flags & REMOVE and flags & REMOVE_POSIX)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _target(self, opened: Open, raw: bytes) -> tuple[int, File, str]:
        """Flags, directory and name. The directory is opened again, with the less favourable rule:
        a junction is followed, whatever the original open requested.
        """
        flags, root, name = info.unpack_rename(raw)
        if not root:
            if opened.link is None or opened.link.gone:
                fail(Status.FILE_DELETED)
            directory = opened.link.parent
        else:
            directory = self._entered(self.held(root).file, 0, 0)
        if not directory.is_dir:
            fail(Status.INVALID_PARAMETER)
        self.require_linked(directory)
        if "\\" in name:
            fail(Status.OBJECT_NAME_INVALID)
        self._check(name, directory.volume)
        if ":" in name:
            fail(Status.OBJECT_NAME_INVALID)
        return flags, directory, name

    def _rename(self, opened: Open, raw: bytes, *, ex: bool) -> None:
        if not opened.access & Access.DELETE:
            fail(Status.ACCESS_DENIED)
        flags, directory, name = self._target(opened, raw if ex else bytes([bool(raw[0]), 0, 0, 0]) + raw[4:])
        link, volume = opened.link, opened.file.volume
        if link is None or link.gone:
            fail(Status.FILE_DELETED if link else Status.ACCESS_DENIED)
        if directory.volume is not volume:
            fail(Status.NOT_SAME_DEVICE)
        if self._is_below(directory, opened.file):
            fail(Status.INVALID_PARAMETER)
        if opened.file.is_dir and self._open_below(opened.file):
            fail(Status.ACCESS_DENIED)
        target = directory.find(name)
        if target is not None and target is not link:
            self._replace(target, flags)
        self._relink(volume, link, directory, name)

    @staticmethod
    def _relink(volume: Volume, link: Link, directory: File, name: str) -> None:
        """Rename a link. Handles that were opened by it stay attached to it."""
        volume.detach(link)
        link.parent.touch(data=True)
        link.parent, link.name = directory, name
        volume.insert(link)
        directory.touch(data=True)
        link.file.changed = volume.tick()

    def _replace(self, target: Link, flags: int) -> None:
        file = target.file
        if not flags & RENAME_REPLACE:
            fail(Status.OBJECT_NAME_COLLISION)
        if file.mapped or (file.attributes & Attribute.READONLY and not flags & RENAME_READONLY):
            fail(Status.ACCESS_DENIED)
        if file.is_dir and not flags & RENAME_POSIX:
            fail(Status.ACCESS_DENIED)
        if file.children:
            fail(Status.DIRECTORY_NOT_EMPTY)
        if not flags & RENAME_POSIX and self._others(lambda other: other.link is target):
            fail(Status.ACCESS_DENIED)
        if self._others(lambda other: other.link is target and not other.share & 4 and bool(other.access & 0x10007)):
            fail(Status.SHARING_VIOLATION)
        file.volume.unlink(target)

    @staticmethod
    def _is_below(directory: File | None, above: File) -> bool:
        while directory is not None:
            if directory is above:
                return True
            directory = directory.links[0].parent if directory.links else None
        return False

    def _open_below(self, directory: File) -> bool:
        """Whether any handle below a directory is open."""
        links = [other.link for other in list(self.handles.values()) if other.link and not other.link.gone]
        return any(self._is_below(link.parent, directory) for link in links)

    def _link(self, opened: Open, raw: bytes) -> None:
        flags, directory, name = self._target(opened, bytes([bool(raw[0]), 0, 0, 0]) + raw[4:])
        file = opened.file
        if file.is_dir:
            fail(Status.FILE_IS_A_DIRECTORY)
        if directory.volume is not file.volume:
            fail(Status.NOT_SAME_DEVICE)
        if not file.links:
            fail(Status.FILE_DELETED)
        if len(file.links) >= _LINKS_MAX:
            fail(Status.TOO_MANY_LINKS)
        target = directory.find(name)
        if target is not None:
            self._replace(target, flags)
        file.volume.link(directory, name, file)
