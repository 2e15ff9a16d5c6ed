"""Bytes of connections, counted only while they are asked for."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.client import TIMEOUT

from ninep.server import traffic
from ninep.server.observer import Observer
from ninep.server.traffic import Traffic, TrafficCounters


class Watched:
    """A connection that remembers who looks on."""

    def __init__(self) -> None:
        self.observer: Observer | None = None

    def watch(self, observer: Observer | None) -> None:
        self.observer = observer


def test_all_that_comes_and_goes_is_counted() -> None:
    one = Traffic()
    one.received(100)
    one.placed(116, 23, 4107)
    one.replies(None, [b"head", b"payload"])  # type: ignore[arg-type]
    assert (one.received_bytes, one.sent_bytes) == (123, 4118)


def test_counting_begins_with_a_request_and_ends() -> None:
    async def ask() -> None:
        connection, later = Watched(), Watched()
        connections = [connection]
        counters = TrafficCounters(lambda: connections)
        assert counters.of(connection) is None
        counters.request()
        found = counters.of(connection)
        assert found is not None
        assert connection.observer is found
        connections.append(later)
        counters.request()
        assert counters.of(connection) is found  # it goes on from where it was
        assert later.observer is counters.of(later)
        counters.forget(later)
        assert counters.of(later) is None
        counters.end()
        assert connection.observer is None
        assert counters.of(connection) is None

    asyncio.run(ask())


def test_it_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "COUNTS_FOR", 0.0)

    async def ask() -> None:
        ended = asyncio.Event()

        class Connection(Watched):
            def watch(self, observer: Observer | None) -> None:
                if observer is None:
                    ended.set()

        connection = Connection()
        TrafficCounters(lambda: [connection]).request()
        await asyncio.wait_for(ended.wait(), TIMEOUT)

    asyncio.run(ask())
