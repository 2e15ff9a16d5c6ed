"""A writer of 'newc' cpio archives, the form in which the kernel takes an initramfs.

Only what a boot needs: folders, regular files and one device node, all owned by root.  It knows nothing of
kernels or virtual machines.  Format: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from typing import BinaryIO


class CpioWriter:
    """Appends members to `out`; `end()` writes the trailer."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._ino = 1

    def directory(self, name: str) -> None:
        self._member(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        self._member(name, stat.S_IFREG | mode, data)

    def character_device(self, name: str, major: int, minor: int) -> None:
        self._member(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def end(self) -> None:
        self._member("TRAILER!!!", 0)

    def _member(self, name: str, mode: int, data: bytes = b"", rdev: tuple[int, int] = (0, 0)) -> None:
        path = name.encode() + b"\0"
        fields = (self._ino, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0)
        self._ino += 1
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + path
        self._out.write(head + b"\0" * (-len(head) % 4))
        self._out.write(data + b"\0" * (-len(data) % 4))
