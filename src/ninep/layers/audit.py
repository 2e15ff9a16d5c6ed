"""A record for each change that a client makes, and for each that it may not make (``ninep.audit``).

======== =======================================================================================
level    what is recorded
======== =======================================================================================
off      nothing
denials  what is refused with EACCES, EPERM or EROFS, by whatever is inside: policy, host, driver
changes  attaches, names that are made, removed or moved, owners, modes, sizes and times that are
         set, extended attributes, and denials
opens    the same, and each file or directory that is opened
======== =======================================================================================

It is the outermost layer, so that it sees what the client asked for and what the client is told.
Paths are those from the root of the export as far as they are known (``Node.pathname``): a directory
that a program of the host has moved may still have its old one. Data are not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from ninep import audit
from ninep.audit import text
from ninep.errors import linux_errno
from ninep.layers import LayerType, Settings
from ninep.layers.base import Wrapper
from ninep.linux import NO_ID, O_ACCMODE, O_RDONLY, O_WRONLY, Errno
from ninep.node import Changes, Node, OpenDir, OpenFile, Qid, User
from ninep.options import OptionSet, choice, option

T = TypeVar("T")
OFF, DENIALS, CHANGES, OPENS = LEVELS = ("off", "denials", "changes", "opens")
DENIED: Final = frozenset({Errno.EACCES, Errno.EPERM, Errno.EROFS})
_ACCESS: Final = {O_RDONLY: "read", O_WRONLY: "write"}


class Audited(Wrapper):
    """A node whose changes are recorded."""

    __slots__ = ("who",)
    layer: Audit

    def __init__(self, inner: Node, layer: object, who: dict[str, Any]) -> None:
        super().__init__(inner, layer)
        self.who = who

    def wrap(self, inner: Node) -> Audited:
        return Audited(inner, self.layer, self.who)

    def _do(self, action: str, path: bytes, call: Callable[[], T], least: int = 2, **fields: Any) -> T:
        """Call, and record it. ``WouldBlock`` is no outcome: the call is repeated."""
        try:
            result = call()
        except OSError as error:
            code = linux_errno(error)
            if code in DENIED:
                audit.record(action, code.name, **self.who, path=text(path), **fields)
            raise
        if self.layer.level >= least:
            audit.record(action, **self.who, path=text(path), **fields)
        return result

    def _in(self, name: bytes) -> bytes:
        return self.inner.pathname.rstrip(b"/") + b"/" + name

    # -- what is recorded if it is refused -------------------------------------------------------------------------------

    def walk(self, name: bytes) -> Node:
        try:
            return super().walk(name)
        except OSError as error:
            code = linux_errno(error)
            if code in DENIED:
                audit.record("walk", code.name, **self.who, path=text(self._in(name)))
            raise

    # -- what is opened --------------------------------------------------------------------------------------------------

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        access = _ACCESS.get(flags & O_ACCMODE, "read and write")
        return self._do(
            "open", self.inner.pathname, lambda: super(Audited, self).open(flags, by), 3, access=access, by=_id(by)
        )

    def opendir(self) -> OpenDir:
        return self._do("opendir", self.inner.pathname, super().opendir, 3)

    # -- what is changed -------------------------------------------------------------------------------------------------

    def setattr(self, changes: Changes) -> None:
        given = {key: value for key, value in changes._asdict().items() if value is not None and value is not False}
        by = given.pop("by", NO_ID)
        if "mode" in given:
            given["mode"] = f"{given['mode']:o}"
        self._do("setattr", self.inner.pathname, lambda: super(Audited, self).setattr(changes), by=_id(by), set=given)

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        call = lambda: super(Audited, self).create(name, flags, mode, uid, gid)  # noqa: E731 - super() needs the class
        return self._do("create", self._in(name), call, mode=f"{mode:o}", by=_id(uid))

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        call = lambda: super(Audited, self).mkdir(name, mode, uid, gid)  # noqa: E731
        return self._do("mkdir", self._in(name), call, mode=f"{mode:o}", by=_id(uid))

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        call = lambda: super(Audited, self).symlink(name, target, uid, gid)  # noqa: E731
        return self._do("symlink", self._in(name), call, to=text(target), by=_id(uid))

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        call = lambda: super(Audited, self).mknod(name, mode, rdev, uid, gid)  # noqa: E731
        return self._do("mknod", self._in(name), call, mode=f"{mode:o}", by=_id(uid))

    def link(self, target: Node, name: bytes) -> None:
        self._do("link", self._in(name), lambda: super(Audited, self).link(target, name), to=text(target.pathname))

    def unlink(self, name: bytes, directory: bool) -> None:
        self._do("remove", self._in(name), lambda: super(Audited, self).unlink(name, directory))

    def remove(self) -> None:
        self._do("remove", self.inner.pathname, super().remove)

    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        to = text(newdir.pathname.rstrip(b"/") + b"/" + newname)
        self._do("rename", self._in(name), lambda: super(Audited, self).rename(name, newdir, newname, flags), to=to)

    def move(self, newdir: Node | None, newname: bytes) -> None:
        above = self.inner.pathname.rpartition(b"/")[0] if newdir is None else newdir.pathname
        to = text(above.rstrip(b"/") + b"/" + newname)
        self._do("rename", self.inner.pathname, lambda: super(Audited, self).move(newdir, newname), to=to)

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        call = lambda: super(Audited, self).setxattr(name, value, flags)  # noqa: E731
        self._do("setxattr", self.inner.pathname, call, attribute=text(name))

    def removexattr(self, name: bytes) -> None:
        self._do(
            "removexattr", self.inner.pathname, lambda: super(Audited, self).removexattr(name), attribute=text(name)
        )


def _id(uid: int) -> int | None:
    return None if uid == NO_ID else uid


class Audit:
    """The layer of one export."""

    outermost: Final = True
    """It records refusals of all others."""

    def __init__(self, level: str, export: str) -> None:
        self.level = LEVELS.index(level)
        self._export = export

    def __call__(self, root: Node, user: User) -> Node:
        who: dict[str, Any] = {
            "export": self._export,
            "peer": user.peer,
            "uid": _id(user.uid),
            "uname": text(user.uname) or None,
        }
        who = {key: value for key, value in who.items() if value is not None}
        if self.level >= LEVELS.index(CHANGES):
            audit.record("attach", **who)
        return Audited(root, self, who)


@dataclass(frozen=True, kw_only=True)
class AuditOptions(OptionSet):
    """How much is recorded."""

    audit: str = option(
        OFF,
        choice(LEVELS),
        "What of an export is recorded in the audit log: refusals, changes too, opens too.",
        group="Logging and metrics",
    )


def _make(options: AuditOptions, export: Settings) -> Audit | None:
    return None if options.audit == OFF else Audit(options.audit, export.name)


LAYER: Final = LayerType(1000, AuditOptions, _make)
