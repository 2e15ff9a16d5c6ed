"""What an observer is told of a mount: each request and its reply, counted (``--metrics``) and in lines
(``--trace``).
"""

from __future__ import annotations

import logging
import re

import pytest
from tests.fuse.test_connection import Link, run
from tests.support.fuse_kernel import ROOT

from ninep.server.counters import Counters
from ninep.server.instrumented import CountingObserver
from ninep.server.trace import TracingObserver
from ninep.wire.fuse import Opcode

LINE = re.compile(r"a kernel (<-|->) (\d+) (.*)")


async def use(link: Link) -> None:
    """A request of each kind: at once, in a thread, refused, without a reply, unknown."""
    await link.init()
    node, fh = await link.create(b"na\nme")
    await link.ask(Opcode.WRITE, node, fh, 0, 1000, 0, 0, 0, 0, bytes(1000))
    await link.ask(Opcode.FSYNC, node, fh, 0, 0)
    with pytest.raises(AssertionError):
        await link.ask(Opcode.LOOKUP, ROOT, b"missing")
    link.send(Opcode.FORGET, node, 1)


def test_requests_and_times_by_opcode() -> None:
    counters = Counters()

    async def main() -> None:
        link = Link(observer=CountingObserver(counters))
        await use(link)
        await link.end()

    run(main)
    requests = {name: one.requests for name, one in counters.operations.items()}
    assert requests == {"INIT": 1, "CREATE": 1, "WRITE": 1, "FSYNC": 1, "LOOKUP": 1, "FORGET": 1}
    answered = {name: sum(one.times.classes) for name, one in counters.operations.items()}
    assert answered == {**requests, "FORGET": 0}
    assert counters.received == sum((104, 56 + 6, 80 + 1000, 56, 40 + 8, 48))
    assert counters.sent == sum((16 + 64, 16 + 144, 16 + 8, 16, 16))


def test_replies_that_are_placed_are_counted_too() -> None:
    counters = Counters()

    async def main() -> None:
        link = Link(observer=CountingObserver(counters))
        await link.init()
        before = counters.sent
        assert link.place(Opcode.GETATTR, ROOT, 0, 0, 0) == 16 + 104
        assert counters.sent == before + 120
        assert sum(counters.operations["GETATTR"].times.classes) == 1
        await link.end()

    run(main)


def test_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ninep.trace")

    async def main() -> None:
        link = Link(observer=TracingObserver())
        await use(link)
        assert link.place(Opcode.GETATTR, ROOT, 0, 0, 0) == 0, "as any other reply, to be seen"
        await link.end()

    run(main)
    lines = [LINE.fullmatch(record.getMessage()) for record in caplog.records if record.name == "ninep.trace"]
    shown = [(line[1], int(line[2]), line[3]) for line in lines if line]
    assert len(shown) == len(lines), "each is one line"
    assert [(arrow, unique, text.split()[0]) for arrow, unique, text in shown] == [
        ("<-", 2, "INIT"),
        ("->", 2, "INIT"),
        ("<-", 4, "CREATE"),
        ("->", 4, "CREATE"),
        ("<-", 6, "WRITE"),
        ("->", 6, "WRITE"),
        ("<-", 8, "FSYNC"),
        ("->", 8, "FSYNC"),
        ("<-", 10, "LOOKUP"),
        ("->", 10, "LOOKUP"),
        ("<-", 12, "FORGET"),
        ("<-", 14, "GETATTR"),
        ("->", 14, "GETATTR"),
    ]
    texts = {(arrow, unique): text for arrow, unique, text in shown}
    assert texts["<-", 4] == r"CREATE node=1 uid=0 gid=0 pid=0 (66, 33188, 0, 0, b'na\nme')"
    assert texts["->", 6].startswith("WRITE 24 bytes (")
    assert texts["->", 10].startswith("LOOKUP ENOENT (")
    assert len(texts["<-", 6]) < 400
