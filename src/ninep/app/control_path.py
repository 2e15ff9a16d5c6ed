"""The paths of control sockets: of a server that begins, and of those that are running.

A server's socket is ``PID.sock`` in the runtime folder of its user, unless the option ``control``
names another path. A server with workers has one socket for all, and each worker one of its own
beside it, ``PATH.PID``, by which whichever of them is asked asks the others.

On Windows it is a named pipe, whose name has the process id, too: the processes that are running are asked for theirs.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from ninep.host.process_user import own_uid
from ninep.host.runtime_paths import PIPES, pipe_of, pipes_of_servers, runtime_folder, runtime_folders
from ninep.host.windows import pipes
from ninep.options import BadOption
from ninep.transport.peers import unix_peer

NONE: Final = "none"
_SERVER: Final = re.compile(r"([0-9]{1,10})\.sock")
_WORKER: Final = re.compile(r"\.([0-9]{1,10})")


def parse_control(text: str) -> str:
    """The path of a socket (on Windows: of a pipe), or ``none``."""
    if text != NONE and PIPES and (not text.startswith(pipes.PREFIX) or "\\" in text[len(pipes.PREFIX) :]):
        raise BadOption(f"{text!r}: write the name of a pipe, {pipes.PREFIX}NAME, or {NONE}")
    if text != NONE and not PIPES and not text.startswith("/"):
        raise BadOption(f"{text!r}: write the whole path of a socket, or {NONE}")
    return text


def usual_places() -> str:
    """Where the sockets or pipes of servers are, for people."""
    places = [f"{pipes.PREFIX}ninep-PID"] if PIPES else runtime_folders()
    return ", ".join(places) or "this system has no usual place for it"


def check_owner(sock: Any, *, worker: bool = False) -> None:
    """``PermissionError`` unless the program that listens at the other end is this user's or root's: in a
    folder that others may write in, they can make sockets, too. Root asks every user's server. ``worker``:
    it should be one of the same server, so this user's.
    """
    owner, own = unix_peer(sock).uid, own_uid()
    if owner != own and (worker or (own and owner)):
        raise PermissionError(errno.EACCES, f"user {owner} listens there, who is neither you nor root")


def default_path() -> str | None:
    """Where this process would have its socket; the folder is made. None if there is no place, or
    it is not this user's alone.
    """
    if PIPES:
        return pipe_of(os.getpid())
    folder = runtime_folder()
    if folder is None:
        return None
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != own_uid() or found.st_mode & 0o022:
        return None
    return f"{folder}/{os.getpid()}.sock"


def path_of_server(beside: str, pid: int) -> str:
    """Where another process has the socket that this one has at ``beside``."""
    return f"{os.path.dirname(beside)}/{pid}.sock"


def worker_path(path: str, pid: int) -> str:
    """Where a worker has its own socket."""
    return f"{path}.{pid}"


def worker_paths(path: str) -> dict[int, str]:
    """The sockets of the workers of a server, by their process ids."""
    folder, name = os.path.split(path)
    found = {}
    for entry in _entries(folder):
        match = _WORKER.fullmatch(entry.removeprefix(name)) if entry.startswith(name) else None
        if match is not None:
            found[int(match[1])] = f"{folder}/{entry}"
    return found


def server_paths(folders: Iterable[str] | None = None) -> dict[int, str]:
    """The sockets in the usual places, by the process ids of their servers, which may be gone."""
    if PIPES and folders is None:
        return pipes_of_servers()
    found: dict[int, str] = {}
    for folder in runtime_folders() if folders is None else folders:
        for entry in _entries(folder):
            match = _SERVER.fullmatch(entry)
            if match is not None:
                found.setdefault(int(match[1]), f"{folder}/{entry}")
    return dict(sorted(found.items()))


def _entries(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
