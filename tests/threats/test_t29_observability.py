"""T29: what an attacker can do to those who watch: control characters in everything that is logged,
floods of refusals, labels of metrics.

The server is the program, as people run it; what it said on stderr and what it tells over HTTP is
read back by parsers of our own. ``NINEP_LONG=1`` makes it a million requests that fail.
"""

from __future__ import annotations

import re
import socket
import sys
import time
import unicodedata
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import version as version_of
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.client import TIMEOUT, Failed, RawClient
from tests.threats.lab import BASE, DIALECTS, LINUX, LONG, MODELS, Canary
from tests.threats.process import Program, pipelined
from tests.threats.verbs import UNTOUCHED
from tests.wire.wire_reference import LAYOUT

from ninep.linux import GETATTR_BASIC, NO_ID, Errno
from ninep.server.limits import ROWS
from ninep.wire import messages as m

FLOOD = 1_000_000 if LONG else 20_000
MARK = b"m4rk"
EVIL = (
    MARK + b"\x1b]0;owned\x07\x1b[2J",
    MARK + b"\nninep: serving / (passthrough)\n2026-01-01 00:00:00,000 ERROR forged",
    MARK + b"\r\x08\x08\x7f\x9b31m",
    MARK + "\u202egnp.exe\u2028\u2066".encode(),
    MARK + b"\xff\xfe\xed\xa0\x80",
    MARK + b'"} 1\nninep_forged{x="',
    MARK + b"%s%n%(message)s{0}",
)
LINE = re.compile(r"ninep: .*|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?:DEBUG|INFO|WARNING|ERROR) .*")
"""What a line of the log begins with."""
TIMES = 10
"""Samples of a histogram: seven steps, the count, the sum, and when it began."""
TYPES = {words[0] for number, words in LAYOUT.items() if number % 2 == 0} | {"other"}


