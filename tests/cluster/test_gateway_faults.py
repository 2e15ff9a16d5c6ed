"""What clients of two gateways meet when the metadata engine stops for a while, and when the machine of
their gateway loses power.

A power loss is simulated: the gateway is stopped, the program of its mount killed (what it had not uploaded
is gone), then the gateway.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.service import wait_until
from tests.cluster.site import Site, Writer, juicefs_site
from tests.support.client import TIMEOUT

from ninep.client.blocking import Client, connect
from ninep.client.errors import NotWritten
from ninep.client.state import KEPT_BYTES

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAUSE = 10.0  # seconds
BLOCK = 1 << 20
LOCAL_REQUESTS = 200


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Each gateway has an export `local` beside the cluster."""
    (tmp_path / "local").mkdir()
    with juicefs_site(tmp_path, "--export", f"local={tmp_path / 'local'},model=none") as made:
        yield made


def by_both(site: Site) -> Client:
    """A client of the first gateway, which goes to the second when that is gone."""
    one, two = site.gateways
    return connect(f"127.0.0.1:{one.port},127.0.0.1:{two.port}", reconnect=TIMEOUT, timeout=TIMEOUT)


def lose_power(site: Site) -> None:
    """Of the first gateway's machine."""
    with site.gateways[0].paused():
        site.engines[0].kill()
        site.gateways[0].kill()


def test_the_metadata_engine_stops_for_10_seconds(site: Site) -> None:
    """Clients of both gateways wait and go on, other exports are served, and new clients are refused."""
    locals_ = [connect(f"127.0.0.1:{gateway.port}", "local", timeout=TIMEOUT) for gateway in site.gateways]
    clients = [site.client(gateway) for gateway in site.gateways for _ in range(2)]
    writers = [Writer(client, f"f{number}") for number, client in enumerate(clients)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.wait_for(5)
    with site.metadata.paused():
        ends = time.monotonic() + PAUSE
        for client in locals_:
            for _ in range(LOCAL_REQUESTS):
                client.stat("/")
        for gateway in site.gateways:
            wait_until(lambda gateway=gateway: not gateway.ready, gateway.said)
        time.sleep(max(0.0, ends - time.monotonic()))  # the fault itself
    for writer in writers:
        writer.wait_for(5)
    for gateway in site.gateways:
        wait_until(lambda gateway=gateway: gateway.ready, gateway.said)
    for writer in writers:
        writer.enough.set()
    for writer in writers:
        writer.join(TIMEOUT)
        assert writer.failure is None
        for mount in site.mounts:
            assert (mount / writer.path).read_bytes() == b"".join(map(writer.record, range(writer.synced)))
    for client in (*clients, *locals_):
        client.close()


def test_a_client_that_waits_no_longer_is_told_so(site: Site) -> None:
    """ETIMEDOUT after its own time; the connection goes on afterwards."""
    with connect(f"127.0.0.1:{site.gateways[0].port}", timeout=1) as client:
        client.write_bytes("f", b"first")
        with site.metadata.paused(), pytest.raises(TimeoutError) as caught:
            client.mkdir("d")
        assert caught.value.errno == errno.ETIMEDOUT

        def works() -> bool:
            try:
                return client.read_bytes("f") == b"first"
            except TimeoutError:
                return False

        wait_until(works, site.gateways[0].said)


def test_power_loss_what_was_synced_is_there_and_what_was_not_is_written_again(site: Site) -> None:
    with by_both(site) as client, client.open("f", "xb") as file:
        file.pwrite(b"synced " * 1000, 0)
        file.fsync()
        file.pwrite(b"not yet " * 1000, 7000)
        lose_power(site)
        file.fsync()
        assert (site.mounts[1] / "f").read_bytes() == b"synced " * 1000 + b"not yet " * 1000


def test_power_loss_after_a_file_was_emptied(site: Site) -> None:
    (site.mounts[1] / "f").write_bytes(b"former content, which is longer")
    with by_both(site) as client, client.open("f", "wb") as file:
        file.pwrite(b"new", 0)
        lose_power(site)
        file.fsync()
        assert (site.mounts[1] / "f").read_bytes() == b"new"


def test_power_loss_more_than_is_kept_is_reported(site: Site) -> None:
    with by_both(site) as client, client.open("f", "xb") as file:
        file.pwrite(b"synced", 0)
        file.fsync()
        for start in range(BLOCK, KEPT_BYTES + 2 * BLOCK, BLOCK):
            file.pwrite(b"x" * BLOCK, start)
        lose_power(site)
        with pytest.raises(NotWritten):
            file.fsync()
        assert (site.mounts[1] / "f").read_bytes()[:6] == b"synced"
        for start in range(BLOCK, KEPT_BYTES + 2 * BLOCK, BLOCK):
            file.pwrite(b"y" * BLOCK, start)
        file.fsync()
        found = (site.mounts[1] / "f").read_bytes()
        assert found == b"synced".ljust(BLOCK, b"\0") + b"y" * (KEPT_BYTES + BLOCK)
