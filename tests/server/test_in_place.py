"""Messages of a transport that has a place for each reply."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.served import LAYERS

from ninep.drivers.memory import MemoryDriver
from ninep.protocol.framing import BadFrame
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.exports import Export, Exports
from ninep.server.limits import Limits
from ninep.server.offload import Offload
from ninep.wire.types import Buffer

VERSION = b"\x15\0\0\0\x64\xff\xff\0\x20\0\0\x08\x009P2000.L"
BEYOND = Limits().msize + 1


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, buffer: Buffer) -> None:
        self.written.append(bytes(buffer))

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        self.written += map(bytes, buffers)

    def pause(self) -> None:
        """Nothing is read here."""

    resume = close = abort = pause


def connect() -> tuple[Connection, Sink]:
    sink = Sink()
    context = Context(
        exports=Exports([Export("", MemoryDriver(clock=lambda: 0), [LAYERS["fast"]])]), workers=Offload(1, "worker")
    )
    return Connection(sink, context=context, on_begin=lambda _: None, on_end=lambda _: None), sink


def test_a_message_is_answered() -> None:
    async def main() -> None:
        connection, sink = connect()
        assert connection.message(VERSION, None, [memoryview(bytearray(100))]) == 0
        assert sink.written == [b"\x15\0\0\0\x65\xff\xff\0\x20\0\0\x08\x009P2000.L"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("frame", "payload"),
    [
        (b"", None),
        (VERSION[:6], None),
        (VERSION[:-1], None),
        (VERSION + b"\0", None),
        (b"\x14" + VERSION[1:], None),
        (VERSION, [memoryview(b"x")]),
        (BEYOND.to_bytes(4, "little") + b"\x64\xff\xff" + bytes(BEYOND - 7), None),
    ],
)
def test_a_size_that_is_not_that_of_the_message_ends_it(frame: bytes, payload: list[memoryview] | None) -> None:
    async def main() -> None:
        connection, sink = connect()
        with pytest.raises(BadFrame):
            connection.message(frame, payload, [memoryview(bytearray(100))])
        assert sink.written == []

    asyncio.run(main())
