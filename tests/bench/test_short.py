"""The benchmark in continuous integration: a few operations of each kind, every reply checked, no
time measured.
"""

from __future__ import annotations

import shutil
import socketserver
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, str(ROOT / "bench" / "run.py"), "--short"]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the load generator is C and there is no gcc")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, "--out", str(out), *options], capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "servers", ["rawd", "ninep,ninep-9p2000", "ninep-none", "ninep-mapped-xattr", "ninep-mapped-file"]
)
def test_every_reply_of_every_workload_is_right(out: Path, servers: str) -> None:
    done = run(out, "--servers", servers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out" not in done.stderr
    assert done.stdout.strip().endswith(", 0 with wrong replies")


def test_an_unknown_workload_is_refused(out: Path) -> None:
    done = run(out, "--only", "getattr,nonsense")
    assert done.returncode != 0
    assert "nonsense" in done.stderr


SIZE = 4096
REGULAR = 0o100644


def rgetattr(mode: int, size: int) -> bytes:
    """A plausible body of an Rgetattr."""
    return struct.pack("<Q13sIIIQQQQQ", 0x7FF, bytes(13), mode, 0, 0, 1, 0, size, 4096, 8) + bytes(80)


class WrongServer(socketserver.BaseRequestHandler):
    """Answers version, attach and walk like a server, and getattr with the given reply."""

    body = b""

    def handle(self) -> None:
        stream = self.request.makefile("rb")
        replies = {
            100: struct.pack("<IH", 8192, 8) + b"9P2000.L",
            104: bytes([0x80]) + bytes(12),
            110: struct.pack("<H", 1) + bytes(13),
            24: self.body,
        }
        while head := stream.read(7):
            size, kind, tag = struct.unpack("<IBH", head)
            stream.read(size - 7)
            body = replies.get(kind, b"")
            self.request.sendall(struct.pack("<IBH", 7 + len(body), kind + 1, tag) + body)


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        (rgetattr(REGULAR, SIZE), 0),
        (rgetattr(REGULAR, SIZE + 1), 3),
        (rgetattr(0o040755, SIZE), 3),
        (rgetattr(REGULAR, SIZE)[:-1], 3),
        (b"", 3),
    ],
    ids=["right", "size", "mode", "short", "empty"],
)
def test_a_wrong_reply_is_noticed(out: Path, body: bytes, wrong: int) -> None:
    assert run(out, "--servers", "rawd", "--only", "getattr", "--loads", "1x1").returncode == 0  # builds p9load
    handler = type("LiarHere", (WrongServer,), {"body": body})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        done = subprocess.run(
            [out / "bin" / "p9load", "-s", address, "-w", "getattr", "-n", "3"],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        thread.join()
    assert f'"errors":{wrong},' in done.stdout
    assert done.returncode == (3 if wrong else 0)
