"""``ninep trace`` shows what ``ninep serve --pcap`` wrote."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Done
from tests.serving import Server
from tests.support.client import PATIENCE, RawClient


def test_a_session(ninep: Callable[..., Done], serve: Callable[..., Server], export: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.pcap"
    server = serve(export, "--pcap", str(file))
    with RawClient(socket.create_connection(("127.0.0.1", server.port), PATIENCE)) as client:
        client.version(msize=1 << 17)
        client.attach()
        client.create(0, 1, b"\x1b[31m", b"x" * 100_000)
        assert len(client.read(1, 0, 100_000)) == 100_000
    server.stop()
    assert os.stat(file).st_mode & 0o777 == 0o600
    done = ninep("trace", file)
    assert done.status == 0, done.err
    words = [line.split(" ", 4) for line in done.lines]
    assert [(arrow, what.partition("(")[0]) for _, _, arrow, _, what in words] == [
        (arrow, letter + name)
        for name in ("version", "attach", "walk", "lcreate", "write", "read")
        for arrow, letter in (("<-", "T"), ("->", "R"))
    ]
    assert {who for _, who, *_ in words} == {"10.0.0.2:1024"}
    assert b"\x1b" not in done.out
    assert max(map(len, done.lines)) < 500


def test_what_is_no_capture(ninep: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    assert ninep("trace", file)[::2] == (1, f"ninep trace: {file}: this is no pcap file\n")
    assert ninep("trace", tmp_path / "none")[::2] == (1, f"ninep trace: {tmp_path}/none: No such file or directory\n")
