"""A stream that is no raw socket: TLS of asyncio under a connection, in both event loops, for a
server that may busy poll.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.client import TIMEOUT, RawClient

from ninep.drivers.memory import MemoryDriver
from ninep.linux import GETATTR_BASIC
from ninep.server.server import Server
from ninep.transport.stream import SocketProtocol
from ninep.transport.writer import LoopWriter
from ninep.wire import messages as m

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="a certificate is made by the program openssl")
Run = Callable[[Coroutine[Any, Any, None]], None]
REQUESTS = 1000


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    subprocess.run([*make.split(), "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    return pem, key


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in one of the event loops."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


def serve(
    certificate: tuple[Path, Path], use: Callable[[RawClient], None], clients: int = 1
) -> Coroutine[Any, Any, None]:
    """A server behind TLS, and what clients do with a session on it, each in a thread."""
    pem, key = certificate
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(pem, key)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_verify_locations(pem)
    theirs.check_hostname = False  # a certificate of X.509's first kind has a name only

    def session(port: int) -> None:
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        with RawClient(theirs.wrap_socket(plain)) as client:
            client.version(msize=1 << 20)
            client.attach()
            use(client)

    async def main() -> None:
        async with Server(MemoryDriver(), owns_loop=True) as server:
            loop = asyncio.get_running_loop()
            make = server._maker(None, server._disconnected)
            listener = await loop.create_server(lambda: SocketProtocol(make), "127.0.0.1", 0, ssl=ours)
            port = listener.sockets[0].getsockname()[1]
            await asyncio.gather(*[asyncio.to_thread(session, port) for _ in range(clients)])
            listener.close()
            await asyncio.wait_for(server.wait_idle(), TIMEOUT)

    return main()


def test_requests_one_by_one(run: Run, certificate: tuple[Path, Path]) -> None:
    """A client that waits for each reply is who a raw socket would be polled for."""

    def ask(client: RawClient) -> None:
        for _ in range(REQUESTS):
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.nlink

    run(serve(certificate, ask))


def test_several_clients(run: Run, certificate: tuple[Path, Path]) -> None:
    def ask(client: RawClient) -> None:
        for _ in range(REQUESTS // 5):
            client.rpc(m.Tgetattr(0, GETATTR_BASIC))

    run(serve(certificate, ask, clients=3))


def test_more_than_sockets_hold(run: Run, certificate: tuple[Path, Path]) -> None:
    content = bytes(range(256)) * 2048

    def ask(client: RawClient) -> None:
        client.create(0, 1, b"f", content)
        tags = client.send_all(*[m.Tread(1, 0, len(content)) for _ in range(40)])
        for tag in tags:
            assert client.reply(tag) == m.Rread(content)

    run(serve(certificate, ask))


def test_many_at_once(run: Run, certificate: tuple[Path, Path]) -> None:
    def ask(client: RawClient) -> None:
        for _ in range(20):
            for tag in client.send_all(*[m.Tgetattr(0, GETATTR_BASIC) for _ in range(50)]):
                client.reply(tag)

    run(serve(certificate, ask))


class FakeTransport:
    """What asyncio tells of a stream."""

    def __init__(self, **extra: object) -> None:
        self.extra = extra

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.extra.get(name, default)

    def ignore(self, *_: object, **__: object) -> None:
        """Nothing is sent."""

    write = writelines = set_write_buffer_limits = can_write_eof = ignore


class FakeConnection:
    def __init__(self, writer: object) -> None:
        self.writer = writer

    def made(self, peer: object) -> None:
        self.peer = peer

    def space(self, _: int) -> bytearray:
        return bytearray(100)

    def received(self, _: int) -> bool:
        return False


@pytest.mark.parametrize("stream", ["tls", "no socket", "said by its transport"])
def test_what_is_no_raw_socket_is_written_by_the_loop(stream: str) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        extra = {"tls": {"socket": sock, "sslcontext": object()}, "no socket": {}}.get(stream, {"socket": sock})
        protocol = SocketProtocol(FakeConnection, lambda _: "?", raw=stream == "tls")  # type: ignore[arg-type, return-value]
        protocol.connection_made(FakeTransport(**extra))  # type: ignore[arg-type]
        assert type(protocol.connection.writer) is LoopWriter  # type: ignore[attr-defined]
