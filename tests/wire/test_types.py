"""Stat records and directory entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.wire_examples import PLAIN_STAT, STAT, STAT_FIXED, STAT_NAMES, octets
from tests.wire.wire_reference import stat_record
from tests.wire.wire_strategies import DIRENTS, STATS

from ninep.wire.codec import DIRENT_SIZE, STAT_BASE, Malformed, pack_dirents, pack_stat, unpack_dirents, unpack_stat
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Dirent, Stat

RECORD = octets(f"4100 {STAT_FIXED} {STAT_NAMES} 0000 e8030000 64000000 e8030000")
PLAIN_RECORD = octets(f"3300 {STAT_FIXED} {STAT_NAMES}")

DOT = Dirent(0x80, 7, 0x1122334455667788, 1, 4, b".")
FILE = Dirent(0, 1, 2, (1 << 63) - 1, 8, b"f\xff")
DOT_BYTES = octets("80 07000000 8877665544332211 0100000000000000 04 0100 '.'")
FILE_BYTES = octets("00 01000000 0200000000000000 ffffffffffffff7f 08 0200 'f' ff")


class TestStat:
    def test_record_of_9p2000_u(self) -> None:
        assert pack_stat(STAT, EXTENDED) == RECORD
        assert unpack_stat(RECORD, 0, len(RECORD), EXTENDED) == (STAT, len(RECORD))

    def test_record_of_9p2000(self) -> None:
        assert pack_stat(STAT, PLAIN) == PLAIN_RECORD
        assert unpack_stat(PLAIN_RECORD, 0, len(PLAIN_RECORD), PLAIN) == (PLAIN_STAT, len(PLAIN_RECORD))

    def test_the_smallest_record_is_stat_base_and_its_size(self) -> None:
        assert len(pack_stat(Stat(), PLAIN)) == STAT_BASE + 2

    def test_a_directorys_data_is_record_after_record(self) -> None:
        data = PLAIN_RECORD + pack_stat(STAT._replace(name=b"second"), PLAIN)
        _, end = unpack_stat(data, 0, len(data), PLAIN)
        second, end = unpack_stat(data, end, len(data), PLAIN)
        assert (second.name, end) == (b"second", len(data))

    @given(STATS, st.booleans())
    def test_round_trip(self, stat: Stat, extended: bool) -> None:
        record = pack_stat(stat, EXTENDED if extended else PLAIN)
        assert record == stat_record(stat, extended)
        back, end = unpack_stat(record, 0, len(record), EXTENDED if extended else PLAIN)
        assert end == len(record)
        assert back == (stat if extended else Stat(*stat[:11]))

    @pytest.mark.parametrize("extended", [False, True])
    def test_a_record_cut_anywhere_is_refused(self, extended: bool) -> None:
        record = RECORD if extended else PLAIN_RECORD
        for cut in range(len(record)):
            with pytest.raises(Malformed):
                unpack_stat(record[:cut], 0, cut, EXTENDED if extended else PLAIN)
            # the bytes are there, but they belong to what follows
            with pytest.raises(Malformed):
                unpack_stat(record, 0, cut, EXTENDED if extended else PLAIN)

    @pytest.mark.parametrize("size", [0, 1, 46, 0x40, 0x42, 0xFFFF])
    def test_a_record_with_a_wrong_size_is_refused(self, size: int) -> None:
        record = size.to_bytes(2, "little") + RECORD[2:] + bytes(0x10000)
        with pytest.raises(Malformed):
            unpack_stat(record, 0, len(record), EXTENDED)

    @pytest.mark.parametrize("field", range(5))
    def test_a_string_that_reaches_over_the_end_is_refused(self, field: int) -> None:
        record = bytearray(RECORD)
        at = 2 + 39 + 3 * field
        record[at : at + 2] = b"\xff\xff"
        with pytest.raises(Malformed):
            unpack_stat(bytes(record), 0, len(record), EXTENDED)

    def test_an_extended_record_in_a_plain_session_is_refused(self) -> None:
        with pytest.raises(Malformed):
            unpack_stat(RECORD, 0, len(RECORD), PLAIN)


class TestDirents:
    def test_bytes(self) -> None:
        pieces, taken = pack_dirents([DOT, FILE], 100)
        assert (b"".join(pieces), taken) == (DOT_BYTES + FILE_BYTES, 2)
        assert unpack_dirents(DOT_BYTES + FILE_BYTES) == [DOT, FILE]

    def test_an_entry_takes_24_bytes_and_its_name(self) -> None:
        assert len(DOT_BYTES) == DIRENT_SIZE + 1

    @pytest.mark.parametrize(("room", "taken"), [(0, 0), (24, 0), (25, 1), (50, 1), (51, 2), (52, 2)])
    def test_only_whole_entries_are_packed(self, room: int, taken: int) -> None:
        pieces, count = pack_dirents([DOT, FILE], room)
        assert count == taken
        assert sum(map(len, pieces)) <= room
        assert unpack_dirents(b"".join(pieces)) == [DOT, FILE][:taken]

    def test_a_small_entry_does_not_overtake_a_large_one(self) -> None:
        large = DOT._replace(name=b"x" * 100)
        assert pack_dirents([large, DOT], 60) == ([], 0)

    def test_no_entries_are_no_bytes(self) -> None:
        assert pack_dirents([], 100) == ([], 0)
        assert unpack_dirents(b"") == []

    @given(DIRENTS, st.integers(0, 400))
    def test_round_trip(self, entries: list[Dirent], room: int) -> None:
        pieces, taken = pack_dirents(entries, room)
        assert unpack_dirents(memoryview(b"".join(pieces))) == entries[:taken]
        whole = sum(24 + len(entry.name) for entry in entries[: taken + 1])
        assert taken == len(entries) or whole > room

    def test_a_torn_entry_is_refused(self) -> None:
        data = DOT_BYTES + FILE_BYTES
        for cut in set(range(1, len(data))) - {len(DOT_BYTES)}:
            with pytest.raises(Malformed):
                unpack_dirents(data[:cut])
