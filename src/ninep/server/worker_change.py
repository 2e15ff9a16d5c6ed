"""A change that all workers make, or none: the parent's side (see ``workers``).

Rules

* One worker prepares it, then all others do: what cannot be done is found, and logged, once.
* A worker that cannot, dies, or takes longer than ``PREPARE_TIMEOUT`` ends it: nothing changes.
* When all are prepared, all commit. One that was set aside gets both at once, and ends itself if it
  cannot follow; one that cannot be told is asked to end.
* No worker is started meanwhile: it would have what was before.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple

from ninep.server.worker import ABANDON, COMMIT, FAILED, PREPARE, PREPARED, Worker

log = logging.getLogger("ninep.server")

PREPARE_TIMEOUT: Final = 60.0


class Change(NamedTuple):
    """What is to become of the workers and the listening sockets."""

    descriptor: int
    """A file that says it to the workers. It is the caller's, until ``done``."""
    added: Mapping[int, socket.socket]
    """Listening sockets, by numbers that none had before."""
    removed: Collection[int]
    done: Callable[[bool], None]
    """Called at the end: whether the change was made."""


class Changing:
    """A change while it is prepared."""

    def __init__(self, change: Change, workers: Sequence[Worker]) -> None:
        """``workers``: at least one."""
        self.change = change
        self._began = monotonic()
        self._failed = False
        self._asked: list[Worker] = []
        self._waiting: set[Worker] = set()
        self._left = sorted(workers, key=lambda one: one.owes > 0)
        self._ask([self._left.pop(0)])

    def _ask(self, workers: Iterable[Worker]) -> None:
        for worker in workers:
            self._asked.append(worker)
            self._waiting.add(worker)
            try:
                worker.send(PREPARE, [self.change.descriptor])
            except OSError:  # it has just died, or its line is full
                self._failed = True

    def hear(self, worker: Worker, said: bytes) -> None:
        """A worker said something."""
        self._failed |= FAILED in said and worker in self._asked
        if PREPARED in said:
            self._waiting.discard(worker)

    def gone(self, worker: Worker) -> None:
        """A worker has died, or hangs."""
        self._failed |= worker in self._asked or worker in self._left

    def step(self) -> bool | None:
        """Whether it is to be committed, or abandoned; None: that is not known yet."""
        if self._failed or monotonic() - self._began > PREPARE_TIMEOUT:
            return False
        if self._waiting:
            return None
        if self._left:
            left, self._left = self._left, []
            self._ask(left)
            return None
        return True

    def end(self, made: bool, aside: Iterable[Worker]) -> None:
        """All commit, or nothing changes. ``aside``: workers that hang, and were not asked."""
        if made:
            for worker in self._asked:
                _send_all(worker, (COMMIT,))
            for worker in aside:
                _send_all(worker, (PREPARE, COMMIT), self.change.descriptor)
        else:
            for worker in self._asked:
                with suppress(OSError):
                    worker.send(ABANDON)
        self.change.done(made)


def _send_all(worker: Worker, messages: Iterable[bytes], descriptor: int = -1) -> None:
    try:
        for message in messages:
            worker.send(message, [descriptor] if message == PREPARE else [])
    except OSError as error:
        log.error("worker %d cannot follow a change (%s): it ends", worker.pid, error.strerror)  # noqa: TRY400 - what is to be known is in the line
        with suppress(ProcessLookupError):
            os.kill(worker.pid, signal.SIGTERM)
