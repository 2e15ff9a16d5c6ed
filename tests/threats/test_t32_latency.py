"""T32: one client's work against everybody's time. Whatever a client sends, the event loop looks at
the other connections again after ``BOUND``.

Each message that there is (from the table of messages, so that none is forgotten) is sent as often
as fits in a batch, at its worst: on folders with thousands of entries, at the ends of offsets, back
and forth. What is measured is the processor time of the loop's thread between two looks at its
sockets: another connection's getattr waits for at most two of those.
"""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from tests.support.measured import Measured
from tests.support.served import Served
from tests.threats.lab import BASE, LINUX, UNIX, Attacker, Lab
from tests.threats.verbs import UNTOUCHED

from ninep.drivers.synthetic import SyntheticDriver
from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, LOCK_UNLCK, LOCK_WRLCK, NO_ID, O_RDWR
from ninep.node import Node, User
from ninep.server.table import BY_DIALECT
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect
from ninep.wire.modes import DMDIR

BOUND = 0.020
"""Seconds. See docs/design.md."""
LONG = bool(os.environ.get("NINEP_LONG"))
BATCH = 65536 if LONG else 16384
ENTRIES = 20_000 if LONG else 3000
MSIZE = 1 << 20
ROOT, FILE, BIG, LISTED, DEEP, LINK, MANY, SPARE = range(8)
NAMES = [b"%d" % depth for depth in range(16)]
Attack = Callable[[int, random.Random], Sequence[m.Message]]
"""The i-th requests."""


def spare(i: int, *names: bytes, of: int = ROOT) -> m.Twalk:
    return m.Twalk(of, SPARE + i, list(names))


def clunk(i: int) -> m.Tclunk:
    return m.Tclunk(SPARE + i)


BASE_ATTACKS: dict[type[m.Message], Attack] = {
    m.Tflush: lambda i, _: [m.Tflush(i)],
    m.Tauth: lambda i, _: [m.Tauth(SPARE + i, b"u" * 200, b"")],
    m.Tattach: lambda i, _: [m.Tattach(SPARE + i, m.NOFID, b"root", b"", 0), clunk(i)],
    m.Twalk: lambda i, _: [spare(i, *NAMES), m.Twalk(SPARE + i, SPARE + i, [b".."] * 16), clunk(i)],
    m.Topen: lambda i, _: [spare(i, b"big"), m.Topen(SPARE + i, 0), clunk(i)],
    m.Tcreate: lambda i, _: [spare(i), m.Tcreate(SPARE + i, b"c%d" % i, DMDIR | 0o755 if i % 2 else 0o644, 0), clunk(i)],
    m.Tread: lambda i, _: [m.Tread(FILE if i % 4 else LISTED, 0, 1 << 18)],
    m.Twrite: lambda i, _: [m.Twrite(FILE, (1 << 40) - i * 4096 if i % 2 else 1 << 18, b"x" * 4096)],
    m.Tclunk: lambda i, _: [spare(i), clunk(i)],
    m.Tremove: lambda i, _: [spare(i, b"big"), m.Tremove(SPARE + i)],
    m.Tstat: lambda i, _: [m.Tstat((BIG, LINK)[i % 2])],
    m.Twstat: lambda i, _: [m.Twstat(MANY, UNTOUCHED._replace(name=b"many%d" % (i % 2)))],
}  # fmt: skip
"""What a message does at its worst, with what it takes to get there."""


def readdir(i: int, chance: random.Random) -> Sequence[m.Message]:
    return [m.Treaddir(LISTED, 0, MSIZE), m.Treaddir(LISTED, chance.randrange(1, ENTRIES), 300)]


def xattr(i: int, chance: random.Random) -> Sequence[m.Message]:
    return [spare(i), m.Txattrcreate(SPARE + i, b"user.%d" % (i % 9), 300, 0), m.Twrite(SPARE + i, 0, b"v" * 300), clunk(i)]  # fmt: skip


