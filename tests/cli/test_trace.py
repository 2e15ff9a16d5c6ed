"""``ninep trace`` shows what ``ninep serve --pcap`` wrote."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Done
from tests.serving import Server
from tests.support.client import TIMEOUT, RawClient, refused

from ninep.linux import GETATTR_BASIC, Errno
from ninep.wire import messages as m
from ninep.wire.pcap import segments


def record(serve: Callable[..., Server], export: Path, file: Path) -> None:
    """A capture of a session with long messages, and with several at once."""
    server = serve(export, "--pcap", str(file))
    with RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) as client:
        client.version(msize=1 << 17)
        client.attach()
        client.create(0, 1, b"\x1b[31m", b"x" * 100_000)
        assert len(client.read(1, 0, 100_000)) == 100_000
        for tag in client.send_all(*[m.Tgetattr(0, GETATTR_BASIC) for _ in range(20)]):
            client.reply(tag)
        with refused(Errno.ENOENT):
            client.walk(0, 7, b"none")
    server.stop()


def test_a_session(ninep: Callable[..., Done], serve: Callable[..., Server], export: Path, tmp_path: Path) -> None:
    file = tmp_path / "session.pcap"
    record(serve, export, file)
    assert os.stat(file).st_mode & 0o777 == 0o600
    done = ninep("trace", file)
    assert done.status == 0, done.err
    words = [line.split(" ", 4) for line in done.lines]
    names = ["version", "attach", "walk", "lcreate", "write", "read", *["getattr"] * 20]
    for direction, expected in (
        ("<-", [*(f"T{name}" for name in names), "Twalk"]),
        ("->", [*(f"R{name}" for name in names), "Rlerror"]),
    ):
        assert [what.partition("(")[0] for _, _, arrow, _, what in words if arrow == direction] == expected
    assert {who for _, who, *_ in words} == {"10.0.0.2:1024"}
    assert b"\x1b" not in done.out
    assert max(map(len, done.lines)) < 500


@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs the program tshark")
def test_wireshark_shows_the_same(
    ninep: Callable[..., Done], serve: Callable[..., Server], export: Path, tmp_path: Path
) -> None:
    """Its dissector knows the file as 9P by the port alone: types, tags and lengths, and nothing malformed."""
    file = tmp_path / "session.pcap"
    record(serve, export, file)
    fields = ["9p.msgtype", "9p.tag", "9p.msglen"]
    done = subprocess.run(
        ["tshark", "-n", "-r", str(file), "-T", "fields", *(word for field in fields for word in ("-e", field)),
         "-e", "_ws.malformed", "-e", "tcp.analysis.flags"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[tuple[int, int, int]] = []
    for line in done.stdout.splitlines():
        types, tags, lengths, malformed, flags = line.split("\t")
        assert (malformed, flags) == ("", "")
        if types:
            found += zip(*(map(int, some.split(",")) for some in (types, tags, lengths)), strict=True)
    expected = []
    with file.open("rb") as capture:
        streams = {}
        for segment in segments(capture):
            stream = streams.setdefault(segment.source, bytearray())
            stream += segment.data
            while len(stream) >= 7 and len(stream) >= (size := int.from_bytes(stream[:4], "little")):
                expected.append((stream[4], int.from_bytes(stream[5:7], "little"), size))
                del stream[:size]
    assert len(expected) == 12 + 40 + 2
    assert found == expected


def test_what_is_no_capture(ninep: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    assert ninep("trace", file)[::2] == (1, f"ninep trace: {file}: this is no pcap file\n")
    assert ninep("trace", tmp_path / "none")[::2] == (1, f"ninep trace: {tmp_path}/none: No such file or directory\n")
