"""A change that all workers make, or none: what the parent says to whom, and when."""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ninep.server import worker_change
from ninep.server.worker import ABANDON, COMMIT, FAILED, PREPARE, PREPARED, Asked, Handed, Worker, take_messages
from ninep.server.worker_change import Change, Changing

Make = Callable[..., tuple[Worker, socket.socket]]


@pytest.fixture
def worker() -> Iterator[Make]:
    """`worker()`: a worker as the parent sees it, and its own end of the line."""
    with ExitStack() as stack:

        def make(owes: int = 0) -> tuple[Worker, socket.socket]:
            ours, theirs = (stack.enter_context(one) for one in socket.socketpair())
            ours.setblocking(False)
            theirs.setblocking(False)
            made = Worker(0, ours, 0, theirs)
            made.owes = owes
            return made, theirs

        yield make


@pytest.fixture
def change() -> Iterator[Change]:
    with tempfile.TemporaryFile() as file:
        file.write(b"what to do")
        file.flush()
        yield Change(file.fileno(), {}, (), lambda _: None)


def told(end: socket.socket) -> list[bytes]:
    """What a worker was told, by the letters of the messages."""
    found = []
    for message in itertools.chain.from_iterable(
        iter(lambda: take_messages(end), [])
    ):  # one receive ends at a descriptor
        assert isinstance(message, Asked)
        found.append(message.what)
        if message.descriptor >= 0:
            assert os.pread(message.descriptor, 99, 0) == b"what to do"
            os.close(message.descriptor)
    return found


def test_one_prepares_then_all_then_all_commit(worker: Make, change: Change) -> None:
    (busy, busy_end), (idle, idle_end), (third, third_end) = worker(owes=1), worker(), worker()
    changing = Changing(change, [busy, idle, third])
    assert (told(busy_end), told(idle_end), told(third_end)) == ([], [PREPARE], [])
    assert changing.step() is None
    changing.hear(idle, PREPARED)
    assert changing.step() is None
    assert (told(busy_end), told(idle_end), told(third_end)) == ([PREPARE], [], [PREPARE])
    changing.hear(third, b"." + PREPARED)
    assert changing.step() is None
    changing.hear(busy, PREPARED)
    assert changing.step() is True
    changing.end(True, [])
    assert told(busy_end) == told(idle_end) == told(third_end) == [COMMIT]


def test_one_that_cannot_ends_it_for_all(worker: Make, change: Change) -> None:
    (first, first_end), (second, second_end), (third, third_end) = worker(), worker(), worker()
    changing = Changing(change, [first, second, third])
    changing.hear(first, FAILED)
    assert changing.step() is False
    changing.end(False, [])
    assert told(first_end) == [PREPARE, ABANDON]
    assert told(second_end) == told(third_end) == []


@pytest.mark.parametrize("which", [0, 1])
def test_one_that_dies_or_hangs_ends_it_for_all(worker: Make, change: Change, which: int) -> None:
    workers = [worker()[0], worker()[0]]
    changing = Changing(change, workers)
    changing.gone(workers[which])
    assert changing.step() is False


def test_one_that_is_no_part_of_it_changes_nothing(worker: Make, change: Change) -> None:
    (first, _), (other, _) = worker(), worker()
    changing = Changing(change, [first])
    changing.gone(other)
    changing.hear(other, FAILED)
    changing.hear(first, PREPARED)
    assert changing.step() is True


def test_one_that_takes_too_long_ends_it(worker: Make, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_change, "PREPARE_TIMEOUT", -1.0)
    assert Changing(change, [worker()[0]]).step() is False


def test_one_that_was_set_aside_gets_both_at_once(worker: Make, change: Change) -> None:
    (first, _), (aside, aside_end) = worker(), worker()
    changing = Changing(change, [first])
    changing.hear(first, PREPARED)
    assert changing.step() is True
    changing.end(True, [aside])
    assert told(aside_end) == [PREPARE, COMMIT]


def test_one_that_cannot_be_told_is_asked_to_end(worker: Make, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *what: killed.append(what))
    first, _ = worker()
    changing = Changing(change, [first])
    changing.hear(first, PREPARED)
    first.close()
    changing.end(True, [])
    assert [pid for pid, _ in killed] == [0]


def test_what_is_taken_back_is_connections_and_the_rest_is_sent_again(worker: Make, change: Change) -> None:
    one, end = worker()
    with socket.socket() as connection:
        Changing(change, [one])
        one.hand(connection, 7)
        one.send(COMMIT)
        (back,) = one.take_back()
        assert isinstance(back, Handed)
        assert back.number == 7
        back.sock.close()
    assert (one.owes, one.connections) == (2, -1)
    assert told(end) == [PREPARE, COMMIT]
