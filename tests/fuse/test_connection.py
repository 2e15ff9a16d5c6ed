"""A kernel's connection in the event loop: threads, the shares of time and memory, locks that are waited
for, the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from tests.support import worker_threads
from tests.support.client import TIMEOUT
from tests.support.fuse_kernel import OFFERED, ROOT, entry_of
from tests.support.served import LAYERS

from ninep.drivers.memory import MemoryDriver
from ninep.fuse.connection import FuseConnection
from ninep.fuse.dispatcher import LATER, MAX_WAITING, NEVER
from ninep.linux import LOCK_UNLCK, LOCK_WRLCK
from ninep.node import Driver, serve_in_this_thread
from ninep.server.budgets import Budgets
from ninep.server.context import Context
from ninep.server.exports import Export, Exports
from ninep.server.flow import Reason
from ninep.server.limits import Limits
from ninep.server.observer import Observer
from ninep.server.slices import Slices
from ninep.testing.audit import Audit
from ninep.testing.faults import Faults
from ninep.transport.fuse import DEFAULT
from ninep.transport.peers import Peer
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Opcode
from ninep.wire.types import Buffer


class Link:
    """A transport, and the kernel at its other end."""

    def __init__(
        self,
        kind: str = "fast",
        *,
        limits: Limits | None = None,
        slices: Slices | None = None,
        observer: Observer | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.faults, self.audit = Faults(), Audit()
        export = Export("", driver or MemoryDriver(clock=lambda: 0), [self.audit, self.faults, LAYERS[kind]])
        self.workers = worker_threads.started(8, "fuse-worker")
        self.context = Context(
            exports=Exports([export]),
            workers=self.workers,
            budgets=Budgets(limits or Limits()),
            slices=slices or Slices(),
            observe=lambda: observer,
        )
        self.replies: dict[int, bytes] = {}
        self.came = asyncio.Event()
        self.paused = self.closed = False
        self.ended = asyncio.Event()
        self.waiting: list[bytes] = []
        self.unique = 0
        self.connection = FuseConnection(
            self,
            context=self.context,
            export=export,
            options=DEFAULT,
            on_begin=lambda _: None,
            on_end=lambda _: self.ended.set(),
        )
        self.connection.made(Peer("a kernel"))

    # -- as a transport

    def write(self, buffer: Buffer) -> None:
        self.write_all([buffer])

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        whole = b"".join(buffers)
        self.replies[codec.unpack_out_header(whole)[2]] = whole
        self.came.set()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        while self.waiting and not self.paused:
            self.connection.message(self.waiting.pop(0))

    def close(self) -> None:
        self.closed = True
        asyncio.get_running_loop().call_soon(self.connection.lost)

    abort = close

    # -- as a kernel

    def send(self, opcode: Opcode, nodeid: int, *fields: Any) -> int:
        self.unique += 2
        frame = codec.pack_request(opcode, self.unique, nodeid, *fields)
        if self.paused:
            self.waiting.append(frame)
        else:
            assert self.connection.message(frame) in {LATER, NEVER}
        return self.unique

    def place(self, opcode: Opcode, nodeid: int, *fields: Any) -> int:
        """Send a request with a place for its reply, as on a ring; the bytes that it has there."""
        self.unique += 2
        room = (memoryview(bytearray(16)), memoryview(bytearray(4096)))
        return self.connection.message(codec.pack_request(opcode, self.unique, nodeid, *fields), room=room)

    async def reply(self, unique: int) -> bytes:
        async with asyncio.timeout(TIMEOUT):
            while unique not in self.replies:
                self.came.clear()
                await self.came.wait()
        whole = self.replies.pop(unique)
        assert not codec.unpack_out_header(whole)[1], whole
        return whole[16:]

    async def ask(self, opcode: Opcode, nodeid: int, *fields: Any) -> bytes:
        return await self.reply(self.send(opcode, nodeid, *fields))

    async def init(self) -> None:
        await self.ask(Opcode.INIT, 0, 7, f.MINOR, 0, OFFERED & 0xFFFFFFFF, bytes(48))

    async def create(self, name: bytes = b"f") -> tuple[int, int]:
        made = entry_of(await self.ask(Opcode.CREATE, ROOT, 0o102, 0o100644, 0, 0, name))
        return made.nodeid, made.fh

    async def end(self) -> None:
        """The kernel hangs up: everything is given back."""
        self.connection.lost()
        async with asyncio.timeout(TIMEOUT):
            await self.ended.wait()
        self.audit.check()
        budgets = self.context.budgets
        assert budgets.fids.left == self.context.limits.all_fids
        assert budgets.bytes_in_flight.left == self.context.limits.all_bytes_in_flight


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In an event loop that serves."""

    async def serving() -> None:
        serve_in_this_thread(1)
        try:
            await main()
        finally:
            serve_in_this_thread(-1)

    asyncio.run(serving())


