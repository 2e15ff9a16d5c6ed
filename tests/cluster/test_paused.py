"""A metadata engine that does not answer for a while: what waits goes on afterwards, nothing is
lost, and other exports of the same server are served meanwhile.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.cluster.juicefs import Redis
from tests.serving import Server
from tests.support.client import RawClient

from ninep.linux import O_RDWR
from ninep.wire import messages as m

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
PAUSE = 10.0  # seconds
ROOT, FILE = 0, 1
LOCAL_REQUESTS = 200


@contextmanager
def client(server: Server, export: bytes = b"") -> Iterator[RawClient]:
    with RawClient(socket.create_connection(("127.0.0.1", server.port))) as one:
        one.version()
        one.attach(ROOT, export)
        yield one


@pytest.fixture
def server(juicefs: tuple[Path, Path], tmp_path: Path) -> Iterator[Server]:
    """A local folder, and a JuiceFS as the export `cluster`."""
    (tmp_path / "local").mkdir()
    with Server(tmp_path / "local", "-s", "none", "--export", f"cluster={juicefs[0]},model=none") as server:
        yield server


def test_others_are_served_while_the_cluster_does_not_answer(
    server: Server, redis: Redis, juicefs: tuple[Path, Path]
) -> None:
    """From the first request on: the attach, looks at the root and at names, and statfs."""
    with client(server) as local, client(server, b"cluster") as cluster:
        with redis.paused():
            made = cluster.send(m.Tlcreate(ROOT, b"paused", O_RDWR, 0o644, 0))
            with RawClient(socket.create_connection(("127.0.0.1", server.port))) as late:
                late.version()
                late.send_all(
                    m.Tattach(ROOT, m.NOFID, b"", b"cluster", 0),
                    m.Tgetattr(ROOT, 0x7FF),
                    m.Twalk(ROOT, 2, [b"missing"]),
                    m.Twalk(ROOT, 3, [b".."]),
                    m.Tstatfs(ROOT),
                )
                for _ in range(LOCAL_REQUESTS):
                    local.rpc(m.Tgetattr(ROOT, 0x7FF))
                assert cluster.silent(), "the engine answers nothing yet"

        cluster.reply(made)
        assert (juicefs[1] / "paused").exists()


def test_what_is_written_meanwhile_is_there_afterwards(
    server: Server, redis: Redis, juicefs: tuple[Path, Path]
) -> None:
    """A pause of 10 s is no error: requests wait, in their order."""
    content = b"acknowledged" * 300
    with client(server, b"cluster") as one:
        one.walk(ROOT, FILE)
        one.rpc(m.Tlcreate(FILE, b"written", O_RDWR, 0o644, 0))
        with redis.paused():
            write = one.send(m.Twrite(FILE, 0, content))
            time.sleep(PAUSE)  # the fault itself
        assert one.reply(write).count == len(content)
        one.rpc(m.Tfsync(FILE, 0))
        assert (juicefs[1] / "written").read_bytes() == content
