"""``mapped-file``: owner, mode, type and device number in a file beside each file; for filesystems
without extended attributes.

Where and how they are written is told in ``records``. The names are reserved at every level: EINVAL
for clients, hidden in listings (CVE-2017-7493), compared as the most forgiving filesystem would.

Order of steps, so that a failure at any of them leaves everything as it was:

* make: the record first (it means nothing without its entry), then the entry; if that fails the
  record goes again;
* remove: the entry first, then its record, whose removal cannot fail the request;
* rename: the record of the source gets the target's name besides its own (that of the target is put
  aside), then the entries are moved, then the other names go; if that fails both records are as
  they were;
* link: as make, with the record linked too, so that both names share one, as the hypervisor has it.
  A file without a record gets an empty one first.

A server that is killed between two steps leaves a record too many, which means nothing, or a name
too many of a record. There is one exception: a target that was about to be replaced, and was not,
has the source's record. No order of two renames is without such a moment.

A record belongs to its file by parent and name only, and others rename, too: it counts only while
that name leads to the file (``FileRef.location``), which is looked at with every read and again when
it is written (``records``). A file whose name leads elsewhere has no record: it shows what the host
has, as a file that was never seen by a client, and a change of its attributes is ESTALE.

A change of attributes lives in another file, so the data file's own ctime is moved by hand: clients
see their chmod, and caches notice.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import ClassVar, Final

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat
from ninep.linux import RENAME_NOREPLACE, S_IFDIR, S_IFMT, Errno
from ninep.security import records
from ninep.security.base import (
    FileRef,
    Owned,
    carries_setid,
    find_entry,
    permissions,
    same,
    stat_entry,
    undo,
    without_setid,
)
from ninep.security.mapped import Mapped, VirtfsAttrs, draft, fill, known_id, publish, stays
from ninep.security.options import MappedOptions, ModelType
from ninep.security.records import EMPTY, Records, Slot

_ASIDE: Final = records.TEMPORARY + b"aside."
_ATTEMPTS: Final = 8
_LOST: Final = "its name leads to another file now, or nowhere, so its attributes cannot be kept"
_NO_LINKS: Final = frozenset({Errno.EPERM, Errno.EOPNOTSUPP, Errno.ENOSYS, Errno.EMLINK})


class MappedFile(Mapped):
    """Tags in files of their own."""

    name: ClassVar[str] = "mapped-file"
    reserved_names: ClassVar[tuple[bytes, ...]] = (records.DIRECTORY, records.ROOT)
    opens_records: ClassVar[bool] = True

    def __init__(self, fmode: int, dmode: int) -> None:
        super().__init__(fmode, dmode)
        self._records = Records(self.filesystems)

    # -- names ---------------------------------------------------------------------------------------------------------

    def is_reserved(self, name: bytes) -> bool:
        # Nearly every name is told apart by one search; the forms that filesystems fold to ours
        # have a tilde or are no ASCII.
        if b"virtfs" not in name.lower() and name.isascii() and b"~" not in name:
            return False
        return name.startswith(records.TEMPORARY) or any(
            host.reserved_match(name, ours) for ours in self.reserved_names
        )

    def check_name(self, name: bytes) -> None:
        if self.is_reserved(name):
            raise Refused(Errno.EINVAL, "this name is kept for the server's metadata")

    # -- looking -------------------------------------------------------------------------------------------------------

    def attributes_of(self, file: FileRef, found: Stat) -> Owned:
        if file.saved_attributes is not None:
            return file.saved_attributes
        location = file.location(found)
        if location is None:
            return EMPTY.over(found)
        return self._records.of(*location).over(found)

    def links(self, file: FileRef, found: Stat) -> int:
        """Without the hidden directory, where the host counts directories at all."""
        if found.st_nlink <= 2:
            return found.st_nlink
        try:
            hidden = host.stat_same_mount(file.object_ref().path_handle, records.DIRECTORY)
        except OSError:
            return found.st_nlink
        return found.st_nlink - (hidden.st_mode & S_IFMT == S_IFDIR)

    # -- making --------------------------------------------------------------------------------------------------------

    def make_regular(
        self, dir: Handle, name: bytes, flags: int, content: bytes, attrs: VirtfsAttrs
    ) -> tuple[Handle, Stat]:
        self._check_free(dir, name)
        with self._records.slot(dir, name, make=True) as slot:
            self._record(slot, attrs)
            try:
                handle, named = draft(self.filesystems, dir, name, flags, self.fmode)
                try:
                    fill(handle, content)
                    publish(ObjectRef(handle, NO_HANDLE, b""), dir, name, named)
                    made = host.stat(handle)
                except OSError:
                    if named:
                        undo(dir, name, host.stat(handle))
                    host.close(handle)
                    raise
                kept = handle if named else stays(self.filesystems, dir, name, flags, handle, made)
            except OSError:
                self._unrecord(slot)
                raise
        return (kept, made) if kept is not None else self.make_regular(dir, name, flags, content, attrs)

    def make_dir(self, dir: Handle, name: bytes, mode: int, uid: int, gid: int) -> Stat:
        self._check_free(dir, name)
        with self._records.slot(dir, name, make=True) as slot:
            self._record(slot, VirtfsAttrs(known_id(uid), known_id(gid), S_IFDIR | permissions(mode)))
            try:
                host.make_dir(dir, name, self.dmode)
                return stat_entry(dir, name)
            except OSError:
                self._unrecord(slot)
                raise

    def make_link(self, file: FileRef, dir: Handle, name: bytes) -> None:
        location = file.location()
        if location is None:
            raise Refused(Errno.ENOENT)
        self._check_free(dir, name)
        with (
            self._records.slot(*location, make=True) as source,
            self._records.slot(dir, name, make=True) as slot,
        ):
            if source is None or slot is None:
                raise Refused(Errno.ENOENT)
            if self._records.find(source) is None:
                self._records.write(source, EMPTY)
            self._unrecord(slot)
            record = host.open_path(source.dir, source.name)
            try:
                host.make_link(ObjectRef(record, source.dir, source.name), slot.dir, slot.name)
            finally:
                host.close(record)
            try:
                host.make_link(file.object_ref(), dir, name)
            except OSError:
                self._unrecord(slot)
                raise

    @staticmethod
    def _check_free(dir: Handle, name: bytes) -> None:
        """EEXIST, before the record of something that exists is touched."""
        if find_entry(dir, name) is not None:
            raise Refused(Errno.EEXIST)

    def _record(self, slot: Slot | None, attrs: VirtfsAttrs) -> None:
        """The record of an entry that is about to be made. A stale one may have several names,
        which are not this entry's.
        """
        if slot is not None:
            self._unrecord(slot)
            self._records.create(slot, attrs)

    @staticmethod
    def _unrecord(slot: Slot | None) -> None:
        if slot is not None:
            records.discard(*slot)

    # -- moving and removing -------------------------------------------------------------------------------------------

    def rename(self, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
        if flags & ~RENAME_NOREPLACE:
            # Entries and records cannot be exchanged in one step: a server killed in between would
            # leave each file with the other's owner.
            raise Refused(Errno.EINVAL, "mapped-file exchanges no entries")
        source = stat_entry(olddir, oldname)
        target = find_entry(newdir, newname)
        if target is not None:
            if flags:
                raise Refused(Errno.EEXIST)
            if same(source, target):
                # Two names of one file: rename(2) does nothing; or one name in another case, whose
                # record is found all the same.
                host.rename(olddir, oldname, newdir, newname)
                return
            if target.st_mode & S_IFMT == S_IFDIR == source.st_mode & S_IFMT:
                self._empty(newdir, newname)
        with self._records.slot(olddir, oldname) as old:
            moving = old is not None and self._records.find(old) is not None
            with self._records.slot(newdir, newname, make=moving) as new:
                if new is None:
                    host.rename(olddir, oldname, newdir, newname, flags)
                else:
                    self._rename_with_records(
                        Slot(olddir, oldname), Slot(newdir, newname), old if moving else None, new, flags
                    )

    def _rename_with_records(self, source: Slot, target: Slot, old: Slot | None, new: Slot, flags: int) -> None:
        """``old``: the record of the source, None if there is none. ``new``: where that of the
        target is, or would be.
        """
        aside = Slot(new.dir, _ASIDE + records.unique())
        stood = self._moved(new, aside) if old is None else self._linked(new, aside)
        placed = False
        try:
            placed = old is not None and self._placed(old, new)
            host.rename(*source, *target, flags)
        except OSError:
            if placed and old is not None:
                self._moved(new, old)  # two names of one file: a rename does nothing, and the one too many goes below
            if stood:
                self._moved(aside, new)
                self._unrecord(aside)
            elif placed:
                self._unrecord(new)
            raise
        if old is not None:
            self._unrecord(old)
        if stood:
            self._unrecord(aside)

    def _placed(self, old: Slot, new: Slot) -> bool:
        """Put the source's record in the place of the target's. False if there is none."""
        between = Slot(new.dir, _ASIDE + records.unique())
        if not self._linked(old, between):
            return False
        try:
            return self._moved(between, new)
        finally:
            self._unrecord(between)  # it is still there if both were names of one file, or the rename failed

    def _linked(self, source: Slot, target: Slot) -> bool:
        """Another name for a record, or where the filesystem has no hard links, a new one. False if
        there is no record.
        """
        try:
            path_handle = host.open_path(*source)
        except OSError as error:
            if linux_errno(error) is Errno.ENOENT:
                return False
            raise
        try:
            host.make_link(ObjectRef(path_handle, *source), *target)
        except OSError as error:
            if linux_errno(error) not in _NO_LINKS:
                raise
            return self._moved(source, target)
        finally:
            host.close(path_handle)
        return True

    @staticmethod
    def _moved(source: Slot, target: Slot) -> bool:
        """Rename a record; False if there is none."""
        try:
            host.rename(*source, *target)
        except OSError as error:
            if linux_errno(error) is Errno.ENOENT:
                return False
            raise
        return True

    def _empty(self, dir: Handle, name: bytes) -> None:
        """A directory that clients see empty must be so for the host. ENOTEMPTY."""
        path_handle = host.open_path(dir, name)
        try:
            self._records.purge(path_handle)
        finally:
            host.close(path_handle)

    def unlink(self, dir: Handle, name: bytes, directory: bool) -> None:
        if directory:
            try:
                host.remove_dir(dir, name)
            except OSError as error:
                if linux_errno(error) is not Errno.ENOTEMPTY:
                    raise
                self._empty(dir, name)
                host.remove_dir(dir, name)
        else:
            host.remove_file(dir, name)
        try:
            with self._records.slot(dir, name) as slot:
                # Where the name leads to something, another process made a new entry meanwhile, and
                # a record for it.
                if slot is not None and find_entry(dir, name) is None:
                    self._unrecord(slot)
        except OSError:
            return  # the entry is gone, and a record without one means nothing

    def forget(self, file: FileRef) -> None:
        """The record will go with the name; clients that hold the file still see who owns it."""
        file.save_attributes(self.attributes_of(file, host.stat(file.object_ref().path_handle)))

    # -- changing ------------------------------------------------------------------------------------------------------

    def change_permissions(self, file: FileRef, mode: int) -> None:
        self.change(file, VirtfsAttrs(mode=mode))

    def change(self, file: FileRef, attrs: VirtfsAttrs) -> None:
        """The type that a mode of ``attrs`` may have does not count: that of the record stays."""
        ref = file.object_ref()
        if file.saved_attributes is not None:
            host.chown(ref, -1, -1)
            file.save_attributes(_over(attrs, file.saved_attributes))
            return
        location = file.location()
        if location is None:
            raise Refused(Errno.ESTALE, _LOST)
        host.chown(ref, -1, -1)  # may be refused: before anything is changed
        self._write(file, location, attrs)
        with suppress(OSError):  # it is changed; that moving ctime worked a moment ago has to do
            host.chown(ref, -1, -1)

    def _write(self, file: FileRef, location: tuple[Handle, bytes] | None, attrs: VirtfsAttrs) -> None:
        """Into the record under the file's name, unless that leads to another file now; again if a
        client renamed it meanwhile.
        """
        held = host.stat(file.object_ref().path_handle)

        def changed(recorded: VirtfsAttrs) -> VirtfsAttrs:
            if attrs.mode is None:
                return recorded.changed(attrs)
            kind = recorded.over(held)[0] & S_IFMT
            return recorded.changed(attrs._replace(mode=kind | permissions(attrs.mode)))

        for _ in range(_ATTEMPTS):
            if location is None:
                break
            if self._records.change(*location, changed, partial(file.is_still_at, *location)):
                return
            location = file.location()
        raise Refused(Errno.ESTALE, _LOST)

    def drop_setid(self, file: FileRef, ref: ObjectRef) -> None:
        self.drop_capability(ref)
        mode = self.attributes_of(file, host.stat(ref.path_handle))[0]
        if carries_setid(mode):
            self.chmod(file, without_setid(mode))


def _over(attrs: VirtfsAttrs, owned: Owned) -> Owned:
    """Saved attributes with those that are not None, but for the type."""
    mode, uid, gid, rdev = owned
    return (
        mode if attrs.mode is None else mode & S_IFMT | permissions(attrs.mode),
        uid if attrs.uid is None else attrs.uid,
        gid if attrs.gid is None else attrs.gid,
        rdev if attrs.rdev is None else attrs.rdev,
    )


MODEL: Final = ModelType(
    "nothing is, all is kept in hidden files, in QEMU's format: needs no root and no extended attributes",
    MappedOptions,
    lambda options: MappedFile(options.fmode, options.dmode).serving(options.xattrs),
)
