"""What is to be put later."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from ninep.drivers.objects import unsent as module
from ninep.drivers.objects.spool import Budget
from ninep.drivers.objects.unsent import Unsent
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import WouldBlock, serve_in_this_thread

BUDGET = Budget(1 << 30)


class Node:
    """As far as it is asked."""

    spool = None
    key = "the name"

    def __init__(self) -> None:
        self.unsaved = True
        self.refs = self.writers = 0
        self.refs_when_put: list[int] = []
        self.in_put: Any = lambda number: None
        self.failures: list[OSError] = []
        self.given_up = threading.Event()

    def clone(self) -> None:
        self.refs += 1

    def release(self) -> None:
        self.refs -= 1

    def settle(self) -> None:
        self.refs_when_put.append(self.refs)
        self.unsaved = False
        try:
            self.in_put(len(self.refs_when_put))
        except OSError:
            self.unsaved = True
            raise

    def fail(self, error: OSError) -> None:
        self.failures.append(error)

    def give_up(self, error: OSError) -> None:
        self.unsaved = False
        self.given_up.set()


def refuse(number: int) -> None:
    raise Refused(Errno.EACCES)


def add(unsent: Unsent, node: Node, delay: float = 0.0) -> None:
    unsent.add(node, delay)  # type: ignore[arg-type]


def test_what_is_written_while_it_is_put_is_kept_until_that_is_put() -> None:
    """Otherwise the next one to open it would find the content before."""
    unsent, node, again = Unsent(1, BUDGET), Node(), threading.Event()

    def written_again(number: int) -> None:
        if number == 1:
            node.unsaved = True
            add(unsent, node)
        else:
            again.set()

    node.in_put = written_again
    add(unsent, node)
    assert again.wait(10)
    unsent.close()
    assert set(node.refs_when_put) == {1}
    assert node.refs == 0


def test_a_node_waits_once() -> None:
    unsent, node = Unsent(1, BUDGET), Node()
    begun, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        begun.set()
        assert go_on.wait(10)

    node.in_put = wait
    for _ in range(10):
        add(unsent, node)
        assert begun.wait(10)
    go_on.set()
    unsent.close()
    assert len(node.refs_when_put) <= 3  # the first, the next one, and that of the end


def test_what_comes_while_it_waits_is_put_with_it() -> None:
    unsent, node, put = Unsent(1, BUDGET), Node(), threading.Event()
    node.in_put = lambda number: put.set()
    add(unsent, node, 0.05)
    add(unsent, node, 0.05)
    assert node.refs_when_put == []
    assert put.wait(10)
    unsent.close()
    assert node.refs_when_put == [1]


def test_what_the_store_always_refuses_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """It would take room for ever."""
    unsent, node = Unsent(1, BUDGET, keep=0.0), Node()
    node.in_put = refuse
    with caplog.at_level(logging.ERROR, "ninep.objects"):
        add(unsent, node)
        assert node.given_up.wait(10)
        with pytest.raises(Refused, match="EACCES"):
            unsent.flush()
    unsent.flush()  # said once
    unsent.close()
    assert (len(unsent), node.refs, len(node.failures)) == (0, 0, 1)
    assert "'the name' could not be put, and what was written is lost" in caplog.text


def test_until_then_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAY", 0.01)
    unsent, node, put = Unsent(1, BUDGET), Node(), threading.Event()
    node.in_put = lambda number: refuse(number) if number < 4 else put.set()
    add(unsent, node)
    assert put.wait(10)
    unsent.close()
    assert (len(node.failures), node.refs) == (3, 0)


def test_who_makes_more_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", (3, 1 << 30, 100))
    unsent, nodes = Unsent(1, BUDGET), [Node() for _ in range(3)]
    for node in nodes:
        add(unsent, node, 3600.0)
    unsent.wait_for_room()
    assert any(node.refs_when_put for node in nodes)
    unsent.close()


def test_but_not_in_an_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", (1, 1 << 30, 100))
    unsent, node = Unsent(1, BUDGET), Node()
    go_on = threading.Event()
    node.in_put = lambda number: go_on.wait(10)
    add(unsent, node)
    serve_in_this_thread(1)
    try:
        with pytest.raises(WouldBlock):
            unsent.wait_for_room()
    finally:
        serve_in_this_thread(-1)
        go_on.set()
    unsent.close()


def test_and_not_for_a_store_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", (1, 1 << 30, 100))
    unsent, node = Unsent(1, BUDGET), Node()
    node.in_put = refuse
    add(unsent, node, 3600.0)
    with pytest.raises(Refused, match="ENOSPC"):
        unsent.wait_for_room()
    node.in_put = lambda number: None
    unsent.close()


def test_what_is_lost_at_the_end_is_named(caplog: pytest.LogCaptureFixture) -> None:
    unsent, node = Unsent(1, BUDGET), Node()
    node.in_put = refuse
    add(unsent, node, 3600.0)
    unsent.close()
    assert "'the name' is lost with the end of the server" in caplog.text
