"""The end of a server, whatever its drivers make of it."""

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from tests.support.client import TIMEOUT, RawClient, refused

from ninep.drivers.memory import MemoryDriver
from ninep.linux import Errno
from ninep.node import User
from ninep.server.access import Access
from ninep.server.exports import Export
from ninep.server.limits import Limits
from ninep.server.server import Server
from ninep.transport import Address, addresses
from ninep.wire import messages as m
from ninep.wire.messages import NOFID


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


class Slow(Noted):
    """A driver whose root is found while somebody removes the export."""

    def __init__(self) -> None:
        super().__init__()
        self.found, self.go_on = threading.Event(), threading.Event()

    @property
    def inline(self) -> bool:
        return False

    def attach(self, user: User) -> Any:
        self.found.set()
        assert self.go_on.wait(TIMEOUT)
        return super().attach(user)


def change(server: Server, *exports: Export) -> Coroutine[Any, Any, list[Address]]:
    return server.change(exports, server.limits, Access())


def test_an_export_that_is_removed_is_closed_when_its_last_client_has_ended() -> None:
    driver, other = Noted(), Export("other", Noted())

    async def main() -> None:
        async with Server([Export("one", driver), other]) as server:
            ours, theirs = socket.socketpair()
            await server.adopt(theirs)
            with RawClient(ours) as client:
                await asyncio.to_thread(client.version)
                await asyncio.to_thread(client.attach, 0, b"one")
                await change(server, other)
                assert driver.closed == 0
                assert await asyncio.to_thread(client.ended)
            await server.wait_idle()
            assert driver.closed == 1
            assert other.driver.closed == 0  # type: ignore[attr-defined] # noted
        assert driver.closed == 1

    asyncio.run(main())


def test_no_client_attaches_what_is_removed_meanwhile() -> None:
    driver, other = Slow(), Export("other", Noted())
    slow = Export("slow", driver, inline=False)

    async def main() -> None:
        async with Server([slow, other]) as server:
            ours, theirs = socket.socketpair()
            await server.adopt(theirs)
            with RawClient(ours) as client:
                await asyncio.to_thread(client.version)
                tag = client.send(m.Tattach(0, NOFID, b"", b"slow", 0))
                await asyncio.to_thread(driver.found.wait, TIMEOUT)
                await change(server, other)
                driver.go_on.set()
                with refused(Errno.ENOENT):
                    await asyncio.to_thread(client.reply, tag)
                await asyncio.to_thread(client.attach, 0, b"other")

    asyncio.run(main())
    assert driver.closed == 1


def test_an_address_that_cannot_be_listened_at_changes_nothing() -> None:
    driver, new = Noted(), Noted()

    async def main() -> None:
        async with Server([Export("one", driver)]) as server:
            taken = await server.listen("127.0.0.1:0")
            with pytest.raises(OSError, match="in use"):
                await server.change(
                    [Export("new", new)],
                    Limits(connections=1),
                    Access(),
                    [addresses.parse("127.0.0.1:0"), taken],
                )
            assert [one.name for one in server.exports] == ["one"]
            assert server.limits == Limits()
            assert len(server._listeners) == 1
            assert (driver.closed, new.closed) == (0, 1)

    asyncio.run(main())


LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
with suppress(ImportError):  # not on every system
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("iterations", range(6))
def test_who_was_accepted_just_before_a_drain_is_served(loop: str, iterations: int) -> None:
    """Another process listens at the same socket: it has who was not accepted, and this one all others,
    in whatever iteration of the event loop the drain comes.
    """

    async def main() -> None:
        async with Server([Export("", MemoryDriver())]) as server:
            await server.listen("127.0.0.1:0")
            (listening,) = server.listeners[0].sockets
            with listening.dup() as others, socket.create_connection(listening.getsockname(), TIMEOUT) as sock:
                for _ in range(iterations):
                    await asyncio.sleep(0)
                server.drain(leave=True)
                idle = asyncio.create_task(server.wait_idle())
                try:
                    taken = others.accept()[0]
                except BlockingIOError:
                    client = RawClient(sock)
                    await asyncio.to_thread(client.version)
                    assert not idle.done()
                else:
                    taken.close()
                sock.close()
                async with asyncio.timeout(TIMEOUT):
                    await idle

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
