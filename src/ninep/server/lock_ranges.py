"""The byte ranges that are locked on one file, and what a change makes of them. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple

from ninep.linux import LOCK_WRLCK
from ninep.node import OpenFile

END = 1 << 63
"""Where a lock 'to the end of the file' ends."""


class Owner(NamedTuple):
    """Who holds a lock."""

    session: object
    client_id: bytes
    proc_id: int


class Range(NamedTuple):
    """One locked range: ``start`` to ``end`` (exclusive)."""

    owner: Owner
    kind: int
    start: int
    end: int
    fid: object
    file: OpenFile | None
    """What the lock is also taken through on the host; None for a directory, which the host cannot
    lock.
    """

    @property
    def length(self) -> int:
        """The length as Tlock has it: 0 to the end of the file."""
        return 0 if self.end == END else self.end - self.start


START = attrgetter("start")
_LAST = attrgetter("end")


class FileLocks:
    """The ranges of one file: those of an owner in order, none of which overlap."""

    __slots__ = ("count", "owners")

    def __init__(self, first: Range) -> None:
        self.owners: dict[Owner, list[Range]] = {first.owner: [first]}
        self.count = 1

    def add(self, more: int) -> None:
        """There are so many ranges more than before; less than 0: fewer."""
        self.count += more

    def touched(self, owner: Owner, start: int, end: int) -> tuple[int, int]:
        """Which of an owner's ranges have something between ``start`` and ``end``: from the first
        index to before the second.
        """
        ranges: Sequence[Range] = self.owners.get(owner, ())
        first = bisect_right(ranges, start, key=_LAST)
        return first, bisect_left(ranges, end, first, key=START)

    def own(self, owner: Owner, start: int, end: int) -> list[Range]:
        """Those ranges."""
        first, last = self.touched(owner, start, end)
        return self.owners[owner][first:last] if last > first else []

    def others(self, owner: Owner, start: int, end: int) -> Iterator[Range]:
        """What other owners have there."""
        for other, ranges in self.owners.items():
            if other == owner or ranges[0].start >= end or ranges[-1].end <= start:
                continue
            first, last = self.touched(other, start, end)
            yield from ranges[first:last]

    def conflict(self, wanted: Range) -> Range | None:
        """What stands in the way."""
        for held in self.others(wanted.owner, wanted.start, wanted.end):
            if LOCK_WRLCK in {wanted.kind, held.kind}:
                return held
        return None


class Change(NamedTuple):
    """What becomes of an owner's ranges on a file: ``first`` to ``last`` of them are replaced by
    ``by``.
    """

    owner: Owner
    first: int
    last: int
    by: list[Range]

    @property
    def more(self) -> int:
        """How many more ranges there are then."""
        return len(self.by) - (self.last - self.first)


def less(ranges: Iterable[Range], start: int, end: int) -> list[Range]:
    """The ranges less what lies between: what sticks out on either side stays."""
    rest: list[Range] = []
    for held in ranges:
        if held.start < start:
            rest.append(held._replace(end=min(held.end, start)))
        if end < held.end:
            rest.append(held._replace(start=max(held.start, end)))
    return rest


def without(start: int, end: int, kept: Iterable[Range]) -> Iterator[tuple[int, int]]:
    """What is left between two ends without some ranges."""
    for one in sorted(kept, key=START):
        if one.start >= end:
            break
        if start < one.start:
            yield start, one.start
        start = max(start, one.end)
    if start < end:
        yield start, end
