"""9P over a virtqueue: a guest's driver, a front end, a unix socket, the real server."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from tests.support.client import Failed, refused
from tests.support.served import Served
from tests.support.vhost_front_end import Guest
from tests.support.virtio_client import MSIZE, Ring
from tests.support.virtio_driver import Driver

from ninep.host import shared
from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, Errno
from ninep.server.transport import GONE
from ninep.virtio import messages as v
from ninep.virtio.inflight import Inflight, region_size
from ninep.virtio.messages import Request
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")


class Host:
    """A server with a vhost-user socket."""

    def __init__(self, served: Served, path: Path) -> None:
        self.served = served
        self.path = str(path / "vm.sock")
        self.listen()

    def listen(self, options: str = "tag=src") -> None:
        self.served.call(self.served.server.listen(f"vhost-user:{self.path},{options}"))

    def ring(self, **options: object) -> Ring:
        return Ring(self.path, **options)  # type: ignore[arg-type]


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture
def host(served: Served, tmp_path: Path) -> Host:
    return Host(served, tmp_path)


@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"])
def test_a_guest_makes_reads_lists_and_removes(host: Host, dialect: bytes) -> None:
    with host.ring() as ring:
        client = ring.client(dialect)
        client.create(0, 1, b"f", b"hello")
        assert client.read(1) == b"hello"
        client.mkdir(0, b"d")
        client.walk(0, 2, b"d")
        client.rpc(m.Tremove(2))
        with refused(Errno.ENOENT):
            client.rpc(m.Twalk(0, 2, [b"d"]))
        client.clunk(1)


def test_the_config_space_has_the_tag(host: Host) -> None:
    with host.ring() as ring:
        assert ring.front.config(5) == b"\x03\0src"


def test_many_requests_at_once_are_all_answered(host: Host) -> None:
    with host.ring() as ring:
        client = ring.client()
        for _ in range(50):
            tags = client.send_all(*[m.Tgetattr(0, GETATTR_BASIC)] * ring.front.guest.size)
            assert [type(client.reply(tag)) for tag in tags] == [m.Rgetattr] * len(tags)


def test_a_large_write_is_taken_from_where_it_is(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Driver, "AREA", 0x8000)
    data = os.urandom(9000)
    with host.ring() as ring:
        ring.room = 12000
        client = ring.client(msize=16384)
        client.create(0, 1, b"f")
        frame = client.encode(m.Twrite(1, 0, data), 5)
        pieces = [frame[:10], frame[10:23], frame[23:4000], frame[4000:]]
        ring.front.offer(pieces, [7, 4096])
        assert codec(EXTENDED).decode(ring.front.collect()) == (5, m.Rwrite(len(data)))
        assert client.read(1, 0, 9000) == data
        client.clunk(1)


def test_a_read_is_cut_to_the_room_it_has(host: Host) -> None:
    with host.ring() as ring:
        client = ring.client()
        client.create(0, 1, b"f", b"0123456789" * 50)
        ring.room = 11 + 30
        assert client.read(1, 0, 400) == b"0123456789" * 3
        ring.room = 11 + 50
        client.walk(0, 2)
        client.open(2)
        entries = client.entries(2, 0, 400)
        assert [entry[3] for entry in entries] == [b"."]
        ring.room = 1024
        client.clunk(1, 2)


def test_another_reply_without_room_is_an_error(host: Host) -> None:
    with host.ring() as ring:
        client = ring.client()
        ring.room = 20
        with pytest.raises(Failed) as caught:
            client.rpc(m.Tgetattr(0, GETATTR_BASIC))
        assert caught.value.stands_for(Errno.EMSGSIZE)
        ring.room = 1024
        client.rpc(m.Tgetattr(0, GETATTR_BASIC))


class TestFlush:
    def test_the_request_comes_back_with_nothing_and_before_the_reply(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.fsync")
            old = client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            waiting = client.send(m.Tread(1, 0, 1))  # it conflicts with nothing and is passed
            client.reply(waiting)
            tag = client.send(m.Tflush(old))
            hold.go.set()
            client.reply(tag)
            client.clunk(1)
            assert ring.cancelled <= 1  # the fsync may have been answered before

    def test_one_that_has_not_begun_is_cancelled(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.fsync")
            first = client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            second = client.send(m.Tclunk(1))  # waits for the fid
            client.judge.pending.pop(second)
            client.reply(client.send(m.Tflush(second)))
            assert ring.cancelled == 1
            hold.go.set()
            client.reply(first)
            client.clunk(1)


def test_a_version_returns_all_that_is_not_answered(host: Host, served: Served) -> None:
    with host.ring() as ring:
        client = ring.client()
        client.create(0, 1, b"f")
        hold = served.faults.hold("file.fsync")
        client.send(m.Tfsync(1, 0))
        hold.reached.wait()
        client.judge.pending.clear()
        client.version(msize=MSIZE)
        assert ring.cancelled == 1
        assert len(ring.front.driver.requests) == 0
        hold.go.set()
        client.attach()


def test_a_tag_twice_is_refused_and_both_come_back(host: Host, served: Served) -> None:
    with host.ring() as ring:
        client = ring.client()
        client.create(0, 1, b"f")
        hold = served.faults.hold("file.fsync")
        fsync = codec(EXTENDED).encode(7, m.Tfsync(1, 0))[0]
        getattr_ = codec(EXTENDED).encode(7, m.Tgetattr(0, GETATTR_BASIC))[0]
        ring.front.offer([fsync], [100])
        hold.reached.wait()
        ring.front.offer([getattr_], [100])
        assert codec(EXTENDED).decode(ring.front.collect()) == (7, m.Rlerror(Errno.EINVAL))
        hold.go.set()
        assert codec(EXTENDED).decode(ring.front.collect()) == (7, m.Rfsync())
        client.clunk(1)


class TestWithoutASession:
    """As after a restart of the server: the guest knows nothing of it."""

    @pytest.mark.parametrize(
        ("request_", "reply"),
        [
            (m.Tgetattr(0, GETATTR_BASIC), m.Rlerror(Errno.ENOTCONN)),
            (m.Tread(1, 0, 10), m.Rlerror(Errno.ENOTCONN)),
            (m.Tflush(3), m.Rflush()),
            (m.Tstat(0), m.Rerror(b"Transport endpoint is not connected", Errno.ENOTCONN)),
        ],
    )
    def test_requests_are_refused_in_the_words_of_the_guest(
        self, host: Host, request_: m.Message, reply: m.Message
    ) -> None:
        with host.ring() as ring:
            got = ring.front.call(codec(EXTENDED).encode(4, request_)[0], 200)
            assert codec(EXTENDED).decode(got) == (4, reply)

    def test_a_version_begins_one(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            assert served.server.connections == 0
            ring.front.call(codec(EXTENDED).encode(4, m.Tgetattr(0, GETATTR_BASIC))[0], 200)
            assert served.server.connections == 0
            ring.client().rpc(m.Tgetattr(0, GETATTR_BASIC))
            assert served.server.connections == 1


class TestStopAndContinue:
    def test_the_session_goes_on(self, host: Host) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f", b"x")
            ring.front.stop()
            ring.front.start()
            assert client.read(1) == b"x"
            client.clunk(1)

    def test_what_a_thread_finishes_meanwhile_comes_afterwards(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.fsync")
            tag = client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            ring.front.stop()
            hold.go.set()
            served.until(lambda: all(one.in_flight == 0 for one in served.server._connections))
            assert ring.front.driver.take() is None
            ring.front.start()
            assert client.reply(tag) == m.Rfsync()
            client.clunk(1)

    def test_a_reset_ends_it(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f", b"x")
            ring.front.reset()
            ring.front.start()
            with pytest.raises(Failed) as caught:
                client.read(1)
            assert caught.value.stands_for(Errno.ENOTCONN)
            served.until(lambda: served.server.connections == 0)
            ring.client().rpc(m.Tgetattr(0, GETATTR_BASIC))

    def test_what_a_thread_finishes_after_a_reset_is_dropped(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.fsync")
            client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            ring.front.reset()
            ring.front.start()
            hold.go.set()
            served.until(lambda: served.server.connections == 0)
            assert ring.front.driver.take() is None


class TestAServerThatIsRestarted:
    def test_requests_that_it_had_taken_come_back_with_an_error(self, tmp_path: Path) -> None:
        guest = Guest(8)
        with Served() as first:
            host = Host(first, tmp_path)
            ring = host.ring(guest=guest, start=False)
            ring.front.realize()
            area = v.Inflight(region_size(8), 0, 1, 8)
            ring.front.send(Request.GET_INFLIGHT_FD, area)
            answer, (region,) = ring.front.answer_with(Request.GET_INFLIGHT_FD)
            ring.front.send(Request.SET_INFLIGHT_FD, answer.body, [region])
            ring.front.start()
            client = ring.client()
            client.create(0, 1, b"f", b"x")
            hold = first.faults.hold("file.fsync")
            client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            assert client.read(1) == b"x"  # it was passed: the ring's order tells nothing
            (connection,) = first.server._connections
            ring.close()
            first.until(lambda: connection._transport is GONE)
            hold.go.set()
        with Served() as second:
            host = Host(second, tmp_path)
            ring = host.ring(guest=guest, start=False)
            ring.front.lost()
            ring.front.realize()
            ring.front.send(Request.SET_INFLIGHT_FD, answer.body, [region])
            ring.front.start()
            _, reply = codec(EXTENDED).decode(ring.front.collect())
            assert reply == m.Rlerror(Errno.ENOTCONN)
            assert not guest.driver.requests
            ring.client().rpc(m.Tgetattr(0, GETATTR_BASIC))
            ring.close()
        os.close(region)
        guest.close()


def test_an_in_flight_region_that_does_not_fit_the_ring(host: Host, served: Served) -> None:
    with host.ring(start=False) as ring:
        ring.front.realize()
        ring.front.send(Request.GET_INFLIGHT_FD, v.Inflight(region_size(8), 0, 1, 8))
        answer, (region,) = ring.front.answer_with(Request.GET_INFLIGHT_FD)
        Inflight(shared.map_shared(region, region_size(8)), 8).reset(999)
        ring.front.send(Request.SET_INFLIGHT_FD, answer.body, [region])
        ring.front.start()
        served.do(lambda: None)
        assert ring.front.failed()
        os.close(region)


class TestADriverThatBreaksTheRules:
    BAD: ClassVar[dict[str, Callable[[Driver], object]]] = {
        "an index too far ahead": lambda driver: driver.put(driver.available_at + 2, "H", driver.available_index + 99),
        "no room for a reply": lambda driver: driver.add([bytes(7)], [6]),
        "no whole header": lambda driver: driver.add([bytes(6)], [100]),
        "a size that is not the message's": lambda driver: driver.add([b"\x17\0\0\0\x6c\1\0\0\0"], [100]),
        "a message beyond msize": lambda driver: driver.add([b"\xff\x0f\0\0\x6c\1\0" + bytes(0xFF8 - 100)], [8]),
    }

    @pytest.mark.parametrize("what", BAD)
    def test_ends_its_device_and_nothing_else(self, host: Host, what: str, caplog: pytest.LogCaptureFixture) -> None:
        with host.ring() as good, host.ring() as bad:
            other = good.client()
            bad.client().create(0, 1, b"f")
            with caplog.at_level(logging.WARNING):
                self.BAD[what](bad.front.driver)
                os.eventfd_write(bad.front.kick, 1)
                host.served.until(lambda: host.served.server.connections == 1)
            assert bad.front.failed()
            assert len([one for one in caplog.records if "broken" in one.getMessage()]) == 1
            other.rpc(m.Tgetattr(0, GETATTR_BASIC))
            bad.front.reset()
            bad.front.start()
            bad.client().rpc(m.Tgetattr(0, GETATTR_BASIC))

    def test_a_reply_that_has_no_room_not_even_as_an_error(self, host: Host, served: Served) -> None:
        with host.ring() as ring:
            client = ring.client()
            ring.front.offer([client.encode(m.Tgetattr(0, GETATTR_BASIC), 3)], [8])
            served.until(lambda: served.server.connections == 0)
            assert ring.front.failed()


def test_two_devices_of_one_address_have_a_session_each(host: Host, served: Served) -> None:
    with host.ring() as one, host.ring() as other:
        first, second = one.client(), other.client()
        first.create(0, 1, b"f", b"x")
        with refused(Errno.EBADF):
            second.read(1)
        second.walk(0, 1, b"f")
        assert served.server.connections == 2
        first.clunk(1)
    served.until(lambda: served.server.connections == 0)


def test_a_server_that_ends_answers_and_hangs_up(tmp_path: Path) -> None:
    with Served() as served:
        host = Host(served, tmp_path)
        with host.ring() as mounted, host.ring() as idle:
            client = mounted.client()
            client.create(0, 1, b"f")
            hold = served.faults.hold("file.fsync")
            tag = client.send(m.Tfsync(1, 0))
            hold.reached.wait()
            served.begin_stop()
            assert idle.front.socket.recv(1) == b""
            hold.go.set()
            assert client.reply(tag) == m.Rfsync()
            assert mounted.front.socket.recv(1) == b""


def test_removing_a_folder_with_many_files(host: Host) -> None:
    with host.ring(size=64) as ring:
        client = ring.client()
        client.mkdir(0, b"d")
        client.walk(0, 1, b"d")
        for number in range(40):
            client.create(1, 2, b"%d" % number)
            client.clunk(2)
        client.walk(1, 2)
        client.open(2)
        names = client.names(2, 400)
        assert sorted(names) == sorted(b"%d" % number for number in range(40))
        tags = client.send_all(*[m.Tunlinkat(1, name, 0) for name in names])
        assert {type(client.reply(tag)) for tag in tags} == {m.Runlinkat}
        client.rpc(m.Tunlinkat(0, b"d", AT_REMOVEDIR))
        client.clunk(1, 2)
