"""What the kernel says of the other side."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

from ninep.transport.peers import Peer, _tcp, peer_of


class Noting(asyncio.Protocol):
    """Notes the peer of the one connection that comes."""

    def __init__(self, noted: "asyncio.Future[Peer]") -> None:
        self.noted = noted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.noted.set_result(peer_of(transport))
        transport.close()


async def peer_through(
    listen: Callable[[Callable[[], Noting]], Awaitable[asyncio.Server]],
    connect: Callable[[asyncio.Server], socket.socket],
) -> Peer:
    noted: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
    server = await listen(lambda: Noting(noted))
    with connect(server):
        peer = await asyncio.wait_for(noted, TIMEOUT)
    server.close()
    return peer


def test_a_unix_socket_tells_user_and_group(tmp_path: Path) -> None:
    path = str(tmp_path / "s")

    def connect(_: asyncio.Server) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return sock

    peer = asyncio.run(peer_through(lambda make: asyncio.get_running_loop().create_unix_server(make, path), connect))
    assert (peer.uid, peer.gid, peer.address, peer.cid) == (os.getuid(), os.getgid(), None, None)
    assert str(peer).startswith(f"unix uid={os.getuid()}")
    assert peer.account == ("uid", os.getuid())


def test_a_tcp_socket_tells_the_address() -> None:
    ours = []

    def connect(server: asyncio.Server) -> socket.socket:
        sock = socket.create_connection(server.sockets[0].getsockname())
        ours.append(sock.getsockname())
        return sock

    peer = asyncio.run(
        peer_through(lambda make: asyncio.get_running_loop().create_server(make, "127.0.0.1", 0), connect)
    )
    assert (peer.address, peer.uid) == (ip_address("127.0.0.1"), None)
    assert str(peer) == f"127.0.0.1:{ours[0][1]}"


@pytest.mark.parametrize(
    ("host", "shown", "address"),
    [
        ("::1", "[::1]:5", "::1"),
        ("::ffff:10.0.0.1", "10.0.0.1:5", "10.0.0.1"),
        ("fe80::1%eth0", "[fe80::1]:5", "fe80::1"),
    ],
)
def test_addresses_are_compared_without_their_disguises(host: str, shown: str, address: str) -> None:
    assert (str(_tcp(host, 5)), _tcp(host, 5).address) == (shown, ip_address(address))


def test_peers_that_nothing_is_known_of_have_no_account() -> None:
    assert Peer("pipe").account is None
