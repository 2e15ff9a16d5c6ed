"""The control socket of a running server: what it tells, what it does, and to whom."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.serving import ORDINARY_USER, Server, may_become_another_user
from tests.support.client import TIMEOUT, RawClient

from ninep.app import control, control_client, control_path
from ninep.app.control_client import Asking, Refused, running
from ninep.app.control_path import server_paths, worker_paths
from ninep.app.control_protocol import LONGEST_REQUEST
from ninep.wire import messages as m

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no unix sockets")


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "control")


@pytest.fixture
def begin(place: str, export: Path) -> Iterator[Callable[..., Server]]:
    """`begin(*options)`: a server with a control socket."""
    made: list[Server] = []

    def start(*options: str) -> Server:
        made.append(Server(export, "--control", place, *options))
        made[-1].start()
        return made[-1]

    yield start
    for server in made:
        if server.running:
            server.stop()


def connect(server: Server) -> RawClient:
    client = RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
    client.version()
    client.attach(uname=b"ann")
    return client


def clients(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [client for process in status["processes"] for client in process["clients"]]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestStatus:
    def test_a_client_with_what_it_has(self, begin: Callable[..., Server], place: str, export: Path) -> None:
        (export / "dir").mkdir()
        server = begin()
        with connect(server) as client, Asking(place) as asking:
            asking.status()  # bytes are counted from here on
            client.walk(0, 1, b"dir")
            client.create(1, 2, b"file", b"x" * 1000)
            client.rpc(m.Tlock(2, 1, 0, 10, 5, 77, b"host"))
            found = asking.status(files=10)
            (one,) = clients(found)
            (process,) = found["processes"]
            assert found["server"]["pid"] == server.pid
            assert found["unanswered"] == []
            assert (one["dialect"], one["fids"], one["open_files"], one["locks"]) == ("9P2000.L", 3, 1, 1)
            assert one["peer"] == "{}:{}".format(*client.sock.getsockname())
            assert [(user["export"], user["uname"]) for user in one["users"]] == [("", "ann")]
            assert one["files"] == [{"path": "/dir/file", "export": "", "mode": "rw"}]
            assert one["requests"] == 7  # Tversion, Tattach, Twalk, Twalk, Tlcreate, Twrite, Tlock
            assert one["received"] > 1000
            assert one["sent"] > 0
            assert process["exports"][0]["source"] == str(export)
            (lock,) = process["held"]
            assert {key: lock[key] for key in ("client", "path", "kind", "start", "end", "owner", "process")} == {
                "client": one["id"], "path": "/dir/file", "kind": "write", "start": 10, "end": 15, "owner": "host", "process": 77,
            }  # fmt: skip

    def test_a_limit_that_is_near(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--limit", "fids=5")
        with connect(server) as client, Asking(place) as asking:
            for fid in range(1, 4):
                client.walk(0, fid)
            (one,) = clients(asking.status())
            assert one["near"] == [{"limit": "fids", "used": 4, "most": 5}]

    def test_pages(self, begin: Callable[..., Server], place: str) -> None:
        server = begin()
        some = [connect(server) for _ in range(5)]
        with Asking(place) as asking:
            assert [one["id"] for one in clients(asking.status())] == ["1", "2", "3", "4", "5"]
            assert clients(asking.ask("status", page=1)) == []
        for one in some:
            one.close()

    def test_names_that_are_no_text(self, begin: Callable[..., Server], place: str) -> None:
        server = begin()
        with connect(server) as client, Asking(place) as asking:
            client.create(0, 1, b"\xff\n\x1b")
            (one,) = clients(asking.status(files=1))
            assert os.fsencode(one["files"][0]["path"]) == b"/\xff\n\x1b"


class TestActs:
    def test_kick(self, begin: Callable[..., Server], place: str) -> None:
        server = begin()
        with connect(server) as stays, connect(server) as goes, Asking(place) as asking:
            asking.ask("kick", client="2")
            assert goes.ended()
            stays.walk(0, 1)
            with pytest.raises(Refused, match="no such client"):
                asking.ask("kick", client="2")

    def test_a_lock_that_is_broken_is_free(self, begin: Callable[..., Server], place: str) -> None:
        server = begin()
        with connect(server) as holds, connect(server) as waits, Asking(place) as asking:
            holds.create(0, 1, b"file")
            holds.rpc(m.Tlock(1, 1, 0, 0, 0, 1, b"a"))
            waits.walk(0, 1, b"file")
            waits.open(1, 2)
            assert waits.rpc(m.Tlock(1, 1, 0, 0, 0, 2, b"b")).status == 1
            with pytest.raises(Refused, match="no lock"):
                asking.ask("lock-break", client="1", path="/other")
            asking.ask("lock-break", client="1", path="/file")
            assert waits.rpc(m.Tlock(1, 1, 0, 0, 0, 2, b"b")).status == 0

    def test_drain(self, begin: Callable[..., Server], place: str) -> None:
        server = begin()
        with connect(server) as client, Asking(place) as asking:
            assert asking.ask("drain")["connections"] == 1
            with pytest.raises(OSError, match=r"refused|reset"):
                connect(server)
            client.walk(0, 1)  # served to its end
            assert asking.status()["processes"][0]["draining"]
        until(lambda: not server.running)
        server.stop()
        assert not os.path.lexists(place)

    def test_without_a_configuration_file_there_is_nothing_to_reload(
        self, begin: Callable[..., Server], place: str
    ) -> None:
        begin()
        with Asking(place) as asking, pytest.raises(Refused, match="no configuration file"):
            asking.ask("reload")


class TestReload:
    def test_what_is_wrong_comes_back(self, place: str, export: Path, tmp_path: Path) -> None:
        file = tmp_path / "ninep.toml"

        def write(name: str, folder: Path) -> None:
            file.write_text(f'listen = ["127.0.0.1:0"]\ncontrol = "{place}"\n[exports.{name}]\ntarget = "{folder}"\n')

        write("one", export)
        with Server(f"--config={file}", listen=(), addresses=1) as server, Asking(place) as asking:
            write("two", export / "nothing")
            with pytest.raises(Refused, match="nothing"):
                asking.ask("reload")
            assert [one["name"] for one in asking.status()["processes"][0]["exports"]] == ["one"]
            write("two", export)
            asking.ask("reload")
            assert [one["name"] for one in asking.status()["processes"][0]["exports"]] == ["two"]
            assert server.running


class TestWorkers:
    def test_one_answers_for_all(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--workers", "2")
        until(lambda: len(worker_paths(place)) == 2)
        some = [connect(server) for _ in range(4)]
        with Asking(place) as asking:
            found = asking.status()
            assert len(found["processes"]) == 2
            assert [process["connections"] for process in found["processes"]] == [2, 2]
            names = [client["id"] for client in clients(found)]
            assert len(set(names)) == 4
            for name in names:
                asking.ask("kick", client=name)
        assert all(one.ended() for one in some)
        for one in some:
            one.close()
        server.stop()
        assert worker_paths(place) == {}

    def test_one_that_hangs_is_named(self, begin: Callable[..., Server], place: str) -> None:
        begin("--workers", "2")
        until(lambda: len(worker_paths(place)) == 2)
        hangs, _ = pids = sorted(worker_paths(place))
        os.kill(hangs, signal.SIGSTOP)
        try:
            answered = None
            while answered is None:  # the socket that all share may give the connection to the one that hangs
                try:
                    with Asking(place, timeout=control.REPLY_TIMEOUT + 2) as asking:
                        answered = asking.status()
                except OSError:
                    continue
            assert answered["unanswered"] == [hangs]
            assert [one["pid"] for one in answered["processes"]] == pids[1:]
        finally:
            os.kill(hangs, signal.SIGCONT)

    def test_a_socket_that_a_killed_one_left_is_removed(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--workers", "2")
        until(lambda: len(worker_paths(place)) == 2)
        victim = next(iter(worker_paths(place)))
        os.kill(victim, signal.SIGKILL)
        server.wait_for("starting another")
        until(lambda: len(set(worker_paths(place)) - {victim}) == 2)
        with Asking(place) as asking:
            until(lambda: len(asking.status()["processes"]) == 2)
        assert victim not in worker_paths(place)

    def test_what_is_no_socket_of_a_worker_is_left_alone(
        self, begin: Callable[..., Server], place: str, tmp_path: Path
    ) -> None:
        """Connecting to a file is refused, as to a socket at which nobody listens."""
        (tmp_path / "control.1").write_text("precious")
        (tmp_path / "control.2").mkdir()
        (tmp_path / "control.3").symlink_to("nowhere")
        begin("--workers", "2")
        with Asking(place) as asking:
            until(lambda: len(asking.status()["processes"]) == 2)
        assert (tmp_path / "control.1").read_text() == "precious"
        assert {"control.2", "control.3"} < set(os.listdir(tmp_path))

    @pytest.mark.skipif(not may_become_another_user(), reason="needs root")
    def test_no_other_user_is_believed_to_be_a_worker(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--workers", "2")
        until(lambda: len(worker_paths(place)) == 2)
        with listener_of(ORDINARY_USER, f"{place}.1"), Asking(place) as asking:
            found = asking.status()
            assert len(found["processes"]) == 2
            assert found["unanswered"] == []
            server.wait_for(f"{place}.1 is no worker of this server: user {ORDINARY_USER} listens there")

    def test_drain(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--workers", "2")
        with connect(server) as client, Asking(place) as asking:
            asking.ask("drain")
            until(lambda: _refused(server))
            client.walk(0, 1)
        until(lambda: not server.running)
        server.stop()


@contextmanager
def listener_of(uid: int, path: str) -> Iterator[None]:
    """A socket at which a process of this user listens (SO_PEERCRED: who called listen(2))."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        os.seteuid(uid)
        try:
            sock.listen()
        finally:
            os.seteuid(0)
        yield


