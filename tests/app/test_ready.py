"""Who started the server is told when it listens, and when it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from tests.serving import Server, program
from tests.support.client import TIMEOUT

from ninep.app import ready
from ninep.client.blocking import connect
from ninep.transport.service_manager import notify
from ninep.transport.tcp import Tcp
from ninep.transport.unix import Unix


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_descriptor(export: Path, tmp_path: Path, workers: str) -> None:
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    address = f"unix:{tmp_path}/s"
    server = Server(export, "--listen", address, "--workers", workers, "--ready-fd", str(writing), keep=(writing,))
    with server, os.fdopen(reading) as told:
        os.close(writing)
        assert told.read() == f"127.0.0.1:{server.port}\n{address}\n"  # and the end: no worker holds it
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{tmp_path}/s")


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_standard_stream(tmp_path: Path, workers: str, stream: str) -> None:
    """`--ready-fd 1 | read`: the reader gets the end of the file, and no socket the number of the stream."""
    number = {"stdout": 1, "stderr": 2}[stream]
    command = [*program(), "serve", str(tmp_path), "--port=0", f"--workers={workers}", f"--ready-fd={number}"]
    others = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **(others | {stream: subprocess.PIPE}))  # type: ignore[call-overload]
    with process, getattr(process, stream) as told:
        address = told.read().decode().strip()
        try:
            for _ in range(4):  # of all workers
                with connect(address) as client:
                    client.listdir("/")
        finally:
            process.terminate()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_service_manager(
    export: Path, tmp_path: Path, workers: str, abstract: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@ninep-test-{os.getpid()}-{workers}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0") if abstract else name)
        manager.settimeout(TIMEOUT)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        with Server(export, "--workers", workers) as server:
            assert manager.recv(100) == b"READY=1"
            os.kill(server.pid, signal.SIGHUP)
            assert manager.recv(100) == b"STOPPING=1"
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)


def test_a_manager_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("", "relative", "vsock:2:1", str(tmp_path / "nothing")):
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify("READY=1")


def test_a_reader_that_is_gone() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ready.write_addresses(writing, [Tcp("", 1), Unix("x")])
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(writing)
    ready.write_addresses(None, [])
