"""``ninep ctl upgrade`` and SIGUSR2: another process in the place of the one that serves. Its sockets never
close, so that whoever connects meanwhile notices nothing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving import Server, program
from tests.support.certificates import Authority
from tests.support.client import TIMEOUT, RawClient

from ninep.client.blocking import connect
from ninep.linux import GETATTR_BASIC
from ninep.wire import messages as m

UPGRADE = getattr(signal, "SIGUSR2", None)
pytestmark = pytest.mark.skipif(UPGRADE is None, reason="this system has no SIGUSR2")
TIMES = 3


class Upgraded:
    """A server with a configuration file, and the processes that took its place."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.file = folder / "ninep.toml"
        self.control = folder / "control"
        self.workers = workers
        (folder / "files").mkdir()
        (folder / "files" / "name").write_text("content")
        self.pids: list[int] = []

    def write(self, *listen: str, more: str = "") -> None:
        """The configuration."""
        addresses = ", ".join(f'"{one}"' for one in listen)
        self.file.write_text(
            f"listen = [{addresses}]\nworkers = {self.workers}\ncontrol = '{self.control}'\n{more}\n"
            "[exports.'']\ntarget = 'files'\n"
        )

    def begin(self, *listen: str, more: str = "", **named: object) -> Server:
        self.write(*listen, more=more)
        self.server = Server(f"--config={self.file}", listen=(), addresses=len(listen), **named)  # type: ignore[arg-type]
        self.server.start()
        self.pids = [self.server.pid]
        return self.server

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*program(), "ctl", *words, "--control", str(self.control)], capture_output=True, text=True, check=False
        )

    def upgrade(self) -> int:
        """The process that serves then."""
        before = len(self.server.said())
        os.kill(self.pids[-1], UPGRADE)
        self.server.wait_for("ninep: upgraded: process ", before)
        self.pids.append(int(re.findall("upgraded: process ([0-9]+)", self.server.said()[before:])[0]))
        return self.pids[-1]

    def end(self) -> None:
        """All of them."""
        for pid in self.pids[1:]:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                continue
        self.server.stop()


@pytest.fixture(params=[1, 2], ids=["one process", "workers"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Upgraded]:
    upgraded = Upgraded(tmp_path, request.param)
    try:
        yield upgraded
    finally:
        upgraded.end()


class Connecting(threading.Thread):
    """Connects, asks and leaves again, all the time."""

    def __init__(self, make: Callable[[], socket.socket]) -> None:
        super().__init__(daemon=True)
        self.make = make
        self.over = threading.Event()
        self.times = 0
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                with RawClient(self.make()) as client:
                    client.version()
                    client.attach()
                    client.rpc(m.Tgetattr(0, GETATTR_BASIC))
                self.times += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed = error


def test_who_connects_meanwhile_is_served(one: Upgraded) -> None:
    path = str(one.folder / "socket")
    server = one.begin("127.0.0.1:0", f"unix:{path}")

    def by_path() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        sock.connect(path)
        return sock

    clients = [
        Connecting(lambda: socket.create_connection(("127.0.0.1", server.port), TIMEOUT)),
        Connecting(by_path),
    ]
    with connect(f"127.0.0.1:{server.port}") as before:
        for client in clients:
            client.start()
        for _ in range(TIMES):
            times = [client.times for client in clients]
            one.upgrade()
            assert before.read_bytes("/name") == b"content", "connections stay where they are"
            while any(client.times < 2 + some for client, some in zip(clients, times, strict=True)):
                assert all(client.failed is None for client in clients)
        for client in clients:
            client.over.set()
            client.join(TIMEOUT)
            assert client.failed is None
        assert server.running
    server._process.wait(TIMEOUT)  # with its last connection
    assert os.path.exists(path)
    os.kill(one.pids[-1], signal.SIGTERM)
    server._reader.join(TIMEOUT)  # all have ended
    assert not os.path.exists(path), "the last one takes its socket away"


def test_one_that_cannot_serve_changes_nothing(one: Upgraded) -> None:
    server = one.begin("127.0.0.1:0")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one.write("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}")
        done = one.ctl("upgrade")
        server.wait_for("cannot listen on 127.0.0.1:")
        server.wait_for("not upgraded: process ")
        if one.workers == 1:
            assert done.returncode == 1
            assert "ended (exit status 1) before it served" in done.stderr
        assert one.ctl("reload").returncode in {0, 1}, "the control socket is still this one's"
        with connect(f"127.0.0.1:{server.port}") as client:
            assert client.read_bytes("/name") == b"content"
    one.write("127.0.0.1:0", more="read-only = true")
    one.upgrade()
    with connect(f"127.0.0.1:{server.port}") as client, pytest.raises(OSError, match="Read-only"):
        client.write_bytes("/name", b"")


def test_the_control_socket_and_the_metrics_are_those_of_the_new_one(one: Upgraded) -> None:
    pytest.importorskip("prometheus_client")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = one.begin("127.0.0.1:0", more=f"metrics = '127.0.0.1:{port}'")
    with connect(f"127.0.0.1:{server.port}"):
        pid = one.upgrade()
        found = subprocess.run(
            [*program(), "status", "--control", str(one.control)], capture_output=True, text=True, check=True
        ).stdout
        assert found.startswith(f"server {pid} ")
        for _ in range(3 * one.workers):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT) as answer:
                assert answer.status == 200
        os.kill(one.pids[0], UPGRADE)
        server.wait_for("not upgraded: another process serves already")
        os.kill(one.pids[0], signal.SIGHUP)
        server.wait_for("not reloaded: another process serves now")


