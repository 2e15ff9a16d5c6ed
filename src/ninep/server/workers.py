"""Several processes behind the same sockets: one event loop fills one core, more cores take more processes.

The parent accepts and hands each connection to the process that has the fewest (SCM_RIGHTS, unix(7)): with all accepting by
themselves, whoever wakes first would take most. A worker is a fork of the parent that serves what it is given and says when a
connection has ended; one that dies is replaced, and its connections are gone with it, as with any server that dies.

What workers share is what the host shares: files, and locks (open-file-description locks keep the clients of different workers apart).
What they do not share: the numbers that stand for a second and third device of an export (``multidevs``), which only one
connection sees.

Only where a process can fork and hand over descriptors: the names are looked up, since not every system's Python has them.
"""

from __future__ import annotations

import errno
import logging
import os
import selectors
import signal
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NoReturn

log = logging.getLogger("ninep.server")

ENDED = b"-"
REST = 1.0
"""Seconds until the system is asked again for a handle or a process that it did not have."""
ENDING = (signal.SIGTERM, signal.SIGINT)
_fork: Callable[[], int] | None = getattr(os, "fork", None)
_mask: Any = getattr(signal, "pthread_sigmask", None)
_BLOCK, _UNBLOCK, _SET = (getattr(signal, name, 0) for name in ("SIG_BLOCK", "SIG_UNBLOCK", "SIG_SETMASK"))
_send: Any = getattr(socket, "send_fds", None)
_receive: Any = getattr(socket, "recv_fds", None)
Work = Callable[[socket.socket, int], None]
"""What a worker does with its control socket, and as which of them (from 0), until it is told to stop (by SIGTERM, or the end of the parent)."""


class Worker:
    """One process, as the parent sees it."""

    def __init__(self, pid: int, control: socket.socket, place: int) -> None:
        self.pid = pid
        self.place = place
        """Which of them it is; one that takes its place is the same."""
        self.control = control
        self.connections = 0


class Pool:
    """The parent: accepts, hands out, replaces, and ends with its workers."""

    def __init__(self, listening: Sequence[socket.socket], count: int, work: Work) -> None:
        self._listening = listening
        self._work = work
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._stopping = False
        self._resting: float | None = None
        """Until when nothing is accepted."""
        self._missing: list[int] = []
        """The places of workers that could not be replaced yet."""
        self.workers: list[Worker] = []
        for place in range(count):
            self._start(place)

    def _start(self, place: int) -> None:
        if _fork is None or _send is None:
            raise OSError(errno.ENOSYS, "several workers need fork(2), which this system does not have")
        ours, theirs = socket.socketpair()
        # A worker that is told to end while it begins must not have our handlers any more, which do nothing.
        before = _mask(_BLOCK, ENDING)
        try:
            pid = _fork()
            if pid == 0:
                ours.close()
                self._become_worker(theirs, place)
        except OSError:
            ours.close()
            theirs.close()
            raise
        finally:
            _mask(_SET, before)
        theirs.close()
        ours.setblocking(False)
        worker = Worker(pid, ours, place)
        self.workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _become_worker(self, control: socket.socket, place: int) -> NoReturn:
        """In the child: let go of what is the parent's, work, and never return into the parent's code."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            _mask(_UNBLOCK, ENDING)
            self._selector.close()
            for worker in self.workers:
                worker.control.close()
            for sock in (*self._listening, self._wake, self._woken):
                sock.close()
            self._work(control, place)
            status = 0
        finally:
            os._exit(status)

    def run(self) -> None:
        """Until SIGTERM or SIGINT; then the workers answer what is in flight, and end."""
        for number in ENDING:
            signal.signal(number, lambda *_: None)
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        for sock in self._listening:
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, sock)
        while not self._stopping:
            for key, _ in self._selector.select(None if self._resting is None else REST):
                if isinstance(key.data, Worker):
                    self._hear(key.data)
                elif key.data is None:
                    self._signalled()
                else:
                    self._accept(key.data)
            self._go_on()
        self._end()

    def _rest(self) -> None:
        """The system gives no handle or no process now: accept nothing for a moment, rather than ask again and again."""
        if self._resting is None:
            for sock in self._listening:
                self._selector.unregister(sock)
        self._resting = monotonic() + REST

    def _go_on(self) -> None:
        if self._resting is None or monotonic() < self._resting:
            return
        self._resting = None
        for sock in self._listening:
            self._selector.register(sock, selectors.EVENT_READ, sock)
        missing, self._missing = self._missing, []
        for place in missing:
            self._replace(place)

    def _replace(self, place: int) -> None:
        try:
            self._start(place)
        except OSError as error:
            log.error("cannot start a worker: %s", error.strerror)  # noqa: TRY400 - what is to be known is in the line
            self._missing.append(place)
            self._rest()

    def _signalled(self) -> None:
        if any(number in ENDING for number in self._woken.recv(64)):
            self._stopping = True

    def _accept(self, listening: socket.socket) -> None:
        try:
            sock, _ = listening.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR}:
                log.warning("accept: %s", error.strerror)
                self._rest()
            return
        with sock:
            for worker in sorted(self.workers, key=lambda one: one.connections):
                try:
                    _send(worker.control, [b"+"], [sock.fileno()])
                except OSError as error:  # it has just died, or its line is full: the next one
                    log.warning("worker %d takes no connection: %s", worker.pid, error.strerror)
                else:
                    worker.connections += 1
                    return

    def _hear(self, worker: Worker) -> None:
        try:
            said = worker.control.recv(4096)
        except BlockingIOError:
            return
        except ConnectionResetError:
            said = b""
        worker.connections -= len(said)
        if not said:
            self._selector.unregister(worker.control)
            worker.control.close()
            self.workers.remove(worker)
            _, status = os.waitpid(worker.pid, 0)
            log.error("worker %d ended (%s); starting another", worker.pid, _how(status))
            self._replace(worker.place)

    def _end(self) -> None:
        for sock in self._listening:
            sock.close()
        for worker in self.workers:
            os.kill(worker.pid, signal.SIGTERM)
        for worker in self.workers:
            os.waitpid(worker.pid, 0)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def take_connections(control: socket.socket) -> list[socket.socket] | None:
    """In a worker: the connections that the parent handed over; None when the parent is gone."""
    try:
        said, descriptors, _, _ = _receive(control, 64, 64)
    except BlockingIOError:
        return []
    if not said:
        return None
    return [socket.socket(fileno=number) for number in descriptors]
