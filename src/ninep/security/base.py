"""What a security model decides: how owner, permissions and type of a file are kept on the host,
and what hangs on that.

A model is a class; verbs never ask which one it is. It works on handles and single names of
``ninep.host`` and on ``FileRef``: a file of the local driver, of which it sees as little as this
page says. It knows no fids and no qids, and opens no path.

Rules every model keeps:

* what a client makes appears with its attributes or not at all; what fails is undone, and only what
  was made here is undone;
* an existing file is never touched by a create;
* the type of a file is never changed by a chmod;
* nothing follows a link.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Protocol, Self, TypeAlias

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, ObjectRef, Stat, Volume
from ninep.linux import O_CREAT, O_EXCL, PERMISSIONS, S_IFDIR, S_IFMT, S_ISGID, S_ISUID, S_IXGRP, Errno
from ninep.node import check_may_wait
from ninep.security.filesystems import Filesystems

Owned: TypeAlias = tuple[int, int, int, int]
"""mode (with its file type), uid, gid and rdev (Linux layout) as clients see them."""

ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")
PRIVILEGED = (b"trusted.", b"security.")
"""Namespaces of attributes by which a kernel gives rights or keeps its own records (xattr(7)):
overlayfs, file capabilities, labels.
"""


class FileRef(Protocol):
    """A file as a model sees it: one node of the local driver."""

    saved_attributes: Owned | None
    """What a model must remember of a file whose name is gone (see ``mapped_file``)."""

    def save_attributes(self, owned: Owned | None) -> None:
        """Set ``saved_attributes``; None: what the host and the records say counts again."""

    def object_ref(self) -> ObjectRef:
        """What the host's verbs want of it."""

    def location(self, found: Stat | None = None) -> tuple[Handle, bytes] | None:
        """The directory it is in, and its name there (``/`` for the export's root), looked at just
        now; None if that does not lead to it. ``found``: its stat of this moment, whose ctime may
        make the look unnecessary.
        """

    def is_still_at(self, dir: Handle, name: bytes) -> bool:
        """Does a name that was its location lead to it now?"""


class Unsuitable(Exception):
    """The folder's filesystem cannot keep what the model needs; the text is for the person who
    starts the server.
    """


