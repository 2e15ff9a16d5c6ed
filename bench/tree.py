"""The directory tree for the workloads.

All data is made here, so that servers differ in nothing but themselves.  The small files have the
attributes of the mapped-xattr model: that model then has something to read, and the others have the
same inodes.
"""

from __future__ import annotations

import array
import os
import shutil
import struct
from dataclasses import dataclass

SMALL = bytes(i * 5 % 251 for i in range(4096))  # make_pattern() of load/message.c expects just this
DEEPEST = 64
# user.virtfs.* as written by QEMU's mapped-xattr model: little-endian uint32
MAPPED = {
    "user.virtfs.uid": struct.pack("<I", 1000),
    "user.virtfs.gid": struct.pack("<I", 1000),
    "user.virtfs.mode": struct.pack("<I", 0o100644),
}


@dataclass(frozen=True)
class BenchTree:
    """A tree on disk, and its sizes for p9load."""

    root: str
    files: int = 1000
    entries: int = 10_000
    big: int = 64 << 20

    @property
    def listing(self) -> str:
        """The directory that readdir and `ls -l` list."""
        return f"dirs/{self.entries}"

    def options(self) -> list[str]:
        """The tree, as options of p9load."""
        return [
            *("--dir", self.listing, "--entries", str(self.entries)),
            *("--nfiles", str(self.files), "--bigsize", str(self.big)),
        ]


def _small(path: str, *, attributes: bool = True) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(SMALL)
    if attributes:
        _mark(path)


def _mark(path: str) -> None:
    if hasattr(os, "setxattr"):
        for name, value in MAPPED.items():
            os.setxattr(path, name, value)


def directory(tree: BenchTree, entries: int) -> str:
    """Make `dirs/N` with N empty files, unless it exists. Returns its path below the root."""
    name = f"dirs/{entries}"
    path = os.path.join(tree.root, name)
    if os.path.isdir(path):
        return name
    half = path + ".part"
    shutil.rmtree(half, ignore_errors=True)
    os.makedirs(half)
    for i in range(entries):
        entry = f"{half}/entry-{i:07d}"
        os.close(os.open(entry, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        if entries <= tree.entries:
            _mark(entry)
    os.rename(half, path)
    return name


def deep(depth: int) -> str:
    """The path of the directory at this depth, for p9load's --start."""
    return "/".join(["deep", *["d"] * (depth - 1)])


def build(tree: BenchTree) -> None:
    """Make the missing parts of the tree."""
    root = tree.root
    done = os.path.join(root, f".made-{tree.files}-{tree.entries}-{tree.big}")
    if os.path.exists(done):
        return
    for name in ("f4k", "d1/d2/d3/f", "d1/d2/g"):
        _small(os.path.join(root, name))
    _small(os.path.join(root, "xa"), attributes=False)
    os.setxattr(os.path.join(root, "xa"), "user.test", b"v" * 64)
    for i in range(tree.files):
        _small(os.path.join(root, f"files/f{i:04d}"))
    for depth in range(1, DEEPEST + 1):
        _small(os.path.join(root, deep(depth), "f4k"))
    directory(tree, tree.entries)
    with open(os.path.join(root, "big"), "wb") as f:
        f.writelines(array.array("Q", range(at, at + (1 << 20), 8)) for at in range(0, tree.big, 1 << 20))
    os.makedirs(os.path.join(root, "w"), exist_ok=True)
    with open(done, "wb"):
        pass


def warm(tree: BenchTree, program: str) -> None:
    """Read the files of a workload into the caches: servers are to be measured, and some machines
    drop caches continuously.
    """
    if program in {"read", "randread"}:
        _read(os.path.join(tree.root, "big"))
    elif program == "orc":
        for i in range(tree.files):
            _read(os.path.join(tree.root, f"files/f{i:04d}"))
    elif program == "lsl":
        for entry in os.scandir(os.path.join(tree.root, tree.listing)):
            entry.stat(follow_symlinks=False)


def _read(path: str) -> None:
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass


def sweep(tree: BenchTree) -> None:
    """Empty the work directory: a load that was stopped may leave files."""
    work = os.path.join(tree.root, "w")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work, exist_ok=True)
