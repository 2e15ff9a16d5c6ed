"""Which request waits for which: none for those of other fids, all for those of their own fid."""

from collections.abc import Iterator

import pytest
from tests.support.client import TIMEOUT, RawClient, refused
from tests.support.judge import dirents, stats
from tests.support.served import Served

from ninep.linux import NO_ID, Errno
from ninep.server.limits import Limits
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


class TestSlowAndFast:
    def test_a_read_that_waits_delays_no_other_fid(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.read")
        slow = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        fast = client.send_all(m.Tread(2, 0, 100), m.Tgetattr(3, 0x7FF), m.Twalk(0, 9, [b"1"]), m.Tclunk(3))
        for tag in fast:
            client.reply(tag)
        assert slow not in client.order
        hold.go.set()
        client.reply(slow)

    def test_nor_readers_of_its_own(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.read")
        slow = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        fast = client.send_all(m.Tread(1, 3, 2), m.Tgetattr(1, 0x7FF), m.Twrite(1, 0, b"C"))
        for tag in fast:
            client.reply(tag)
        assert slow not in client.order
        hold.go.set()
        client.reply(slow)

    def test_nor_another_connection(self, served: Served, client: RawClient) -> None:
        other = served.client()
        hold = served.faults.hold("file.read")
        slow = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        other.walk(0, 1, b"1")
        other.open(1)
        assert other.read(1) == b"content"
        hold.go.set()
        client.reply(slow)

    def test_an_fsync_delays_no_other_request(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.fsync")
        slow = client.send(m.Tfsync(1))
        assert hold.reached.wait(TIMEOUT)
        assert client.read(1) == b"content"
        assert slow not in client.order
        hold.go.set()
        client.reply(slow)


class TestSameFid:
    def test_a_clunk_waits_and_what_comes_after_it_too(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.read")
        read = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        clunk, late, walk = client.send_all(m.Tclunk(1), m.Tread(1, 0, 1), m.Twalk(0, 1, []))
        client.reply(client.send(m.Tgetattr(2, 0x7FF)))
        assert not {read, clunk, late, walk} & set(client.order)
        hold.go.set()
        client.reply(walk)
        with refused(Errno.EBADF):
            client.reply(late)
        own = [tag for tag in client.order if tag in {read, clunk, late, walk}]
        assert own == [read, clunk, late, walk]

    def test_a_walk_to_a_newfid_that_is_being_made(self, served: Served, client: RawClient) -> None:
        hold = served.faults.hold("file.read")
        read = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        # Each of the chain needs what the one before makes or frees.
        clunk, walk, create, write, again = client.send_all(
            m.Tclunk(1),
            m.Twalk(0, 1, []),
            m.Tlcreate(1, b"new", 2, 0o644, NO_ID),
            m.Twrite(1, 0, b"pipelined"),
            m.Tread(1, 0, 100),
        )
        hold.go.set()
        assert client.reply(again) == m.Rread(b"pipelined")
        assert client.order[-6:] == [read, clunk, walk, create, write, again]

    def test_directory_reads_come_in_their_order(self, served: Served, client: RawClient) -> None:
        client.walk(0, 5)
        client.open(5)
        whole = [entry[3] for entry in client.entries(5, 0)]
        tags = client.send_all(*[m.Treaddir(5, 0, 4096) for _ in range(8)])
        for tag in tags:
            assert [entry[3] for entry in dirents(bytes(client.reply(tag).data))] == whole  # type: ignore[attr-defined]
        assert client.order[-8:] == tags

    def test_stat_records_read_by_several_at_once(self, served: Served) -> None:
        client = served.client(b"9P2000")
        for i in range(60):
            client.create(0, 9, b"%02d" % i)
            client.clunk(9)
        client.walk(0, 1)
        client.open(1)
        tags = client.send_all(m.Tread(1, 0, 500), *[m.Tread(1, 1, 500) for _ in range(19)])
        names = [record["name"] for tag in tags for record in stats(bytes(client.reply(tag).data), extended=False)]  # type: ignore[attr-defined]
        assert len(set(names)) == len(names), "a record came twice"


class TestShare:
    """A connection keeps so many threads busy and no more."""

    def test_the_rest_is_left_to_others(self) -> None:
        with Served("waits", limits=Limits(threads=2), threads=3) as served:
            greedy, modest = served.client(), served.client()
            for fid in range(1, 9):
                greedy.create(0, fid, b"%d" % fid, b"content")
            modest.walk(0, 1, b"1")
            modest.open(1)
            holds = [served.faults.hold("file.read", at=at) for at in (1, 2)]
            reads = greedy.send_all(*[m.Tread(fid, 0, 100) for fid in range(1, 9)])
            for hold in holds:
                assert hold.reached.wait(TIMEOUT)
            assert modest.read(1) == b"content"  # there is a thread for it
            assert greedy.order[-1] not in reads
            for hold in holds:
                hold.go.set()
            for tag in reads:
                assert greedy.reply(tag) == m.Rread(b"content")

    def test_clashes_keep_their_order_among_those_that_wait_for_a_thread(self) -> None:
        with Served("waits", limits=Limits(threads=1)) as served:
            client = served.client()
            client.create(0, 1, b"f", b"content")
            client.walk(0, 2, b"f")
            hold = served.faults.hold("getattr")
            tags = client.send_all(m.Tgetattr(0, 0x7FF))
            assert hold.reached.wait(TIMEOUT)
            tags += client.send_all(m.Tread(1, 0, 100), m.Tclunk(1), m.Tread(1, 0, 100), m.Tgetattr(2, 0x7FF))
            hold.go.set()
            assert client.reply(tags[1]) == m.Rread(b"content")
            client.reply(tags[2])
            with refused(Errno.EBADF):
                client.reply(tags[3])
            client.reply(tags[4])
            assert [tag for tag in client.order if tag in tags[1:4]] == tags[1:4]


def test_wrong_answers_of_a_driver_in_a_thread_are_eio(served: Served) -> None:
    # What cannot be packed must not leave the tag in flight for ever.
    client = served.client()
    client.create(0, 1, b"f", b"content")
    served.faults.crash("file.fsync", RuntimeError("a bug"))
    with refused(Errno.EIO):
        client.rpc(m.Tfsync(1))
    client.rpc(m.Tfsync(1))
