"""Clients of throttled exports, on a clock that the tests set: they get the rate that is set, and no
other client waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.client import Failed, RawClient
from tests.support.clock import SettableLoop
from tests.support.conversations import AtOnce, Sink, by_dispatcher, exports_of, frames_of, opened, replies, state
from tests.support.served import Served

from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.exports import Export
from ninep.server.limits import Limits
from ninep.server.shares import KINDS, UNCOUNTED, Shares
from ninep.server.slices import Slices
from ninep.server.table import ROWS
from ninep.server.throttle import Rates, parse_limit
from ninep.wire import messages as m

BLOCK = 1024
FILE = 1
STEP = 0.005
COUNT = 80
"""Requests whose replies a socket takes while the client does not read."""
GETATTR = m.Tgetattr(0, 0x7FF)
READ = m.Tread(FILE, 0, BLOCK)
WRITE = m.Twrite(FILE, 0, bytes(BLOCK))


def rates(export: str = "", connection: str = "", user: str = "") -> Rates:
    """Each as words."""
    return Rates(*(tuple(map(parse_limit, words.split())) for words in (export, connection, user)))


class Throttled(Served):
    """A server with limits, whose time passes when the test says so."""

    def __init__(self, rates: Rates, kind: str = "fast", limits: Limits | None = None) -> None:
        super().__init__(kind, loop="settable", limits=limits)
        self.export.throttle.change(rates)

    def make_loop(self) -> asyncio.AbstractEventLoop:
        return SettableLoop()

    def opened(self, uid: int = 0) -> RawClient:
        """A session with a file of one block, open as ``FILE``; the time it took does not count."""
        limits = self.export.throttle.rates
        self.limit(rates())
        client = self.connect()
        client.version()
        client.rpc(m.Tattach(0, m.NOFID, b"user", b"", uid))
        client.rpc(m.Twalk(0, FILE, []))
        client.rpc(m.Tlcreate(FILE, b"file %d" % self.server.connections, 2, 0o644, NO_ID))
        client.rpc(WRITE)
        self.limit(limits)
        return client

    def limit(self, limits: Rates) -> None:
        """As a reload does."""

        def change() -> None:
            self.export.throttle.change(limits)
            self.server.throttled()

        self.do(change)

    def last(self) -> Connection:
        """The server's side of the youngest connection."""
        return self.do(lambda: self.server.arrivals()[-1][0])

    def passes(self, seconds: float, step: float = STEP) -> None:
        """Some time."""
        loop = self.loop
        assert isinstance(loop, SettableLoop)

        async def passing() -> None:
            for _ in range(round(seconds / step)):
                await loop.pass_time(step)

        self.call(passing())

    def until_served(self, connection: Connection, goal: int) -> float:
        """Until it has served so many requests in all: how many seconds that took."""
        loop = self.loop
        assert isinstance(loop, SettableLoop)
        began = loop.now

        async def passing() -> None:
            while connection.activity.requests < goal:
                await loop.pass_time(STEP)

        self.call(passing())
        return loop.now - began


@contextmanager
def throttled(limits: Rates, kind: str = "fast") -> Iterator[tuple[Throttled, RawClient, Connection]]:
    with Throttled(limits, kind) as served:
        client = served.opened()
        yield served, client, served.last()
        client.close()


