"""``passthrough``: owner, mode and type are those of the host's files.

Needs a privileged server to give files away. An ordinary user's server makes files that belong to
that user, whichever user asked (the hypervisor's fails every create there), says so once in the
log, and refuses an explicit chown as the host does.

A file is made with its plain permission bits, then given to its owner, then gets SUID, SGID and
sticky: a chown clears those, and a file must never be SUID for the wrong user. The stat that the
driver needs anyway shows what the umask or a default ACL took away, so that a second and third call
are made only where they change something; with umask 0 (``ninep serve`` sets it) that is hardly
ever.
"""

from __future__ import annotations

import logging
from typing import ClassVar, Final

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat
from ninep.linux import NO_ID, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, Errno
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
from ninep.security.options import ModelType, RealOptions

log = logging.getLogger(__name__)

_ACCESS = 0o777
_DEVICES = frozenset({S_IFCHR, S_IFBLK})


class Passthrough(SecurityModel):
    """The host's own attributes."""

    name: ClassVar[str] = "passthrough"

    def __init__(self, *, devices: bool = False) -> None:
        self.devices = devices
        """Clients may make device nodes: real ones, which every process of the host with access to
        the folder can open.
        """
        self._privileged = host.privileged()
        self._warned = False

    def attributes_of(self, file: FileRef, found: Stat) -> Owned:
        rdev = found.st_rdev
        return found.st_mode, found.st_uid, found.st_gid, host.linux_rdev(rdev) if rdev else 0

    # -- making --------------------------------------------------------------------------------------------------------

    def make_file(self, dir: Handle, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        handle = host.open_at(dir, name, creation(flags), mode & _ACCESS)
        try:
            made: Stat = host.stat(handle)
            if self._differs(made, mode, uid, gid):
                made = self._finish(ObjectRef(handle, dir, name), made, mode, uid, gid)
        except OSError:
            undo(dir, name, host.stat(handle))
            host.close(handle)
            raise
        return handle, made

    def make_unnamed(self, dir: Handle, flags: int, mode: int, uid: int, gid: int) -> tuple[Handle, Stat]:
        handle = host.open_unnamed(dir, flags, mode & _ACCESS)
        try:
            made: Stat = host.stat(handle)
            if self._differs(made, mode, uid, gid):
                made = self._finish(ObjectRef(handle, NO_HANDLE, b""), made, mode, uid, gid)
        except OSError:
            host.close(handle)
            raise
        return handle, made

    def make_dir(self, dir: Handle, name: bytes, mode: int, uid: int, gid: int) -> Stat:
        host.make_dir(dir, name, mode & _ACCESS)
        return self._finish_named(dir, name, S_IFDIR, mode, uid, gid)

    def make_symlink(self, dir: Handle, name: bytes, target: bytes, uid: int, gid: int) -> Stat:
        host.make_symlink(dir, name, target)
        return self._finish_named(dir, name, S_IFLNK, None, uid, gid)

    def make_node(self, dir: Handle, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Stat:
        if not self.devices and mode & S_IFMT in _DEVICES:
            raise Refused(Errno.EPERM, "this export has no device nodes")
        host.make_node(dir, name, mode & (S_IFMT | _ACCESS), rdev)
        return self._finish_named(dir, name, mode & S_IFMT, mode, uid, gid)

    def _finish_named(self, dir: Handle, name: bytes, kind: int, mode: int | None, uid: int, gid: int) -> Stat:
        """The same for what cannot be made open: look at the name, and path handle it only if
        something is left to do.
        """
        made = host.stat_at(dir, name)
        if made.st_mode & S_IFMT != kind:
            raise Refused(Errno.ESTALE)  # a host process put something else there since
        if not self._differs(made, mode, uid, gid):
            return made
        try:
            path_handle = host.open_path(dir, name)
            try:
                if not same(host.stat(path_handle), made):
                    raise Refused(Errno.ESTALE)
                return self._finish(ObjectRef(path_handle, dir, name), made, mode, uid, gid)
            finally:
                host.close(path_handle)
        except OSError:
            undo(dir, name, made)
            raise

    @staticmethod
    def _differs(made: Stat, mode: int | None, uid: int, gid: int) -> bool:
        if uid not in (NO_ID, made.st_uid) or gid not in (NO_ID, made.st_gid):
            return True
        return mode is not None and permissions(made.st_mode) != permissions(mode)

    def _finish(self, ref: ObjectRef, made: Stat, mode: int | None, uid: int, gid: int) -> Stat:
        """Owner, then mode; the caller removes the file again if that fails."""
        if uid not in (NO_ID, made.st_uid) or gid not in (NO_ID, made.st_gid):
            self._give(ref, uid, gid)
        if mode is not None and permissions(host.stat(ref.path_handle).st_mode) != permissions(mode):
            host.chmod(ref, permissions(mode))
        return host.stat(ref.path_handle)

    def _give(self, ref: ObjectRef, uid: int, gid: int) -> None:
        """The owner of a new file."""
        try:
            host.chown(ref, -1 if uid == NO_ID else uid, -1 if gid == NO_ID else gid)
        except OSError as error:
            if linux_errno(error) is not Errno.EPERM or self._privileged:
                raise
            if not self._warned:
                self._warned = True
                log.warning(
                    "not privileged: new files belong to the user who runs the server, whichever user makes them"
                )

    # -- changing ------------------------------------------------------------------------------------------------------

    def chmod(self, file: FileRef, mode: int) -> None:
        host.chmod(file.object_ref(), permissions(mode))

    def chown(self, file: FileRef, uid: int, gid: int, drop: bool) -> None:
        """Linux drops the bits itself, for every user (fs/open.c chown_common); macOS does for
        users without privileges.
        """
        ref = file.object_ref()
        host.chown(ref, uid, gid)
        if drop:
            self.drop_setid(file, ref)

    def drop_setid(self, file: FileRef, ref: ObjectRef) -> None:
        """The kernel does this itself when the server has no privileges (CAP_FSETID): then there is
        nothing left to see here.
        """
        mode = host.stat(ref.path_handle).st_mode
        if carries_setid(mode):
            try:
                host.chmod(file.object_ref(), permissions(without_setid(mode)))
            except OSError as error:
                # Another user's file that we may write, and no right to chmod it: then the kernel
                # drops them with the change itself.
                if linux_errno(error) is not Errno.EPERM:
                    raise


MODEL: Final = ModelType(
    "all is real: run the server as root",
    RealOptions,
    lambda options: Passthrough(devices=options.devices).serving(options.xattrs),
)
