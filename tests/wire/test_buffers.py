"""Data in several buffers, against the same in one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.wire.buffers import behind, first, length, scatter

PARTS = st.lists(st.binary(max_size=5), max_size=5)


def views(parts: list[bytes]) -> list[memoryview]:
    return [memoryview(bytearray(part)) for part in parts]


@given(PARTS, st.integers(0, 30))
def test_parts_of_them(parts: list[bytes], size: int) -> None:
    whole = b"".join(parts)
    assert length(parts) == len(whole)
    assert b"".join(first(views(parts), size)) == whole[:size]
    assert b"".join(behind(views(parts), size)) == whole[size:]


@given(PARTS, st.binary(max_size=25))
def test_scattered(parts: list[bytes], data: bytes) -> None:
    buffers, whole = views(parts), b"".join(parts)
    if len(data) > len(whole):
        with pytest.raises(ValueError, match=f"{len(data)} bytes for a room of {len(whole)}"):
            scatter(buffers, data)
    else:
        assert scatter(buffers, data) == len(data)
        assert b"".join(buffers) == data + whole[len(data) :]


@given(PARTS, st.integers(0, 30))
def test_nothing_is_copied(parts: list[bytes], size: int) -> None:
    buffers, whole, filler = views(parts), b"".join(parts), bytes([0xEE]) * 30
    for view in first(buffers, size):
        view[:] = filler[: len(view)]
    assert b"".join(buffers) == filler[: min(size, len(whole))] + whole[size:]
    buffers = views(parts)
    for view in behind(buffers, size):
        view[:] = filler[: len(view)]
    assert b"".join(buffers) == whole[:size] + filler[: max(0, len(whole) - size)]
