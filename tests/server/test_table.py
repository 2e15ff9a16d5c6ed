"""The rows of messages: each dialect has what it may be asked, and each row says which fids it uses."""

from __future__ import annotations

import pytest

from ninep.server.table import BY_DIALECT, ROWS, TABLES
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect
from ninep.wire.messages import NOFID

DIALECTS = [Dialect.LINUX, Dialect.UNIX, Dialect.BASE]
FIDS = {"fid", "newfid", "dfid", "olddirfid", "newdirfid", "dirfid"}


def test_each_message_has_one_row() -> None:
    messages = [row.message for row in ROWS]
    assert len(messages) == len(set(messages))
    assert set(messages) == Dialect.LINUX.requests


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda one: one.name)
def test_a_dialect_has_the_rows_of_its_requests(dialect: Dialect) -> None:
    assert {row.message for row in BY_DIALECT[dialect]} == dialect.requests
    numbers = {number for number, entry in enumerate(TABLES[dialect]) if entry is not None}
    assert numbers == {message.number for message in dialect.requests}


def test_before_a_version_nothing_is_served() -> None:
    assert TABLES[Dialect.UNKNOWN] == [None] * 256


@pytest.mark.parametrize("row", ROWS, ids=lambda one: one.message.__name__)
def test_every_field_that_is_a_fid_is_read_or_excluded(row: m.Message) -> None:
    names = list(row.message.__dataclass_fields__)  # type: ignore[attr-defined]
    used = {names[at] for at in (*row.reads, *row.excludes)}  # type: ignore[attr-defined]
    assert used == FIDS.intersection(names)


def test_what_waits_is_never_called_in_the_event_loop() -> None:
    entry = TABLES[Dialect.LINUX][m.Tfsync.number]
    assert entry is not None
    assert entry.row.waits
    assert entry.inline is None


def test_the_entry_of_a_message_of_numbers() -> None:
    entry = TABLES[Dialect.LINUX][m.Tgetattr.number]
    assert entry is not None
    assert entry.size == 19
    frame = bytes.fromhex("13000000 18 0100 ffffffff ff07000000000000")
    assert list(entry.unpack(frame, 7, 19)) == [NOFID, 0x7FF]
    assert entry.pack is Dialect.LINUX.codec.table[m.Rgetattr.number].pack
    assert not entry.payload
