"""POSIX ACLs and the mode of a file, kept together: what Linux does in fs/posix_acl.c for a file
system of its own, and leaves to the server of a FUSE mount with ``POSIX_ACL``.

The kernel of the mount checks permissions by the ACLs that it reads. Here they follow the mode and the
mode follows them (acl(5)), and what is made gets them from its directory, in every security model:
where the host's files have real ACLs, the host has done it already, and nothing is left to do.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ninep.errors import Refused, linux_errno
from ninep.fuse.session import Session
from ninep.linux import GETATTR_BASIC, PERMISSIONS, S_IFDIR, S_IFLNK, S_IFMT, S_ISGID, Errno
from ninep.node import Changes, Node
from ninep.server.steps import Steps
from ninep.wire import posix_acl
from ninep.wire.fuse import Init
from ninep.wire.posix_acl import ACCESS, DEFAULT, GROUP, GROUP_OBJ, MASK, OTHER, USER, USER_OBJ, AclEntry

_RWX: Final = 0o7
_ACCESS_BITS: Final = 0o777
_SHIFT: Final = {USER_OBJ: 6, GROUP_OBJ: 3, OTHER: 0}
_NAMED: Final = frozenset({USER, GROUP})
_ONCE: Final = frozenset({USER_OBJ, GROUP_OBJ, OTHER})
_NONE: Final = frozenset({Errno.ENODATA, Errno.EOPNOTSUPP})


def served(session: Session) -> bool:
    """The kernel of this mount keeps ACLs."""
    return bool(session.flags & Init.POSIX_ACL)


def parse(value: bytes) -> list[AclEntry]:
    """EINVAL for what is no ACL (posix_acl_valid)."""
    try:
        entries = posix_acl.unpack(value)
    except ValueError as error:
        raise Refused(Errno.EINVAL, str(error)) from None
    tags = [entry.tag for entry in entries]
    named = any(tag in _NAMED for tag in tags)
    if (
        any(tags.count(tag) != 1 for tag in _ONCE)
        or tags.count(MASK) > 1
        or (named and MASK not in tags)
        or not set(tags) <= _ONCE | _NAMED | {MASK}
        or any(entry.perm & ~_RWX for entry in entries)
    ):
        raise Refused(Errno.EINVAL, "an ACL whose entries do not fit together")
    return entries


def is_mode(entries: list[AclEntry]) -> bool:
    """It says no more than the permission bits."""
    return len(entries) == len(_ONCE)


def mode_of(entries: list[AclEntry]) -> int:
    """The permission bits that an ACL shows: for the group, its mask (posix_acl_equiv_mode)."""
    perm = {entry.tag: entry.perm for entry in entries if entry.tag not in _NAMED}
    return perm[USER_OBJ] << 6 | perm.get(MASK, perm[GROUP_OBJ]) << 3 | perm[OTHER]


def with_mode(entries: list[AclEntry], mode: int) -> list[AclEntry]:
    """After a chmod (posix_acl_chmod)."""
    group = MASK if any(entry.tag == MASK for entry in entries) else GROUP_OBJ
    perm = {USER_OBJ: mode >> 6 & _RWX, group: mode >> 3 & _RWX, OTHER: mode & _RWX}
    return [entry._replace(perm=perm.get(entry.tag, entry.perm)) for entry in entries]


def _get(node: Node, name: bytes) -> list[AclEntry] | None:
    try:
        return parse(node.getxattr(name))
    except OSError as error:
        if linux_errno(error) not in _NONE | {Errno.EINVAL}:
            raise
        return None


class Inherited:
    """What something new gets from its directory: its mode, and the ACLs to be given to it."""

    __slots__ = ("_acls", "_directory", "_name", "mode")

    def __init__(self, session: Session, directory: Node, name: bytes | None, mode: int, umask: int) -> None:
        self._directory = directory
        self._name = name
        self.mode = mode
        """Without the umask, or as the default ACL of the directory has it (posix_acl_create)."""
        self._acls: list[tuple[bytes, bytes]] = []
        if not served(session):
            return  # the kernel has taken the umask off
        entries = _get(directory, DEFAULT) if mode & S_IFMT != S_IFLNK else None
        if entries is None:
            self.mode &= ~umask
            return
        if mode & S_IFMT == S_IFDIR:
            self._acls.append((DEFAULT, posix_acl.pack(entries)))
        shown = mode & mode_of(entries) & _ACCESS_BITS
        self.mode = mode & ~_ACCESS_BITS | shown
        if not is_mode(entries):
            self._acls.append((ACCESS, posix_acl.pack(with_mode(entries, shown))))

    def give(self, node: Node) -> None:
        """To what was made, which goes again if that fails."""
        try:
            for name, value in self._acls:
                node.setxattr(name, value, 0)
        except OSError:
            if self._name is not None:
                with suppress(OSError):
                    self._directory.unlink(self._name, self.mode & S_IFMT == S_IFDIR)
            raise


def changed_mode(session: Session, node: Node, mode: int) -> None:
    """After a chmod: its ACL says the same."""
    if not served(session) or mode & S_IFMT == S_IFLNK:
        return
    entries = _get(node, ACCESS)
    if entries is not None and (after := with_mode(entries, mode)) != entries:
        node.setxattr(ACCESS, posix_acl.pack(after), 0)


def set_access(node: Node, value: bytes, flags: int, *, drop_sgid: bool) -> None:
    """SETXATTR of an access ACL: the ACL, unless the mode says it all, and then the mode. A mode that
    allows more before the ACL is there would give it to others.
    """
    entries, step = parse(value), Steps()
    if not is_mode(entries):
        step(node.setxattr, ACCESS, value, flags)
    else:
        try:
            step(node.removexattr, ACCESS)
        except OSError as error:
            if linux_errno(error) not in _NONE:
                raise
    before = step(node.getattr, GETATTR_BASIC).mode & PERMISSIONS
    after = before & ~_ACCESS_BITS | mode_of(entries)
    if drop_sgid:
        after &= ~S_ISGID
    if after != before:
        step(node.setattr, Changes(mode=after, by=0))