def lock(i: int, chance: random.Random) -> Sequence[m.Message]:
    """Every second byte, and now and then all of it at once."""
    start, length, kind = (0, 0, LOCK_UNLCK) if i % 500 == 499 else (2 * i, 1, LOCK_WRLCK)
    return [m.Tlock(FILE, kind, 0, start, length, 1, b"me")]


LINUX_ATTACKS: dict[type[m.Message], Attack] = {
    m.Tstatfs: lambda i, _: [m.Tstatfs(FILE)],
    m.Tlopen: lambda i, _: [spare(i, b"big"), m.Tlopen(SPARE + i, 0), clunk(i)],
    m.Tlcreate: lambda i, _: [spare(i), m.Tlcreate(SPARE + i, b"l%d" % i, O_RDWR, 0o4644, 0), clunk(i)],
    m.Tsymlink: lambda i, _: [m.Tsymlink(ROOT, b"s%d" % i, b"t" * 3000, 0)],
    m.Tmknod: lambda i, _: [m.Tmknod(ROOT, b"n%d" % i, 0o100600, 0, 0, 0)],
    m.Trename: lambda i, _: [m.Trename(MANY, ROOT, b"many%d" % (i % 2))],
    m.Treadlink: lambda i, _: [m.Treadlink(LINK)],
    m.Tgetattr: lambda i, _: [m.Tgetattr((FILE, BIG, DEEP)[i % 3], (1 << 63) - 1)],
    m.Tsetattr: lambda i, _: [m.Tsetattr(FILE, 0b1001, 0o600, 0, 0, (1 << 40) * (i % 2), 0, 0, 0, 0)],
    m.Txattrwalk: lambda i, _: [m.Txattrwalk(DEEP, SPARE + i, b""), clunk(i)],
    m.Txattrcreate: xattr,
    m.Treaddir: readdir,
    m.Tfsync: lambda i, _: [m.Tfsync(FILE)],
    m.Tlock: lock,
    m.Tgetlock: lambda i, _: [m.Tgetlock(FILE, LOCK_WRLCK, 0, 0, 2 + i, b"other")],
    m.Tlink: lambda i, _: [m.Tlink(ROOT, FILE, b"h%d" % i)],
    m.Tmkdir: lambda i, _: [m.Tmkdir(ROOT, b"d%d" % i, 0o755, 0)],
    m.Trenameat: lambda i, _: [m.Trenameat(ROOT, b"many%d" % (1 - i % 2), ROOT, b"many%d" % (i % 2))],
    m.Tunlinkat: lambda i, _: [m.Tunlinkat(ROOT, b"big", AT_REMOVEDIR)],
}
ATTACKS = {
    LINUX: BASE_ATTACKS | LINUX_ATTACKS,
    UNIX: BASE_ATTACKS,
    BASE: BASE_ATTACKS,
}


