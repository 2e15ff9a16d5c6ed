"""A fake of the NT interface with NTFS semantics: ``_ntapi.NtCalls`` in pure Python, for tests on
other systems.

It returns the status that NTFS returns, according to [MS-FSA] and the driver kit's pages, for
everything that matters to a file server: sharing, delete-pending, deletion and renaming with and
without POSIX semantics, the refusal to rename a directory below which something is open, reparse
points, streams, 8.3 aliases, read-only files, denied rights, 64- and 128-bit ids.

Where real systems differ, it implements the less favourable behaviour: an open below a directory
that became a junction follows it, unless OBJ_DONT_REPARSE forbids. ``before`` is called ahead of
every call with its name: tests use it to replace objects, or to raise.

Not modelled: byte-range locks, oplocks, transactions, security descriptors (``File.denied``
replaces them), compression, quotas.
"""

from __future__ import annotations

from typing import Final

from ninep.host.windows import info
from ninep.host.windows.api import END, REMOTE_DEVICE, Access, Attribute, Control, VolumeInfo
from ninep.host.windows.names import units
from ninep.host.windows.status import Status
from ninep.testing.fake_nt_info import Informing
from ninep.testing.fake_nt_open import FILE_MAX, WRITING, Open, fail
from ninep.testing.fake_nt_volume import File, Link, fold

_DISK: Final = 7  # FILE_DEVICE_DISK
_SECTOR: Final = 512
_SECTORS: Final = 8
_ENTRY_MIN: Final = 104  # more entries than this never fit
_ANY: Final = Access.WRITE_DATA | Access.WRITE_ATTRIBUTES