class SecurityModel(ABC):
    """One way to keep ownership. ``uid`` and ``gid`` of the make verbs: ``linux.NO_ID`` leaves that
    one to the host.
    """

    name: ClassVar[str]
    reserved_names: ClassVar[tuple[bytes, ...]] = ()
    """Names the model keeps for itself: EINVAL for clients, hidden in listings."""
    plain_types: ClassVar[bool] = True
    """The type of a regular file, as a listing shows it, is its type for clients too."""
    bsd_groups: ClassVar[bool] = False
    """Owners are only recorded: a new file whose group a dialect cannot name gets its directory's
    (``Node.bsd_groups``).
    """
    keeps_modes: ClassVar[bool] = False
    """Modes are only recorded: an attribute of the host that forbids writing does not count
    (``host.Place``).
    """
    opens_records: ClassVar[bool] = False
    """``attributes_of`` opens files of its own for a moment."""
    filesystems: Filesystems
    """What is known of those that its files are on."""
    privileged_xattrs: bool = False
    """Attributes of ``PRIVILEGED`` are served: for real, with all that they mean on the host, where
    owners are, else recorded under other names.
    """

    def __new__(cls, *_: object, **__: object) -> Self:
        """Each its own, whatever its class makes of ``__init__``."""
        model = super().__new__(cls)
        model.filesystems = Filesystems()
        return model

    def serving(self, xattrs: str) -> Self:
        """The same with the attributes that the option ``xattrs`` names: ``user`` or ``all``."""
        self.privileged_xattrs = xattrs == "all"
        return self

    def check(self, volume: Volume) -> None:
        """Raise ``Unsuitable`` if the export's filesystem will not do."""

    # -- names ---------------------------------------------------------------------------------------------------------

    def check_name(self, name: bytes) -> None:
        """EINVAL for a name that the model keeps for itself. Asked before any use of a client's
        name.
        """

    def is_reserved(self, name: bytes) -> bool:
        """Is this entry left out of listings?"""
        return False

    # -- looking -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def attributes_of(self, file: FileRef, found: Stat) -> Owned:
        """The attributes as clients see them. ``found`` is what the host says of the file at
        this moment.
        """

    def links(self, file: FileRef, found: Stat) -> int:
        """The link count as clients see it."""
        return found.st_nlink

    def read_link(self, file: FileRef) -> bytes:
        """The target of what ``attributes_of`` calls a link. EINVAL otherwise."""
        return host.read_link(file.object_ref())

    # -- making --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def make_file(self, dir: Handle, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        """A new regular file, open as ``flags`` (``linux.O_*``) say, and its stat. EEXIST if the
        name is taken.
        """

    def make_unnamed(self, dir: Handle, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        """As ``make_file``, of a file that has no name yet; ``make_link`` gives it one. EOPNOTSUPP."""
        raise Refused(Errno.EOPNOTSUPP)

    @abstractmethod
    def make_dir(self, dir: Handle, name: bytes, mode: int, uid: int, gid: int) -> Stat:
        """A new directory."""

    @abstractmethod
    def make_symlink(self, dir: Handle, name: bytes, target: bytes, uid: int, gid: int) -> Stat:
        """A new symbolic link."""

    @abstractmethod
    def make_node(self, dir: Handle, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Stat:
        """A new device, FIFO, socket or regular file, as the type bits of ``mode`` say."""

    def make_link(self, file: FileRef, dir: Handle, name: bytes) -> None:
        """Another name for the file."""
        host.make_link(file.object_ref(), dir, name)

    # -- moving and removing -------------------------------------------------------------------------------------------

    def rename(self, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
        """Move an entry, replacing what is there, as the system call of that name does. ``flags``:
        ``linux.RENAME_*``, or EINVAL.
        """
        host.rename(olddir, oldname, newdir, newname, flags)

    def unlink(self, dir: Handle, name: bytes, directory: bool) -> None:
        """Take an entry away: EISDIR, ENOTDIR, ENOTEMPTY."""
        (host.remove_dir if directory else host.remove_file)(dir, name)

    def forget(self, file: FileRef) -> None:
        """The file's name is about to be removed or replaced, while clients still hold it."""

    # -- changing ------------------------------------------------------------------------------------------------------

    @abstractmethod
    def chmod(self, file: FileRef, mode: int) -> None:
        """The low 12 bits of ``mode``."""

    @abstractmethod
    def chown(self, file: FileRef, uid: int, gid: int, drop: bool) -> None:
        """Owner and group; -1 leaves one alone, both -1 just move ctime. ``drop``: SUID goes, and
        SGID where the group may execute.
        """

    @abstractmethod
    def drop_setid(self, file: FileRef, ref: ObjectRef) -> None:
        """A user other than root is about to change the contents: SUID goes, and SGID where the
        group may execute.

        ``ref``: the file's, or ``ObjectRef(handle, NO_HANDLE, b"")`` of an open handle, which
        costs less.
        """

    def drop_host_setid(self, ref: ObjectRef) -> None:
        """A user, root or not, is about to change the contents, for the first time through this open
        handle. Where SUID and SGID are only recorded for clients (``keeps_modes``), the host's own
        go: they would give the rights of the host's user to what a guest writes.
        """

    # -- extended attributes -------------------------------------------------------------------------------------------

    def serves(self, name: bytes) -> bool:
        """Is this a name that clients may see and set?"""
        return name.startswith(b"user.") or name in ACLS or self.serves_privileged(name)

    def serves_privileged(self, name: bytes) -> bool:
        """Is it one of ``PRIVILEGED``, and are those served?"""
        return self.privileged_xattrs and name.startswith(PRIVILEGED) and name not in PRIVILEGED

    def stored_name(self, name: bytes, hidden: Errno) -> bytes:
        """The host's name of a client's attribute. EOPNOTSUPP for one that is not served,
        ``hidden`` for one that the model keeps for itself.
        """
        del hidden
        if not self.serves(name):
            raise Refused(Errno.EOPNOTSUPP)
        return name

    def shown_name(self, stored: bytes) -> bytes | None:
        """The client's name of an attribute of the host, None if it has none."""
        return stored if self.serves(stored) else None

    def get_xattr(self, file: FileRef, name: bytes) -> bytes:
        """ENODATA, EOPNOTSUPP."""
        return host.get_xattr(file.object_ref(), self.stored_name(name, Errno.ENODATA))

    def list_xattrs(self, file: FileRef) -> Sequence[bytes]:
        """The names that ``get_xattr`` answers."""
        shown = map(self.shown_name, host.list_xattrs(file.object_ref()))
        return [name for name in shown if name is not None]

    def set_xattr(self, file: FileRef, name: bytes, value: bytes, flags: int) -> None:
        """EEXIST and ENODATA by ``flags`` (``linux.XATTR_*``), EOPNOTSUPP."""
        host.set_xattr(file.object_ref(), self.stored_name(name, Errno.EACCES), value, flags)

    def remove_xattr(self, file: FileRef, name: bytes) -> None:
        """ENODATA, EOPNOTSUPP."""
        host.remove_xattr(file.object_ref(), self.stored_name(name, Errno.EACCES))


