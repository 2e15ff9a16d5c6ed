"""Memory is bounded by the table in docs/security.md, whatever clients do: hostile ones fill
everything at once, and read no replies.

The table is the formula: its rows are evaluated with the limits that the server was started with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.client import RawClient
from tests.threats.process import Program, answers
from tests.threats.verbs import ROOT

from ninep.linux import XATTR_SIZE_MAX
from ninep.server.limits import ROWS, Limits
from ninep.wire import messages as m

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
MIB = 1 << 20
LIMITS = {
    "msize": MIB // 4,
    "connections": 6,
    "fids": 4000,
    "all-fids": 8000,
    "directories": 100,
    "all-directories": 200,
    "xattr-bytes": 2 * MIB,
    "all-xattr-bytes": 8 * MIB,
    "all-bytes-in-flight": 4 * MIB,
    "locks": 1000,
}
OPEN, ATTRIBUTES, DIRECTORIES, FIDS = 1, 100, 1_000, 10_000
FILES = 16_000
NAME = b"n" * 200 + b"%d"


def formula() -> list[tuple[str, str, str]]:
    """The rows of the table: what, bytes each, how many."""
    table = PAGE.read_text(encoding="utf-8").partition("| what there is | bytes each | how many |")[2]
    return re.findall(r"^\| ([^|]+) \| `([^|`]+)` \| `([^|`]+)` \|$", table, re.MULTILINE)


def bound(limits: Limits, exports: int = 1) -> dict[str, float]:
    """What each row allows."""
    names = {row.replace("-", "_"): getattr(limits, field.name) for row, field in ROWS.items()} | {"exports": exports}

    def value(expression: str) -> float:
        numbers = re.sub(
            r"(\d+) ([KM])iB", lambda found: str(int(found[1]) << {"K": 10, "M": 20}[found[2]]), expression
        )
        result: float = eval(numbers.replace("-", "_"), {"__builtins__": {}}, names)
        return result

    return {what: value(each) * value(count) for what, each, count in formula()}


def test_the_formula_has_every_limit_on_what_can_be_held() -> None:
    text = " ".join(f"{each} {count}" for _, each, count in formula())
    held = {name for name in ROWS if name.startswith("all-")} | {"connections", "locks", "msize"}
    # A file that is open is part of its fid.
    assert held - {"all-open-files"} <= set(re.findall(r"[a-z]+(?:-[a-z]+)*", text))


def fill_fids(client: RawClient, number: int) -> None:
    """Each of a file of its own, some of them open."""
    names = [NAME % (number * 4000 % FILES + file) for file in range(4000)]
    answers(client, [m.Twalk(ROOT, FIDS + file, [name]) for file, name in enumerate(names)])
    answers(client, [m.Tlopen(fid, 0) for fid in range(FIDS, FIDS + 300)])


def fill_attaches(client: RawClient, _: int) -> None:
    answers(client, [m.Tattach(fid, m.NOFID, b"u" * 255, b"", 5) for fid in range(FIDS, FIDS + 4000)])


def fill_attributes(client: RawClient, _: int) -> None:
    fids = range(ATTRIBUTES, ATTRIBUTES + 100)
    answers(client, [m.Twalk(OPEN, fid, []) for fid in fids])
    said = answers(client, [m.Txattrcreate(fid, b"user." + b"a" * 250, XATTR_SIZE_MAX, 0) for fid in fids])
    for fid in fids[: said.count(set())]:
        client.rpc(m.Twrite(fid, 0, b"x" * XATTR_SIZE_MAX))


def fill_directories(client: RawClient, _: int) -> None:
    """Each read to another place."""
    fids = range(DIRECTORIES, DIRECTORIES + 150)
    answers(client, [m.Twalk(ROOT, fid, []) for fid in fids])
    answers(client, [m.Tlopen(fid, 0) for fid in fids])
    answers(client, [m.Treaddir(fid, 0, 1000 * (fid - DIRECTORIES)) for fid in fids])


def fill_locks(client: RawClient, _: int) -> None:
    answers(client, [m.Tlock(OPEN, 1, 0, 10 * n, 1, n, b"%04d" % n + b"c" * 1000) for n in range(1200)])


HOSTILITIES: list[Callable[[RawClient, int], None]] = [
    fill_attributes, fill_directories, fill_locks, fill_fids, fill_attaches,
]  # fmt: skip


@pytest.mark.timeout(900)
def test_what_clients_hold_stays_within_the_formula(tmp_path: Path) -> None:
    options = [option for name, value in LIMITS.items() if name != "msize" for option in ("--limit", f"{name}={value}")]
    limits = Limits(**{ROWS[name].name: value for name, value in LIMITS.items()})
    allowed = int(sum(bound(limits).values()))
    with Program.beside_a_canary(tmp_path, *options, "--msize", str(limits.msize)) as program:
        export, large = tmp_path / "export", tmp_path / "export" / "large"
        large.write_bytes(b"x" * MIB)
        for number in range(FILES):
            os.link(large, os.fsencode(export) + b"/" + NAME % number)
        before = program.memory
        with program.peak(allowed):
            clients = [program.client(msize=limits.msize) for _ in range(limits.connections - 1)]
            for number, client in enumerate(clients):
                client.walk(ROOT, OPEN, b"large")
                client.open(OPEN, 2)
                # All do everything; of what is shared out, another one comes first each time.
                for fill in (*HOSTILITIES[number:], *HOSTILITIES[:number]):
                    fill(client, number)
            for client in clients:
                client.send_all(*[m.Tread(OPEN, 0, limits.msize - 24)] * 400)
                client.sock.setblocking(False)
                assert client.sock.send(client.encode(m.Twrite(OPEN, 0, bytes(limits.msize - 23)), 9)[:-10])
            for _ in range(20):
                program.alive()
            held = program.memory - before
        assert held > allowed / 8, f"{held / MIB:.0f} of {allowed / MIB:.0f} MiB: this was no attack"
        for client in clients:
            client.close()
        program.settles(lambda: program.handles, program.handles_at_rest)
