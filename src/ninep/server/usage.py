"""What a client has at the moment, for ``status`` and ``metrics``: in the same words whatever it
speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import islice
from typing import NamedTuple

from ninep.linux import NO_ID, O_ACCMODE, O_APPEND, O_RDONLY, O_WRONLY
from ninep.server.observer import Resources
from ninep.server.session import Session

LOOKED_AT = 1000
"""So many fids are looked at for the users of a client: it may have a million."""


class Arrival(NamedTuple):
    """When a connection was admitted, and as which."""

    number: int
    """Counts up from 1, in each process."""
    time: float
    """Seconds since 1970."""


class Attached(NamedTuple):
    """A user of a client."""

    export: str
    uid: int | None
    """None: the client gave a name alone."""
    uname: bytes


class Open(NamedTuple):
    """Something that a client has open."""

    path: bytes
    """From the root of the export, as far as it is known."""
    export: str
    mode: str
    """``r``, ``w``, ``rw``, each perhaps with ``a`` for appending; ``dir``."""


class SessionInfo(NamedTuple):
    """What a session is."""

    dialect: str
    msize: int
    users: Sequence[Attached]
    open: Sequence[Open]


class Activity(NamedTuple):
    """What a connection has done, and what it waits for."""

    requests: int
    """So far."""
    paused: Sequence[str]
    """Why nothing is read from it at the moment."""
    in_threads: Sequence[tuple[str, float]]
    """What worker threads are busy with: types of requests, and when each began (``time.monotonic``)."""


def activity_of(requests: int, reasons: Iterable[Enum], running: Iterable[tuple[str, object]]) -> Activity:
    """Of the reasons of ``flow``, and the requests in threads with their futures."""
    began = [(name, getattr(future, "began", 0.0)) for name, future in running]
    return Activity(requests, sorted(reason.name for reason in reasons), began)


def resources_of(session: Session) -> Resources:
    """What a session of 9P has of the server's budgets."""
    return Resources(len(session.fids), len(session.opened), len(session.listing), session.xattr_bytes)


def session_info(session: Session, files: int) -> SessionInfo:
    """A session of 9P, and at most so many of its open files."""
    some = list(islice(list(session.fids.values()), LOOKED_AT))  # worker threads change it, but not while it is copied
    attached = (
        Attached(one.export.name, None if one.user.uid == NO_ID else one.user.uid, one.user.uname) for one in some
    )
    opened = (
        Open(one.node.pathname, one.export.name, "dir" if one.directory is not None else mode_letters(one.flags))
        for one in islice([*session.opened, *session.idle] if files else (), files)
    )
    return SessionInfo(session.dialect.value.decode(), session.msize, unique(attached), list(opened))


def unique(users: Iterable[Attached]) -> list[Attached]:
    """Each once, in order."""
    return list(dict.fromkeys(users))


def mode_letters(flags: int) -> str:
    """Flags of open(2) in letters."""
    access = flags & O_ACCMODE
    letters = "r" if access == O_RDONLY else "w" if access == O_WRONLY else "rw"
    return letters + ("a" if flags & O_APPEND else "")
