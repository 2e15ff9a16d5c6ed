"""Small disks for tests to fill, to break and to take away: tmpfs, and ext4 in a file. Mounting
needs root.

    with tmpfs(folder, size="1m") as disk: ...
    with ext4(folder, image, megabytes=4) as disk: ...

A folder is unmounted at the end whatever was done to it. ``Unavailable`` where the system lets
nobody mount: tests skip then and say so.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem: needs root")


def run(*argv: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)


def mount(folder: Path, *argv: object) -> None:
    """Mount, or skip the test with what mount(8) said."""
    folder.mkdir(exist_ok=True)
    done = run("mount", *argv, folder)
    if done.returncode:
        pytest.skip(f"cannot mount {argv}: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    """At once, though it may be in use."""
    run("umount", "-l", folder)


@contextmanager
def mounted(folder: Path, *argv: object) -> Iterator[Path]:
    mount(folder, *argv)
    try:
        yield folder
    finally:
        unmount(folder)


@contextmanager
def tmpfs(folder: Path, options: str = "size=1m") -> Iterator[Path]:
    with mounted(folder, "-t", "tmpfs", "-o", options, "tmpfs") as disk:
        yield disk


def make_image(image: Path, megabytes: int, *options: str) -> None:
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    made = run("mkfs.ext4", "-q", "-F", "-m", "0", *options, image)
    if made.returncode:
        pytest.skip(f"no ext4 image: {made.stderr.strip()}")


@contextmanager
def ext4(folder: Path, image: Path, megabytes: int = 4, mkfs: Sequence[str] = ()) -> Iterator[Path]:
    make_image(image, megabytes, *mkfs)
    with mounted(folder, "-o", "loop", image) as disk:
        yield disk


def fill(disk: Path) -> Path:
    """Until not a byte more goes in."""
    ballast = disk / "ballast"
    handle = os.open(ballast, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        size = 1 << 16
        while size:
            try:
                os.write(handle, b"\0" * size)
            except OSError:
                size //= 2
        os.fsync(handle)
    finally:
        os.close(handle)
    return ballast


def consistent(image: Path) -> str:
    """What e2fsck says of an image that is not mounted; empty if it is clean."""
    done = run("e2fsck", "-f", "-n", image)
    return "" if done.returncode == 0 else done.stdout + done.stderr
