"""Worker threads that end with the test that started them."""

from __future__ import annotations

from ninep.server.offload import Offload

_STARTED: list[Offload] = []


def started(threads: int, name: str = "worker") -> Offload:
    """At most so many worker threads, for this test."""
    _STARTED.append(Offload(threads, name))
    return _STARTED[-1]


def end() -> None:
    """After a test: those that it started end after the job that they have."""
    while _STARTED:
        _STARTED.pop().shutdown()
