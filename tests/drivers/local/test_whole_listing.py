"""A listing that is read whole when it begins."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ninep.drivers.local import whole_listing
from ninep.drivers.local.whole_listing import WholeListing
from ninep.host import Entry
from ninep.linux import DT_REG


class ByIndex:
    """A directory whose cookies are places in what is there now, as programs behind FUSE have it."""

    def __init__(self, count: int) -> None:
        self.names = [b"%d" % number for number in range(count)]
        self.reads = 0
        self.closed = self.synced = False

    def read(self, cookie: int, size: int = 0) -> Sequence[Entry]:
        self.reads += 1
        part = self.names[cookie : cookie + 7]
        return [Entry(number, number, DT_REG, name) for number, name in enumerate(part, cookie + 1)]

    def sync(self) -> None:
        self.synced = True

    def close(self) -> None:
        self.closed = True


def names_while_removing(listing: WholeListing | ByIndex, directory: ByIndex) -> list[bytes]:
    seen: list[bytes] = []
    cookie = 0
    while batch := listing.read(cookie, 640):
        cookie = batch[-1][1]
        for entry in batch:
            seen.append(entry[3])
            directory.names.remove(entry[3])
    return seen


def test_one_who_removes_what_was_read_misses_nothing() -> None:
    directory = ByIndex(100)
    before = list(directory.names)
    assert names_while_removing(WholeListing(directory), directory) == before
    directory = ByIndex(100)
    assert names_while_removing(directory, directory) != before, "what it is for"


def test_it_begins_afresh_at_its_start() -> None:
    directory = ByIndex(3)
    listing = WholeListing(directory)
    assert [entry[3] for entry in listing.read(0)] == [b"0", b"1", b"2"]
    directory.names.append(b"new")
    assert not listing.read(3)
    assert [entry[3] for entry in listing.read(0)][-1] == b"new"


def test_a_place_in_the_middle_is_found_without_a_start() -> None:
    assert [entry[3] for entry in WholeListing(ByIndex(5)).read(3)] == [b"3", b"4"]


def test_a_very_large_directory_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_listing, "MAX_ENTRIES", 10)
    directory = ByIndex(30)
    listing = WholeListing(directory)
    listing.read(0)
    before = directory.reads
    assert listing.read(14)[0][3] == b"14"
    assert directory.reads == before + 1


def test_the_rest_is_that_of_the_listing() -> None:
    directory = ByIndex(1)
    listing = WholeListing(directory)
    listing.sync()
    listing.close()
    assert directory.synced
    assert directory.closed
