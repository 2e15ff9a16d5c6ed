"""The end of a process that serves: signals are handled although the event loop hangs.

A system call that waits in the event loop's thread (a hung device) keeps that thread from running
any signal handler. So the signals are blocked in all threads, and one thread waits for them
(sigwait(3)). Where there is no such call (Windows) a thread reads the pipe that Python's C handler
writes to (``signal.set_wakeup_fd``).

Rules

* SIGTERM, SIGINT (Ctrl-C) and SIGHUP (the terminal is gone) ask for a clean end; SIGHUP does not if
  it was ignored at the start (nohup(1)).
* With a configuration file SIGHUP asks to read it again (``reload``), unless the process had a
  controlling terminal at its start and has none any more.
* ``ask_end`` and ``ask_reload`` are for what else can ask for these (a service manager without
  signals).
* SIGUSR2 asks for another process in the place of this one (``upgrade``).
* A second one asks not to wait for requests in flight.
* An event loop that does not react within ``LOOP_ANSWERS``, and a clean end that takes longer than
  ``END_TIMEOUT`` (after a second signal ``HURRY_TIMEOUT``), are cut short: all sockets are closed, exit
  status 1.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from time import monotonic
from typing import Any, Final

from ninep.app.cut_short import cut_short
from ninep.host.terminal import controlling_terminal

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name))
_HANGUP: Final = getattr(signal, "SIGHUP", None)
_UPGRADE: Final = getattr(signal, "SIGUSR2", None)
HEARD: Final = ENDING if _UPGRADE is None else (*ENDING, _UPGRADE)
_BLOCK: Final = getattr(signal, "SIG_BLOCK", 0)
_mask: Any = getattr(signal, "pthread_sigmask", None)
_wait: Any = getattr(signal, "sigwait", None)
_RELOAD: Final = -1
LOOP_ANSWERS: Final = 5.0
END_TIMEOUT: Final = 15.0
HURRY_TIMEOUT: Final = 3.0


def _nothing() -> None:
    """When there is nothing to hurry."""


class Hangup:
    """What SIGHUP means to this process; to be made at its start."""

    def __init__(self) -> None:
        self._had_terminal = controlling_terminal()

    def of_terminal(self) -> bool:
        """The terminal is gone."""
        return self._had_terminal and not controlling_terminal()


class EndSignals:
    """Handles the signals from now on, for the running event loop: the first calls ``stop`` there,
    the second ``hurry``. To be made in the main thread, before any thread that serves. ``reload``:
    what SIGHUP calls there. ``upgrade``: what SIGUSR2 calls.
    """

    def __init__(
        self,
        stop: Callable[[], None],
        hurry: Callable[[], None] = _nothing,
        reload: Callable[[], None] | None = None,
        upgrade: Callable[[], None] = _nothing,
    ) -> None:
        self._stop = stop
        self._hurry = hurry
        self._reload = reload or _nothing
        self._upgrade = upgrade
        self._hangup = Hangup() if reload is not None else None
        self._loop = asyncio.get_running_loop()
        self._answered = threading.Event()
        self._closed = False
        self._heard: Queue[int] = Queue()
        _Current.heard = self._heard
        _start(_wait_for_signals(self._heard), "ninep-signals")
        _start(self._end, "ninep-end")

    def close(self) -> None:
        """No longer cut the process short."""
        self._closed = True

    def _end(self) -> None:
        """What follows a signal."""
        while (act := self._meant(self._heard.get())) is not None:
            self._call(act)
        began = monotonic()
        deadline = began + END_TIMEOUT
        self._call(self._stopped)
        hurried = False
        while not self._closed:
            left = (deadline if self._answered.is_set() else min(deadline, began + LOOP_ANSWERS)) - monotonic()
            if left <= 0:
                cut_short()
            with suppress(Empty):
                number = self._heard.get(timeout=min(left, LOOP_ANSWERS / 10))
                if not hurried and self._meant(number) is None:
                    hurried = True
                    deadline = min(deadline, monotonic() + HURRY_TIMEOUT)
                    self._call(self._hurry)

    def _meant(self, number: int) -> Callable[[], None] | None:
        """What a signal asks for; None: the end."""
        if number == _UPGRADE:
            return self._upgrade
        if number == _RELOAD:
            return self._reload
        reload = self._hangup is not None and number == _HANGUP and not self._hangup.of_terminal()
        return self._reload if reload else None

    def _stopped(self) -> None:
        self._answered.set()
        self._stop()

    def _call(self, what: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(what)


class _Current:
    heard: Queue[int] | None = None
    """Of what hears signals now."""


def ask_end() -> None:
    """As SIGTERM does, from any thread; nothing before signals are heard."""
    _ask(signal.SIGTERM)


def ask_reload() -> None:
    """As SIGHUP does that is not of a terminal, from any thread; nothing before signals are heard."""
    _ask(_RELOAD)


def _ask(number: int) -> None:
    if _Current.heard is not None:
        _Current.heard.put(number)


def _start(target: Callable[[], None], name: str) -> None:
    threading.Thread(target=target, name=name, daemon=True).start()


def _wait_for_signals(heard: Queue[int]) -> Callable[[], None]:
    """Prepare, in the main thread; the function is for a thread of its own, and puts each signal
    into a queue.
    """
    numbers = {number for number in HEARD if number != _HANGUP or signal.getsignal(number) is not signal.SIG_IGN}
    if _wait is None:
        return _read_signals(heard, numbers)
    _mask(_BLOCK, numbers)

    def wait() -> None:
        while True:
            heard.put(_wait(numbers))

    return wait


def _read_signals(heard: Queue[int], numbers: set[signal.Signals]) -> Callable[[], None]:
    pipe, written = socket.socketpair()
    written.setblocking(False)
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)

    def read() -> None:
        with written:  # the system knows its number only
            while True:
                for number in pipe.recv(64):
                    if number in numbers:
                        heard.put(number)

    return read


def signal_self() -> None:
    """As if a service manager had asked for the end."""
    os.kill(os.getpid(), signal.SIGTERM)


def hear_no_more_signals() -> None:
    """All is done: a second signal must not turn the clean end that follows into a death by signal.
    The event loop gives the signals back to the system when it closes, so they are blocked, where a
    system can do that.
    """
    if _mask is not None:
        _mask(_BLOCK, set(HEARD))
