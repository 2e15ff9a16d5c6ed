"""The ids inside POSIX ACLs (``wire.posix_acl``), translated between a client and a driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ninep.errors import Refused, linux_errno
from ninep.linux import NO_ID, Errno
from ninep.node import Node
from ninep.wire import posix_acl

ACL_NAMES: Final = posix_acl.NAMES
_NONE: Final = frozenset({Errno.ENODATA, Errno.EOPNOTSUPP})
_GONE: Final = frozenset({Errno.ENOENT, Errno.ESTALE})


class EntryIds(Protocol):
    """How a policy translates the ids of entries, and of owners."""

    def shown_uid(self, uid: int) -> int:
        """The client's uid for one of the driver."""

    def shown_gid(self, gid: int) -> int:
        """The client's gid for one of the driver."""

    def given_uid(self, uid: int) -> int:
        """The driver's owner of a new file, for the uid that the client gave."""

    def given_gid(self, gid: int) -> int:
        """The same for the group."""


def acl_of(node: Node, name: bytes) -> bytes:
    """The ACL of a file; empty if there is none."""
    try:
        return node.getxattr(name)
    except OSError as error:
        if linux_errno(error) not in _NONE:
            raise
        return b""


def default_above(node: Node) -> bytes:
    """The default ACL of the directory that a file is in; empty if there is none."""
    try:
        directory = node.parent()
    except OSError as error:
        if linux_errno(error) not in _GONE:
            raise
        return b""  # it was removed: it inherits nothing
    try:
        return acl_of(directory, posix_acl.DEFAULT)
    finally:
        directory.release()


def given_acl(value: bytes, stored: bytes, default: Callable[[], bytes], ids: EntryIds) -> bytes:
    """The ACL that a client gives to a file which has the ACL ``stored`` (empty: none), with the driver's
    ids. ``default``: the default ACL of the directory.
    """
    if not stored:
        above = default()
        stored = above if _inherited(value, above, ids) else b""
    return translate(
        value,
        keeping(stored, posix_acl.USER, ids.shown_uid, ids.given_uid),
        keeping(stored, posix_acl.GROUP, ids.shown_gid, ids.given_gid),
    )


def keeping(stored: bytes, tag: int, shown: Callable[[int], int], given: Callable[[int], int]) -> Callable[[int], int]:
    """``given`` for ids of a new ACL, but for those that the ``stored`` one has as ``shown``: an entry
    that is sent back (chmod(2), setfacl(1) -m, what was inherited) is the user or group that it was,
    also where no client could name it. ``tag``: of the entries that it is about.
    """
    there: dict[int, list[int]] = {}
    try:
        entries = posix_acl.unpack(stored)
    except ValueError:
        return given
    for entry in entries:
        if entry.tag == tag:
            there.setdefault(shown(entry.id), []).append(entry.id)

    def find(number: int) -> int:
        kept = there.get(number)  # several, of ids that are shown as one: in their order
        return kept.pop(0) if kept else given(number)

    return find


def _inherited(value: bytes, default: bytes, ids: EntryIds) -> bool:
    """Are its named users and groups those of the default ACL, as a client sees them? So a client's
    kernel makes the ACL of a new file (posix_acl_create of fs/posix_acl.c).
    """
    ways = {posix_acl.USER: ids.shown_uid, posix_acl.GROUP: ids.shown_gid}
    try:
        given, there = posix_acl.unpack(value), posix_acl.unpack(default)
    except ValueError:
        return False
    named = sorted(entry for entry in given if entry.tag in ways)
    return named == sorted(entry._replace(id=ways[entry.tag](entry.id)) for entry in there if entry.tag in ways)


def translate(acl: bytes, uid: Callable[[int], int], gid: Callable[[int], int]) -> bytes:
    """The ACL with every id put through ``uid`` or ``gid``. EINVAL for a value that is not an ACL,
    and for an entry with the id -1, as in Linux's fs/posix_acl.c (posix_acl_from_xattr).
    """
    try:
        entries = posix_acl.unpack(acl)
    except ValueError as error:
        raise Refused(Errno.EINVAL, str(error)) from None
    ways = {posix_acl.USER: uid, posix_acl.GROUP: gid}
    if any(entry.tag in ways and entry.id == NO_ID for entry in entries):
        raise Refused(Errno.EINVAL, "an ACL with an entry for no id")
    return posix_acl.pack(
        entry._replace(id=ways[entry.tag](entry.id)) if entry.tag in ways else entry for entry in entries
    )
