"""Running a server from its configuration: open, listen, say so, serve, end.

In one process, or in several behind the same sockets (``server.workers``). Everything that can be wrong is found out before the first
client is served and before any process is forked.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import nullcontext
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ninep.assembly import exports_of, server_of, with_models
from ninep.config import BadConfig, ServerConfig
from ninep.server.exports import Export
from ninep.server.server import THREAD_NAME, Server
from ninep.server.workers import Pool
from ninep.transport import addresses, listeners

if TYPE_CHECKING:
    from ninep.metrics import Telling

log = logging.getLogger("ninep.serve")
T = TypeVar("T")


def run(settings: ServerConfig) -> None:
    """Serve until told to stop. ``OSError`` with a sentence if it cannot begin."""
    telling = _telling(settings)
    os.umask(0)  # clients say what permissions a file gets; theirs have been taken off by their own umask
    settings = with_models(settings)
    exports = exports_of(settings)
    if settings.workers > 1:
        _run_workers(settings, exports, telling)
    else:
        in_loop(settings, lambda: _serve(settings, exports, telling))
        leave_what_hangs()


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


def in_loop(settings: ServerConfig, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in the fastest event loop that knows the sockets listened at: uvloop knows TCP and unix sockets only."""
    spare_the_collector()
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
        on_signals(stopped)
        announce(settings, places, telling)
        with telling[0].of(server) if telling else nullcontext():
            await (stopped.wait() if server.accepting else _until_idle(server, stopped))
        log.info("stopping")
    hear_no_more_signals()


def _telling(settings: ServerConfig) -> Sequence[Telling]:
    """A socket to tell numbers at for each process, bound before anything is served. ``BadConfig`` without the library."""
    if settings.metrics is None:
        return ()
    try:
        from ninep.metrics import tellings  # noqa: PLC0415 - the library is an extra
    except ImportError as error:
        if error.name is None or not error.name.startswith("prometheus_client"):
            raise
        raise BadConfig("--metrics needs the library prometheus_client: pip install 'ninep[metrics]'") from error
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


def _run_workers(settings: ServerConfig, exports: Sequence[Export], telling: Sequence[Telling]) -> None:
    bound: list[listeners.Bound] = []
    for address in settings.listen:
        try:
            bound.append(listeners.bind(address))
        except OSError as error:
            raise _cannot_listen(address, error) from error

    def work(control: socket.socket, place: int) -> None:
        in_loop(settings, lambda: _work(settings, exports, control, telling[place] if telling else None))

    pool = Pool([sock for one in bound for sock in one.sockets], settings.workers, work)
    announce(settings, [one.address for one in bound], telling)
    log.info("workers: %s", ", ".join(str(worker.pid) for worker in pool.workers))
    pool.run()
    hear_no_more_signals()
    for one in bound:
        one.close()


async def _work(
    settings: ServerConfig, exports: Sequence[Export], control: socket.socket, telling: Telling | None
) -> None:
    stopped = asyncio.Event()
    async with server_of(settings, exports) as server:
        on_signals(stopped)
        server.serve_for(control, stopped.set)
        log.info("worker %d serves", os.getpid())
        with telling.of(server) if telling else nullcontext():
            await stopped.wait()
    hear_no_more_signals()


def on_signals(stopped: asyncio.Event) -> None:
    """SIGTERM and SIGINT (Ctrl-C) set an event."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # the Proactor loop of Windows has no signal handlers of its own
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
            wake_quietly()


def hear_no_more_signals() -> None:
    """All is done: a second signal must not turn the clean end that follows into a death by signal. The event loop gives the signals back to the
    system when it closes, so they are blocked, where a system can do that.
    """
    mask: Callable[[int, set[signal.Signals]], object] | None = getattr(signal, "pthread_sigmask", None)
    if mask is not None:
        mask(getattr(signal, "SIG_BLOCK"), {signal.SIGTERM, signal.SIGINT})  # noqa: B009 - not on Windows


def wake_quietly() -> None:
    """That a signal finds the loop's own wake-up pipe full is no failure to tell of, with a traceback: the loop is awake then."""
    signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)


def announce(settings: ServerConfig, places: Sequence[addresses.Address], telling: Sequence[Telling] = ()) -> None:
    """Say on stderr what is served, where, and what to type in a guest."""
    for export in settings.exports:
        what = [export.security_model] + (["read-only"] if export.read_only else [])
        name = f" as {export.name!r}" if export.name else ""
        click.echo(f"ninep: serving {export.path}{name} ({', '.join(what)})", err=True)
    for place in places:
        click.echo(f"ninep: listening on {place}", err=True)
    for one in telling:
        click.echo(f"ninep: metrics on http://{one.address}/metrics", err=True)
    for place in places:
        for export in settings.exports:
            if line := mount_line(place, export.name, settings.limits.msize):
                click.echo(f"ninep: in a Linux guest: {line}", err=True)


def mount_line(place: addresses.Address, name: str, msize: int) -> str:
    """The command that mounts an export in a Linux guest; empty for places a kernel cannot reach by itself."""
    if "," in name:  # ends an option for mount(8), which knows no escape here
        return ""
    options = f"version=9p2000.L,msize={min(msize, 1 << 20)}" + (f",aname={name}" if name else "")
    match place:
        case addresses.Tcp(host, port):
            # In a guest with QEMU's user networking, the host's loopback is 10.0.2.2.
            local = host in {"", "localhost", "::1", "::", "0.0.0.0"} or host.startswith("127.")  # noqa: S104 - compared
            transport, device = f"trans=tcp,port={port}", "10.0.2.2" if local else host
        case addresses.Unix(path):
            transport, device = "trans=unix", os.path.abspath(path)
        case _:
            return ""
    return shlex.join(["mount", "-t", "9p", "-o", f"{transport},{options}", device, "/mnt"])
