"""Tflush in every case (flush(5)), with a driver whose reads wait until they are told to go on."""

from collections.abc import Iterator

import pytest
from tests.support.client import TIMEOUT, RawClient, refused
from tests.support.served import Served

from ninep.linux import Errno
from ninep.server.limits import Limits
from ninep.testing.faults import Hold
from ninep.wire import messages as m


@pytest.fixture(params=["waits", "misses"])
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A driver that is called in threads; or one that is fast, whose reads miss the page cache."""
    with Served(request.param) as server:
        yield server


@pytest.fixture
def client(served: Served) -> RawClient:
    """Fids 1, 2 and 3 are open files."""
    client = served.client()
    for fid in (1, 2, 3):
        client.create(0, fid, b"%d" % fid, b"content")
    return client


def held_read(served: Served, client: RawClient, fid: int = 1) -> tuple[Hold, int]:
    """A read that is in a thread and waits."""
    hold = served.faults.hold("file.read")
    tag = client.send(m.Tread(fid, 0, 100))
    assert hold.reached.wait(TIMEOUT)
    return hold, tag


class TestAtOnce:
    def test_an_unknown_tag(self, client: RawClient) -> None:
        assert client.rpc(m.Tflush(4711)) == m.Rflush()

    def test_its_own_tag(self, client: RawClient) -> None:
        assert client.reply(client.send(m.Tflush(9), tag=9)) == m.Rflush()

    def test_a_tag_that_was_answered(self, client: RawClient) -> None:
        tag = client.send(m.Tread(1, 0, 100))
        client.reply(tag)
        assert client.rpc(m.Tflush(tag)) == m.Rflush()

    def test_a_tag_that_is_used_again_afterwards(self, served: Served, client: RawClient) -> None:
        assert client.rpc(m.Tflush(7)) == m.Rflush()
        assert client.reply(client.send(m.Tread(1, 0, 100), tag=7)) == m.Rread(b"content")

    @pytest.mark.parametrize("body", ["", "01", "010203"], ids=repr)
    def test_malformed(self, client: RawClient, body: str) -> None:
        data = bytes.fromhex(body)
        client.send_bytes((7 + len(data)).to_bytes(4, "little") + b"\x6c\x05\0" + data, number=108, tag=5)
        with refused(Errno.EPROTO):
            client.reply(5)


class TestDuring:
    """The request runs: its reply comes first, then the Rflush."""

    def test_once(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        flush = client.send(m.Tflush(read))
        other = client.send(m.Tread(2, 0, 100))
        client.reply(other)  # passes both by
        hold.go.set()
        client.reply(flush)
        assert client.order[-3:] == [other, read, flush]

    def test_twice_and_more(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        flushes = [client.send(m.Tflush(read)) for _ in range(5)]
        hold.go.set()
        client.reply(flushes[-1])
        assert client.order[-6:] == [read, *flushes]

    def test_a_flush_that_is_flushed(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        first = client.send(m.Tflush(read))
        second = client.send(m.Tflush(first))
        third = client.send(m.Tflush(second))
        hold.go.set()
        client.reply(third)
        assert client.order[-4:] == [read, first, second, third]

    def test_one_that_fails(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.read")
        served.faults.fail("file.read", Errno.EIO)
        read = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        flush = client.send(m.Tflush(read))
        hold.go.set()
        client.reply(flush)
        with refused(Errno.EIO):
            client.reply(read)

    def test_the_tag_is_free_after_the_rflush(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        flush = client.send(m.Tflush(read))
        hold.go.set()
        client.reply(flush)
        client.reply(read)
        assert client.reply(client.send(m.Tread(2, 0, 3), tag=read)) == m.Rread(b"con")
        assert client.silent()

    def test_a_chain_as_long_as_may_be_in_flight(self, served: Served) -> None:
        # Each flushes the one before.
        client = served.client(msize=8192)
        client.create(0, 1, b"f", b"content")
        hold, read = held_read(served, client)
        chain = [read]
        for _ in range(400):
            chain.append(client.send(m.Tflush(chain[-1])))
        hold.go.set()
        client.reply(chain[-1])
        assert client.order[-len(chain) :] == chain


class TestBefore:
    """The request has not begun: it never does, and gets no reply."""

    def test_it_waits_for_a_fid(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        clunk = client.send(m.Tclunk(1))  # waits until the read is done
        flush = client.send(m.Tflush(clunk))
        client.reply(flush)
        hold.go.set()
        assert client.reply(read) == m.Rread(b"content")
        assert client.read(1) == b"content"
        assert clunk not in client.order

    def test_what_waited_behind_it_goes_on(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        clunk = client.send(m.Tclunk(1))
        second = client.send(m.Tread(1, 3, 100))  # clashes with the clunk, not with the first read
        flush = client.send(m.Tflush(clunk))
        assert client.reply(second) == m.Rread(b"tent")
        client.reply(flush)
        hold.go.set()
        client.reply(read)

    def test_it_waits_for_a_thread(self) -> None:
        with Served("waits", limits=Limits(threads=1)) as served:
            client = served.client()
            client.create(0, 1, b"f", b"content")
            hold, read = held_read(served, client)
            write = client.send(m.Twrite(1, 0, b"CONTENT"))
            client.reply(client.send(m.Tflush(write)))
            hold.go.set()
            assert client.reply(read) == m.Rread(b"content")
            assert client.read(1) == b"content"
            assert write not in client.order

    def test_it_waits_for_a_thread_that_others_have(self) -> None:
        with Served("waits", threads=1) as served:
            other, client = served.client(), served.client()
            other.create(0, 1, b"f", b"content")
            client.walk(0, 1, b"f")
            client.open(1, 2)
            hold, read = held_read(served, other)
            write = client.send(m.Twrite(1, 0, b"CONTENT"))
            client.reply(client.send(m.Tflush(write)))
            hold.go.set()
            other.reply(read)
            assert client.read(1) == b"content"
            assert write not in client.order


class TestTags:
    def test_a_request_with_a_tag_in_flight(self, served: Served, client: RawClient) -> None:
        hold, read = held_read(served, client)
        client.send_bytes(client.encode(m.Tread(2, 0, 1), read))
        with refused(Errno.EINVAL):  # one of the two gets this, and the client cannot know which
            client.reply(read)
        client.judge.pending[read] = 116, {"fid": 1, "count": 100}
        hold.go.set()
        assert client.reply(read) == m.Rread(b"content")
        assert client.silent()

    @pytest.mark.parametrize("oldtag", ["itself", "other", "unknown"])
    def test_a_flush_with_a_tag_in_flight(self, served: Served, client: RawClient, oldtag: str) -> None:
        hold, read = held_read(served, client)
        second, other = held_read(served, client, 2)
        client.send_bytes(client.encode(m.Tflush({"itself": read, "other": other, "unknown": 999}[oldtag]), read))
        with refused(Errno.EINVAL):
            client.reply(read)
        client.judge.pending[read] = 116, {"fid": 1, "count": 100}
        hold.go.set()
        second.go.set()
        assert client.reply(read) == client.reply(other) == m.Rread(b"content")
        assert client.silent()

    def test_notag_is_a_tag(self, client: RawClient) -> None:
        for _ in range(3):
            assert client.reply(client.send(m.Tread(1, 0, 3), tag=m.NOTAG)) == m.Rread(b"con")
