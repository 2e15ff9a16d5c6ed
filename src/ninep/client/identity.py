"""Who this process says it is: the defaults of an attach, of new files and of locks. Hosts without numeric users say "nobody in particular"."""

from __future__ import annotations

import os
import socket
from functools import cache

from ninep.linux import NO_ID


def user_name() -> str:
    """The user's name as the environment has it, else ``nobody``."""
    for variable in ("USER", "LOGNAME", "USERNAME"):
        if name := os.environ.get(variable):
            return name
    return "nobody"


def user_id() -> int:
    """The user's number, or ``linux.NO_ID`` on hosts that have none."""
    getuid = getattr(os, "getuid", None)
    return getuid() if getuid else NO_ID


def group_id() -> int:
    """The group that new files get, or ``linux.NO_ID``: the server decides."""
    getgid = getattr(os, "getgid", None)
    return getgid() if getgid else NO_ID


@cache
def lock_owner() -> bytes:
    """The ``client_id`` of this host's locks: its name, as the Linux client sends."""
    return socket.gethostname().encode("utf-8", "surrogateescape")
