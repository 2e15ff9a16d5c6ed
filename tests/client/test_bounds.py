"""Bounds on the memory for what a server lists."""

import errno

import pytest

from ninep.client import bounds
from ninep.client.bounds import MAX_HELD, ListingTooLarge, MemoryBudget, NamesSeen, size_of
from ninep.client.stat import DirEntry


def entry(name: str) -> DirEntry:
    return DirEntry(name, f"d/{name}", "file", 1)


def test_the_size_of_an_entry_grows_with_its_names() -> None:
    assert size_of(entry("longer")) - size_of(entry("a")) == 10  # in the name and in the path


def test_a_budget_is_used_up_and_given_back() -> None:
    budget = MemoryBudget()
    assert budget.reserve(MAX_HELD) == MAX_HELD
    with pytest.raises(ListingTooLarge) as caught:
        budget.reserve(1)
    assert caught.value.errno == errno.ENOMEM
    budget.free(1)
    assert budget.reserve(1) == 1


def test_a_list_that_does_not_fit_reserves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry("a"), entry("b")]
    monkeypatch.setattr(bounds, "MAX_HELD", size_of(entries[0]) + 1)
    budget = MemoryBudget()
    with pytest.raises(ListingTooLarge):
        budget.collect(entries)
    assert budget.collect(entries[:1]) == entries[:1]


def test_names_that_a_listing_has_given() -> None:
    seen = NamesSeen()
    assert [seen.add(name) for name in (b"a", b"b", b"a")] == [True, True, False]
    assert seen.complete


def test_too_many_names_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_NAMES", 2)
    seen = NamesSeen()
    assert [seen.add(name) for name in (b"a", b"b", b"c", b"a")] == [True] * 4
    assert not seen.complete
