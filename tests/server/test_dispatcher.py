"""The short ways of the request loop and the dispatcher alone: the same frames get the same replies
and leave the same session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.conversations import AtOnce, Sink, by_dispatcher, exports_of, frames_of, replies, state

from ninep.protocol.framing import RawFrame
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.observer import Observed, Observer
from ninep.server.transport import GONE


class Looks(Observer):
    """Does nothing, but that it is there turns the shortest way off."""

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        del connection
        yield from frames


def by_connection(
    kind: str, frames: list[bytes], together: int, observer: Observer | None = None
) -> tuple[dict[int, bytes], object]:
    """``together`` frames arrive at a time."""

    async def main() -> tuple[dict[int, bytes], object]:
        sink = Sink()
        context = Context(exports=exports_of(kind), workers=AtOnce(), observe=lambda: observer)
        connection = Connection(sink, context=context, on_begin=lambda _: None, on_end=lambda _: None)
        for at in range(0, len(frames), together):
            piece = b"".join(frames[at : at + together])
            connection.space(len(piece))[: len(piece)] = piece
            connection.received(len(piece))
            while connection.in_flight or connection._flow.paused:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0)  # what waits goes on in the loop by itself
        return replies(sink.written), state(connection.session)

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["fast", "misses", "waits"])
@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
@given(data=st.data())
def test_all_ways_do_the_same(dialect: bytes, kind: str, data: st.DataObject) -> None:
    frames = data.draw(frames_of(dialect))
    general = by_dispatcher(kind, frames)
    assert by_connection(kind, frames, 1) == general
    assert by_connection(kind, frames, 1, Looks()) == general
    for together in (len(frames), 3):
        found = by_connection(kind, frames, together)
        if kind == "fast":
            assert found == general
        else:
            # Requests in threads are passed by those after them, and may see what those did: that
            # is what tags are for. Each is answered all the same.
            assert found[0].keys() == general[0].keys()


def test_a_connection_that_is_lost_keeps_nothing() -> None:
    async def main() -> None:
        ended: list[Connection] = []
        context = Context(exports=exports_of("fast"), workers=AtOnce())
        connection = Connection(GONE, context=context, on_begin=lambda _: None, on_end=ended.append)
        connection.lost()
        assert ended == [connection]
        assert not connection.in_flight

    asyncio.run(main())
