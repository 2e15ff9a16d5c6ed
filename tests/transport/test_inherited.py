"""Sockets and pipes that another program opened: inetd, a program at the other end of a pipe,
systemd. Each needs a process of its own.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.client import TIMEOUT, RawClient

from ninep.wire import messages as m

SERVE = """
import asyncio, sys
from ninep.drivers.memory import MemoryDriver
from ninep.server.server import Server

async def main():
    async with Server(MemoryDriver()) as server:
        await server.listen(sys.argv[2])
        print("a stray line")
        print("told", file=sys.stderr, flush=True)
        await (server.wait() if server.accepting else server.wait_idle())

if sys.argv[1] == "uvloop":
    import uvloop
    uvloop.run(main())
else:
    asyncio.run(main())
"""


class Pipes:
    """Two pipes as what ``RawClient`` needs of a socket."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        assert process.stdin
        assert process.stdout
        self.writer, self.reader = process.stdin, process.stdout

    def settimeout(self, seconds: float) -> None:
        """The test's own limit is the limit."""

    def sendall(self, data: bytes) -> None:
        self.writer.write(data)
        self.writer.flush()

    def recv(self, count: int) -> bytes:
        return os.read(self.reader.fileno(), count)

    def close(self) -> None:
        self.writer.close()
        self.reader.close()