@pytest.fixture(params=[["--verbose"], ["--trace"], []], ids=["verbose", "trace", "quiet"])
def program(base: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """The program with an export of each model, and what it says looked at in the end."""
    canary = Canary(base / "canary")
    exports: list[str] = []
    for model in MODELS:
        (base / model).mkdir()
        exports += ["--export", f"{model}={base / model},model={model}"]
    (base / "read-only").mkdir()
    exports += ["--export", f"closed={base / 'read-only'},ro", "--limit", "locks=3", "--limit", "idle=0"]
    with Program(base / "read-only", "--metrics", "0", *request.param, *exports) as program:
        program.level = request.param
        yield program
        alive(program)
        canary.check()
    lines = program.said().splitlines()
    for line in program.said().split("\n")[:-1]:
        assert not any(
            unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for char in line.replace("\t", "")
        ), ascii(line)
        assert LINE.fullmatch(line), line
    assert "Traceback" not in program.said()
    assert len(lines) == program.said().count("\n"), "a character that ends a line for some"


def alive(program: Program) -> None:
    with program.client(aname=b"none") as second:
        second.rpc(m.Tgetattr(0, GETATTR_BASIC))


def numbers(program: Program) -> dict[tuple[str, str], float]:
    """Every sample of ours, by name and label, once what it may be was looked at."""
    until = time.monotonic() + TIMEOUT
    while not (found := re.search(r"metrics on (http://\S+)", program.said())):
        assert time.monotonic() < until
        time.sleep(0.01)
    with urllib.request.urlopen(found[1], timeout=TIMEOUT) as answer:
        text = answer.read().decode()
    assert MARK.decode() not in text
    legal = {
        "type": TYPES, "errno": {code.name for code in Errno}, "limit": {name.replace("-", "_") for name in ROWS} | {"access"},
        "export": {*MODELS, "closed", ""}, "version": {version_of("ninep")}, "python": {sys.version.partition(" ")[0]},
        "le": {"0.0001", "0.001", "0.01", "0.1", "1.0", "10.0", "+Inf"},
    }  # fmt: skip
    samples = {}
    for family in text_string_to_metric_families(text):
        if family.name.startswith("ninep"):
            for sample in family.samples:
                assert all(value in legal[label] for label, value in sample.labels.items()), sample
                samples[sample.name, "".join(sample.labels.values())] = sample.value
    return samples


def series(samples: dict[tuple[str, str], float]) -> int:
    """How many there are, without those by export: a histogram for each export and type of message, three
    counters for each export and no more, whatever clients send.
    """
    times = [name for name, _ in samples if name.startswith("ninep_request_seconds")]
    assert len(times) <= (len(MODELS) + 2) * len(TYPES) * TIMES
    exports = [name for name, _ in samples if name.startswith("ninep_export_")]
    assert len(exports) <= (len(MODELS) + 2) * 3
    return len(samples) - len(times) - len(exports)


def attack(client: RawClient, evil: bytes, dialect: bytes) -> None:
    """A string in every field that takes one: most of it is refused, some of it is done."""
    extended = dialect != BASE
    perm = 0o02000644 if extended else 0o644
    messages: list[m.Message] = [
        m.Tattach(9, m.NOFID, evil, b"none", 0), m.Tattach(10, m.NOFID, b"root", evil, 0), m.Tattach(11, 5, evil, evil, 7),
        m.Tauth(12, evil, evil, 3), m.Twalk(0, 20, [evil]), m.Twalk(0, 20, [evil, evil]),
        m.Tcreate(0, evil + b"/", 0o644, 0, evil if extended else b""), m.Tcreate(0, evil[:200], perm, 99, evil),
        m.Twstat(0, UNTOUCHED._replace(name=evil, uid=evil, gid=evil, muid=evil)),
    ]  # fmt: skip
    if dialect == LINUX:
        messages += [
            m.Tlcreate(0, b"..", 0, 0, NO_ID), m.Tmkdir(0, evil, 0o755, NO_ID), m.Tmkdir(0, evil, 0o755, NO_ID),
            m.Tsymlink(0, evil + b"l", evil, NO_ID), m.Tmknod(0, evil + b"n", 0o060644, 1, 1, NO_ID), m.Tmknod(0, evil, 0o170000, 1, 1, NO_ID),
            m.Tlink(0, 0, evil + b"k"), m.Trename(0, 0, evil), m.Trenameat(0, evil, 0, b".."), m.Tunlinkat(0, evil, 0),
            m.Txattrwalk(0, 30, b"user." + evil), m.Txattrwalk(0, 31, evil), m.Txattrcreate(0, evil, 9, 0),
            m.Tlock(0, 1, 0, 0, 1, 1, evil), m.Tgetlock(0, 1, 0, 0, 1, evil),
        ]  # fmt: skip
    for message in messages:
        try:
            client.rpc(message)
        except Failed:
            client.judge.pending.clear()
        for fid in (9, 20, 30):
            with_clunk(client, fid)


def with_clunk(client: RawClient, fid: int) -> None:
    try:
        client.clunk(fid)
    except Failed:
        return


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_whatever_a_client_calls_things(program: Program, dialect: bytes) -> None:
    before = series(numbers(program))
    for model in (*MODELS, "closed"):
        for evil in EVIL:
            with program.client(dialect, aname=model.encode()) as client:
                attack(client, evil, dialect)
    with program.connect() as client:
        client.sock.sendall(client.encode(m.Tversion(8192, EVIL[1]), m.NOTAG) + b"\xff" * 20)
        assert client.receive_frame()
        assert client.ended()
    found = numbers(program)
    assert series(found) < before + 40
    assert found["ninep_errors_total", "ENOENT"] > 10
    if program.level:
        assert MARK.decode() in program.said(), "nothing was logged: nothing was tried"


FLOODS: dict[str, Callable[[int], m.Message]] = {
    "a name": lambda n: m.Tattach(9, m.NOFID, b"user %d" % n, b"export %d" % n, n),
    "a user": lambda n: m.Tauth(9, b"user %d" % n, b"", n),
    "a change": lambda n: m.Tmkdir(0, b"made %d" % n, 0o755, NO_ID),
    "a message that is malformed": lambda n: m.Tlock(0, n % 256, n % 7, n, n, n, b"%d" % n),
}


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("program", [["--verbose"], []], ids=["verbose", "quiet"], indirect=True)
def test_a_flood_of_refusals_is_a_few_lines(program: Program) -> None:
    """Who asks for a trace gets every message; others do not."""
    share = FLOOD // len(FLOODS)
    with program.client(aname=b"closed") as client:
        for make in FLOODS.values():
            for start in range(0, share, 50):
                pipelined(client, [make(start + n) for n in range(50)], 1, 1)
        found = numbers(program)
    errors = sum(value for (name, _), value in found.items() if name == "ninep_errors_total")
    assert errors >= FLOOD * 0.99
    minutes = 2 + FLOOD // 100_000
    assert len(program.said().splitlines()) < 100 + 20 * minutes, (
        f"{len(program.said().splitlines())} lines for {FLOOD} requests"
    )
    assert series(found) < 150
    assert program.memory < 300 << 20


def test_connections_that_are_closed_are_a_few_lines_too(program: Program) -> None:
    before = len(program.said().splitlines())
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", program.port), TIMEOUT) as sock:
            sock.sendall(b"\x03\0\0\0")
            sock.sendall(b"\0\0\0")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(10) == b""
    assert numbers(program)["ninep_connections_total", ""] >= 300
    if program.level != ["--trace"]:
        assert len(program.said().splitlines()) < before + 40
