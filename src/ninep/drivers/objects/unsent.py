"""What was written and is not in the store yet: put some seconds later by threads of its own, and again
until the store takes it, or has refused it for too long. ``docs/object-stores.md`` states the rules.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from ninep.drivers.objects.base_node import BaseNode, without_frames
from ninep.drivers.objects.spool import Budget
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import check_may_wait

log = logging.getLogger("ninep.objects")

RETRY_DELAY: Final = 5.0
"""Seconds until what could not be put is tried again; twice as many each time, up to ..."""
MAX_RETRY_DELAY: Final = 60.0
ROOM_TIMEOUT: Final = 60.0
"""Seconds that a writer waits for room at the most."""
MAX_PENDING: Final = (8192, 128 << 20, 256)
"""What waits at the most: nodes, bytes of them in memory, and contents in files of the host. From half of
one of these on, and of the spool, none is put off."""


@dataclass(slots=True)
class _Pending:
    """One node that waits, and since when the store refuses it."""

    due: float
    memory: int = 0
    """Bytes."""
    files: int = 0
    """1 for a content in a file of the host."""
    failures: int = 0
    refused: float = 0.0


@dataclass(slots=True, order=True)
class _Due:
    due: float
    number: int
    node: BaseNode = field(compare=False)


class Unsent:
    """Nodes that are to be put. Few threads: each takes the interpreter's lock from those that answer
    clients.

    Args:
        threads: that put.
        budget: the room for contents.
        keep: seconds after which what the store refuses is given up.
    """

    def __init__(self, threads: int, budget: Budget, keep: float = 3600.0) -> None:
        self._budget = budget
        self._keep = keep
        self._changed = threading.Condition()
        self._nodes: dict[BaseNode, _Pending] = {}
        self._queued: set[BaseNode] = set()
        """Those that a thread is about to put."""
        self._takes = (0, 0, 0)
        """All together, as ``MAX_PENDING``."""
        self._heap: list[_Due] = []
        self._numbers = itertools.count()
        self._pool = ThreadPoolExecutor(threads, "objects-put")
        self._clock: threading.Thread | None = None
        self._ended = False
        self._failures = 0
        self._logged = 0.0
        self._failed: Refused | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    # -- adding --------------------------------------------------------------------------------------------------------

    def add(self, node: BaseNode, delay: float) -> None:
        """Keep a node, and put it when that has passed; at once, where much waits already."""
        with self._changed:
            if node not in self._nodes:
                node.clone()
                self._nodes[node] = _pending(node)
                self._count(self._nodes[node], 1)
            if not self._ended:
                much = self._full(2) or self._budget.used * 2 > self._budget.limit
                self._plan(node, 0.0 if much else delay)

    def _plan(self, node: BaseNode, delay: float) -> None:
        pending, due = self._nodes[node], time.monotonic() + delay
        if due >= pending.due:
            return
        pending.due = due
        if delay <= 0:
            self._submit(node)
            return
        heapq.heappush(self._heap, _Due(due, next(self._numbers), node))
        if self._clock is None:
            self._clock = threading.Thread(target=self._run, name="objects-due", daemon=True)
            self._clock.start()
        self._changed.notify_all()

    def _submit(self, node: BaseNode) -> None:
        if node not in self._queued:
            self._queued.add(node)
            self._pool.submit(self._put, node).add_done_callback(_log_error)

    def _run(self) -> None:
        """Submit what is due, in a thread."""
        with self._changed:
            while not self._ended:
                now = time.monotonic()
                while self._heap and self._heap[0].due <= now:
                    one = heapq.heappop(self._heap)
                    pending = self._nodes.get(one.node)
                    if pending is not None and pending.due == one.due:
                        self._submit(one.node)
                self._changed.wait(self._heap[0].due - now if self._heap else None)

    # -- room ----------------------------------------------------------------------------------------------------------

    def _count(self, pending: _Pending, sign: int) -> None:
        nodes, memory, files = self._takes
        self._takes = nodes + sign, memory + sign * pending.memory, files + sign * pending.files

    def _full(self, share: int = 1) -> bool:
        return any(takes * share >= most for takes, most in zip(self._takes, MAX_PENDING, strict=True))

    def wait_for_room(self, count: int = 0) -> None:
        """Return when so many bytes, and a file, have room. ENOSPC if nothing makes room: the store
        takes nothing, it takes too long, or what is open fills it.
        """

        def has_room() -> bool:
            return not self._full() and (self._budget.has(count) or count > self._budget.limit)  # which is EFBIG

        if has_room():
            return
        check_may_wait()
        with self._changed:
            for node in self._nodes:
                self._submit(node)
            failures = self._failures
            self._changed.wait_for(lambda: has_room() or not self._nodes or self._failures != failures, ROOM_TIMEOUT)
        if not has_room():
            raise Refused(Errno.ENOSPC, "the spool is full (--s3-spool-limit)")

    # -- putting -------------------------------------------------------------------------------------------------------

    def _put(self, node: BaseNode) -> None:
        with self._changed:
            self._queued.discard(node)  # what is written from now on is for another job
            pending = self._nodes.get(node)
            if pending is None:
                return  # it was put meanwhile
            pending.due = float("inf")
        error: OSError | None = None
        try:
            node.settle()
        except OSError as found:
            error = found
            if self._note(node, error):
                node.give_up(error)
        finally:
            self._discard(node, error)

    def _note(self, node: BaseNode, error: OSError) -> bool:
        """Count a failure, and say it. Whether it is the last one: what was written is lost."""
        error = without_frames(error)
        node.fail(error)
        now = time.monotonic()
        with self._changed:
            self._failed = error
            self._failures += 1
            self._changed.notify_all()
            pending = self._nodes.get(node)
            if pending is None:
                return False  # it was put meanwhile
            pending.failures += 1
            pending.refused = pending.refused or now
            over = now - pending.refused >= self._keep
            lost = over or not node.unsaved
            if not lost and now - self._logged < RETRY_DELAY:
                return False
            self._logged = now
            count = len(self._nodes)
        if lost:
            log.error("%r could not be put, and what was written is lost: %s", node.key, error)
        else:
            log.error("%r could not be put: %s; %d files wait", node.key, error, count)
        return over

    def _discard(self, node: BaseNode, error: OSError | None) -> None:
        """It has been put, or there is nothing to be put any more; unless it was written and closed
        meanwhile. Who still writes puts it at the close.
        """
        with self._changed:
            pending = self._nodes.get(node)
            if pending is None:
                return
            if node.unsaved and (error is not None or not node.writers):
                pending.due = float("inf")
                if not self._ended:
                    self._plan(node, RETRY_DELAY if error is None else _delay(pending.failures))
                return
            del self._nodes[node]
            self._count(pending, -1)
            self._changed.notify_all()
        node.release()

    def flush(self) -> None:
        """Put all now. The first error, also of one that was put before; each is raised once."""
        with self._changed:
            nodes = list(self._nodes)
        jobs: list[Future[None]] = [self._pool.submit(self._put, node) for node in nodes]
        for job in jobs:
            job.result()
        with self._changed:
            failed, self._failed = self._failed, None
        if failed is not None:
            raise failed

    def call(self, act: Callable[[], None]) -> None:
        """Call something in one of the threads, for who must not wait. An error is logged."""
        self._pool.submit(act).add_done_callback(_log_error)

    def close(self) -> None:
        """Put what there is, once; what cannot be put is logged, and lost."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        try:
            self.flush()
        except OSError as error:
            log.error("at the end of the server: %s", error)  # noqa: TRY400 - the trace says nothing
        self._pool.shutdown(wait=True)
        for node in self._nodes:
            log.error("%r is lost with the end of the server", node.key)


def _delay(failures: int) -> float:
    """Seconds until the next attempt, after so many that failed."""
    return min(RETRY_DELAY * 2.0 ** min(failures - 1, 10), MAX_RETRY_DELAY)


def _pending(node: BaseNode) -> _Pending:
    spool = node.spool
    size = spool.size if spool is not None and not spool.in_file else 0
    return _Pending(float("inf"), size, int(spool is not None and spool.in_file))


def _log_error(job: Future[None]) -> None:
    error = job.exception()
    if error is not None:
        log.error("%s", error, exc_info=None if isinstance(error, OSError) else error)