@pytest.mark.parametrize("kind", ["fast", "waits", "misses"])
def test_requests_are_answered(kind: str) -> None:
    async def main() -> None:
        link = Link(kind)
        await link.init()
        node, fh = await link.create()
        await link.ask(Opcode.WRITE, node, fh, 0, 4, 0, 0, 0, 0, b"data")
        assert await link.ask(Opcode.READ, node, fh, 0, 10, 0, 0, 0, 0) == b"data"
        assert link.connection.progress is not None
        await link.end()

    run(main)


def test_a_request_in_a_thread_keeps_no_other() -> None:
    async def main() -> None:
        link = Link()
        await link.init()
        node, fh = await link.create()
        hold = link.faults.hold("file.fsync")
        waiting = link.send(Opcode.FSYNC, node, fh, 0, 0)
        await asyncio.to_thread(hold.reached.wait)
        assert link.connection.in_threads == link.connection.in_flight == 1
        assert link.connection.progress is None
        await link.ask(Opcode.GETATTR, node, 0, 0, 0)
        assert waiting not in link.replies
        hold.go.set()
        assert await link.reply(waiting) == b""
        await link.end()

    run(main)


def test_no_more_threads_than_a_connection_may_have() -> None:
    async def main() -> None:
        link = Link("waits", limits=Limits(threads=2))
        await link.init()
        holds = [link.faults.hold("getattr", at=number) for number in (1, 2)]
        sent = [link.send(Opcode.GETATTR, ROOT, 0, 0, 0) for _ in range(5)]
        for hold in holds:
            await asyncio.to_thread(hold.reached.wait)
        assert link.connection.in_threads == 2
        for hold in holds:
            hold.go.set()
        for unique in sent:
            await link.reply(unique)
        await link.end()

    run(main)


def test_nothing_is_taken_while_too_much_is_in_flight() -> None:
    async def main() -> None:
        link = Link("waits", limits=Limits(in_flight=4, threads=4))
        await link.init()
        holds = [link.faults.hold("getattr", at=number) for number in (1, 2, 3, 4)]
        sent = [link.send(Opcode.GETATTR, ROOT, 0, 0, 0) for _ in range(10)]
        for hold in holds:
            await asyncio.to_thread(hold.reached.wait)
        assert link.paused
        assert link.connection.in_flight == 4
        for hold in holds:
            hold.go.set()
        for unique in sent:
            await link.reply(unique)
        assert not link.paused
        await link.end()

    run(main)


def test_a_slice_of_time_ends_between_two_requests() -> None:
    async def main() -> None:
        link = Link(slices=Slices(0.0002))
        await link.init()
        sent = [link.send(Opcode.GETATTR, ROOT, 0, 0, 0) for _ in range(500)]
        assert link.waiting, "others have their turn"
        for unique in sent:
            await link.reply(unique)
        await link.end()

    run(main)


def test_many_node_ids_are_forgotten_some_at_a_time() -> None:
    async def main() -> None:
        link = Link()
        await link.init()
        made = [entry_of(await link.ask(Opcode.MKDIR, ROOT, 0o755, 0, b"%d" % number)) for number in range(1000)]
        pairs = [(one.nodeid, 1) for one in made]
        link.send(Opcode.BATCH_FORGET, 0, len(pairs), 0, codec.pack_forgets(pairs))
        assert link.paused
        assert len(link.connection.session.nodes) > 700
        await link.ask(Opcode.GETATTR, ROOT, 0, 0, 0)
        assert list(link.connection.session.nodes) == [ROOT]
        await link.end()

    run(main)


def test_those_of_a_slow_driver_in_a_thread() -> None:
    async def main() -> None:
        link = Link("waits")
        await link.init()
        made = entry_of(await link.ask(Opcode.MKDIR, ROOT, 0o755, 0, b"d"))
        here: list[str] = []
        session = link.connection.session
        forget = session.forget

        def noted(nodeid: int, lookups: int) -> None:
            here.append(threading.current_thread().name)
            forget(nodeid, lookups)

        session.forget = noted  # type: ignore[method-assign]
        link.send(Opcode.FORGET, made.nodeid, 1)
        async with asyncio.timeout(TIMEOUT):
            while list(session.nodes) != [ROOT]:
                await link.ask(Opcode.GETATTR, ROOT, 0, 0, 0)
        assert here[0].startswith("fuse-worker")
        await link.end()

    run(main)


