"""T19: directories, replies and paths as large as they get, and listings of what does not stand
still.

``NINEP_LONG=1`` makes it directories of a million entries, and paths of a thousand names.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT, RawClient
from tests.threats.lab import LINUX, Attacker, Lab, beside
from tests.threats.process import Program, forget
from tests.threats.verbs import FILE, FOLDER, ROOT

from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, Errno
from ninep.wire import messages as m
from ninep.wire.codec import unpack_dirents, unpack_stat
from ninep.wire.modes import EXTENDED, PLAIN

LONG = bool(os.environ.get("NINEP_LONG"))
MANY = 1_000_000 if LONG else 20_000
STAYING, CHURN = (20_000, 1_000_000) if LONG else (1_000, 5_000)
DEPTH = 1_000 if LONG else 300
MIB = 1 << 20
DIR = 50


def fill(folder: Path, names: list[str]) -> None:
    """Empty files: names of a few, as links are cheaper; a file of ext4 has 65,000 at most."""
    for start in range(0, len(names), 30_000):
        (folder / names[start]).touch()
        for name in names[start + 1 : start + 30_000]:
            os.link(folder / names[start], folder / name)


def listed(client: RawClient, fid: int, count: int) -> Iterator[bytes]:
    """The names in an open directory, in each dialect, read as a client that asks for ``count``
    bytes.
    """
    offset = 0
    while True:
        if client.dialect == LINUX:
            entries = unpack_dirents(bytes(client.rpc(m.Treaddir(fid, offset, count)).data))
            if not entries:
                return
            offset = entries[-1].cookie
            yield from (entry.name for entry in entries if entry.name not in {b".", b".."})
        else:
            data = client.read(fid, offset, count)
            if not data:
                return
            offset += len(data)
            at = 0
            while at < len(data):
                record, at = unpack_stat(data, at, len(data), EXTENDED if client.judge.extended else PLAIN)
                yield record.name


# -- many entries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [600, 0xFFFFFFFF])
def test_many_entries_are_listed_once_each(labs: Callable[..., Lab], dialect: bytes, count: int) -> None:
    lab = labs("mapped-file")
    names = [f"entry number {number}" for number in range(3000)]
    fill(lab.top, names)
    with lab.client(dialect) as client:
        client.walk(ROOT, DIR)
        client.open(DIR)
        seen = list(listed(client, DIR, count))
        assert sorted(seen) == sorted(map(os.fsencode, names))


@pytest.mark.timeout(3600 if LONG else 900)
def test_a_huge_directory_takes_no_memory(tmp_path: Path) -> None:
    """Read through many fids to different places: one listing is kept, one is recorded, and a few
    fids have entries at hand.
    """
    with Program.beside_a_canary(tmp_path) as program, program.client(msize=MIB) as client:
        fill(tmp_path / "export", [f"{number:0200}" for number in range(MANY)])
        with program.peak(48 * MIB):
            for fid in range(DIR, DIR + 50):
                client.walk(ROOT, fid)
                client.open(fid)
                for step, _ in enumerate(listed(client, fid, 1 << 16)):
                    if step == (fid - DIR) * 200:
                        break
            program.alive()
            assert sum(1 for _ in listed(client, DIR, 0xFFFFFFFF)) == MANY


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("count", [300, 8192])
def test_what_stays_is_listed_once_while_others_come_and_go(
    labs: Callable[..., Lab], dialect: bytes, count: int
) -> None:
    lab = labs("passthrough")
    staying = [f"stays {number:050}" for number in range(STAYING)]
    fill(lab.top, staying)
    turns = threading.Semaphore(0)

    def churn(stop: threading.Event) -> None:
        (lab.sibling / "one").touch()
        for number in range(CHURN):
            os.link(lab.sibling / "one", lab.top / f"comes {number:050}")
            if number >= 100:
                (lab.top / f"comes {number - 100:050}").unlink()
            if number % 10 == 0:
                turns.release()
            if stop.is_set():
                break
        (lab.sibling / "one").unlink()

    with lab.client(dialect) as client, beside(churn):
        assert turns.acquire(timeout=TIMEOUT)
        for fid in range(DIR, DIR + 3):
            client.walk(ROOT, fid)
            client.open(fid)
            seen = [name for name in listed(client, fid, count) if name.startswith(b"stays")]
            assert len(seen) == len(set(seen)) == STAYING
        lab.alive()


# -- large replies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cold", [False, True], ids=["cached", "cold"])
def test_large_reads_whose_replies_are_not_read(tmp_path: Path, cold: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty connections ask for everything and read nothing: each has what is in front of its
    socket, and what was granted to it.
    """
    connections, in_flight = 20, 8 * MIB

    file = tmp_path / "export" / "file"
    # What is looked at is what the server holds, and not what the C library keeps of it for each
    # thread (mallopt(3)).
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    with Program.beside_a_canary(tmp_path, "--limit", f"all-bytes-in-flight={in_flight}") as program:
        file.write_bytes(b"x" * (8 * MIB))
        clients = [program.client(msize=MIB) for _ in range(connections)]
        for client in clients:
            client.walk(ROOT, FILE, b"file")
            client.open(FILE)
        program.alive()
        # In front of the socket one reply, and those of the two requests that may always be in
        # flight.
        with program.peak(connections * 3 * MIB + in_flight + 8 * MIB), beside(*[partial(forget, file)] * cold):
            for client in clients:
                client.send_all(*[m.Tread(FILE, number % 7 * MIB, MIB - 24) for number in range(16)])
            for _ in range(10):
                program.alive()
            for client in clients[:2]:
                while client.judge.pending:
                    assert len(client.receive_frame()) == MIB - 24 + 11
                    client.judge.pending.popitem()
        for client in clients:
            client.close()


