"""``ninep serve`` as a service of Windows: its state to the service control manager, what that says to the
server, its log to a file and to the event log.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ninep.app.announce import to_stderr
from ninep.app.ending import ask_end, ask_reload
from ninep.app.logging import set_up
from ninep.app.run import run
from ninep.app.settings import BadConfig, Sources
from ninep.host.windows import service_process
from ninep.host.windows.event_log import EventLog, Kind
from ninep.host.windows.service_process import Service
from ninep.host.windows.services import Control
from ninep.logs import Plain
from ninep.options import BadOption
from ninep.server.limits import BadLimit
from ninep.transport.service_manager import tell

LOG_SIZE: Final = 16 << 20
"""Bytes of a log file: when a service starts, a larger one becomes FILE.1."""


class EventLogHandler(logging.Handler):
    """Warnings and errors, and what became of what the operator asked for, as events."""

    def __init__(self, source: str) -> None:
        super().__init__(logging.WARNING)
        self._events = EventLog(source)
        self.setFormatter(Plain("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """One event. A log that takes none is no reason to end."""
        asked_for = getattr(record, "asked_for", False)
        failed = record.levelno >= logging.ERROR
        kind = Kind.ERROR if failed else Kind.INFORMATION if asked_for else Kind.WARNING
        with suppress(OSError):
            self._events.report(kind, self.format(record))

    def say(self, kind: Kind, sentence: str) -> None:
        """An event that is no record of the log."""
        with suppress(OSError):
            self._events.report(kind, sentence)


def run_service(name: str, config: str, log_file: str) -> int:
    """Be the service until it is stopped; the exit status. ``OSError`` if the system has not started this
    process as that service.
    """
    service = service_process.current()
    service.hear({Control.STOP: ask_end, Control.SHUTDOWN: ask_end, Control.PARAMCHANGE: ask_reload})
    events = EventLogHandler(name)
    status = 1
    try:
        _write_to(log_file)
        tell(_states(service, events))
        status = _serve(config, events)
    except Exception as error:
        events.say(Kind.ERROR, f"{type(error).__name__}: {error}")
        raise
    finally:
        if status == 0:
            events.say(Kind.INFORMATION, "stopped")
        service.ended(status)
    return status


def _states(service: Service, events: EventLogHandler) -> Callable[[str], None]:
    """What is told to systemd (sd_notify(3)), to the SCM."""
    served = False

    def told(state: str) -> None:
        nonlocal served
        if state == "READY=1" and not served:
            served = True
            service.running()
            events.say(Kind.INFORMATION, f"serving, as process {os.getpid()}")
        elif state == "STOPPING=1":
            service.ending()

    return told


def _serve(config: str, events: EventLogHandler) -> int:
    sources = Sources(file=config)
    try:
        settings = sources.settings()
        set_up(settings, [events])
        return run(settings, sources.settings)
    except (BadConfig, BadOption, BadLimit, OSError) as error:
        sentence = error.strerror if isinstance(error, OSError) else None
        for line in (sentence or str(error)).splitlines():
            to_stderr(line)
            events.say(Kind.ERROR, line)
        return 1


def _write_to(path: str) -> None:
    """Standard output and error, of which a service has none, to the log file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with suppress(OSError):
        if os.path.getsize(path) > LOG_SIZE:
            os.replace(path, f"{path}.1")
    sys.stdout = sys.stderr = open(path, "a", encoding="utf-8", buffering=1, errors="backslashreplace")  # noqa: SIM115 - for good
