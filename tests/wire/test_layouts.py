"""Stat records and directory entries, as they stand in the data of a Tread and an Rreaddir."""

import pytest
from tests.wire.wire_examples import FILE, FILE_QID, octets

from ninep.linux import DT_DIR, DT_REG
from ninep.wire.layouts import DIRENT_SIZE, Malformed, pack_dirents, pack_stat, unpack_dirents, unpack_stat
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Dirent, Qid, Stat

RECORD = Stat(1, 2, Qid(0, 3, 4), 0o644, 5, 6, 7, b"f", b"u", b"g", b"m", b"", 1000, 100, 1000)
FIXED = "0100 02000000 00 03000000 0400000000000000 a4010000 05000000 06000000 0700000000000000"
NAMES = "0100 'f' 0100 'u' 0100 'g' 0100 'm'"
PLAIN_BYTES = octets(f"3300 {FIXED} {NAMES}")
EXTENDED_BYTES = octets(f"4100 {FIXED} {NAMES} 0000 e8030000 64000000 e8030000")


def test_a_record_of_plain_9p2000() -> None:
    assert pack_stat(RECORD, PLAIN) == PLAIN_BYTES
    found, end = unpack_stat(PLAIN_BYTES + b"next", 0, len(PLAIN_BYTES), PLAIN)
    assert (found.name, found.uid, found.length, end) == (b"f", b"u", 7, 53)
    assert (found.extension, found.n_uid) == (b"", 0xFFFFFFFF)


def test_a_record_of_9p2000_u() -> None:
    assert pack_stat(RECORD, EXTENDED) == EXTENDED_BYTES
    assert unpack_stat(b"before" + EXTENDED_BYTES, 6, 6 + 67, EXTENDED) == (RECORD, 6 + 67)


@pytest.mark.parametrize("end", range(53))
def test_a_record_that_is_cut_off(end: int) -> None:
    with pytest.raises(Malformed):
        unpack_stat(PLAIN_BYTES[:end], 0, end, PLAIN)


def test_a_record_whose_size_is_not_that_of_its_fields() -> None:
    longer = b"\x34\x00" + PLAIN_BYTES[2:] + b"x"
    with pytest.raises(Malformed, match="wrong size"):
        unpack_stat(longer, 0, len(longer), PLAIN)


ENTRIES = [
    Dirent(FILE.type, FILE.version, FILE.path, 1, DT_REG, b"a"),
    Dirent(0x80, 0, 9, 2, DT_DIR, b"directory"),
]
ENTRY_BYTES = octets(f"{FILE_QID} 0100000000000000 08 0100 'a'")


def test_entries_of_a_directory() -> None:
    pieces, taken = pack_dirents(ENTRIES, 1000)
    assert taken == 2
    assert b"".join(pieces).startswith(ENTRY_BYTES)
    assert unpack_dirents(b"".join(pieces)) == ENTRIES


@pytest.mark.parametrize(("room", "taken"), [(0, 0), (DIRENT_SIZE, 0), (DIRENT_SIZE + 1, 1), (57, 1), (58, 2)])
def test_only_whole_entries_are_packed(room: int, taken: int) -> None:
    pieces, found = pack_dirents(ENTRIES, room)
    assert found == taken
    assert len(unpack_dirents(b"".join(pieces))) == taken


def test_an_entry_with_a_name_that_is_too_long_is_consumed_and_left_out() -> None:
    pieces, taken = pack_dirents(ENTRIES, 1000, longest=8)
    assert taken == 2
    assert unpack_dirents(b"".join(pieces)) == ENTRIES[:1]


@pytest.mark.parametrize("end", range(1, len(ENTRY_BYTES)))
def test_an_entry_that_is_cut_off(end: int) -> None:
    with pytest.raises(Malformed, match="cut off"):
        unpack_dirents(ENTRY_BYTES[:end])