class FakeNt(Informing):
    """All the calls. ``volumes`` and ``add`` of a volume are for the tests; ``handles`` has the
    open handles.
    """

    # -- data ----------------------------------------------------------------------------------------------------------

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """NtReadFile."""
        self.enter("read")
        opened = self.held(handle, Access.READ_DATA)
        if opened.stream is None:
            fail(Status.INVALID_DEVICE_REQUEST)
        self._touch_contents(opened)
        return bytes(opened.stream.data[offset : offset + count])

    def write(self, handle: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """NtWriteFile."""
        self.enter("write")
        opened = self.held(handle, WRITING)
        if opened.stream is None:
            fail(Status.INVALID_DEVICE_REQUEST)
        if offset + len(data) > FILE_MAX:
            fail(Status.INVALID_PARAMETER)
        if not len(data):
            return 0
        self._touch_contents(opened)
        content = opened.stream.data
        start = len(content) if offset == END else offset
        if start > len(content):
            content.extend(bytes(start - len(content)))
        content[start : start + len(data)] = data
        opened.file.touch(data=not opened.keeps_mtime)
        return len(data)

    def _touch_contents(self, opened: Open) -> None:
        if not opened.raw and opened.stream is not None and not opened.stream.name:
            self.fetch(opened.file)

    def flush(self, handle: int) -> None:
        """NtFlushBuffersFile."""
        self.enter("flush")
        self.held(handle, WRITING)

    # -- directories ---------------------------------------------------------------------------------------------------

    def query_directory(self, handle: int, size: int, pattern: str | None = None) -> bytes:
        """NtQueryDirectoryFile, in the order of the index. Entries that are created or removed
        before the reader's position are not seen.
        """
        self.enter("query_directory")
        opened = self.held(handle, Access.READ_DATA)
        if not opened.file.is_dir:
            fail(Status.INVALID_PARAMETER)
        if opened.last is None:
            opened.pattern, opened.last = pattern, ""
            dots = [self._entry(opened.file, name) for name in (".", "..")] if pattern is None else []
        else:
            dots = []
        after, children = opened.last, opened.file.children
        keys = sorted(key for key in children if fold(key) > after)[: size // _ENTRY_MIN]
        waiting = [children[key] for key in keys if self._matches(children[key], opened.pattern)]
        entries = dots + [self._entry(link.file, link.name, link) for link in waiting]
        raw, count = info.pack_entries(entries, size)
        if not count and entries:
            fail(Status.BUFFER_OVERFLOW)
        taken = count - len(dots)
        if taken > 0:
            opened.last = fold(waiting[taken - 1].name)
        return raw

    @staticmethod
    def _matches(link: Link, pattern: str | None) -> bool:
        return pattern is None or fold(pattern) in {fold(link.name), fold(link.short)}

    @staticmethod
    def _entry(file: File, name: str, link: Link | None = None) -> info.DirectoryEntry:
        size = 0 if file.is_dir else len(file.streams[""].data)
        tag = file.reparse[0] if file.reparse else 0
        times = (file.created, file.accessed, file.written, file.changed)
        short = link.short if link else ""
        return info.DirectoryEntry(*times, size, size, file.attributes, tag, short, file.id & 0x7FFFFFFFFFFFFFFF, name)

    # -- volumes -------------------------------------------------------------------------------------------------------

    def query_volume(self, handle: int, kind: int, size: int) -> bytes:
        """NtQueryVolumeInformationFile."""
        self.enter("query_volume")
        volume = self.held(handle).file.volume
        if kind == VolumeInfo.FULL_SIZE:
            return info.FULL_SIZE.pack(volume.units, volume.units // 4, volume.units // 2, _SECTORS, _SECTOR)
        if kind == VolumeInfo.ATTRIBUTE:
            name = units(volume.kind)
            return (info.VOLUME_ATTRIBUTES.pack(volume.flags, 255, len(name)) + name)[:size]
        if kind == VolumeInfo.DEVICE:
            return info.DEVICE.pack(_DISK, REMOTE_DEVICE if volume.remote else 0)
        if kind != VolumeInfo.VOLUME:
            fail(Status.INVALID_INFO_CLASS)
        return info.VOLUME.pack(volume.root.created, volume.serial & 0xFFFFFFFF, 0, volume.streams)

    # -- reparse points and extended attributes ------------------------------------------------------------------------

    def control(self, handle: int, code: int, data: bytes, size: int) -> bytes:
        """NtFsControlFile."""
        self.enter("control")
        opened = self.held(handle)
        file = opened.file
        if code == Control.GET_REPARSE_POINT:
            if file.reparse is None:
                fail(Status.NOT_A_REPARSE_POINT)
            return info.reparse(*file.reparse)[:size]
        if code == Control.SET_SPARSE:
            self._set_sparse(opened)
            return b""
        if code != Control.SET_REPARSE_POINT:
            fail(Status.INVALID_DEVICE_REQUEST)
        if not opened.access & _ANY:
            fail(Status.ACCESS_DENIED)
        if not file.volume.streams:  # FAT has neither
            fail(Status.INVALID_DEVICE_REQUEST)
        tag, content = info.reparse_of(data)
        if file.children:
            fail(Status.DIRECTORY_NOT_EMPTY)
        if file.reparse is not None and file.reparse[0] != tag:
            fail(Status.IO_REPARSE_TAG_MISMATCH)
        file.reparse = (tag, content)
        file.attributes |= Attribute.REPARSE_POINT
        file.touch()
        return b""

    @staticmethod
    def _set_sparse(opened: Open) -> None:
        if not opened.access & _ANY:
            fail(Status.ACCESS_DENIED)
        if opened.stream is None or not opened.file.volume.streams:  # a directory; FAT
            fail(Status.INVALID_DEVICE_REQUEST)
        opened.file.attributes |= Attribute.SPARSE_FILE

    def query_ea(self, handle: int, names: bytes, size: int) -> bytes:
        """NtQueryEaFile for one name."""
        self.enter("query_ea")
        eas = self.held(handle).file.eas
        if not eas:
            fail(Status.NO_EAS_ON_FILE)
        name = names[5 : 5 + names[4]].upper()
        return info.full_ea(name, eas.get(name, b""))[:size]

    def change_ea(self, handle: int, data: bytes) -> None:
        """NtSetEaFile of one attribute; an empty value removes it."""
        self.enter("change_ea")
        name, value = info.ea_of(data)
        eas = self.held(handle, Access.WRITE_EA).file.eas
        if value:
            eas[name.upper()] = value
        else:
            eas.pop(name.upper(), None)
