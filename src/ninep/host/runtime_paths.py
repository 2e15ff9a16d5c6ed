"""Where each system keeps what belongs to a running program: its sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

from ninep.host.windows import pipes

_Variables = Mapping[str, str]
_FOLDER: Final = "ninep"
PIPES: Final = sys.platform == "win32"
"""Programs of a user meet at named pipes (``host.windows.pipes``): Python has no unix sockets there."""


def runtime_folder(environ: _Variables = os.environ) -> str | None:
    """The folder for sockets of a server that this user starts; None where the system has no place
    that only its user can get at (macOS, a session without systemd), or has no such sockets (Windows).

    systemd.exec(5), RuntimeDirectory=; XDG Base Directory Specification.
    """
    own = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if own.startswith("/"):
        return own
    users = environ.get("XDG_RUNTIME_DIR", "")
    return f"{users}/{_FOLDER}" if users.startswith("/") else None


def runtime_folders(system: str = sys.platform, environ: _Variables = os.environ) -> list[str]:
    """Where to look for servers that are running: this user's, then those of the machine."""
    own = runtime_folder(environ)
    machine = [f"/run/{_FOLDER}"] if system not in {"win32", "darwin"} else []
    return list(dict.fromkeys([*([own] if own else []), *machine]))


def pipe_of(pid: int) -> str:
    """The named pipe of a server, by its process id."""
    return f"{pipes.PREFIX}{_FOLDER}-{pid}"


def pipes_of_servers() -> dict[int, str]:
    """The pipes of processes that are running, by their ids."""
    found = {pid: pipe_of(pid) for pid in pipes.process_ids()}
    return {pid: path for pid, path in found.items() if pipes.exists(path)}
