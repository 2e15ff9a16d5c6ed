"""What ``ninep serve --metrics`` tells: the numbers are those that the client counted itself."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.serving import Server
from tests.support.client import TIMEOUT, Failed, RawClient

from ninep import metrics
from ninep.server.access import Access
from ninep.wire import messages as m

Serve = Callable[..., Server]
TOLD = re.compile(r"metrics on http://([\d.]+):(\d+)/metrics")


def ports(server: Server, count: int = 1) -> list[int]:
    """Where it tells, once it has said so."""
    until = time.monotonic() + TIMEOUT
    while len(found := TOLD.findall(server.said())) < count:
        assert time.monotonic() < until, server.said()
        time.sleep(0.01)
    return [int(port) for _, port in found]


def numbers(port: int) -> dict[str, float]:
    """Every sample, by its name and the value of its label."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[" ".join([sample.name.removeprefix("ninep_"), *sample.labels.values()]).strip()] = sample.value
    return found


class Counting(RawClient):
    """A client that counts."""

    def __init__(self, port: int) -> None:
        super().__init__(socket.create_connection(("127.0.0.1", port), TIMEOUT))
        self.sent = self.received = 0
        self.types: Counter[str] = Counter()

    def send_all(self, *messages: m.Message, tags: list[int] | None = None) -> list[int]:
        self.types.update(f"requests_total {type(message).__name__}" for message in messages)
        self.sent += sum(len(self.encode(message, 1)) for message in messages)
        return super().send_all(*messages, tags=tags)

    def receive_frame(self) -> bytes:
        frame = super().receive_frame()
        self.received += len(frame)
        return frame


def use(client: RawClient, aname: bytes = b"") -> None:
    """A bit of everything: 2 errors ENOENT, 1 EBADF."""
    client.version(msize=1 << 17)
    client.attach(aname=aname)
    client.create(0, 1, b"file", b"x" * 100_000)
    client.rpc(m.Tfsync(1))
    client.read(1, 0, 100_000)
    client.rpc(m.Tlock(1, 1, 0, 0, 10, 1, b"me"))
    client.walk(0, 2)
    client.open(2)
    for message in (m.Twalk(0, 3, [b"a"]), m.Twalk(0, 3, [b"b"]), m.Tclunk(99)):
        with pytest.raises(Failed):
            client.rpc(message)


@pytest.mark.parametrize("trace", [[], ["--trace"]], ids=["quiet", "traced"])
def test_the_numbers_of_one_client(serve: Serve, export: Path, trace: list[str]) -> None:
    server = serve(export, "--metrics", "0", "--export", f"other={export}", *trace)
    (port,) = ports(server)
    with Counting(server.port) as client:
        use(client, b"other")
        found = numbers(port)
        assert {name: found.get(name) for name in client.types} == client.types
        assert (found["received_bytes_total"], found["sent_bytes_total"]) == (client.sent, client.received)
        assert {name: value for name, value in found.items() if name.startswith("errors_total")} == {
            "errors_total ENOENT": 2,
            "errors_total EBADF": 1,
        }
        assert (found["connections_total"], found["open_connections"], found["sessions"]) == (1, 1, 1)
        assert (found["fids"], found["open_files"], found["open_directories"]) == (3, 2, 1)
        assert (found["locks"], found["locks other"], found["attaches_total other"]) == (0, 1, 1)
        assert (found["requests_in_flight"], found["requests_in_threads"], found["slow_sessions"]) == (0, 0, 0)
        assert found["thread_seconds_count"] >= 1  # the fsync
        # A large message arrives in pieces, of a page at least.
        assert 1 <= found["batch_seconds_count"] <= client.types.total() + client.sent // 4096
        assert found["process_open_fds"] > 0
    server.stop()


def test_what_is_beyond_a_limit(serve: Serve, export: Path) -> None:
    server = serve(export, "--metrics", "0", "--limit", "fids=2", "--limit", "locks=1", "--limit", "connections=1")
    with Counting(server.port) as client:
        client.version()
        client.attach()
        client.create(0, 1, b"file")
        for _ in range(3):
            with pytest.raises(Failed):
                client.walk(0, 2)
        for start in (0, 5, 10):
            client.rpc(m.Tlock(1, 1, 0, start, 1, 1, b"me"))
        with Counting(server.port) as other:
            assert other.ended()
        found = numbers(ports(server)[0])
    assert (found["limited_total fids"], found["limited_total locks"], found["limited_total connections"]) == (3, 2, 1)
    assert found["errors_total ENFILE"] == 3


