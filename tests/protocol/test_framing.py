"""Frames cut out of a stream that arrives in pieces of any size."""

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.protocol.framing import PAYLOADS, SMALL, BadFrame, Receiver, frames_of
from ninep.wire.codec import header

MSIZE = 1 << 20 | 24
TWRITE, TWALK, RREAD, TGETATTR = 118, 110, 117, 24
Frame = tuple[int, int, bytes]
"""Type, tag, the whole frame."""


def frame(size: int, number: int = TGETATTR, tag: int = 1) -> bytes:
    """A frame of this size whose body contains its position."""
    body = bytes(i * 7 % 251 for i in range(min(size - 7, 5000))) + b"\xee" * max(0, size - 7 - 5000)
    return size.to_bytes(4, "little") + bytes([number]) + tag.to_bytes(2, "little") + body


def take(frames: Iterable[tuple[int, int, int, object, int]]) -> list[Frame]:
    """Frames at the moment they are returned: a view is copied before the next frame is
    requested.
    """
    found = []
    for size, number, tag, buffer, start in frames:
        data = bytes(buffer[start : start + size])  # type: ignore[index]
        assert header(data, 0) == (size, number, tag)
        found.append((number, tag, data))
    return found


def fill(receiver: Receiver, data: bytes, steps: Iterator[int] | None = None) -> list[Frame]:
    """As an event loop does: into the receiver's own space."""
    found: list[Frame] = []
    at = 0
    while at < len(data):
        space = receiver.space()
        assert len(space), "no space for the next bytes"
        count = min(len(space), len(data) - at, next(steps) if steps is not None else len(data))
        space[:count] = data[at : at + count]
        found += take(receiver.received(count))
        at += count
    return found


STREAM = [
    frame(7, 24, 1),
    frame(8, 120, 2),
    frame(500, TWALK, 3),
    frame(SMALL - 1, TWRITE, 4),
    frame(SMALL, TWRITE, 5),
    frame(SMALL + 1, TWRITE, 6),
    frame(7, 24, 7),
    frame(SMALL + 1, TWALK, 8),
    frame(300_000, TWRITE, 9),
    frame(MSIZE, TWRITE, 10),
    frame(200_000, RREAD, 11),
    frame(11, 120, 12),
]
EXPECTED = [(data[4], int.from_bytes(data[5:7], "little"), data) for data in STREAM]


class TestPieces:
    @pytest.mark.parametrize("step", [1000, 4096, 65535, 65536, 65537, 1 << 30])
    def test_in_steps(self, step: int) -> None:
        assert fill(Receiver(MSIZE), b"".join(STREAM), iter(lambda: step, None)) == EXPECTED

    def test_byte_by_byte(self) -> None:
        small = [data for data in STREAM if len(data) < 1000]
        assert [data for _, _, data in fill(Receiver(MSIZE), b"".join(small), iter(lambda: 1, None))] == small

    def test_a_large_one_byte_by_byte_at_its_edges(self) -> None:
        data = frame(SMALL + 100, TWRITE)
        receiver = Receiver(MSIZE)
        assert fill(receiver, data[:-200], iter([*[1] * 20, *[10_000] * 20])) == []
        assert fill(receiver, data[-200:] + STREAM[0], iter(lambda: 1, None)) == [(TWRITE, 1, data), EXPECTED[0]]

    @pytest.mark.parametrize("step", [1, 7, 1000, 1 << 30])
    def test_fed(self, step: int) -> None:
        data = b"".join(STREAM[:5] if step == 1 else STREAM)
        receiver = Receiver(MSIZE)
        found: list[Frame] = []
        for at in range(0, len(data), step):
            found += take(receiver.feed(data[at : at + step]))
        assert found == EXPECTED[: len(found)]
        assert len(found) == (5 if step == 1 else len(STREAM))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([7, 8, 100, 5000, SMALL - 1, SMALL, SMALL + 7, 150_000]),
                st.sampled_from([TGETATTR, TWRITE, TWALK]),
            ),
            max_size=12,
        ),
        st.lists(st.sampled_from([1, 3, 7, 100, 4095, 60_000, 1 << 20]), min_size=1, max_size=6),
    )
    def test_anything(self, shapes: list[tuple[int, int]], steps: list[int]) -> None:
        frames = [frame(size, number, tag) for tag, (size, number) in enumerate(shapes)]

        def pattern() -> Iterator[int]:
            # The small steps a few times only: a megabyte byte by byte takes long.
            for _ in range(50):
                yield from steps
            while True:
                yield 50_000

        receiver = Receiver(MSIZE)
        assert [data for _, _, data in fill(receiver, b"".join(frames), pattern())] == frames
        assert not receiver.partial

    @pytest.mark.parametrize("cut", range(1, 20))
    def test_a_tail_waits_for_its_rest(self, cut: int) -> None:
        whole, last = frame(30, tag=1), frame(20, tag=2)
        receiver = Receiver(MSIZE)
        assert fill(receiver, whole + last[:cut]) == [(TGETATTR, 1, whole)]
        assert receiver.partial
        assert fill(receiver, last[cut:]) == [(TGETATTR, 2, last)]
        assert not receiver.partial


