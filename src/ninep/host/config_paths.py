"""Where each system keeps configuration files: the user's own, then that of the whole machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

_Variables = Mapping[str, str]
NAME: Final = "ninep.toml"


def _home(environ: _Variables) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _linux(environ: _Variables) -> list[str]:
    """XDG Base Directory Specification: a relative path in the variable is to be ignored."""
    own = environ.get("XDG_CONFIG_HOME", "")
    return [f"{own if own.startswith('/') else f'{_home(environ)}/.config'}/ninep/{NAME}", f"/etc/ninep/{NAME}"]


def _darwin(environ: _Variables) -> list[str]:
    return [f"{_home(environ)}/Library/Application Support/ninep/{NAME}", f"/etc/ninep/{NAME}"]


def _windows(environ: _Variables) -> list[str]:
    folders = (environ.get("APPDATA", ""), environ.get("PROGRAMDATA", ""))
    return [f"{folder}\\ninep\\{NAME}" for folder in folders if folder]


_SYSTEMS: Final[Mapping[str, Callable[[_Variables], list[str]]]] = {"darwin": _darwin, "win32": _windows}


def config_paths(system: str = sys.platform, environ: _Variables = os.environ) -> list[str]:
    """The paths to look at, in this order, whether there is a file or not."""
    return _SYSTEMS.get(system, _linux)(environ)


def service_log(name: str, environ: _Variables = os.environ) -> str:
    """Where a service of Windows logs."""
    return "\\".join((environ.get("PROGRAMDATA", "C:\\ProgramData"), "ninep", f"{name}.log"))
