"""Buffers for big reads, which are used again."""

import sys

import pytest

from ninep.host import _buffers
from ninep.host._buffers import BIG, big_buffer


@pytest.fixture(autouse=True)
def none_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_buffers, "KEPT", {})


@pytest.mark.parametrize(
    ("count", "size"), [(BIG, BIG), (BIG + 1, 2 * BIG), (1 << 20, 1 << 20), ((1 << 20) + 1, (1 << 20) + 1)]
)
def test_sizes_are_powers_of_two_up_to_a_mebibyte(count: int, size: int) -> None:
    assert len(big_buffer(count)) == size


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="only CPython counts references")
def test_what_is_not_referred_to_is_used_again() -> None:
    first = id(big_buffer(BIG))
    assert id(big_buffer(BIG)) == first
    held = big_buffer(BIG)
    view = memoryview(held)
    del held
    second = big_buffer(BIG)
    assert id(second) != first  # a reply that is being sent refers to it
    view.release()
    assert id(big_buffer(BIG)) == first


def test_few_are_kept() -> None:
    held = [big_buffer(BIG) for _ in range(5)]
    assert len(set(map(id, held))) == 5
    assert len(_buffers.KEPT[BIG]) == 2
