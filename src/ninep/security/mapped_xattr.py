"""``mapped-xattr``: owner, mode, type and device number in extended attributes of the file itself.

On disk, as the hypervisor writes it (QEMU 9p-local.c local_set_xattrat, local_lstat),
little-endian:

=====================  =====  ==========================================
``user.virtfs.uid``    4      uid
``user.virtfs.gid``    4      gid
``user.virtfs.mode``   4      st_mode with its type (2 on macOS: read, not written)
``user.virtfs.rdev``   8      dev_t in the Linux layout (4 on macOS: read)
=====================  =====  ==========================================

Each stands alone; one that is missing leaves the host's own value. POSIX ACLs are kept raw under
``user.virtfs.system.posix_acl_*``. Clients do not see ``user.virtfs.*``: not listed, ENODATA to
read, EACCES to set or remove (QEMU 9p-xattr-user.c).

They are written in the order uid, gid, mode: on ext4 with inodes of 256 bytes the third no longer
fits into the inode, and the block it goes to is shared by all files with an equal one (8 us for a
create instead of 70), which modes are and owners are not.
"""

from __future__ import annotations

from typing import ClassVar, Final

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat, Volume
from ninep.linux import S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Errno
from ninep.security.attr_cache import AttrCache
from ninep.security.base import ACLS, FileRef, Owned, Unsuitable, carries_setid, permissions, same, undo, without_setid
from ninep.security.mapped import RECORDED, Mapped, VirtfsAttrs, draft, fill, known_id, publish, stays
from ninep.security.options import MappedOptions, ModelType

PREFIX: Final = b"user.virtfs."
UID, GID, MODE, RDEV = (PREFIX + field for field in (b"uid", b"gid", b"mode", b"rdev"))
# field of Tags, attribute, width written, widths read
_FORMAT: Final = ((UID, 4, (4,)), (GID, 4, (4,)), (MODE, 4, (2, 4)), (RDEV, 8, (4, 8)))
HOST_MODE: Final = PREFIX + b"host-mode"
"""For ``mapped_owner`` alone."""
_READ: Final = {attribute: widths for attribute, _, widths in _FORMAT} | {HOST_MODE: (4,)}
WIDTHS: Final = {attribute: width for attribute, width, _ in _FORMAT} | {HOST_MODE: 4}
"""How many bytes of an attribute are written."""
_DEVICES: Final = (S_IFCHR, S_IFBLK)


