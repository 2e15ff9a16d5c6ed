"""The rows of FUSE's requests."""

from __future__ import annotations

import pytest

from ninep.fuse.table import ABSENT, ROWS, SILENT, TABLE, TABLE_SETXATTR_EXT
from ninep.wire.fuse import REQUESTS, Opcode


def test_a_request_is_served_or_absent_for_a_reason() -> None:
    assert not set(ROWS) & set(ABSENT)
    assert set(TABLE) == {int(opcode) for opcode in ROWS}


@pytest.mark.parametrize("opcode", ROWS, ids=lambda one: one.name)
def test_each_entry_is_compiled_from_its_row(opcode: Opcode) -> None:
    entry = TABLE[int(opcode)]
    assert entry.opcode is opcode
    assert entry.row is ROWS[opcode]
    assert entry.inline is (None if entry.row.waits else entry.row.now or entry.row.handler)


@pytest.mark.parametrize("opcode", [opcode for opcode in ROWS if ROWS[opcode].handles], ids=lambda one: one.name)
def test_handles_are_fields_of_the_request(opcode: Opcode) -> None:
    fields = len(REQUESTS[opcode].numbers)
    assert max(ROWS[opcode].handles) < fields


def test_a_kernel_with_the_long_setxattr_has_one_other_entry() -> None:
    differing = {number for number, entry in TABLE_SETXATTR_EXT.items() if entry is not TABLE.get(number)}
    assert differing == {int(Opcode.SETXATTR)}


def test_what_has_no_reply_is_not_in_the_table() -> None:
    assert not {int(opcode) for opcode in SILENT} & TABLE.keys()
