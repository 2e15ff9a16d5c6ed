"""What a driver says it can keep. What it says it has not is tested as well: it must be refused, not half done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kept = Literal["kept", "ignored", "refused"]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The defaults are those of a full POSIX file system behind an honest host."""

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
    """Any uid and gid can be given to a file. ``ignored``: the verb succeeds and nothing changes (QEMU's ``none``)."""
    link_owners: bool = True
    """A symbolic link has an owner and a group of its own; else it has those of its directory, and a chown of it succeeds and changes nothing."""
    modes: bool = True
    """All twelve permission bits are kept."""
    root_keeps_setid: bool = True
    """A write by uid 0 leaves SUID and SGID alone."""
    any_bytes: bool = True
    """Names may be any bytes, not just UTF-8."""
    case_sensitive: bool = True
    name_max: int = 255
    """The longest name, in bytes."""
    link_max: int = 4095
    """The longest target of a symbolic link, in bytes."""
    xattr_max: int = 1000
    """A value of this many bytes can be stored."""
    time_step: int = 1
    """Times are kept in units of this many nanoseconds."""
