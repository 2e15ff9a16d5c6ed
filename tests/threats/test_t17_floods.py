"""T17: more fids, attaches, open files, tags, requests and connections than there may be, and
connections that do nothing, slowly.

``NINEP_LONG=1`` sends a million requests without reading a reply, and uses every tag there is.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.support.client import RawClient
from tests.support.clock import SettableLoop
from tests.threats.lab import LINUX, Attacker, Lab
from tests.threats.process import Program, answers
from tests.threats.verbs import FILE, ROOT

from ninep.linux import GETATTR_BASIC, NO_ID, O_RDWR, Errno
from ninep.server import connection
from ninep.server.budgets import PROMISED_FIDS
from ninep.server.limits import Limits
from ninep.wire import messages as m

LONG = bool(os.environ.get("NINEP_LONG"))
REQUESTS = 1_000_000 if LONG else 50_000
TAGS = 65_535 if LONG else 5_000

BY: dict[str, Callable[[int], m.Message]] = {
    "walk": lambda fid: m.Twalk(ROOT, fid, []),
    "walk to a file": lambda fid: m.Twalk(ROOT, fid, [b"file"]),
    "attach": lambda fid: m.Tattach(fid, m.NOFID, b"somebody", b"", 1000),
}


@pytest.fixture(autouse=True)
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the disk for slow serves in threads, and may then allow one too many for
    each: not while we count.
    """
    monkeypatch.setattr(connection, "LATE", 3600)


@pytest.mark.parametrize("by", BY)
def test_fids_of_a_connection(labs: Callable[..., Lab], dialect: bytes, by: str) -> None:
    lab = labs(limits=Limits(fids=2000))
    (lab.top / "file").touch()
    with lab.client(dialect) as client:
        said = answers(client, [BY[by](fid) for fid in range(1, 2100)])
        assert said[:1999] == [set()] * 1999
        assert all(Errno.ENFILE in one for one in said[1999:])
        client.clunk(7)
        client.rpc(BY[by](3000))
        client.refuses(BY[by](3001), Errno.ENFILE)
        lab.alive()


def test_fids_of_all_connections(labs: Callable[..., Lab]) -> None:
    """Two take all there is; a third has what every connection is promised, and more as soon as one
    of them goes.
    """
    lab = labs(limits=Limits(fids=5000, all_fids=6000))

    def most(client: Attacker, first: int = 10_000) -> int:
        said = answers(client, [BY["walk"](fid) for fid in range(first, first + 6000)])
        had = said.count(set())
        assert said == [set()] * had + [{Errno.ENFILE}] * (6000 - had)
        return had + 1

    hogs = [lab.client(), lab.client()]
    assert [most(hog) for hog in hogs] == [5000, 6000 - (5000 - PROMISED_FIDS) + PROMISED_FIDS]
    third = lab.client()
    assert most(third) == PROMISED_FIDS
    lab.alive()
    hogs[0].close()
    lab.until(lambda: lab.server.connections == 2)
    assert most(third, 20_000) - 1 == 5000 - PROMISED_FIDS


def test_open_files_of_a_connection(labs: Callable[..., Lab], dialect: bytes) -> None:
    lab = labs(limits=Limits(open_files=100, directories=10))
    (lab.top / "file").touch()
    with lab.client(dialect) as client:
        answers(client, [m.Twalk(ROOT, fid, [b"file"] if fid > 20 else []) for fid in range(1, 130)])
        opens = [m.Tlopen(fid, 0) if client.linux else m.Topen(fid, 0) for fid in range(1, 130)]
        said = answers(client, opens)
        assert said[:10] + said[20:110] == [set()] * 100
        assert all(Errno.EMFILE in one for one in said[10:20] + said[110:])
        create = m.Tlcreate(20, b"new", O_RDWR, 0o644, NO_ID) if client.linux else m.Tcreate(20, b"new", 0o644, 2, b"")
        client.refuses(create, Errno.EMFILE)
        assert not (lab.top / "new").exists()
        client.clunk(1)
        client.rpc(opens[11])
        client.refuses(opens[12], Errno.EMFILE)
        client.clunk(30)
        client.rpc(create)


