"""A real server in a thread, with a memory driver that can be made to fail or to wait, and that
tells what was not given back.

    with Served() as served, served.client() as client:
        hold = served.faults.hold("file.read")
        ...

At the end of ``with`` everything must have been given back: connections, fids, files, locks,
threads of requests.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self, TypeVar

from tests.support.client import TIMEOUT, RawClient

from ninep.drivers.memory import MemoryDriver
from ninep.layers.base import Around, FileWrapper, Wrapper
from ninep.node import Driver, Node, OpenFile, User, WouldBlock
from ninep.server.exports import Export
from ninep.server.limits import Limits
from ninep.server.server import Server
from ninep.testing.audit import Audit
from ninep.testing.faults import Faults
from ninep.wire.types import Buffer

T = TypeVar("T")


class Waits(Wrapper):
    """A layer: nodes that say they wait for something, so that the server calls them in threads."""

    __slots__ = ()

    def __init__(self, inner: Node, layer: object) -> None:
        super().__init__(inner, layer)
        self.inline = False


class _MissFile(FileWrapper):
    __slots__ = ()

    def read_now(self, offset: int, count: int) -> Buffer:
        raise WouldBlock


class Misses(Wrapper):
    """A layer: files whose reads always miss the page cache."""

    __slots__ = ()

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return _MissFile(file, self)


class Guard:
    """A layer that lets one thread at a time into the memory driver, which knows of none."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def __call__(self, root: Node, user: User) -> Node:
        return _Guarded(root, self)


class _Guarded(Around):
    __slots__ = ()
    layer: Guard

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        with self.layer.lock:
            return call()


LAYERS: dict[str, Callable[[Node, User], Node]] = {
    "fast": lambda root, user: root,
    "waits": lambda root, user: Waits(root, Waits),
    "misses": lambda root, user: Misses(root, Misses),
}


class Served:
    """One server. ``kind`` is a key of ``LAYERS``; ``loop`` is ``asyncio`` or ``uvloop``."""

    def __init__(
        self,
        kind: str = "fast",
        *,
        driver: Driver | None = None,
        layers: Sequence[Callable[[Node, User], Node]] = (),
        limits: Limits | None = None,
        exports: Sequence[Export] = (),
        loop: str = "uvloop",
        threads: int = 64,
    ) -> None:
        self.driver = driver or MemoryDriver()
        self.faults = Faults()
        self.audit = Audit()
        self.export = Export("", self.driver, [Guard(), *layers, self.audit, self.faults, LAYERS[kind]])
        self._exports = list(exports) or [self.export]
        self._limits = limits
        self._threads = threads
        self._kind = loop
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server under test")
        self._clients: list[RawClient] = []
        self._failure: BaseException | None = None
        self._stopping = False
        self.server: Server
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(TIMEOUT), "the server does not start"
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for client in self._clients:
            client.close()
        try:
            if kind is None:
                self.wait_until_idle()
        finally:
            self.stop()
        if kind is None:
            self.check()

    def _run(self) -> None:
        try:
            if self._kind == "uvloop":
                import uvloop

                uvloop.run(self._serve())
            else:
                with asyncio.Runner(loop_factory=self.make_loop) as runner:
                    runner.run(self._serve())
        except BaseException as failure:  # noqa: BLE001 - told in the test's thread
            self._failure = failure
        finally:
            self._ready.set()

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """That of ``asyncio``, or of the test."""
        return asyncio.new_event_loop()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        async with Server(self._exports, self._limits, threads=self._threads) as server:
            self.server = server
            self._ready.set()
            await server.wait()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    def do(self, function: Callable[[], T]) -> T:
        """Call something in the server's loop."""

        async def calling() -> T:
            return function()

        return self.call(calling())

    def connect(self) -> RawClient:
        """A connection on which nothing was said yet."""
        ours, theirs = socket.socketpair()
        client = RawClient(ours)
        self._clients.append(client)
        self.call(self.server.adopt(theirs))
        return client

    def client(self, dialect: bytes = b"9P2000.L", msize: int = 8192 + 24) -> RawClient:
        """A connection with a session in which fid 0 is the root."""
        client = self.connect()
        client.version(dialect, msize)
        client.attach()
        return client

    def until(self, condition: Callable[[], bool]) -> None:
        """Let the server's loop turn until something that it will do by itself is done."""

        async def turning() -> None:
            while not condition():  # noqa: ASYNC110 - there is no event for what is looked at
                await asyncio.sleep(0)

        self.call(asyncio.wait_for(turning(), TIMEOUT))

    def wait_until_idle(self) -> None:
        """Until no connection is left. A server that was told to stop sees to that itself."""
        if not self._stopping:
            self.call(asyncio.wait_for(self.server.wait_idle(), TIMEOUT))

    def begin_stop(self, grace: float = TIMEOUT) -> None:
        """Tell the server to close, without waiting for it."""
        self._stopping = True
        self.loop.call_soon_threadsafe(lambda: asyncio.ensure_future(self.server.close(grace)))

    def stop(self, grace: float = TIMEOUT) -> None:
        """Close the server and wait for the end of its thread."""
        if not self._stopping and hasattr(self, "server"):
            self.begin_stop(grace)
        self._thread.join(TIMEOUT + grace)
        assert not self._thread.is_alive(), "the server does not end"
        if self._failure is not None:
            raise self._failure

    def check(self) -> None:
        """Everything was given back."""
        self.audit.check()
        for export in self._exports:
            assert len(export.locks) == 0, "locks of clients that are gone"
        assert not self.server.connections
