"""The ids inside POSIX ACLs (``wire.posix_acl``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.wire import posix_acl

ACL_NAMES: Final = posix_acl.NAMES


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
