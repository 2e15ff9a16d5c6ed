"""The features of a driver. Missing features are tested as well: they must be refused, not half
done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kept = Literal["kept", "ignored", "refused"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The defaults are those of a full file system of Linux."""

    symlinks: bool = True
    hard_links: bool = True
    fifos: bool = True
    """FIFOs and sockets."""
    devices: bool = True
    """Character and block devices."""
    xattrs: bool = True
    """Extended attributes of the ``user.`` namespace."""
    acls: bool = True
    """``system.posix_acl_access`` and ``_default``."""
    owners: Kept = "kept"
    """Files can have any uid and gid. ``ignored``: the verb succeeds and changes nothing (QEMU's
    ``none``)."""
    link_owners: bool = True
    """A symbolic link has its own owner and group; otherwise it has those of its directory, and a
    chown of it succeeds and changes nothing."""
    modes: bool = True
    """All twelve permission bits are stored."""
    root_keeps_setid: bool = True
    """A write by uid 0 does not change SUID and SGID."""
    allocation: bool = True
    """``allocate`` reserves space, and makes holes (FALLOC_FL_PUNCH_HOLE)."""
    holes: bool = True
    """``seek`` finds holes of 64 KiB and more."""
    copies: bool = True
    """``copy_file_range`` copies between files of one tree."""
    no_replace: bool = True
    """``rename`` with RENAME_NOREPLACE."""
    exchange: bool = True
    """``rename`` with RENAME_EXCHANGE."""
    unnamed: bool = True
    """Files without a name (``tmpfile``)."""
    any_bytes: bool = True
    """Names may be any bytes, not only UTF-8."""
    case_sensitive: bool = True
    name_max: int = 255
    """The length of the longest name, in bytes."""
    link_max: int = 4095
    """The length of the longest target of a symbolic link, in bytes."""
    xattr_max: int = 1000
    """An extended attribute of this many bytes can be stored."""
    time_step: int = 1
    """The resolution of stored times, in nanoseconds."""
