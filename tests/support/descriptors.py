"""The file descriptors of this process, for tests that say which of them are left.

What earlier tests left in reference cycles is closed whenever the garbage collector comes by: a
test that compares numbers of descriptors fails then, through no fault of its own. So the garbage
goes first, and a test asks which descriptors there are now that were not there before.
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress


def open_descriptors() -> frozenset[str]:
    """Each descriptor, and what it leads to; empty where the system has no /proc."""
    gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else ():
        with suppress(FileNotFoundError):  # that of the listing itself
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return frozenset(found)
