"""Worker threads, shared out by what they wait for.

A request that waits for a device occupies a thread for as long as the device takes, and a device
that does not answer keeps it for ever. So that it does not get all of them, a job is submitted with
its *storage*, the export or the device it is about:

* A storage may use one more thread as long as it has fewer than are free, and never more than half
  of all. Of 64 threads, one that hangs gets 32, a second 16, a third 8: another always finds some.
  ``FEW`` it gets in any case, while there are any.
* A thread that has been at one job for ``HUNG`` seconds no longer counts as one of those there are,
  until it returns, so that another can take its place; but it still counts for its storage. There
  are at most twice as many threads as were asked for, at most half of them hung.
* A storage whose jobs were quick lately gets one thread, which takes its jobs one after the other: what
  FUSE and NFS have in the kernel's caches takes microseconds, and threads that wake for it do little but
  wait for the interpreter. Whatever still waits after ``HELP`` gets threads as any other.
* Threads are daemons: one that hangs does not keep the interpreter from ending.

Jobs are submitted and withdrawn in the event loop. They come back as futures, from the thread.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol

log = logging.getLogger("ninep.server")

HUNG: Final = 30.0
"""Seconds after which a thread is taken for hung: disks that spin up take 10, NFS says "not
responding" after some tens (nfs(5), timeo).
"""
SLOW: Final = 1.0
"""Seconds from which on a job is remembered as slow, and ..."""
REMEMBERED: Final = 32
"""... how many of them are."""
QUICK: Final = 0.0005
"""Seconds that jobs of a storage take in the middle, if it is quick: a request to another computer takes longer."""
HELP: Final = 0.001
"""Seconds after which jobs that wait for the one thread of a quick storage get others."""
WEIGHT: Final = 0.125
"""Of the last job in the middle of all."""
MAX_REMEMBERED: Final = 64
"""Storages that are known to be quick while they have no jobs."""
FEW: Final = 3
"""Threads that a storage may have although few are free."""


class SlowJob(NamedTuple):
    """A job that took long."""

    storage: str
    seconds: float
    ended: float
    """By ``time.monotonic``."""


class Workers(Protocol):
    """What a connection needs: ``Offload``."""

    def submit(self, storage: Hashable, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Call in a thread, as soon as the storage may have one. The future can be cancelled until
        then.
        """


class _Storage:
    """The jobs of one storage."""

    __slots__ = ("hang_logged", "hung", "key", "middle", "running", "waiting")

    def __init__(self, key: Hashable, middle: float) -> None:
        self.key = key
        self.middle = middle
        """Seconds that its jobs took, the last ones above all."""
        self.running = 0
        """Threads that it has, hung ones too."""
        self.hung = 0
        self.hang_logged = False
        """It was logged that one of them hangs."""
        self.waiting: dict[_Job, None] = {}
        """In the order in which they came."""

    @property
    def enough(self) -> bool:
        """It is quick, and has a thread."""
        return self.running > 0 and self.middle < QUICK

    def took(self, seconds: float) -> None:
        """One of its jobs is done."""
        self.middle += (seconds - self.middle) * WEIGHT

    def __str__(self) -> str:
        name = getattr(self.key, "name", None)
        return f"storage {self.key}" if name is None else f"export {name!r}"


