"""Both clients, and a server in a thread with an empty folder in memory."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.client.faces import Asynchronous, Blocking
from tests.client.fake import FRIENDLY, FakeServer
from tests.support.client import TIMEOUT

from ninep.drivers.memory import MemoryDriver
from ninep.node import Driver
from ninep.server.exports import Export
from ninep.server.server import Server


@pytest.fixture(params=["blocking", "asyncio"])
def face(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One of the two clients."""
    if request.param == "blocking":
        yield Blocking()
        return
    face = Asynchronous()
    yield face
    face.runner.close()


class InThread:
    """A server with one export, in memory unless another driver is given, or with several, reached
    by socket pairs.
    """

    def __init__(self, driver: Driver | Sequence[Export] | None = None) -> None:
        self._driver = MemoryDriver() if driver is None else driver
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._ready.wait(TIMEOUT)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with Server(self._driver) as server:
            self._server = server
            self._ready.set()
            await server.wait()

    def socket(self) -> socket.socket:
        """A connected socket."""
        ours, theirs = socket.socketpair()
        asyncio.run_coroutine_threadsafe(self._server.adopt(theirs), self._loop).result(TIMEOUT)
        return ours

    def port(self) -> int:
        """Listen on TCP as well."""
        address = asyncio.run_coroutine_threadsafe(self._server.listen("127.0.0.1:0"), self._loop).result(TIMEOUT)
        return int(str(address).rpartition(":")[2])

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._server.close(), self._loop).result(TIMEOUT)
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()


@pytest.fixture
def memory() -> Iterator[InThread]:
    """ninep's server with an empty folder."""
    server = InThread()
    yield server
    server.stop()


@pytest.fixture
def connect(face: Any, memory: InThread) -> Iterator[Callable[..., Any]]:
    """`connect(dialect)`: a client attached to the folder in memory."""
    clients = []

    def connect(dialect: str | None = None, **options: Any) -> Any:
        clients.append(face.connect(memory.socket(), dialect=dialect, timeout=TIMEOUT, **options))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


DIALECTS = ["9P2000.L", "9P2000.u", "9P2000"]
EXTENDED = DIALECTS[:2]


@pytest.fixture(params=DIALECTS)
def client(request: pytest.FixtureRequest, connect: Callable[..., Any]) -> Any:
    """A client in each dialect."""
    return connect(request.param)


@pytest.fixture
def linux(connect: Callable[..., Any]) -> Any:
    """A client in 9P2000.L."""
    return connect("9P2000.L")


@pytest.fixture(params=EXTENDED)
def extended(request: pytest.FixtureRequest, connect: Callable[..., Any]) -> Any:
    """A client in each dialect that has links and devices."""
    return connect(request.param)


@pytest.fixture
def against(face, request):
    """`against(rules)`: (client, server)."""
    opened = []

    def begin(rules, *, dialect=b"9P2000.L", friendly=True):
        server = FakeServer({**(FRIENDLY if friendly else {}), **rules}, dialect=dialect)
        server.__enter__()
        opened.append(server)
        client = face.connect(server.socket, "", dialect=dialect.decode(), timeout=TIMEOUT, n_uname=0, uname="u")
        opened.append(client)
        return client, server

    yield begin
    for thing in reversed(opened):
        thing.__exit__(None, None, None)
