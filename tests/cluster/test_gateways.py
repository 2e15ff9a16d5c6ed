"""Two gateways to one file system (JuiceFS over Redis), behind haproxy: one is killed, one drains."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cluster.gateway import Gateway
from tests.cluster.haproxy import HAProxy
from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.mounts import needs_fuse
from tests.cluster.seaweedfs import SeaweedFS
from tests.cluster.service import Service, wait_until
from tests.support.client import TIMEOUT

from ninep.client.blocking import Client, connect

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

RECORD = 4096
AFTERWARDS = 20
"""Records that each client writes after the loss of its gateway, or beside it."""


class Site(NamedTuple):
    """What a client of the site can reach."""

    gateways: tuple[Gateway, Gateway]
    proxy: HAProxy
    mounts: tuple[Path, Path]
    engines: tuple[Service, Service]

    def client(self, gateway: Gateway | None = None, reconnect: float = TIMEOUT) -> Client:
        """By the proxy, or at one gateway."""
        port = self.proxy.port if gateway is None else gateway.port
        return connect(f"127.0.0.1:{port}", reconnect=reconnect, timeout=TIMEOUT)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    needs_fuse()
    mounts = tmp_path / "one", tmp_path / "two"
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(tmp_path / "redis"))
        engine = JuiceFS(tmp_path / "juicefs", redis.url)
        first, second = (stack.enter_context(engine.mounted(mount)) for mount in mounts)
        one, two = (stack.enter_context(Gateway(mount, tmp_path / f"{mount.name}.run")) for mount in mounts)
        proxy = HAProxy(tmp_path, [(gateway.port, gateway.health) for gateway in (one, two)])
        yield Site((one, two), stack.enter_context(proxy), mounts, (first, second))


@pytest.fixture
def seaweed_site(tmp_path: Path) -> Iterator[Site]:
    """The same over two mounts of SeaweedFS."""
    needs_fuse()
    with SeaweedFS(tmp_path / "engine") as engine, ExitStack() as stack:
        mounts: list[Path] = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            mounts.append(stack.enter_context(engine.mounted(tmp_path / name / "mount")))
        one, two = (stack.enter_context(Gateway(mount, mount.parent / "run")) for mount in mounts)
        proxy = HAProxy(tmp_path, [(gateway.port, gateway.health) for gateway in (one, two)])
        yield Site((one, two), stack.enter_context(proxy), (mounts[0], mounts[1]), (engine, engine))


def connections(gateway: Gateway) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.health}/metrics", timeout=TIMEOUT) as answer:
        lines = answer.read().decode().splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("ninep_open_connections "))


class Writer(threading.Thread):
    """Writes records and syncs each; `synced` is how many the server has said are on stable storage."""

    def __init__(self, client: Client, name: str) -> None:
        super().__init__()
        self.client = client
        self.path = name
        self.synced = 0
        self.enough = threading.Event()
        self.progress = threading.Condition()
        self.failure: OSError | None = None

    def record(self, number: int) -> bytes:
        return f"{self.path} {number} ".encode().ljust(RECORD, b".")

    def run(self) -> None:
        try:
            with self.client.open(self.path, "xb") as file:
                while not self.enough.is_set():
                    file.pwrite(self.record(self.synced), self.synced * RECORD)
                    file.fsync()
                    with self.progress:
                        self.synced += 1
                        self.progress.notify_all()
        except OSError as error:
            self.failure = error
            with self.progress:
                self.progress.notify_all()

    def wait_for(self, more: int) -> None:
        with self.progress:
            wanted = self.synced + more
            assert self.progress.wait_for(lambda: self.failure is not None or self.synced >= wanted, TIMEOUT)
        assert self.failure is None, self.failure


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