class TestLone:
    """One small frame alone; anything else is left to `received`."""

    @staticmethod
    def put(receiver: Receiver, data: bytes) -> bytes | None:
        receiver.space()[: len(data)] = data
        return receiver.lone(len(data))

    @pytest.mark.parametrize("size", [7, 11, 500, SMALL])
    def test_again_and_again(self, size: int) -> None:
        receiver = Receiver(MSIZE)
        for tag in range(3):
            assert self.put(receiver, frame(size, tag=tag)) == frame(size, tag=tag)
            assert not receiver.partial

    @pytest.mark.parametrize(
        "data",
        [frame(9) + frame(9), frame(9)[:-1], b"\7\0\0", frame(9) + b"\0", b"\6\0\0\0\x18\1\0", frame(101)],
        ids=["two", "cut off", "no header", "one and a tail", "a size that cannot be", "more than msize"],
    )
    def test_is_not(self, data: bytes) -> None:
        receiver = Receiver(100)
        assert self.put(receiver, data) is None
        whole = Receiver(100)
        whole.space()[: len(data)] = data
        for one in receiver, whole:  # as if nobody had asked
            if data in (frame(101), b"\6\0\0\0\x18\1\0"):
                with pytest.raises(BadFrame):
                    take(one.received(len(data)))
            else:
                assert take(one.received(len(data))) == [(TGETATTR, 1, frame(9))] * data.count(frame(9))

    def test_is_not_the_rest_of_another(self) -> None:
        receiver = Receiver(MSIZE)
        assert fill(receiver, frame(30)[:10]) == []
        rest = frame(30)[10:]
        assert self.put(receiver, rest) is None
        assert take(receiver.received(len(rest))) == [(TGETATTR, 1, frame(30))]


