"""Clients with a small msize: all that has no string in it fits; what does not fit is an error,
never a short answer that means something else.
"""

from __future__ import annotations

import asyncio

import pytest
from tests.support.client import RawClient, refused
from tests.support.judge import stats
from tests.support.served import Served

from ninep.errors import TEXTS
from ninep.linux import NO_ID, Errno
from ninep.server.budgets import Budgets
from ninep.server.dispatcher import Dispatcher
from ninep.server.limits import MIN_MSIZE, SMALLEST_LINUX_MSIZE, SMALLEST_MSIZE, Limits
from ninep.server.table import BY_DIALECT
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect
from ninep.wire.modes import DMSYMLINK
from ninep.wire.types import Attributes, Qid, Stat, Statfs

LONG = b"n" * 255
FULL: dict[type[m.Message], m.Message] = {
    m.Rwalk: m.Rwalk([Qid(0, 0, 0)] * m.MAX_WALK),
    m.Rgetattr: m.Rgetattr(Attributes()),
    m.Rstatfs: m.Rstatfs(Statfs()),
    m.Rstat: m.Rstat(Stat(uid=b"4294967295", gid=b"4294967295", muid=b"4294967295")),
    m.Rread: m.Rread(b"x"),
    m.Rgetlock: m.Rgetlock(0, 0, 0, 0, b"c" * 64),
}


def dialects() -> list[bytes]:
    return [dialect.value for dialect in Dialect if dialect is not Dialect.UNKNOWN]


@pytest.fixture(params=dialects(), ids=bytes.decode)
def small(request: pytest.FixtureRequest, served: Served) -> RawClient:
    """A client of each dialect that takes as little as may be."""
    return served.client(request.param, SMALLEST_LINUX_MSIZE if request.param == b"9P2000.L" else SMALLEST_MSIZE)


@pytest.mark.parametrize("dialect", [Dialect.LINUX, Dialect.UNIX, Dialect.BASE])
def test_every_reply_without_strings_fits(dialect: Dialect) -> None:
    codec = dialect.codec
    for row in BY_DIALECT[dialect]:
        reply = m.BY_NUMBER[row.message.number + 1]
        if reply in FULL:
            assert sum(map(len, codec.encode(1, FULL[reply]))) <= SMALLEST_MSIZE, reply
        elif codec.table[reply.number].fixed is not None:
            assert codec.table[reply.number].size <= SMALLEST_MSIZE, reply
    longest = max(TEXTS.values(), key=len).encode()
    assert sum(map(len, codec.encode(1, m.Rerror(longest, 1)))) <= SMALLEST_MSIZE


def test_files(small: RawClient) -> None:
    content = bytes(range(256)) * 8
    small.create(0, 1, b"f")
    room = small.msize - 24
    for at in range(0, len(content), room):
        small.rpc(m.Twrite(1, at, content[at : at + room]))
    assert b"".join(small.read(1, at, room) for at in range(0, len(content), room)) == content
    assert len(small.read(1, 0, 1 << 31)) == small.msize - 11


def test_sixteen_names_at_once(small: RawClient) -> None:
    small.mkdir(0, b"d")
    assert len(small.walk(0, 1, *[b"d", b".."] * 8)) == 16


def test_a_small_directory(small: RawClient) -> None:
    for number in range(30):
        small.mkdir(0, b"%d" % number)
    small.walk(0, 1)
    small.open(1)
    names: list[bytes] = []
    if small.dialect == b"9P2000.L":
        names = small.names(1)
    else:
        at = 0
        while data := small.read(1, at):
            names += [record["name"] for record in stats(data, small.judge.extended)]
            at += len(data)
    assert sorted(names) == sorted(b"%d" % number for number in range(30))


def test_a_name_that_fits_in_no_reply(served: Served, small: RawClient) -> None:
    served.client().mkdir(0, LONG)
    small.walk(0, 1)
    small.open(1)
    if small.dialect == b"9P2000.L":
        assert small.names(1) == [LONG]
    else:
        assert small.read(1, 0) == b""  # left out, so that it does not hide what follows


def test_a_record_and_a_target_that_fit_in_no_reply(served: Served) -> None:
    other = served.client()
    other.rpc(m.Tsymlink(0, b"l", LONG, NO_ID))
    other.mkdir(0, LONG[:200])
    unix, linux = served.client(b"9P2000.u", SMALLEST_MSIZE), served.client(b"9P2000.L", SMALLEST_LINUX_MSIZE)
    unix.walk(0, 1, b"l")
    shown = unix.rpc(m.Tstat(1)).stat
    assert (shown.mode & DMSYMLINK, shown.extension) == (DMSYMLINK, b""), "a part of it would lead somewhere else"
    unix.walk(0, 2, LONG[:200])
    with refused(Errno.EMSGSIZE):
        unix.rpc(m.Tstat(2))
    other.rpc(m.Tsymlink(0, b"longer", LONG * 2, NO_ID))
    linux.walk(0, 1, b"longer")
    with refused(Errno.EMSGSIZE):
        linux.rpc(m.Treadlink(1))
    assert len(other.walk(0, 1, b"l")) == 1


def test_attributes_and_figures(served: Served) -> None:
    client = served.client(b"9P2000.L", SMALLEST_LINUX_MSIZE)
    assert client.rpc(m.Tgetattr(0, 0x3FFF)).attributes.blksize == SMALLEST_LINUX_MSIZE - 24
    assert client.rpc(m.Tstatfs(0)).statfs.bsize == 4096


def test_a_request_in_flight_counts_as_more_than_its_bytes() -> None:
    async def counting() -> None:
        limits = Limits(bytes_in_flight=16 * MIN_MSIZE)
        dispatcher = Dispatcher(exports=[], limits=limits, budgets=Budgets(limits))  # type: ignore[arg-type]
        dispatcher._begin(Dialect.BASE, SMALLEST_MSIZE)
        assert dispatcher.room.grow(16)
        assert not dispatcher.room.grow(17)

    asyncio.run(counting())
