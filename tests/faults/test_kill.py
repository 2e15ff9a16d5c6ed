"""``kill -9`` of the server, and of one of several workers, while clients write.

What a client was told is on stable storage is there for the next server; metadata is one of those
that were asked for, never another; no name that clients did not make is to be seen, and everything
can be removed. ``test_killed.py`` tries each moment in turn; here nobody chooses them.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT, Failed, RawClient
from tests.threats.process import Program
from tests.threats.verbs import setattr_

from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, O_RDWR, SETATTR_GID, SETATTR_MODE, SETATTR_UID
from ninep.wire import messages as m

CLIENTS = 3
ROUNDS = 4
RECORD = 8
MODES = (0o640, 0o4751)
root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")
Attributes = tuple[int, int, int]


class Writer:
    """A client that changes its own files until the server is gone, and notes what it
    was promised.
    """

    def __init__(self, client: RawClient, number: int) -> None:
        self.client = client
        self.number = number
        self.promised = 0
        """Records in its file that are on stable storage."""
        self.writes = 0
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def name(self, what: str) -> bytes:
        return f"{what}{self.number}".encode()

    def start(self) -> None:
        client = self.client
        client.create(0, 1, self.name("data"))
        for fid, what in ((2, "meta"), (3, "moved")):
            client.create(0, fid, self.name(what), b"content")
            client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=fid, uid=1000, gid=100))
            client.rpc(setattr_(SETATTR_MODE, fid=fid, mode=MODES[0]))
        client.create(0, 4, self.name("target"), b"content")
        self._thread.start()

    def join(self) -> None:
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while True:
                self._turn()
        except (ConnectionError, BrokenPipeError):
            pass  # the server is gone
        except BaseException as failure:  # noqa: BLE001 - told in the test's thread
            self.failure = failure
        self.ended.set()

    def _turn(self) -> None:
        client, turn = self.client, self.writes
        client.rpc(m.Twrite(1, turn * RECORD, turn.to_bytes(RECORD, "big")))
        self.writes += 1
        client.rpc(setattr_(SETATTR_MODE, fid=2, mode=MODES[turn % 2]))
        there, back = (self.name("moved"), self.name("away"))[:: 1 if turn % 2 == 0 else -1]
        client.rpc(m.Trenameat(0, there, 0, back))
        client.create(0, 5, self.name("new"))
        client.clunk(5)
        client.rpc(m.Trenameat(0, self.name("new"), 0, self.name("target")))
        if turn % 4 == 0:
            written = self.writes
            client.rpc(m.Tfsync(1, 0))
            self.promised = written


@contextmanager
def writing(server: Program) -> Iterator[list[Writer]]:
    """Clients at work; at the end the server must have gone away under them."""
    with ExitStack() as stack:
        writers = [Writer(stack.enter_context(server.client()), number) for number in range(CLIENTS)]
        for writer in writers:
            writer.start()
        yield writers
        for writer in writers:
            writer.join()


def wait_for(condition: object, what: str) -> None:
    assert callable(condition)
    until = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.005)


def attributes(client: RawClient, name: bytes) -> Attributes:
    client.walk(0, 9, name)
    found = client.rpc(m.Tgetattr(9, GETATTR_BASIC)).attributes
    client.clunk(9)
    return found.mode, found.uid, found.gid


def contents(client: RawClient, name: bytes) -> bytes:
    client.walk(0, 9, name)
    client.open(9)
    data = b""
    while piece := client.read(9, len(data), 4096):
        data += piece
    client.clunk(9)
    return data


def names(client: RawClient) -> set[bytes]:
    client.walk(0, 9)
    client.open(9)
    found = set(client.names(9))
    client.clunk(9)
    return found


def judge(client: RawClient, writers: list[Writer]) -> None:
    """See the module."""
    legal = {(stat.S_IFREG | mode, 1000, 100) for mode in MODES}
    expected = set()
    found = names(client)
    for writer in writers:
        data = contents(client, writer.name("data"))
        assert len(data) >= writer.promised * RECORD, "what was promised is gone"
        for turn in range(writer.promised):
            assert data[turn * RECORD :][:RECORD] == turn.to_bytes(RECORD, "big")
        assert attributes(client, writer.name("meta")) in legal
        moved = {writer.name("moved"), writer.name("away")} & found
        assert len(moved) == 1, f"a file that is renamed has one of its names: {moved}"
        assert attributes(client, *moved) == (stat.S_IFREG | MODES[0], 1000, 100), "a rename takes owner and mode along"
        assert contents(client, *moved) == b"content"
        expected |= {writer.name(what) for what in ("data", "meta", "target", "new")} | moved
    assert found <= expected, f"what no client made: {found - expected}"


def clear(client: RawClient, folder: Path) -> None:
    """All can be removed, and nothing is in the way of anything."""
    for name in names(client):
        client.rpc(m.Tunlinkat(0, name, 0))
    assert names(client) == set()
    assert {path.name for path in folder.iterdir()} <= {".virtfs_metadata"}


@root
@pytest.mark.parametrize("model", ["passthrough", "mapped-owner", "mapped-xattr", "mapped-file"])
def test_of_the_server(export: Path, model: str) -> None:
    for turns in range(3, 3 + ROUNDS * 5, 5):
        with Program(export, "--security-model", model) as server:
            with writing(server) as writers:
                wait_for(lambda: all(one.promised > turns for one in writers), "the clients do not get on")  # noqa: B023
                os.kill(server.pid, signal.SIGKILL)
            server.stop(check=False)
            server.start()
            with server.client() as client:
                judge(client, writers)
                clear(client, export)


@root
def test_in_the_middle_of_a_directory(export: Path) -> None:
    """mapped-file keeps its records below; what a killed server left there does not keep the
    directory.
    """
    with Program(export, "--security-model", "mapped-file") as server:
        with server.client() as client:
            client.mkdir(0, b"d")
            client.walk(0, 1, b"d")
            client.create(1, 2, b"f")

            def change() -> None:
                try:
                    for turn in range(100_000):
                        client.rpc(setattr_(SETATTR_MODE, fid=2, mode=0o600 + turn % 0o77))
                except (ConnectionError, BrokenPipeError):
                    return

            thread = threading.Thread(target=change)
            thread.start()
            record = export / "d" / ".virtfs_metadata" / "f"
            before = record.read_bytes()
            wait_for(lambda: record.read_bytes() != before, "nothing changes")
            os.kill(server.pid, signal.SIGKILL)
            thread.join(TIMEOUT)
            assert not thread.is_alive()
        # What a kill in the middle of a replacement leaves, whether this one did or not.
        (export / "d" / ".virtfs_metadata" / ".virtfs_metadata_new.1.1").write_bytes(b"virtfs.u")
        server.stop(check=False)
        server.start()
        with server.client() as client:
            client.walk(0, 1, b"d")
            client.walk(1, 2, b"f")
            found = client.rpc(m.Tgetattr(2, GETATTR_BASIC)).attributes
            assert found.mode & 0o7777 in range(0o600, 0o700), "a whole record, one of those that were written"
            client.rpc(m.Tunlinkat(1, b"f", 0))
            client.rpc(m.Tunlinkat(0, b"d", AT_REMOVEDIR))
        assert not (export / "d").exists()


# -- workers -----------------------------------------------------------------------------------------------------------


def children(pid: int) -> set[int]:
    return {int(number) for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def serves(worker: int, sock: socket.socket) -> bool:
    """Whether the other end of a TCP connection is in this process: its table of sockets has the
    same two ports.
    """
    ours = f":{sock.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(ours)}
    held = set()
    for number in os.listdir(f"/proc/{worker}/fd"):
        try:
            held.add(os.readlink(f"/proc/{worker}/fd/{number}"))
        except OSError:
            continue
    return bool(inodes & held)


@root
def test_of_one_worker(export: Path) -> None:
    """Its connections are gone; those of the others are not disturbed; another takes its place, and
    all end cleanly.
    """
    with Program(export, "--workers", "2", "--security-model", "mapped-file") as server:
        first = children(server.pid)
        assert len(first) == 2
        with ExitStack() as stack:
            writers = [Writer(stack.enter_context(server.client()), number) for number in range(4)]
            for writer in writers:
                writer.start()
            wait_for(lambda: all(one.promised > 5 for one in writers), "the clients do not get on")
            victim = next(pid for pid in first if serves(pid, writers[0].client.sock))
            cut_off = [one for one in writers if serves(victim, one.client.sock)]
            going_on = [one for one in writers if one not in cut_off]
            assert len(cut_off) == len(going_on) == 2, "connections are shared out"
            os.kill(victim, signal.SIGKILL)
            for writer in cut_off:
                assert writer.ended.wait(TIMEOUT), "a client of the dead worker still waits"
            marks = [one.promised for one in going_on]
            wait_for(
                lambda: all(one.promised > mark + 8 for one, mark in zip(going_on, marks, strict=True)),
                "others stopped",
            )
            wait_for(lambda: len(children(server.pid)) == 2, "nobody took its place")
            assert victim not in children(server.pid)
            fresh = children(server.pid) - first
            client = stack.enter_context(server.client())
            wait_for(lambda: any(serves(pid, client.sock) for pid in fresh), "the new worker gets no connection")
            judge_some(client, cut_off)
            for writer in going_on:
                writer.client.sock.shutdown(socket.SHUT_RDWR)
            for writer in writers:
                writer.join()
            judge(client, writers)
            clear(client, export)
        assert f"worker {victim} ended (SIGKILL); starting another" in server.said()


def judge_some(client: RawClient, writers: list[Writer]) -> None:
    """While others still write."""
    for writer in writers:
        assert len(contents(client, writer.name("data"))) >= writer.promised * RECORD
        with pytest.raises(Failed):
            client.walk(0, 8, writer.name("nothing"))


def test_an_end_while_a_worker_is_replaced(export: Path) -> None:
    """One that has just begun is told to end like all others, and does."""
    for _ in range(5):
        with Program(export, "--workers", "2") as server:
            os.kill(min(children(server.pid)), signal.SIGKILL)
            wait_for(lambda: "starting another" in server.said(), "nobody noticed")
            wait_for(lambda: len(children(server.pid)) == 2, "nobody took its place")


@root
def test_of_the_parent_of_workers(export: Path) -> None:
    """They end with it, and the next server finds what was promised."""
    with Program(export, "--workers", "2", "--security-model", "mapped-xattr") as server:
        workers = children(server.pid)
        with writing(server) as writers:
            wait_for(lambda: all(one.promised > 5 for one in writers), "the clients do not get on")
            os.kill(server.pid, signal.SIGKILL)
        wait_for(lambda: not any(running(pid) for pid in workers), "workers without a parent go on")
        server.stop(check=False)
        server.start()
        with server.client() as client:
            judge(client, writers)
            clear(client, export)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_writers_would_notice_what_is_lost(export: Path) -> None:
    """The judgement itself: it fails for a record that is missing."""
    with Program(export, "--security-model", "passthrough") as server, server.client() as client:
        writer = Writer(client, 0)
        client.create(0, 1, b"data0", b"\0" * RECORD)
        writer.promised = 2
        client.clunk(1)
        with pytest.raises(AssertionError, match="promised is gone"):
            judge(client, [writer])
        client.walk(0, 1, b"data0")
        client.open(1, O_RDWR)
        client.rpc(m.Twrite(1, RECORD, b"\xff" * RECORD))
        with pytest.raises(AssertionError):
            judge(client, [writer])
