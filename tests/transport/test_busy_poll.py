"""A socket that is busy polled: when that begins, what ends it, and that nothing is lost on the way
back to the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

import pytest
import uvloop
from tests.support.client import TIMEOUT, RawClient

from ninep.drivers.memory import MemoryDriver
from ninep.linux import GETATTR_BASIC
from ninep.server.server import Server
from ninep.transport.busy_poll import POSSIBLE, PROMPT, WARM_UP, SocketWriter, rest
from ninep.transport.tcp import Tcp
from ninep.wire import messages as m
from ninep.wire.types import Buffer

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="no recv here that can be told how long to wait")


class Pair:
    """The writer of one end of a socket pair; ``theirs`` is the client's end, ``later`` what was
    left to the event loop.
    """

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self.theirs.settimeout(TIMEOUT)
        self.later: list[bytes] = []
        self.got: list[bytes] = []
        self.writer = SocketWriter(self)  # type: ignore[arg-type] # as much of a transport as it needs
        self._space = bytearray(100)

    def get_extra_info(self, _: str) -> socket.socket:
        return self.ours

    def is_closing(self) -> bool:
        return False

    def write(self, buffer: Buffer) -> None:
        self.writelines([buffer])

    def writelines(self, buffers: Sequence[Buffer]) -> None:
        assert not self.ours.getblocking(), "the loop would have to wait for the client"
        self.later += map(bytes, buffers)

    def space(self) -> Buffer:
        return self._space

    def poll(self, *, on: bool = True) -> None:
        def received(count: int) -> bool:
            self.got.append(bytes(self._space[:count]))
            return on

        self.writer.poll(self.space, received)

    def close(self) -> None:
        self.writer.release()
        self.ours.close()
        self.theirs.close()


def exhausted(_: int) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


class TestPoll:
    def test_no_handle_left(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then the event loop goes on, until there is one."""
        pair.theirs.send(b"request")
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", exhausted)
            pair.poll()
        assert (pair.got, pair.writer.polling) == ([], False)
        pair.writer.write(b"reply")
        assert pair.later == [b"reply"]
        pair.poll()
        assert pair.got == [b"request"]

    def test_until_the_client_hesitates(self, pair: Pair) -> None:
        pair.theirs.send(b"request")
        pair.poll()
        assert pair.got == [b"request"]
        assert not pair.writer.polling
        assert not pair.ours.getblocking()

    def test_until_something_is_in_flight(self, pair: Pair) -> None:
        pair.theirs.send(b"x" * 150)
        pair.poll(on=False)
        assert pair.got == [b"x" * 100]
        assert pair.ours.recv(100) == b"x" * 50  # for the loop

    def test_until_the_client_sends_no_more(self, pair: Pair) -> None:
        pair.theirs.close()
        pair.poll()
        assert pair.got == []
        assert pair.ours.recv(1) == b""  # the loop sees it, too

    def test_the_loop_runs_although_requests_never_end(self, pair: Pair) -> None:
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                pair.theirs.send(b"request")

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            pair.poll()  # comes back
        finally:
            stop.set()
            while asking.is_alive():
                pair.poll()
            asking.join(TIMEOUT)
        assert pair.got

    def test_a_client_must_have_been_prompt_for_a_while(self, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
        prompt = PROMPT / 2
        after = [9.0, *[prompt] * WARM_UP, 1.0, prompt]  # the first follows nothing, the last but one a second of rest
        clock = accumulate(after)
        monkeypatch.setattr("ninep.transport.busy_poll.monotonic", lambda: next(clock))
        assert [pair.writer.due() for _ in after] == [False] * WARM_UP + [True, False, False]


class TestWrite:
    def test_at_once(self, pair: Pair) -> None:
        pair.writer._begin()
        pair.writer.write(b"one")
        pair.writer.write_all([b"two", b"three"])
        assert pair.theirs.recv(100) == b"onetwothree"
        assert pair.later == []

    def test_by_the_loop_when_it_is_not_polled(self, pair: Pair) -> None:
        pair.writer.write(b"one")
        pair.writer.write_all([b"two"])
        assert pair.later == [b"one", b"two"]

    @pytest.mark.parametrize("several", [False, True])
    def test_what_the_client_does_not_take_goes_through_the_loop_in_order(self, pair: Pair, several: bool) -> None:
        pair.writer._begin()
        reply = bytes(range(256)) * 4096
        if several:
            pair.writer.write_all([reply[:7], reply[7:], b"end"])
        else:
            pair.writer.write(reply)
            pair.writer.write(b"end")
        assert not pair.writer.polling
        left = b"".join(pair.later)
        direct = bytearray()
        while len(direct) < len(reply) + 3 - len(left):
            direct += pair.theirs.recv(1 << 20)
        assert bytes(direct) + left == reply + b"end"

    def test_to_a_client_that_is_gone(self, pair: Pair) -> None:
        pair.theirs.close()
        pair.writer._begin()
        pair.writer.write(b"reply")
        assert not pair.writer.polling
        assert pair.later == [b"reply"]  # the loop finds out


@pytest.mark.parametrize(
    ("sent", "left"), [(0, [b"abc", b"de"]), (2, [b"c", b"de"]), (3, [b"de"]), (4, [b"e"]), (5, [])]
)
def test_rest(sent: int, left: list[bytes]) -> None:
    assert [bytes(buffer) for buffer in rest([b"abc", b"de"], sent)] == left


@contextmanager
def serving(loop: str) -> Iterator[tuple[int, list[SocketWriter]]]:
    """A server that owns its loop: its port, and a list of the connections' writers that have
    polled.
    """
    polled: list[SocketWriter] = []
    ready = threading.Event()
    state: dict[str, object] = {}
    original = SocketWriter.poll

    def poll(self: SocketWriter, *args: object) -> None:
        if self not in polled:
            polled.append(self)
        original(self, *args)  # type: ignore[arg-type]

    async def main() -> None:
        async with Server(MemoryDriver(), owns_loop=True) as server:
            actual = await server.listen(Tcp("127.0.0.1", 0))
            assert isinstance(actual, Tcp)
            stop = asyncio.Event()
            state.update(port=actual.port, stop=lambda: running.call_soon_threadsafe(stop.set))
            running = asyncio.get_running_loop()
            ready.set()
            await stop.wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SocketWriter, "poll", poll)
        thread = threading.Thread(target=lambda: (uvloop.run if loop == "uvloop" else asyncio.run)(main()))
        thread.start()
        try:
            assert ready.wait(TIMEOUT)
            yield int(str(state["port"])), polled
        finally:
            state["stop"]()  # type: ignore[operator]
            thread.join(TIMEOUT)
            assert not thread.is_alive(), "the server does not end"


