"""Two gateways over two mounts of one cluster, behind haproxy, and clients that write there."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.cluster.gateway import Gateway
from tests.cluster.haproxy import HAProxy
from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.mounts import needs_fuse
from tests.cluster.seaweedfs import SeaweedFS
from tests.cluster.service import Service
from tests.support.client import TIMEOUT

from ninep.client.blocking import Client, connect

RECORD = 4096


class Site(NamedTuple):
    """What a client of the site can reach."""

    gateways: tuple[Gateway, Gateway]
    proxy: HAProxy
    mounts: tuple[Path, Path]
    engines: tuple[Service, Service]
    metadata: Service

    def client(self, gateway: Gateway | None = None, reconnect: float = TIMEOUT) -> Client:
        """By the proxy, or at one gateway."""
        port = self.proxy.port if gateway is None else gateway.port
        return connect(f"127.0.0.1:{port}", reconnect=reconnect, timeout=TIMEOUT)


@contextmanager
def juicefs_site(folder: Path, *options: str) -> Iterator[Site]:
    """Over JuiceFS with Redis. ``options``: of both gateways."""
    needs_fuse()
    mounts = folder / "one", folder / "two"
    with ExitStack() as stack:
        redis = stack.enter_context(Redis(folder / "redis"))
        engine = JuiceFS(folder / "juicefs", redis.url)
        first, second = (stack.enter_context(engine.mounted(mount)) for mount in mounts)
        one, two = (stack.enter_context(Gateway(mount, folder / f"{mount.name}.run", *options)) for mount in mounts)
        proxy = HAProxy(folder, [(gateway.port, gateway.health) for gateway in (one, two)])
        yield Site((one, two), stack.enter_context(proxy), mounts, (first, second), redis)


@contextmanager
def seaweedfs_site(folder: Path) -> Iterator[Site]:
    """Over SeaweedFS."""
    needs_fuse()
    with SeaweedFS(folder / "engine") as engine, ExitStack() as stack:
        mounts: list[Path] = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            mounts.append(stack.enter_context(engine.mounted(folder / name / "mount")))
        one, two = (stack.enter_context(Gateway(mount, mount.parent / "run")) for mount in mounts)
        proxy = HAProxy(folder, [(gateway.port, gateway.health) for gateway in (one, two)])
        yield Site((one, two), stack.enter_context(proxy), (mounts[0], mounts[1]), (engine, engine), engine)


def connections(gateway: Gateway) -> int:
    """How many clients a gateway has."""
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
