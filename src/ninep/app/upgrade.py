"""The program started again, with another version of itself or other fixed options, in the place of a
server that is running (``ninep ctl upgrade``, SIGUSR2): it gets the listening sockets, and the old process
ends with its last connection.

Rules

* The new process reads its configuration and opens its exports itself, by the same command line. Until
  it serves the old one goes on; if it ends before, nothing has changed.
* Connections stay where they are. What has no socket that two processes can listen at (devices of
  virtual machines, mounts, stdin) cannot be handed on: then nothing is begun.
* The service manager is told which process is the main one now (MAINPID of sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from socket import socket
from typing import TYPE_CHECKING, Any, Final

from ninep.app.config import ServerConfig
from ninep.logs import ASKED_FOR
from ninep.transport import Address, handed_on
from ninep.transport.service_manager import notify

if TYPE_CHECKING:
    from ninep.metrics import MetricsEndpoint

log = logging.getLogger("ninep.serve")

SIGNAL: Final[Any] = getattr(signal, "SIGUSR2", None)
METRICS: Final = "metrics"
REAP_TIMEOUT: Final = 1.0
Sockets = Iterable[tuple[str, Sequence[socket]]]


class NotUpgraded(Exception):
    """Nothing has changed; the text says why."""


class Upgrade:
    """The upgrades of a server: one at a time, and one that is good is the last.

    Args:
        settings: the configuration at the start.
        sockets: what is listened at, by places (``handed_on.place``). ``NotUpgraded``.
        watch: calls a function when a descriptor can be read, until ``unwatch``.
        leave: accept nothing more, and end with the last connection.
    """

    def __init__(
        self,
        settings: ServerConfig,
        sockets: Callable[[], Sockets],
        watch: Callable[[int, Callable[[], None]], Any],
        unwatch: Callable[[int], Any],
        leave: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._watch, self._unwatch, self._leave = watch, unwatch, leave
        self._process: subprocess.Popen[bytes] | None = None
        self._on_end: Callable[[str], None] = _no_callback
        self._pipe = -1
        self.over = False
        """Another process serves now."""

    def ask(self) -> None:
        """Upgrade; the log has what becomes of it."""
        try:
            self.begin()
        except NotUpgraded as error:
            log.error("not upgraded: %s", error, extra=ASKED_FOR)  # noqa: TRY400 - what is to be known is in the line

    async def now(self) -> str:
        """Upgrade, and wait: why nothing has changed, or nothing."""
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def ended(why: str) -> None:
            if not done.done():
                done.set_result(why)

        try:
            self.begin(ended)
        except NotUpgraded as error:
            return str(error)
        return await done

    def begin(self, ended: Callable[[str], None] | None = None) -> None:
        """Start the new process. ``ended`` is called with why nothing has changed, or with nothing, when
        that is known. ``NotUpgraded``.
        """
        self._check()
        sockets = dict(self._sockets())
        pipe, theirs = os.pipe()
        numbers = [sock.fileno() for some in sockets.values() for sock in some]
        try:
            self._process = subprocess.Popen(
                [sys.executable, *sys.orig_argv[1:]],
                pass_fds=[*numbers, theirs],
                env={**os.environ, **handed_on.environment(sockets, theirs)},
            )
        except OSError as error:
            os.close(pipe)
            raise NotUpgraded(f"{error.strerror}: {error.filename or sys.executable}") from error
        finally:
            os.close(theirs)
        log.info("upgrade: process %d begins", self._process.pid)
        self._pipe, self._on_end = pipe, ended or _no_callback
        self._watch(pipe, self._heard)

    def _check(self) -> None:
        if self.over:
            raise NotUpgraded("another process serves already, and this one ends with its last connection")
        if self._pipe >= 0 and self._process is not None:
            raise NotUpgraded(f"process {self._process.pid} is about to begin")
        if SIGNAL is None:
            raise NotUpgraded("this system has no sockets that a process can hand on")
        if os.getpid() == 1:
            raise NotUpgraded("this is the first process of a container, which ends with it")
        if self._settings.pcap is not None:
            raise NotUpgraded("the file of --pcap is written by one process alone")
        if not sys.executable:
            raise NotUpgraded("it is not known which program this is")

    def _heard(self) -> None:
        """The new process serves, or has ended."""
        said = os.read(self._pipe, 64)
        self.forget()
        process = self._process
        assert process is not None  # noqa: S101 - its pipe was read
        if said != handed_on.SERVES:
            why = f"process {process.pid} {_end_of(process)} before it served; what it said stands in its log"
            log.error("not upgraded: %s", why, extra=ASKED_FOR)
            self._on_end(why)
            return
        self.over = True
        log.warning("upgraded: process %d serves; this one ends with its last connection", process.pid, extra=ASKED_FOR)
        notify(f"MAINPID={process.pid}")
        os.environ.pop("NOTIFY_SOCKET", None)  # what follows is not the service's
        self._on_end("")
        self._leave()

    def forget(self) -> None:
        """Watch no more for what becomes of it."""
        if self._pipe >= 0:
            self._unwatch(self._pipe)
            os.close(self._pipe)
            self._pipe = -1


def _no_callback(_why: str) -> None:
    """When no answer is waited for."""


def _end_of(process: subprocess.Popen[bytes]) -> str:
    try:
        status = process.wait(REAP_TIMEOUT)
    except subprocess.TimeoutExpired:
        return "gave up"
    return f"ended ({f'exit status {status}' if status >= 0 else signal.Signals(-status).name})"


def of_place(address: Address, sockets: Sequence[socket]) -> tuple[str, Sequence[socket]]:
    """What is handed on of an address that is listened at. ``NotUpgraded``."""
    if not sockets:
        raise NotUpgraded(f"{address} cannot be handed on to another process")
    return handed_on.place(address), sockets


def of_metrics(settings: ServerConfig, endpoint: MetricsEndpoint | None) -> list[tuple[str, Sequence[socket]]]:
    """What is handed on of the endpoint for metrics."""
    if endpoint is None or settings.metrics is None:
        return []
    return [(handed_on.place(settings.metrics, METRICS), endpoint.sockets)]
