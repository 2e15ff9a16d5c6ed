"""TLS under a connection, and clients that do it wrong: 9P without TLS, garbage, handshakes that never
end, half closes, replies that are not read. (Renegotiation: ``test_tls``, with openssl's client.)
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.support.certificates import Authority
from tests.support.client import TIMEOUT, RawClient

from ninep.drivers.memory import MemoryDriver
from ninep.linux import GETATTR_BASIC
from ninep.server.limits import Limits
from ninep.server.server import Server
from ninep.transport.tls_reasons import reason
from ninep.transport.tls_stream import names
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import PLAIN

Run = Callable[[Coroutine[Any, Any, None]], None]
TVERSION = b"".join(codec(PLAIN).encode(0xFFFF, m.Tversion(8192, b"9P2000.L")))
REQUESTS = 1000


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine in one of the event loops."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


class Lab:
    """A server, and clients in threads."""

    def __init__(self, authority: Authority, limits: Limits | None = None) -> None:
        self._authority = authority
        self._limits = limits or Limits()
        self.port = 0

    def serve(self, *uses: Callable[[], None]) -> Coroutine[Any, Any, None]:
        """Serve until all have returned and no connection is left."""

        async def main() -> None:
            async with Server(MemoryDriver(), self._limits, owns_loop=True) as server:
                self.port = (await server.listen(self._authority.listen())).port  # type: ignore[attr-defined]
                await asyncio.gather(*[asyncio.to_thread(use) for use in uses])
                await asyncio.wait_for(server.wait_idle(), TIMEOUT)

        return main()

    def plain(self) -> socket.socket:
        """A socket that is connected, and nothing more."""
        return socket.create_connection(("127.0.0.1", self.port), TIMEOUT)

    def tls(self, version: ssl.TLSVersion | None = None) -> ssl.SSLSocket:
        """A socket after the handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._authority.ca)
        if version is not None:
            context.maximum_version = version
        return context.wrap_socket(self.plain(), server_hostname="localhost")

    def client(self) -> RawClient:
        """A session."""
        client = RawClient(self.tls())
        client.version(msize=1 << 20)
        client.attach()
        return client

    def check(self) -> None:
        """The server serves others."""
        with self.client() as client:
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.nlink


# -- what works


def test_requests_one_by_one_and_many_at_once(run: Run, authority: Authority) -> None:
    lab = Lab(authority)

    def ask() -> None:
        with lab.client() as client:
            for _ in range(REQUESTS // 5):
                assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.nlink
            for _ in range(20):
                for tag in client.send_all(*[m.Tgetattr(0, GETATTR_BASIC) for _ in range(50)]):
                    client.reply(tag)

    run(lab.serve(ask, ask, ask))


def test_more_than_sockets_hold_waits_for_a_client_that_does_not_read(run: Run, authority: Authority) -> None:
    lab = Lab(authority)
    content = bytes(range(256)) * 2048

    def ask() -> None:
        with lab.client() as client:
            client.create(0, 1, b"f", content)
            tags = client.send_all(*[m.Tread(1, 0, len(content)) for _ in range(40)])
            lab.check()  # others are served meanwhile
            for tag in tags:
                assert client.reply(tag) == m.Rread(content)

    run(lab.serve(ask))


def test_a_byte_at_a_time(run: Run, authority: Authority) -> None:
    """Through a program between them that forwards each byte on its own."""
    lab = Lab(authority)

    def ask() -> None:
        ours, theirs = socket.socketpair()
        server = lab.plain()
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def there() -> None:
            while data := theirs.recv(4096):
                for at in range(len(data)):
                    server.sendall(data[at : at + 1])
            server.shutdown(socket.SHUT_WR)

        def back() -> None:
            with suppress(BrokenPipeError):  # the last close_notify, when the client has closed
                while data := server.recv(4096):
                    theirs.sendall(data)

        threads = [threading.Thread(target=one) for one in (there, back)]
        for thread in threads:
            thread.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority.ca)
        with RawClient(context.wrap_socket(ours, server_hostname="localhost")) as client:
            client.version()
            client.attach()
        for thread in threads:
            thread.join()
        server.close()
        theirs.close()

    run(lab.serve(ask))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_replies_that_are_owed_come_after_the_client_has_closed_its_side(
    run: Run, authority: Authority, version: ssl.TLSVersion
) -> None:
    """The request, close_notify and FIN in one piece; then reading."""
    lab = Lab(authority)

    def ask() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority.ca)
        context.maximum_version = version
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with lab.plain() as sock:
            while not _finished(tls.do_handshake):
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
            tls.write(TVERSION)
            assert not _finished(tls.unwrap)
            sock.sendall(outgoing.read())
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                incoming.write(data)
        assert tls.read(100) == TVERSION[:4] + b"\x65" + TVERSION[5:]
        with pytest.raises(ssl.SSLZeroReturnError):  # the server's close_notify
            tls.read(100)

    run(lab.serve(ask))