@pytest.mark.parametrize("usual", [False, True], ids=["--control", "the usual place"])
def test_the_one_before_is_seen_until_its_last_client_leaves(one: Upgraded, tmp_path: Path, usual: bool) -> None:
    """`status` without a process id is about the one that serves, and shows the other's clients, too."""
    where = [] if usual else ["--control", str(one.control)]
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    if usual:
        one.control = tmp_path / "none"
        one.write = lambda *listen, more="": one.file.write_text(  # type: ignore[method-assign]
            f"listen = '{listen[0]}'\nworkers = {one.workers}\n[exports.'']\ntarget = 'files'\n"
        )

    def ask(*words: str) -> str:
        done = subprocess.run(
            [*program(), *words, *where], capture_output=True, text=True, check=False, env=os.environ | environment
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    server = one.begin("127.0.0.1:0", environment=environment)
    with RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) as before:
        before.version()
        before.attach()
        pid = one.upgrade()
        with connect(f"127.0.0.1:{server.port}") as after:
            assert after.listdir("/") == ["name"]
            found = json.loads(ask("status", "--json"))
            assert (found["server"]["pid"], found["unanswered"]) == (pid, [])
            ends = [process for process in found["processes"] if process["draining"] and process["clients"]]
            (client,) = ends[0]["clients"]
            assert client["id"].startswith(f"{ends[0]['pid']}.")
            assert f"process {ends[0]['pid']} served before an upgrade" in ask("status")
            ask("ctl", "kick", client["id"])
            assert before.ended()
            assert after.listdir("/") == ["name"]
    server._process.wait(TIMEOUT)


def test_addresses_of_the_new_configuration(one: Upgraded, tmp_path: Path) -> None:
    """One is listened at no more, one is added, and one has TLS from now on."""
    server = one.begin("127.0.0.1:0", f"unix:{tmp_path}/old")
    cert, key = Authority(tmp_path).issue("server", "127.0.0.1")
    one.write(f"tls:127.0.0.1:0,cert={cert},key={key}", f"unix:{tmp_path}/new")
    one.upgrade()
    with connect(f"tls://127.0.0.1:{server.port}", tls_ca=str(tmp_path / "ca.pem")) as client:
        assert client.read_bytes("/name") == b"content"
    with connect(f"unix:{tmp_path}/new") as client:
        assert client.read_bytes("/name") == b"content"
    server._process.wait(TIMEOUT)
    assert not os.path.exists(tmp_path / "old")


def test_a_reload_then_says_nothing_of_what_the_first_one_announced(one: Upgraded, tmp_path: Path) -> None:
    """The addresses were written to ready-fd once; the file still has it, and that is no change."""
    server = one.begin("127.0.0.1:0", more="ready-fd = 1")
    pid = one.upgrade()
    os.kill(pid, signal.SIGHUP)
    server.wait_for("reloaded: ")
    assert "ready-fd" not in server.said()


def test_the_service_manager_is_told(one: Upgraded, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(TIMEOUT)
        one.begin("127.0.0.1:0", environment={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(99) == b"READY=1"
        pid = one.upgrade()
        assert manager.recv(99) == b"READY=1", "of the new one"
        assert manager.recv(99) == f"MAINPID={pid}".encode()
        one.server._process.wait(TIMEOUT)
        os.kill(pid, signal.SIGTERM)
        assert manager.recv(99) == b"STOPPING=1", "of the new one: the old one's end is not the service's"


@pytest.mark.parametrize(
    ("listen", "options", "why"),
    [
        ("virtiofs:{folder}/socket,tag=t", [], "virtiofs:.* cannot be handed on to another process"),
        ("127.0.0.1:0", ["--pcap={folder}/file"], "the file of --pcap is written by one process alone"),
    ],
)
def test_what_cannot_be_handed_on(tmp_path: Path, listen: str, options: list[str], why: str) -> None:
    address = listen.format(folder=tmp_path)
    options = [one.format(folder=tmp_path) for one in options]
    with Server(tmp_path, *options, listen=(address,)) as server:
        os.kill(server.pid, UPGRADE)
        server.wait_for("ninep: not upgraded: ")
        assert re.search(f"not upgraded: {why}", server.said())
