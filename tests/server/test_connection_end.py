"""How connections end: in the middle of anything, with everything given back; or stopped, with
everything answered.
"""

import gc
import logging
import socket
from collections.abc import Callable

import pytest
from tests.support.client import TIMEOUT, RawClient, refused
from tests.support.served import Served
from tests.wire.wire_examples import UNTOUCHED

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.server.flow import Reason
from ninep.wire import messages as m

NAME_ONLY = UNTOUCHED._replace(name=b"g")
REQUESTS: dict[str, tuple[str, Callable[[], m.Message]]] = {
    "read": ("file.read", lambda: m.Tread(1, 0, 100)),
    "write": ("file.write", lambda: m.Twrite(1, 0, b"x")),
    "fsync": ("file.fsync", lambda: m.Tfsync(1)),
    "clunk": ("file.close", lambda: m.Tclunk(1)),
    "remove": ("remove", lambda: m.Tremove(1)),
    "walk": ("walk", lambda: m.Twalk(0, 5, [b"f", b"g"])),
    "attach": ("clone", lambda: m.Twalk(0, 5, [])),
    "open": ("open", lambda: m.Tlopen(2, 2)),
    "opendir": ("opendir", lambda: m.Tlopen(3, 0)),
    "create": ("create", lambda: m.Tlcreate(3, b"new", 2, 0o644, NO_ID)),
    "base create": ("create", lambda: m.Tcreate(3, b"new", 0o644, 2, b"")),
    "mkdir by create": ("mkdir", lambda: m.Tcreate(3, b"new", 0x80000000 | 0o755, 0, b"")),
    "xattrwalk": ("listxattr", lambda: m.Txattrwalk(0, 5, b"")),
    "xattr commit": ("setxattr", lambda: m.Tclunk(4)),
    "getattr": ("getattr", lambda: m.Tgetattr(0, 0x7FF)),
    "setattr": ("file.truncate", lambda: m.Tsetattr(1, 8, 0, 0, 0, 0, 0, 0, 0, 0)),
    "lock": ("file.lock", lambda: m.Tlock(1, 1, 0, 0, 0, 1, b"c")),
    "rename": ("rename", lambda: m.Trenameat(0, b"f", 0, b"g")),
    "wstat": ("move", lambda: m.Twstat(2, NAME_ONLY)),
    "readdir": ("dir.read", lambda: m.Treaddir(6, 0, 4096)),
}


@pytest.fixture
def client(waiting: Served) -> RawClient:
    """Fid 1: ``f``, open. 2: ``f``. 3: the root. 4: an attribute to be set. 6: the root, open."""
    client = waiting.client()
    client.create(0, 1, b"f", b"content")
    client.walk(0, 2, b"f")
    client.walk(0, 3)
    client.walk(0, 4, b"f")
    client.rpc(m.Txattrcreate(4, b"user.a", 1, 0))
    client.rpc(m.Twrite(4, 0, b"v"))
    client.walk(0, 6)
    client.open(6)
    return client


@pytest.mark.parametrize("after", [False, True], ids=["before the driver", "after the driver"])
@pytest.mark.parametrize(("verb", "request_"), REQUESTS.values(), ids=REQUESTS)
class TestInTheMiddle:
    """``Served`` looks at the end that every node was released, every file closed, every lock given
    back.
    """

    def test_disconnect(
        self, waiting: Served, client: RawClient, verb: str, request_: Callable[[], m.Message], after: bool
    ) -> None:
        hold = waiting.faults.hold(verb, after=after)
        client.send(request_())
        assert hold.reached.wait(TIMEOUT)
        client.close()
        hold.go.set()

    def test_disconnect_while_others_wait_behind(
        self, waiting: Served, client: RawClient, verb: str, request_: Callable[[], m.Message], after: bool
    ) -> None:
        hold = waiting.faults.hold(verb, after=after)
        client.send(request_())
        assert hold.reached.wait(TIMEOUT)
        client.send_all(m.Tclunk(1), m.Tclunk(0), m.Tlcreate(3, b"later", 2, 0o644, NO_ID), m.Twalk(2, 7, []))
        client.close()
        hold.go.set()

    def test_version(
        self, waiting: Served, client: RawClient, verb: str, request_: Callable[[], m.Message], after: bool
    ) -> None:
        hold = waiting.faults.hold(verb, after=after)
        client.send(request_())
        assert hold.reached.wait(TIMEOUT)
        client.version()
        client.attach()
        hold.go.set()
        client.walk(0, 1)
        client.clunk(0, 1)

    def test_stop(
        self, waiting: Served, client: RawClient, verb: str, request_: Callable[[], m.Message], after: bool
    ) -> None:
        hold = waiting.faults.hold(verb, after=after)
        tag = client.send(request_())
        assert hold.reached.wait(TIMEOUT)
        waiting.begin_stop()
        waiting.until(lambda: waiting.server._closing)
        hold.go.set()
        client.reply(tag)
        assert client.ended()


