"""Running a server from its configuration: open, listen, say so, serve, end.

In one process, or in several behind the same sockets (``server.workers``). Everything that can be wrong is found out before the first
client is served and before any process is forked.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ninep.app.build import check_handles, exports_of, server_of
from ninep.app.config import ServerConfig
from ninep.cli import ready
from ninep.cli.ending import EndSignals, hear_no_more_signals, signal_self
from ninep.cli.hints import hints
from ninep.options import BadOption
from ninep.server.exports import Export
from ninep.server.server import THREAD_NAME, Server
from ninep.server.worker import when_parent_ends
from ninep.server.workers import Pool
from ninep.transport import addresses, listeners

if TYPE_CHECKING:
    from ninep.metrics import Telling

log = logging.getLogger("ninep.serve")
T = TypeVar("T")


def run(settings: ServerConfig) -> int:
    """Serve until told to stop; the exit status. ``OSError`` with a sentence if it cannot begin."""
    ready.check(settings.ready_fd)
    check_handles(settings)
    telling = _telling(settings)
    os.umask(0)  # clients say what permissions a file gets; theirs have been taken off by their own umask
    exports = exports_of(settings)
    if settings.workers > 1:
        return _run_workers(settings, exports, telling)
    in_loop(settings, lambda: _serve(settings, exports, telling))
    leave_what_hangs()
    return 0


def leave_what_hangs(patience: float = 1.0) -> None:
    """End the process although a thread waits for a device that does not answer: Python would wait for it before it ends."""
    deadline = monotonic() + patience
    hanging = 0
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_NAME):
            thread.join(max(0.0, deadline - monotonic()))
            hanging += thread.is_alive()
    if hanging:
        log.error("%d requests still wait for a device that does not answer: ending without them", hanging)
        logging.shutdown()
        os._exit(1)


def spare_the_collector() -> None:
    """Let the cyclic garbage collector look rarely, and never at what was there before the first client.

    Fids and nodes live long and are freed by their reference counts; with the default thresholds a client that walks to many files makes the
    collector go through all of them again and again (3 to 100 us a walk, with the number of fids).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def share_the_interpreter() -> None:
    """Threads that compute (large listings, closing many fids) give the interpreter back to the event loop after half a millisecond, and not after
    the usual five: each of them would be waited for in turn.
    """
    sys.setswitchinterval(0.0005)


def in_loop(settings: ServerConfig, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in the fastest event loop that knows the sockets listened at: uvloop knows TCP and unix sockets only."""
    spare_the_collector()
    share_the_interpreter()
    if any(isinstance(address, addresses.Vsock | addresses.HyperV) for address in settings.listen):
        return asyncio.run(main())
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        return asyncio.run(main())
    return uvloop.run(main())


def _cannot_listen(address: addresses.Address, error: OSError) -> OSError:
    return OSError(error.errno, f"cannot listen on {address}: {error.strerror or error}")


async def _serve(settings: ServerConfig, exports: Sequence[Export], telling: Sequence[Telling]) -> None:
    stopped = asyncio.Event()
    async with server_of(settings, exports) as server:
        places = []
        for address in settings.listen:
            try:
                places.append(await server.listen(address))
            except OSError as error:
                raise _cannot_listen(address, error) from error
        EndSignals(stopped.set, server.hurry)
        announce(settings, exports, places, telling)
        with telling[0].of(server) if telling else nullcontext():
            await (stopped.wait() if server.accepting else _until_idle(server, stopped))
        log.info("stopping")
        ready.notify("STOPPING=1")
    hear_no_more_signals()


def _telling(settings: ServerConfig) -> Sequence[Telling]:
    """A socket to tell numbers at for each process, bound before anything is served. ``BadOption`` without the library."""
    if settings.metrics is None:
        return ()
    try:
        from ninep.metrics import tellings  # noqa: PLC0415 - the library is an extra
    except ImportError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        raise BadOption("--metrics needs the library prometheus_client: pip install 'ninep[metrics]'") from error
    try:
        return tellings(settings.metrics, settings.workers, settings.access)
    except OSError as error:
        raise _cannot_listen(settings.metrics, error) from error


async def _until_idle(server: Server, stopped: asyncio.Event) -> None:
    """Only connections that were handed over: the end of the last one is ours."""
    ending = [asyncio.create_task(stopped.wait()), asyncio.create_task(server.wait_idle())]
    await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
    for task in ending:
        task.cancel()


def _run_workers(settings: ServerConfig, exports: Sequence[Export], telling: Sequence[Telling]) -> int:
    bound: list[listeners.Bound] = []
    for address in settings.listen:
        try:
            bound.append(listeners.bind(address))
        except OSError as error:
            raise _cannot_listen(address, error) from error

    def work(control: socket.socket, place: int) -> None:
        ready.leave(settings.ready_fd)
        in_loop(settings, lambda: _work(settings, exports, control, telling[place] if telling else None))

    def all_serve() -> None:
        announce(settings, exports, [one.address for one in bound], telling)
        log.info("workers: %s", ", ".join(str(worker.pid) for worker in pool.workers))

    pool = Pool([sock for one in bound for sock in one.sockets], settings.workers, work)
    status = pool.run(all_serve, lambda: ready.notify("STOPPING=1"))
    hear_no_more_signals()
    for one in bound:
        one.close()
    return status


async def _work(
    settings: ServerConfig, exports: Sequence[Export], control: socket.socket, telling: Telling | None
) -> None:
    stopped = asyncio.Event()
    async with server_of(settings, exports) as server:
        EndSignals(stopped.set, server.hurry)
        when_parent_ends(control, signal_self)
        server.serve_for(control, stopped.set)
        log.info("worker %d serves", os.getpid())
        with telling.of(server) if telling else nullcontext():
            await stopped.wait()
    hear_no_more_signals()


def announce(
    settings: ServerConfig,
    exports: Sequence[Export],
    places: Sequence[addresses.Address],
    telling: Sequence[Telling] = (),
) -> None:
    """Say on stderr what is served, where, and what to type in a guest; tell who waits for it that the server listens."""
    ready.tell(settings.ready_fd, places)
    ready.notify("READY=1")
    for config, export in zip(settings.exports, exports, strict=True):
        model = getattr(export.driver, "security_model", "")
        what = [*([model] if model else []), *(["read-only"] if config.get("read_only") else [])]
        name = f" as {config.name!r}" if config.name else ""
        click.echo(f"ninep: serving {config.target}{name}" + (f" ({', '.join(what)})" if what else ""), err=True)
    for place in places:
        click.echo(f"ninep: listening on {place}", err=True)
    for one in telling:
        click.echo(f"ninep: metrics on http://{one.address}/metrics", err=True)
    for place in places:
        for config in settings.exports:
            for where, line in hints(place, config.name, settings.limits.msize):
                click.echo(f"ninep: {where}: {line}", err=True)
