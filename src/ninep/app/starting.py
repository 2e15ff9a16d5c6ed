"""Signals while ``ninep serve`` starts: from the first line of the program until something hears them
that can end a server (``ending``, ``server.workers``).

Without this, SIGHUP and SIGUSR2, which ask a running server to read its configuration again or to start
another in its place, would end one that is not so far, and SIGTERM would leave behind what was made already.

Rules

* The signals are blocked in all threads. What comes is given to who hears signals next: the start goes
  on to its end, and then the server does what was asked.
* A start that does not get so far within ``START_TIMEOUT`` after SIGTERM or SIGINT, or a second one of
  these, is cut short: exit status 1.
* A start that fails is not asked to end any more.

Light, since it comes before all that takes time; nothing is done where there is no sigwait(3).
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Final

from ninep.app.cut_short import cut_short

START_TIMEOUT: Final = 15.0
_names: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2")
_HANGUP: Final = getattr(signal, "SIGHUP", None)
_ENDING: Final = frozenset(getattr(signal, name, None) for name in _names[:2])
_WAKE: Final = getattr(signal, "SIGUSR1", None)
_mask: Any = getattr(signal, "pthread_sigmask", None)
_wait: Any = getattr(signal, "sigwait", None)
_pending: Any = getattr(signal, "sigpending", None)
_to_thread: Any = getattr(signal, "pthread_kill", None)
_BLOCK, _SET = (getattr(signal, name, 0) for name in ("SIG_BLOCK", "SIG_SETMASK"))


class _Start:
    """The time between."""

    def __init__(self) -> None:
        # Ignored at the start: nohup(1).
        numbers = {getattr(signal, name) for name in _names}
        self._numbers = {one for one in numbers if one != _HANGUP or signal.getsignal(one) is not signal.SIG_IGN}
        self._before = _mask(_BLOCK, {*self._numbers, _WAKE})
        self._heard: list[int] = []
        self._over = threading.Event()
        self._limit: threading.Thread | None = None
        self._thread = threading.Thread(target=self._hear, name="ninep-start", daemon=True)
        self._thread.start()

    def _hear(self) -> None:
        while not self._over.is_set():
            number = _wait({*self._numbers, _WAKE})
            if number == _WAKE:
                continue
            if number in _ENDING:
                if self._limit is not None:
                    cut_short()
                self._limit = threading.Thread(target=self._wait_for_end, name="ninep-start", daemon=True)
                self._limit.start()
            self._heard.append(number)

    def _wait_for_end(self) -> None:
        if not self._over.wait(START_TIMEOUT):
            cut_short()

    def _stop(self) -> None:
        self._over.set()
        _to_thread(self._thread.ident, _WAKE)
        self._thread.join()
        if self._limit is not None:
            self._limit.join()

    def hand_over(self) -> None:
        """The signals stay blocked, and those that came wait for who hears them next."""
        self._stop()
        _mask(_SET, self._before | self._numbers)
        for number in self._heard:
            os.kill(os.getpid(), number)

    def end(self) -> None:
        """As it was before; what came is forgotten, also what the thread has not taken."""
        self._stop()
        while pending := _pending() & self._numbers:
            _wait(pending)
        _mask(_SET, self._before)


class _Current:
    start: _Start | None = None


def begin() -> None:
    """A server starts; to be called in the main thread. Nothing if that was said already."""
    if _wait is not None and _Current.start is None and threading.current_thread() is threading.main_thread():
        _Current.start = _Start()


def hand_over() -> None:
    """The caller hears the signals from here on, with those that came: they are blocked."""
    start, _Current.start = _Current.start, None
    if start is not None:
        start.hand_over()


def end() -> None:
    """If nothing has come of it, signals do what they did before."""
    start, _Current.start = _Current.start, None
    if start is not None:
        start.end()
