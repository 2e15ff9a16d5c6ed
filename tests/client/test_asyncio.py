"""Features of the asyncio client alone: many tasks, cancellation, streams."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.client.fake import ROOT, FakeServer
from tests.support.client import TIMEOUT

import ninep
from ninep.client import aio
from ninep.wire.messages import (
    Rflush,
    Rgetattr,
    Rlopen,
    Rread,
    Rwalk,
    Tclunk,
    Tflush,
    Tgetattr,
    Tlopen,
    Tread,
    Twalk,
)
from ninep.wire.types import Attributes, Qid

FILE = Qid(0, 1, 5)


def test_connect_can_be_awaited_or_entered(memory):
    async def main():
        async with aio.connect(memory.socket()) as client:
            await client.write_bytes("file", b"1")
        client = await ninep.aconnect(memory.socket())
        assert await client.read_bytes("file") == b"1"
        await client.close()

    asyncio.run(main())


def test_on_uvloop(memory):
    uvloop = pytest.importorskip("uvloop", reason="uvloop is for POSIX hosts")

    async def main():
        async with aio.connect(f"127.0.0.1:{memory.port()}", timeout=TIMEOUT) as client:
            await client.write_bytes("file", bytes(3_000_000))
            assert await client.read_bytes("file") == bytes(3_000_000)
        with pytest.raises(ConnectionError):
            await client.stat("file")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_many_tasks_share_a_connection(memory):
    async def main():
        async with aio.connect(memory.socket()) as client:

            async def one(n):
                await client.write_bytes(f"file{n}", b"%d" % n * 1000)
                return await client.read_bytes(f"file{n}")

            results = await asyncio.gather(*(one(n) for n in range(300)))
            assert results == [b"%d" % n * 1000 for n in range(300)]
            assert len(await client.listdir()) == 300
            assert len(client.connection.exchange.calls) <= 64

    asyncio.run(main())


def test_over_streams(memory):
    async def main():
        reader, writer = await asyncio.open_connection(sock=memory.socket())
        connection = await aio.AsyncConnection.over_streams(reader, writer, timeout=TIMEOUT)
        async with await aio.attach(connection) as client:
            await client.write_bytes("file", bytes(300_000))
            assert await client.read_bytes("file") == bytes(300_000)
        assert connection.closed

    asyncio.run(main())


def test_over_streams_that_end(memory):
    async def main():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        connection = await aio.AsyncConnection.over_streams(reader, writer, timeout=TIMEOUT)
        theirs.close()
        with pytest.raises(ConnectionResetError):
            await aio.attach(connection)
        await connection.close()

    asyncio.run(main())


def run(rules, body):
    async def main(server):
        async with aio.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client:
            await body(client)

    with FakeServer(rules) as server:
        asyncio.run(main(server))
        return server


async def until(condition):
    async with asyncio.timeout(TIMEOUT):
        while not condition():  # noqa: ASYNC110 - the client has no event for this
            await asyncio.sleep(0.001)


def test_a_cancelled_task_flushes_its_request():
    seen = []

    async def body(client):
        task = asyncio.create_task(client.stat("x"))
        await until(
            lambda: (
                client.connection.exchange.calls
                and any(isinstance(c.request, Tgetattr) for c in client.connection.exchange.calls.values())
            )
        )
        [call] = [c for c in client.connection.exchange.calls.values() if isinstance(c.request, Tgetattr)]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert call.tag in client.connection.exchange.calls  # not reused before the Rflush
        await until(lambda: not client.connection.exchange.calls)
        assert call.reply is None
        seen.append(call.tag)
        assert client.connection.exchange.fids.in_use == 1

    server = run({Twalk: Rwalk([FILE]), Tgetattr: None}, body)
    assert server.asked(Tflush) == [Tflush(seen[0])]


def test_a_cancelled_walk_that_was_done_is_clunked():
    async def body(client):
        task = asyncio.create_task(client.stat("x"))
        await until(lambda: client.connection.exchange.calls)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not client.connection.exchange.calls)
        assert client.connection.exchange.fids.in_use == 1

    def flush(t):
        server.say(Rwalk([FILE]), tag=t.oldtag)
        return Rflush()

    server = FakeServer({Twalk: None, Tflush: flush})

    async def main():
        async with aio.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client:
            await body(client)

    with server:
        asyncio.run(main())
    [walk] = server.asked(Twalk)
    assert Tclunk(walk.newfid) in server.seen


def test_a_cancelled_read_flushes_all_its_requests():
    async def body(client):
        file = await client.open("x")
        task = asyncio.create_task(file.pread(1_000_000, 0))
        await until(lambda: len(client.connection.exchange.calls) > 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not client.connection.exchange.calls)
        await file.close()

    server = run({Twalk: Rwalk([FILE]), Tlopen: Rlopen(FILE, 4096), Tread: None}, body)
    assert len(server.asked(Tflush)) == len(server.asked(Tread)) > 3


def test_a_break_in_the_protocol_reaches_every_task():
    async def body(client):
        results = await asyncio.gather(*(client.stat(f"{n}") for n in range(10)), return_exceptions=True)
        assert {type(result) for result in results} == {ninep.ProtocolError}
        assert client.connection.closed

    run({Twalk: Rwalk([FILE]), Tgetattr: Rread(b"")}, body)


def test_more_requests_than_may_be_in_flight_wait():
    async def body(client):
        tasks = [asyncio.create_task(client.stat("/")) for n in range(100)]
        await until(lambda: len(client.connection.exchange.calls) == 64)
        tasks[99].cancel()
        tasks[0].cancel()
        await until(lambda: tasks[0].done() and tasks[99].done())
        answers = asyncio.gather(*tasks[1:99])
        while not answers.done():
            while held:
                server.say(Rgetattr(Attributes(mode=0o040755)), tag=held.pop())
            await asyncio.sleep(0)
        assert all(found.is_dir() for found in await answers)

    held = []

    def hold(request):
        """Answered later, by its tag."""
        held.append(server.tag)

    def flush(request):
        """It is not answered."""
        held.remove(request.oldtag)
        return Rflush()

    server = FakeServer({Twalk: Rwalk([ROOT]), Tgetattr: hold, Tflush: flush})

    async def main():
        async with aio.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT) as client:
            await body(client)

    with server:
        asyncio.run(main())
