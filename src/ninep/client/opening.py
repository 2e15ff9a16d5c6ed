"""The mode strings of ``open`` as Linux flags."""

from __future__ import annotations

from typing import Final

from ninep.linux import O_ACCMODE, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY

_MODES: Final = {
    "r": O_RDONLY,
    "r+": O_RDWR,
    "w": O_WRONLY | O_CREAT | O_TRUNC,
    "w+": O_RDWR | O_CREAT | O_TRUNC,
    "a": O_WRONLY | O_CREAT | O_APPEND,
    "a+": O_RDWR | O_CREAT | O_APPEND,
    "x": O_WRONLY | O_CREAT | O_EXCL,
    "x+": O_RDWR | O_CREAT | O_EXCL,
}


def flags_of(mode: str | int) -> int:
    """``linux.O_*`` for ``"rb"``, ``"r+b"``, ``"wb"`` ... (integers are returned unchanged).
    ``ValueError`` for text modes and invalid strings.
    """
    if isinstance(mode, int):
        return mode
    if "b" not in mode:
        raise ValueError(f"mode {mode!r}: remote files are binary: use {mode + 'b'!r} (and io.TextIOWrapper for text)")
    base = mode.replace("b", "", 1)
    if base.endswith("+") or "+" not in base:
        flags = _MODES.get(base)
        if flags is not None:
            return flags
    raise ValueError(f"mode {mode!r} is not known")


def readable(flags: int) -> bool:
    """Whether the file is opened for reading."""
    return flags & O_ACCMODE != O_WRONLY


def writable(flags: int) -> bool:
    """Whether the file is opened for writing."""
    return flags & O_ACCMODE != O_RDONLY
