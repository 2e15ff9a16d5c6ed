"""Bytes that come as they like, clients that do not read, too much at once, frames that
are none.
"""

import math
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.client import TIMEOUT, Failed, RawClient, refused
from tests.support.served import Served
from tests.wire.wire_examples import EXAMPLES

from ninep.linux import NO_ID, Errno
from ninep.server.connection import Connection
from ninep.server.limits import Limits
from ninep.server.slices import Slices
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.messages import BY_NUMBER
from ninep.wire.modes import EXTENDED

MEGABYTE = 1 << 20


def connection_of(served: Served) -> Connection:
    """The server's side of the only connection."""
    (connection,) = served.do(lambda: list(served.server._connections))
    return connection


SCENARIO: list[m.Message] = [
    m.Tattach(0, m.NOFID, b"root", b"", 0),
    m.Twalk(0, 1, []),
    m.Tlcreate(1, b"f", 2, 0o644, NO_ID),
    m.Twrite(1, 0, b"pipelined" * 300),
    m.Tread(1, 5, 2000),
    m.Tgetattr(1, 0x7FF),
    m.Tclunk(1),
    m.Tread(1, 0, 1),
    m.Twalk(0, 2, [b"f"]),
    m.Tremove(2),
    m.Twalk(0, 3, [b"f"]),
]


class TestPieces:
    """The same requests, glued, split, and byte by byte, have the same replies."""

    def replies(self, served: Served, cuts: Iterator[int] | None) -> list[m.Message]:
        client = served.connect()
        client.version()
        frames = [client.encode(message, tag) for tag, message in enumerate(SCENARIO)]
        for frame in frames:
            client.judge.sent(frame)
        data = b"".join(frames)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        at = 0
        while at < len(data):
            step = next(cuts) if cuts is not None else len(data)
            client.sock.sendall(data[at : at + step])
            at += step
        got = dict(client.receive() for _ in frames)
        client.close()
        return [message for _, message in sorted(got.items())]

    @pytest.mark.parametrize("step", [1, 2, 3, 7, 11, 1000])
    def test_in_steps(self, served: Served, step: int) -> None:
        whole = self.replies(served, None)
        steps = self.replies(served, iter(lambda: step, None))
        assert [type(one) for one in steps] == [type(one) for one in whole]
        assert steps[4] == whole[4] == m.Rread((b"pipelined" * 300)[5:2005])

    def test_a_thousand_in_one_piece(self, client: RawClient) -> None:
        tags = client.send_all(*[m.Tgetattr(0, 0x7FF)] * 1000)
        for tag in tags:
            client.reply(tag)
        assert client.order[-1000:] == tags

    def test_small_ones_around_large_ones(self, served: Served) -> None:
        client = served.client(msize=MEGABYTE)
        client.create(0, 1, b"f")
        large = bytes(range(256)) * 3000
        messages: list[m.Message] = []
        for i in range(4):
            messages += [
                m.Tgetattr(1, 0x7FF),
                m.Twrite(1, i * len(large), large),
                m.Twalk(0, 0, []),
                m.Tread(1, i * len(large), 5),
            ]
        for tag in client.send_all(*messages):
            client.reply(tag)
        assert client.read(1, 2 * len(large), len(large)) == large

    def test_large_writes_that_wait_keep_their_bytes(self) -> None:
        # Their frames are views of the receive buffer, which goes on being used.
        with Served("waits") as served:
            client = served.client(msize=MEGABYTE)
            for fid in range(1, 6):
                client.create(0, fid, b"%d" % fid)
            hold = served.faults.hold("file.write")
            first = client.send(m.Twrite(1, 0, b"1" * 500_000))
            assert hold.reached.wait(TIMEOUT)
            rest = client.send_all(*[m.Twrite(fid, 0, b"%d" % fid * 500_000) for fid in range(2, 6)])
            for tag in rest:
                client.reply(tag)
            hold.go.set()
            client.reply(first)
            for fid in range(1, 6):
                assert client.read(fid, 0, 500_000) == b"%d" % fid * 500_000