def test_a_lock_is_waited_for_by_the_clock() -> None:
    async def main() -> None:
        link = Link()
        await link.init()
        node, one = await link.create()
        two = int.from_bytes((await link.ask(Opcode.OPEN, node, 2, 0))[:8], "little")
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_WRLCK, 1, 0, 0)
        waiting = link.send(Opcode.SETLKW, node, two, 2, 0, 9, LOCK_WRLCK, 1, 0, 0)
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_UNLCK, 1, 0, 0)
        assert await link.reply(waiting) == b""
        await link.end()

    run(main)


def test_an_unlock_answers_who_waits_without_a_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many processes hand a lock on, each when the one before it has ended."""
    monkeypatch.setattr("ninep.fuse.connection.FIRST_RETRY", 3600.0)

    async def main() -> None:
        link = Link()
        await link.init()
        node, one = await link.create()
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_WRLCK, 1, 0, 0)
        waiting = [link.send(Opcode.SETLKW, node, one, owner, 0, 9, LOCK_WRLCK, 1, 0, 0) for owner in range(2, 12)]
        for owner, unique in enumerate(waiting, 1):
            await link.ask(Opcode.SETLK, node, one, owner, 0, 9, LOCK_UNLCK, 1, 0, 0)
            assert await link.reply(unique) == b""
        await link.end()

    run(main)


def test_requests_that_wait_for_locks_keep_no_other_out() -> None:
    async def main() -> None:
        link = Link(limits=Limits(in_flight=4))
        await link.init()
        node, one = await link.create()
        two = int.from_bytes((await link.ask(Opcode.OPEN, node, 2, 0))[:8], "little")
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_WRLCK, 1, 0, 0)
        waiting = [link.send(Opcode.SETLKW, node, two, 2, 0, 9, LOCK_WRLCK, 1, 0, 0) for _ in range(MAX_WAITING)]
        assert Reason.IN_FLIGHT not in link.connection._flow.reasons
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_UNLCK, 1, 0, 0)
        for unique in waiting:
            assert await link.reply(unique) == b""
        await link.end()

    run(main)


def test_the_end_of_the_server_does_not_wait_for_locks() -> None:
    async def main() -> None:
        link = Link()
        await link.init()
        node, one = await link.create()
        two = int.from_bytes((await link.ask(Opcode.OPEN, node, 2, 0))[:8], "little")
        await link.ask(Opcode.SETLK, node, one, 1, 0, 9, LOCK_WRLCK, 1, 0, 0)
        link.send(Opcode.SETLKW, node, two, 2, 0, 9, LOCK_WRLCK, 1, 0, 0)
        link.connection.stop()
        assert link.closed
        async with asyncio.timeout(TIMEOUT):
            await link.ended.wait()
        link.audit.check()

    run(main)


def test_the_end_of_the_server_waits_for_threads() -> None:
    async def main() -> None:
        link = Link()
        await link.init()
        node, fh = await link.create()
        hold = link.faults.hold("file.fsync")
        waiting = link.send(Opcode.FSYNC, node, fh, 0, 0)
        await asyncio.to_thread(hold.reached.wait)
        link.connection.stop()
        assert not link.closed
        hold.go.set()
        await link.reply(waiting)
        async with asyncio.timeout(TIMEOUT):
            await link.ended.wait()
        assert link.closed
        link.audit.check()

    run(main)


@pytest.mark.parametrize("kind", ["fast", "waits"])
def test_a_kernel_that_hangs_up_leaves_nothing(kind: str) -> None:
    async def main() -> None:
        link = Link(kind)
        await link.init()
        for number in range(600):
            await link.create(b"%d" % number)
        await link.ask(Opcode.OPENDIR, ROOT, 0, 0)
        hold = link.faults.hold("file.fsync")
        link.send(Opcode.FSYNC, ROOT, 5, 0, 0)
        await asyncio.to_thread(hold.reached.wait)
        link.connection.lost()
        assert not link.ended.is_set()
        hold.go.set()
        await link.end()

    run(main)


def test_a_file_system_is_mounted_again() -> None:
    async def main() -> None:
        link = Link()
        for _ in range(3):
            await link.init()
            await link.create(b"f%d" % link.unique)
            await link.ask(Opcode.DESTROY, 0)
        await link.end()

    run(main)
