"""Several processes behind the same sockets: one event loop fills one core, more cores take more
processes.

The parent accepts and hands each connection to the process that has the fewest (SCM_RIGHTS,
unix(7)): with all accepting by themselves, the process that wakes first would take most. A worker
is a fork of the parent that serves what it is given and says when a connection has ended.

Rules

* A worker that dies is replaced, and its connections are gone with it, as with any server that
  dies. One that dies soon after its start is replaced after a pause that doubles each time. If a
  worker ends before it serves at the start, or none gets so far later, the parent ends with exit
  status 1.
* A worker answers each message when it takes it. A connection that is not taken in time
  (``ACCEPT_TIMEOUT``) is taken back and handed to another; the parent holds the worker's end of the
  line too, so that each connection is received exactly once, by one of them. While it owes an
  answer a worker gets a connection only if all others do.
* A worker that owes an answer for long (``HUNG_AFTER``: its event loop hangs in a system call) is
  set aside, and another is started in its place. Its clients stay with it: if it goes on it serves
  them until they leave, and ends then. No more are set aside than there are workers.
* At the end (SIGTERM, SIGINT, SIGHUP) the workers get SIGTERM and ``END_TIMEOUT``
  (``HANG_TIMEOUT`` while they owe an answer); a second signal makes that ``HURRY_TIMEOUT``; then they
  get SIGKILL, and after ``KILL_TIMEOUT`` the parent ends without them.
* A worker ends when the parent does (``when_parent_ends``).
* With ``hangup``, SIGHUP is a question to it, and the workers ignore it. What they serve is changed by
  ``change``: by all, or by none (``worker_change``).

What workers share is what the host shares: files, and locks (open-file-description locks keep the
clients of different workers apart). What they do not share: the numbers that stand for a second and
third device of an export (``multidevs``), which only one connection sees, and limits: each has its
part of what is for all connections together (``Limits.share``).

Only where a process can fork and hand over descriptors: not every system's Python has the names.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import MappingProxyType
from typing import Any, Final, NoReturn

from ninep.server.worker import (
    ACCEPT_TIMEOUT,
    ANSWER,
    DRAIN,
    ENDED,
    ENDING,
    LEAVE,
    PING,
    READY,
    Handed,
    Work,
    Worker,
    fork_worker,
    hear_signals,
    how_ended,
    reset_signals,
)
from ninep.server.worker_change import Change, Changing
from ninep.transport import nothing

log = logging.getLogger("ninep.server")

REST: Final = 1.0
"""Seconds until the system is asked again for a handle or a process that it did not have."""
PING_EVERY, HUNG_AFTER = 5.0, 10.0
LIVED: Final = 10.0
"""Seconds after which the end of a worker says nothing about the next one."""
PAUSE, LONGEST_PAUSE = 0.5, 5.0
GIVE_UP: Final = 6
"""So many workers in a row that never served, and none that does: there is no use in more."""
END_TIMEOUT: Final = 18.0
"""A worker ends by itself before that, whatever hangs (``app.ending``)."""
HURRY_TIMEOUT: Final = 4.0
_CHILD: Final = getattr(signal, "SIGCHLD", None)
_HANGUP: Final[Any] = getattr(signal, "SIGHUP", None)
_HEARD: Final = (*ENDING, _CHILD) if _CHILD is not None else ENDING
_NO_HANG: Final = getattr(os, "WNOHANG", 0)


class Pool:
    """The parent: accepts, hands out, replaces, and ends with its workers."""

    def __init__(
        self,
        listening: Sequence[socket.socket],
        count: int,
        work: Work,
        hangup: Callable[[], bool] | None = None,
        asked: Mapping[int, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        """``hangup``: called after SIGHUP, when all workers serve; true asks to end. ``asked``: called after
        these other signals.
        """
        self._asked = asked
        self._listening = dict(enumerate(listening))
        self._hangup = hangup
        self._hung_up = False
        """SIGHUP came, and nothing was made of it yet."""
        self._changing: Changing | None = None
        self._work = work
        self._count = count
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._signals = 0
        """How often it was asked to end."""
        self._failed = self._accepting = self._draining = False
        self._resting = 0.0
        """Until when nothing is accepted."""
        self._none_until = 0.0
        """Until when no worker is started."""
        self._missing: list[tuple[int, float]] = []
        """The places of workers that are not replaced yet, and when to try."""
        self._deaths = [0] * count
        """Of each place: how many in a row died soon after their start."""
        self._unready = 0
        """How many in a row never served."""
        self._announce: Callable[[], None] | None = None
        self.workers: list[Worker] = []
        self.aside: list[Worker] = []
        """Workers that hang, and were replaced."""
        for place in range(count):
            self._start(place)

    # -- starting --------------------------------------------------------------------------------------------------------

    def _start(self, place: int) -> None:
        worker = fork_worker(place, self._become_worker, self._wake)
        self.workers.append(worker)
        self._selector.register(worker.control, selectors.EVENT_READ, worker)

    def _become_worker(self, control: socket.socket, place: int) -> NoReturn:
        """In the child: let go of what is the parent's, work, and never return into the parent's
        code.
        """
        status = 1
        try:
            reset_signals(_HEARD, self._asked if self._hangup is None else (*self._asked, _HANGUP))
            self._selector.close()
            for worker in (*self.workers, *self.aside):
                worker.close()
            for sock in (*self._listening.values(), self._wake, self._woken):
                sock.close()
            self._work(control, place)
            status = 0
        except OSError as error:
            log.error("a worker cannot serve: %s", error.strerror or error)  # noqa: TRY400 - what is to be known is in the line
        except Exception:
            log.exception("a worker failed")
        finally:
            os._exit(status)

    def _replace(self, place: int) -> None:
        if self._changing is not None or monotonic() < self._none_until:
            self._missing.append((place, 0.0))
            return
        try:
            self._start(place)
        except OSError as error:
            log.error("cannot start a worker: %s", error.strerror)  # noqa: TRY400 - what is to be known is in the line
            self._missing.append((place, monotonic() + REST))
            self._rest()

    # -- running ---------------------------------------------------------------------------------------------------------

    def run(self, announce: Callable[[], None] = nothing, ends: Callable[[], None] = nothing) -> int:
        """Until a signal asks it to end; then the workers answer what is in flight, and end. The
        exit status: 1 if one had to be killed.

        ``announce`` is called when all of them serve, ``ends`` when the end begins.
        """
        self._announce = announce
        for sock in (self._wake, self._woken, *self._listening.values()):
            sock.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        hear_signals((*_HEARD, *self._asked))
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._reap()  # what died before there was a handler
        while not self._signals and not self._failed and not self._drained():
            for key, _ in self._selector.select(self._timeout()):
                if isinstance(key.data, Worker):
                    self._hear(key.data)
                elif key.data is None:
                    self._signalled()
                elif callable(key.data):
                    key.data()
                else:
                    self._accept(key.data)
            self._look_after()
        ends()
        return self._end()

    def _timeout(self) -> float:
        if self._changing is not None or any(worker.owes for worker in self.workers):
            return ACCEPT_TIMEOUT / 2
        return REST / 4 if self._missing or self._resting else PING_EVERY

    def _look_after(self) -> None:
        """What is due: questions, connections that were not taken, workers that hang, workers that
        are missing.
        """
        now = monotonic()
        for worker in tuple(self.workers):
            if worker.late(now):
                self._pass_on(worker)
                if now - worker.since > HUNG_AFTER and len(self.aside) < self._count:
                    self._set_aside(worker)
            elif not worker.owes and now - worker.since > PING_EVERY:
                with suppress(OSError):
                    worker.send(PING)
        for worker in self.aside:
            if not worker.owes and not worker.connections and not worker.asked_to_end:
                worker.ask_to_end()
        self._resting = self._resting if now < self._resting else 0.0
        self._go_on_changing()
        if self._changing is None and now >= self._none_until:
            due = [place for place, when in self._missing if now >= when]
            self._missing = [(place, when) for place, when in self._missing if now < when]
            for place in due:
                self._replace(place)
        self._listen(bool(self.workers) and not self._resting and not self._draining)

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """Call a function when a descriptor can be read, until ``unwatch``."""
        self._selector.register(descriptor, selectors.EVENT_READ, call)

    def unwatch(self, descriptor: int) -> None:
        """Call it no more."""
        self._selector.unregister(descriptor)

    def start_none_until(self, when: float) -> None:
        """Replace no worker before that time (``time.monotonic``)."""
        self._none_until = when

    def leave(self) -> None:
        """Another server listens at the addresses now: as ``drain``, and the workers are told."""
        self.drain()
        for worker in (*self.workers, *self.aside):
            with suppress(OSError):
                worker.send(LEAVE)

    def drain(self) -> None:
        """Accept nothing more, and end when no worker has a connection left."""
        self._draining = True
        self._listen(False)
        for sock in self._listening.values():
            sock.close()

    def _drained(self) -> bool:
        return self._draining and not any(one.connections for one in (*self.workers, *self.aside))

    def _listen(self, accept: bool) -> None:
        if accept == self._accepting:
            return
        self._accepting = accept
        for sock in self._listening.values():
            if accept:
                self._selector.register(sock, selectors.EVENT_READ, sock)
            else:
                self._selector.unregister(sock)

    def _rest(self) -> None:
        """The system gives no handle or no process now: accept nothing for a moment, rather than
        ask again and again.
        """
        self._resting = monotonic() + REST
        self._listen(False)

    # -- changing --------------------------------------------------------------------------------------------------------

    def change(self, change: Change) -> None:
        """Change what the workers serve, and where is listened: to be called by ``hangup``."""
        self._changing = Changing(change, self.workers)

    def _go_on_changing(self) -> None:
        if self._changing is None:
            if self._hung_up and self._hangup is not None and self._announce is None and self.workers:
                self._hung_up = False
                self._signals += self._hangup()
            return
        made = self._changing.step()
        if made is not None:
            self._end_change(made)

    def _end_change(self, made: bool) -> None:
        changing, self._changing = self._changing, None
        if changing is None:
            return
        if made:
            self._listen(False)
            for number in changing.change.removed:
                self._listening.pop(number).close()
            for sock in changing.change.added.values():
                sock.setblocking(False)
            self._listening.update(changing.change.added)
        changing.end(made, self.aside)

    # -- connections -----------------------------------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}:
                log.warning("accept: %s", error.strerror)
                self._rest()
            return
        number = next(number for number, one in self._listening.items() if one is listening)
        self._hand_over(Handed(number, sock), self.workers)

    def _hand_over(self, handed: Handed, workers: Iterable[Worker]) -> None:
        """To the one with the fewest connections, of those that answer if there are any. Without
        one the connection is closed.
        """
        now = monotonic()
        with handed.sock as sock:
            for worker in sorted(workers, key=lambda one: (one.late(now), one.connections)):
                try:
                    worker.hand(sock, handed.number)
                except OSError as error:  # it has just died, or its line is full: the next one
                    log.warning("worker %d takes no connection: %s", worker.pid, error.strerror)
                else:
                    worker.took_connection()
                    return

    def _pass_on(self, worker: Worker) -> None:
        """Give the connections that wait for a late worker to others, if there are any that have
        answered all: on a machine that has more to do than it can, where all are late, connections
        must not go to and fro.
        """
        others = [one for one in self.workers if one is not worker and not one.owes]
        if not others:
            return
        back = worker.take_back()
        if back:
            log.warning("worker %d does not answer: %d connections go to others", worker.pid, len(back))
        for handed in back:
            self._hand_over(handed, others)

    # -- what workers and the system say ---------------------------------------------------------------------------------

    def _hear(self, worker: Worker) -> None:
        try:
            said = worker.control.recv(4096)
        except OSError:  # EAGAIN; ECONNRESET: its end is noticed by SIGCHLD
            return
        worker.ended(said.count(ENDED))
        if self._changing is not None:
            self._changing.hear(worker, said)
        answers = said.count(ANSWER)
        if answers:
            worker.answered(answers)
            if worker.aside:
                log.warning(
                    "worker %d answers again: it serves its %d connections to their end", worker.pid, worker.connections
                )
        if DRAIN in said:
            self.drain()
        if READY in said:
            worker.serves()
            self._unready = 0
            if self._announce is not None and all(one.ready for one in self.workers):
                self._announce()
                self._announce = None

    def _signalled(self) -> list[int]:
        """Hear signals; the exit statuses of workers that have ended."""
        with suppress(BlockingIOError):
            for number in self._woken.recv(64):
                if number in self._asked:
                    self._asked[number]()
                elif number == _HANGUP and self._hangup is not None:
                    self._hung_up = True
                else:
                    self._signals += number in ENDING
        return self._reap()

    def _set_aside(self, worker: Worker) -> None:
        log.error(
            "worker %d has not answered for %.0f s: starting another; its %d connections stay with it",
            worker.pid,
            monotonic() - worker.since,
            worker.connections,
        )
        worker.aside = True
        if self._changing is not None:
            self._changing.gone(worker)
        self.workers.remove(worker)
        self.aside.append(worker)
        self._replace(worker.place)

    def _reap(self) -> list[int]:
        """Notice which workers have ended; their exit statuses."""
        statuses = []
        for worker in (*self.workers, *self.aside):
            pid, status = os.waitpid(worker.pid, _NO_HANG)
            if pid:
                statuses.append(status)
                self._died(worker, status)
        return statuses

    def _died(self, worker: Worker, status: int) -> None:
        self._hear(worker)  # the last that it said
        back = worker.take_back()
        self._forget(worker)
        if self._changing is not None:
            self._changing.gone(worker)
        if not self._signals and not worker.aside:
            self._plan(worker, status)
        for handed in back:
            self._hand_over(handed, self.workers)

    def _plan(self, worker: Worker, status: int) -> None:
        """Replace a worker that died: at once, after a pause, or not at all."""
        lived = worker.ready and monotonic() - worker.began > LIVED
        deaths = self._deaths[worker.place] = 0 if lived else self._deaths[worker.place] + 1
        self._unready += not worker.ready
        if not worker.ready and (self._announce is not None or (self._unready >= GIVE_UP and not self.workers)):
            log.error("worker %d ended (%s) before it could serve: giving up", worker.pid, how_ended(status))
            self._failed = True
            return
        pause = 0.0 if deaths < 2 else min(PAUSE * 2 ** (deaths - 2), LONGEST_PAUSE)
        log.error(
            "worker %d ended (%s); starting another%s",
            worker.pid,
            how_ended(status),
            f" in {pause:g} s" if pause else "",
        )
        if pause:
            self._missing.append((worker.place, monotonic() + pause))
        else:
            self._replace(worker.place)

    # -- ending ----------------------------------------------------------------------------------------------------------

    def _end(self) -> int:
        clean = not self._failed
        self._end_change(False)
        self._signals = heard = max(1, self._signals)
        self._ask_to_end()
        began = monotonic()
        deadline = began + END_TIMEOUT
        while True:
            left = [(one, one.due(began, deadline)) for one in (*self.workers, *self.aside)]
            for worker, due in left:
                if monotonic() >= due:
                    clean = False
                    self._force(worker)
            if not left:
                return 0 if clean else 1
            for key, _ in self._selector.select(max(0.0, min(due for _, due in left) - monotonic())):
                if isinstance(key.data, Worker):
                    self._hear(key.data)
            clean &= all(os.waitstatus_to_exitcode(status) in {0, -signal.SIGTERM} for status in self._signalled())
            if self._signals > heard:
                heard = self._signals
                self._signal_workers(signal.SIGTERM)
                deadline = min(deadline, monotonic() + HURRY_TIMEOUT)

    def _ask_to_end(self) -> None:
        self.drain()
        self._signal_workers(signal.SIGTERM)
        for worker in (*self.workers, *self.aside):
            if not worker.owes:  # who does not answer now, hangs
                with suppress(OSError):
                    worker.send(PING)

    def _force(self, worker: Worker) -> None:
        """A worker has not ended in time: kill it, or leave it to the kernel."""
        if worker.killed:
            log.error("worker %d waits in the kernel for a device: ending without it", worker.pid)
            self._forget(worker)
        else:
            log.error("worker %d does not end: killing it", worker.pid)
            worker.kill()

    def _forget(self, worker: Worker) -> None:
        self._selector.unregister(worker.control)
        worker.close()
        (self.aside if worker.aside else self.workers).remove(worker)

    def _signal_workers(self, number: int) -> None:
        for worker in (*self.workers, *self.aside):
            if not worker.killed:
                os.kill(worker.pid, number)
