"""File contents in memory, against a plain bytearray."""

from hypothesis import given
from hypothesis import strategies as st

from ninep.drivers.memory.sparse import CHUNK, Sparse
from ninep.testing.suite.tree import in_buffers

OFFSETS = st.one_of(st.integers(0, 40), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), OFFSETS, st.binary(max_size=30)),
        st.tuples(st.just("write"), OFFSETS, st.integers(1, 3).map(lambda n: b"x" * n * CHUNK)),
        st.tuples(st.just("truncate"), OFFSETS, st.just(b"")),
    ),
    max_size=12,
)


@given(STEPS, OFFSETS, st.integers(0, 4 * CHUNK))
def test_reads_what_a_bytearray_would_hold(steps: list[tuple[str, int, bytes]], offset: int, count: int) -> None:
    content, model = Sparse(), bytearray()
    for verb, at, data in steps:
        if verb == "write":
            before, promised = content.allocated, content.growth(at, len(data))
            content.write(at, data)
            if data:
                model.extend(bytes(max(0, at - len(model))))
                model[at : at + len(data)] = data
            assert content.allocated == before + promised
        else:
            content.truncate(at)
            model = model[:at] + bytes(max(0, at - len(model)))
        assert content.size == len(model)
        assert content.allocated == sum(map(len, content.chunks.values()))
        assert content.allocated <= content.size
    assert content.read(offset, count) == model[offset : offset + count]
    memory, buffers = in_buffers(b"x" * (count + 3), (count // 2, 3, count - count // 2))
    assert content.read_into(offset, buffers) == len(model[offset : offset + count + 3])
    assert memory[: len(model[offset:])] == model[offset : offset + count + 3]
    assert set(memory[len(model[offset:]) :]) <= {ord("x")}
    assert content.read(0, len(model) + 1) == model


def test_a_hole_takes_no_room() -> None:
    content = Sparse()
    content.write((1 << 62) + 5, b"far")
    assert content.size == (1 << 62) + 8
    assert content.allocated <= CHUNK
    assert content.read((1 << 62) + 3, 100) == b"\0\0far"
    assert content.read(1 << 40, 4) == bytes(4)
    content.truncate((1 << 62) + 6)
    assert content.read((1 << 62) + 5, 9) == b"f"
    content.truncate(0)
    assert content.allocated == 0


def test_what_was_read_does_not_change_with_the_file() -> None:
    content = Sparse()
    content.write(0, b"before")
    read = content.read(0, 6)
    content.write(0, b"after!")
    content.write(6, b"grows while a reader holds the first bytes")
    assert read == b"before"


def test_nothing_written_is_nothing_changed() -> None:
    content = Sparse()
    content.write(100, b"")
    assert (content.size, content.allocated) == (0, 0)
