"""Threads that must not wait, those of serving event loops, and what a verb raises that would have
to wait in one (``node`` has the rules).
"""

from __future__ import annotations

import errno
import threading


class WouldBlock(OSError):
    """Raised in a thread that must not wait (``may_wait``), if a verb would have to wait for a
    device or another program. The server then repeats the whole request in a worker thread. Changes
    made before are to be undone, as for any other ``OSError``.

    A request can call several verbs. Once one of them has changed something, the request cannot be
    repeated: if a later verb raises ``WouldBlock``, the server logs that and answers EIO. So on
    nodes that may have to wait, the first verb that changes something is the one that raises.
    ``clone``, ``release`` and ``close`` never raise it.
    """

    def __init__(self) -> None:
        super().__init__(errno.EAGAIN, "the answer needs waiting")


class _Thread(threading.local):
    loops = 0


_thread = _Thread()


def may_wait() -> bool:
    """Whether verbs may wait in this thread: in all but that of a serving event loop."""
    return not _thread.loops


def check_may_wait() -> None:
    """Raise ``WouldBlock`` in the thread of a serving event loop."""
    if _thread.loops:
        raise WouldBlock


def serve_in_this_thread(change: int) -> None:
    """A server starts (1) or stops (-1) calling verbs in the event loop of this thread."""
    _thread.loops += change
