"""The end of a server, whatever its drivers make of it."""

import asyncio
import logging

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.server.exports import Export
from ninep.server.server import Server


class Broken(MemoryDriver):
    """A driver that cannot be closed, nor tidied."""

    def close(self) -> None:
        raise RuntimeError("cannot be closed")

    tidy = close


class Noted(MemoryDriver):
    def __init__(self) -> None:
        super().__init__()
        self.closed = self.tidied = 0

    def close(self) -> None:
        self.closed += 1

    def tidy(self) -> None:
        self.tidied += 1


def test_a_driver_that_cannot_be_closed_keeps_neither_the_others_nor_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = Noted()

    async def main() -> None:
        server = Server([Export("broken", Broken()), Export("other", other)])
        waiting = asyncio.create_task(server.wait())
        await server.close()
        await waiting
        await server.close()

    asyncio.run(main())
    assert other.closed == 1
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "closing the driver of export 'broken' failed"
    assert record.exc_info is not None


def test_a_close_that_is_cancelled_closes_the_drivers() -> None:
    other = Noted()

    async def main() -> None:
        server = Server(other)
        server._idle.clear()  # a connection that does not end
        closing = asyncio.create_task(server.close(grace=3600))
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await server.wait()

    asyncio.run(main())
    assert other.closed == 1


def test_a_driver_that_cannot_be_tidied_does_not_keep_the_others() -> None:
    other = Noted()
    Server([Export("broken", Broken()), Export("other", other)]).exports.tidy()
    assert other.tidied == 1