class TestSizes:
    @pytest.mark.parametrize("size", [0, 1, 6, MSIZE + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
    def test_that_cannot_be(self, size: int) -> None:
        receiver = Receiver(MSIZE)
        with pytest.raises(BadFrame, match=f"{size} bytes"):
            fill(receiver, size.to_bytes(4, "little") + b"\x18\1\0")

    @pytest.mark.parametrize("size", [0, 6, MSIZE + 1])
    @pytest.mark.parametrize("before", [b"", frame(9), frame(SMALL + 1, TWRITE), frame(200_000, TWRITE)], ids=len)
    def test_behind_good_ones(self, before: bytes, size: int) -> None:
        frames = Receiver(MSIZE).feed(before + size.to_bytes(4, "little") + b"\x18\1\0")
        if before:
            size_, _, _, buffer, start = next(frames)
            assert bytes(buffer[start : start + size_]) == before
        with pytest.raises(BadFrame):
            next(frames)

    @pytest.mark.parametrize("msize", [4096, SMALL, MSIZE])
    def test_the_largest(self, msize: int) -> None:
        assert len(fill(Receiver(msize), frame(msize, TWRITE))) == 1
        with pytest.raises(BadFrame):
            fill(Receiver(msize), frame(msize + 1, TWRITE))

    def test_four_bytes_do_not_tell_yet(self) -> None:
        assert fill(Receiver(MSIZE), bytes(6)) == []  # a header is seven

    def test_an_msize_that_changes_between_two_frames(self) -> None:
        # Tversion and what it allows may come in one piece.
        for first, second, good in ((4096, MSIZE, True), (MSIZE, 4096, False)):
            receiver = Receiver(first)
            frames = receiver.feed(frame(50) + frame(50_000, TWRITE))
            next(frames)
            receiver.msize = second
            if good:
                assert next(frames)[0] == 50_000
            else:
                with pytest.raises(BadFrame):
                    next(frames)


class TestBuffers:
    @pytest.mark.parametrize("number", sorted(set(range(256)) - PAYLOADS))
    def test_strings_are_always_cut_out_of_bytes(self, number: int) -> None:
        # b"/" in memoryview is never true.
        for size in (10, SMALL - 1, SMALL, SMALL + 1, 200_000):
            for *_, buffer, _start in Receiver(MSIZE).feed(frame(10, TWRITE) + frame(size, number)):
                last = buffer
            assert type(last) is bytes

    @pytest.mark.parametrize("number", sorted(PAYLOADS))
    def test_large_payloads_are_not_copied(self, number: int) -> None:
        (one,) = Receiver(MSIZE).feed(frame(200_000, number))
        assert isinstance(one[3], memoryview)
        with pytest.raises(StopIteration):
            next(Receiver(MSIZE).feed(frame(200_000, number)[:-1]))

    def test_what_is_kept_stays(self) -> None:
        receiver = Receiver(MSIZE)
        first, second, third = (frame(200_000, TWRITE, tag) for tag in (1, 2, 3))
        kept = []
        for *_, buffer, _start in receiver.feed(first + second + third + first[:100_000]):
            kept.append(buffer)
            receiver.keep()
        fill(receiver, first[100_000:] + third)
        assert [bytes(view) for view in kept] == [first, second, third]

    def test_keeping_one_costs_the_others_nothing(self) -> None:
        receiver = Receiver(MSIZE)
        found = []
        for size, number, tag, buffer, start in receiver.feed(b"".join(STREAM)):
            found.append((number, tag, bytes(buffer[start : start + size])))
            if tag in {5, 9}:
                receiver.keep()
        assert found == EXPECTED


class TestMemory:
    """The buffer is as large as what arrived asks for, never as large as a size field claims."""

    def size(self, receiver: Receiver) -> int:
        return len(receiver._buffer)

    def test_no_memory_is_allocated_for_a_claimed_size(self) -> None:
        receiver = Receiver(1 << 30)
        fill(receiver, (1 << 30).to_bytes(4, "little") + b"\x76\1\0" + bytes(1000))
        assert self.size(receiver) == SMALL

    def test_grows_once_for_a_frame_and_shrinks_again(self) -> None:
        receiver = Receiver(MSIZE)
        fill(receiver, frame(MSIZE, TWRITE))
        grown = self.size(receiver)
        assert MSIZE <= grown <= MSIZE + SMALL
        for _ in range(3):
            fill(receiver, frame(MSIZE, TWRITE))
            assert self.size(receiver) == grown
        fill(receiver, frame(7))
        assert self.size(receiver) == SMALL

    def test_no_more_than_a_frame_and_a_little(self) -> None:
        # A megabyte of tiny requests in one piece would keep other connections waiting.
        receiver = Receiver(MSIZE)
        fill(receiver, frame(MSIZE, TWRITE))
        assert len(receiver.space()) == SMALL
        fill(receiver, frame(500_000, TWRITE)[:10])
        assert len(receiver.space()) == 500_000 - 10 + SMALL
        fill(receiver, frame(500_000, TWRITE)[10:400_000])
        assert len(receiver.space()) == 100_000 + SMALL

    def test_a_partial_frame_moves_to_the_front(self) -> None:
        receiver = Receiver(MSIZE)
        data = frame(60_000, TWRITE)
        for _ in range(50):
            assert [one for *_, one in fill(receiver, data)] == [data]
        assert self.size(receiver) == SMALL


@pytest.mark.parametrize("step", [1, 7, 1000, 5000])
def test_frames_that_were_not_taken_come_with_the_next(step: int) -> None:
    """As with an event loop that brings what it has, also to who has paused it."""
    receiver, sent = Receiver(MSIZE), [frame(size, tag=size) for size in (7, 30, 5000, 24)]
    data, frames = b"".join(sent), iter(())
    for at in range(0, len(data), step):
        piece = data[at : at + step]
        assert not receiver.full
        receiver.space()[: len(piece)] = piece
        frames = receiver.received(len(piece))
    assert [found for _, _, found in take(frames)] == sent
    assert not receiver.partial


def test_full_of_frames_that_were_not_taken() -> None:
    receiver = Receiver(MSIZE)
    data = frame(64) * (SMALL // 64)
    receiver.space()[:] = data
    frames = receiver.received(SMALL)
    assert receiver.full
    assert len(take(frames)) == SMALL // 64
    assert not receiver.full


def test_frames_that_are_sent_together() -> None:
    """Joined in one buffer, and with data in buffers of their own, which may be empty."""
    read = frame(15, RREAD, 3)
    buffers = [frame(7, tag=1) + frame(10, TWALK, 2), read[:11], read[11:], frame(11, RREAD, 4), b"", frame(7, tag=5)]
    found = [(size, number, tag) for size, number, tag, _, _ in frames_of(buffers)]
    assert found == [(7, TGETATTR, 1), (10, TWALK, 2), (15, RREAD, 3), (11, RREAD, 4), (7, TGETATTR, 5)]
    assert [header(buffer, start) for *_, buffer, start in frames_of(buffers)] == found
    assert list(frames_of([])) == []
