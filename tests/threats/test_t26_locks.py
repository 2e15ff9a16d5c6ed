"""T26: byte-range locks: clients, and a process of the host, against a list of ranges that knows
fcntl(2) and nothing of the server.

9P2000.L alone has locks. ``NINEP_LONG=1`` makes it a hundred thousand requests in each model, and a
hundred thousand tiny ranges.
"""

from __future__ import annotations

import fcntl
import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.support.client import TIMEOUT
from tests.threats.lab import BASE, LONG, UNIX, Attacker, Lab
from tests.threats.verbs import ROOT

from ninep.app.build import exports_of
from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.linux import (
    LOCK_BLOCKED,
    LOCK_ERROR,
    LOCK_FLAG_BLOCK,
    LOCK_RDLCK,
    LOCK_SUCCESS,
    LOCK_UNLCK,
    LOCK_WRLCK,
    Errno,
)
from ninep.server.limits import Limits
from ninep.wire import messages as m

STEPS = 100_000 if LONG else 1200
RANGES = 100_000 if LONG else 2000
SIZE = 40
END = 1 << 63
FIDS = (1, 2)


class Held(NamedTuple):
    """One lock: who, through which fid, how, from where to where (exclusive)."""

    owner: tuple[int, int]
    fid: int
    kind: int
    start: int
    end: int


class Reference:
    """A list of ranges. An owner is a client and a process at it."""

    def __init__(self) -> None:
        self.held: list[Held] = []

    def conflicts(self, owner: tuple[int, int], kind: int, start: int, end: int) -> list[Held]:
        return [
            one for one in self.held
            if one.owner != owner and one.start < end and start < one.end and LOCK_WRLCK in {kind, one.kind}
        ]  # fmt: skip

    def cut(self, owner: tuple[int, int], start: int, end: int) -> None:
        rest = []
        for one in self.held:
            if one.owner != owner or one.end <= start or end <= one.start:
                rest.append(one)
                continue
            rest += [one._replace(end=start)] * (one.start < start) + [one._replace(start=end)] * (end < one.end)
        self.held = rest

    def lock(self, owner: tuple[int, int], fid: int, kind: int, start: int, end: int) -> bool:
        if self.conflicts(owner, kind, start, end):
            return False
        self.cut(owner, start, end)
        self.held.append(Held(owner, fid, kind, start, end))
        return True

    def forget(self, client: int, fid: int | None = None) -> None:
        self.held = [one for one in self.held if one.owner[0] != client or (fid is not None and one.fid != fid)]


def open_file(client: Attacker) -> None:
    for fid in FIDS:
        client.walk(ROOT, fid, b"file")
        client.open(fid, 2)


def locks(
    client: Attacker, fid: int, kind: int, start: int, length: int, process: int = 1, flags: int = 0, name: bytes = b""
) -> int:
    status: int = client.rpc(m.Tlock(fid, kind, flags, start, length, process, name or b"client")).status
    return status


@pytest.fixture
def locked(lab: Lab) -> Lab:
    (lab.top / "file").write_bytes(b"")
    (lab.top / "file").chmod(0o666)
    return lab


