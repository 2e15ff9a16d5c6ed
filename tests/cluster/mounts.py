"""FUSE mounts of programs of others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def needs_fuse() -> None:
    """Skip where this process cannot mount by FUSE."""
    if os.geteuid() or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("needs root and /dev/fuse")


def is_mounted(at: Path) -> bool:
    """Whether a file system is mounted there."""
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        return any(line.split()[4] == str(at) for line in lines)


@contextmanager
def unmounted(at: Path) -> Iterator[None]:
    """Whatever is mounted there is unmounted at the end, used or not."""
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False, capture_output=True)
