"""Directories as stat records: what waits to be read is bounded. (What is read:
``handlers/test_base.py``.)
"""

from __future__ import annotations

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.node import User
from ninep.server.listing import BATCH, LONGEST_ENTRY, LOOKS, StatListing
from ninep.wire.codec import unpack_stat
from ninep.wire.modes import EXTENDED, PLAIN

TARGET = b"t" * 4000


@pytest.mark.parametrize("target", [TARGET, b"t"])
def test_records_at_hand_are_few_however_large_they_are(target: bytes) -> None:
    root = MemoryDriver().attach(User())
    for number in range(200):
        root.symlink(b"%d" % number, target, 0, 0)
    listing = StatListing(root, root.opendir(), EXTENDED)
    names: list[bytes] = []
    offset = 0
    while data := listing.read(offset, len(target) + 500):
        offset += len(data)
        assert sum(map(len, listing._waiting)) <= BATCH + len(target) + LONGEST_ENTRY
        at = 0
        while at < len(data):
            record, at = unpack_stat(data, at, len(data), EXTENDED)
            names.append(record.name)
    assert sorted(names) == sorted(b"%d" % number for number in range(200))


@pytest.mark.parametrize("extended", [True, False])
def test_a_message_looks_at_some_entries_only_and_none_is_missed(extended: bool) -> None:
    root = MemoryDriver().attach(User())
    for number in range(5000):
        root.symlink(b"%d" % number, b"t", 0, 0)
    listing = StatListing(root, root.opendir(), EXTENDED if extended else PLAIN)
    names: list[bytes] = []
    offset = looks = 0
    while data := listing.read(offset, 1 << 20):
        assert listing._looks - looks <= LOOKS + BATCH // 49  # a record has 49 bytes besides its strings
        looks = listing._looks
        offset += len(data)
        at = 0
        while at < len(data):
            record, at = unpack_stat(data, at, len(data), EXTENDED if extended else PLAIN)
            names.append(record.name)
    assert sorted(names) == sorted(b"%d" % number for number in range(5000))


@pytest.mark.parametrize(
    ("largest", "shown"),
    [(232, {b"file": False, b"link": False}), (5000, {b"file": False, b"link": True, b"n" * 255: False})],
)
def test_a_record_larger_than_a_message_does_not_hide_the_entries_after_it(
    largest: int, shown: dict[bytes, bool], caplog: pytest.LogCaptureFixture
) -> None:
    root = MemoryDriver().attach(User())
    root.symlink(b"link", TARGET, 0, 0)
    root.mknod(b"n" * 255, 0o100644, 0, 0, 0)
    root.mknod(b"file", 0o100644, 0, 0, 0)
    listing = StatListing(root, root.opendir(), EXTENDED, largest=largest)
    found: dict[bytes, bool] = {}
    offset = 0
    while data := listing.read(offset, largest):
        offset += len(data)
        at = 0
        while at < len(data):
            record, at = unpack_stat(data, at, len(data), EXTENDED)
            found[record.name] = record.extension == TARGET
    assert found == shown
    assert len(caplog.messages) == (largest == 232)
