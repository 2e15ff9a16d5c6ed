"""``ninep status``, ``top`` and ``ctl``: what is asked as a table, and what is said when there is nobody to ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.conftest import Done, one_line
from tests.serving import Server

from ninep.cli.status_table import lines, rates, since
from ninep.client.blocking import connect

CLIENT = {
    "id": "3", "peer": "192.0.2.1:900", "since": 100.0, "dialect": "9P2000.L", "msize": 131096, "fids": 2, "open_files": 1,
    "users": [{"export": "src", "uid": 1000, "uname": "a\x1b"}], "locks": 1, "requests": 10, "received": 100, "sent": None,
    "in_flight": 1, "in_threads": [{"type": "Tread", "seconds": 3.5}], "slow": True, "files": [],
    "near": [{"limit": "fids", "used": 9, "most": 10}],
}  # fmt: skip
PROCESS = {
    "pid": 5, "connections": 1, "addresses": ["127.0.0.1:564"], "draining": False, "more": False, "monotonic": 1.0, "near": [],
    "exports": [{"name": "src", "source": "/srv", "owners": "none", "attaches": 2, "locks": 1,
                 "storage": {"file system": "fuse", "locks": "yes"}}],
    "clients": [CLIENT],
    "held": [{"client": "3", "export": "src", "path": "/f", "qid_path": 1, "kind": "write", "start": 0, "end": None, "owner": "h", "process": 7}],
    "slow": [{"storage": "export 'src'", "seconds": 4.0, "ago": 61.0}],
}  # fmt: skip
STATUS = {"server": {"pid": 4, "version": "1", "workers": 2, "started": 0.0}, "processes": [PROCESS], "unanswered": [6]}


def test_a_status_as_lines() -> None:
    later = {
        **STATUS,
        "processes": [{**PROCESS, "monotonic": 3.0, "clients": [{**CLIENT, "requests": 30, "received": 4196}]}],
    }
    assert list(lines(later, rates(STATUS, later), 160.0)) == [
        "server 4 (ninep 1), 2 workers, up 2m40s, clients 1",
        "listening on 127.0.0.1:564",
        "no answer from process 6: something that it waits for hangs",
        "",
        "EXPORT  SOURCE  OWNERS  ATTACHES  LOCKS",
        "src     /srv    none           2      1",
        "storage of src: file system fuse, locks yes",
        "",
        "CLIENT  PEER           USERS            DIALECT   MSIZE  FIDS  OPEN  LOCKS  REQUESTS  REQ/S  IN/S  OUT/S  CONNECTED  STATE",
        ("3       192.0.2.1:900  a\\x1b(1000)@src  9P2000.L   128K     2     1      1        30     10  2.0K      -      1m00s  "
        "1 in flight, Tread for 3.5 s, slow storage, fids 9/10"),
        "",
        "CLIENT  LOCK   BYTES  OWNER  EXPORT  FILE",
        "3       write  0-     h:7    src     /f",
        "slow: export 'src' took 4.0 s, 1m01s ago",
    ]  # fmt: skip


def test_rates_of_clients_that_came_or_of_no_time_are_none() -> None:
    assert rates(STATUS, STATUS) == {}
    later = {**STATUS, "processes": [{**PROCESS, "monotonic": 2.0, "clients": [{**CLIENT, "id": "4"}]}]}
    assert rates(STATUS, later) == {}


def test_lengths_of_time() -> None:
    assert [since(seconds) for seconds in (-1, 59.9, 61, 3661, 90_000)] == ["0s", "59s", "1m01s", "1h01m", "1d01h"]


def test_a_real_server(ninep: Callable[..., Done], export: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    with Server(export, environment={"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": ""}) as server:
        with connect(f"127.0.0.1:{server.port}") as client:
            client.write_bytes("/file", b"x")
            shown = ninep("status", "--interval", "0.01")
            assert shown.status == 0
            assert f"listening on 127.0.0.1:{server.port}" in shown.lines
            assert any(line.startswith("1 ") and "9P2000.L" in line for line in shown.lines)
            found = json.loads(ninep("status", "--json", "--interval", "0.01").out)
            assert found["rates"]["1"]["received"] == 0
            once = ninep("top", "--delay", "0.1")  # to a pipe
            assert (once.status, b"\x1b" in once.out) == (0, False)
            assert ninep("ctl", "kick", "1").status == 0
        gone = ninep("ctl", "kick", "1")
        assert (gone.status, gone.err) == (1, "ninep ctl kick: there is no such client\n")
    none = ninep("status")
    assert none.status == 1
    assert one_line(none.err)
    assert "--control" in none.err


def test_a_socket_that_is_not_there(ninep: Callable[..., Done], tmp_path: Path) -> None:
    done = ninep("ctl", "drain", "--control", tmp_path / "none")
    assert (done.status, done.err) == (1, f"ninep ctl drain: {tmp_path}/none: No such file or directory\n")
