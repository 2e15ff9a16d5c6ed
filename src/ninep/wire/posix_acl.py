"""POSIX ACLs as ``system.posix_acl_access`` and ``_default`` carry them: the layout of the kernel's
``include/uapi/linux/posix_acl_xattr.h``.

A version (2) in four bytes, then entries of tag[2] perm[2] id[4], little-endian. Only entries for a
named user or group have an id; the others keep all ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct, error
from typing import Final, NamedTuple

ACCESS: Final = b"system.posix_acl_access"
DEFAULT: Final = b"system.posix_acl_default"
NAMES: Final = frozenset({ACCESS, DEFAULT})
USER_OBJ: Final = 0x01
USER: Final = 0x02
GROUP_OBJ: Final = 0x04
GROUP: Final = 0x08
MASK: Final = 0x10
OTHER: Final = 0x20
_VERSION: Final = (2).to_bytes(4, "little")
_ENTRY: Final = Struct("<HHI")


class AclEntry(NamedTuple):
    """``struct posix_acl_xattr_entry``."""

    tag: int
    perm: int
    id: int


def unpack(acl: bytes) -> list[AclEntry]:
    """The entries. ValueError for a value that is not an ACL."""
    if acl[:4] != _VERSION:
        raise ValueError("not an ACL of version 2")
    try:
        return [AclEntry._make(entry) for entry in _ENTRY.iter_unpack(acl[4:])]
    except error:
        raise ValueError("an ACL that is cut off") from None


def pack(entries: Iterable[AclEntry]) -> bytes:
    """The reverse."""
    return _VERSION + b"".join(_ENTRY.pack(*entry) for entry in entries)
