"""Mounts of throttled exports, on a clock that the tests set: they get the rate that is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import pytest
from tests.fuse.test_connection import Link
from tests.support.clock import SettableLoop
from tests.support.fuse_kernel import ROOT

from ninep.fuse.table import ROWS
from ninep.fuse.throttling import CHANGES, SIZE_AT, UNCOUNTED, WITH_DATA
from ninep.node import serve_in_this_thread
from ninep.server.flow import Reason
from ninep.server.shares import Shares
from ninep.server.slices import Slices
from ninep.server.throttle import Rates, parse_limit
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Opcode

BLOCK = 1024


class Mount(Link):
    """A kernel that has a file of one block open."""

    def __init__(self, kind: str = "fast") -> None:
        super().__init__(kind, slices=Slices(inf))
        self.shares = Shares(self.context.exports)
        self.node = self.fh = 0

    async def opened(self, limits: str, scope: str = "export") -> Mount:
        await self.init()
        self.node, self.fh = await self.create()
        await self.ask(Opcode.WRITE, self.node, self.fh, 0, BLOCK, 0, 0, 0, 0, bytes(BLOCK))
        self.limit(limits, scope)
        return self

    def limit(self, limits: str, scope: str = "export") -> None:
        """As a reload does."""
        (export,) = self.context.exports
        export.throttle.change(Rates(**{scope: tuple(map(parse_limit, limits.split()))}))
        self.shares.changed([self.connection])

    def read(self, size: int = BLOCK) -> int:
        return self.send(Opcode.READ, self.node, self.fh, 0, size, 0, 0, 0, 0)

    def write(self) -> int:
        return self.send(Opcode.WRITE, self.node, self.fh, 0, BLOCK, 0, 0, 0, 0, bytes(BLOCK))

    def getattr(self) -> int:
        return self.send(Opcode.GETATTR, ROOT, 0, 0, 0)

    def setattr(self) -> int:
        return self.send(Opcode.SETATTR, self.node, *[0] * 16)

    async def passes(self, seconds: float, step: float = 0.01) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SettableLoop)
        for _ in range(round(seconds / step)):
            await loop.pass_time(step)

    async def ended_by(self) -> None:
        self.connection.lost()
        self.shares.forget(self.connection)
        await self.ended.wait()
        self.audit.check()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """In an event loop that serves, whose time the test sets."""

    async def serving() -> None:
        serve_in_this_thread(1)
        try:
            await main()
        finally:
            serve_in_this_thread(-1)

    with asyncio.Runner(loop_factory=SettableLoop) as runner:
        runner.run(serving())


@pytest.mark.parametrize(
    ("limit", "ask", "each_second"),
    [
        ("bps-total=8K", Mount.read, 8),
        ("bps-read=8K", Mount.read, 8),
        ("bps-write=8K", Mount.write, 8),
        ("iops-total=10", Mount.getattr, 10),
        ("iops-read=10", Mount.read, 10),
        ("iops-write=10", Mount.setattr, 10),
        ("bps-total=8K iops-total=2", Mount.write, 2),
    ],
)
@pytest.mark.parametrize("scope", ["export", "connection", "user"])
def test_a_mount_gets_the_rate_that_is_set(
    scope: str, limit: str, ask: Callable[[Mount], int], each_second: int
) -> None:
    async def main() -> None:
        mount = await Mount().opened(limit, scope)
        mount.replies.clear()
        for _ in range(8 * each_second):
            ask(mount)
        assert mount.connection.activity.paused == ["THROTTLED"]
        assert mount.connection.progress is None
        before = len(mount.replies)
        await mount.passes(4)
        assert len(mount.replies) - before == pytest.approx(4 * each_second, abs=1)
        await mount.passes(5)
        assert len(mount.replies) == 8 * each_second
        assert not mount.paused
        await mount.ended_by()

    run(main)


@pytest.mark.parametrize(
    ("limit", "ask"), [("bps-read=1", Mount.write), ("bps-write=1", Mount.read), ("iops-write=0.001", Mount.getattr)]
)
def test_what_a_limit_does_not_count(limit: str, ask: Callable[[Mount], int]) -> None:
    async def main() -> None:
        mount = await Mount().opened(limit)
        for _ in range(20):
            ask(mount)
        assert not mount.paused
        await mount.ended_by()

    run(main)


def test_the_data_of_a_write_that_waits_are_copied() -> None:
    """They are in the kernel's memory, which is its own again."""

    async def main() -> None:
        mount = await Mount().opened("iops-write=1")
        mount.setattr()
        data = bytearray(b"x" * BLOCK)
        mount.unique += 2
        whole = codec.pack_request(Opcode.WRITE, mount.unique, mount.node, mount.fh, 0, BLOCK, 0, 0, 0, 0, bytes(data))
        room = [memoryview(bytearray(16)), memoryview(bytearray(8))]
        assert mount.connection.message(whole[:80], [memoryview(data)], room) == 0
        assert mount.paused
        data[:] = bytes(BLOCK)
        await mount.passes(1.1)
        assert not mount.paused
        assert mount.unique in mount.replies
        assert not any(room[0]), "its place is not the kernel's any more"
        assert await mount.ask(Opcode.READ, mount.node, mount.fh, 0, BLOCK, 0, 0, 0, 0) == b"x" * BLOCK
        await mount.ended_by()

    run(main)