@pytest.mark.parametrize(
    ("limit", "request_", "units", "rate"),
    [
        ("bps-total=8K", READ, BLOCK, 8192),
        ("bps-total=8K", WRITE, BLOCK, 8192),
        ("bps-read=8K", READ, BLOCK, 8192),
        ("bps-write=8K", WRITE, BLOCK, 8192),
        ("iops-total=10", GETATTR, 1, 10),
        ("iops-read=10", READ, 1, 10),
        ("iops-read=10", GETATTR, 1, 10),
        ("iops-write=10", WRITE, 1, 10),
        ("iops-write=10", m.Tsetattr(FILE, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1, 10),
        ("bps-total=8K iops-total=2", READ, 1, 2),
        ("bps-total=8K iops-total=100", READ, BLOCK, 8192),
    ],
)
@pytest.mark.parametrize("scope", ["export", "connection", "user"])
def test_a_client_gets_the_rate_that_is_set(scope: str, limit: str, request_: m.Message, units: int, rate: int) -> None:
    with throttled(rates(**{scope: limit})) as (served, client, connection):
        before = connection.activity.requests
        tags = client.send_all(*[request_] * COUNT)
        seconds = served.until_served(connection, before + COUNT)
        assert COUNT * units / seconds == pytest.approx(rate, rel=0.05)
        for tag in tags:
            client.reply(tag)


@pytest.mark.parametrize("limit", ["bps-write=1", "iops-write=0.001"])
def test_reads_and_writes_are_apart(limit: str) -> None:
    with throttled(rates(limit)) as (served, client, connection):
        served.limit(rates(limit))
        for _ in range(100):  # no time passes
            client.rpc(READ)
            client.rpc(GETATTR)
        client.rpc(WRITE)
        tag = client.send(WRITE)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        served.limit(rates())
        client.reply(tag)


def test_a_read_from_a_worker_thread_counts_as_any() -> None:
    with throttled(rates("bps-read=8K"), "misses") as (served, client, connection):
        before = connection.activity.requests
        tags = client.send_all(*[READ] * COUNT)
        seconds = served.until_served(connection, before + COUNT)
        assert COUNT * BLOCK / seconds == pytest.approx(8192, rel=0.05)
        for tag in tags:
            assert client.reply(tag) == m.Rread(bytes(BLOCK))


def test_a_burst_as_it_is_set_and_the_rate_after_it() -> None:
    """The bucket holds two seconds at 20 per second, and leaks 5 of them in each meanwhile."""
    with throttled(rates("iops-total=5:20:2")) as (served, client, connection):
        before = connection.activity.requests
        tags = client.send_all(*[GETATTR] * COUNT)
        served.passes(2)
        assert connection.activity.requests - before == pytest.approx(20 * 2, abs=3)
        served.passes(2)
        assert connection.activity.requests - before == pytest.approx(20 * 2 + 5 * 4, abs=2)
        served.passes(3)
        assert connection.activity.requests - before == pytest.approx(20 * 2 + 5 * 7, abs=2)
        served.limit(rates())
        for tag in tags:
            client.reply(tag)


@pytest.mark.parametrize("request_", [m.Tread(FILE, BLOCK, 8192), m.Tread(99, 0, 8192), m.Tread(0, 0, 8192)])
def test_what_a_read_does_not_get_does_not_count(request_: m.Message) -> None:
    """At the end of the file, and where it fails."""
    with throttled(rates("bps-read=8K")) as (_served, client, _connection):
        for _ in range(100):  # no time passes
            with suppress(Failed):
                assert client.rpc(request_).data == b""


def test_no_other_client_waits_for_one_that_is_throttled() -> None:
    """No time passes while the other is served, and nothing of the throttled client is."""
    with throttled(rates(connection="bps-write=100")) as (served, client, connection), served.opened() as other:
        tags = client.send_all(*[WRITE] * 50)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        before = connection.activity.requests
        for _ in range(200):
            other.rpc(GETATTR)
            other.rpc(READ)
        assert connection.activity.requests == before
        served.passes(8, 0.1)
        for _ in range(200):
            other.rpc(GETATTR)
        assert connection.activity.requests - before <= 2  # one block in 8 s
        served.limit(rates())
        for tag in tags:
            client.reply(tag)


def test_the_clients_of_an_export_share_it_alike() -> None:
    with throttled(rates("iops-total=100")) as (served, client, connection), served.opened() as other:
        others = served.last()
        before = connection.activity.requests, others.activity.requests
        tags, more = client.send_all(*[GETATTR] * 300), other.send_all(*[GETATTR] * 300)
        served.passes(4)
        mine, theirs = connection.activity.requests - before[0], others.activity.requests - before[1]
        assert mine + theirs == pytest.approx(400, rel=0.05)
        assert mine == pytest.approx(theirs, rel=0.1)
        served.limit(rates())
        for one, tags_of_one in ((client, tags), (other, more)):
            for tag in tags_of_one:
                one.reply(tag)


def test_a_user_has_one_share_by_whatever_connections() -> None:
    with (
        throttled(rates(user="iops-total=10")) as (served, client, _),
        served.opened() as same,
        served.opened(7) as other,
    ):
        clients = [client, same, other]
        sides = [one for one, _ in served.do(served.server.arrivals)]
        before = [side.activity.requests for side in sides]
        tags = [one.send_all(*[GETATTR] * COUNT) for one in clients]
        served.passes(4)
        mine, same_, others = (side.activity.requests - count for side, count in zip(sides, before, strict=True))
        assert mine + same_ == pytest.approx(40, abs=2)
        assert mine == pytest.approx(same_, abs=2)
        assert others == pytest.approx(40, abs=2)
        served.limit(rates())
        for one, those in zip(clients, tags, strict=True):
            for tag in those:
                one.reply(tag)


def test_other_rates_hold_at_once_for_connections_that_wait() -> None:
    with throttled(rates("bps-read=1K")) as (served, client, connection):
        tags = client.send_all(*[READ] * 80)
        served.passes(3)
        assert connection.activity.paused == ["THROTTLED"]
        before = connection.activity.requests
        served.limit(rates("bps-read=4K"))
        assert 40 * BLOCK / served.until_served(connection, before + 40) == pytest.approx(4096, rel=0.05)
        served.limit(rates("bps-read=512"))
        assert 20 * BLOCK / served.until_served(connection, before + 60) == pytest.approx(512, rel=0.1)
        assert connection.activity.requests == before + 60
        served.limit(rates())
        for tag in tags:
            client.reply(tag)
        served.limit(rates("iops-total=0.001"))
        client.rpc(GETATTR)
        tag = client.send(GETATTR)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        served.limit(rates())
        client.reply(tag)


def test_what_comes_after_a_request_that_waits_waits_too() -> None:
    """A Tflush and a Tclunk count nothing themselves, and are read when their turn comes, in order."""
    with throttled(rates("iops-total=1")) as (served, client, connection):
        client.rpc(GETATTR)
        read, flush, clunk = client.send_all(READ, m.Tflush(1), m.Tclunk(FILE))
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        assert connection.in_flight == 0
        before = connection.activity.requests
        served.passes(0.8)
        assert connection.activity.requests == before
        assert served.until_served(connection, before + 3) == pytest.approx(0.1, abs=0.01)
        for tag in (read, flush, clunk):
            client.reply(tag)
        assert client.order[-3:] == [read, flush, clunk]
        client.rpc(m.Tflush(1))  # no time passes


def test_who_hangs_up_while_waiting_leaves_no_debt() -> None:
    with throttled(rates("bps-write=1K")) as (served, client, connection), served.opened() as other:
        others = served.last()
        client.rpc(WRITE)
        client.send_all(WRITE)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        served.do(connection.abort)
        served.until(lambda: served.server.connections == 1)
        tag = other.send(WRITE)
        served.until(lambda: others.activity.paused == ["THROTTLED"])
        assert served.until_served(others, others.activity.requests + 1) == pytest.approx(0.9, abs=0.01)
        other.reply(tag)


def test_a_server_ends_without_waiting_for_what_is_throttled() -> None:
    with throttled(rates("iops-total=0.001")) as (served, client, connection):
        client.rpc(GETATTR)
        client.send(GETATTR)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        served.stop()


def test_who_is_made_to_wait_is_not_idle() -> None:
    with Throttled(rates("iops-total=0.01"), limits=Limits(idle=10)) as served, served.opened() as client:
        connection = served.last()
        client.rpc(GETATTR)
        tag = client.send(GETATTR)
        served.until(lambda: connection.activity.paused == ["THROTTLED"])
        served.passes(100, 0.5)
        client.reply(tag)


def test_where_nothing_is_throttled_nothing_is_called() -> None:
    with throttled(rates()) as (served, _client, connection):
        assert connection._observer is None
        served.limit(rates("iops-total=1"))
        assert connection._observer is not None
        served.limit(rates())
        assert connection._observer is None


def test_all_that_is_counted_begins_with_a_fid() -> None:
    for row in ROWS:
        if row.message not in UNCOUNTED:
            assert KINDS[row.message.number]
            assert next(iter(row.message.__annotations__)) in {"fid", "dfid", "dirfd", "olddirfid", "newfid", "dirfid"}


def served_slowly(
    frames: Sequence[bytes], feed: Callable[[Connection, bytes], None]
) -> tuple[dict[int, bytes], object]:
    """By a connection that may do ten operations, and read and write ten kilobytes, in a second."""

    async def main() -> tuple[dict[int, bytes], object]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SettableLoop)
        exports = exports_of("fast")
        next(iter(exports)).throttle.change(rates("iops-total=10 bps-read=10K", "bps-write=10K"))
        sink = Sink()
        context = Context(exports=exports, workers=AtOnce(), slices=Slices(inf))
        connection = Connection(sink, context=context, on_begin=lambda _: None, on_end=lambda _: None)
        Shares(exports).begin(connection)
        for frame in frames:
            feed(connection, frame)
            while connection.activity.paused or connection.in_flight:
                await loop.pass_time(0.1)
        return replies(sink.written), state(connection.session)

    with asyncio.Runner(loop_factory=SettableLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
@given(data=st.data())
@settings(max_examples=40)
def test_the_replies_are_the_same(dialect: bytes, data: st.DataObject) -> None:
    """In one piece, and as whole messages of a transport with places for replies."""
    frames = data.draw(frames_of(dialect, opened(dialect)))
    general = by_dispatcher("fast", frames)
    assert served_slowly([b"".join(frames)], lambda connection, data: connection.data(data)) == general

    def message(connection: Connection, frame: bytes) -> None:
        assert connection.message(frame, None, [memoryview(bytearray(BLOCK))]) == 0

    assert served_slowly(frames, message) == general


def test_two_exports_have_limits_of_their_own() -> None:
    slow, fast = Export("slow", MemoryDriver()), Export("fast", MemoryDriver())
    slow.throttle.change(rates("iops-total=0.001"))
    with Served(exports=[slow, fast], loop="asyncio") as served:
        clients = [served.connect() for _ in range(2)]
        for client, name in zip(clients, (b"slow", b"fast"), strict=True):
            client.version()
            client.attach(aname=name)
        for _ in range(100):
            clients[1].rpc(GETATTR)
        clients[0].rpc(GETATTR)
        clients[0].send(GETATTR)
        served.until(lambda: served.server.arrivals()[0][0].activity.paused == ["THROTTLED"])
        clients[1].rpc(GETATTR)
        slow.throttle.change(rates())
        served.do(served.server.throttled)
