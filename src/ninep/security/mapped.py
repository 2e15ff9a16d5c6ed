"""What the two mapped models share: every file is the server's own, and what the client thinks it
is, is written beside it.

Links, devices, FIFOs and sockets are regular files on the host (a link holds its target), so an
ordinary user's server can keep them all. ``fmode`` and ``dmode`` are the real permissions. Native
links of the folder are shown and read as what they are.

``trusted.*`` and ``security.*`` of clients, where they are served, are
``user.virtfs.xattr.trusted.*`` and so on: to the host they mean nothing. A file capability goes
where SUID goes (as in security/commoncap.c, cap_inode_killpriv): Linux's 9P client does not see to
it when it writes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Final, NamedTuple

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, ObjectRef, Stat
from ninep.linux import (
    NAME_MAX,
    NO_ID,
    O_CREAT,
    O_EXCL,
    O_NOATIME,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    PATH_MAX,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    Errno,
)
from ninep.security.base import (
    FileRef,
    Owned,
    SecurityModel,
    carries_setid,
    creation,
    permissions,
    same,
    undo,
    without_setid,
)
from ninep.security.filesystems import Filesystems

_OPENABLE = 0o600
_WRITE: Final = 0o222
_ANYTHING: Final = 0o777
TYPES = frozenset(kind >> 12 for kind in (S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK))
"""What a type may be, shifted down to a small number."""


_GONE: Final = (Errno.ENODATA, Errno.EOPNOTSUPP)
RECORDED: Final = b"user.virtfs.xattr."
"""Before the name of a client's ``trusted.`` or ``security.`` attribute: below the prefix that the
hypervisor hides, so that its folders and ours can be served by either.
"""


class VirtfsAttrs(NamedTuple):
    """What is written about a file; None where nothing is, and the host's own value counts."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    rdev: int | None = None

    def over(self, found: Stat) -> Owned:
        """The attributes as clients see them.

        A type that contradicts the host's (a directory that is none, or none at all) was not
        written by us: the host's type counts.
        """
        uid, gid, mode, rdev = self
        native = found.st_mode
        if mode is None:
            mode = native
        elif mode >> 12 not in TYPES or (mode & S_IFMT == S_IFDIR) != (native & S_IFMT == S_IFDIR):
            mode = native & S_IFMT | permissions(mode)
        return (
            mode,
            found.st_uid if uid is None else uid,
            found.st_gid if gid is None else gid,
            host.linux_rdev(found.st_rdev) if rdev is None else rdev,
        )

    def changed(self, change: VirtfsAttrs) -> VirtfsAttrs:
        """With the fields of ``change`` that are not None."""
        return VirtfsAttrs(*(old if new is None else new for old, new in zip(self, change, strict=True)))


def known_id(number: int) -> int | None:
    """A uid or gid of a request, None where it names none."""
    return None if number in (NO_ID, -1) else number