@pytest.mark.timeout(3600 if LONG else 900)
def test_every_tag_at_once(lab: Lab) -> None:
    """Requests that wait, with all tags: each is answered once. What the judge of the client sees
    to.
    """
    with lab.client() as client:
        client.create(ROOT, FILE, b"file")
        client.sock.settimeout(200)  # for all of what is sent; the disk may be busy
        tags = list(range(TAGS))
        sender = threading.Thread(target=client.send_all, args=[m.Tfsync(FILE)] * TAGS, kwargs={"tags": tags})
        sender.start()
        lab.alive()
        for _ in tags:
            assert client.receive()[1] == m.Rfsync()
        sender.join()
        assert sorted(client.order[-TAGS:]) == tags
        assert client.silent()


# -- connections -------------------------------------------------------------------------------------------------------


def test_connections_that_all_mean_it(labs: Callable[..., Lab]) -> None:
    lab = labs(limits=Limits(connections=8))
    attached = [lab.client() for _ in range(8)]
    for _ in range(20):
        assert lab.connect().ended()
    assert sum("8 connections are the limit" in said for said in lab.records.messages()) == 20
    for client in attached:
        client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
    attached[3].close()
    lab.until(lambda: lab.server.connections == 7)
    lab.alive()


def test_connections_that_only_hold_a_place(labs: Callable[..., Lab]) -> None:
    lab = labs(limits=Limits(connections=8))
    serious = lab.client()
    idlers = [lab.connect() for _ in range(30)]
    assert all(idler.ended() for idler in idlers[:23])
    others = [lab.client() for _ in range(7)]
    for client in (serious, *others):
        client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
    assert all(idler.ended() for idler in idlers[23:])
    others[0].close()
    lab.until(lambda: lab.server.connections == 7)


def _nothing(client: Attacker) -> Iterator[None]:
    while True:
        yield


def _bytes_of_a_version(client: Attacker) -> Iterator[None]:
    data = client.encode(m.Tversion(8192, LINUX), m.NOTAG)
    for at in range(len(data)):
        client.sock.sendall(data[at : at + 1])
        yield


def _only_versions(client: Attacker) -> Iterator[None]:
    while True:
        client.version()
        yield


def _refused_attaches(client: Attacker) -> Iterator[None]:
    client.version()
    while True:
        client.refuses(m.Tattach(ROOT, m.NOFID, b"", b"nothing", 0), Errno.ENOENT)
        yield


class SettableLab(Lab):
    """A lab whose time passes when the test says so."""

    def make_loop(self) -> asyncio.AbstractEventLoop:
        return SettableLoop()

    def pass_time(self, seconds: float) -> None:
        assert isinstance(self.loop, SettableLoop)
        self.call(self.loop.pass_time(seconds))


@pytest.mark.parametrize(
    ("slowly", "due", "why"),
    [
        (_nothing, 10, "no Tversion within 10 s"),
        (_bytes_of_a_version, 10, "no Tversion within 10 s"),
        (_only_versions, 20, "no Tattach within 20 s"),
        (_refused_attaches, 20, "no Tattach within 20 s"),
    ],
)
def test_who_does_not_attach_in_time(
    base: Path, slowly: Callable[[Attacker], Iterator[None]], due: int, why: str
) -> None:
    limits = Limits(version_within=10, attach_within=20)
    with SettableLab(base, limits=limits, loop="settable") as lab, lab.client() as resting, lab.connect() as client:
        acts = slowly(client)
        for _ in range(due - 1):
            next(acts)
            lab.pass_time(1)
            assert lab.server.connections == 2
        next(acts)
        lab.pass_time(1)
        assert client.ended()
        assert sum(why in said for said in lab.records.messages()) == 1
        lab.until(lambda: lab.server.connections == 1)
        resting.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))