class MappedXattr(Mapped):
    """Tags in extended attributes."""

    name: ClassVar[str] = "mapped-xattr"

    def __init__(self, fmode: int, dmode: int) -> None:
        super().__init__(fmode, dmode)
        self._cache: AttrCache[Owned] = AttrCache(self.filesystems)

    def check(self, volume: Volume) -> None:
        if not volume.xattrs:
            raise Unsuitable(
                f"mapped-xattr keeps owner and mode in extended attributes, which its filesystem ({volume.kind}) does not have; "
                "mapped-file works anywhere"
            )

    # -- looking -------------------------------------------------------------------------------------------------------

    def attributes_of(self, file: FileRef, found: Stat) -> Owned:
        if file.saved_attributes is not None:
            return file.saved_attributes
        owned = self._cache.get(found)
        if owned is None:
            owned = self._read(file.object_ref(), found).over(found)
            self._cache.store_read(found, owned)
        return owned

    def forget(self, file: FileRef) -> None:
        """Where attributes are reached by the name, they go with it; clients that hold the file
        still see who owns it.
        """
        if host.BY_NAME:
            file.save_attributes(self.attributes_of(file, host.stat(file.object_ref().path_handle)))

    def _read(self, ref: ObjectRef, found: Stat) -> VirtfsAttrs:
        """Three or four calls (1.4 us each); the cache spares them where nothing changed. Only
        files and directories can have attributes.
        """
        if found.st_mode & S_IFMT not in (S_IFREG, S_IFDIR):
            return VirtfsAttrs()
        mode = self._number(ref, MODE)
        if mode is None and not self._may_have_attrs(ref):
            return VirtfsAttrs()
        rdev = self._number(ref, RDEV) if mode is not None and mode & S_IFMT in _DEVICES else 0
        return VirtfsAttrs(self._number(ref, UID), self._number(ref, GID), mode, rdev)

    @staticmethod
    def _may_have_attrs(ref: ObjectRef) -> bool:
        try:
            return any(name.startswith(PREFIX) for name in host.list_xattrs(ref))
        except OSError as error:
            if linux_errno(error) is not Errno.EOPNOTSUPP:
                raise
            return True  # attributes that cannot be listed can still be asked for one by one

    @staticmethod
    def _number(ref: ObjectRef, attribute: bytes) -> int | None:
        try:
            value = host.get_xattr(ref, attribute)
        except OSError as error:
            if linux_errno(error) in (Errno.ENODATA, Errno.EOPNOTSUPP):
                return None
            raise
        return int.from_bytes(value, "little") if len(value) in _READ[attribute] else None

    # -- writing tags --------------------------------------------------------------------------------------------------

    @staticmethod
    def _write(ref: ObjectRef, attrs: VirtfsAttrs, *, mode_first: bool = False) -> None:
        rows = list(zip(_FORMAT, attrs, strict=True))
        if mode_first:
            rows.insert(0, rows.pop(2))
        for (attribute, width, _), value in rows:
            if value is not None:
                host.set_xattr(ref, attribute, value.to_bytes(width, "little"))

    def change(self, file: FileRef, attrs: VirtfsAttrs) -> None:
        """Set some attributes of an existing file: all, or those that were set are put back."""
        ref = file.object_ref()
        if file.saved_attributes is not None:
            file.save_attributes(with_changes(file.saved_attributes, attrs))
            host.chown(ref, -1, -1)
            return
        found = host.stat(ref.path_handle)
        before = self.attributes_of(file, found)
        if found.st_mode & S_IFMT == S_IFLNK:
            raise Refused(Errno.EOPNOTSUPP, "a link of the host has no place for an owner or a mode of its own")
        # A single tag is set or not; only of several the first may have to be put back.
        several = sum(tag is not None for tag in attrs) > 1
        old = {
            attribute: self._number(ref, attribute)
            for (attribute, _, _), new in zip(_FORMAT, attrs, strict=True)
            if several and new is not None
        }
        try:
            # A server killed in between leaves a part of them changed: the new owner must not have
            # the old set-user bit.
            self._write(ref, attrs, mode_first=True)
        except OSError:
            self._restore(ref, old)
            raise
        changed = host.stat(ref.path_handle)
        if changed.st_ctime_ns == found.st_ctime_ns:  # ext4 leaves ctime alone when an attribute is set to what it was
            host.chown(ref, -1, -1)
            changed = host.stat(ref.path_handle)
        self._cache.store_written(changed, with_changes(before, attrs))

    def _restore(self, ref: ObjectRef, old: dict[bytes, int | None]) -> None:
        for attribute, width, _ in _FORMAT:
            if attribute not in old:
                continue
            value = old[attribute]
            try:
                if value is None:
                    host.remove_xattr(ref, attribute)
                else:
                    host.set_xattr(ref, attribute, value.to_bytes(width, "little"))
            except OSError:
                continue  # never set, or the host takes nothing any more; the request fails with the first error either way

    # -- making --------------------------------------------------------------------------------------------------------

    def first_mode(self, mode: int) -> int:
        """The host's permissions of something new, from its mode for clients."""
        return self.dmode if mode & S_IFMT == S_IFDIR else self.fmode

    def equip(self, ref: ObjectRef, attrs: VirtfsAttrs) -> VirtfsAttrs:
        """Write the attributes of something new; those that count for it from now on."""
        self._write(ref, attrs)
        return attrs

    def make_regular(
        self, dir: Handle, name: bytes, flags: int, content: bytes, attrs: VirtfsAttrs
    ) -> tuple[Handle, Stat]:
        handle, named = draft(self.filesystems, dir, name, flags, self.first_mode(attrs.mode or 0))
        ref = ObjectRef(handle, NO_HANDLE, b"")
        try:
            fill(handle, content)
            attrs = self.equip(ref, attrs)
            publish(ref, dir, name, named)
            made = host.stat(handle)
        except OSError:
            if named:
                undo(dir, name, host.stat(handle))
            host.close(handle)
            raise
        kept = handle if named else stays(self.filesystems, dir, name, flags, handle, made)
        if kept is None:
            return self.make_regular(dir, name, flags, content, attrs)
        self._cache.store_written(made, attrs.over(made))
        return kept, made

    def make_unnamed(self, dir: Handle, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        attrs = VirtfsAttrs(known_id(uid), known_id(gid), S_IFREG | permissions(mode))
        handle = host.open_unnamed(dir, flags, self.first_mode(attrs.mode or 0))
        try:
            attrs = self.equip(ObjectRef(handle, NO_HANDLE, b""), attrs)
            made = host.stat(handle)
        except OSError:
            host.close(handle)
            raise
        self._cache.store_written(made, attrs.over(made))
        return handle, made

    def make_dir(self, dir: Handle, name: bytes, mode: int, uid: int, gid: int) -> Stat:
        """A directory cannot be made without a name: a host process may see it untagged for some
        microseconds.
        """
        attrs = VirtfsAttrs(known_id(uid), known_id(gid), S_IFDIR | permissions(mode))
        host.make_dir(dir, name, self.first_mode(S_IFDIR | permissions(mode)))
        new = host.stat_at(dir, name)
        try:
            made, attrs = self._write_dir_attrs(dir, name, new, attrs)
        except OSError:
            undo(dir, name, new)
            raise
        self._cache.store_written(made, attrs.over(made))
        return made

    def _write_dir_attrs(self, dir: Handle, name: bytes, new: Stat, attrs: VirtfsAttrs) -> tuple[Stat, VirtfsAttrs]:
        path_handle = host.open_path(dir, name)
        try:
            made = host.stat(path_handle)
            if not same(made, new) or made.st_mode & S_IFMT != S_IFDIR:
                raise Refused(Errno.ESTALE)  # a host process took it away and put something else there
            attrs = self.equip(ObjectRef(path_handle, dir, name), attrs)
            return host.stat(path_handle), attrs
        finally:
            host.close(path_handle)

    # -- changing ------------------------------------------------------------------------------------------------------

    def drop_setid(self, file: FileRef, ref: ObjectRef) -> None:
        """Asks for the mode alone: after each write ctime has moved and the cache knows nothing."""
        self.drop_capability(ref)
        mode = self._number(ref, MODE) if file.saved_attributes is None else file.saved_attributes[0]
        if carries_setid(host.stat(ref.path_handle).st_mode if mode is None else mode):
            mode = self.attributes_of(file, host.stat(ref.path_handle))[0]
            self.chmod(file, without_setid(mode))

    # -- extended attributes -------------------------------------------------------------------------------------------

    def stored_name(self, name: bytes, hidden: Errno) -> bytes:
        if name in ACLS:
            return PREFIX + name
        if name.startswith(PREFIX):
            raise Refused(hidden)
        return super().stored_name(name, hidden)

    def shown_name(self, stored: bytes) -> bytes | None:
        if stored in ACLS:
            return None  # the host's own, which grants nothing to users of the guest
        if not stored.startswith(PREFIX) or stored.startswith(RECORDED):
            return super().shown_name(stored)
        name = stored.removeprefix(PREFIX)
        return name if name in ACLS else None

    def remove_xattr(self, file: FileRef, name: bytes) -> None:
        """Removing an ACL that is not there succeeds (QEMU 9p-posix-acl.c)."""
        try:
            host.remove_xattr(file.object_ref(), self.stored_name(name, Errno.EACCES))
        except OSError as error:
            if name not in ACLS or linux_errno(error) is not Errno.ENODATA:
                raise


def with_changes(owned: Owned, attrs: VirtfsAttrs) -> Owned:
    """With the attributes that are not None."""
    mode, uid, gid, rdev = owned
    uid, gid, mode, rdev = (was if new is None else new for was, new in zip((uid, gid, mode, rdev), attrs, strict=True))
    return mode, uid, gid, rdev


MODEL: Final = ModelType(
    "nothing is, all is kept in extended attributes (on NTFS in streams), in QEMU's format: needs no root",
    MappedOptions,
    lambda options: MappedXattr(options.fmode, options.dmode).serving(options.xattrs),
)
