"""T25: tags: used twice, flushed at the wrong moment, in long chains, or while the answer is on its
way.

All that goes out and all that comes in is recorded, as type and tag, and an oracle that knows
flush(5) and nothing of the server goes through the record: each request is answered once, or not at
all if it was flushed; a flush is answered after what it flushed; about a tag nothing is said after
its Rflush. ``NINEP_LONG=1`` makes it a hundred times as many.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.support.client import TIMEOUT
from tests.support.served import LAYERS
from tests.threats.lab import LONG, Attacker, Lab, restless
from tests.threats.verbs import ROOT, UNTOUCHED

from ninep.linux import GETATTR_BASIC
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED, PLAIN

ROUNDS = 1000 if LONG else 10
FLUSHES = 10_000
ERRORS = {m.Rlerror.number, m.Rerror.number}
OPEN = 1
NUMBERS = itertools.count()


class Wire:
    """A connection in a dialect, with a record of all it says and hears: ``(">" or "<", type, tag,
    oldtag)``.
    """

    def __init__(self, lab: Lab, dialect: bytes) -> None:
        self.client: Attacker = lab.client(dialect)
        self.client.create(ROOT, OPEN, b"file-%d" % next(NUMBERS), b"content" * 100)
        self.record: list[tuple[str, int, int, int]] = []
        self._codec = codec(EXTENDED if self.client.judge.extended else PLAIN)

    def send(self, *requests: tuple[int, m.Message]) -> None:
        frames = b""
        for tag, message in requests:
            frames += b"".join(self._codec.encode(tag, message))
            self.record.append((">", message.number, tag, getattr(message, "oldtag", -1)))
        self.client.sock.sendall(frames)

    def hear(self, count: int = 1) -> None:
        for _ in range(count):
            frame = self.client.receive_frame()
            self.record.append(("<", frame[4], int.from_bytes(frame[5:7], "little"), -1))

    def hear_all(self) -> None:
        """We say no more: the server answers what it owes, and hangs up."""
        self.client.sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while True:
                self.hear()


class Oracle:
    """What may be said next; an AssertionError for what may not."""

    def __init__(self) -> None:
        self.owed: dict[int, deque[int]] = defaultdict(deque)
        """For each tag the types of what was asked for under it and not answered, in the order in
        which it came.
        """
        self.flushed: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
        """For each tag of a Tflush: which tag it flushes, and how many requests with that were sent
        before it.
        """
        self.sent: dict[int, int] = defaultdict(int)
        self.settled: dict[int, int] = defaultdict(int)
        self.refused: dict[int, int] = defaultdict(int)
        """For each tag how many of several that were owed were refused: which, an error does not
        tell.
        """

    def judge(self, record: list[tuple[str, int, int, int]]) -> None:
        for arrow, number, tag, oldtag in record:
            if arrow == ">":
                self.owed[tag].append(number)
                self.sent[tag] += 1
                if number == m.Tflush.number:
                    self.flushed[tag].append((oldtag, self.sent[oldtag]))
            else:
                self.answer(number, tag)
        left = {tag: owed for tag, owed in self.owed.items() if len(owed) != self.refused[tag]}
        assert not left, f"never answered, nor flushed: {left}"

    def answer(self, number: int, tag: int) -> None:
        owed = self.owed[tag]
        assert owed, f"type {number} for tag {tag}, of which everything has been said"
        if number in ERRORS:
            if len(owed) > 1:
                self.refused[tag] += 1
                assert self.refused[tag] < len(owed), "the one in flight is no reason to refuse itself"
            else:
                owed.pop()
        else:
            assert number - 1 in owed, f"type {number} for tag {tag}; asked for was {list(owed)}"
            owed.remove(number - 1)
        self.settled[tag] += 1
        if number == m.Rflush.number:
            oldtag, before = self.flushed[tag].popleft()
            while self.settled[oldtag] < before and oldtag != tag:
                self.owed[oldtag].popleft()  # unanswered, and from now on it stays so
                self.settled[oldtag] += 1


def slow(lab: Lab, client: Attacker) -> m.Message:
    """A request that is served in a thread, whatever the driver says."""
    return m.Tfsync(OPEN) if client.linux else m.Twstat(OPEN, UNTOUCHED)


def quick(client: Attacker) -> m.Message:
    return m.Tgetattr(ROOT, GETATTR_BASIC) if client.linux else m.Tstat(ROOT)


@pytest.fixture(params=["fast", "misses", "waits"])
def lab(labs: Callable[..., Lab], request: pytest.FixtureRequest) -> Lab:
    """Tags know no models; but whether requests wait in threads makes all the difference."""
    lab = labs("mapped-xattr")
    lab.put_around(lab.audit, lab.faults, LAYERS[request.param])
    return lab


def test_any_mixture(lab: Lab, dialect: bytes) -> None:
    """Requests and flushes of anything: of what runs, what waits, what was answered, what never
    was, of flushes, of itself.
    """
    with restless():
        for seed in range(ROUNDS):
            chance = random.Random(seed)
            wire = Wire(lab, dialect)
            tags = list(range(1, 200))
            chance.shuffle(tags)
            used = [500]
            for _ in range(chance.randrange(1, 8)):
                batch: list[tuple[int, m.Message]] = []
                for _ in range(chance.randrange(1, 24)):
                    tag = tags.pop()
                    asks = [
                        slow(lab, wire.client),
                        quick(wire.client),
                        m.Tread(OPEN, 0, 99),
                        m.Twrite(OPEN, 0, b"x"),
                        m.Tflush(chance.choice([*used, tag])),
                    ]
                    batch.append((tag, chance.choice([*asks, asks[-1]])))
                    used.append(tag)
                wire.send(*batch)
                answered = sum(arrow == "<" for arrow, *_ in wire.record)
                owed = sum(arrow == ">" and number == m.Tflush.number for arrow, number, *_ in wire.record)
                wire.hear(chance.randrange(max(0, owed - answered) + 1))  # a flush is always answered
            wire.hear_all()
            Oracle().judge(wire.record)
            wire.client.close()


def test_a_tag_that_is_in_flight(lab: Lab, dialect: bytes) -> None:
    """Used again and again, answered or not: each request is answered, some of them
    with an error.
    """
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        wire = Wire(lab, dialect)
        requests = [
            (chance.randrange(1, 4), chance.choice([slow(lab, wire.client), quick(wire.client)])) for _ in range(30)
        ]
        wire.send(*requests)
        wire.hear(len(requests))
        wire.hear_all()
        Oracle().judge(wire.record)
        wire.client.close()


def test_a_tag_in_flight_is_refused_and_the_first_answered(lab: Lab, dialect: bytes) -> None:
    wire = Wire(lab, dialect)
    held = lab.faults.hold("file.fsync")
    wire.send((7, slow(lab, wire.client)))
    assert held.reached.wait(TIMEOUT)
    wire.send((7, quick(wire.client)), (7, m.Tflush(7)), (8, m.Tflush(7)))
    wire.hear(2)
    assert [(tag, number in ERRORS) for _, number, tag, _ in wire.record[-2:]] == [(7, True), (7, True)]
    held.go.set()
    wire.hear(2)
    assert [(tag, number) for _, number, tag, _ in wire.record[-2:]] == [
        (7, slow(lab, wire.client).number + 1),
        (8, m.Rflush.number),
    ]
    wire.send((7, quick(wire.client)))
    wire.hear()
    assert wire.record[-1][1] == quick(wire.client).number + 1
    wire.hear_all()
    assert len(wire.record) == 10


@pytest.mark.parametrize("chain", [True, False], ids=["each flushes the one before", "all flush one"])
def test_ten_thousand_flushes(lab: Lab, dialect: bytes, chain: bool) -> None:
    wire = Wire(lab, dialect)
    held = lab.faults.hold("file.fsync")
    wire.send((1, slow(lab, wire.client)))
    assert held.reached.wait(TIMEOUT)
    for start in range(2, FLUSHES + 2, 200):
        wire.send(*((tag, m.Tflush(tag - 1 if chain else 1)) for tag in range(start, start + 200)))
        if start == 202:
            held.go.set()
        if start >= 202:
            wire.hear(200)
    wire.hear_all()
    Oracle().judge(wire.record)
    assert [number for arrow, number, _, _ in wire.record if arrow == "<"][1:] == [m.Rflush.number] * FLUSHES


def test_notag_is_a_tag_like_any_other(lab: Lab, dialect: bytes) -> None:
    wire = Wire(lab, dialect)
    for _ in range(50):
        wire.send((m.NOTAG, slow(lab, wire.client)), (5, m.Tflush(m.NOTAG)))
        while wire.record[-1][:3] != ("<", m.Rflush.number, 5):
            wire.hear()
        wire.send((m.NOTAG, quick(wire.client)))
        wire.hear()
    wire.hear_all()
    Oracle().judge(wire.record)


@pytest.mark.parametrize(
    "record",
    [
        [(">", 116, 1, -1)],
        [(">", 116, 1, -1), ("<", 117, 1, -1), ("<", 117, 1, -1)],
        [(">", 116, 1, -1), ("<", 119, 1, -1)],
        [(">", 116, 1, -1), ("<", 117, 2, -1)],
        [(">", 116, 1, -1), (">", 108, 2, 1), ("<", 109, 2, -1), ("<", 117, 1, -1)],
        [(">", 116, 1, -1), (">", 108, 2, 1), ("<", 117, 1, -1)],
    ],
    ids=["unanswered", "twice", "another type", "another tag", "after its Rflush", "no Rflush"],
)
def test_the_oracle_sees_what_is_wrong(record: list[tuple[str, int, int, int]]) -> None:
    with pytest.raises(AssertionError):
        Oracle().judge(record)
