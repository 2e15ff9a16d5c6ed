"""Tversion: what is agreed on, and what it ends (version(5))."""

import pytest
from tests.support.client import TIMEOUT, RawClient, refused
from tests.support.served import Served

from ninep.linux import Errno
from ninep.server.limits import Limits
from ninep.wire import messages as m
from ninep.wire import modes
from ninep.wire.codec import codec

LINUX, UNIX, PLAIN, UNKNOWN = b"9P2000.L", b"9P2000.u", b"9P2000", b"unknown"


@pytest.fixture
def silent_client(served: Served) -> RawClient:
    """A connection on which nothing was said yet."""
    return served.connect()


class TestDialect:
    @pytest.mark.parametrize(
        ("asked", "agreed"),
        [
            (LINUX, LINUX),
            (UNIX, UNIX),
            (PLAIN, PLAIN),
            (b"9P2000.x", PLAIN),
            (b"9P2000.l", PLAIN),
            (b"9P2000.L.x", LINUX),
            (b"9P2000.L.Google.7", LINUX),
            (b"9P2000.u.1", UNIX),
            (b"9P2000.", PLAIN),
            (b"9P2000L", UNKNOWN),
            (b"9P", UNKNOWN),
            (b"9p2000", UNKNOWN),
            (b"9P3000", UNKNOWN),
            (b"", UNKNOWN),
            (b"unknown", UNKNOWN),
            (b"9P2000.L\0", PLAIN),
            (b"\xff\n", UNKNOWN),
        ],
    )
    def test_by_its_string(self, silent_client: RawClient, asked: bytes, agreed: bytes) -> None:
        assert silent_client.version(asked, 8192) == m.Rversion(8192, agreed)

    def test_after_an_unknown_one_nothing_is_possible_but_another_version(self, silent_client: RawClient) -> None:
        silent_client.version(b"9P1")
        with refused(Errno.EPROTO):
            silent_client.attach()
        silent_client.version(LINUX)
        silent_client.attach()

    def test_before_any_version(self, silent_client: RawClient) -> None:
        for message in (m.Tattach(0, m.NOFID, b"", b"", 0), m.Tread(0, 0, 1), m.Tlopen(0, 0)):
            with refused(Errno.EPROTO):
                silent_client.rpc(message)
        assert silent_client.rpc(m.Tflush(77)) == m.Rflush()

    def test_any_tag(self, silent_client: RawClient) -> None:
        # FreeBSD takes the tag of its Tversion from where all others come from.
        for tag in (0, 1, 0xFFFE, m.NOTAG):
            assert silent_client.reply(silent_client.send(m.Tversion(8192, LINUX), tag=tag)) == m.Rversion(8192, LINUX)
            silent_client.attach()


class TestMsize:
    @pytest.mark.parametrize("asked", [303, 2048, 4095, 4096, 8192, 131096, 1 << 20, 1 << 20 | 24])
    def test_what_was_asked_for(self, silent_client: RawClient, asked: int) -> None:
        assert silent_client.version(LINUX, asked).msize == asked

    @pytest.mark.parametrize("asked", [(1 << 20) + 25, 1 << 22, (1 << 32) - 1])
    def test_no_more_than_the_server_takes(self, silent_client: RawClient, asked: int) -> None:
        assert silent_client.version(LINUX, asked).msize == 1 << 20 | 24

    def test_as_the_server_was_told(self) -> None:
        with Served(limits=Limits(msize=4 << 20 | 24)) as served:
            assert served.connect().version(LINUX, 1 << 24).msize == 4 << 20 | 24

    @pytest.mark.parametrize(("dialect", "smallest"), [(LINUX, 303), (UNIX, 256), (PLAIN, 256)])
    @pytest.mark.parametrize("asked", [0, 1, 23, 24, 255, "one less"])
    def test_too_small(self, silent_client: RawClient, dialect: bytes, smallest: int, asked: int | str) -> None:
        silent_client.judge.dialect = dialect  # the refusal is in the words of the dialect
        with refused(Errno.EMSGSIZE):
            silent_client.version(dialect, asked if isinstance(asked, int) else smallest - 1)
        silent_client.judge.dialect = UNKNOWN
        with refused(Errno.EPROTO):
            silent_client.attach()
        silent_client.version(dialect, smallest)
        silent_client.attach()

    @pytest.mark.parametrize("asked", [0, 1, 4095, 1 << 32 - 1])
    def test_of_an_unknown_dialect_comes_back(self, silent_client: RawClient, asked: int) -> None:
        assert silent_client.version(b"9P1", asked) == m.Rversion(asked, UNKNOWN)

    def test_holds_at_once(self, silent_client: RawClient) -> None:
        silent_client.version(LINUX, 4096)
        silent_client.attach()
        silent_client.send_bytes((4097).to_bytes(4, "little") + b"\x76\1\0" + bytes(4090))
        assert silent_client.ended()

    def test_a_larger_one_later(self, silent_client: RawClient) -> None:
        silent_client.version(LINUX, 4096)
        silent_client.version(LINUX, 1 << 20)
        silent_client.attach()
        silent_client.create(0, 1, b"f", bytes(1 << 19))


