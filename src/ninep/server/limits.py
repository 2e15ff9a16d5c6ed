"""How much one client, and all clients together, may ask for. Defaults are generous for a guest and bounded for a stranger."""

from __future__ import annotations

from dataclasses import dataclass

MIN_MSIZE = 4096
"""Below this a client cannot be served: Linux refuses it too, and a Rgetattr with a 255-byte name must fit."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond a limit the client gets the errno named; others are not disturbed."""

    msize: int = 1 << 20 | 24
    """The largest message, both ways; a client that asks for more gets this."""
    fids: int = 1 << 20
    """Fids of one connection (ENFILE)."""
    open_files: int = 1 << 16
    """Files and directories that one connection holds open (EMFILE)."""
    xattr_bytes: int = 16 << 20
    """Bytes of extended attributes that one connection holds in fids, read or announced (ENOSPC)."""
    in_flight: int = 512
    """Requests of one connection in worker threads or waiting for one; beyond it nothing more is read."""
    bytes_in_flight: int = 64 << 20
    """What those requests and their replies may take together, each counted as a whole msize; beyond it nothing more is read."""
    threads: int = 16
    """Worker threads that one connection may keep busy; the rest of the server's are left to others."""
    locks: int = 8192
    """Byte ranges that one connection holds locked in an export (ENOLCK)."""
