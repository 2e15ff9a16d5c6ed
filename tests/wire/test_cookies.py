"""Numbers instead of cookies: small, constant for each entry, and in tables of bounded size."""

from __future__ import annotations

import random
from array import array
from bisect import bisect_right

import pytest

from ninep.wire import cookies as cookies_module
from ninep.wire.cookies import LAST_NUMBER, CookiePool, CookieTable

LARGE = 1 << 62


@pytest.fixture
def table() -> CookieTable:
    return CookieTable(CookiePool())


def numbered(table: CookieTable, after: int, *cookies: int) -> list[int]:
    return list(table.number(after, cookies))


def test_entries_are_counted(table: CookieTable) -> None:
    assert numbered(table, 0, LARGE + 5, LARGE + 9) == [1, 2]
    assert numbered(table, 2, LARGE + 11) == [3]
    assert [table.cookie(number) for number in range(5)] == [0, LARGE + 5, LARGE + 9, LARGE + 11, None]
    assert table.last == (3, LARGE + 11)
    assert table.plain


def test_an_entry_read_again_has_its_number(table: CookieTable) -> None:
    numbered(table, 0, 10, 20, 30)
    assert numbered(table, 0, 10, 20) == [1, 2]
    assert numbered(table, 1, 20, 30, 40, 50) == [2, 3, 4, 5]
    assert table.plain


def test_one_that_went_away_and_one_that_is_new(table: CookieTable) -> None:
    numbered(table, 0, 10, 20, 30, 40)
    assert numbered(table, 0, 10, 30, 40) == [1, 3, 4]
    assert numbered(table, 0, 10, 15, 30) == [1, 5, 3]
    assert numbered(table, 5, 30, 40, 50) == [3, 4, 6]
    assert table.cookie(2) == 20
    assert not table.plain


@pytest.mark.parametrize("matched", [1 << 16, 40], ids=["found again", "numbered anew"])
@pytest.mark.parametrize("seed", range(5))
def test_a_number_denotes_the_same_position_in_a_directory_that_changes(
    seed: int, matched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cookies_module, "MATCHED", matched)
    chance = random.Random(seed)
    table = CookieTable(CookiePool())
    there = sorted({chance.getrandbits(62) + 1 for _ in range(100)})
    given: dict[int, int] = {0: 0}
    for _ in range(400):
        number = chance.choice(list(given))
        cookie = table.cookie(number)
        assert cookie == given[number]
        start = bisect_right(there, cookie)
        batch = there[start : start + chance.randrange(1, 30)]
        if batch:
            found = table.number(number, batch)
            for each, place in zip(found, batch, strict=True):
                assert given.setdefault(each, place) == place
                assert 0 < each <= LAST_NUMBER
        if chance.random() < 0.5 and there:
            there.remove(chance.choice(there))
        else:
            there = sorted({*there, chance.getrandbits(62) + 1})
    if matched == 1 << 16:
        assert len(set(given.values())) == len(given)  # no entry has two


def test_a_pool_clears_the_table_that_has_not_grown_longest_except_at_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cookies_module, "POOL", 3000)
    pool = CookiePool()
    tables = [CookieTable(pool) for _ in range(4)]
    for table in tables:
        numbered(table, 0, *range(LARGE, LARGE + 1000))
        table.here, table.until = 500, 600
    assert [table.cookie(100) for table in tables] == [None, *[LARGE + 99] * 3]
    assert [tables[0].cookie(number) for number in (499, 500, 600, 601)] == [None, LARGE + 499, LARGE + 599, None]
    assert numbered(tables[0], 600, 7, 8) == [601, 602]
    for table in tables:
        table.close()
    assert not pool._sizes
    assert pool._total == 0


def test_a_table_larger_than_its_pool_keeps_the_last_cookies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies_module, "POOL", 3000)
    pool = CookiePool()
    table = CookieTable(pool)
    number = 0
    for start in range(0, 10_000, 1000):
        number = numbered(table, number, *range(start + 1, start + 1001))[-1]
    assert number == 10_000
    assert table.cookie(10_000) == 10_000
    assert table.cookie(1) is None
    assert pool._total <= 3000


def test_small_tables_are_not_charged() -> None:
    pool = CookiePool()
    table = CookieTable(pool)
    numbered(table, 0, *range(1, 128))
    assert not pool._sizes
    table.close()


def test_numbers_never_reach_31_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies_module, "LAST_NUMBER", 10)
    table = CookieTable(CookiePool())
    numbered(table, 0, *range(101, 109))
    assert numbered(table, 8, 109, 110, 111) == [1, 2, 3]
    assert not table.plain


def test_the_numbers_of_a_cached_listing() -> None:
    pool = CookiePool()
    kept = array("Q", [10, 20, 30])
    fresh, same, other, changed = (CookieTable(pool) for _ in range(4))
    numbered(same, 0, 10, 20)
    numbered(other, 0, 10, 21)
    numbered(changed, 0, 10, 20)
    numbered(changed, 0, 10, 15)
    assert [table.adopt(kept) for table in (fresh, same, other, changed)] == [True, True, False, False]
    assert fresh.cookie(3) == 30
    assert fresh.adopt(kept)
    numbered(fresh, 3, 40)
    assert list(kept) == [10, 20, 30]
    assert fresh.between(0, 4) == array("Q", [10, 20, 30, 40])
    fresh.restart()
    assert fresh.last == (0, 0)


@pytest.mark.parametrize("until", [5, 7])
def test_a_table_that_was_cleared_takes_a_cached_listing_again(table: CookieTable, until: int) -> None:
    kept = array("Q", range(101, 111))
    numbered(table, 0, *kept)
    table.here, table.until = 5, until
    table.clear()
    assert table.cookie(3) is None
    assert not table.adopt(array("Q", [*range(101, 105), 1105, *range(106, 111)]))
    assert not table.adopt(kept[:4])
    assert table.adopt(kept)
    assert [table.cookie(number) for number in (1, 5, 10)] == [101, 105, 110]


def test_cookies_between_two_numbers(table: CookieTable) -> None:
    numbered(table, 0, *range(101, 111))
    assert table.between(2, 4) == array("Q", [103, 104])
    assert table.between(0, 11) is None
    table.here = 6
    table.clear()
    assert table.between(5, 6) is None
    numbered(table, 6, 107)
    assert table.between(6, 7) == array("Q", [107])
