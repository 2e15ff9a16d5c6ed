"""``mapped-owner``: what an ordinary user's files can have is real; the owner, and what else only
root could set, is in attributes.

For a source folder that programs of the host and of the guest use in turn: each sees the other's
execute bits, links, names and times.

Real on the host:

* permission bits: those the guest set, and read and write (search) for the owner, without which the
  server could not work on the file (``least``: ``fmode`` for files, ``dmode`` for directories,
  never less than 0600 and 0700);
* symbolic links, hard links, names, contents, times.

In attributes, as ``mapped_xattr`` has them, and only where they differ from what the host shows, so
that most files have none:

* ``user.virtfs.uid`` and ``.gid``;
* ``user.virtfs.mode``, where the guest's mode is not the real one: no access for the owner, SUID,
  SGID or sticky (set for real by the host alone; the guest can clear them).
  ``user.virtfs.host-mode`` (4 bytes) beside it holds the real permission bits of that moment: once
  a process of the host has changed them, they count and the attribute does not;
* devices, FIFOs and sockets: an empty regular file, its type in ``user.virtfs.mode``, its number in
  ``user.virtfs.rdev``.

Folders of ``mapped-xattr`` are taken over as they are. A ``user.virtfs.mode`` without ``host-mode``
beside it is believed while the real bits are those that model leaves (``least``) or those that this
one would have set for it. A link that is a file stays one until it is made again.

A symbolic link cannot have ``user.`` attributes (xattr(7)), so nothing can say whose it is: it is
shown with the owner and group of its directory, and a chown of it is accepted and forgotten, so
that archives can be unpacked. Where the file system has no links (symlink(2): EPERM), they are kept
as ``mapped-xattr`` keeps them.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import ClassVar, Final

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, ObjectRef, Stat, Volume
from ninep.linux import S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Errno
from ninep.security.base import FileRef, Owned, Unsuitable, carries_setid, permissions, without_setid
from ninep.security.mapped import TYPES, VirtfsAttrs
from ninep.security.mapped_xattr import GID, HOST_MODE, MODE, RDEV, UID, WIDTHS, MappedXattr, with_changes
from ninep.security.options import MappedOptions, ModelType

_ACCESS: Final = 0o777
_SPECIAL: Final = 0o7000
_DEVICES: Final = (S_IFCHR, S_IFBLK)
_STAND_INS: Final = frozenset(kind << 12 for kind in TYPES) - {S_IFREG, S_IFDIR}
"""Types that a regular file of the host may stand for."""
_NO_LINKS: Final = frozenset({Errno.EPERM, Errno.EOPNOTSUPP, Errno.ENOSYS})
_NONE: Final = frozenset({Errno.ENODATA, Errno.EOPNOTSUPP})
_NOT_OURS: Final = frozenset({Errno.EPERM, Errno.EOPNOTSUPP})


class MappedOwner(MappedXattr):
    """Permission bits and links are the host's, owners are in attributes."""

    name: ClassVar[str] = "mapped-owner"

    def __init__(self, fmode: int, dmode: int) -> None:
        super().__init__(fmode | 0o600, dmode | 0o700)

    def check(self, volume: Volume) -> None:
        if not volume.xattrs:
            raise Unsuitable(
                f"mapped-owner keeps owners in extended attributes, which its filesystem ({volume.kind}) does not have; "
                "none serves plain files of your user, mapped-file keeps owners in hidden files"
            )
        if not volume.posix_owners:
            raise Unsuitable(
                f"mapped-owner needs real permission bits, which its filesystem ({volume.kind}) does not have; mapped-xattr keeps them in attributes"
            )

    # -- looking -------------------------------------------------------------------------------------------------------

    def attributes_of(self, file: FileRef, found: Stat) -> Owned:
        if file.saved_attributes is not None:
            return file.saved_attributes
        owned = self._cache.get(found)
        if owned is None:
            if found.st_mode & S_IFMT == S_IFLNK:
                return self._link_attributes(file, found)  # which changes with its directory: not to be kept
            owned = self._owned(file.object_ref(), found)
            self._cache.store_read(found, owned)
        return owned

    def _link_attributes(self, file: FileRef, found: Stat) -> Owned:
        uid, gid = found.st_uid, found.st_gid
        with suppress(OSError):  # a directory that is gone owns nothing
            location = file.location(found)
            if location is not None:
                dir = location[0]
                folder = host.stat(dir)
                _, uid, gid, _ = self._cache.get(folder) or self._owned(ObjectRef(dir, dir, b"."), folder)
        return found.st_mode, uid, gid, 0

    def _owned(self, ref: ObjectRef, found: Stat) -> Owned:
        """One call where there are no attributes."""
        if found.st_mode & S_IFMT not in (S_IFREG, S_IFDIR):
            return VirtfsAttrs().over(found)
        there = self._names(ref)
        mode = self._number(ref, MODE) if MODE in there else None
        rdev = self._number(ref, RDEV) if mode is not None and mode & S_IFMT in _DEVICES and RDEV in there else 0
        if mode is not None:
            mode = self._believed(mode, self._number(ref, HOST_MODE) if HOST_MODE in there else None, found.st_mode)
        uid = self._number(ref, UID) if UID in there else None
        gid = self._number(ref, GID) if GID in there else None
        return VirtfsAttrs(uid, gid, mode, rdev).over(found)

    @staticmethod
    def _names(ref: ObjectRef) -> Collection[bytes]:
        try:
            return host.list_xattrs(ref)
        except OSError as error:
            why = linux_errno(error)
            if why not in _NONE:
                raise
            # Attributes that cannot be listed can still be asked for one by one.
            return () if why is Errno.ENODATA else WIDTHS.keys()

    @staticmethod
    def _value(ref: ObjectRef, name: bytes) -> bytes | None:
        try:
            return host.get_xattr(ref, name)
        except OSError as error:
            if linux_errno(error) not in _NONE:
                raise
            return None

    def _believed(self, mode: int, left: int | None, native: int) -> int:
        """The mode to show, of what the attributes and the host say."""
        if _stands_in(mode, native):
            return mode
        real = native & _ACCESS
        least = self._least(native)
        if real in ((left,) if left is not None else (least, mode & _ACCESS | least)):
            return native & S_IFMT | permissions(mode) | native & _SPECIAL
        return native

    def _least(self, native: int) -> int:
        """Permission bits that an object of the host always has."""
        kind = native & S_IFMT
        return self.fmode if kind == S_IFREG else self.dmode if kind == S_IFDIR else 0

    # -- making --------------------------------------------------------------------------------------------------------

    def make_symlink(self, dir: Handle, name: bytes, target: bytes, uid: int, gid: int) -> Stat:
        try:
            host.make_symlink(dir, name, target)
        except OSError as error:
            if linux_errno(error) not in _NO_LINKS:
                raise
            return super().make_symlink(dir, name, target, uid, gid)
        made = host.stat_at(dir, name)
        if made.st_mode & S_IFMT != S_IFLNK:
            raise Refused(Errno.ESTALE)  # a host process put something else there since
        return made

    def first_mode(self, mode: int) -> int:
        kind = mode & S_IFMT
        return self.fmode if kind in _STAND_INS else mode & _ACCESS | self._least(kind)

    def equip(self, ref: ObjectRef, attrs: VirtfsAttrs) -> VirtfsAttrs:
        """The umask and a default ACL may have taken bits away. A directory's SGID is inherited on
        the host, and stays.
        """
        mode = attrs.mode or 0
        found: Stat = host.stat(ref.path_handle)
        mode |= found.st_mode & _SPECIAL
        found = self._set_real(ref, found, mode)
        wanted = self._owner_attrs(attrs, found) | self._mode_attrs(mode, found)
        if mode & S_IFMT in _DEVICES:
            wanted[RDEV] = attrs.rdev
        self._apply(ref, wanted, ())
        return attrs._replace(mode=mode, rdev=wanted.get(RDEV))

    # -- changing ------------------------------------------------------------------------------------------------------

    def change(self, file: FileRef, attrs: VirtfsAttrs) -> None:
        ref = file.object_ref()
        if file.saved_attributes is not None:
            super().change(file, attrs)
            return
        found = host.stat(ref.path_handle)
        kind = found.st_mode & S_IFMT
        if kind == S_IFLNK and attrs.mode is not None:
            raise Refused(Errno.EOPNOTSUPP, "a link has no mode of its own")
        if kind not in (S_IFREG, S_IFDIR):  # no place for an owner
            attrs = attrs._replace(uid=None, gid=None)
        after = with_changes(self.attributes_of(file, found), attrs)
        if attrs != VirtfsAttrs():
            after = self._change(ref, found, attrs, after)
        now = host.stat(ref.path_handle)
        if now.st_ctime_ns == found.st_ctime_ns:  # nothing had to be changed, or ext4 was told what it had
            if attrs.mode is not None and carries_setid(now.st_mode):
                host.chmod(ref, permissions(now.st_mode))  # chown(2) would take these bits away
            else:
                host.chown(ref, -1, -1)
            now = host.stat(ref.path_handle)
        if kind != S_IFLNK:
            self._cache.store_written(now, after)

    def _change(self, ref: ObjectRef, found: Stat, attrs: VirtfsAttrs, after: Owned) -> Owned:
        """Mode, then owner: a server killed in between must not leave the new owner the old
        set-user bit. All, or all is put back.
        """
        touched = {UID: attrs.uid, GID: attrs.gid, MODE: attrs.mode, HOST_MODE: attrs.mode}
        there = self._names(ref)
        old = {name: self._value(ref, name) for name, new in touched.items() if new is not None and name in there}
        wanted: dict[bytes, int | None] = {}
        real: Stat = found
        try:
            if attrs.mode is not None:
                real = self._set_real(ref, found, after[0])
                wanted = self._mode_attrs(after[0], real)
            self._apply(ref, wanted | self._owner_attrs(attrs, found), there)
        except OSError:
            self._put_back(ref, found, {name: old.get(name) for name, new in touched.items() if new is not None})
            raise
        return (after[0] | real.st_mode & _SPECIAL, *after[1:])

    def _set_real(self, ref: ObjectRef, found: Stat, mode: int) -> Stat:
        """Give the host the bits of a mode that it can have. Where it will not (a file of another
        user, CIFS), they stay, and the attribute tells.
        """
        native = found.st_mode
        if _stands_in(mode, native):
            return found
        wanted = mode & _ACCESS | self._least(native) | native & mode & _SPECIAL
        if permissions(native) == wanted:
            return found
        try:
            host.chmod(ref, wanted)
        except OSError as error:
            if linux_errno(error) not in _NOT_OURS:
                raise
        return host.stat(ref.path_handle)

    @staticmethod
    def _mode_attrs(mode: int, found: Stat) -> dict[bytes, int | None]:
        """The attributes of a mode, None for one that must not be there. In this order a half of
        them is never believed for another mode.
        """
        if _stands_in(mode, found.st_mode):
            return {MODE: mode}
        if permissions(found.st_mode) == permissions(mode):
            return {MODE: None, HOST_MODE: None}
        return {MODE: mode, HOST_MODE: found.st_mode & _ACCESS}

    @staticmethod
    def _owner_attrs(attrs: VirtfsAttrs, found: Stat) -> dict[bytes, int | None]:
        rows = ((UID, attrs.uid, found.st_uid), (GID, attrs.gid, found.st_gid))
        return {name: None if new == native else new for name, new, native in rows if new is not None}

    @staticmethod
    def _apply(ref: ObjectRef, wanted: dict[bytes, int | None], there: Collection[bytes]) -> None:
        for name, value in wanted.items():
            if value is not None:
                host.set_xattr(ref, name, value.to_bytes(WIDTHS[name], "little"))
            elif name in there:
                try:
                    host.remove_xattr(ref, name)
                except OSError as error:
                    if linux_errno(error) is not Errno.ENODATA:
                        raise

    @staticmethod
    def _put_back(ref: ObjectRef, found: Stat, old: dict[bytes, bytes | None]) -> None:
        """The request fails with the first error either way."""
        for name, value in old.items():
            with suppress(OSError):
                if value is None:
                    host.remove_xattr(ref, name)
                else:
                    host.set_xattr(ref, name, value)
        with suppress(OSError):
            if host.stat(ref.path_handle).st_mode != found.st_mode:
                host.chmod(ref, permissions(found.st_mode))

    def drop_setid(self, file: FileRef, ref: ObjectRef) -> None:
        """First what costs little: could the host's bits or the attribute's be set? A list of names
        is a fifth of an answer that there is none.
        """
        self.drop_capability(ref)
        mode = 0
        if file.saved_attributes is not None:
            mode = file.saved_attributes[0]
        elif MODE in self._names(ref):
            mode = self._number(ref, MODE) or 0
        if carries_setid(host.stat(ref.path_handle).st_mode | permissions(mode)):
            mode = self.attributes_of(file, host.stat(file.object_ref().path_handle))[0]
            if carries_setid(mode):
                self.chmod(file, without_setid(mode))


def _stands_in(mode: int, native: int) -> bool:
    """Is a regular file of the host, which has this mode as an attribute, a device, FIFO, socket or
    link for clients?
    """
    return native & S_IFMT == S_IFREG and mode & S_IFMT in _STAND_INS


MODEL: Final = ModelType(
    "permission bits and links are real, owners and devices are kept in extended attributes: needs no root",
    MappedOptions,
    lambda options: MappedOwner(options.fmode, options.dmode).serving(options.xattrs),
)
