"""The metadata files of ``mapped-file``: where they are, what stands in them, how they are read and
replaced.

On disk, as the hypervisor writes it (QEMU 9p-local.c local_mapped_file_attr,
local_set_mapped_file_attrat): in every directory ``.virtfs_metadata/`` (0700) with one file (0600)
for each entry, of the entry's name; for the export's root ``.virtfs_metadata_root`` in the root.
Lines ``virtfs.uid=N``, ``virtfs.gid=N``, ``virtfs.mode=N``, ``virtfs.rdev=N`` in this order,
decimal, signed 32 bits, each only if it is known. Readers cut lines at 99 bytes, compare the key by
its beginning and ignore what they do not know.

A new record appears whole: a file without a name is published, or a temporary one renamed. One that
is there is rewritten in place, by a single write that is valid as a whole: all its names must agree
(those of hard links share one), and a record belongs to its file only by parent and name, which a
host process, another export or another worker may give to another file at any moment. So the record
is opened, then the caller looks whether the name still leads to the file (``Still``), then what was
opened is written, wherever it was moved meanwhile. A new record is taken back if the name leads
elsewhere after it was made. What remains: a file without a record that takes the name between look
and publication has another one's record until it is taken back; and where there are no files
without names a record that another file brought along in that instant is replaced.

A server that is killed in between leaves its temporary file there, one for each request in flight:
hidden from clients, in the way of nothing, removed with the directory, or when a record of that
directory is written later. Where there are more than ``AT_ONCE`` records only a thread that may
wait looks for it; it stays otherwise. Records of entries that a host process removed are not looked
for: they are replaced when an entry of that name is made, and removed with the directory.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat
from ninep.linux import DT_DIR, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, S_IFDIR, S_IFMT, S_IFREG, Errno
from ninep.node import WouldBlock, check_may_wait
from ninep.security.attr_cache import AttrCache
from ninep.security.base import same
from ninep.security.filesystems import Filesystems
from ninep.security.mapped import VirtfsAttrs, unnamed

DIRECTORY: Final = b".virtfs_metadata"
ROOT: Final = b".virtfs_metadata_root"
ROOT_NAME: Final = b"/"  # the name of the export's root, which no entry can have
TEMPORARY: Final = b".virtfs_metadata_new."
_LONGEST: Final = 4096
ABANDONED: Final = 60.0
"""Seconds after which a temporary file counts as abandoned. Were it in use after all, that rename
would fail, and the request.
"""
_SWEPT: Final = 4096
AT_ONCE: Final = 500
"""Records that may be looked through or removed in the event loop: 5 ms."""
_LINE: Final = 99
_NUMBER = re.compile(rb"virtfs\.(uid|gid|mode|rdev).[ \t]*([+-]?[0-9]*)", re.DOTALL)
_counter = itertools.count()

EMPTY: Final = VirtfsAttrs()

Still = Callable[[], bool]
"""Asked when a record is about to be written: does its name still lead to the file?"""

Change = Callable[[VirtfsAttrs], VirtfsAttrs]
"""From what is recorded to what shall be."""


def parse(content: bytes) -> VirtfsAttrs:
    """What a metadata file says; later lines win, as in the hypervisor."""
    values: dict[str, int] = {}
    for line in content.split(b"\n"):
        for start in range(0, len(line), _LINE):
            match = _NUMBER.match(line[start : start + _LINE])
            if match:
                digits = match[2].lstrip(b"+-")
                number = int(match[2]) if digits else 0
                values[match[1].decode()] = number & 0xFFFFFFFF
    return VirtfsAttrs(**{key: value for key, value in values.items() if value != 0xFFFFFFFF})


def render(attrs: VirtfsAttrs) -> bytes:
    """The contents of a metadata file."""
    lines = []
    for key, value in zip(VirtfsAttrs._fields, attrs, strict=True):
        if value is not None:
            low = value & 0xFFFFFFFF
            lines.append(b"virtfs.%s=%d\n" % (key.encode(), low - (1 << 32) if low >> 31 else low))
    return b"".join(lines)


class Slot(NamedTuple):
    """Where the metadata of one entry is: a directory handle and a name in it."""

    dir: Handle
    name: bytes


class OpenedSlot:
    """A slot, or None, for the time of a ``with``: cheaper than by ``contextmanager``."""

    __slots__ = ("_handle", "_slot")

    def __init__(self, slot: Slot | None, handle: Handle | None) -> None:
        self._slot = slot
        self._handle = handle
        """To be closed at its end."""

    def __enter__(self) -> Slot | None:
        """The slot."""
        return self._slot

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            host.close(self._handle)


class Records:
    """Reads and writes metadata files; remembers what it read by the inode and ctime of the
    metadata file.
    """

    def __init__(self, filesystems: Filesystems) -> None:
        self._filesystems = filesystems
        self._cache: AttrCache[VirtfsAttrs] = AttrCache(filesystems)
        self._swept: set[tuple[int, int]] = set()
        """Directories in which no temporary files of others are, as far as is known."""

    def slot(self, dir: Handle, name: bytes, make: bool = False) -> OpenedSlot:
        """The slot of an entry, for the time of a ``with``; None if its directory has no metadata
        (and ``make`` is false).
        """
        if name == ROOT_NAME:
            return OpenedSlot(Slot(dir, ROOT), None)
        metadata = self._directory(dir, make)
        return OpenedSlot(None if metadata is None else Slot(metadata, name), metadata)

    @staticmethod
    def _directory(dir: Handle, make: bool) -> Handle | None:
        """A link or a file of that name, planted by a host process, is opened itself: the next step
        below it is ENOTDIR.
        """
        try:
            return host.open_path(dir, DIRECTORY)
        except OSError as error:
            # What is mounted there may not answer, and is not the export's.
            if linux_errno(error) is not Errno.ENOENT and (make or linux_errno(error) is not Errno.EXDEV):
                raise
        if not make:
            return None
        try:
            host.make_dir(dir, DIRECTORY, 0o700)
        except OSError as error:
            if linux_errno(error) is not Errno.EEXIST:
                raise
        return host.open_path(dir, DIRECTORY)

    # -- one record ----------------------------------------------------------------------------------------------------

    def of(self, dir: Handle, name: bytes) -> VirtfsAttrs:
        """What is recorded of an entry; with every stat. By ``slot`` it would take two system calls
        and 4 us more.
        """
        if name == ROOT_NAME:
            return self.read(Slot(dir, ROOT))
        found = host.stat_below(dir, DIRECTORY, name)
        if found is None or found.st_mode & S_IFMT != S_IFREG:
            return EMPTY
        attrs = self._cache.get(found)
        if attrs is not None:
            return attrs
        with self.slot(dir, name) as slot:
            return self.read(slot)

    def read(self, slot: Slot | None) -> VirtfsAttrs:
        """What is recorded; ``EMPTY`` if there is no file. What is no regular file is no record."""
        if slot is None:
            return EMPTY
        found = self.find(slot)
        if found is None or found.st_mode & S_IFMT != S_IFREG:
            return EMPTY
        return self._read(slot, found)

    def _read(self, slot: Slot, found: Stat) -> VirtfsAttrs:
        """Of a metadata file that is there."""
        attrs = self._cache.get(found)
        if attrs is None:
            handle = host.open_at(slot.dir, slot.name, O_RDONLY)
            try:
                found = host.stat(handle)
                attrs = parse(host.read(handle, _LONGEST, 0))
            finally:
                host.close(handle)
            self._cache.store_read(found, attrs)
        return attrs

    @staticmethod
    def find(slot: Slot) -> Stat | None:
        """The metadata file itself, if it is there. Where a link or a file stands in place of the
        metadata directory nothing is there, and what is mounted on its name is none.
        """
        try:
            return host.find_same_mount(slot.dir, slot.name)
        except OSError as error:
            if linux_errno(error) in (Errno.ENOTDIR, Errno.ENAMETOOLONG, Errno.EXDEV):
                return None
            raise

    def write(self, slot: Slot, attrs: VirtfsAttrs) -> None:
        """Record; all of it or, on an error, nothing."""
        self._write(slot, self.find(slot), attrs, _always)

    def create(self, slot: Slot, attrs: VirtfsAttrs) -> None:
        """The same, where no record is: one that others make meanwhile is replaced."""
        self._write(slot, None, attrs, _always)

    def change(self, dir: Handle, name: bytes, changed: Change, still: Still) -> bool:
        """Record ``changed`` of what is recorded of an entry. False, and nothing is recorded, if
        ``still`` says no.
        """
        if name == ROOT_NAME:
            return self._change(Slot(dir, ROOT), changed, still)
        metadata = self._directory(dir, make=True)
        if metadata is None:
            return False
        try:
            return self._change(Slot(metadata, name), changed, still)
        finally:
            host.close(metadata)

    def _change(self, slot: Slot, changed: Change, still: Still) -> bool:
        found = self.find(slot)
        there = found is not None and found.st_mode & S_IFMT == S_IFREG
        known = self._read(slot, found) if found is not None and there else EMPTY
        return self._write(slot, found, changed(known), still)

    def _write(self, slot: Slot, found: Stat | None, attrs: VirtfsAttrs, still: Still) -> bool:
        """``found``: what stood there just now."""
        new = found is None
        if found is not None and found.st_mode & S_IFMT == S_IFREG:
            try:
                handle = host.open_at(slot.dir, slot.name, O_RDWR)
            except OSError as error:
                if linux_errno(error) not in (Errno.EACCES, Errno.ENOENT):
                    raise
                new = linux_errno(error) is Errno.ENOENT  # moved away meanwhile
            else:
                try:
                    return self._rewrite(slot, handle, attrs, still)
                finally:
                    host.close(handle)
        return self._replace(slot, attrs, still, new)

    def _rewrite(self, slot: Slot, handle: Handle, attrs: VirtfsAttrs, still: Still) -> bool:
        """In place. What is longer in the old contents is covered with newlines, which mean
        nothing, and cut off if that can be.
        """
        self._sweep(slot.dir)
        before = host.read(handle, _LONGEST, 0)
        content = render(attrs)
        whole = content.ljust(len(before), b"\n")
        if not still():
            return False
        try:
            if host.write(handle, whole, 0) != len(whole):
                raise Refused(Errno.ENOSPC)
        except OSError:
            with suppress(OSError):
                host.write(handle, before, 0)
                host.truncate(handle, len(before))
            raise
        if len(whole) > len(content):
            with suppress(OSError):
                host.truncate(handle, len(content))
        self._cache.store_written(host.stat(handle), attrs)
        return True

    def _replace(self, slot: Slot, attrs: VirtfsAttrs, still: Still, new: bool) -> bool:
        """A record that does not exist yet belongs to an entry that no client sees yet, or that has
        its host's attributes until now: it can be made in a file without a name. Else by a
        temporary name.
        """
        content = render(attrs)
        if not still():
            return False
        made = self._publish(slot, attrs, content) if new else None
        if made is None:
            made = self._put(slot, attrs, content)
        if still():
            return True
        found = self.find(slot)
        if found is not None and same(found, made):
            discard(*slot)
        return False

    def _put(self, slot: Slot, attrs: VirtfsAttrs, content: bytes) -> Stat:
        self._sweep(slot.dir)
        temporary = TEMPORARY + unique()
        handle = host.open_at(slot.dir, temporary, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        try:
            if host.write(handle, content, 0) != len(content):
                raise Refused(Errno.ENOSPC)
            host.rename(slot.dir, temporary, slot.dir, slot.name)
            made = host.stat(handle)
            self._cache.store_written(made, attrs)
        except OSError:
            discard(slot.dir, temporary)
            raise
        finally:
            host.close(handle)
        return made

    def _publish(self, slot: Slot, attrs: VirtfsAttrs, content: bytes) -> Stat | None:
        works = self._filesystems.unnamed(slot.dir)
        handle = None if works is False else unnamed(slot.dir, O_WRONLY, 0o600)
        if handle is None:
            return None
        try:
            if host.write(handle, content, 0) != len(content):
                raise Refused(Errno.ENOSPC)
            host.make_link(ObjectRef(handle, NO_HANDLE, b""), slot.dir, slot.name)
            made = host.stat(handle)
            self._cache.store_written(made, attrs)
        except OSError as error:
            if linux_errno(error) is not Errno.EEXIST:
                raise
            return None
        finally:
            host.close(handle)
        if works is None:
            found = self.find(slot)
            works = found is not None and same(found, made)
            self._filesystems.saw_unnamed(slot.dir, works)
        return made if works else None

    def _sweep(self, dir: Handle) -> None:
        """Remove what killed servers left. Once for each directory, or again and again as long as
        there is something too young to tell.
        """
        found = host.stat(dir)
        if (found.st_dev, found.st_ino) in self._swept:
            return
        try:
            left = [name for _, name in _entries(ObjectRef(dir, NO_HANDLE, b".")) if name.startswith(TEMPORARY)]
            limit = (time.time() - ABANDONED) * 1e9
            old = [name for name in left if host.stat_same_mount(dir, name).st_mtime_ns < limit]
        except WouldBlock:  # a request that has changed something already cannot begin again in a thread
            self._swept.add((found.st_dev, found.st_ino))
            return
        except OSError:
            return  # the request does not depend on it, and the next one looks again
        for name in old:
            discard(dir, name)
        if len(old) == len(left):
            if len(self._swept) >= _SWEPT:
                self._swept.clear()
            self._swept.add((found.st_dev, found.st_ino))

    # -- a whole directory's -------------------------------------------------------------------------------------------

    def purge(self, dir: Handle) -> None:
        """Remove the metadata of a directory that has no entries: records left over belong to
        nothing. ENOTEMPTY if it has entries.

        (The hypervisor leaves them, and the directory can then never be removed.)
        """
        if not _holds_only_metadata(dir):
            return
        metadata = host.open_path(dir, DIRECTORY)
        try:
            if host.stat(metadata).st_mode & S_IFMT != S_IFDIR:
                raise Refused(Errno.ENOTEMPTY)
            stale = [name for kind, name in _entries(ObjectRef(metadata, dir, DIRECTORY)) if kind != DT_DIR]
            for name in stale:
                discard(metadata, name)
        finally:
            host.close(metadata)
        host.remove_dir(dir, DIRECTORY)


def _holds_only_metadata(dir: Handle) -> bool:
    """Whether the metadata is all that there is; false if there is not even that. ENOTEMPTY at the
    first entry that is something else.
    """
    try:
        host.stat_same_mount(dir, DIRECTORY)
    except OSError as error:
        if linux_errno(error) in (Errno.ENOENT, Errno.EXDEV):
            return False  # removing the directory says what else there is, without a listing
        raise
    listing = host.open_dir(ObjectRef(dir, NO_HANDLE, b"."))
    try:
        for entry in host.iterate(listing):
            if entry[3] not in (b".", b"..", DIRECTORY):
                raise Refused(Errno.ENOTEMPTY)
    finally:
        listing.close()
    return True


def _entries(ref: ObjectRef) -> list[tuple[int, bytes]]:
    """Types and names. More than ``AT_ONCE`` only in a thread that may wait: each of them is looked at
    or removed next.
    """
    listing = host.open_dir(ref)
    found: list[tuple[int, bytes]] = []
    try:
        for entry in host.iterate(listing):
            if entry[3] not in (b".", b".."):
                found.append((entry[2], entry[3]))
                if len(found) > AT_ONCE:
                    check_may_wait()
    finally:
        listing.close()
    return found


def unique() -> bytes:
    """A part of a temporary name that no other process or thread uses."""
    return b"%d.%d" % (os.getpid(), next(_counter))


def discard(dir: Handle, name: bytes) -> None:
    """Remove a metadata file, if it is there. What cannot be removed now is overwritten when an
    entry of that name is made again.
    """
    try:
        host.remove_file(dir, name)
    except OSError:
        return


def _always() -> bool:
    """Of an entry that is about to be made: its name leads nowhere yet."""
    return True