def _finished(call: Callable[[], object]) -> bool:
    try:
        call()
    except ssl.SSLWantReadError:
        return False
    return True


# -- what does not


def _closed(sock: socket.socket) -> bytes:
    """What came until the server closed."""
    came = b""
    with sock, suppress(ConnectionResetError):
        while data := sock.recv(4096):
            came += data
    return came


def test_9p_without_tls_is_told_in_the_log(run: Run, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    lab = Lab(authority)

    def ask() -> None:
        with caplog.at_level(logging.WARNING, "ninep.server"):
            sock = lab.plain()
            sock.sendall(TVERSION)
            assert _closed(sock) == b""
        lab.check()

    run(lab.serve(ask))
    assert "it speaks 9P without TLS, and this port is for TLS" in caplog.text


def _garbage() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield b"\0" * 100
    yield b"\xff" * 20000
    yield b"\x16\x03\x01\xff\xff" + b"\x01" * 70000  # a record longer than one may be
    yield (
        b"\x16\x03\x03\x00\x04\x01\xff\xff\xff" + b"\x16\x03\x03\x40\x00" + b"a" * (1 << 14)
    )  # a ClientHello of 16 MiB
    yield b"\x17\x03\x03\x00\x05hello"  # data before the handshake
    yield b"\x15\x03\x03\x00\x02\x02\x28"  # an alert


def test_garbage_ends_its_connection_alone(run: Run, authority: Authority) -> None:
    lab = Lab(authority)

    def ask() -> None:
        for data in _garbage():
            sock = lab.plain()
            with suppress(ConnectionError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)  # for what is a beginning only
            came = _closed(sock)
            assert came == b"" or came[0] == 0x15, "an alert, or nothing"
            lab.check()

    run(lab.serve(ask))


def test_garbage_after_the_handshake_ends_its_connection_alone(run: Run, authority: Authority) -> None:
    lab = Lab(authority)

    def ask() -> None:
        sock = lab.tls()
        sock.sendall(TVERSION)
        assert sock.recv(100)
        plain = socket.socket(fileno=sock.detach())
        plain.settimeout(TIMEOUT)
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        _closed(plain)
        lab.check()

    run(lab.serve(ask))


def test_a_handshake_that_does_not_end_is_closed_in_time(
    run: Run, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    lab = Lab(authority, Limits(version_within=0.2))

    def ask() -> None:
        with caplog.at_level(logging.WARNING, "ninep.server"):
            for begun in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
                sock = lab.plain()
                sock.sendall(begun)
                assert _closed(sock) == b""

    run(lab.serve(ask))
    assert caplog.text.count("no Tversion within 0.2 s") == 3


def test_handshakes_that_do_not_end_keep_no_client_out(run: Run, authority: Authority) -> None:
    """More of them than connections may be: the oldest makes room, as one that has not attached."""
    lab = Lab(authority, Limits(connections=8, peer_connections=8, version_within=TIMEOUT))

    def ask() -> None:
        idle = [lab.plain() for _ in range(20)]
        for sock in idle:
            sock.sendall(b"\x16\x03\x01")
        lab.check()
        with lab.client() as client:
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.nlink
        for sock in idle:
            sock.close()

    run(lab.serve(ask))


def test_a_client_that_goes_away_in_its_handshake(run: Run, authority: Authority) -> None:
    lab = Lab(authority)

    def ask() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(authority.ca)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with pytest.raises(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        hello = outgoing.read()
        for end in range(0, len(hello), 50):
            for reset in (False, True):
                sock = lab.plain()
                sock.sendall(hello[:end])
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
        lab.check()

    run(lab.serve(ask))


def test_old_versions_are_refused(run: Run, authority: Authority) -> None:
    lab = Lab(authority)

    def ask() -> None:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"), pytest.raises(ssl.SSLError):
            lab.tls(ssl.TLSVersion.TLSv1_1)
        lab.check()

    run(lab.serve(ask))


# -- words


def test_names_of_a_certificate() -> None:
    found = names(
        {
            "subject": ((("countryName", "DE"),), (("commonName", "alice"),)),
            "subjectAltName": (
                ("email", "alice@example.org"),
                ("DNS", "alice"),
                ("DirName", ((("x", "y"),),)),
                ("URI", "spiffe://a/b"),
            ),
        }
    )
    assert found == ("alice", "alice@example.org", "spiffe://a/b")


def test_a_reason_that_has_no_words_is_openssls() -> None:
    error = ssl.SSLError(1, "[SSL: SOMETHING_NEW] something new")
    assert reason(error) == "[SSL: SOMETHING_NEW] something new"
