"""SIGTERM while a storage does not answer. A process cannot leave a request that a FUSE program has
taken, nor the FLUSH of a file that it closes (fs/fuse/dev.c): what can end ends all the same. Its
clients hear of it, and the address is free for the next server.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.disks import needs_root
from tests.faults.fuse import Faulty
from tests.faults.test_broken import until_held
from tests.faults.test_leases import Lease
from tests.server.test_workers_hang import SHORT, attached, children, cut_short, wait_for
from tests.serving import Server
from tests.support.client import TIMEOUT, RawClient

from ninep import host
from ninep.linux import GETATTR_BASIC, LOCK_WRLCK, O_RDONLY
from ninep.wire import messages as m

pytestmark = [needs_root, pytest.mark.skipif(not host.SEES_MOUNTS, reason="needs openat2(2), Linux 5.6")]
ROOT, MNT, FILE = 0, 1, 2
HURRY_TIMEOUT = """
from ninep.app import ending
ending.HURRY_TIMEOUT = 0.5
"""
IN_THE_LOOP = (
    SHORT
    + """
from ninep import host
volume = host.volume
host.volume = lambda handle: volume(handle)._replace(slow=False)
"""
)
"""A storage that was fast, and is served in the event loop's thread."""


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-end.") as folder:
        (Path(folder) / "mnt").mkdir(parents=True)
        yield Path(folder)


@pytest.fixture
def disk(base: Path) -> Iterator[Faulty]:
    with Faulty(base / "mnt") as made:
        yield made


def a_request(client: RawClient, disk: Faulty) -> None:
    disk.hold("GETATTR")
    client.send(m.Twalk(ROOT, MNT, [b"mnt"]))
    until_held(disk)


def a_locked_file(client: RawClient, disk: Faulty) -> None:
    """Its lock is let go with the file, and that waits."""
    client.walk(ROOT, MNT, b"mnt")
    client.create(MNT, FILE, b"file", b"content")
    assert client.rpc(m.Tlock(FILE, LOCK_WRLCK, 0, 0, 0, 1, b"client")).status == 0
    disk.hold("FLUSH")


def a_write(client: RawClient, disk: Faulty) -> None:
    client.walk(ROOT, MNT, b"mnt")
    client.create(MNT, FILE, b"file", b"content")
    disk.hold("WRITE")
    disk.hold("FLUSH")
    client.send(m.Twrite(FILE, 0, b"more"))
    until_held(disk)


HANGS: tuple[Callable[[RawClient, Faulty], None], ...] = (a_request, a_locked_file, a_write)


@contextmanager
def until_it_answers(server: Server, disk: Faulty) -> Iterator[None]:
    """Afterwards the storage answers, and the process ends."""
    try:
        yield
    finally:
        disk.go()
    assert server._process.wait(TIMEOUT) in {0, 1}


def another_serves(folder: Path, port: int) -> None:
    with Server(folder, "-s", "none", listen=(f"127.0.0.1:{port}",)) as next_one, attached(next_one) as client:
        assert client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC)).attributes.mode


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.__name__)
def test_what_can_end_ends(base: Path, disk: Faulty, hang: Callable[[RawClient, Faulty], None]) -> None:
    with cut_short(base, "-s", "none", patch=HURRY_TIMEOUT) as server, until_it_answers(server, disk):
        client, other = attached(server), attached(server)
        hang(client, disk)
        for _ in range(2):
            os.kill(server.pid, signal.SIGTERM)
        assert other.ended()
        assert client.ended()
        another_serves(base, server.port)
        client.close()
        other.close()


def test_an_event_loop_that_hangs_keeps_no_address(base: Path, disk: Faulty) -> None:
    with cut_short(base / "mnt", "-s", "none", patch=IN_THE_LOOP) as server, until_it_answers(server, disk):
        client, other = attached(server), attached(server)
        disk.hold("LOOKUP")
        client.send(m.Twalk(ROOT, FILE, [b"file"]))
        until_held(disk)
        os.kill(server.pid, signal.SIGTERM)
        assert other.ended()
        assert client.ended()
        another_serves(base, server.port)
        client.close()
        other.close()


@pytest.mark.parametrize("hang", HANGS, ids=lambda hang: hang.__name__)
def test_the_parent_of_workers_ends(base: Path, disk: Faulty, hang: Callable[[RawClient, Faulty], None]) -> None:
    """And leaves the worker that the kernel holds."""
    with cut_short(base, "-s", "none", "--workers", "2", patch=SHORT) as server:
        client = attached(server)
        hang(client, disk)
        workers = children(server.pid)
        for _ in range(2):
            os.kill(server.pid, signal.SIGTERM)
        try:
            assert server._process.wait(TIMEOUT) in {0, 1}
            another_serves(base, server.port)
        finally:
            disk.go()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), server)
        client.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_open_that_waits_for_a_lease(base: Path, workers: str) -> None:
    """That wait a signal ends."""
    (base / "file").write_bytes(b"content")
    with (
        cut_short(base, "-s", "none", "--workers", workers, patch=SHORT + HURRY_TIMEOUT) as server,
        attached(server) as client,
    ):
        client.walk(ROOT, FILE, b"file")
        with Lease(base / "file") as lease:
            client.send(m.Tlopen(FILE, O_RDONLY))
            lease.until_asked()
            for _ in range(2):
                os.kill(server.pid, signal.SIGTERM)
            assert server._process.wait(TIMEOUT) in {0, 1}
            lease.give_up()