@pytest.mark.skipif(not may_become_another_user(), reason="needs root")
def test_who_is_believed_to_be_a_server(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with listener_of(ORDINARY_USER, place):
        Asking(place).close()  # root asks every user's
        monkeypatch.setattr(control_path, "own_uid", lambda: 1000)
        with pytest.raises(PermissionError, match=f"user {ORDINARY_USER} listens there"):
            Asking(place)
        monkeypatch.setattr(control_path, "own_uid", lambda: ORDINARY_USER)
        Asking(place).close()
    os.unlink(place)
    with listener_of(0, place):
        Asking(place).close()
        with pytest.raises(PermissionError):
            Asking(place, worker=True)


def test_only_sockets_are_taken_for_what_servers_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    (tmp_path / "1.sock").write_text("precious")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "2.sock"))
    assert set(running()) & {1, 2} == set()
    assert os.listdir(tmp_path) == ["1.sock"]


def _refused(server: Server) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it was in the backlog when the socket was closed
        pass
    return False


class TestWhoMayAsk:
    def test_the_user_alone(self, begin: Callable[..., Server], place: str) -> None:
        begin()
        assert os.stat(place).st_mode & 0o7777 == 0o600

    @pytest.mark.skipif(not may_become_another_user(), reason="needs root")
    def test_another_user_is_refused_whatever_the_mode(self, begin: Callable[..., Server], place: str) -> None:
        server = begin("--verbose")
        os.chmod(place, 0o666)
        for folder in Path(place).parents[:-2]:
            folder.chmod(folder.stat().st_mode & 0o7777 | 0o001)
        become = f"os.setgroups([]); os.setgid({ORDINARY_USER}); os.setuid({ORDINARY_USER})"
        ask = f"s = socket.socket(socket.AF_UNIX); s.connect({place!r}); print(s.makefile('rb').readline().decode())"
        script = f"import os, socket; {become}; {ask}"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
        assert "only the server's user" in done.stdout, done.stderr
        server.wait_for("not the server's user")