# -- deep paths --------------------------------------------------------------------------------------------------------


def test_a_path_as_deep_as_one_likes(lab: Lab, dialect: bytes) -> None:
    """No path is ever put together: what is 75,000 bytes below the root is as near as anything
    else.
    """
    name = b"d" * 255
    with lab.client(dialect) as client:
        client.walk(ROOT, FOLDER)
        for _ in range(DEPTH):
            client.mkdir(FOLDER, name)
            client.walk(FOLDER, FOLDER, name)
        client.refuses(m.Twalk(FOLDER, 9, [name + b"d"]), Errno.ENAMETOOLONG)
        client.create(FOLDER, FILE, b"file", b"content")
        _look(client, name)
        lab.alive()
        client.clunk(FILE)
        client.walk(FOLDER, FILE, b"file")
        client.rpc(m.Tremove(FILE))
        for _ in range(DEPTH):
            client.walk(FOLDER, FILE)
            client.walk(FOLDER, FOLDER, b"..")
            client.rpc(m.Tremove(FILE))
        client.walk(FOLDER, 9)
    assert not [entry for entry in os.listdir(lab.top) if not entry.startswith(".virtfs")]


def _look(client: Attacker, name: bytes) -> None:
    """By a path from the root, sixteen names at a time, and by what is held."""
    client.walk(ROOT, 9)
    for left in range(DEPTH, 0, -16):
        client.walk(9, 9, *[name] * min(16, left))
    client.walk(9, 10, b"file")
    client.open(10)
    assert client.read(10) == client.read(FILE) == b"content"
    if client.linux:
        assert client.rpc(m.Tgetattr(10, GETATTR_BASIC)).attributes.size == 7
        client.rpc(m.Trenameat(9, b"file", 9, b"moved"))
        client.rpc(m.Trenameat(FOLDER, b"moved", FOLDER, b"file"))
        client.mkdir(9, b"more")
        client.rpc(m.Tunlinkat(FOLDER, b"more", AT_REMOVEDIR))
    client.clunk(9, 10)