def connect(port: int) -> RawClient:
    client = RawClient(socket.create_connection(("127.0.0.1", port), TIMEOUT))
    client.version(msize=1 << 20)
    client.attach()
    return client


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
class TestServer:
    def ask(self, client: RawClient, until: list[SocketWriter], count: int = 2000) -> None:
        """Ask promptly until its socket is polled: on a busy machine no single request can be said
        to be in time.
        """
        for _ in range(count):
            assert client.rpc(m.Tgetattr(0, GETATTR_BASIC)).attributes.nlink
            if until:
                return
        pytest.fail(f"no polling after {count} requests")

    def test_everything_is_answered_while_polled_and_afterwards(self, loop: str) -> None:
        with serving(loop) as (port, polled), connect(port) as client:
            self.ask(client, polled)
            client.create(0, 1, b"f", bytes(range(256)) * 1024)
            assert client.read(1, 0, 1 << 18) == bytes(range(256)) * 1024
            client.clunk(0, 1)

    def test_another_client_is_let_in_and_served(self, loop: str) -> None:
        with serving(loop) as (port, polled), connect(port) as client:
            self.ask(client, polled)
            stop = threading.Event()

            def go_on() -> None:
                while not stop.is_set():
                    client.rpc(m.Tgetattr(0, GETATTR_BASIC))

            busy = threading.Thread(target=go_on)
            busy.start()
            try:
                with connect(port) as other:
                    other.create(0, 1, b"g", b"theirs")
                    assert other.read(1) == b"theirs"
            finally:
                stop.set()
                busy.join(TIMEOUT)
            assert not busy.is_alive()

    def test_a_client_that_takes_no_replies_loses_none(self, loop: str) -> None:
        with serving(loop) as (port, polled), connect(port) as client:
            content = bytes(range(256)) * 2048
            client.create(0, 1, b"f", content)
            self.ask(client, polled)
            polled.clear()
            self.ask(client, polled)
            asked = [client.send(m.Tread(1, 0, len(content))) for _ in range(20)]
            for tag in asked:
                reply = client.reply(tag)
                assert isinstance(reply, m.Rread)
                assert bytes(reply.data) == content[: len(reply.data)]
                assert reply.data
