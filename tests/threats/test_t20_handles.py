"""T20: more open files than the process may have handles, and files found and never let go.
``NINEP_LONG=1`` finds a hundred thousand.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.client import RawClient
from tests.threats.process import Program, answers
from tests.threats.test_t19_sizes import listed
from tests.threats.verbs import ROOT

from ninep.linux import GETATTR_BASIC, LOCK_SUCCESS, LOCK_WRLCK, Errno
from ninep.wire import messages as m

HANDLES = 64
FILES = 200
FOUND = 100_000 if os.environ.get("NINEP_LONG") else 3_000
SIZE = 20_000
FIRST, WRITERS, DIR = 100, 1000, 50


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """With 64 handles, soft and hard."""
    with Program.beside_a_canary(tmp_path, "--security-model", "mapped-file", descriptors=HANDLES) as program:
        for number in range(FILES):
            (tmp_path / "export" / f"{number}").write_bytes(random.Random(number).randbytes(SIZE))
        yield program
        assert program.handles <= HANDLES


def opened(client: RawClient, fids: range) -> None:
    """One fid for each file, open for reading."""
    answers(client, [m.Twalk(ROOT, fid, [b"%d" % (fid % FILES)]) for fid in fids])
    opens = [m.Tlopen(fid, 0) if client.dialect == b"9P2000.L" else m.Topen(fid, 0) for fid in fids]
    assert answers(client, opens) == [set()] * len(fids)


def right(client: RawClient, fid: int) -> bool:
    """Does it read what its file holds?"""
    read = b"".join(client.read(fid, offset, 8000) for offset in range(0, SIZE, 8000))
    return hashlib.sha256(read).digest() == hashlib.sha256(random.Random(fid % FILES).randbytes(SIZE)).digest()


def test_two_hundred_open_files(program: Program, dialect: bytes) -> None:
    """All of them can be read, in any order, by two clients, while names go and fids end."""
    fids = range(FIRST * FILES, FIRST * FILES + FILES)
    with program.client(dialect) as client, program.client(dialect) as other:
        for one in (client, other):
            opened(one, fids)
        order = list(fids)
        for seed in range(2):
            random.Random(seed).shuffle(order)
            assert all(right(client, fid) and right(other, fid) for fid in order)
            program.alive()
        said = answers(other, [m.Tremove(fid) for fid in order])
        gone = said.count(set())
        assert gone > HANDLES // 8
        # A removed file that is open needs a handle, and only so many may.
        assert all(Errno.EMFILE in one for one in said[gone:])
        assert all(right(client, fid) for fid in order)
        client.walk(ROOT, DIR)
        client.open(DIR)
        assert sorted(listed(client, DIR, 500)) == sorted(b"%d" % (fid % FILES) for fid in order[gone:])


def test_only_those_who_write_run_out(program: Program) -> None:
    """Who writes keeps his handle. When no more are left for that, everything else goes on."""
    fids = range(FIRST * FILES, FIRST * FILES + FILES)
    with program.client() as client:
        opened(client, fids)
        writers = range(WRITERS, WRITERS + HANDLES)
        answers(client, [m.Twalk(ROOT, fid, [b"%d" % (fid % FILES)]) for fid in writers])
        said = answers(client, [m.Tlopen(fid, 2) for fid in writers], window=1)
        most = said.count(set())
        assert HANDLES // 4 <= most <= HANDLES // 2 + 1  # all have together half, and each is promised one
        assert said == [set()] * most + [{Errno.EMFILE}] * (HANDLES - most)
        opened(client, range(2 * FIRST * FILES, 2 * FIRST * FILES + FILES))
        assert answers(client, [m.Tlock(fids[0], 0, 0, 0, 0, 1, b"me")]) == [{Errno.EMFILE}]
        assert all(right(client, fid) for fid in fids)
        program.alive()
        client.clunk(WRITERS)
        assert client.rpc(m.Tlock(fids[0], LOCK_WRLCK, 0, 0, 0, 1, b"me")).status == LOCK_SUCCESS
        assert answers(client, [m.Tlopen(writers[-1], 2)]) == [{Errno.EMFILE}]
        assert all(right(client, fid) for fid in fids)


@pytest.mark.timeout(3600)
def test_everything_found_and_nothing_let_go(program: Program, tmp_path: Path) -> None:
    """As find(1) over a tree does in a guest that keeps its inodes: each file a fid."""
    folders = [tmp_path / "export" / f"folder {number}" for number in range(20)]
    for folder in folders:
        folder.mkdir()
        for number in range(FOUND // len(folders)):
            (folder / f"{number}").touch()
    with program.client() as client:
        fid = FIRST
        for folder in folders:
            client.walk(ROOT, DIR, os.fsencode(folder.name))
            client.walk(DIR, DIR + 1)
            client.open(DIR + 1)
            names = list(listed(client, DIR + 1, 8000))
            assert len(names) == FOUND // len(folders)
            said = answers(client, [m.Twalk(DIR, fid + place, [name]) for place, name in enumerate(names)])
            assert said == [set()] * len(names)
            fid += len(names)
            client.clunk(DIR, DIR + 1)
        looks = [m.Tgetattr(one, GETATTR_BASIC) for one in range(FIRST, fid, 7)]
        assert answers(client, looks) == [set()] * len(looks)
        program.alive()