def test_messages_that_are_none_are_one_number(serve: Serve, export: Path) -> None:
    server = serve(export, "--metrics", "0")
    with Counting(server.port) as client:
        client.version()
        for number in range(256):
            if number not in {100, 108}:
                client.sock.sendall(b"\x07\0\0\0" + bytes([number]) + b"\1\0")
                client.receive_frame()
        found = numbers(ports(server)[0])
    assert len([name for name in found if name.startswith("requests_total")]) <= 32
    assert found["requests_total other"] > 200
    assert sum(value for name, value in found.items() if name.startswith("requests_total")) == 255


@pytest.mark.parametrize("control", [[], ["--control", "none"]], ids=["", "private"])
def test_the_numbers_of_all_workers_are_at_one_place(serve: Serve, export: Path, control: list[str]) -> None:
    server = serve(export, "--metrics", "0", "--workers", "2", *control)
    (port,) = ports(server)
    clients = [Counting(server.port) for _ in range(4)]
    for number, client in enumerate(clients):
        client.version()
        client.attach()
        client.create(0, 1, b"%d" % number)
    for _ in range(4):  # whichever of them answers
        found = numbers(port)
        assert (found["connections_total"], found["requests_total Tlcreate"], found["open_files"]) == (4, 4, 4)
        assert found["request_seconds_count  Tlcreate"] == 4
        assert [value for name, value in found.items() if name.startswith("build_info")] == [1]
        assert found["process_start_time_seconds"] < time.time()
    for client in clients:
        client.close()
    server.stop()


def test_a_worker_that_is_replaced_tells_at_the_same_place(serve: Serve, export: Path) -> None:
    server = serve(export, "--metrics", "0", "--workers", "2", "--verbose")
    (port,) = ports(server)
    server.wait_for("workers: ")
    victim = int(re.search(r"workers: (\d+)", server.said())[1])  # type: ignore[index]
    subprocess.run(["kill", f"-{signal.SIGKILL}", str(victim)], check=True)
    assert numbers(port)["connections_total"] == 0
    server.stop()


def test_times_by_export_and_type(serve: Serve, export: Path) -> None:
    server = serve(export, "--metrics", "0", "--export", f"other={export}")
    (port,) = ports(server)
    with Counting(server.port) as client:
        use(client, b"other")
        found = numbers(port)
    named = {name.split()[-1]: value for name, value in found.items() if name.startswith("request_seconds_count other")}
    assert (named["Tlcreate"], named["Tfsync"], named["Twalk"], named["Tlopen"]) == (
        1,
        1,
        client.types["requests_total Twalk"],
        1,
    )
    assert "Tclunk" not in named  # of a fid that is none: of no export
    assert found["request_seconds_sum other Tfsync"] > 0


def test_bytes_and_errors_by_export(serve: Serve, export: Path) -> None:
    """All that the client counts are of the export, but for Tversion, Tattach and a fid that is none."""
    server = serve(export, "--metrics", "0", "--export", f"other={export}")
    (port,) = ports(server)
    with Counting(server.port) as client:
        use(client, b"other")
        found = numbers(port)
    sums = {
        name: found[f"export_{name}_total"] + found[f"export_{name}_total other"]
        for name in ("received_bytes", "sent_bytes")
    }
    assert sums == {"received_bytes": client.sent, "sent_bytes": client.received}
    assert found["export_sent_bytes_total other"] > 100_000
    assert found["export_received_bytes_total other"] > 100_000
    assert found["export_received_bytes_total"] < 100
    assert (found["export_errors_total other"], found["export_errors_total"]) == (2, 1)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_healthy_and_ready(serve: Serve, export: Path, path: str) -> None:
    server = serve(export, "--metrics", "0")
    with urllib.request.urlopen(f"http://127.0.0.1:{ports(server)[0]}{path}", timeout=TIMEOUT) as answer:
        assert (answer.status, answer.read()) == (200, b"ok\n")


