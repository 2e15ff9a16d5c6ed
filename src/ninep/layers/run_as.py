"""Each attached user's requests with that user's own rights on the host: uid, gid and supplementary
groups. Linux, as root.

For ``passthrough`` on a machine whose users are the clients' users (diod's default). The host's
kernel then checks permissions; without this layer only the client's kernel does.

Rules

* The user is the one of Tattach: n_uname, else uname looked up in the host's user database. A user
  that is not in it cannot attach (EPERM). The identity is fixed at the attach and kept as numbers
  of the host (``User.identity``): later requests have it, whatever name or number was used.
* ``Squash`` layers of the same export apply to the user of the host that was found, whether they
  stand below or above this one. ``always`` makes all users the same user.
* Every verb that may touch the host runs inside ``become``, in whichever thread it runs; nothing
  else does. ``clone``, ``release`` and ``close`` give handles back, which needs no rights.
* What is made belongs to the user, whatever owner the client names; its group is the one the client
  names if the user is in it, else the host's choice. Root can name any owner.
* It makes verbs dearer: the kernel makes new credentials for each change of groups, ids or
  capabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ninep.errors import Refused, linux_errno
from ninep.host import _credentials as credentials
from ninep.layers import LayerType, Settings
from ninep.layers.base import Around, AroundFile
from ninep.layers.id_map import Squash, no_real_privileges
from ninep.linux import NO_ID, Errno
from ninep.node import Buffer, Changes, Identity, Node, OpenFile, Qid, User
from ninep.options import FLAG, BadOption, OptionSet, option

_FREE: Final = frozenset({"clone", "release", "file.close", "dir.close"})


class RunAs:
    """The layer.

    Args:
        always: run all requests as this user.

    Raises:
        Refused: EPERM if this process cannot become other users.
    """

    def __init__(self, always: Identity | None = None) -> None:
        if not credentials.supported():
            raise Refused(Errno.EPERM, "run-as-user needs root on Linux")
        self._always = always

    owners: Final = "run as the user"
    """How owners are translated, for messages."""

    def identify(self, user: User, layers: Sequence[object] = ()) -> User:
        """The user with its identity, for all layers of an export. EPERM for a user that the host
        does not have, unless all users are squashed.
        """
        squashes = [layer for layer in layers if isinstance(layer, Squash)]
        identity = self._always or next((squash.anonymous for squash in squashes if squash.all_users), None)
        if identity is None:
            identity = self._identity(user)
            for squash in squashes:
                identity = squash.squashed(identity)
        return user._replace(identity=identity)

    def __call__(self, root: Node, user: User) -> Node:
        """Wrap a root. EPERM for a user that the host does not have."""
        return RunAsNode(root, self, self._always or user.identity or self._identity(user))

    @staticmethod
    def _identity(user: User) -> Identity:
        if user.uid != NO_ID:
            return credentials.identity_of(user.uid)
        if user.uname:
            return credentials.identity_named(user.uname)
        raise Refused(Errno.EPERM, "the client names no user")


class RunAsNode(Around):
    """A node as one user."""

    __slots__ = ("identity",)

    def __init__(self, inner: Node, layer: object, identity: Identity) -> None:
        super().__init__(inner, layer)
        self.identity = identity

    def wrap(self, inner: Node) -> RunAsNode:
        return RunAsNode(inner, self.layer, self.identity)

    def _owner(self, uid: int, gid: int) -> tuple[int, int]:
        identity = self.identity
        if identity.uid == 0:
            return uid, gid
        return NO_ID, gid if gid == identity.gid or gid in identity.groups else NO_ID

    def getxattr(self, name: bytes) -> bytes:
        value: bytes = super().getxattr(name)
        if name.startswith(b"trusted.") and self.identity.uid:
            raise Refused(Errno.ENODATA, "trusted attributes are root's")
        return value

    def listxattr(self) -> Sequence[bytes]:
        names = super().listxattr()
        return [name for name in names if not name.startswith(b"trusted.")] if self.identity.uid else names

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        self._check_set(name)
        super().setxattr(name, value, flags)

    def removexattr(self, name: bytes) -> None:
        self._check_set(name)
        super().removexattr(name)

    def _check_set(self, name: bytes) -> None:
        """EPERM, where the kernel would not say it: it asks for capabilities that do not go with
        the uid (capabilities(7), CAP_SYS_ADMIN and CAP_SETFCAP), and a thread that acts as a user
        still has them.
        """
        if self.identity.uid and name.startswith((b"trusted.", b"security.")):
            try:
                super().getxattr(name)
            except OSError as error:
                if linux_errno(error) is Errno.EOPNOTSUPP:
                    raise
            raise Refused(Errno.EPERM, f"{name!r} is root's to set")

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return RunAsFile(file, self)

    def setattr(self, changes: Changes) -> None:
        super().setattr(changes._replace(by=self.identity.uid))

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:  # noqa: ARG002 - the identity is fixed
        return super().open(flags, self.identity.uid)

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        return super().create(name, flags, mode, *self._owner(uid, gid))

    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        return super().tmpfile(flags, mode, *self._owner(uid, gid))

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        return super().mkdir(name, mode, *self._owner(uid, gid))

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        return super().symlink(name, target, *self._owner(uid, gid))

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        return super().mknod(name, mode, rdev, *self._owner(uid, gid))

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002 - whatever they are
        if verb in _FREE:
            return call()
        with credentials.become(self.identity):
            return call()


class RunAsFile(AroundFile):
    """A file of one user."""

    __slots__ = ()
    node: RunAsNode

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:  # noqa: ARG002 - the identity is fixed
        return super().write(offset, data, self.node.identity.uid)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:  # noqa: ARG002
        return super().write_from(offset, buffers, self.node.identity.uid)

    def truncate(self, size: int, by: int = NO_ID) -> None:  # noqa: ARG002
        super().truncate(size, self.node.identity.uid)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:  # noqa: ARG002
        super().allocate(mode, offset, length, self.node.identity.uid)

    def copy_file_range(
        self,
        offset: int,
        target: OpenFile,
        target_offset: int,
        count: int,
        by: int = NO_ID,  # noqa: ARG002
    ) -> int:
        return super().copy_file_range(offset, target, target_offset, count, self.node.identity.uid)


@dataclass(frozen=True, kw_only=True)
class RunAsOptions(OptionSet):
    """Whether an export has the layer."""

    run_as_user: bool = option(
        False,
        FLAG,
        "Do each request with the rights of the user that attached, as this machine knows that "
        "user (passthrough, as root, on Linux).",
        group="Access and users",
    )


def _make(options: RunAsOptions, export: Settings) -> RunAs | None:
    if not options.run_as_user:
        return None
    if export.model != "passthrough":
        raise BadOption(f"run-as-user needs the security model passthrough: {export.model} keeps owners itself")
    if export.get("map_uids") or export.get("map_gids"):
        raise BadOption("run-as-user and map-uids exclude each other: the host has to know the ids of the users")
    no_real_privileges(export)
    return RunAs()


LAYER: Final = LayerType(100, RunAsOptions, _make)
