"""Requests served in place while others are in flight, and what a connection counts of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.server.test_in_place import (
    DATA,
    GETATTR,
    VERSION,
    Guest,
    error,
    frame_of,
    in_a_loop,
    read,
    wrote,
)
from tests.support.conversations import (
    replies,
)
from tests.support.worker_threads import started

from ninep.drivers.memory import MemoryDriver
from ninep.linux import Errno
from ninep.server import connection as connection_module
from ninep.server import slices as slices_module
from ninep.server.budgets import Budgets
from ninep.server.counters import Counters
from ninep.server.flow import Reason
from ninep.server.instrumented import CountingObserver
from ninep.server.limits import Limits
from ninep.server.observer import Observer
from ninep.server.slices import SLICE, Slices
from ninep.server.trace import TracingObserver
from ninep.testing.faults import Faults
from ninep.wire import messages as m


class Held(Guest):
    """An fsync of fid 1 is in a thread, with tag 5."""

    def __init__(self, **context: Any) -> None:
        self.faults = Faults()
        super().__init__(self.faults, workers=started(4), **context)
        self.begin(b"content")
        self.hold = self.faults.hold("file.fsync")
        assert self.ask(m.Tfsync(1, 0), 5) == (b"", b"")

    async def go(self) -> None:
        """It ends."""
        self.hold.go.set()
        await self.settle()


@in_a_loop
async def test_what_conflicts_with_nothing_passes() -> None:
    guest = Held()
    assert guest.ask(m.Tread(1, 0, 100)) == (read(b"content"), b"")
    assert guest.ask(m.Twrite(1, 0, b"C"), data=[]) == (wrote(1), b"")
    assert guest.ask(GETATTR)[0][4] == m.Rgetattr.number
    assert guest.connection.in_flight == 1
    await guest.go()
    assert guest.sink.written.endswith(frame_of(m.Rfsync(), 5))


@in_a_loop
async def test_a_tag_in_flight_is_refused() -> None:
    guest = Held()
    assert guest.ask(m.Tread(1, 0, 100), 5) == (error(Errno.EINVAL, 5), b"")
    assert guest.ask(m.Twrite(1, 0, b"xx"), 5, data=[]) == (error(Errno.EINVAL, 5), b"")
    assert guest.ask(GETATTR, 5) == (error(Errno.EINVAL, 5), b"")
    await guest.go()
    assert guest.ask(m.Tread(1, 0, 100), 5) == (read(b"content", 5), b"")


@in_a_loop
async def test_what_conflicts_waits_with_a_copy_of_its_data() -> None:
    guest = Held()
    assert guest.ask(m.Tclunk(1), 6) == (b"", b"")
    assert guest.ask(m.Twrite(1, 0, DATA[:5000]), 7, data=[100]) == (b"", b"")
    assert guest.ask(m.Tread(1, 0, 100), 8) == (b"", b"")
    assert guest.ask(m.Tflush(7), 9) == (b"", frame_of(m.Rflush(), 9))
    await guest.go()
    last = replies(guest.sink.written[-100:][guest.sink.written[-100:].index(frame_of(m.Rfsync(), 5)) :])
    assert last == {5: frame_of(m.Rfsync(), 5), 6: frame_of(m.Rclunk(), 6), 8: error(Errno.EBADF, 8)}


@in_a_loop
async def test_a_new_version_forgets_what_is_in_flight() -> None:
    guest = Held()
    assert guest.ask(VERSION) == (b"", frame_of(m.Rversion(65536, b"9P2000.L")))
    before = len(guest.sink.written)
    guest.hold.go.set()
    while guest.connection.in_threads:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.001)
    assert guest.sink.written[before:] == b""
    assert guest.ask(m.Tread(1, 0, 100)) == (error(Errno.EBADF), b"")


@in_a_loop
async def test_no_more_come_than_may_be_in_flight() -> None:
    guest = Held(budgets=Budgets(Limits(in_flight=2)))
    assert guest.pauses == 0
    guest.ask(m.Tclunk(1), 6)
    assert guest.connection._flow.reasons == {Reason.IN_FLIGHT}
    assert guest.pauses == 1
    await guest.go()
    assert not guest.connection._flow.paused


class Clock:
    """Each look at it takes ``step`` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.step = 100.0, 0.0
        for module in (connection_module, slices_module):
            monkeypatch.setattr(module, "monotonic", self)

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.parametrize("message", [m.Tread(1, 0, 100), GETATTR, m.Tread(9, 0, 1)], ids=str)
@pytest.mark.parametrize("observer", [None, Observer()], ids=["in place", "sent"])
def test_messages_share_a_slice(monkeypatch: pytest.MonkeyPatch, message: m.Message, observer: Observer | None) -> None:
    """However short each is."""

    async def main() -> None:
        clock = Clock(monkeypatch)
        guest = Guest(observe=lambda: observer, slices=Slices()).begin(b"content")
        clock.step = 0.00001
        while not guest.connection._flow.paused:
            guest.ask(message)
            assert clock.now < 100 + 3 * SLICE
        assert clock.now > 100 + SLICE / 2
        assert guest.connection._flow.reasons == {Reason.SLICE}
        assert guest.pauses == 1
        await asyncio.sleep(0)
        assert not guest.connection._flow.paused

    asyncio.run(main())