class TestNotReading:
    def fill(self, served: Served, loop: str) -> RawClient:
        client = served.client(msize=MEGABYTE | 24)
        client.create(0, 1, b"f")
        client.rpc(m.Tsetattr(1, 8, 0, 0, 0, MEGABYTE, 0, 0, 0, 0))
        return client

    @pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
    @pytest.mark.parametrize("kind", ["fast", "misses", "waits"])
    def test_a_client_that_does_not_read_is_not_read_from(self, kind: str, loop: str) -> None:
        with Served(kind, loop=loop) as served:
            client = self.fill(served, loop)
            connection = connection_of(served)
            # More than sockets and limits hold together.
            tags = client.send_all(*[m.Tread(1, 0, MEGABYTE) for _ in range(200)])
            served.until(lambda: connection._flow.paused)
            assert served.faults.calls["file.read"] + served.faults.calls["file.read_now"] < 200
            other = served.client()
            other.walk(0, 1, b"f")  # no other client is disturbed
            for tag in tags:
                assert client.reply(tag) == m.Rread(bytes(MEGABYTE))
            assert client.silent()

    def test_large_replies_are_not_collected(self, served: Served) -> None:
        client = self.fill(served, "uvloop")
        connection = connection_of(served)
        client.send_all(*[m.Tread(1, 0, MEGABYTE) for _ in range(8)])
        served.until(lambda: connection._flow.paused)
        assert served.faults.calls["file.read_now"] <= 2  # the first fills the socket; its rest is all that waits
        assert not connection._out

    @pytest.mark.parametrize("kind", ["misses", "waits"])
    def test_replies_not_taken_are_still_in_flight(self, kind: str) -> None:
        # What waits in front of a client that does not read must not be granted to the next one
        # that does not.
        limits = Limits(all_bytes_in_flight=8 * MEGABYTE, bytes_in_flight=16 * MEGABYTE, msize=MEGABYTE)
        with Served(kind, limits=limits) as served:
            served.server._context.slices = Slices(
                math.inf
            )  # all are in flight before the first reply fills the socket
            first = self.fill(served, "uvloop")
            before = served.faults.calls["file.read"]
            first.send_all(*[m.Tread(1, 0, MEGABYTE) for _ in range(40)])
            one = connection_of(served)
            served.until(lambda: one._flow.paused and not one._dispatcher.requests.running)
            assert served.faults.calls["file.read"] - before >= 10  # the promised two and what all have together
            second = served.client(msize=MEGABYTE)
            second.walk(0, 1, b"f")
            second.open(1)
            before = served.faults.calls["file.read"]
            second.send_all(*[m.Tread(1, 0, MEGABYTE) for _ in range(40)])
            other = next(each for each in served.do(lambda: list(served.server._connections)) if each is not one)
            served.until(lambda: other._flow.paused and not other._dispatcher.requests.running)
            # The promised two, and the one that filled the socket.
            assert served.faults.calls["file.read"] - before <= 3

    def test_and_goes_away(self, served: Served) -> None:
        client = self.fill(served, "uvloop")
        connection = connection_of(served)
        client.send_all(*[m.Tread(1, 0, MEGABYTE) for _ in range(100)])
        served.until(lambda: connection._flow.paused)
        client.close()
        # ``Served`` looks that nothing is left.


class TestTooMuch:
    def test_in_flight(self) -> None:
        with Served("misses", limits=Limits(in_flight=4)) as served:
            client = served.client()
            for fid in range(1, 5):
                client.create(0, fid, b"%d" % fid, b"content")
            connection = connection_of(served)
            holds = [served.faults.hold("file.read", at=at) for at in range(1, 5)]
            reads = client.send_all(*[m.Tread(fid, 0, 100) for fid in range(1, 5)])
            late = client.send(m.Tgetattr(0, 0x7FF))
            served.until(lambda: connection._flow.paused)
            assert served.faults.calls["getattr"] == 0
            for hold in holds:
                assert hold.reached.wait(TIMEOUT)
            holds[0].go.set()
            client.reply(late)
            assert len(set(client.order) & set(reads)) == 1
            for hold in holds:
                hold.go.set()
            for tag in reads:
                client.reply(tag)

    def test_bytes_in_flight(self) -> None:
        # Each request counts as a whole msize.
        with Served("misses", limits=Limits(bytes_in_flight=2 * MEGABYTE)) as served:
            client = served.client(msize=MEGABYTE)
            for fid in range(1, 4):
                client.create(0, fid, b"%d" % fid, b"content")
            connection = connection_of(served)
            holds = [served.faults.hold("file.read", at=at) for at in range(1, 3)]
            reads = client.send_all(*[m.Tread(fid, 0, 100) for fid in range(1, 4)])
            served.until(lambda: connection._flow.paused)
            for hold in holds:
                assert hold.reached.wait(TIMEOUT)
            assert served.faults.calls["file.read"] == 2
            for hold in holds:
                hold.go.set()
            for tag in reads:
                client.reply(tag)


