"""Byte-range locks between two servers, each over a mount of its own of one cluster."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.cluster.seaweedfs import SeaweedFS
from tests.cluster.service import wait_until
from tests.serving import Server
from tests.support.client import RawClient

from ninep.linux import LOCK_BLOCKED, LOCK_RDLCK, LOCK_SUCCESS, LOCK_UNLCK, LOCK_WRLCK, O_RDWR
from ninep.wire import messages as m

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
FILE = 1


@contextmanager
def client(server: Server) -> Iterator[RawClient]:
    """It has the file `locked` of the export open as fid FILE."""
    with RawClient(socket.create_connection(("127.0.0.1", server.port))) as one:
        one.version()
        one.attach()
        one.walk(0, FILE, b"locked")
        one.rpc(m.Tlopen(FILE, O_RDWR))
        yield one


def lock(one: RawClient, kind: int, start: int = 0, length: int = 0) -> int:
    status: int = one.rpc(m.Tlock(FILE, kind, 0, start, length, 1, b"host")).status
    return status


@pytest.fixture
def gateways(juicefs: tuple[Path, Path]) -> Iterator[list[Server]]:
    """Two servers."""
    (juicefs[0] / "locked").touch()
    with ExitStack() as stack:
        yield [stack.enter_context(Server(mount, "-s", "none", "--locks", "host")) for mount in juicefs]


def test_clients_of_two_servers_exclude_each_other(gateways: list[Server]) -> None:
    with client(gateways[0]) as one, client(gateways[1]) as two:
        assert lock(one, LOCK_WRLCK, 0, 10) == LOCK_SUCCESS
        assert lock(two, LOCK_WRLCK, 5, 10) == LOCK_BLOCKED
        assert lock(two, LOCK_RDLCK, 9, 1) == LOCK_BLOCKED
        assert lock(two, LOCK_WRLCK, 10, 10) == LOCK_SUCCESS, "another range"
        found = two.rpc(m.Tgetlock(FILE, LOCK_WRLCK, 0, 10, 2, b"other"))
        assert (found.type, found.start, found.length) == (LOCK_WRLCK, 0, 10)
        assert lock(one, LOCK_UNLCK, 0, 5) == LOCK_SUCCESS
        assert lock(two, LOCK_WRLCK, 0, 5) == LOCK_SUCCESS, "the part that was given back"
        assert lock(two, LOCK_WRLCK, 5, 1) == LOCK_BLOCKED, "and not the other one"


def test_readers_share(gateways: list[Server]) -> None:
    with client(gateways[0]) as one, client(gateways[1]) as two:
        assert lock(one, LOCK_RDLCK) == lock(two, LOCK_RDLCK) == LOCK_SUCCESS
        assert lock(one, LOCK_WRLCK) == LOCK_BLOCKED


def test_locks_end_with_the_connection(gateways: list[Server]) -> None:
    with client(gateways[1]) as two:
        with client(gateways[0]) as one:
            assert lock(one, LOCK_WRLCK) == LOCK_SUCCESS
            assert lock(two, LOCK_WRLCK) == LOCK_BLOCKED
        wait_until(lambda: lock(two, LOCK_WRLCK) == LOCK_SUCCESS, gateways[0].said)


def test_locks_end_with_a_server_that_is_killed(gateways: list[Server]) -> None:
    """Its kernel closes its files, of which the mount is told: no session has to run out."""
    with client(gateways[1]) as two:
        with client(gateways[0]) as one:
            assert lock(one, LOCK_WRLCK) == LOCK_SUCCESS
            gateways[0].kill()
        wait_until(lambda: lock(two, LOCK_WRLCK) == LOCK_SUCCESS, gateways[1].said)


def test_mounts_of_seaweedfs_share_no_locks_by_themselves(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """Which `ninep probe DIR OTHER` says. Its option -dlm makes them."""
    with ExitStack() as stack:
        mounts = [stack.enter_context(seaweedfs.mounted(tmp_path / name / "mount")) for name in ("one", "two")]
        (mounts[0] / "locked").touch()
        wait_until((mounts[1] / "locked").exists, seaweedfs.said)
        servers = [stack.enter_context(Server(mount, "-s", "none")) for mount in mounts]
        one, two = (stack.enter_context(client(server)) for server in servers)
        assert lock(one, LOCK_WRLCK) == LOCK_SUCCESS
        assert lock(two, LOCK_WRLCK) == LOCK_SUCCESS
