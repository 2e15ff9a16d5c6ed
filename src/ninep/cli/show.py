r"""The format of names, sizes, modes and times on a terminal.

Names come from a server and can contain control characters and escape sequences, which would
control the terminal; they are shown as ``\xNN``. On a pipe, names are written unchanged.
"""

from __future__ import annotations

import stat
import time
from typing import Final

_UNITS: Final = "KMGTPE"
_MONTHS: Final = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)  # in every locale
_HALF_A_YEAR: Final = 182 * 86400


def printable(text: str) -> str:
    """The text with everything that is not printable escaped."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def human(size: int) -> str:
    """A number of bytes in at most five characters: ``999``, ``1.5K``, ``20M``."""
    if size < 1024:
        return str(size)
    value = size / 1024
    step = 0
    while value >= 1023.5 and step < len(_UNITS) - 1:
        value /= 1024
        step += 1
    unit = _UNITS[step]
    return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"


def mode_text(mode: int) -> str:
    """``drwxr-xr-x``."""
    return stat.filemode(mode)


def when(seconds: float, now: float | None = None) -> str:
    """A time as in ``ls -l``: with the hour if it is within half a year, otherwise with the year.
    Local time.
    """
    try:
        local = time.localtime(seconds)
    except (OverflowError, ValueError, OSError):
        return str(int(seconds))
    near = abs((time.time() if now is None else now) - seconds) < _HALF_A_YEAR
    month = _MONTHS[local.tm_mon - 1]
    return (
        f"{month} {local.tm_mday:2d} {local.tm_hour:02d}:{local.tm_min:02d}"
        if near
        else f"{month} {local.tm_mday:2d}  {local.tm_year}"
    )


def exactly(nanoseconds: int) -> str:
    """A time in full: ``2024-05-01 12:00:00.123456789 +0200``."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    try:
        local = time.localtime(seconds)
    except (OverflowError, ValueError, OSError):
        return f"{seconds}.{rest:09d}"
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)}.{rest:09d} {time.strftime('%z', local)}"
