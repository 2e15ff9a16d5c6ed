"""The arithmetic of byte ranges: no files, no server."""

import pytest

from ninep.linux import LOCK_RDLCK, LOCK_WRLCK
from ninep.server.lock_ranges import END, Change, FileLocks, Owner, Range, less, without

ONE, TWO = Owner(1, b"one", 1), Owner(2, b"two", 2)


def locked(start: int, end: int, owner: Owner = ONE, kind: int = LOCK_WRLCK) -> Range:
    return Range(owner, kind, start, end, fid=None, file=None)


def spans(ranges: list[Range]) -> list[tuple[int, int]]:
    return [(one.start, one.end) for one in ranges]


def table(*ranges: Range) -> FileLocks:
    locks = FileLocks(ranges[0])
    for one in ranges[1:]:
        locks.owners.setdefault(one.owner, []).append(one)
        locks.add(1)
    return locks


def test_the_length_of_tlock() -> None:
    assert locked(10, 15).length == 5
    assert locked(10, END).length == 0


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (0, 10, []),  # up to where the first begins
        (0, 11, [(10, 20)]),
        (19, 30, [(10, 20)]),
        (20, 30, []),  # between both
        (15, 35, [(10, 20), (30, 40)]),
        (40, END, []),
    ],
)
def test_what_an_owner_has_in_a_range(start: int, end: int, found: list[tuple[int, int]]) -> None:
    locks = table(locked(10, 20), locked(30, 40))
    assert spans(locks.own(ONE, start, end)) == found
    assert locks.own(TWO, start, end) == []
    assert spans(list(locks.others(TWO, start, end))) == found
    assert list(locks.others(ONE, start, end)) == []


@pytest.mark.parametrize(
    ("held", "wanted", "conflicts"),
    [
        (LOCK_RDLCK, LOCK_RDLCK, False),
        (LOCK_RDLCK, LOCK_WRLCK, True),
        (LOCK_WRLCK, LOCK_RDLCK, True),
        (LOCK_WRLCK, LOCK_WRLCK, True),
    ],
)
def test_conflicts(held: int, wanted: int, conflicts: bool) -> None:
    first = locked(10, 20, ONE, held)
    locks = table(first)
    assert locks.conflict(locked(15, 16, TWO, wanted)) == (first if conflicts else None)
    assert locks.conflict(locked(15, 16, ONE, wanted)) is None  # one's own
    assert locks.conflict(locked(20, 30, TWO, wanted)) is None  # behind it


@pytest.mark.parametrize(
    ("start", "end", "rest"),
    [
        (0, 10, [(10, 20)]),
        (0, 15, [(15, 20)]),
        (15, 30, [(10, 15)]),
        (12, 15, [(10, 12), (15, 20)]),
        (10, 20, []),
    ],
)
def test_an_unlock_leaves_what_sticks_out(start: int, end: int, rest: list[tuple[int, int]]) -> None:
    assert spans(less([locked(10, 20)], start, end)) == rest


@pytest.mark.parametrize(
    ("start", "end", "left"),
    [
        (0, 50, [(0, 10), (20, 30), (40, 50)]),
        (10, 20, []),
        (15, 35, [(20, 30)]),
        (0, 5, [(0, 5)]),
    ],
)
def test_what_is_left_between_ranges(start: int, end: int, left: list[tuple[int, int]]) -> None:
    assert list(without(start, end, [locked(30, 40), locked(10, 20)])) == left


def test_how_many_more_ranges_a_change_makes() -> None:
    assert Change(ONE, 1, 4, [locked(0, 1)]).more == -2
    assert Change(ONE, 2, 2, [locked(0, 1)]).more == 1