class Mapped(SecurityModel):
    """The verbs that are the same wherever the attributes are kept."""

    plain_types: ClassVar[bool] = False
    bsd_groups: ClassVar[bool] = True
    keeps_modes: ClassVar[bool] = True

    def __init__(self, fmode: int, dmode: int) -> None:
        self.fmode = fmode & 0o777
        self.dmode = dmode & 0o777

    @abstractmethod
    def make_regular(
        self, dir: Handle, name: bytes, flags: int, content: bytes, attrs: VirtfsAttrs
    ) -> tuple[Handle, Stat]:
        """A new regular file with this content and these attributes, open; EEXIST. It appears whole
        or not at all.
        """

    def make_file(self, dir: Handle, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        attrs = VirtfsAttrs(known_id(uid), known_id(gid), S_IFREG | permissions(mode))
        return self.make_regular(dir, name, flags, b"", attrs)

    def make_symlink(self, dir: Handle, name: bytes, target: bytes, uid: int, gid: int) -> Stat:
        return self._made(dir, name, target, VirtfsAttrs(known_id(uid), known_id(gid), S_IFLNK | 0o777))

    def make_node(self, dir: Handle, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Stat:
        return self._made(dir, name, b"", VirtfsAttrs(known_id(uid), known_id(gid), mode & (S_IFMT | 0o7777), rdev))

    def _made(self, dir: Handle, name: bytes, content: bytes, attrs: VirtfsAttrs) -> Stat:
        handle, made = self.make_regular(dir, name, O_WRONLY, content, attrs)
        host.close(handle)
        return made

    @abstractmethod
    def change(self, file: FileRef, attrs: VirtfsAttrs) -> None:
        """Write the attributes that are not None: all or, on an error, none."""

    def chmod(self, file: FileRef, mode: int) -> None:
        ref = file.object_ref()
        if not ref.ignores_read_only or not mode & _WRITE or host.stat(ref.path_handle).st_mode & _WRITE:
            self.change_permissions(file, permissions(mode))
            return
        # With a write bit for clients the host's read-only attribute goes for good; without one it
        # stays as it is.
        host.chmod(ref, _ANYTHING)
        try:
            self.change_permissions(file, permissions(mode))
        except OSError:
            host.chmod(ref, _ANYTHING & ~_WRITE)
            raise

    def change_permissions(self, file: FileRef, mode: int) -> None:
        """Write the 12 bits of a mode; its type stays."""
        kind = self.attributes_of(file, host.stat(file.object_ref().path_handle))[0] & S_IFMT
        self.change(file, VirtfsAttrs(mode=kind | mode))

    def chown(self, file: FileRef, uid: int, gid: int, drop: bool) -> None:
        if uid == gid == -1:
            host.chown(file.object_ref(), -1, -1)
            return
        mode = self.attributes_of(file, host.stat(file.object_ref().path_handle))[0] if drop else 0
        if drop:
            self.drop_capability(file.object_ref())
        self.change(
            file, VirtfsAttrs(known_id(uid), known_id(gid), without_setid(mode) if carries_setid(mode) else None)
        )

    def drop_host_setid(self, ref: ObjectRef) -> None:
        """The kernel sees to it for an ordinary user; a server that is root may write and keep them
        (CAP_FSETID).
        """
        mode = host.stat(ref.path_handle).st_mode
        if carries_setid(mode):
            host.chmod(ref, without_setid(permissions(mode)))

    def drop_capability(self, ref: ObjectRef) -> None:
        """Of ``drop_setid``: the recorded file capability goes, too."""
        if self.privileged_xattrs:
            try:
                host.remove_xattr(ref, RECORDED + b"security.capability")
            except OSError as error:
                if linux_errno(error) not in _GONE:
                    raise

    def stored_name(self, name: bytes, hidden: Errno) -> bytes:
        if name.startswith(RECORDED):
            raise Refused(hidden)
        if not self.serves_privileged(name):
            return super().stored_name(name, hidden)
        if len(RECORDED) + len(name) > NAME_MAX:
            raise Refused(
                Errno.ERANGE, f"an attribute's name of {len(name)} bytes has no room behind {RECORDED.decode()}"
            )
        return RECORDED + name

    def shown_name(self, stored: bytes) -> bytes | None:
        if not stored.startswith(RECORDED):
            return None if self.serves_privileged(stored) else super().shown_name(stored)
        name = stored.removeprefix(RECORDED)
        return name if self.serves_privileged(name) else None

    def read_link(self, file: FileRef) -> bytes:
        ref = file.object_ref()
        if host.stat(ref.path_handle).st_mode & S_IFMT == S_IFLNK:
            return host.read_link(ref)
        handle = host.open_file(
            ref, O_RDONLY | O_NOATIME
        )  # Tstat of 9P2000.u reads it as well, and must change nothing
        try:
            return host.read(handle, PATH_MAX - 1, 0)
        finally:
            host.close(handle)


def draft(filesystems: Filesystems, dir: Handle, name: bytes, flags: int, fmode: int) -> tuple[Handle, bool]:
    """A new file to be filled and tagged, and whether it has its name already.

    One without a name (O_TMPFILE) is published when it is finished: it is never seen half made,
    and even a killed server leaves nothing behind. It costs 2.6 us more than O_EXCL under the final
    name (11.4 to 8.8 us for create, three attributes and close on ext4), which is the way where
    there is no such file: there a host process may see it untagged for some microseconds.
    """
    works = filesystems.unnamed(dir)
    if works or (works is None and fmode & _OPENABLE == _OPENABLE):
        handle = unnamed(dir, flags, fmode)
        if handle is not None:
            return handle, False
    return host.open_at(dir, name, creation(flags), fmode), True


def unnamed(dir: Handle, flags: int, fmode: int) -> Handle | None:
    """A file without a name, None where there are none. EPERM is ext4's word for a removed
    directory, where a name gets the true error.
    """
    try:
        return host.open_unnamed(dir, flags, fmode)
    except OSError as error:
        if linux_errno(error) in (Errno.EOPNOTSUPP, Errno.EPERM):
            return None
        raise


def fill(handle: Handle, content: bytes) -> None:
    """Write it all."""
    if content and host.write(handle, content, 0) != len(content):
        raise Refused(Errno.ENOSPC)


def stays(filesystems: Filesystems, dir: Handle, name: bytes, flags: int, handle: Handle, made: Stat) -> Handle | None:
    """A file that was published, as its handle: on a device where that was not done before, after
    it was closed, its name looked at, and opened again. None if the name was lost with the close:
    it has to be made in the other way, which is the only one there from now on.
    """
    if filesystems.unnamed(dir) is not None:
        return handle
    host.close(handle)
    try:
        there = same(host.stat_same_mount(dir, name), made)
    except OSError as error:
        if linux_errno(error) is not Errno.ENOENT:
            undo(dir, name, made)
            raise
        there = False
    filesystems.saw_unnamed(dir, there)
    if not there:
        return None
    try:
        return host.open_at(dir, name, flags & ~(O_CREAT | O_EXCL | O_TRUNC))
    except OSError:
        undo(dir, name, made)
        raise


def publish(ref: ObjectRef, dir: Handle, name: bytes, named: bool) -> None:
    """Give a finished draft its name. EEXIST."""
    if not named:
        host.make_link(ref, dir, name)
