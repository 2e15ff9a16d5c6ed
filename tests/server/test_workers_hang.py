"""Workers that hang, die at once, or outlive their parent: connections go to those that answer, and
the server always ends.

A worker hangs here because it is stopped (SIGSTOP), or because its event loop waits in a system
call; what is a matter of seconds in earnest is made short.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.serving import Server, patched
from tests.support.client import TIMEOUT, RawClient

from ninep.linux import GETATTR_BASIC
from ninep.wire import messages as m

SHORT = """
from ninep.app import ending
from ninep.server import worker, workers
worker.HANG_TIMEOUT, workers.HUNG_AFTER, workers.PING_EVERY, ending.LOOP_ANSWERS = 0.5, 0.5, 0.2, 0.3
"""
REPLACED = """
from ninep.server import workers
workers.HUNG_AFTER, workers.PING_EVERY = 4, 0.2
"""
"""Seconds that a worker which does not hang never takes, on a busy machine either; and none of the
end is short.
"""
LOOP_HANGS = (
    SHORT
    + """
worker.HANG_TIMEOUT = 60  # a worker ends without its loop, and has the time to say so before it is killed
import os
from ninep.server.exports import Exports
find, (reading, writing) = Exports.find, os.pipe()
def find_or_hang(self, aname):
    return os.read(reading, 1) if aname == b"hang" else find(self, aname)
Exports.find = find_or_hang
"""
)


def children(pid: int) -> set[int]:
    return {int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], object], server: Server) -> None:
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, server.said()
        time.sleep(0.01)


@contextmanager
def cut_short(*options: object, **more: str) -> Iterator[Server]:
    """A server whose end is no clean one."""
    server = Server(*options, **more)  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.stop(check=False)


def connect(server: Server) -> RawClient:
    return RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))


def attached(server: Server) -> RawClient:
    client = connect(server)
    client.version()
    client.attach()
    return client


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it was killed
            os.kill(pid, signal.SIGCONT)


def test_connections_that_a_worker_does_not_take_go_to_others(export: Path) -> None:
    with Server(export, "--workers", "2") as server, ExitStack() as stack:
        with stopped(min(children(server.pid))):
            clients = [stack.enter_context(attached(server)) for _ in range(6)]
        for client in clients:
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.mode
        assert "does not answer" in server.said()


def test_one_that_hangs_is_replaced_and_keeps_its_clients(export: Path) -> None:
    with Server(export, "--workers", "2", patch=REPLACED) as server, ExitStack() as stack:
        first = children(server.pid)
        clients = [stack.enter_context(attached(server)) for _ in range(2)]
        with stopped(min(first)):
            wait_for(lambda: "starting another; its 1 connections stay with it" in server.said(), server)
            wait_for(lambda: len(children(server.pid)) == 3, server)
            with attached(server):
                pass
        for client in clients:
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.mode
        wait_for(lambda: "answers again" in server.said(), server)
        for client in clients:
            client.close()
        wait_for(lambda: len(children(server.pid)) == 2, server)
        assert min(first) not in children(server.pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_the_end_does_not_wait_for_one_that_is_stopped(export: Path, number: signal.Signals) -> None:
    with cut_short(export, "--workers", "2", patch=SHORT) as server:
        victim = min(children(server.pid))
        with stopped(victim):
            os.kill(server.pid, number)
            assert server._process.wait(TIMEOUT) == 1
        server.stop(check=False)  # all is said
        assert f"worker {victim} does not end: killing it" in server.said()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_end_does_not_wait_for_an_event_loop_that_hangs(export: Path, workers: str) -> None:
    with cut_short(export, "--workers", workers, patch=LOOP_HANGS) as server, connect(server) as client:
        client.version()
        client.send(m.Tattach(0, m.NOFID, b"", b"hang", 0))
        with connect(server) as other:  # a worker has the other one; a single process will not answer
            if workers == "2":
                other.version()
            os.kill(server.pid, signal.SIGTERM)
            assert server._process.wait(TIMEOUT) == 1
        server.stop(check=False)
        assert "does not answer: ending without it" in server.said()


def test_a_worker_that_hangs_ends_with_its_parent(export: Path) -> None:
    with cut_short(export, "--workers", "2", patch=LOOP_HANGS) as server, connect(server) as client:
        workers = children(server.pid)
        client.version()
        client.send(m.Tattach(0, m.NOFID, b"", b"hang", 0))
        os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not any(runs(pid) for pid in workers), server)


def test_a_second_signal_does_not_wait_for_requests(export: Path) -> None:
    """A request that hangs in a thread: the grace of a first signal is cut short by the second."""
    hangs = """
import threading
from ninep.app import ending
from ninep.drivers.local.file import LocalFile
ending.HURRY_TIMEOUT = 0.5
LocalFile.fsync = lambda *_: threading.Event().wait()
"""
    with cut_short(export, "-s", "mapped-file", patch=hangs) as server, attached(server) as client:
        client.create(0, 1, b"f")
        client.send(m.Tfsync(1))
        client.walk(0, 2)
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: not accepts(server.port), server)
        os.kill(server.pid, signal.SIGTERM)
        assert client.ended()
        assert server._process.wait(TIMEOUT) == 1
        server.stop(check=False)
        assert "does not answer" in server.said()
        assert "after 10 s" not in server.said()


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), TIMEOUT).close()
    except ConnectionError:
        return False
    return True


def test_workers_that_cannot_serve_are_not_started_for_ever(export: Path) -> None:
    """One line says why, and the exit status is 1; nothing claims to listen."""
    patch = """
import errno
from ninep.app import run_workers as running
async def fails(*_, **__):
    raise OSError(errno.ENOMEM, "no memory for it")
running._work, _ = fails, running._work
"""
    done = subprocess.run(
        [*patched(patch), "serve", str(export), "--listen", "127.0.0.1:0", "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1
    assert "a worker cannot serve: no memory for it" in done.stderr
    assert "before it could serve: giving up" in done.stderr
    assert "listening" not in done.stderr
    assert "Traceback" not in done.stderr


def test_one_that_dies_again_and_again_is_replaced_ever_later(export: Path) -> None:
    long = "from ninep.server import workers\nworkers.LIVED = 3600"  # however slowly this test gets on
    with Server(export, "--workers", "2", patch=long) as server:
        lasting = max(children(server.pid))
        for times in range(1, 4):
            wait_for(lambda: len(children(server.pid)) == 2, server)
            (victim,) = children(server.pid) - {lasting}
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: server.said().count("starting another") == times, server)  # noqa: B023
        assert [line.partition("another")[2] for line in server.said().splitlines() if "another" in line] == [
            "",
            " in 0.5 s",
            " in 1 s",
        ]


def test_too_few_handles_are_said_at_the_start(export: Path) -> None:
    for workers in ("1", "4"):
        done = subprocess.run(
            ["sh", "-c", 'ulimit -n 16 && exec "$@"', "sh", *patched(""), "serve", str(export), "--workers", workers],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "too few open files are allowed: 16" in done.stderr
