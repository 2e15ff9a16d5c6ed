"""Defaults for the user of an attach, the group of new files and the owner of locks. Hosts without
numeric users send ``NO_ID``.
"""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import suppress
from functools import cache
from importlib import import_module

from ninep.linux import NO_ID


def user_name() -> str:
    """The user's name: from the environment, otherwise from the user database, otherwise the
    number. Services and containers often have no ``USER``, and a server that identifies users by
    name would take an invented one for another user.
    """
    for variable in ("USER", "LOGNAME") if hasattr(os, "getuid") else ("USERNAME",):
        if name := os.environ.get(variable):
            return name
    asked = (_name_of_uid,) if hasattr(os, "getuid") else (getpass.getuser, os.getlogin)
    for ask in asked:
        with suppress(OSError, KeyError, ImportError):  # depends on the release of Python and on the host
            if name := ask():
                return name
    return str(user_id())


def _name_of_uid() -> str:
    """In the user database. Not by ``getpass``, which believes more variables than POSIX names."""
    name: str = import_module("pwd").getpwuid(user_id()).pw_name
    return name


def user_id() -> int:
    """The user's number, or ``linux.NO_ID`` on hosts that have none."""
    getuid = getattr(os, "getuid", None)
    return getuid() if getuid else NO_ID


def group_id() -> int:
    """The group for new files, or ``linux.NO_ID``: the server decides."""
    getgid = getattr(os, "getgid", None)
    return getgid() if getgid else NO_ID


@cache
def lock_owner() -> bytes:
    """The ``client_id`` of this host's locks: its host name, as the Linux client sends."""
    return socket.gethostname().encode("utf-8", "surrogateescape")
