"""The end of a process whose main thread hangs in a system call: from another thread, without waiting
for anything.
"""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress


def cut_short() -> None:
    """End with exit status 1, although the main thread hangs; it can hold the lock of the log, and
    standard error can be a pipe that is not read.
    """
    with suppress(OSError, ValueError):
        if select.select([], [2], [], 0)[1]:
            os.write(2, b"ninep: something waits for a device that does not answer: ending without it\n")
    _close_sockets()
    os._exit(1)


def _close_sockets() -> None:
    """A thread that waits in the kernel and cannot be killed keeps the process's descriptors open:
    clients would wait for replies, and no other process could listen at the address. Only sockets
    are closed, because the closing of a file can wait, too; and none is shut down, because a
    listening socket may also be another process's.
    """
    with suppress(OSError):  # a system that lists no descriptors there
        for name in os.listdir("/dev/fd"):
            with suppress(OSError):  # ENOTSOCK, which says so without asking what the descriptor leads to
                socket.socket(fileno=int(name)).close()