@pytest.mark.timeout(3600 if LONG else 900)
def test_two_clients_against_a_list_of_ranges(locked: Lab) -> None:
    chance = random.Random(locked.model)
    reference = Reference()
    clients = [locked.client() for _ in range(2)]
    for client in clients:
        open_file(client)
    statuses = {True: 0, False: 0}
    for _ in range(STEPS):
        which, fid, process = chance.randrange(2), chance.choice(FIDS), chance.randrange(2)
        client, owner = clients[which], (which, process)
        start, length = chance.randrange(SIZE), chance.choice([0, 1, 2, 3, 5, 8, 20])
        end = start + length if length else END
        act = chance.random()
        if act < 0.45:
            kind = chance.choice([LOCK_RDLCK, LOCK_WRLCK])
            expected = reference.lock(owner, fid, kind, start, end)
            said = locks(client, fid, kind, start, length, process, chance.choice([0, LOCK_FLAG_BLOCK]))
            assert said == (LOCK_SUCCESS if expected else LOCK_BLOCKED), (owner, kind, start, length, reference.held)
            statuses[expected] += 1
        elif act < 0.8:
            reference.cut(owner, start, end)
            assert locks(client, fid, LOCK_UNLCK, start, length, process) == LOCK_SUCCESS
        elif act < 0.98:
            kind = chance.choice([LOCK_RDLCK, LOCK_WRLCK, LOCK_UNLCK])
            asked = LOCK_RDLCK if kind == LOCK_RDLCK else LOCK_WRLCK
            told = client.rpc(m.Tgetlock(fid, kind, start, length, process, b"client"))
            conflicts = reference.conflicts(owner, asked, start, end)
            assert (told.type == LOCK_UNLCK) == (not conflicts)
            if conflicts:
                said_end = told.start + told.length if told.length else END
                # what is told may be one range where the list has several that touch
                inside = [
                    one
                    for one in conflicts
                    if one.kind == told.type and told.start <= one.start and one.end <= said_end
                ]
                assert inside, (told, conflicts)
        elif act < 0.99:
            reference.forget(which, fid)
            client.clunk(fid)
            client.walk(ROOT, fid, b"file")
            client.open(fid, 2)
        else:
            reference.forget(which)
            client.close()
            locked.until(lambda: locked.server.connections <= 1)
            clients[which] = locked.client()
            open_file(clients[which])
    assert min(statuses.values()) > STEPS // 20