class TestBegin:
    """Everything that went on before is over."""

    def test_fids_are_gone(self, served: Served, any_client: RawClient) -> None:
        any_client.create(0, 1, b"f", b"x")
        any_client.version(LINUX)
        for fid in (0, 1):
            with refused(Errno.EBADF):
                any_client.clunk(fid)
        assert not served.audit.open

    @pytest.mark.parametrize("asked", [b"9P1", LINUX], ids=bytes.decode)
    def test_also_by_one_that_fails(self, served: Served, client: RawClient, asked: bytes) -> None:
        client.create(0, 1, b"f", b"x")
        if asked == LINUX:
            with refused(Errno.EMSGSIZE):
                client.version(asked, 100)
        else:
            client.version(asked)
        assert not served.audit.open

    def test_a_malformed_one_ends_nothing(self, client: RawClient) -> None:
        client.create(0, 1, b"f", b"x")
        client.send_bytes(bytes.fromhex("0d000000 64 ffff 00200000 0800"), number=100, tag=m.NOTAG)
        with refused(Errno.EPROTO):
            client.reply(m.NOTAG)
        assert client.read(1) == b"x"

    def test_another_dialect_in_one_piece(self, served: Served) -> None:
        client = served.connect()
        client.version(PLAIN)
        attach = m.Tattach(0, m.NOFID, b"root", b"", 7)
        for dialect, extended in ((LINUX, True), (PLAIN, False), (UNIX, True)):
            version = client.encode(m.Tversion(8192, dialect), m.NOTAG)
            client.judge.sent(version)
            client.sock.sendall(
                version + b"".join(codec(modes.EXTENDED if extended else modes.PLAIN).encode(1, attach))
            )
            assert client.receive() == (m.NOTAG, m.Rversion(8192, dialect))
            client.judge.pending[1] = 104, {}
            assert client.receive()[0] == 1

    def test_requests_in_flight_are_not_answered(self, waiting: Served) -> None:
        client = waiting.client()
        client.create(0, 1, b"f", b"old")
        hold = waiting.faults.hold("file.read")
        tag = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        client.version()
        client.attach()
        client.walk(0, 1, b"f")
        client.open(1)
        # The same tag and fid, while the old request still has its own.
        assert client.reply(client.send(m.Tread(1, 0, 100), tag=tag)) == m.Rread(b"old")
        hold.go.set()
        assert client.silent()

    def test_the_old_session_ends_with_its_last_request(self, waiting: Served) -> None:
        client = waiting.client()
        client.create(0, 1, b"f", b"old")
        hold = waiting.faults.hold("file.read")
        client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        client.version()
        assert waiting.faults.calls["file.close"] == 0
        hold.go.set()
        waiting.until(lambda: not waiting.audit.open)

    def test_requests_that_had_not_begun_never_do(self) -> None:
        with Served("waits", limits=Limits(threads=1)) as served:
            client = served.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.write")
            client.send(m.Twrite(1, 0, b"first"))
            client.send(m.Twrite(1, 0, b"second"))
            assert hold.reached.wait(TIMEOUT)
            client.version()
            hold.go.set()
            served.until(lambda: not served.audit.open)
            assert served.faults.calls["file.write"] == 1

    def test_nor_those_that_wait_for_a_thread_that_others_have(self) -> None:
        with Served("waits", threads=1) as served:
            other, client = served.client(), served.client()
            other.create(0, 1, b"f")
            client.walk(0, 1, b"f")
            client.open(1, 2)
            hold = served.faults.hold("file.read")
            read = other.send(m.Tread(1, 0, 100))
            assert hold.reached.wait(TIMEOUT)
            client.send(m.Twrite(1, 0, b"x"))
            client.version()
            hold.go.set()
            assert other.reply(read) == m.Rread(b"")
            served.until(lambda: len(served.audit.open) <= 3)  # what ``other`` has
            assert served.faults.calls["file.write"] == 0

    def test_locks_are_free_for_the_new_session(self, served: Served, client: RawClient) -> None:
        client.create(0, 1, b"f")
        assert client.rpc(m.Tlock(1, 1, 0, 0, 0, 1, b"c")).status == 0
        client.version()
        client.attach()
        client.walk(0, 1, b"f")
        client.open(1, 2)
        assert client.rpc(m.Tlock(1, 1, 0, 0, 0, 2, b"c")).status == 0

    def test_a_second_one_right_behind(self, served: Served) -> None:
        client = served.connect()
        version = client.encode(m.Tversion(8192, LINUX), m.NOTAG)
        client.judge.sent(version)
        client.sock.sendall(version * 3)
        assert client.receive() == (m.NOTAG, m.Rversion(8192, LINUX))
        for _ in range(2):
            client.judge.sent(version)
            assert client.receive() == (m.NOTAG, m.Rversion(8192, LINUX))
        client.attach()


def test_a_small_msize_is_told_to_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.client(msize=8192)
    assert "msize" in caplog.text
    caplog.clear()
    served.client(msize=1 << 20)
    assert "msize" not in caplog.text