class MeasuredLab(Lab):
    """A lab whose event loop is measured."""

    def make_loop(self) -> object:  # type: ignore[override]
        self.measured = Measured()
        return self.measured.make_loop()


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """What the tests before have left is looked through by nobody: ``ninep serve`` sees to that as
    well.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def measured(base: os.PathLike[str], model: str) -> Iterator[MeasuredLab]:
    with MeasuredLab(base, model, loop="measured") as lab:  # type: ignore[arg-type]
        yield lab


def furnish(lab: Lab) -> None:
    """What requests are sent to: made by the host."""
    (lab.top / "file").write_bytes(bytes(1 << 18))
    for name, count in (("big", ENTRIES), ("many0", 1000)):
        (lab.top / name).mkdir()
        for number in range(count):
            entry = lab.top / name / f"{number}"
            entry.mkdir() if number % 3 == 0 else entry.touch()
    (lab.top.joinpath(*[name.decode() for name in NAMES])).mkdir(parents=True)
    (lab.top / "link").symlink_to("t" * 4000)


def session(lab: Lab, dialect: bytes) -> Attacker:
    """A client with fids for all of it, and some thousands for what is in a directory that will be
    renamed.
    """
    client = lab.client(dialect, MSIZE)
    client.walk(ROOT, FILE, b"file")
    client.open(FILE, 2)
    for fid, name in ((BIG, b"big"), (LISTED, b"big"), (LINK, b"link"), (MANY, b"many0")):
        client.walk(ROOT, fid, name)
    client.walk(ROOT, DEEP, *NAMES)
    client.open(LISTED)
    for number in range(1000):
        client.walk(MANY, (1 << 20) + number, b"%d" % number)
    return client


def frames_of(client: Attacker, attack: Attack) -> list[bytes]:
    """A batch of it."""
    frames: list[bytes] = []
    chance = random.Random(1)
    i = size = 0
    while size < BATCH:
        for message in attack(i, chance):
            frames.append(client.encode(message, len(frames) + 1))
            size += len(frames[-1])
        i += 1
    return frames


def longest(lab: MeasuredLab, client: Attacker, frames: list[bytes]) -> float:
    """Send it, take all replies; what the event loop did at most in one go meanwhile."""
    lab.measured.longest = 0.0
    client.sock.sendall(b"".join(frames))
    for _ in frames:
        client.receive_frame()
    return lab.measured.longest


def least(measure: Callable[[], float]) -> float:
    """The least of three measurements; one within the bound is enough. What else the machine does
    adds to processor time (caches, the other half of a core), and takes nothing away from it.
    """
    figure = measure()
    for _ in range(2):
        if figure > BOUND:
            figure = min(figure, measure())
    return figure


@pytest.mark.parametrize("dialect", Dialect)
def test_every_message_is_tried(dialect: Dialect) -> None:
    if dialect is not Dialect.UNKNOWN:
        assert set(ATTACKS[dialect.value]) == {row.message for row in BY_DIALECT[dialect]} | {m.Tflush}


@pytest.mark.timeout(900)
def test_every_message_at_its_worst(measured: MeasuredLab, dialect: bytes) -> None:
    furnish(measured)
    client = session(measured, dialect)

    def send(attack: Attack) -> float:
        return longest(measured, client, frames_of(client, attack))

    figures = {kind.__name__: least(lambda attack=attack: send(attack)) for kind, attack in ATTACKS[dialect].items()}  # type: ignore[misc]
    print(sorted(((round(seconds * 1000, 1), name) for name, seconds in figures.items()), reverse=True))
    beyond = {name: seconds for name, seconds in figures.items() if seconds > BOUND}
    assert not beyond


@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", ["mapped-file"])
def test_a_hundred_clients_at_once(measured: MeasuredLab) -> None:
    """All of them together get no more time than one."""
    furnish(measured)
    clients = [session(measured, LINUX) for _ in range(3)] + [measured.client(LINUX, MSIZE) for _ in range(97)]
    attacks: list[Attack] = [readdir, LINUX_ATTACKS[m.Tunlinkat], BASE_ATTACKS[m.Twalk]]
    attacks += [lambda i, _: [m.Tgetattr(ROOT, GETATTR_BASIC)]] * 97
    more = len(clients) * 0.0001  # see ``slices.COUNTED``

    def send() -> float:
        batches = [frames_of(client, attack) for client, attack in zip(clients, attacks, strict=True)]
        measured.measured.longest = 0.0
        for client, frames in zip(clients, batches, strict=True):
            client.sock.sendall(b"".join(frames))
        for client, frames in zip(clients, batches, strict=True):
            for _ in frames:
                client.receive_frame()
        return measured.measured.longest - more

    figure = least(send)
    print(figure + more)
    assert figure < BOUND


@pytest.mark.timeout(900)
@pytest.mark.parametrize("model", ["mapped-xattr"])
def test_readers_of_a_directory_that_is_not_kept(measured: MeasuredLab) -> None:
    """One request of each, all at once, and each looks at the host."""
    furnish(measured)
    clients = [session(measured, LINUX) for _ in range(64)]
    more = len(clients) * 0.0001  # see ``slices.COUNTED``
    turn = iter(range(100))

    def send() -> float:
        (measured.top / "big" / f"changed{next(turn)}").touch()
        measured.measured.longest = 0.0
        for client in clients:
            client.send(m.Treaddir(LISTED, 0, 8192))
        for client in clients:
            client.receive_frame()
        return measured.measured.longest - more

    send()  # what is long is known when it has been done
    figure = least(send)
    print(figure + more)
    assert figure < BOUND


@pytest.mark.parametrize("model", ["none"])
@pytest.mark.parametrize("how", ["unlock", "lock", "clunk", "version", "hang up"])
def test_thousands_of_locks_given_back_at_once(measured: MeasuredLab, how: str) -> None:
    furnish(measured)
    client = session(measured, LINUX)
    count = 8000
    for first in range(0, count, 500):
        frames = [
            client.encode(m.Tlock(FILE, LOCK_WRLCK, 0, 2 * i, 1, 1, b"me"), 1 + i) for i in range(first, first + 500)
        ]
        longest(measured, client, frames)
    measured.measured.longest = 0.0
    match how:
        case "unlock":
            client.rpc(m.Tlock(FILE, LOCK_UNLCK, 0, 0, 0, 1, b"me"))
        case "lock":
            client.rpc(m.Tlock(FILE, LOCK_WRLCK, 0, 0, 0, 1, b"me"))
        case "clunk":
            client.clunk(FILE)
        case "version":
            client.version()
        case _:
            client.close()
    if how != "hang up":
        client.close()
    measured.until(lambda: len(next(iter(measured.server.exports)).locks) == 0)
    assert measured.measured.longest < BOUND


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_many_fids_closed_at_once(labs: Callable[..., Lab], base: os.PathLike[str], kind: str) -> None:
    """Where the driver may be called in threads, and where it may not."""
    made = Measured()
    if kind == "local":
        (base / "x").mkdir()  # type: ignore[operator]
        served: Served = MeasuredLab(base / "x", "passthrough", loop="measured")  # type: ignore[operator]
    else:
        served = Served(loop="measured")
        served.make_loop = made.make_loop  # type: ignore[method-assign]
    with served:
        measured = served.measured if isinstance(served, MeasuredLab) else made
        client = served.client(msize=MSIZE)
        client.rpc(m.Tmkdir(0, b"d", 0o755, NO_ID))
        for first in range(1, 100_001, 2000):
            frames = [client.encode(m.Twalk(0, i, [b"d"] if i % 2 else []), i - first + 1) for i in range(first, first + 2000)]  # fmt: skip
            client.sock.sendall(b"".join(frames))
            for _ in frames:
                client.receive_frame()
        measured.longest = 0.0
        client.close()
        served.wait_until_idle()
        print(measured.longest)
        assert measured.longest < BOUND


@pytest.mark.parametrize("driver", ["memory", "synthetic"])
def test_a_directory_of_a_hundred_thousand_entries(driver: str, dialect: bytes) -> None:
    """Read through, and from anywhere: no reply takes long, wherever it begins."""
    made, count = Measured(), 1_000_000 if LONG else 100_000
    synthetic = SyntheticDriver({"d": {f"{number}": b"" for number in range(count)}}, inline=True)
    served = Served(loop="measured", driver=synthetic if driver == "synthetic" else None)
    served.make_loop = made.make_loop  # type: ignore[method-assign]
    with served:
        client = served.client(dialect, MSIZE)
        if driver == "memory":
            served.do(lambda: fill_memory(served.driver.attach(User()), count))
        client.walk(ROOT, LISTED, b"d")
        client.open(LISTED)

        def read() -> float:
            made.longest, chance, at = 0.0, random.Random(1), 0
            if dialect == LINUX:
                for cookie in [0, *(chance.randrange(count) for _ in range(50))]:
                    assert client.entries(LISTED, cookie, MSIZE)
            else:
                for _ in range(50):
                    at += len(client.rpc(m.Tread(LISTED, at, MSIZE)).data)
            return made.longest

        figure = least(read)
        print(figure)
        assert figure < BOUND


def fill_memory(root: Node, count: int) -> None:
    root.mkdir(b"d", 0o755, 0, 0)
    folder = root.walk(b"d")
    for number in range(count):
        folder.mknod(b"%d" % number, 0o100644, 0, 0, 0)