@in_a_loop
async def test_progress_is_seen() -> None:
    guest = Held()
    assert guest.connection.progress is None
    await guest.go()
    seen = [guest.connection.progress]
    for message in (m.Tread(1, 0, 10), GETATTR, m.Tread(9, 0, 1)):
        guest.ask(message)
        seen.append(guest.connection.progress)
    assert None not in seen
    assert len(set(seen)) == 4


def test_storage_that_turns_out_slow_is_asked_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        guest = Guest(workers=started(1)).begin(b"content")
        clock = Clock(monkeypatch)
        clock.step = 2.0
        assert guest.ask(m.Tread(1, 0, 100)) == (read(b"content"), b"")
        clock.step = 0
        assert guest.connection.slow
        await asyncio.sleep(0)
        assert guest.ask(m.Tread(1, 0, 100)) == (b"", b"")
        await guest.settle()
        assert guest.sink.written.endswith(read(b"content"))

    monkeypatch.setattr(MemoryDriver, "threadsafe", True)
    asyncio.run(main())


def test_a_trace_has_whole_messages(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ninep.trace")

    async def main() -> None:
        guest = Guest(observe=TracingObserver).begin()
        assert guest.ask(m.Twrite(1, 0, b"some data"), data=[3]) == (b"", wrote(9))
        assert guest.ask(m.Tread(1, 5, 4)) == (b"", read(b"data"))

    asyncio.run(main())
    lines = [record.getMessage().split(" ", 2)[2] for record in caplog.records[-4:]]
    assert lines == [
        "1 " + repr(m.Twrite(1, 0, b"some data")),
        "1 " + repr(m.Rwrite(9)),
        "1 " + repr(m.Tread(1, 5, 4)),
        "1 " + repr(m.Rread(b"data")),
    ]


@in_a_loop
async def test_what_is_served_in_place_is_counted() -> None:
    counters = Counters()
    guest = Guest(observe=lambda: CountingObserver(counters)).begin(b"content")
    received, sent, batches = counters.received, counters.sent, sum(counters.batches.classes)
    guest.ask(m.Twrite(1, 0, DATA[:5000]), data=[])
    guest.ask(m.Tread(1, 0, 5000))
    guest.ask(GETATTR, total=20)  # is sent
    assert counters.received - received == 23 + 5000 + 23 + 19
    assert counters.sent - sent == 11 + 11 + 5000 + len(frame_of(m.Rwrite(0))) - 11 + 160
    assert sum(counters.batches.classes) - batches == 3
    assert (counters.requests[m.Tread.number], counters.requests[m.Twrite.number]) == (1, 2)
