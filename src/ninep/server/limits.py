"""How much one client, and all clients together, may ask for: one table. Defaults are generous for
a guest and bounded for a client that is not trusted.

Beyond a limit the client gets the errno named, or is not read from until there is room, or its
connection is closed and that is logged. No other client is disturbed: what all have together
(``all_*``) is had beyond a promise that each connection keeps (see ``budgets``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from ninep.errors import Refused
from ninep.linux import NAME_MAX, Errno
from ninep.options import BadOption, read_amount
from ninep.wire.codec import DIRENT_SIZE, IOHDRSZ

SMALLEST_MSIZE = 256
"""What a client must take: whatever has no string in it fits (the largest is an Rwalk of 16 qids,
217 bytes), and errors with their words. 9front asks for no less either. A name or a link target may
not fit: EMSGSIZE; a record of a listing that does not is left out.
"""
SMALLEST_LINUX_MSIZE = DIRENT_SIZE + NAME_MAX + IOHDRSZ
"""The same in 9P2000.L, whose listings end at an entry that fits in no reply: any fits in this."""
MIN_MSIZE = 4096
"""What a server may be told to take at most: Linux's client refuses one that takes less. A request
in flight is counted as this at least, because it takes more memory than its bytes.
"""


class BadLimit(ValueError):
    """A limit that cannot be; the message says why."""


class OverLimit(Refused):
    """A request is beyond a limit: one of ``Limits``, by the name of its field."""

    def __init__(self, limit: str, code: Errno, words: str) -> None:
        super().__init__(code, words)
        self.limit = limit


def _limit(default: float, beyond: str, meaning: str, low: float = 1) -> Any:
    """A row: ``beyond`` is what happens then, ``low`` the least value that makes sense."""
    return field(default=default, metadata={"beyond": beyond, "meaning": meaning, "low": low})


@dataclass(frozen=True, slots=True)
class Limits:
    """See the module. Counts, bytes and seconds; a time of 0 is no limit."""

    # of one connection
    msize: int = _limit(1 << 20 | 24, "less is agreed on", "bytes of a message, both ways", MIN_MSIZE)
    fids: int = _limit(1 << 20, "ENFILE", "fids of a connection")
    open_files: int = _limit(1 << 16, "EMFILE", "files and directories that a connection has open")
    directories: int = _limit(1 << 10, "EMFILE", "directories among them: a part of each listing is kept in memory")
    xattr_bytes: int = _limit(16 << 20, "ENOSPC", "bytes of extended attributes in fids, read or announced", 1 << 17)
    in_flight: int = _limit(512, "not read from", "requests of a connection in worker threads, or waiting for one")
    bytes_in_flight: int = _limit(64 << 20, "not read from", "bytes of those, each taken as a whole msize")
    threads: int = _limit(16, "waits", "worker threads that a connection keeps busy; there are 64")
    locks: int = _limit(8192, "ENOLCK", "byte ranges that a connection holds locked in an export")
    # of all connections together
    connections: int = _limit(1024, "closed", "connections; one that has not attached makes room for a new one")
    peer_connections: int = _limit(
        512,
        "closed",
        "connections of one peer: an IPv4 address, an IPv6 /64, this computer's loopback, a user, a virtual machine",
    )
    reserved_connections: int = _limit(
        64, "closed", "connections, of all, kept for peers that have fewer than 4; a sixteenth of all at most", 0
    )
    all_fids: int = _limit(1 << 21, "ENFILE", "fids of all connections")
    all_open_files: int = _limit(
        1 << 17,
        "EMFILE",
        "open files of all connections, but those only read; no more than half of the handles there are",
    )
    all_directories: int = _limit(1 << 12, "EMFILE", "open directories of all connections")
    all_xattr_bytes: int = _limit(64 << 20, "ENOSPC", "bytes of extended attributes of all connections", 1 << 17)
    all_bytes_in_flight: int = _limit(256 << 20, "not read from", "bytes in flight of all connections")
    # seconds
    version_within: float = _limit(10.0, "closed", "seconds from connecting to Tversion", 0)
    attach_within: float = _limit(30.0, "closed", "seconds from connecting to the first Tattach", 0)
    idle: float = _limit(
        0.0, "closed", "seconds without a whole request or a reply taken; 0: a mount may rest for ever", 0
    )

    def __post_init__(self) -> None:
        """Refuse values with which no client could be served."""
        for row in fields(self):
            value = getattr(self, row.name)
            if value < row.metadata["low"]:
                raise BadLimit(f"{option_name(row.name)}={value:g}: at least {row.metadata['low']:g} is needed")

    def share(self, count: int) -> Limits:
        """What each of ``count`` processes gets of what all have together."""
        together = {
            row.name: max(row.metadata["low"], getattr(self, row.name) // count)
            for row in fields(self)
            if _is_shared(row.name)
        }
        return replace(self, **together)

    def fit(self, handles: int) -> Limits:
        """For a process that may have so many handles: a quarter of them for connections, half for
        open files, the rest for walking.
        """
        return replace(
            self,
            connections=min(self.connections, max(1, handles // 4)),
            all_open_files=min(self.all_open_files, max(1, handles // 2)),
        )


def _is_shared(name: str) -> bool:
    return name.startswith("all_") or name.endswith("connections")


ROWS: Final = {row.name.replace("_", "-"): row for row in fields(Limits)}
"""By the name that people write."""


def option_name(field_name: str) -> str:
    """As people write it."""
    return field_name.replace("_", "-")


def parse_limit(text: str) -> tuple[str, float]:
    """``NAME=VALUE`` as field name and number; K, M and G are powers of 1024."""
    name, equals, value = text.partition("=")
    row = ROWS.get(name)
    if not equals or row is None:
        raise BadLimit(f"{text!r}: write NAME=VALUE; the names are {', '.join(ROWS)}")
    try:
        amount = read_amount(value)
    except BadOption as error:
        raise BadLimit(f"{text!r}: {value!r} is not a number") from error
    return row.name, amount if isinstance(row.default, float) else int(amount)


def limit_value(name: str, given: object) -> float:
    """The value of a limit by the name that people write, from a number or text; ``BadLimit``
    without the name.
    """
    row = ROWS[name]
    if isinstance(given, str):
        try:
            amount = read_amount(given)
        except BadOption as error:
            raise BadLimit(f"{given!r} is not a number") from error
    elif isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
        amount = given
    else:
        raise BadLimit(f"{given!r} is not a number")
    if not isinstance(row.default, float) and amount != int(amount):
        raise BadLimit(f"{given!r} is not a whole number")
    low = row.metadata["low"]
    if amount < low:
        raise BadLimit(f"{given!r}: at least {low:g} is needed")
    return amount if isinstance(row.default, float) else int(amount)