BAD = [
    (b"\n", "one JSON object"),
    (b"status\n", "one JSON object"),
    (b"[]\n", "one JSON object"),
    (b"[" * 60_000 + b"\n", "one JSON object"),
    (b"\xff\xfe\n", "one JSON object"),
    (b'{"command": "status"}\n', "version None"),
    (b'{"version": 2, "command": "status"}\n', "speaks 1"),
    (b'{"version": 1}\n', "has a command"),
    (b'{"version": 1, "command": "stat"}\n', "no command 'stat'"),
    (b'{"version": 1, "command": "status", "all": 1}\n', "no field 'all'"),
    (b'{"version": 1, "command": "status", "page": "1"}\n', "page is a number"),
    (b'{"version": 1, "command": "status", "page": true}\n', "page is a number"),
    (b'{"version": 1, "command": "status", "page": -1}\n', "out of range"),
    (b'{"version": 1, "command": "status", "page": 4294967296}\n', "out of range"),
    (b'{"version": 1, "command": "kick"}\n', "client is missing"),
    (b'{"version": 1, "command": "kick", "client": "x"}\n', "not a client"),
    (b'{"version": 1, "command": "kick", "client": "1.2"}\n', "there is no such client"),
    (b'{"version": 1, "command": "kick", "client": "' + b"9" * 5000 + b'"}\n', "not a client"),
    (b'{"version": 1, "command": "drain", "now": 1}\n', "this command has none"),
]


