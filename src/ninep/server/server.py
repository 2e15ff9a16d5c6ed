"""The server: exports, listeners, connections, and a clean end.

::

    async with Server(LocalDriver("/srv/files")) as server:
        await server.listen("127.0.0.1:5640")
        await server.serve_forever()

Errors of ``listen`` are ``OSError`` (the address is in use, not ours, not allowed) or
``BadAddress``.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from time import time
from typing import Final, Self

from ninep.node import Driver, serve_in_this_thread
from ninep.server import overlap, worker
from ninep.server.access import Access
from ninep.server.admission import Admission
from ninep.server.budgets import Budgets
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.exports import Export, Exports
from ninep.server.instrumented import CountingObserver, InstrumentedOffload
from ninep.server.limits import Limits
from ninep.server.observer import Observer, together
from ninep.server.offload import Offload, SlowJob
from ninep.server.protocols import PROTOCOLS
from ninep.server.retiring import Retiring
from ninep.server.shares import Shares
from ninep.server.signals import asked_to_end
from ninep.server.slices import Slices
from ninep.server.trace import TracingObserver
from ninep.server.trace import log as trace_log
from ninep.server.traffic import TrafficCounters
from ninep.server.transport import Transport
from ninep.server.usage import Arrival
from ninep.server.write_coalescer import WriteCoalescer
from ninep.transport import Address, Listener, addresses, listeners, transport_of
from ninep.transport.stream import MakeConnection

log = logging.getLogger("ninep.server")

THREAD_NAME = "ninep-worker"
THREADS = 64
"""Worker threads: how many requests may wait for devices at the same time; see ``offload`` for who
gets them.
"""


TIDY: Final = 1.0
"""Seconds between two calls of ``Driver.tidy``."""


class Server:
    """Serves exports to any number of connections, in the running event loop."""

    def __init__(
        self,
        exports: Driver | Iterable[Export],
        limits: Limits | None = None,
        threads: int = THREADS,
        access: Access | None = None,
        *,
        owns_loop: bool = False,
        instrumented: bool = False,
        allow_overlap: bool = False,
    ) -> None:
        """``access``: who may connect; without it virtual machines, and processes of this machine.

        ``owns_loop``: the event loop does nothing but serve, so that a single client's next request
        may be waited for in its thread (``transport.busy_poll``), some milliseconds at a time.
        ``instrumented``: count requests, bytes and times too (``counters``). ``allow_overlap``: do
        not look whether exports show the same files and keep their owners in different ways, which
        is ``overlap.Overlap``, a ValueError.
        """
        self.exports = Exports([Export("", exports)] if isinstance(exports, Driver) else exports)
        if not allow_overlap:
            overlap.check(self.exports)
        self.limits = limits or Limits()
        self.budgets = Budgets(self.limits)
        self.counters = self.budgets.counters
        self.admission = Admission(access or Access(), self.limits, self.counters)
        self._instrumented = instrumented
        self.observing: list[Callable[[], Observer]] = []
        self._workers = (
            InstrumentedOffload(threads, THREAD_NAME, self.counters.threads)
            if instrumented
            else Offload(threads, THREAD_NAME)
        )
        self._listeners: list[Listener] = []
        self._adopted: set[listeners.Served] = set()
        """Sockets of adopted connections whose transport accepts by itself."""
        self._connections: set[Connection] = set()
        self._retiring: list[Retiring] = []
        self._shares = Shares(self.exports)
        self._arrivals: dict[Connection, Arrival] = {}
        self._arrived = count(1)
        self.traffic = TrafficCounters(lambda: list(self._connections))
        self._coalescer = WriteCoalescer()
        self._context = Context(
            exports=self.exports,
            workers=self._workers,
            budgets=self.budgets,
            coalescer=self._coalescer,
            slices=Slices(),
            alone=self._alone if owns_loop else bool,
            observe=self._observe,
            identified=self.admission.identified,
        )
        self._owns_loop = owns_loop
        self._closing = self._serving = self.draining = False
        self._parent: socket.socket | None = None
        self._tidying: asyncio.TimerHandle | None = None
        self._idle, self._hurried, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._leaving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def accepting(self) -> bool:
        """More connections may come."""
        return any(listener.accepting for listener in self._listeners)

    @property
    def ready(self) -> bool:
        """It is not about to end."""
        return not (self._closing or self.draining)

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        return [listener.address for listener in self._listeners]

    @property
    def listeners(self) -> Sequence[Listener]:
        """What it accepts connections with."""
        return tuple(self._listeners)

    @property
    def slow_jobs(self) -> Iterable[SlowJob]:
        """What took long in worker threads, lately."""
        return self._workers.slow

    def arrivals(self) -> list[tuple[Connection, Arrival]]:
        """The connections, and when each was admitted."""
        return list(self._arrivals.items())

    def kick(self, number: int, why: str) -> bool:
        """End a connection at once. False if none has this number."""
        found = next((one for one, arrival in self._arrivals.items() if arrival.number == number), None)
        if found is not None:
            log.warning("closing %s: %s", found.peer, why)
            found.abort()
        return found is not None

    def drain(self, *, leave: bool = False) -> None:
        """Accept nothing more. What is connected stays until it ends; a listener that would take
        its connections with it (devices, mounts) keeps its socket and takes no more. ``leave``: another
        process listens at the addresses now.
        """
        self.draining = True
        self._idle.clear()
        closes: list[Callable[[], None]] = []
        for listener in list(self._listeners):
            if not _takes_its_own(listener.address):
                self._listeners.remove(listener)
                close = listener.leave if leave and listener.leave is not None else listener.close
                if listeners.stop_accepting(listener):
                    closes.append(close)
                else:
                    close()
        self._leaving = asyncio.get_running_loop().create_task(self._leave(closes))

    async def _leave(self, closes: Iterable[Callable[[], None]]) -> None:
        """Clients that were accepted just now are served, too: their connections are made some iterations
        later, and with asyncio those of a closed listener never.
        """
        await listeners.connections_made()
        for close in closes:
            close()
        await listeners.connections_made()
        if not self._connections:
            self._idle.set()

    def instrumented(self) -> list[Connection]:
        """The connections, if they are instrumented: to be read, from any thread."""
        return list(self._connections) if self._instrumented else []

    async def listen(self, address: str | Address) -> Address:
        """Accept connections at an address; what it became (with the port that the
        system chose).
        """
        if isinstance(address, str):
            address = addresses.parse(address)
        if address.export:
            self.exports.preferring(address.export)  # found wrong here and not by the first client
        listener = await listeners.listen(address, self._maker(address, self._disconnected), busy_poll=self._owns_loop)
        self._listeners.append(listener)
        return listener.address

    def unlisten(self, address: Address) -> None:
        """Accept nothing more at an address, as ``listen`` returned it. Connections stay, but those
        that need the listener: devices and mounts.
        """
        for listener in [one for one in self._listeners if one.address == address]:
            self._listeners.remove(listener)
            listener.close()

    async def change(
        self,
        exports: Iterable[Export],
        limits: Limits,
        access: Access,
        listen: Iterable[Address] = (),
        unlisten: Iterable[Address] = (),
    ) -> list[Address]:
        """Serve other exports, with other limits, at other addresses; what the new addresses
        became.

        Who attached an export that is left out is ended; others notice nothing. Limits and access
        are those of connections that come from now on. ``OSError`` of ``listen``, ``ValueError`` for
        exports that cannot be served together: then nothing has changed.
        """
        before = list(self.exports)
        self.exports.replace(exports)
        listening: list[Address] = []
        try:
            for address in listen:
                listening.append(await self.listen(address))  # noqa: PERF401 - what listens is to be known if one fails
        except BaseException:
            for address in listening:
                self.unlisten(address)
            self._retire(self.exports.replace(before))
            raise
        kept = set(self.exports)
        self._retire([export for export in before if export not in kept])
        self._limit(limits, access)
        for address in unlisten:
            self.unlisten(address)
        return listening

    def change_exports(self, exports: Iterable[Export], limits: Limits, access: Access) -> None:
        """As ``change``, where the parent has the addresses (``serve_for``)."""
        self._retire(self.exports.replace(exports))
        self._limit(limits, access)

    def _limit(self, limits: Limits, access: Access) -> None:
        self.limits = limits
        self.budgets.change(limits)
        self.admission.change(access, limits)

    def _retire(self, exports: Sequence[Export]) -> None:
        if exports:
            retiring = Retiring(exports, self._connections, self._retiring.remove)
            self._retiring.append(retiring)
            retiring.begin()

    def throttled(self) -> None:
        """The limits of exports (``Export.throttle``) are others: what waits for them is looked at
        again.
        """
        self._shares.changed(list(self._connections))

    async def adopt(self, sock: socket.socket, address: Address | None = None) -> None:
        """Serve a connection that another process or program accepted. ``address``: where, if that
        is known, so that its transport says what is on the socket.
        """
        made: list[listeners.Served] = []

        def gone() -> None:
            self._adopted.difference_update(made)
            self._say_ended()

        by_itself = address is not None and transport_of(address).accept is not None
        make = self._maker(address, self._disconnected if by_itself else self._adopted_ended)
        served = await listeners.accept(sock, make, address, busy_poll=self._owns_loop, gone=gone)
        if served is not None:
            made.append(served)
            self._adopted.add(served)
            if self._closing:
                served.close()

    def serve_for(
        self,
        parent: socket.socket,
        ended: Callable[[], None],
        listening: Mapping[int, Address] | None = None,
        follower: worker.Follower | None = None,
    ) -> None:
        """As one of several workers: serve the connections that come over a socket, say there when
        one has ended (see ``workers``).

        ``ended`` is called when the parent is gone. ``listening``: the address of each of the
        parent's sockets, at the time. ``follower`` makes the changes that the parent asks for.
        """
        loop = asyncio.get_running_loop()
        parent.setblocking(False)
        self._parent = parent
        adopting: set[asyncio.Task[None]] = set()

        def arrived() -> None:
            messages = worker.take_messages(parent)
            if messages is None:
                loop.remove_reader(parent)
                ended()
            for message in messages or ():
                if isinstance(message, worker.Handed):
                    address = (listening or {}).get(message.number)
                    task = loop.create_task(self.adopt(message.sock, address))
                    adopting.add(task)
                    task.add_done_callback(adopting.discard)
                elif follower is not None:
                    worker.follow(follower, message)

        loop.add_reader(parent, arrived)
        worker.say(parent, worker.READY)

    def _maker(self, address: Address | None, on_end: Callable[[Connection], None]) -> MakeConnection:
        """What makes the connections of an address: of 9P, or of what else its transport carries."""
        protocol = "" if address is None else transport_of(address).protocol
        made = PROTOCOLS.get(protocol)(address, self.exports) if protocol else Connection
        by_itself = address is not None and _takes_its_own(address)
        return partial(self._connection, made, self._connected_by_itself if by_itself else self._connected, on_end)

    def _connection(
        self,
        made: Callable[..., Connection],
        on_begin: Callable[[Connection], None],
        on_end: Callable[[Connection], None],
        transport: Transport,
    ) -> Connection:
        if not self._serving and not self._closing:
            self._serving = True
            serve_in_this_thread(1)
        return made(transport, context=self._context, on_begin=on_begin, on_end=on_end)

    def _observe(self) -> Observer | None:
        observers: list[Observer] = [CountingObserver(self.counters)] if self._instrumented else []
        observers += [observe() for observe in self.observing]
        if trace_log.isEnabledFor(logging.DEBUG):
            observers.append(TracingObserver())
        return together(observers)

    def _alone(self) -> bool:
        return len(self._connections) == 1 and not self._closing

    def _connected_by_itself(self, connection: Connection) -> None:
        """At a listener that keeps its socket."""
        if self.draining:
            connection.abort()
        else:
            self._connected(connection)

    def _connected(self, connection: Connection) -> None:
        if not self.admission.enter(connection):
            return
        self._connections.add(connection)
        self._arrivals[connection] = Arrival(next(self._arrived), time())
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(TIDY, self._tidy)
        self._coalescer.share(len(self._connections) > 1)
        self._idle.clear()
        log.debug("connected %s", connection.peer)
        self._shares.begin(connection)
        if self._closing:
            connection.stop()

    def _tidy(self) -> None:
        more = self._connections and not self._closing
        self._tidying = asyncio.get_running_loop().call_later(TIDY, self._tidy) if more else None
        self.exports.tidy()

    def _disconnected(self, connection: Connection) -> None:
        self.admission.leave(connection)
        self._connections.discard(connection)
        self._arrivals.pop(connection, None)
        self.traffic.forget(connection)
        self._shares.forget(connection)
        self._coalescer.share(len(self._connections) > 1)
        log.debug("disconnected %s", connection.peer)
        for retiring in list(self._retiring):
            retiring.ended(connection)
        if not self._connections and (self._leaving is None or self._leaving.done()):
            self._idle.set()

    def _adopted_ended(self, connection: Connection) -> None:
        self._disconnected(connection)
        self._say_ended()

    def _say_ended(self) -> None:
        if self._parent is not None:
            worker.say(self._parent, worker.ENDED)

    async def wait_idle(self) -> None:
        """Until there is no connection."""
        await self._idle.wait()

    async def wait(self) -> None:
        """Until the server is closed."""
        await self._closed.wait()

    async def serve_forever(self) -> None:
        """Until the server is closed, or Ctrl-C, SIGTERM or SIGHUP asks for it: then this does; a
        second signal does not wait for requests.

        The signals are heard in the main thread only; a program that wants them for itself uses
        ``wait``.
        """
        asked = asyncio.Event()
        with asked_to_end(lambda: self.hurry() if asked.is_set() else asked.set()):
            waiting = [asyncio.create_task(self._closed.wait()), asyncio.create_task(asked.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
            await self.close()

    def hurry(self) -> None:
        """While it closes: wait no longer for requests that are in flight."""
        self._hurried.set()

    async def close(self, grace: float = 10.0) -> None:
        """Accept nothing more, answer what is in flight (for at most ``grace`` seconds), close
        every connection, then the drivers.
        """
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        try:
            await self._end_connections(grace)
        finally:
            self._workers.shutdown()
            for retiring in list(self._retiring):
                retiring.close()
            self.exports.close()
            if self._serving:
                self._serving = False
                serve_in_this_thread(-1)
            self._closed.set()

    async def _end_connections(self, grace: float) -> None:
        self.traffic.end()
        if self._tidying is not None:
            self._tidying.cancel()
        for listener in self._listeners:
            listener.close()
        for adopted in list(self._adopted):
            adopted.close()
        for connection in list(self._connections):
            connection.stop()
        waiting = [asyncio.create_task(self._idle.wait()), asyncio.create_task(self._hurried.wait())]
        await asyncio.wait(waiting, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        if not self._idle.is_set():
            after = "" if self._hurried.is_set() else f" after {grace:g} s"
            log.warning("%d connections still had requests in flight%s", len(self._connections), after)
            for connection in list(self._connections):
                connection.abort()
            with suppress(TimeoutError):  # what hangs now is left behind
                await asyncio.wait_for(self._idle.wait(), 1)


def _takes_its_own(address: Address) -> bool:
    """Its listener would take its connections with it."""
    row = transport_of(address)
    return row.accept is not None or row.listen is not None