class _Job(Future[Any]):
    """A call, and its result."""

    def __init__(self, offload: Offload, storage: _Storage, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        self._offload = offload
        self.storage = storage
        self.call: Callable[..., Any] | None = call
        self.args = args
        self.began = 0.0
        self.hung = False

    def cancel(self) -> bool:
        """As ``Future.cancel``; what it was to be called with is kept no longer."""
        if not super().cancel():
            return False
        self._offload.forget(self)
        return True

    def perform(self) -> None:
        """Call, in a thread."""
        call, args = self.call, self.args
        self.call, self.args = None, ()
        assert call is not None  # noqa: S101 - performed once
        try:
            result = call(*args)
        except BaseException as error:  # noqa: BLE001 - the future has it
            self.set_exception(error)
        else:
            self.set_result(result)


class Offload:
    """The worker threads of one server. They are started as they are needed."""

    def __init__(self, threads: int, name: str, hung: float = HUNG) -> None:
        self._most = threads
        self._name = name
        self._hung_after = hung
        self._guard = threading.Lock()
        self._storages: dict[Hashable, _Storage] = {}
        self._waiting: dict[_Storage, None] = {}
        """Those with jobs that wait, the next one first."""
        self._running: dict[_Job, None] = {}
        """The jobs in threads, the oldest first."""
        self._live = 0
        """Threads with a job, but those that hang."""
        self._idle = 0
        self._threads = 0
        self._handed: SimpleQueue[_Job | None] = SimpleQueue()
        """To threads that are idle or just starting: one of them takes each."""
        self._middles: dict[Hashable, float] = {}
        """Of quick storages that have no jobs. Only those with a name: others would be kept alive."""
        self._helping = False
        self._watching = False
        self._ended = False
        self.slow: deque[SlowJob] = deque(maxlen=REMEMBERED)
        """The last jobs that took ``SLOW`` or longer."""

    @property
    def hung(self) -> int:
        """How many threads hang."""
        with self._guard:
            return sum(storage.hung for storage in self._storages.values())

    def submit(self, storage: Hashable, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """See ``Workers``."""
        with self._guard:
            if self._ended:
                raise RuntimeError("the worker threads have ended")
            found = self._storages.get(storage)
            if found is None:
                found = self._storages[storage] = _Storage(storage, self._middles.pop(storage, SLOW))
            job = _Job(self, found, call, args)
            if self._may_start(found) and not (found.waiting or found.enough):
                self._hand_over(job)
            else:
                found.waiting[job] = None
                self._waiting.setdefault(found)
            help_wanted = bool(found.waiting) and found.enough and not self._helping
        if help_wanted:
            self._helping = True
            asyncio.get_running_loop().call_later(HELP, self._help)
        if not self._watching:
            self._watch(self._hung_after)
        return job

    def _help(self) -> None:
        """Quick storages have jobs that wait: their thread is busy with one that is not."""
        self._helping = False
        with self._guard:
            if not self._ended:
                self._start_waiting(every=True)

    def shutdown(self) -> None:
        """Begin nothing more; what waits is cancelled, threads end after the job that they have."""
        with self._guard:
            self._ended = True
            waiting = [job for storage in self._waiting for job in storage.waiting]
            while self._idle:
                self._idle -= 1
                self._handed.put(None)
        for job in waiting:
            job.cancel()

    def forget(self, job: _Job) -> None:
        """A job was cancelled."""
        with self._guard:
            job.call, job.args = None, ()
            storage = job.storage
            if storage.waiting.pop(job, job) is None and not storage.waiting:
                self._waiting.pop(storage, None)
                self._drop(storage)

    # -- sharing out: all with the lock held -----------------------------------------------------------------------------

    def _may_start(self, storage: _Storage) -> bool:
        free = self._most - self._live
        return free > 0 and storage.running < max(FEW, min(free, self._most // 2))

    def _next(self, *, every: bool = False) -> _Job | None:
        """The next job that may start: one of each storage in turn. ``every``: also of those that have
        enough, for which no further thread is to be woken.
        """
        for storage in self._waiting:
            if self._may_start(storage) and (every or not storage.enough):
                job = next(iter(storage.waiting))
                del storage.waiting[job], self._waiting[storage]
                if storage.waiting:
                    self._waiting[storage] = None  # behind the others
                return job
        return None

    def _begin(self, job: _Job) -> None:
        job.storage.running += 1
        self._live += 1
        job.began = monotonic()
        self._running[job] = None

    def _hand_over(self, job: _Job) -> None:
        self._begin(job)
        if self._idle:
            self._idle -= 1
        else:
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self._name}_{self._threads}", daemon=True).start()
        self._handed.put(job)

    def _start_waiting(self, *, every: bool = False) -> None:
        while job := self._next(every=every):
            self._hand_over(job)

    def _end(self, job: _Job) -> None:
        storage = job.storage
        now = monotonic()
        if now - job.began > SLOW:
            self.slow.append(SlowJob(str(storage), now - job.began, now))
        storage.took(now - job.began)
        storage.running -= 1
        del self._running[job]
        if job.hung:
            storage.hung -= 1
            storage.hang_logged = bool(storage.hung)
        else:
            self._live -= 1
        self._drop(storage)

    def _drop(self, storage: _Storage) -> None:
        if not storage.running and not storage.waiting and self._storages.get(storage.key) is storage:
            del self._storages[storage.key]
            if storage.middle < QUICK and isinstance(storage.key, str):
                self._middles[storage.key] = storage.middle
                if len(self._middles) > MAX_REMEMBERED:
                    del self._middles[next(iter(self._middles))]

    # -- in threads ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        idle, job = True, None
        while True:
            if idle:
                job = self._handed.get()
            if job is None:
                return
            if job.set_running_or_notify_cancel():
                job.perform()
            idle, job = self._following(job)  # what has been done is kept no longer

    def _following(self, job: _Job) -> tuple[bool, _Job | None]:
        """What a thread does after a job: whether it is idle, else the next one; None: it ends."""
        with self._guard:
            self._end(job)
            following = None if self._ended else self._next(every=True)  # this thread is awake
            if following is not None:
                self._begin(following)
                self._start_waiting()
                return False, following
            if self._ended or self._live + self._idle >= self._most:  # there is another in the place of one that hung
                self._threads -= 1
                return False, None
            self._idle += 1
            return True, None

    # -- what hangs ------------------------------------------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        self._watching = True
        asyncio.get_running_loop().call_later(seconds, self.find_hung)

    def find_hung(self) -> None:
        """Find the threads that hang. By itself some time after a job was submitted, and again as
        long as there are any.
        """
        now = monotonic()
        hanging: list[_Storage] = []
        with self._guard:
            self._watching = False
            young = None
            hung = sum(storage.hung for storage in self._storages.values())
            for job in self._running:
                if job.hung:
                    continue
                if now - job.began < self._hung_after:
                    young = job
                    break
                if hung == self._most:
                    break
                hung += 1
                job.hung = True
                job.storage.hung += 1
                self._live -= 1
                if not job.storage.hang_logged:
                    job.storage.hang_logged = True
                    hanging.append(job.storage)
            self._start_waiting(every=True)
            again = young.began + self._hung_after - now if young is not None else self._hung_after
            busy = bool(self._running) and not self._ended
        for storage in hanging:
            log.warning(
                "%s has not answered for %g s: worker threads that wait for it are replaced", storage, self._hung_after
            )
        if busy:
            self._watch(max(again, self._hung_after / 8))
