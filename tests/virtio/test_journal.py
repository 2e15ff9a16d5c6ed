"""The journal of a front end's requests: what counts, what replaces what, and what another process
finds in it.
"""

from __future__ import annotations

import pytest

from ninep.virtio import messages as m
from ninep.virtio.journal import SIZE, Journal
from ninep.virtio.messages import Message, Region, Request, VringAddresses, VringState


def said(request: Request, body: m.Body = None) -> Message:
    return Message(request, m.VERSION, body)


FEATURES = said(Request.SET_FEATURES, 1 << 32)
NUM, BASE = said(Request.SET_VRING_NUM, VringState(0, 128)), said(Request.SET_VRING_BASE, VringState(0, 7))
ADDRESSES = said(Request.SET_VRING_ADDR, VringAddresses(0, 0, 1, 2, 3, 4))
KICK, CALL = said(Request.SET_VRING_KICK, 0), said(Request.SET_VRING_CALL, 0)
LOW, HIGH = (said(Request.ADD_MEM_REG, Region(at, 4096, at, 0)) for at in (0, 1 << 32))


@pytest.fixture
def memory() -> memoryview:
    return memoryview(bytearray(SIZE))


def messages(journal: Journal) -> list[Message]:
    return [entry.message for entry in journal.entries]


def test_another_process_finds_what_was_said(memory: memoryview) -> None:
    journal = Journal(memory)
    journal.begin("vhost-user:/s")
    assert (Journal(memory).about, Journal(memory).entries) == ("vhost-user:/s", [])
    for number, one in enumerate([FEATURES, NUM, BASE, ADDRESSES, KICK, CALL]):
        journal.add(one, [number] if one in (KICK, CALL) else [])
        again = Journal(memory)
        assert (again.about, again.entries) == ("vhost-user:/s", journal.entries)
    assert messages(journal) == [FEATURES, NUM, BASE, ADDRESSES, KICK, CALL]
    assert journal.numbers == {4, 5}


def test_one_that_ends_while_it_writes_leaves_what_was_there_before(memory: memoryview) -> None:
    journal = Journal(memory)
    journal.add(FEATURES)
    before = bytes(memory)
    journal.add(NUM)
    written = bytes(memory)
    memory[:8] = before[:8]  # all but the last store
    assert written[8:] == bytes(memory)[8:]
    assert messages(Journal(memory)) == [FEATURES]


@pytest.mark.parametrize(
    ("before", "then", "left"),
    [
        ([CALL, KICK], CALL, [KICK, CALL]),
        ([NUM, KICK], said(Request.SET_VRING_NUM, VringState(1, 8)), None),
        ([NUM, KICK], said(Request.GET_VRING_BASE, VringState(0, 0)), [NUM]),
        ([NUM, KICK], said(Request.SET_STATUS, 0), [NUM, said(Request.SET_STATUS, 0)]),
        ([NUM, KICK], said(Request.SET_STATUS, 4), None),
        ([LOW, HIGH], said(Request.REM_MEM_REG, Region(0, 4096, 0, 99)), [HIGH]),
        ([LOW, HIGH], said(Request.SET_MEM_TABLE, ()), [said(Request.SET_MEM_TABLE, ())]),
        ([LOW, FEATURES, NUM, KICK], said(Request.RESET_DEVICE), [LOW, FEATURES]),
        ([LOW], said(Request.GET_FEATURES), [LOW]),
    ],
)
def test_what_counts_no_more(
    memory: memoryview, before: list[Message], then: Message, left: list[Message] | None
) -> None:
    journal = Journal(memory)
    for one in before:
        journal.add(one)
    journal.add(then)
    assert messages(Journal(memory)) == ([*before, then] if left is None else left)


def test_the_largest_table_of_regions_fits(memory: memoryview) -> None:
    journal = Journal(memory)
    for slot in range(509):
        journal.add(said(Request.ADD_MEM_REG, Region(slot << 40, 1 << 40, slot << 40, 1 << 60)), [slot])
    assert len(Journal(memory).entries) == 509
