"""Run a server of several processes behind the same sockets (``server.workers``): the parent, and what
each worker does.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from ninep.app import ready, starting
from ninep.app.announce import announce
from ninep.app.build import server_of
from ninep.app.config import ServerConfig
from ninep.app.control import answering, path_of
from ninep.app.control_client import OthersMetrics
from ninep.app.control_commands import Controlled
from ninep.app.ending import EndSignals, hear_no_more_signals, signal_self
from ninep.app.process import cannot_listen, run_in_loop
from ninep.app.reload_workers import ParentReload, Served, WorkerReload
from ninep.app.upgrade import SIGNAL as UPGRADE
from ninep.app.upgrade import Upgrade, of_metrics, of_place
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.server.worker import DRAIN, say, when_parent_ends
from ninep.server.worker_change import Change
from ninep.server.workers import Pool
from ninep.transport import Bound, handed_on, listeners, nothing, transport_of
from ninep.transport.service_manager import notify
from ninep.transport.stored_front_end import drop_rest

if TYPE_CHECKING:
    from ninep.metrics import MetricsEndpoint

log = logging.getLogger("ninep.serve")

_HANG_UP: Any = getattr(signal, "SIGHUP", None)


def run_workers(
    settings: ServerConfig,
    exports: Sequence[Export],
    endpoint: MetricsEndpoint | None,
    control: Bound | None,
    again: Callable[[], ServerConfig] | None,
) -> int:
    """Serve until a signal; the exit status."""
    bound: list[Bound] = []
    for address in settings.listen:
        try:
            bound.append(listeners.bind(address))
        except OSError as error:
            raise cannot_listen(address, error) from error
    drop_rest()  # workers keep none
    return _Parent(settings, exports, endpoint, control, again, bound).run()


class _Parent:
    """The parent: what its pool asks for."""

    def __init__(
        self,
        settings: ServerConfig,
        exports: Sequence[Export],
        endpoint: MetricsEndpoint | None,
        control: Bound | None,
        again: Callable[[], ServerConfig] | None,
        bound: Sequence[Bound],
    ) -> None:
        self._settings = settings
        self._exports = exports
        self._endpoint = endpoint
        self._control = control
        self._served = Served.begin(settings, exports, bound)
        self._reload = None if again is None else ParentReload(again, self._served, self)
        self._upgrade = Upgrade(settings, self._sockets, self.watch, self.unwatch, self._leave)
        starting.hand_over()
        self._pool = Pool(
            list(self._served.sockets.values()),
            settings.workers,
            self._work,
            None if self._reload is None else self._reload.hangup,
            {} if UPGRADE is None else {UPGRADE: self._upgrade.ask},
        )

    def run(self) -> int:
        """Until a signal; the exit status."""
        status = self._pool.run(self._all_serve, self._ends)
        hear_no_more_signals()
        if not self._upgrade.over:  # else another process listens there
            for one in self._served.bound.values():
                one.close()
        return status

    def _work(self, parent: socket.socket, _number: int) -> None:
        """In a worker."""
        ready.close_in_worker(self._settings.ready_fd)
        handed_on.close_in_worker()
        served, endpoint, control, reloads = self._served, self._endpoint, self._control, self._reload is not None
        run_in_loop(served.settings.listen, lambda: _work(served, parent, endpoint, control, reloads=reloads))

    def _all_serve(self) -> None:
        metrics = [] if self._endpoint is None else [self._endpoint.address]
        announce(self._settings, self._exports, [one.address for one in self._served.bound.values()], metrics)
        log.info("workers: %s", ", ".join(str(worker.pid) for worker in self._pool.workers))
        handed_on.serves()

    def _ends(self) -> None:
        self._upgrade.forget()
        notify("STOPPING=1")

    # -- what its reloads and upgrades need (reload_workers.ParentLoop)

    def change(self, change: Change) -> None:
        """As of the pool."""
        self._pool.change(change)

    def watch(self, descriptor: int, call: Callable[[], None]) -> None:
        """As of the pool."""
        self._pool.watch(descriptor, call)

    def unwatch(self, descriptor: int) -> None:
        """As of the pool."""
        self._pool.unwatch(descriptor)

    def start_none_until(self, when: float) -> None:
        """As of the pool."""
        self._pool.start_none_until(when)

    # -- another process in the place of this one

    def _sockets(self) -> list[tuple[str, Sequence[socket.socket]]]:
        found = [of_place(address, _shared(one)) for address, one in self._served.bound.items()]
        return found + of_metrics(self._settings, self._endpoint)

    def _leave(self) -> None:
        if self._reload is not None:
            self._reload.end()
        self._pool.leave()


def _shared(bound: Bound) -> list[socket.socket]:
    """The sockets that another process can listen at, too."""
    return [] if transport_of(bound.address).accept is not None else bound.sockets


def _own_metrics(server: Server) -> Callable[[], str]:
    def text() -> str:
        from ninep.metrics import text_of  # noqa: PLC0415 - as above

        return text_of(server)

    return text


async def _parent_reloads() -> str:
    """Of a worker: the parent is asked, and says in the log what became of it."""
    os.kill(os.getppid(), _HANG_UP)
    return ""


async def _parent_upgrades() -> str:
    """As ``_parent_reloads``."""
    os.kill(os.getppid(), UPGRADE)
    return ""


async def _work(
    served: Served, parent: socket.socket, endpoint: MetricsEndpoint | None, control: Bound | None, *, reloads: bool
) -> None:
    stopped = asyncio.Event()
    built = served.built()
    async with server_of(served.settings, built.exports) as server:
        EndSignals(stopped.set, server.hurry)
        when_parent_ends(parent, signal_self)
        listening = dict(served.listening)

        def leave() -> None:
            controlled.leave()
            (nothing if endpoint is None else endpoint.leave)()

        follower = WorkerReload(built, server, listening, parent, signal_self, leave)
        server.serve_for(parent, stopped.set, listening, follower)
        log.info("worker %d serves", os.getpid())
        others = None if control is None else OthersMetrics(path_of(control))
        controlled = Controlled(
            server=server,
            drain=lambda: say(parent, DRAIN),
            upgrade=_parent_upgrades,
            reload=_parent_reloads if reloads else None,
            metrics=_own_metrics(server) if endpoint else None,
            pid=os.getppid(),
            workers=served.settings.workers,
        )
        with endpoint.of(server, others) if endpoint else nullcontext():
            async with answering(controlled, control):
                await stopped.wait()
    hear_no_more_signals()
