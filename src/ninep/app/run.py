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
from typing import TYPE_CHECKING, Any, TypeVar

from ninep.app import ready
from ninep.app.announce import announce
from ninep.app.build import check_handles, exports_of, server_of
from ninep.app.config import ServerConfig
from ninep.app.control import answering, control_socket, path_of
from ninep.app.control_client import OthersMetrics
from ninep.app.control_commands import Controlled
from ninep.app.ending import EndSignals, hear_no_more_signals, signal_self
from ninep.app.process import exit_without_hung_threads, run_in_loop
from ninep.app.reload import Reload
from ninep.app.reload_workers import ParentReload, Served, WorkerReload
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.server.worker import DRAIN, say, when_parent_ends
from ninep.server.worker_change import Change
from ninep.server.workers import Pool
from ninep.transport import Address, Bound, listeners
from ninep.transport.kept import drop_rest
from ninep.transport.service_manager import notify

if TYPE_CHECKING:
    from ninep.metrics import MetricsEndpoint

log = logging.getLogger("ninep.serve")
T = TypeVar("T")
_HANG_UP: Any = getattr(signal, "SIGHUP", None)


ReadAgain = Callable[[], ServerConfig]
"""Reads the configuration as it is now: ``BadOption``."""


def run(settings: ServerConfig, again: ReadAgain | None = None) -> int:
    """Serve until a signal; the exit status. ``OSError`` with a sentence if it cannot begin.
    ``again``: SIGHUP makes it serve what that returns then.
    """
    ready.check(settings.ready_fd)
    check_handles(settings)
    endpoint = _metrics(settings)
    os.umask(0)  # clients state the permissions of a file, after their own umask
    exports = exports_of(settings)
    control = _control(settings)
    try:
        if settings.workers > 1:
            return _run_workers(settings, exports, endpoint, control, again)
        run_in_loop(settings.listen, lambda: _serve(settings, exports, endpoint, control, again))
    finally:
        if control is not None:
            control.close()
    exit_without_hung_threads()
    return 0


def _control(settings: ServerConfig) -> Bound | None:
    try:
        return control_socket(settings.control, needed=settings.workers > 1 and settings.metrics is not None)
    except OSError as error:
        raise OSError(
            error.errno, f"cannot make the control socket {settings.control}: {error.strerror or error}"
        ) from error


def _cannot_listen(address: Address, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror or error}")


async def _serve(
    settings: ServerConfig,
    exports: Sequence[Export],
    endpoint: MetricsEndpoint | None,
    control: Bound | None,
    again: ReadAgain | None,
) -> None:
    stopped = asyncio.Event()
    async with server_of(settings, exports) as server:
        reload = Reload(again, settings, exports, server) if again is not None else None
        # Before the first client: what it makes begin are threads, which would get signals.
        EndSignals(stopped.set, server.hurry, reload.ask if reload is not None else None)
        listening = []
        for address in settings.listen:
            try:
                listening.append(await server.listen(address))
            except OSError as error:
                raise _cannot_listen(address, error) from error
        drop_rest()
        announce(settings, exports, listening, [] if endpoint is None else [endpoint.address])
        if reload is not None:
            reload.begin(listening)
        controlled = Controlled(
            server=server, drain=_drains(server, stopped), reload=None if reload is None else reload.now
        )
        with endpoint.of(server) if endpoint else nullcontext():
            async with answering(controlled, control):
                await (stopped.wait() if server.accepting else _until_idle(server, stopped))
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
        raise OSError("--metrics needs the library prometheus_client: pip install 'ninep[metrics]'") from error
    try:
        return metrics_endpoint(settings.metrics, settings.access)
    except OSError as error:
        raise _cannot_listen(settings.metrics, error) from error


def _own_metrics(server: Server) -> Callable[[], str]:
    def text() -> str:
        from ninep.metrics import text_of  # noqa: PLC0415 - as above

        return text_of(server)

    return text


async def _parent_reloads() -> str:
    """Of a worker: the parent is asked, and says in the log what became of it."""
    os.kill(os.getppid(), _HANG_UP)
    return ""


def _drains(server: Server, stopped: asyncio.Event) -> Callable[[], None]:
    """What accepts nothing more and ends with the last connection."""
    waiting: list[asyncio.Task[None]] = []

    async def end() -> None:
        await server.wait_idle()
        stopped.set()

    def drain() -> None:
        if not waiting:
            log.info("draining: accepting nothing more")
            server.drain()
            waiting.append(asyncio.get_running_loop().create_task(end()))

    return drain


async def _until_idle(server: Server, stopped: asyncio.Event) -> None:
    """Only connections that were handed over: the server ends with the last one."""
    ending = [asyncio.create_task(stopped.wait()), asyncio.create_task(server.wait_idle())]
    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    for task in ending:
        task.cancel()


def _run_workers(
    settings: ServerConfig,
    exports: Sequence[Export],
    endpoint: MetricsEndpoint | None,
    control: Bound | None,
    again: ReadAgain | None,
) -> int:
    bound: list[Bound] = []
    for address in settings.listen:
        try:
            bound.append(listeners.bind(address))
        except OSError as error:
            raise _cannot_listen(address, error) from error

    drop_rest()  # workers keep none
    served = Served.begin(settings, exports, bound)

    def work(parent: socket.socket, _number: int) -> None:
        ready.close_in_worker(settings.ready_fd)
        reloads = again is not None
        run_in_loop(served.settings.listen, lambda: _work(served, parent, endpoint, control, reloads=reloads))

    def all_serve() -> None:
        announce(settings, exports, [one.address for one in bound], [] if endpoint is None else [endpoint.address])
        log.info("workers: %s", ", ".join(str(worker.pid) for worker in pool.workers))

    def change(one: Change) -> None:
        pool.change(one)

    reload = None if again is None else ParentReload(again, served, change)
    pool = Pool(list(served.sockets.values()), settings.workers, work, None if reload is None else reload.hangup)
    status = pool.run(all_serve, lambda: notify("STOPPING=1"))
    hear_no_more_signals()
    for one in served.bound.values():
        one.close()
    return status


async def _work(
    served: Served, parent: socket.socket, endpoint: MetricsEndpoint | None, control: Bound | None, *, reloads: bool
) -> None:
    stopped = asyncio.Event()
    built = served.built()
    async with server_of(served.settings, built.exports) as server:
        EndSignals(stopped.set, server.hurry)
        when_parent_ends(parent, signal_self)
        listening = dict(served.listening)
        follower = WorkerReload(built, server, listening, parent, signal_self)
        server.serve_for(parent, stopped.set, listening, follower)
        log.info("worker %d serves", os.getpid())
        others = None if control is None else OthersMetrics(path_of(control))
        controlled = Controlled(
            server=server,
            drain=lambda: say(parent, DRAIN),
            reload=_parent_reloads if reloads else None,
            metrics=_own_metrics(server) if endpoint else None,
            pid=os.getppid(),
            workers=served.settings.workers,
        )
        with endpoint.of(server, others) if endpoint else nullcontext():
            async with answering(controlled, control):
                await stopped.wait()
    hear_no_more_signals()