def test_what_cannot_be_meant_is_one_sentence_and_the_next_request_is_answered(
    begin: Callable[..., Server], place: str
) -> None:
    begin()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT)
        sock.connect(place)
        lines = sock.makefile("rb")
        for line, words in BAD:
            sock.sendall(line)
            reply = json.loads(lines.readline())
            assert not reply["ok"], line
            assert words in reply["error"], (line[:100], reply)
        sock.sendall(b'{"version": 1, "command": "status"}\n')
        assert json.loads(lines.readline())["ok"]
        sock.sendall(b" " * (LONGEST_REQUEST + 1))
        assert "at most" in json.loads(lines.readline())["error"]
        assert lines.readline() == b""
        lines.close()


def test_no_more_connections_than_there_may_be(begin: Callable[..., Server], place: str) -> None:
    server = begin()
    some = [Asking(place) for _ in range(control.MAX_CONVERSATIONS)]
    for one in some:
        one.ask("status")
    with Asking(place) as more, pytest.raises((Refused, OSError)):
        more.ask("status")
    with connect(server) as client:
        client.walk(0, 1)
    for one in some:
        one.close()


class TestPlaces:
    def run(self, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("ninep")), *arguments],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip

    def test_several_servers_on_one_machine(self, export: Path, tmp_path: Path) -> None:
        places = {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": ""}
        assert "no server of yours" in self.run("status", environment=places).stderr
        with Server(export, environment=places) as one:
            assert f"server {one.pid} " in self.run("status", environment=places).stdout
            with Server(export, environment=places) as two:
                done = self.run("status", environment=places)
                assert done.returncode == 1
                assert "--pid" in done.stderr
                assert f"server {two.pid} " in self.run("status", "--pid", str(two.pid), environment=places).stdout
            two_gone = server_paths([f"{tmp_path}/ninep"])
            assert list(two_gone) == [one.pid]

    def test_what_a_killed_server_left_is_removed(
        self, export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        places = {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": ""}
        for name, value in places.items():
            monkeypatch.setenv(name, value)
        with Server(export, environment=places) as server:
            assert list(control_client.running()) == [server.pid]
            server.kill()
        assert list(server_paths([f"{tmp_path}/ninep"])) == [server.pid]
        assert control_client.running() == {}
        assert server_paths([f"{tmp_path}/ninep"]) == {}

    def test_a_folder_that_others_can_write_is_not_used(self, export: Path, tmp_path: Path) -> None:
        (tmp_path / "ninep").mkdir()
        (tmp_path / "ninep").chmod(0o777)
        with Server(export, environment={"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": ""}):
            assert os.listdir(tmp_path / "ninep") == []

    def test_none(self, export: Path, tmp_path: Path) -> None:
        with Server(export, "--control", "none", environment={"XDG_RUNTIME_DIR": str(tmp_path)}):
            assert os.listdir(tmp_path) == []

    def test_a_socket_in_use_is_left_alone(self, begin: Callable[..., Server], place: str, export: Path) -> None:
        begin()
        done = self.run("serve", str(export), "--listen", "127.0.0.1:0", "--control", place, environment={})
        assert done.returncode == 1
        assert "cannot make the control socket" in done.stderr
        with Asking(place) as asking:
            asking.status()