@pytest.mark.parametrize("kind", ["fast", "misses"])
def test_a_read_counts_what_it_got(kind: str) -> None:
    async def main() -> None:
        mount = await Mount(kind).opened("bps-read=20K")
        for _ in range(4):
            await mount.reply(mount.send(Opcode.READ, mount.node, mount.fh, BLOCK - 10, 2 * BLOCK, 0, 0, 0, 0))
        assert not mount.paused, "the rest was taken back"
        await mount.ended_by()

    run(main)


def test_a_read_in_place_counts_what_it_got() -> None:
    async def main() -> None:
        mount = await Mount().opened("bps-read=20K")
        for _ in range(4):
            assert mount.place(Opcode.READ, mount.node, mount.fh, BLOCK - 10, 2 * BLOCK, 0, 0, 0, 0) == 16 + 10
        assert not mount.paused
        await mount.ended_by()

    run(main)


def test_limits_that_are_gone() -> None:
    async def main() -> None:
        mount = await Mount().opened("iops-total=0.001")
        asked = [mount.getattr() for _ in range(3)]
        assert mount.paused
        mount.limit("")
        assert not mount.paused
        assert set(asked) <= set(mount.replies)
        await mount.ended_by()

    run(main)


def test_other_limits() -> None:
    async def main() -> None:
        mount = await Mount().opened("iops-total=0.001")
        asked = [mount.getattr() for _ in range(3)]
        mount.limit("iops-total=1")
        assert mount.paused
        await mount.passes(3)
        assert set(asked) <= set(mount.replies)
        await mount.ended_by()

    run(main)


def test_a_kernel_that_hangs_up_while_it_waits() -> None:
    async def main() -> None:
        mount = await Mount().opened("iops-total=0.001")
        mount.getattr()
        last = mount.getattr()
        assert Reason.THROTTLED in mount.connection._flow.reasons
        await mount.ended_by()
        assert last not in mount.replies

    run(main)


def test_nothing_that_gives_back_waits() -> None:
    async def main() -> None:
        mount = await Mount().opened("iops-total=0.001")
        mount.send(Opcode.RELEASE, mount.node, mount.fh, 0, 0, 0)
        mount.send(Opcode.FORGET, mount.node, 1)
        assert not mount.paused
        await mount.ended_by()

    run(main)


def test_a_message_of_another_size_than_it_says_is_not_held() -> None:
    async def main() -> None:
        mount = await Mount().opened("iops-total=0.001")
        mount.getattr()
        with pytest.raises(codec.Malformed):
            mount.connection.message(codec.pack_request(Opcode.GETATTR, 1, ROOT, 0, 0, 0) + b"more")
        assert not mount.paused
        await mount.ended_by()

    run(main)


def test_each_request_counts_as_one_kind() -> None:
    assert not UNCOUNTED & CHANGES
    assert {one for one in ROWS if one not in UNCOUNTED} >= CHANGES | WITH_DATA
    frame = codec.pack_request(Opcode.READ, 1, 1, 5, 6, 0x1234, 0, 0, 0, 0)
    assert frame[SIZE_AT : SIZE_AT + 4] == (0x1234).to_bytes(4, "little")
