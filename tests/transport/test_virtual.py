"""Sockets between virtual machines and their hosts: Hyper-V's over a fake, which has AF_HYPERV's
addresses and a unix socket's bytes.

Real vsocks are in ``test_listeners``; nothing here says that a real Hyper-V was connected to.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.client import TIMEOUT, RawClient

import ninep
from ninep.client import aio
from ninep.drivers.memory import MemoryDriver
from ninep.server.server import Server
from ninep.transport import listeners
from ninep.transport.addresses import parse
from ninep.transport.hyperv import WILDCARDS, HyperV
from ninep.transport.peers import peer_of
from ninep.transport.virtual import VirtualAddress, connect_virtual, virtual_socket

AF_HYPERV = 34
HV_PROTOCOL_RAW = 1
VM = "11111111-2222-3333-4444-555555555555"
SERVICE = "00001608-facb-11e6-bd58-64006a7986d3"  # vsock port 5640, as a Linux guest calls it


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for one more in the 107 bytes of a unix socket's path."""
    with tempfile.TemporaryDirectory(prefix="ninep.", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def hyperv(monkeypatch: pytest.MonkeyPatch, short: Path) -> type[socket.socket]:
    """A Python with AF_HYPERV: its sockets take (VM, service), two GUIDs, and nothing else."""

    class HyperVSocket(socket.socket):
        made: list[tuple[int, int, int]] = []  # noqa: RUF012 - of this fake, which is made for each test
        asked: list[tuple[str, str]] = []  # noqa: RUF012

        def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
            if family == AF_HYPERV:
                self.made.append((family, type, proto))
                family, proto = socket.AF_UNIX, 0
            super().__init__(family, type, proto, fileno)

        def _path(self, address: Any) -> Any:
            if not isinstance(address, tuple):
                return address
            vm, service = address
            assert (str(uuid.UUID(vm)), str(uuid.UUID(service))) == address
            self.asked.append(address)
            return str(short / service)

        def bind(self, address: Any) -> None:
            super().bind(self._path(address))

        def connect(self, address: Any) -> None:
            super().connect(self._path(address))

    monkeypatch.setattr(socket, "AF_HYPERV", AF_HYPERV, raising=False)
    monkeypatch.setattr(socket, "HV_PROTOCOL_RAW", HV_PROTOCOL_RAW, raising=False)
    monkeypatch.setattr(socket, "socket", HyperVSocket)
    return HyperVSocket


def test_a_session_over_a_hyper_v_socket(hyperv: Any) -> None:
    """Listen for all machines, as on the host; connect to one, as from another program
    of the host.
    """

    async def serve() -> None:
        async with Server(MemoryDriver()) as server:
            actual = await server.listen("hyperv:children:5640")
            assert str(actual) == f"hyperv:{WILDCARDS['children']}:{SERVICE}"
            assert server.accepting
            for name in (b"first", b"second"):
                await asyncio.to_thread(talk, name)
            await asyncio.wait_for(server.wait_idle(), TIMEOUT)

    def talk(name: bytes) -> None:
        with RawClient(connect_virtual(HyperV(VM, SERVICE), 20)) as client:
            client.version()
            client.attach()
            client.create(0, 1, name, b"hello")
            assert client.read(1) == b"hello"
            client.clunk(0, 1)

    asyncio.run(serve())
    assert set(hyperv.made) == {(AF_HYPERV, socket.SOCK_STREAM, HV_PROTOCOL_RAW)}
    assert hyperv.asked == [(WILDCARDS["children"], SERVICE), (VM, SERVICE), (VM, SERVICE)]


def test_both_faces_of_the_client(hyperv: Any) -> None:
    async def serve() -> None:
        async with Server(MemoryDriver()) as server:
            await server.listen("hyperv:any:5640")
            await asyncio.to_thread(use)
            async with ninep.aconnect("hyperv:parent:5640", timeout=TIMEOUT) as files:
                assert await files.read_bytes("f") == b"over a hyper-v socket"
                assert files.connection.peer == f"hyperv:{WILDCARDS['parent']}:{SERVICE}"

    def use() -> None:
        with ninep.connect(f"hyperv:{VM}:5640", timeout=TIMEOUT) as files:
            files.write_bytes("f", b"over a hyper-v socket")

    asyncio.run(serve())
    assert [vm for vm, _ in hyperv.asked[1:]] == [VM, WILDCARDS["parent"]]


def test_a_service_that_is_not_listened_at(hyperv: Any) -> None:
    async def ask() -> None:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOENT):
            await aio.connect(f"hyperv:{VM}:1", timeout=TIMEOUT)

    with pytest.raises(OSError, check=lambda error: error.errno == errno.ENOENT):
        ninep.connect(f"hyperv:{VM}:1", timeout=TIMEOUT)
    asyncio.run(ask())


def test_a_busy_service(hyperv: Any) -> None:
    bound = listeners.bind(parse("hyperv:any:7"))
    with bound.sockets[0], pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
        listeners.bind(parse("hyperv:any:7"))


class HyperVTransport(asyncio.BaseTransport):
    """What asyncio tells of a Hyper-V connection."""

    family = type("Family", (int,), {})(AF_HYPERV)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"socket": self, "peername": (VM.upper(), SERVICE)}.get(name, default)

    def fileno(self) -> int:
        return 7


def test_the_peer_is_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.transport.peers._family", lambda number: "AF_HYPERV" if number == AF_HYPERV else "?")
    peer = peer_of(HyperVTransport())
    assert (str(peer), peer.vm, peer.account) == (f"hyperv:{VM.upper()}", VM, ("vm", VM))
    assert (peer.address, peer.uid, peer.cid) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "one"),
    [
        ("vsock:2:1", True),
        ("vsock:-1:1", False),
        ("vsock:4294967295:1", False),
        (f"hyperv:{VM}:1", True),
        ("hyperv:parent:1", True),
        ("hyperv:loopback:1", True),
        ("hyperv:any:1", False),
        ("hyperv:children:1", False),
    ],
)
def test_which_name_one_machine(text: str, one: bool) -> None:
    address = parse(text)
    assert isinstance(address, VirtualAddress)
    assert address.names_one == one


@pytest.mark.parametrize(("text", "name"), [("vsock:2:1", "AF_VSOCK"), ("hyperv:parent:1", "AF_HYPERV")])
def test_a_system_without_them(monkeypatch: pytest.MonkeyPatch, text: str, name: str) -> None:
    monkeypatch.delattr(socket, name, raising=False)
    address = parse(text)
    assert isinstance(address, VirtualAddress)
    for use in (virtual_socket, connect_virtual):
        with pytest.raises(OSError, match=name):
            use(address)  # type: ignore[operator]
    with pytest.raises(OSError, match=name):
        ninep.connect(text)