class TestEveryState:
    def test_disconnect_with_everything_open(self, client: RawClient) -> None:
        client.rpc(m.Tlock(1, 1, 0, 0, 10, 1, b"c"))
        client.rpc(m.Txattrwalk(2, 9, b""))
        client.close()

    def test_in_the_middle_of_a_frame(self, client: RawClient) -> None:
        client.send_bytes(client.encode(m.Twrite(1, 0, b"cut off"), 9)[:-3])
        client.close()

    def test_before_the_version(self, served: Served) -> None:
        served.connect().close()

    def test_fids_beyond_number(self, served: Served) -> None:
        client = served.client()
        for batch in range(0, 5000, 500):
            for tag in client.send_all(*[m.Twalk(0, 1 + batch + i, []) for i in range(500)]):
                client.reply(tag)
        client.close()

    def test_a_driver_that_fails_to_close(self, waiting: Served, client: RawClient) -> None:
        waiting.faults.fail("file.close", Errno.EIO, after=True)
        client.close()

    def test_a_driver_that_breaks_its_word(
        self, waiting: Served, client: RawClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        waiting.faults.crash("dir.close", RuntimeError("a bug"))
        client.close()
        waiting.wait_until_idle()
        assert "a bug" in caplog.text
        assert len(waiting.audit.open) == 1  # the directory it failed to close, and nothing else
        waiting.audit.open.clear()


class TestHalfClosed:
    """A client that sends no more is still owed replies (``printf ... | socat``, inetd)."""

    def test_what_is_in_flight_is_answered(self, waiting: Served, client: RawClient) -> None:
        hold = waiting.faults.hold("file.read")
        tags = client.send_all(m.Tread(1, 0, 100), m.Tclunk(1), m.Tgetattr(2, 0x7FF))
        assert hold.reached.wait(TIMEOUT)
        client.sock.shutdown(socket.SHUT_WR)
        hold.go.set()
        for tag in tags:
            client.reply(tag)
        assert client.ended()

    def test_what_was_sent_before_too(self, served: Served) -> None:
        client = served.client()
        tags = client.send_all(*[m.Tgetattr(0, 0x7FF)] * 100)
        client.sock.shutdown(socket.SHUT_WR)
        for tag in tags:
            client.reply(tag)
        assert client.ended()


class TestStop:
    def test_requests_that_wait_are_in_flight_too(self, waiting: Served, client: RawClient) -> None:
        hold = waiting.faults.hold("file.read")
        tags = client.send_all(m.Tread(1, 0, 100), m.Tclunk(1), m.Tgetattr(0, 0x7FF))
        assert hold.reached.wait(TIMEOUT)
        client.reply(tags[2])
        waiting.begin_stop()
        waiting.until(lambda: waiting.server._closing)
        hold.go.set()
        client.reply(tags[0])
        client.reply(tags[1])
        assert client.ended()

    def test_idle_connections_end_at_once(self, served: Served) -> None:
        clients = [served.client(), served.client(), served.connect()]
        served.stop()
        assert all(client.ended() for client in clients)

    def test_replies_that_were_not_read_yet_are_sent(self, served: Served) -> None:
        client = served.client(msize=1 << 20)
        client.create(0, 1, b"f", bytes(200_000))
        tags = client.send_all(*[m.Tread(1, 0, 200_000) for _ in range(8)])
        (connection,) = served.do(lambda: list(served.server._connections))
        served.until(lambda: Reason.FULL in connection._flow.reasons)
        served.begin_stop()
        served.until(lambda: served.server._closing)
        assert client.reply(tags[0]) == m.Rread(bytes(200_000))
        assert client.reply(tags[1]) == m.Rread(bytes(200_000))

    def test_what_hangs_is_left_behind(
        self, waiting: Served, client: RawClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        hold = waiting.faults.hold("file.read")
        client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        waiting.stop(grace=0.01)
        assert client.ended()
        assert "still had requests in flight" in caplog.text
        hold.go.set()
        waiting.audit.open.clear()  # what the thread that hung had

    def test_twice(self, served: Served) -> None:
        client = served.client()
        served.begin_stop()
        served.begin_stop()
        served.stop()
        assert client.ended()

    def test_a_connection_that_comes_late(self, waiting: Served, client: RawClient) -> None:
        hold = waiting.faults.hold("file.read")
        tag = client.send(m.Tread(1, 0, 100))
        assert hold.reached.wait(TIMEOUT)
        waiting.begin_stop()
        waiting.until(lambda: waiting.server._closing)
        assert waiting.connect().ended()
        hold.go.set()
        client.reply(tag)


def test_what_is_refused_is_told_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ninep")
    client = served.client()
    with refused(Errno.EISDIR):
        client.open(0, 1)
    assert "EISDIR" in caplog.text


def test_what_a_refused_request_held_is_free_without_the_collector() -> None:
    """An error has a traceback, whose frames have handles: should it know itself by any way, they
    stay open.
    """
    gc.collect()
    before = {id(error) for error in gc.get_objects() if isinstance(error, Refused)}
    gc.disable()
    try:
        with Served("waits") as served:
            client = served.client()
            for number in (1, 2, 3):
                with refused(Errno.ENOENT):
                    client.walk(0, number, b"nowhere")
            client.close()
            served.wait_until_idle()
            kept = [error for error in gc.get_objects() if isinstance(error, Refused) and id(error) not in before]
        assert not kept
    finally:
        gc.enable()
