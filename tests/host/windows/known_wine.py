"""What is different under Wine, and which tests show it. A test in this list must fail there, else the list is wrong."""

import ctypes
import os
import sys
from typing import NamedTuple


class Difference(NamedTuple):
    """``on``: ``wine`` (on the Linux filesystem below) and ``wine+ntfs`` (on an NTFS image with ``file:stream`` names)."""

    reason: str
    tests: frozenset[str]
    on: frozenset[str] = frozenset({"wine", "wine+ntfs"})


DIFFERENCES: list[Difference] = []


def wine_kind() -> str:
    """``wine`` or ``wine+ntfs`` when running under Wine, else an empty string."""
    if sys.platform != "win32" or not hasattr(ctypes.WinDLL("ntdll"), "wine_get_version"):
        return ""
    return "wine+ntfs" if os.environ.get("NINEP_WINDOWS_DIR") else "wine"
