"""Two gateways to one file system (JuiceFS over Redis), behind haproxy: one is killed, one drains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.service import wait_until
from tests.cluster.site import Site, Writer, connections, juicefs_site, seaweedfs_site
from tests.support.client import TIMEOUT

from ninep.client.blocking import connect

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

AFTERWARDS = 20
"""Records that each client writes after the loss of its gateway, or beside it."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with juicefs_site(tmp_path) as made:
        yield made


@pytest.fixture
def seaweed_site(tmp_path: Path) -> Iterator[Site]:
    with seaweedfs_site(tmp_path) as made:
        yield made


@pytest.mark.parametrize("engine", ["site", "seaweed_site"])
def test_a_gateway_killed_under_load_loses_nothing_synced(request: pytest.FixtureRequest, engine: str) -> None:
    site = request.getfixturevalue(engine)
    clients = [site.client() for _ in range(4)]
    assert [connections(gateway) for gateway in site.gateways] == [2, 2]  # they are spread
    writers = [Writer(client, f"f{number}") for number, client in enumerate(clients)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.wait_for(5)
    site.gateways[0].kill()
    for writer in writers:
        writer.wait_for(AFTERWARDS)
    assert connections(site.gateways[1]) == 4
    for writer in writers:
        writer.enough.set()
    for writer in writers:
        writer.join(TIMEOUT)
        assert writer.failure is None
        found = (site.mounts[1] / writer.path).read_bytes()
        assert found == b"".join(map(writer.record, range(writer.synced)))
    for client in clients:
        client.close()


def test_locks_of_a_killed_gateway_are_free_again(site: Site) -> None:
    one, two = site.gateways
    with site.client(one, reconnect=0) as holder, site.client(two) as other:
        other.write_bytes("f", b"")
        held = holder.open("f", "r+b")
        held.lock()
        with other.open("f", "r+b") as file:
            with pytest.raises(BlockingIOError):
                file.lock(wait=False)
            one.kill()
            file.lock(timeout=TIMEOUT)


def test_a_lock_is_taken_again_at_the_other_gateway(site: Site) -> None:
    one, two = site.gateways
    with (
        connect(f"127.0.0.1:{one.port},127.0.0.1:{two.port}", reconnect=TIMEOUT, timeout=TIMEOUT) as client,
        client.open("f", "x+b") as file,
        site.client(two) as other,
        other.open("f", "r+b") as same,
    ):
        file.lock()
        one.kill()
        assert file.pread(1, 0) == b""
        with pytest.raises(BlockingIOError):
            same.lock(wait=False)


def test_a_gateway_that_drains_keeps_its_clients_and_gets_no_more(site: Site) -> None:
    one, two = site.gateways
    with site.client() as first, site.client() as second:
        assert [connections(gateway) for gateway in site.gateways] == [1, 1]
        one.ctl("drain")
        wait_until(lambda: not one.ready, one.said)
        later = [site.client() for _ in range(4)]  # refused at once by the one, so haproxy takes the other
        assert connections(two) == 5
        for client in (first, second, *later):
            assert client.exists("/")
        for client in later:
            client.close()
    wait_until(lambda: not one.running, one.said)  # it ended with its last client


def test_a_gateway_is_ready_while_its_storage_answers(site: Site) -> None:
    one, two = site.gateways
    with site.engines[0].paused():
        wait_until(lambda: not one.ready, one.said)
        assert two.ready
    wait_until(lambda: one.ready, one.said)
    site.engines[0].kill()  # the mount is there, and each call fails
    wait_until(lambda: not one.ready, one.said)
    assert two.ready
    with site.client() as client:
        assert client.exists("/")