def test_an_event_loop_that_hangs_is_not_healthy_and_a_server_that_drains_not_ready() -> None:
    class Ending:
        ready = False

    async def ask() -> list[str]:
        said: list[str] = []
        application = metrics._Application(Ending(), metrics.CollectorRegistry(), None)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(metrics, "HEALTH_TIMEOUT", 0.01)
            for path in ("/healthz", "/readyz"):  # in the event loop itself, which therefore runs nothing else
                application({"PATH_INFO": path}, lambda status, _: said.append(status))
        return said

    assert asyncio.run(ask()) == ["503 Service Unavailable"] * 2


def test_idle_readers_keep_no_client_from_its_files(serve: Serve, export: Path) -> None:
    server = serve(export, "--metrics", "0")
    (port,) = ports(server)
    idle = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(30)]
    with Counting(server.port) as client:
        use(client)
    closed = [sock for sock in idle[:22] if sock.recv(1) == b""]
    assert len(closed) == 22
    assert (
        numbers(port)["connections_total"] == 1
    )  # the last eight are still there, and keep no scrape from its numbers
    for sock in idle:
        sock.close()


@pytest.mark.parametrize(
    "said", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\nX: "], ids=repr
)
def test_slow_readers_make_room(serve: Serve, export: Path, said: bytes) -> None:
    server = serve(export, "--metrics", "0")
    (port,) = ports(server)
    for _ in range(3):
        slow = [socket.create_connection(("127.0.0.1", port), TIMEOUT) for _ in range(20)]
        for sock in slow:
            with suppress(ConnectionError):
                sock.sendall(said)
        assert numbers(port)["connections_total"] == 0
        for sock in slow:
            sock.close()


def test_a_reader_has_a_bounded_time_whatever_it_says() -> None:
    """A byte now and then does not make it longer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http = metrics._Http(listening, Access())
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        with pytest.MonkeyPatch.context() as patch, socket.create_connection(listening.getsockname(), TIMEOUT) as sock:
            patch.setattr(metrics, "REPLY_TIMEOUT", 0.3)
            thread.start()

            def dribble() -> None:
                for _ in range(10_000):
                    sock.sendall(b"X")
                    time.sleep(0.01)

            try:
                with pytest.raises(ConnectionError):
                    dribble()
            finally:
                http.shutdown()
                thread.join()


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico", "/metrics/../etc"])
def test_other_paths_are_not_there(serve: Serve, export: Path, path: str) -> None:
    server = serve(export, "--metrics", "0")
    (port,) = ports(server)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT)
    with caught.value:
        assert caught.value.code == 404
        assert b"/metrics" in caught.value.read()


class TestRefuses:
    """One line on stderr; exit status 2 for what cannot be meant, 1 for what cannot be
    done here.
    """

    @pytest.mark.parametrize(
        ("address", "words"),
        [
            ("unix:/run/x", "HTTP"), ("nowhere", "HOST:PORT"), ("70000", "port"), ("0.0.0.0:0", "--allow"), (":9564", "--allow"),
        ],
    )  # fmt: skip
    def test_addresses_that_cannot_be(self, export: Path, address: str, words: str) -> None:
        self.one_line(self.run(export, address), words, 2)

    def test_a_busy_port(self, export: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            self.one_line(self.run(export, str(busy.getsockname()[1])), "in use", 1)

    def test_without_the_library(self, export: Path) -> None:
        self.one_line(
            self.run(export, "0", "sys.modules['prometheus_client'] = None"), "pip install 'ninep[metrics]'", 1
        )

    def run(self, export: Path, address: str, before: str = "") -> subprocess.CompletedProcess[str]:
        arguments = ["serve", str(export), "--listen", "127.0.0.1:0", "--metrics", address]
        script = f"import sys; {before}\nfrom ninep.cli.main import main; sys.exit(main({arguments!r}))"
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )

    def one_line(self, done: subprocess.CompletedProcess[str], words: str, status: int) -> None:
        assert done.returncode == status, done
        assert done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr


def test_only_those_who_may_connect_may_read(serve: Serve, export: Path) -> None:
    """An address of this machine that is no loopback is like another computer's."""
    own = own_address()
    server = serve(export, "--allow", "240.0.0.1", "--metrics", f"{own}:0")
    (port,) = ports(server)
    with socket.create_connection((own, port), TIMEOUT) as sock:
        sock.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert sock.recv(100) == b""


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but the loopback's")
        return str(sock.getsockname()[0])
