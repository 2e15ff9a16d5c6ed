"""Run a server from its configuration: open, listen, announce, serve, end.

In one process, or in several behind the same sockets (``server.workers``). What can be wrong is
found before the first client is served and before any process is forked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ninep.app import ready, starting
from ninep.app.announce import announce
from ninep.app.build import check_handles, exports_of, server_of
from ninep.app.config import ServerConfig
from ninep.app.control import answering, control_socket
from ninep.app.control_commands import Controlled
from ninep.app.ending import EndSignals, hear_no_more_signals
from ninep.app.process import cannot_listen, exit_without_hung_threads, run_in_loop
from ninep.app.reload import Reload
from ninep.app.run_workers import run_workers
from ninep.app.upgrade import Upgrade, of_metrics, of_place
from ninep.errors import not_installed
from ninep.host.windows.pipes import PipeServer
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.transport import Bound, handed_on
from ninep.transport.service_manager import flush, notify
from ninep.transport.stored_front_end import drop_rest

if TYPE_CHECKING:
    from ninep.metrics import MetricsEndpoint

log = logging.getLogger("ninep.serve")
NOTIFY_TIMEOUT: Final = 5.0
"""Seconds for the service manager to take what it is told."""
T = TypeVar("T")
_HANG_UP: Any = getattr(signal, "SIGHUP", None)


ReadAgain = Callable[[], ServerConfig]
"""Reads the configuration as it is now: ``BadOption``."""


def run(settings: ServerConfig, again: ReadAgain | None = None) -> int:
    """Serve until a signal; the exit status. ``OSError`` with a sentence if it cannot begin.
    ``again``: SIGHUP makes it serve what that returns then.
    """
    starting.begin()
    try:
        return _run(settings, again)
    finally:
        starting.end()


def _run(settings: ServerConfig, again: ReadAgain | None) -> int:
    if handed_on.taken() is not None:
        settings, again = _without_ready_fd(settings, again)
    ready.check(settings.ready_fd)
    check_handles(settings)
    endpoint = _metrics(settings)
    os.umask(0)  # clients state the permissions of a file, after their own umask
    exports = exports_of(settings)
    control = _control(settings)
    try:
        if settings.workers > 1:
            return run_workers(settings, exports, endpoint, control if isinstance(control, Bound) else None, again)
        run_in_loop(settings.listen, lambda: _serve(settings, exports, endpoint, control, again))
    finally:
        if control is not None:
            control.close()
        flush(NOTIFY_TIMEOUT)
    exit_without_hung_threads()
    return 0


def _without_ready_fd(settings: ServerConfig, again: ReadAgain | None) -> tuple[ServerConfig, ReadAgain | None]:
    """After an upgrade: the process before has written the addresses there, and what a file that is read
    again says of it is no change.
    """

    def read(again: ReadAgain) -> ServerConfig:
        return replace(again(), ready_fd=None)

    return replace(settings, ready_fd=None), None if again is None else partial(read, again)


def _control(settings: ServerConfig) -> Bound | PipeServer | None:
    try:
        return control_socket(settings.control, needed=settings.workers > 1 and settings.metrics is not None)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot make the control socket {settings.control}: {error.strerror or error}"
        ) from error


async def _serve(
    settings: ServerConfig,
    exports: Sequence[Export],
    endpoint: MetricsEndpoint | None,
    control: Bound | PipeServer | None,
    again: ReadAgain | None,
) -> None:
    stopped = asyncio.Event()
    async with server_of(settings, exports) as server:
        reload = Reload(again, settings, exports, server) if again is not None else None
        # Before the first client: what it makes begin are threads, which would get signals.
        drain = _drains(server, stopped)

        def leave() -> None:
            controlled.leave()
            drain(leave=True)

        upgrade = _upgrade(settings, server, endpoint, reload, leave)
        starting.hand_over()
        EndSignals(stopped.set, server.hurry, reload.ask if reload is not None else None, upgrade.ask)
        listening = []
        for address in settings.listen:
            try:
                listening.append(await server.listen(address))
            except OSError as error:
                raise cannot_listen(address, error) from error
        drop_rest()
        announce(settings, exports, listening, [] if endpoint is None else [endpoint.address])
        if reload is not None:
            reload.begin(listening)
        controlled = Controlled(
            server=server, drain=drain, upgrade=upgrade.now, reload=None if reload is None else reload.now
        )
        with endpoint.of(server) if endpoint else nullcontext():
            async with answering(controlled, control):
                handed_on.serves()
                await (stopped.wait() if server.accepting else _until_idle(server, stopped))
        upgrade.forget()
        log.info("stopping")
        notify("STOPPING=1")
    hear_no_more_signals()


def _metrics(settings: ServerConfig) -> MetricsEndpoint | None:
    """The endpoint for metrics, bound before anything is served. ``OSError`` with a sentence without
    the library.
    """
    if settings.metrics is None:
        return None
    try:
        from ninep.metrics import metrics_endpoint  # noqa: PLC0415 - the library is an extra
    except ImportError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        raise not_installed("--metrics", "prometheus_client", "metrics") from error
    try:
        return metrics_endpoint(settings.metrics, settings.access)
    except OSError as error:
        raise cannot_listen(settings.metrics, error) from error


def _upgrade(
    settings: ServerConfig,
    server: Server,
    endpoint: MetricsEndpoint | None,
    reload: Reload | None,
    drain: Callable[[], None],
) -> Upgrade:
    """The upgrade of a server of one process."""

    def sockets() -> list[tuple[str, Sequence[socket.socket]]]:
        found = [of_place(one.asked or one.address, one.sockets) for one in server.listeners]
        return found + of_metrics(settings, endpoint)

    def leave() -> None:
        if reload is not None:
            reload.end()
        if endpoint is not None:
            endpoint.leave()
        drain()

    loop = asyncio.get_running_loop()
    return Upgrade(settings, sockets, loop.add_reader, loop.remove_reader, leave)


def _drains(server: Server, stopped: asyncio.Event) -> Callable[..., None]:
    """What accepts nothing more and ends with the last connection."""
    waiting: list[asyncio.Task[None]] = []

    async def end() -> None:
        await server.wait_idle()
        stopped.set()

    def drain(*, leave: bool = False) -> None:
        if not waiting:
            log.info("draining: accepting nothing more")
            server.drain(leave=leave)
            waiting.append(asyncio.get_running_loop().create_task(end()))

    return drain


async def _until_idle(server: Server, stopped: asyncio.Event) -> None:
    """Only connections that were handed over: the server ends with the last one."""
    ending = [asyncio.create_task(stopped.wait()), asyncio.create_task(server.wait_idle())]
    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    for task in ending:
        task.cancel()