@pytest.fixture(params=["uvloop", "asyncio"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a server at an address, in one of the event loops."""
    started: list[subprocess.Popen[bytes]] = []

    def starting(address: str, *before: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*before, sys.executable, "-c", SERVE, request.param, address], **options)
        started.append(process)
        return process

    yield starting
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(TIMEOUT)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None and not stream.closed:
                stream.close()


def session(client: RawClient) -> None:
    client.version(msize=1 << 20)
    client.attach()
    client.create(0, 1, b"f", b"hello")
    assert client.read(1) == b"hello"
    client.rpc(m.Tfsync(1))


class TestPipes:
    def start(self, start: Callable[..., subprocess.Popen[bytes]]) -> tuple[subprocess.Popen[bytes], RawClient]:
        process = start("stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return process, RawClient(Pipes(process))  # type: ignore[arg-type]

    def test_a_session(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        process, client = self.start(start)
        session(client)
        client.close()
        assert process.wait(TIMEOUT) == 0
        assert process.stderr
        assert process.stderr.read() == b"told\n"

    def test_what_is_owed_when_nothing_more_comes(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        # As in: printf ... | ninep serve --listen stdio > replies
        process, client = self.start(start)
        session(client)
        tags = client.send_all(m.Tfsync(1), m.Tread(1, 0, 100), m.Tclunk(1))
        assert process.stdin
        process.stdin.close()
        for tag in tags:
            client.reply(tag)
        assert client.sock.recv(1) == b""
        assert process.wait(TIMEOUT) == 0

    def test_more_than_pipes_hold(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        process, client = self.start(start)
        session(client)
        data = bytes(range(256)) * 2000
        client.rpc(m.Twrite(1, 0, data))
        tags = client.send_all(*[m.Tread(1, 0, len(data)) for _ in range(50)])
        for tag in tags:
            assert client.reply(tag) == m.Rread(data)
        client.close()
        assert process.wait(TIMEOUT) == 0

    def test_a_reader_that_goes_away(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        process, client = self.start(start)
        session(client)
        assert process.stdout
        process.stdout.close()
        assert process.wait(TIMEOUT) == 0  # stdin is still open

    def test_a_stray_line_is_no_reply(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        # Neither on standard output, nor on standard error where that goes the same way.
        process = start("stdio", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        client = RawClient(Pipes(process))  # type: ignore[arg-type]
        session(client)
        client.close()
        assert process.wait(TIMEOUT) == 0


class TestSocket:
    """inetd(8): one socket is standard input, output and error."""

    @pytest.mark.parametrize("family", ["unix", "tcp"])
    def test_a_session(self, start: Callable[..., subprocess.Popen[bytes]], family: str) -> None:
        if family == "unix":
            ours, theirs = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                ours = socket.create_connection(listening.getsockname(), TIMEOUT)
                theirs, _ = listening.accept()
        with theirs:
            process = start("stdio", stdin=theirs, stdout=theirs, stderr=theirs)
        with RawClient(ours) as client:
            session(client)
            client.rpc(m.Tclunk(1))
        assert process.wait(TIMEOUT) == 0

    def test_two_sockets(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        # What sshd gives a command.
        requests, their_in = socket.socketpair()
        replies, their_out = socket.socketpair()
        with their_in, their_out:
            process = start("stdio", stdin=their_in, stdout=their_out, stderr=subprocess.DEVNULL)
        requests.settimeout(TIMEOUT)
        replies.settimeout(TIMEOUT)
        with requests, replies:
            client = RawClient(replies)
            client.sock = _Pair(requests, replies)  # type: ignore[assignment]
            session(client)
        assert process.wait(TIMEOUT) == 0


class _Pair:
    def __init__(self, writer: socket.socket, reader: socket.socket) -> None:
        self.sendall, self.recv = writer.sendall, reader.recv


class TestNeither:
    @pytest.mark.parametrize("which", ["stdin", "stdout"])
    def test_files_and_devices(self, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path, which: str) -> None:
        # uvloop would call abort(3).
        for path in (tmp_path / "f", Path(os.devnull)):
            with open(path, "w+b") as file:
                streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, which: file}
                process = start("stdio", stderr=subprocess.PIPE, **streams)
                assert process.wait(TIMEOUT) == 1
                assert process.stderr
                assert b"have to be pipes or a socket" in process.stderr.read()


class TestSystemd:
    """sd_listen_fds(3): descriptors from 3 on, said in the environment."""

    ARRANGE = """
import os, sys
pid, count, *numbers = sys.argv[1].split(",")
spare = [os.dup2(int(number), 200 + i) for i, number in enumerate(numbers)]
for i, number in enumerate(spare):
    os.dup2(number, 3 + i)
os.environ["LISTEN_PID"] = str(os.getpid()) if pid == "own" else pid
os.environ["LISTEN_FDS"] = count
os.execv(sys.argv[2], sys.argv[2:])
"""

    def start(
        self,
        start: Callable[..., subprocess.Popen[bytes]],
        sockets: list[socket.socket],
        pid: str = "own",
        count: str | None = None,
    ) -> subprocess.Popen[bytes]:
        numbers = [sock.fileno() for sock in sockets]
        told = ",".join([pid, str(len(sockets)) if count is None else count, *map(str, numbers)])
        before = [sys.executable, "-c", self.ARRANGE, told]
        return start("systemd", *before, stderr=subprocess.PIPE, pass_fds=numbers)

    def test_several_sockets(self, start: Callable[..., subprocess.Popen[bytes]], tmp_path: Path) -> None:
        path = str(tmp_path / "s")
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
            unix.bind(path)
            unix.listen()
            process = self.start(start, [tcp, unix])
            with RawClient(socket.create_connection(tcp.getsockname(), TIMEOUT)) as client:
                session(client)
            ours = socket.socket(socket.AF_UNIX)
            ours.connect(path)
            with RawClient(ours) as client:
                session(client)
        process.terminate()
        process.wait(TIMEOUT)
        assert os.path.lexists(path)  # it is systemd's

    def test_one_connection(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        # Accept=yes
        ours, theirs = socket.socketpair()
        with theirs:
            process = self.start(start, [theirs])
        with RawClient(ours) as client:
            session(client)
        assert process.wait(TIMEOUT) == 0

    @pytest.mark.parametrize(("pid", "count"), [("1", "1"), ("own", "0"), ("own", "x"), ("own", ""), ("", "1")])
    def test_nothing_handed_over(self, start: Callable[..., subprocess.Popen[bytes]], pid: str, count: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            process = self.start(start, [sock], pid, count)
        assert process.wait(TIMEOUT) == 1
        assert process.stderr
        assert b"no sockets were handed over" in process.stderr.read()