HOST = """
import fcntl, struct, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_process_of_the_host_is_in_the_way_and_a_client_in_its(locked: Lab) -> None:
    path = locked.top / "file"
    with locked.client() as client:
        open_file(client)
        with subprocess.Popen(
            [sys.executable, "-c", HOST, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"locked\n"
            for start, length, expected in (
                (0, 5, LOCK_SUCCESS),
                (0, 6, LOCK_BLOCKED),
                (14, 1, LOCK_BLOCKED),
                (15, 0, LOCK_SUCCESS),
            ):
                assert locks(client, 1, LOCK_WRLCK, start, length) == expected
            told = client.rpc(m.Tgetlock(1, LOCK_UNLCK, 0, 0, 2, b"me"))
            assert told.type != LOCK_UNLCK
            process.communicate(timeout=TIMEOUT)
        assert locks(client, 1, LOCK_WRLCK, 0, 0) == LOCK_SUCCESS
        assert not host_may_lock(path)
        client.clunk(1)
        assert host_may_lock(path)


def host_may_lock(path: os.PathLike[str]) -> bool:
    """Whether another open file could lock the first byte for writing (fcntl(2), F_OFD_SETLK)."""
    with open(path, "r+b") as file:
        try:
            fcntl.fcntl(
                file, getattr(fcntl, "F_OFD_SETLK", 37), struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
            )
        except BlockingIOError:
            return False
    return True


@pytest.mark.timeout(3600 if LONG else 900)
def test_tiny_ranges_have_an_end(labs: Callable[..., Lab]) -> None:
    """ERROR beyond the limit of a connection; another connection has its own; all is released with
    the fid, and with the connection.
    """
    lab = labs("mapped-xattr", limits=Limits(locks=500))
    (lab.top / "file").write_bytes(b"")
    with lab.client() as client, lab.client() as other:
        open_file(client)
        open_file(other)
        said = [locks(client, 1, LOCK_WRLCK, 2 * number, 1) for number in range(RANGES)]
        assert said == [LOCK_SUCCESS] * 500 + [LOCK_ERROR] * (RANGES - 500)
        assert locks(client, 1, LOCK_WRLCK, 0, 1) == LOCK_SUCCESS  # has it
        assert locks(other, 1, LOCK_WRLCK, 1, 1) == LOCK_SUCCESS
        assert locks(other, 1, LOCK_WRLCK, 0, 1) == LOCK_BLOCKED
        client.clunk(1)
        assert locks(other, 1, LOCK_WRLCK, 0, 0) == LOCK_SUCCESS
    lab.wait_until_idle()
    assert host_may_lock(lab.top / "file")


def test_splitting_what_one_has_counts_too(labs: Callable[..., Lab]) -> None:
    lab = labs("mapped-xattr", limits=Limits(locks=50))
    (lab.top / "file").write_bytes(b"")
    with lab.client() as client:
        open_file(client)
        assert locks(client, 1, LOCK_WRLCK, 0, 0) == LOCK_SUCCESS
        said = [locks(client, 1, LOCK_UNLCK, 10 + 2 * number, 1) for number in range(60)]
        assert said == [LOCK_SUCCESS] * 49 + [LOCK_ERROR] * 11


def test_a_lock_ends_with_its_connection(locked: Lab) -> None:
    other = locked.client()
    open_file(other)
    for _ in range(20):
        client = locked.client()
        open_file(client)
        assert locks(client, 1, LOCK_WRLCK, 0, 0) == LOCK_SUCCESS
        assert locks(other, 1, LOCK_RDLCK, 5, 1) == LOCK_BLOCKED
        client.close()
        locked.until(lambda: locked.server.connections == 1)
        assert locks(other, 1, LOCK_RDLCK, 5, 1) == LOCK_SUCCESS
        assert locks(other, 1, LOCK_UNLCK, 0, 0) == LOCK_SUCCESS


def test_no_lock_waits_in_the_server(locked: Lab) -> None:
    """A flood of locks with the blocking flag: each is answered at once, and others are served."""
    with locked.client() as client, locked.client() as other:
        open_file(client)
        open_file(other)
        assert locks(client, 1, LOCK_WRLCK, 0, 0) == LOCK_SUCCESS
        tags = other.send_all(*(m.Tlock(1, LOCK_WRLCK, LOCK_FLAG_BLOCK, n, 1, n, b"flood") for n in range(2000)))
        locked.alive()
        assert {other.reply(tag).status for tag in tags} == {LOCK_BLOCKED}  # type: ignore[attr-defined]


def test_another_owners_lock_is_not_given_back(locked: Lab) -> None:
    with locked.client() as client, locked.client() as other:
        open_file(client)
        open_file(other)
        assert locks(client, 1, LOCK_WRLCK, 0, 10, process=5) == LOCK_SUCCESS
        for process, name in ((5, b"client"), (5, b"other"), (1, b"client")):
            assert locks(other, 1, LOCK_UNLCK, 0, 0, process, name=name) == LOCK_SUCCESS  # of nothing
            assert locks(other, 1, LOCK_RDLCK, 0, 1, process, name=name) == LOCK_BLOCKED
        assert locks(client, 2, LOCK_RDLCK, 0, 1, process=6) == LOCK_BLOCKED


def test_a_client_is_not_named_across_exports(labs: Callable[..., Lab]) -> None:
    """Two exports of one folder are strangers: one sees that there is a lock, and not whose."""
    lab = labs("passthrough")
    (lab.top / "file").write_bytes(b"")
    twice = ServerConfig([ExportConfig(str(lab.top), name, security_model="passthrough") for name in ("one", "two")])
    both = {export.name.encode(): export for export in exports_of(twice)}
    lab.server.exports.replace([*lab.server.exports, *both.values()])
    with lab.connect() as client, lab.connect() as unrelated:
        for which, aname in ((client, b"one"), (unrelated, b"two")):
            which.version()
            which.attach(aname=aname)
            open_file(which)
        assert locks(client, 1, LOCK_WRLCK, 3, 4, 4711, name=b"the name of a host") == LOCK_SUCCESS
        assert locks(unrelated, 1, LOCK_WRLCK, 0, 0) == LOCK_BLOCKED
        told = unrelated.rpc(m.Tgetlock(1, LOCK_UNLCK, 0, 0, 1, b"me"))
        assert (told.type, told.start, told.length) == (LOCK_WRLCK, 3, 4)
        assert (told.client_id, told.proc_id) != (b"the name of a host", 4711)
        assert told.client_id == b"host"
    lab.wait_until_idle()
    for export in both.values():
        export.driver.close()


@pytest.mark.parametrize("dialect", [UNIX, BASE], ids=bytes.decode)
def test_dialects_without_locks_refuse_them(locked: Lab, dialect: bytes) -> None:
    with locked.client(dialect) as client:
        open_file(client)
        client.refuses(m.Tlock(1, LOCK_WRLCK, 0, 0, 0, 1, b"me"), Errno.EOPNOTSUPP)
        client.refuses(m.Tgetlock(1, LOCK_WRLCK, 0, 0, 1, b"me"), Errno.EOPNOTSUPP)
    assert host_may_lock(locked.top / "file")
