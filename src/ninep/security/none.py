"""``none``: as passthrough, but an owner or a mode that the host will not set is no error.

For folders of an ordinary user, where a guest's root unpacks archives and installs packages:
everything belongs to the user who runs the server and the guest is told that its chown succeeded.
POSIX ACLs are not served (QEMU 9p-xattr.c, none_xattr_ops), since they would name users the host
does not have.
"""

from __future__ import annotations

from typing import ClassVar, Final

from ninep.errors import linux_errno
from ninep.host import ObjectRef
from ninep.linux import Errno
from ninep.security.base import FileRef
from ninep.security.options import ModelType, RealOptions
from ninep.security.passthrough import Passthrough


class Unowned(Passthrough):
    """The host's own attributes, as far as it lets us."""

    name: ClassVar[str] = "none"

    def _give(self, ref: ObjectRef, uid: int, gid: int) -> None:
        try:
            super()._give(ref, uid, gid)
        except OSError as error:
            if linux_errno(error) is not Errno.EPERM:
                raise

    def chmod(self, file: FileRef, mode: int) -> None:
        try:
            super().chmod(file, mode)
        except OSError as error:
            if linux_errno(error) is not Errno.EPERM:
                raise

    def chown(self, file: FileRef, uid: int, gid: int, drop: bool) -> None:
        try:
            super().chown(file, uid, gid, drop)
        except OSError as error:
            if linux_errno(error) is not Errno.EPERM:
                raise

    def serves(self, name: bytes) -> bool:
        return name.startswith(b"user.") or self.serves_privileged(name)


MODEL: Final = ModelType(
    "as passthrough, but what the host does not permit is ignored: plain files of the server's user",
    RealOptions,
    lambda options: Unowned(devices=options.devices).serving(options.xattrs),
)