class TestNoFrames:
    @pytest.mark.parametrize("size", [0, 1, 6, 8192 + 25, 1 << 24, 0xFFFFFFFF])
    def test_a_size_that_cannot_be_ends_the_connection(
        self, served: Served, client: RawClient, size: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = client.send(m.Tgetattr(0, 0x7FF))
        client.send_bytes(size.to_bytes(4, "little") + b"\x18\1\0" + bytes(20))
        client.reply(before)
        assert client.ended()
        assert f"a frame of {size} bytes" in caplog.text
        served.client()

    def test_the_largest_that_can_be(self, client: RawClient) -> None:
        frame = bytearray(client.encode(m.Twrite(0, 0, bytes(client.msize - 23)), 5))
        assert len(frame) == client.msize
        client.send_bytes(bytes(frame), number=118, tag=5)
        with refused(Errno.EBADF):
            client.reply(5)

    def test_in_the_middle_of_requests_in_threads(self, waiting: Served) -> None:
        client = waiting.client()
        client.create(0, 1, b"f")
        hold = waiting.faults.hold("file.read")
        client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        client.send_bytes(bytes(20))
        assert client.ended()
        hold.go.set()


@pytest.fixture(scope="module")
def enduring() -> Iterator[RawClient]:
    """One session for many requests: it must survive every one of them."""
    with Served() as served:
        client = served.client()
        client.create(0, 1, b"f", b"content")
        yield client


class TestNoMessages:
    @pytest.mark.parametrize("number", sorted(set(range(256)) - {n for n in BY_NUMBER if n % 2 == 0}))
    def test_types_that_are_no_request(self, enduring: RawClient, number: int) -> None:
        enduring.send_bytes(bytes([7, 0, 0, 0, number, 9, 0]), number=number, tag=9)
        with refused(Errno.EOPNOTSUPP):
            enduring.reply(9)

    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(sorted(n for n in BY_NUMBER if n % 2 == 0 and n not in {100, 108})), st.binary(max_size=90))
    def test_bodies_that_are_none_are_answered_once(self, enduring: RawClient, number: int, body: bytes) -> None:
        if number in {6, 106}:
            return
        enduring.judge.pending.clear()
        enduring.send_bytes((7 + len(body)).to_bytes(4, "little") + bytes([number, 9, 0]) + body, number=number, tag=9)
        try:
            codec(EXTENDED).decode((7 + len(body)).to_bytes(4, "little") + bytes([number, 9, 0]) + body)
        except ValueError:
            with pytest.raises(Failed):
                enduring.reply(9)
        else:  # it happened to mean something
            assert int.from_bytes(enduring.receive_frame()[5:7], "little") == 9
        assert enduring.silent()

    @pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
    def test_every_request_cut_at_every_byte(self, served: Served, dialect: bytes) -> None:
        client = served.client(dialect)
        optional = {("Tfsync", 11), ("Tcreate", 19)}
        for example in EXAMPLES:
            if example.message.number % 2 or example.message.number in {100, 108}:
                continue
            data = example.extended if client.judge.extended else example.plain
            for cut in range(7, len(data)):
                if (str(example), cut) in optional:
                    continue
                client.send_bytes(cut.to_bytes(4, "little") + data[4:cut], number=data[4], tag=0x0302)
                with pytest.raises(Failed) as caught:
                    client.reply(0x0302)
                served_here = dialect == b"9P2000.L" or data[4] >= 100
                assert caught.value.stands_for(Errno.EPROTO if served_here else Errno.EOPNOTSUPP), (str(example), cut)
        assert client.silent()
