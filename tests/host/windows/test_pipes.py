"""Named pipes of the system: who may open one, and that each wait ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from ninep.host.windows import pipes, security

pytestmark = pytest.mark.skipif(sys.platform != "win32", reason="named pipes are of Windows: run under Wine")
EVERYONE = "S-1-1-0"
LIMIT = 30.0


@pytest.fixture
def path() -> str:
    return f"{pipes.PREFIX}ninep-test-{os.getpid()}"


@pytest.fixture
def server(path: str) -> Iterator[pipes.PipeServer]:
    made = pipes.PipeServer(path)
    yield made
    made.close()


def test_lines_both_ways(server: pipes.PipeServer, path: str) -> None:
    """Of more than a buffer of the system, too; what was written before the end is read."""
    far = {}

    def echo() -> None:
        with server.accept() as pipe:
            pipe.within(LIMIT)
            far["line"] = pipe.readline(1 << 24)
            pipe.sendall(far["line"] + b"more")

    thread = threading.Thread(target=echo)
    thread.start()
    sent = os.urandom(1 << 20).replace(b"\n", b".") + b"\n"
    with pipes.connect(path, LIMIT) as pipe:
        pipe.sendall(sent)
        assert pipe.readline(1 << 24) == sent
        thread.join()
        assert pipe.readline(1 << 24) == b"more"
    assert far["line"] == sent


def test_a_line_has_a_bound(server: pipes.PipeServer, path: str) -> None:
    with pipes.connect(path, LIMIT) as client, server.accept() as pipe:
        client.sendall(b"12345678\n")
        assert [pipe.readline(4), pipe.readline(4), pipe.readline(4)] == [b"1234", b"5678", b"\n"]


def test_its_owner_is_the_user(server: pipes.PipeServer, path: str) -> None:
    with pipes.connect(path, LIMIT) as client:
        assert client.owner() == security.own_sid()


def test_a_pipe_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Any user can make one of any name."""
    with monkeypatch.context() as patch:
        patch.setattr(security, "owner_only", lambda _: f"O:{EVERYONE}D:P(A;;GA;;;{EVERYONE})")
        server = pipes.PipeServer(path)
    with pytest.raises(PermissionError, match="neither you nor an administrator"):
        pipes.connect(path, LIMIT)
    server.close()


def test_what_is_there(server: pipes.PipeServer, path: str) -> None:
    assert pipes.exists(path)
    assert not pipes.exists(path + "-other")
    assert os.getpid() in pipes.process_ids()
    with pytest.raises(FileNotFoundError):
        pipes.connect(path + "-other", LIMIT)


def test_a_read_ends_in_time(server: pipes.PipeServer, path: str) -> None:
    with pipes.connect(path, LIMIT) as client, server.accept():
        client.within(0.0)
        with pytest.raises(TimeoutError):
            client.readline(10)


def test_the_end_of_a_server_ends_its_waits(server: pipes.PipeServer, path: str) -> None:
    """Of who accepts, and of who reads."""
    ended = []

    def waits(what: object) -> None:
        try:
            what()  # type: ignore[operator]
        except OSError as error:
            ended.append(type(error))

    with pipes.connect(path, LIMIT), server.accept() as pipe:
        threads = [threading.Thread(target=waits, args=(what,)) for what in (lambda: pipe.readline(10), server.accept)]
        for thread in threads:
            thread.start()
        server.close()
        for thread in threads:
            thread.join()
    assert ended == [pipes.Closed] * 2
    assert not pipes.exists(path)
