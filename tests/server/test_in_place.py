"""Messages of a transport that has a place for each reply: what is served in place is what would be
sent, and what cannot be is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.conversations import (
    MSIZE,
    AtOnce,
    Sink,
    by_dispatcher,
    exports_of,
    frames_of,
    opened,
    replies,
    state,
)
from tests.support.served import Misses
from tests.support.worker_threads import started

from ninep.drivers.memory import MemoryDriver
from ninep.layers.base import FileWrapper, Layer, Wrapper
from ninep.linux import NO_ID, Errno
from ninep.node import Node, OpenFile, User, WouldBlock
from ninep.protocol.framing import BadFrame
from ninep.server import connection as connection_module
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.counters import Counters
from ninep.server.exports import Export, Exports
from ninep.server.instrumented import CountingObserver
from ninep.server.limits import Limits
from ninep.server.observer import Observer, Observers
from ninep.server.slices import Slices
from ninep.wire import messages as m
from ninep.wire.codec import READ_HEADER, WRITE_HEADER, codec
from ninep.wire.modes import EXTENDED

VERSION = m.Tversion(65536, b"9P2000.L")
ATTACH = m.Tattach(0, m.NOFID, b"root", b"", 0)
BEYOND = Limits().msize + 1
DATA = bytes(range(256)) * 64
PAGE = 4096
UNTOUCHED = 0xEE
GETATTR = m.Tgetattr(1, 0x7FF)


def frame_of(message: m.Message, tag: int = 1) -> bytes:
    return b"".join(map(bytes, codec(EXTENDED).encode(tag, message)))


def read(data: bytes, tag: int = 1) -> bytes:
    return frame_of(m.Rread(data), tag)


def wrote(count: int, tag: int = 1) -> bytes:
    return frame_of(m.Rwrite(count), tag)


def error(code: Errno, tag: int = 1) -> bytes:
    return frame_of(m.Rlerror(code), tag)


def views(data: bytearray, sizes: Sequence[int]) -> list[memoryview]:
    """Of these sizes, one after the other, and one of the rest; none is empty."""
    rest, found = memoryview(data), []
    for size in sizes:
        found.append(rest[:size])
        rest = rest[size:]
    return [piece for piece in (*found, rest) if piece]


class Guest:
    """Its messages come one by one, with a place for each reply."""

    def __init__(self, *layers: Layer, **context: Any) -> None:
        self.driver = MemoryDriver(clock=lambda: 0)
        exports = Exports([Export("", self.driver, list(layers))])
        self.sink = Sink()
        self.pauses = 0
        self.sink.pause = self._pause  # type: ignore[method-assign]
        known = {"exports": exports, "workers": AtOnce(), "slices": Slices(inf)} | context
        self.connection = Connection(
            self.sink, context=Context(**known), on_begin=lambda _: None, on_end=lambda _: None
        )
        self.replies = b""
        """Those in place."""
        self.traced = False
        """A traceback may be kept for a while, and all that its frames had: by the log of a test, or
        for a result of ``AtOnce``."""

    def _pause(self) -> None:
        self.pauses += 1

    def message(
        self, frame: bytes, total: int = MSIZE, room: Sequence[int] = (), data: Sequence[int] | None = None
    ) -> bytes:
        """What is written to a place of ``total`` bytes, the first of whose buffers have the sizes
        ``room``. ``data``: those of a Twrite are left in buffers, the first of these sizes.
        """
        space, payload = bytearray([UNTOUCHED]) * total, bytearray()
        if data is not None:
            frame, payload = frame[:WRITE_HEADER], bytearray(frame[WRITE_HEADER:])
        began = connection_module.monotonic()
        written = self.connection.message(frame, None if data is None else views(payload, data), views(space, room))
        self.connection.took(connection_module.monotonic() - began)
        reply = bytes(space[:written])
        self.replies += reply
        payload[:] = bytes(len(payload))
        if not self.traced:
            # BufferError, if anyone still had the memory: in a thread, or for one
            payload.clear()
            space.clear()
        return reply

    def ask(self, message: m.Message, tag: int = 1, **places: Any) -> tuple[bytes, bytes]:
        """The reply in place, and what was sent."""
        before = len(self.sink.written)
        placed = self.message(frame_of(message, tag), **places)
        return placed, self.sink.written[before:]

    def begin(self, content: bytes = b"") -> Guest:
        """With a file open as fid 1."""
        for message in (VERSION, ATTACH, *opened(b"9P2000.L"), m.Twrite(1, 0, content)):
            placed, sent = self.ask(message)
            assert (placed or sent)[4] == message.number + 1
        return self

    async def settle(self) -> None:
        """Until nothing is in flight."""
        while self.connection.in_flight or self.connection._flow.paused:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


def in_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @wraps(test)
    def run(*args: Any, **named: Any) -> None:
        asyncio.run(test(*args, **named))

    return run


# -- the same in both ways ---------------------------------------------------------------------------------------------

FIDS = st.integers(0, 2)
OFFSETS = st.sampled_from([0, 1, 4000, 1 << 62, (1 << 63) - 2, 1 << 63])
SIZES = st.lists(st.integers(1, 3000), max_size=4)
MORE: tuple[st.SearchStrategy[m.Message], ...] = (
    st.builds(m.Tread, FIDS, OFFSETS, st.sampled_from([0, 1, 4096, 1 << 31])),
    st.builds(m.Twrite, FIDS, OFFSETS, st.binary(max_size=200)),
    st.builds(m.Twrite, st.just(1), OFFSETS, st.integers(0, 6000).map(lambda size: DATA[:size])),
)


def by_message(
    kind: str, frames: list[bytes], places: st.DataObject, observer: Observer | None
) -> tuple[dict[int, bytes], object]:
    """One at a time, with places that hold any reply."""

    @wraps(by_message)
    async def main() -> tuple[dict[int, bytes], object]:
        guest = Guest(exports=exports_of(kind), observe=lambda: observer)
        guest.traced = True
        for frame in frames:
            whole = frame[4] != m.Twrite.number or len(frame) < WRITE_HEADER or places.draw(st.booleans())
            guest.message(frame, MSIZE, places.draw(SIZES), None if whole else places.draw(SIZES))
            await guest.settle()
        return replies(guest.replies + guest.sink.written), state(guest.connection.session)

    return asyncio.run(main())


@pytest.mark.parametrize("kind", ["fast", "misses", "waits"])
@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
@given(data=st.data())
def test_all_ways_do_the_same(dialect: bytes, kind: str, data: st.DataObject) -> None:
    frames = data.draw(frames_of(dialect, opened(dialect), MORE))
    general = by_dispatcher(kind, frames)
    assert by_message(kind, frames, data, None) == general
    counters = Counters()
    assert by_message(kind, frames, data, CountingObserver(counters)) == general
    assert counters.received == sum(map(len, frames))
    assert counters.sent == sum(map(len, general[0].values()))
    assert counters.requests == [sum(frame[4] == number for frame in frames) for number in range(256)]
    assert by_message(kind, frames, data, Observers(CountingObserver(counters), Observer())) == general


# -- in place ----------------------------------------------------------------------------------------------------------


@in_a_loop
async def test_read_and_written_in_place() -> None:
    guest = Guest().begin()
    assert guest.ask(m.Twrite(1, 0, DATA[:10_000]), 7, data=[PAGE, PAGE]) == (wrote(10_000, 7), b"")
    assert guest.ask(m.Tread(1, 100, 6000), 8, room=[READ_HEADER, PAGE]) == (read(DATA[100:6100], 8), b"")
    assert guest.ask(m.Tread(1, 9000, 6000), room=[100]) == (read(DATA[9000:10_000]), b"")
    assert guest.ask(m.Tread(1, 10_000, 6000)) == (read(b""), b"")
    assert guest.ask(m.Tread(1, 0, 0)) == (read(b""), b"")


@in_a_loop
async def test_small_replies_are_in_place_too() -> None:
    guest = Guest().begin()
    placed, sent = guest.ask(GETATTR)
    assert (placed[4], sent) == (m.Rgetattr.number, b"")
    assert guest.ask(m.Twrite(1, 0, b"small")) == (wrote(5), b"")
    assert guest.ask(m.Tread(9, 0, 1)) == (error(Errno.EBADF), b"")
    guest.ask(m.Twalk(0, 2, []))
    guest.ask(m.Tlopen(2, 0))
    placed, sent = guest.ask(m.Treaddir(2, 0, 1000), room=[READ_HEADER, 10])
    assert (placed[4], placed.endswith(b"\x01\0a"), sent) == (m.Rreaddir.number, True, b"")


@pytest.mark.parametrize(("total", "count"), [(READ_HEADER, 0), (READ_HEADER + 1, 1), (5000, 5000 - READ_HEADER)])
@in_a_loop
async def test_no_more_is_read_than_fits(total: int, count: int) -> None:
    guest = Guest().begin(DATA[:8000])
    assert guest.ask(m.Tread(1, 1, 8000), total=total) == (read(DATA[1 : 1 + count]), b"")


@in_a_loop
async def test_no_more_is_read_than_was_negotiated() -> None:
    guest = Guest().begin(DATA)
    placed, _ = guest.ask(m.Tversion(5000, b"9P2000.L"))
    for message in (ATTACH, m.Twalk(0, 1, [b"a"]), m.Tlopen(1, 0)):
        guest.ask(message)
    placed, sent = guest.ask(m.Tread(1, 0, 6000), room=[READ_HEADER, PAGE])
    assert (placed, sent) == (read(DATA[: 5000 - READ_HEADER]), b"")


@pytest.mark.parametrize("room", [{"total": 0}, {"total": READ_HEADER - 1}, {"room": [READ_HEADER - 1]}])
@in_a_loop
async def test_without_room_for_a_head_a_reply_is_sent(room: dict[str, Any]) -> None:
    guest = Guest().begin(b"content")
    assert guest.ask(m.Tread(1, 0, 100), **room) == (b"", read(b"content"))
    assert guest.ask(m.Twrite(1, 0, b"xx"), data=[], **room) == (b"", wrote(2))


@in_a_loop
async def test_a_reply_that_does_not_fit_is_sent() -> None:
    guest = Guest().begin()
    placed, sent = guest.ask(GETATTR, total=100)
    assert (placed, sent[4]) == (b"", m.Rgetattr.number)
    guest.ask(m.Twalk(0, 2, []))
    guest.ask(m.Tlopen(2, 0))
    placed, sent = guest.ask(m.Treaddir(2, 0, 1000), total=50)
    assert (placed, sent[4]) == (b"", m.Rreaddir.number)


@in_a_loop
async def test_attributes_are_written_and_read_from_places() -> None:
    guest = Guest().begin()
    guest.ask(m.Twalk(1, 2, []))
    guest.ask(m.Txattrcreate(2, b"user.a", 6000, 0))
    assert guest.ask(m.Twrite(2, 0, DATA[:6000]), data=[1000]) == (wrote(6000), b"")
    assert guest.ask(m.Tclunk(2)) == (frame_of(m.Rclunk()), b"")
    guest.ask(m.Txattrwalk(1, 2, b"user.a"))
    assert guest.ask(m.Tread(2, 10, 6000), room=[READ_HEADER, 10, 20]) == (read(DATA[10:6000]), b"")
    assert guest.ask(m.Tread(2, 10, 6000), total=READ_HEADER + 30) == (read(DATA[10:40]), b"")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (m.Twrite(9, 0, b"x"), Errno.EBADF),
        (m.Twrite(0, 0, b"x"), Errno.EBADF),
        (m.Twrite(2, 0, b"x"), Errno.EBADF),
        (m.Twrite(3, 0, b"x"), Errno.EISDIR),
        (m.Twrite(1, (1 << 63) - 1, b"x"), Errno.EFBIG),
        (m.Twrite(1, 1 << 63, b"x"), Errno.EINVAL),
        (m.Tread(9, 0, 1), Errno.EBADF),
        (m.Tread(0, 0, 1), Errno.EBADF),
        (m.Tread(3, 0, 1), Errno.EOPNOTSUPP),
        (m.Tread(4, 0, 1), Errno.EBADF),
        (m.Tread(1, 1 << 63, 1), Errno.EINVAL),
    ],
    ids=str,
)
@in_a_loop
async def test_errors_are_in_place(message: m.Message, code: Errno) -> None:
    guest = Guest().begin(b"content")
    for fid, names, flags in ((2, [b"a"], 0), (3, [], 0), (4, [b"a"], 1)):
        guest.ask(m.Twalk(0, fid, names))
        assert guest.ask(m.Tlopen(fid, flags))[0][4] == m.Rlopen.number
    data = [] if isinstance(message, m.Twrite) else None
    assert guest.ask(message, data=data) == (error(code), b"")
    assert guest.ask(m.Tread(1, 0, 100)) == (read(b"content"), b"")


class _Broken(FileWrapper):
    __slots__ = ()

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        self.inner.read_into(offset, buffers)
        raise OSError(5, "half way")

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        raise ZeroDivisionError


class Broken(Wrapper):
    """A layer: files that fail in the middle."""

    __slots__ = ()

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return _Broken(file, self)


def broken(root: Node, user: User) -> Node:
    del user
    return Broken(root, broken)


@in_a_loop
async def test_the_error_of_a_read_that_has_begun_takes_its_place() -> None:
    guest = Guest(broken).begin(b"content")
    assert guest.ask(m.Tread(1, 0, 100)) == (error(Errno.EIO), b"")


def test_a_defect_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        guest = Guest(broken).begin(b"content")
        guest.traced = True
        assert guest.ask(m.Twrite(1, 0, b"x"), data=[]) == (error(Errno.EIO), b"")

    asyncio.run(main())
    assert "ZeroDivisionError" in caplog.text


# -- what is not in place ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "payload"),
    [
        (b"", None),
        (b"", [memoryview(bytearray(7))]),
        (frame_of(VERSION)[:6], None),
        (frame_of(VERSION)[:-1], None),
        (frame_of(VERSION) + b"\0", None),
        (frame_of(VERSION), [memoryview(bytearray(b"x"))]),
        (b"\x06" + frame_of(VERSION)[1:6], None),
        (BEYOND.to_bytes(4, "little") + b"\x64\xff\xff" + bytes(BEYOND - 7), None),
        ((70_000).to_bytes(4, "little") + frame_of(m.Twrite(1, 0, b""))[4:], [memoryview(bytearray(70_000 - 23))]),
    ],
)
@in_a_loop
async def test_a_size_that_is_not_that_of_the_message_ends_it(frame: bytes, payload: list[memoryview] | None) -> None:
    guest = Guest().begin()
    before = guest.sink.written
    with pytest.raises(BadFrame):
        guest.connection.message(frame, payload, [memoryview(bytearray(100))])
    assert guest.sink.written == before


@in_a_loop
async def test_before_a_version_there_is_nothing() -> None:
    guest = Guest()
    assert guest.ask(m.Tread(1, 0, 1))[1][4] in {m.Rerror.number, m.Rlerror.number}
    assert guest.ask(m.Twrite(1, 0, b"x"), data=[])[1][4] in {m.Rerror.number, m.Rlerror.number}
    assert guest.ask(VERSION) == (b"", frame_of(m.Rversion(65536, b"9P2000.L")))


@in_a_loop
async def test_a_count_that_is_not_that_of_the_data() -> None:
    guest = Guest().begin(b"content")
    frame = bytearray(frame_of(m.Twrite(1, 0, b"1234")))
    for count in (0, 3, 5, 0xFFFFFFFF):
        frame[19:23] = count.to_bytes(4, "little")
        assert guest.message(bytes(frame), data=[2]) == error(Errno.EPROTO)
    assert guest.ask(m.Tread(1, 0, 100)) == (read(b"content"), b"")


@pytest.mark.parametrize("left", [0, 4, 16])
@in_a_loop
async def test_data_of_other_messages_are_put_together(left: int) -> None:
    """A transport that leaves behind what is none, or cuts a Twrite elsewhere."""
    guest = Guest().begin(b"content")
    for message, reply in ((m.Tread(1, 0, 7), read(b"content")), (m.Twrite(1, 0, b"xyz"), wrote(3))):
        frame = frame_of(message)
        before = len(guest.sink.written)
        end = len(frame) - left
        placed = guest.connection.message(
            frame[:end], [memoryview(bytearray(frame[end:]))] if left else [], [memoryview(bytearray(100))]
        )
        assert (placed, guest.sink.written[before:]) == (0, reply)


def misses(root: Node, user: User) -> Node:
    del user
    return Misses(root, misses)


@in_a_loop
async def test_a_read_that_would_wait_is_sent() -> None:
    guest = Guest(misses, workers=started(1)).begin(DATA)
    assert guest.ask(m.Tread(1, 5, 5000), room=[READ_HEADER, PAGE]) == (b"", b"")
    assert guest.connection.in_flight == 1
    await guest.settle()
    assert guest.sink.written.endswith(read(DATA[5:5005]))


class _Late(FileWrapper):
    __slots__ = ()

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        raise WouldBlock


class Late(Wrapper):
    """A layer: files that are not written in place."""

    __slots__ = ()

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return _Late(file, self)


def late(root: Node, user: User) -> Node:
    del user
    return Late(root, late)


@in_a_loop
async def test_a_thread_writes_what_was_there_when_the_message_came() -> None:
    guest = Guest(late, workers=started(1)).begin()
    assert guest.ask(m.Twrite(1, 0, DATA[:8000]), data=[PAGE]) == (b"", b"")
    await guest.settle()
    assert guest.sink.written.endswith(wrote(8000))
    assert guest.ask(m.Tread(1, 0, 8000)) == (read(DATA[:8000]), b"")
