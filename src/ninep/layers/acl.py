"""The ids inside POSIX ACLs, as ``system.posix_acl_access`` and ``_default`` carry them.

The layout is that of the kernel's ``include/uapi/linux/posix_acl_xattr.h``: a version (2) in four
bytes, then entries of tag[2] perm[2] id[4], little-endian. Only entries for a named user or group
have an id; the others keep all ones.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Final

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno

ACL_NAMES: Final = frozenset({b"system.posix_acl_access", b"system.posix_acl_default"})
_VERSION: Final = (2).to_bytes(4, "little")
_ENTRY: Final = Struct("<HHI")
_USER: Final = 0x02
_GROUP: Final = 0x08


def translate(acl: bytes, uid: Callable[[int], int], gid: Callable[[int], int]) -> bytes:
    """The ACL with every id put through ``uid`` or ``gid``. EINVAL for a value that is not an ACL,
    and for an entry with the id -1, as in Linux's fs/posix_acl.c (posix_acl_from_xattr).
    """
    if acl[:4] != _VERSION:
        raise Refused(Errno.EINVAL, "not an ACL of version 2")
    try:
        entries = list(_ENTRY.iter_unpack(acl[4:]))
    except error:
        raise Refused(Errno.EINVAL, "an ACL that is cut off") from None
    ways = {_USER: uid, _GROUP: gid}
    if any(tag in ways and number == NO_ID for tag, _, number in entries):
        raise Refused(Errno.EINVAL, "an ACL with an entry for no id")
    return _VERSION + b"".join(
        _ENTRY.pack(tag, permissions, ways[tag](number) if tag in ways else number)
        for tag, permissions, number in entries
    )