def test_idle_connections(base: Path) -> None:
    """With an idle time, what sends no whole request and takes no reply is closed, however busy it
    looks.
    """
    limits = Limits(version_within=10, attach_within=10, idle=4)
    with SettableLab(base, limits=limits, loop="settable") as lab:
        resting, dribbling, deaf, busy = (lab.client(msize=1 << 20) for _ in range(4))
        deaf.create(ROOT, FILE, b"file")
        deaf.rpc(m.Twrite(FILE, 0, bytes(500_000)))
        deaf.send_all(*[m.Tread(FILE, 0, 500_000)] * 20)
        for byte in dribbling.encode(m.Twrite(FILE, 0, bytes(1000)), 5):
            busy.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
            with suppress(ConnectionError):
                dribbling.sock.sendall(bytes([byte]))
            lab.pass_time(1)
            if sum("nothing for 4 s" in said for said in lab.records.messages()) == 3:
                break
        else:
            pytest.fail("not all that are idle are closed")
        assert resting.ended()
        lab.until(lambda: lab.server.connections == 1)
        busy.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))


# -- a server from outside ---------------------------------------------------------------------------------------------


@pytest.mark.timeout(3600 if LONG else 900)
def test_requests_whose_replies_are_not_read(tmp_path: Path) -> None:
    """The server reads no more when it cannot answer, and answers all when the client comes round
    to reading.
    """
    path = str(tmp_path / "socket")  # whose buffers, unlike those of TCP, hold some thousand replies and no more
    with (
        Program.beside_a_canary(tmp_path, "--listen", f"unix:{path}") as program,
        program.client() as other,
        RawClient(socket.socket(socket.AF_UNIX)) as client,
    ):
        client.sock.connect(path)
        client.version()
        client.attach()
        before = program.memory
        request = client.encode(m.Tgetattr(ROOT, GETATTR_BASIC), 5)
        client.sock.sendall(request)
        reply = client.receive_frame()
        sent = 0

        def send() -> None:
            nonlocal sent
            for _ in range(REQUESTS // 1000):
                client.sock.sendall(request * 1000)
                sent += 1000

        client.sock.settimeout(None)
        sender = threading.Thread(target=send)
        sender.start()
        unread = 0
        while (
            unread < 1000
        ):  # rounds of the server's loop, one after the other, in which it reads nothing of what waits
            other.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
            unread = 0 if select.select([], [client.sock], [], 0)[1] else unread + 1
            assert sent < REQUESTS, "it went on reading"
        assert sent > 0
        program.alive()
        assert program.memory - before < 4 << 20
        for _ in range(REQUESTS // 1000):
            assert client._exactly(1000 * len(reply)) == reply * 1000
        sender.join()
        assert program.memory - before < 4 << 20


def test_connections_from_many_addresses_of_one_user(tmp_path: Path) -> None:
    """The addresses of the loopback are one peer, and a user who has filled its share leaves room
    for others.
    """
    path = str(tmp_path / "socket")
    limits = ("--limit", "connections=64", "--limit", "peer-connections=48", "--limit", "reserved-connections=4")
    with Program.beside_a_canary(tmp_path, "--listen", f"unix:{path}", *limits) as program, ExitStack() as stack:

        def come(sock: socket.socket) -> bool:
            client = stack.enter_context(RawClient(sock))
            try:
                client.version()
                client.attach()
            except (ConnectionError, EOFError):
                return False
            return True

        def by_unix() -> socket.socket:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            return sock

        place = ("127.0.0.1", program.port)
        from_many = [
            come(socket.create_connection(place, source_address=(f"127.0.0.{number + 2}", 0))) for number in range(60)
        ]
        assert from_many == [True] * 48 + [False] * 12
        by_one_user = [come(by_unix()) for _ in range(20)]
        assert by_one_user == [True] * 12 + [False] * 8
        stack.close()


def test_frames_that_are_announced_and_do_not_come(tmp_path: Path) -> None:
    """A hundred connections that each announce a MiB, and then send a byte now and then."""
    with Program.beside_a_canary(tmp_path) as program:
        clients = [program.client(msize=1 << 20) for _ in range(100)]
        before = program.memory
        for client in clients:
            client.sock.sendall((1 << 20).to_bytes(4, "little") + b"\x76\5\0" + bytes(100))
        for _ in range(20):
            for client in clients:
                client.sock.sendall(b"x")
            program.alive()
        assert program.memory - before < 100 * (64 << 10) + (2 << 20)
        for client in clients:
            client.close()
        program.settles(lambda: program.handles, program.handles_at_rest)