# -- what the models share ---------------------------------------------------------------------------------------------


def creation(flags: int) -> int:
    """Open flags of a create that must make the file itself."""
    return flags | O_CREAT | O_EXCL


def without_setid(mode: int) -> int:
    """A mode as the kernel leaves it when a user other than root writes (inode.c,
    setattr_should_drop_suidgid).
    """
    mode &= ~S_ISUID
    return mode & ~S_ISGID if mode & S_IXGRP else mode


def carries_setid(mode: int) -> bool:
    """Would ``without_setid`` change this mode?"""
    return bool(mode & (S_ISUID | S_ISGID)) and mode & S_IFMT != S_IFDIR and without_setid(mode) != mode


def permissions(mode: int) -> int:
    """The 12 bits of a mode that a chmod may change."""
    return mode & PERMISSIONS


def same(one: Stat, other: Stat) -> bool:
    """Is this the same object of the host?"""
    return one.st_ino == other.st_ino and one.st_dev == other.st_dev


def stat_entry(dir: Handle, name: bytes) -> Stat:
    """What a name leads to; what is mounted there, which may not answer, only in a thread that may
    wait.
    """
    found = find_entry(dir, name)
    if found is None:
        raise Refused(Errno.ENOENT)
    return found


def find_entry(dir: Handle, name: bytes) -> Stat | None:
    """The same, None for ENOENT."""
    try:
        return host.find_same_mount(dir, name)
    except OSError as error:
        if linux_errno(error) is not Errno.EXDEV:
            raise
    check_may_wait()
    return host.stat_at(dir, name)


def _look(dir: Handle, name: bytes) -> Stat:
    """Without waiting for what may be mounted there, which takes a handle; if the process has none,
    the name is asked all the same: what is left half made would be there for good.
    """
    try:
        return host.stat_same_mount(dir, name)
    except OSError as error:
        if linux_errno(error) not in (Errno.EMFILE, Errno.ENFILE):
            raise
    return host.stat_at(dir, name)


def undo(dir: Handle, name: bytes, made: Stat) -> None:
    """Remove what we just made and could not finish, if the name still leads to it."""
    try:
        if same(_look(dir, name), made):
            (host.remove_dir if made.st_mode & S_IFMT == S_IFDIR else host.remove_file)(dir, name)
    except OSError:
        return  # the request already fails with the error that matters; a host process took the name away
