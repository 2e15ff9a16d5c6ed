"""The signals that ask a program to end, for one that serves in an event loop of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

ENDING: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def asked_to_end(then: Callable[[], None]) -> Iterator[None]:
    """Call ``then`` in the running loop at SIGINT, SIGTERM and SIGHUP; afterwards they are what
    they were before.

    Only the main thread hears signals: in another one nothing is done. A SIGHUP that is ignored
    (nohup(1)) stays ignored.
    """
    before: dict[signal.Signals, Any] = {}
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            handler = signal.getsignal(number)
            if number == signal.SIGINT or handler is not signal.SIG_IGN:
                before[number] = handler
                _hear(loop, number, then)
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _hear(loop: asyncio.AbstractEventLoop, number: signal.Signals, then: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, then)
    except NotImplementedError:  # the Proactor loop of Windows has no signal handlers of its own
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(then))
