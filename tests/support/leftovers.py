"""Threads and child processes that tests leave behind: asked for at the end of each module.

What a fixture of a package or a session starts may stay as long as that. Garbage is collected at the
same time: what it says (a socket that was not closed) is an error of whichever test runs then, and so of
one in the module that made it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

LIMIT = 60.0
OF_THE_PROCESS = {"ninep-mounts", "ninep-signals"}
"""Threads of which a process has one: from its first folder on (``host._crossings``), and from when it
begins to serve (``app.ending``).
"""


def children() -> frozenset[int]:
    """The processes that this one has started and not waited for; none where /proc does not tell."""
    found: set[int] = set()
    for place in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found.update(map(int, place.read_text().split()))
    return frozenset(found)


def threads() -> frozenset[threading.Thread]:
    """Those that run, but for those that a process has once."""
    return frozenset(one for one in threading.enumerate() if one.name not in OF_THE_PROCESS)


class Leftovers:
    """What there is now that was not there before, and may not stay."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._children: set[int] = set()

    @contextmanager
    def permitted(self) -> Iterator[None]:
        """What is started meanwhile may stay."""
        were, had = threads(), children()
        yield
        self._threads |= threads() - were
        self._children |= children() - had

    def begin(self) -> None:
        """What is there may stay."""
        self._threads |= threads()
        self._children |= children()

    def found(self) -> list[str]:
        """What has been started since and does not end within a minute; it may stay from now on."""
        gc.collect()
        until = monotonic() + LIMIT
        for one in threads() - self._threads:
            one.join(max(0.0, until - monotonic()))
        while children() - self._children and monotonic() < until:
            sleep(0.02)
        left = [f"thread {one.name}" for one in threads() - self._threads]
        left += [f"process {one}: {_command(one)}" for one in children() - self._children]
        self.begin()
        return sorted(left)


def _command(pid: int) -> str:
    with suppress(OSError):
        return (Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") or b"not waited for").decode(
            errors="replace"
        )
    return "gone"


leftovers = Leftovers()
