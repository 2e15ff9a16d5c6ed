"""Memory and signals that processes share by descriptors: mmap(2) of a memfd, its seals (fcntl(2)),
eventfd(2). Linux has them; elsewhere each function is ENOSYS.

A descriptor that another process handed over may be of any file. Nothing here asks a file system
about it before it is known to be one of the kernel's own (a memfd, an eventfd, a pipe): a FUSE
server could let such a call wait for ever.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from typing import Final

EVENT: Final = (1).to_bytes(8, sys.byteorder)
"""What is written to an eventfd, or to a pipe in its place."""

if sys.platform == "linux":
    import fcntl
    import mmap

    AVAILABLE: Final = True

    def cannot_shrink(descriptor: int) -> bool:
        """Whether the file is sealed with F_SEAL_SHRINK (fcntl(2)): memfds only, those of hugetlbfs
        too.
        """
        try:
            return bool(fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
        except OSError:  # EINVAL: this file has no seals
            return False

    def map_shared(descriptor: int, size: int) -> memoryview:
        """The first ``size`` bytes of a file, shared and writable. Unmapped with its last view. The
        descriptor may be closed. ``OSError``; ``ValueError`` if the file is shorter.
        """
        return memoryview(mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))

    def sealed_memory(name: str, size: int) -> int:
        """A new memfd of zeros whose size is sealed."""
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, size)
            seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def is_event(descriptor: int) -> bool:
        """Whether it is an eventfd or a pipe."""
        kind = os.readlink(f"/proc/self/fd/{descriptor}")
        return kind == "anon_inode:[eventfd]" or kind.startswith("pipe:[")

    def set_nonblocking(descriptor: int) -> None:
        """O_NONBLOCK, of the open file."""
        os.set_blocking(descriptor, False)

else:
    AVAILABLE: Final = False

    def cannot_shrink(descriptor: int) -> bool:
        """Whether the file is sealed with F_SEAL_SHRINK."""
        raise _unavailable(descriptor)

    def map_shared(descriptor: int, size: int) -> memoryview:
        """The first ``size`` bytes of a file, shared and writable."""
        raise _unavailable(descriptor, size)

    def sealed_memory(name: str, size: int) -> int:
        """A new memfd of zeros whose size is sealed."""
        raise _unavailable(name, size)

    def is_event(descriptor: int) -> bool:
        """Whether it is an eventfd or a pipe."""
        raise _unavailable(descriptor)

    def set_nonblocking(descriptor: int) -> None:
        """O_NONBLOCK, of the open file."""
        raise _unavailable(descriptor)

    def _unavailable(*_: object) -> OSError:
        return OSError(errno.ENOSYS, "memory is shared by memfd_create(2) and seals, which Linux alone has")


def address_of(memory: memoryview) -> int:
    """Where writable memory lies in this process, for what has to be aligned."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def file_size(descriptor: int) -> tuple[tuple[int, int], int]:
    """Which regular file it is (device and inode), and its size in bytes. EINVAL for others."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    return (found.st_dev, found.st_ino), found.st_size


def signal(descriptor: int) -> None:
    """Signal an eventfd that does not block. One that is full has signalled already; of one that is
    closed at the other end no signal is needed.
    """
    try:  # noqa: SIM105 - once for each request of a guest that waits: suppress() costs as much as the call
        os.write(descriptor, EVENT)
    except OSError:
        pass
