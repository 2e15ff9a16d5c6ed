"""The rows of transports: what all of them promise, and what is asked of a row and not
of a class.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from ninep.app.process import run_in_loop
from ninep.transport import TRANSPORTS, Address, BadAddress, Bound, Listener, TransportType, forms, listeners, nothing
from ninep.transport import transport_of as row_of
from ninep.transport.addresses import parse, parse_location
from ninep.transport.connecting import connect, dial
from ninep.transport.peers import Peer
from ninep.transport.stdio import Stdio
from ninep.transport.tcp import Tcp
from ninep.transport.unix import Unix

EXAMPLES = {
    "tcp": "127.0.0.1:5640",
    "unix": "unix:/run/9p.sock",
    "tls": "tls:127.0.0.1:5640,cert=/etc/cert.pem",
    "vhost-user": "vhost-user:/run/vm.sock,tag=src",
    "virtiofs": "virtiofs:/run/vm.sock,tag=src",
    "fuse": "fuse:/mnt/src",
    "fd": "fd:3",
    "stdio": "stdio",
    "systemd": "systemd",
    "vsock": "vsock:2:5640",
    "hyperv": "hyperv:parent:5640",
}


@dataclass(frozen=True, slots=True)
class Fake(Address):
    """An address of a transport that tests make."""

    transport: ClassVar[str] = "fake"
    name: str

    def __str__(self) -> str:
        return f"fake:{self.name}"


FAKE = TransportType(form="fake:NAME", remote=lambda _: True, parse=Fake)


@pytest.fixture
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """No transport that a test adds is left behind."""
    monkeypatch.setattr(TRANSPORTS, "_own", dict(TRANSPORTS._own))
    monkeypatch.setattr(TRANSPORTS, "_loaded", dict(TRANSPORTS._loaded))


def add(**changes: Any) -> None:
    TRANSPORTS.add("fake", FAKE._replace(**changes))


def test_there_is_an_example_of_each() -> None:
    assert list(EXAMPLES) == list(TRANSPORTS)
    assert forms() == (
        "HOST:PORT, unix:PATH, tls:HOST:PORT,cert=FILE,key=FILE, vhost-user:PATH,tag=TAG, virtiofs:PATH,tag=TAG, fuse:MOUNTPOINT, "
        "fd:N, stdio, systemd, vsock:CID:PORT or hyperv:VM:SERVICE"
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_address_knows_its_row(name: str) -> None:
    address = parse(EXAMPLES[name])
    assert isinstance(address, Address)
    assert row_of(address) is TRANSPORTS.get(name)
    assert {address: 1}[parse(str(address))] == 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_can_be_connected_to(name: str) -> None:
    """Others are read as TCP, as a host may be called anything, and cannot be connected to by
    another way.
    """
    row = TRANSPORTS.get(name)
    assert (row.parse_remote is None) == (row.connect is None)
    if row.accept is not None or row.protocol:  # what is on its sockets is not 9P, and its addresses are no hosts
        with pytest.raises(BadAddress):
            parse_location(EXAMPLES[name])
        return
    location = parse_location(f"{EXAMPLES[name].partition(',')[0]}{'' if row.path_mark == '/' else row.path_mark}/dir")
    assert location.path == "/dir"
    assert row_of(location.address) is (row if row.connect else TRANSPORTS.get("tcp"))
    if row.connect is None:
        with pytest.raises(OSError, match="not connected to", check=lambda error: error.errno == errno.EOPNOTSUPP):
            connect(parse(EXAMPLES[name]))


def test_capabilities() -> None:
    """As tables: a row that changes is noticed."""
    rows = {name: TRANSPORTS.get(name) for name in TRANSPORTS}
    assert [name for name, row in rows.items() if row.bind is None] == ["fuse", "stdio"]
    assert [name for name, row in rows.items() if row.single] == ["stdio"]
    assert [name for name, row in rows.items() if not row.uvloop] == ["vsock", "hyperv"]
    assert [name for name, row in rows.items() if row.with_mode] == ["unix", "vhost-user", "virtiofs"]
    assert [name for name, row in rows.items() if row.accept] == ["vhost-user", "virtiofs"]
    assert {name: row.protocol for name, row in rows.items() if row.protocol} == {"virtiofs": "fuse", "fuse": "fuse"}
    assert [name for name, row in rows.items() if not row.raw] == ["tls", "vhost-user", "virtiofs"]
    assert [name for name, row in rows.items() if row.stream] == ["tls"]
    assert [name for name, row in rows.items() if row.renew or row.with_files] == ["tls"]
    assert [name for name, row in rows.items() if row.remote(parse(EXAMPLES[name]))] == []
    assert rows["tcp"].remote(Tcp("", 1))


def test_permissions_of_a_unix_socket() -> None:
    with_mode = TRANSPORTS.get("unix").with_mode
    assert with_mode is not None
    assert with_mode(Unix("s"), 0o660) == replace(Unix("s"), mode=0o660)


@pytest.mark.usefixtures("_fake")
class TestAnotherTransport:
    def test_is_read_by_its_prefix(self) -> None:
        add(parse_remote=Fake)
        assert parse("fake:x") == parse("fake://x") == Fake("x")
        assert parse_location("fake:x/dir/f") == (Fake("x"), "/dir/f")
        assert str(parse_location("fake:x/dir/f")) == "fake:x/dir/f"
        assert forms().endswith(" or fake:NAME")

    def test_has_no_url_if_it_cannot_be_connected_to(self) -> None:
        add()
        with pytest.raises(BadAddress, match="not a transport of 9P"):
            parse("fake://x")

    def test_says_what_is_wrong_after_what_was_written(self) -> None:
        def refuse(rest: str) -> Address:
            raise BadAddress(f"no {rest} here")

        add(parse=refuse)
        with pytest.raises(BadAddress, match=r"^'fake:x': no x here$"):
            parse("fake:x")

    def test_listens_by_itself(self) -> None:
        async def listen(address: Fake, make: object) -> Listener:
            return Listener(address, nothing, accepting=True)

        add(listen=listen)
        assert asyncio.run(listeners.listen(Fake("x"), FakeConnection)).accepting  # type: ignore[arg-type]
        with pytest.raises(OSError, match="fake:x cannot be shared"):
            listeners.bind(Fake("x"))

    def test_names_its_peers(self) -> None:
        ours, theirs = socket.socketpair()
        made: list[FakeConnection] = []

        def make(writer: object) -> FakeConnection:
            made.append(FakeConnection(writer))
            return made[-1]

        async def serve() -> None:
            add(bind=lambda address: Bound(address, [theirs]), peer=lambda _: Peer("a friend"), raw=False)
            await listeners.listen(Fake("x"), make)  # type: ignore[arg-type]
            ours.close()
            await made[0].gone.wait()

        asyncio.run(serve())
        assert str(made[0].peer) == "a friend"

    def test_is_dialed_by_the_loop_or_in_a_thread(self) -> None:
        async def both() -> None:
            ours, theirs = socket.socketpair()
            add(connect=lambda _address, timeout: (ours.settimeout(timeout), ours)[1])
            loop = asyncio.get_running_loop()
            await dial(loop, asyncio.Protocol, Fake("x"), 5)
            theirs.close()
            dialed = []

            async def itself(*args: object) -> None:
                dialed.append(args)

            TRANSPORTS._loaded["fake"] = FAKE._replace(dial=itself)
            await dial(loop, asyncio.Protocol, Fake("x"))
            assert dialed == [(loop, asyncio.Protocol, Fake("x"))]

        asyncio.run(both())

    @pytest.mark.parametrize("known", [True, False])
    def test_which_event_loop(self, known: bool) -> None:
        add(uvloop=known)

        async def module() -> str:
            return type(asyncio.get_running_loop()).__module__

        assert run_in_loop([Stdio(), Fake("x")], module).startswith("uvloop" if known else "asyncio")


class FakeConnection:
    """As much of a connection as a stream needs."""

    def __init__(self, writer: object) -> None:
        self.writer = writer
        self.gone = asyncio.Event()

    def made(self, peer: Peer, _export: str = "") -> None:
        self.peer = peer

    def space(self, _: int) -> bytearray:
        return bytearray(100)

    def received(self, _: int) -> bool:
        return False

    def eof(self) -> bool:
        return False

    def lost(self) -> None:
        self.gone.set()
