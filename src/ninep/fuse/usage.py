"""What a FUSE mount has at the moment: see ``server.usage``."""

from __future__ import annotations

from itertools import islice

from ninep.fuse.session import Session
from ninep.linux import NO_ID
from ninep.server.usage import Attached, Open, SessionInfo, mode_letters, unique


def session_info(session: Session, files: int) -> SessionInfo:
    """The session, the users whose files are open, and at most so many of these."""
    opened = list(session.opened.values())
    name = session.export.name
    users = (Attached(name, None if one.uid == NO_ID else one.uid, b"") for one in opened)
    some = [
        Open(one.entry.node.pathname, name, "dir" if one.directory is not None else mode_letters(one.flags))
        for one in islice(opened, files)
    ]
    return SessionInfo(f"FUSE 7.{session.minor}" if session.minor else "", session.max_write, unique(users), some)
