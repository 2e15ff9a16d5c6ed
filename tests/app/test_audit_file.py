"""The audit log as a file, by a real server."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serving import Server
from tests.support.client import TIMEOUT, RawClient, refused

from ninep.app.audit_file import KEPT, AuditFile
from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m

Serve = Callable[..., Server]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_clients_do_is_in_it(serve: Serve, export: Path, tmp_path: Path) -> None:
    file = tmp_path / "audit"
    server = serve(export, "--audit", "changes", "--audit-log", str(file), "-e", f"quiet={export},audit=off,ro")
    with RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) as client:
        client.version()
        client.attach(uname=b"ann\n")
        client.attach(1, aname=b"quiet")
        with refused(Errno.ENOENT):
            client.attach(2, aname=b"other")
        client.mkdir(0, b"d", 0o755)
        with refused(Errno.EROFS):
            client.rpc(m.Tmkdir(1, b"e", 0o755, NO_ID))
        client.rpc(m.Tunlinkat(0, b"d", 0x200))
    server.stop()
    found = read(file)
    assert [(one["action"], one["result"], one.get("path"), one["export"]) for one in found] == [
        ("attach", "ok", None, ""),
        ("attach", "ENOENT", None, "other"),
        ("mkdir", "ok", "/d", ""),
        ("remove", "ok", "/d", ""),
    ]
    assert found[0]["uname"] == "ann\n"
    assert found[0]["peer"].startswith("127.0.0.1:")
    assert os.stat(file).st_mode & 0o777 == 0o600


def record(number: int) -> logging.LogRecord:
    made = logging.LogRecord("ninep.audit", logging.INFO, "", 0, "", (), None)
    made.fields = {"number": number}
    return made


def test_a_file_of_its_size_is_moved_and_the_last_ones_are_kept(tmp_path: Path) -> None:
    handler = AuditFile(str(tmp_path / "a"), size=100)
    for number in range(40):
        handler.emit(record(number))
    handler.close()
    names = ["a", *(f"a.{number}" for number in range(1, KEPT + 1))]
    assert sorted(os.listdir(tmp_path)) == sorted(names)
    numbers = [one["number"] for name in reversed(names) for one in read(tmp_path / name)]
    assert numbers == list(range(numbers[0], 40))
    assert all(os.stat(tmp_path / name).st_mode & 0o777 == 0o600 for name in names)


def test_a_file_that_was_moved_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    handler = AuditFile(str(path))
    handler.emit(record(1))
    os.rename(path, tmp_path / "b")
    handler.emit(record(2))
    handler.close()
    assert [read(tmp_path / name)[0]["number"] for name in ("a", "b")] == [2, 1]


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--audit-log", "/nowhere/a"], "--audit"), (["--audit", "opens", "--audit-size", "1M"], "--audit-log"),
     (["--audit", "opens", "--audit-log", "/nowhere/a"], "No such file")],
)  # fmt: skip
def test_what_cannot_be(ninep_serve: Callable[..., str], options: list[str], words: str) -> None:
    assert words in ninep_serve(*options)


@pytest.fixture
def ninep_serve(export: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `ninep serve` says when it does not begin."""
    from ninep.cli.main import main

    def run(*options: str) -> str:
        with pytest.raises(SystemExit):
            main(["serve", str(export), "--listen", "127.0.0.1:0", *options])
        return capfd.readouterr().err

    return run
