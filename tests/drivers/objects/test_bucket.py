"""What is to be put later."""

from __future__ import annotations

import threading
from typing import Any

from ninep.drivers.objects.bucket import Unsent


class Node:
    """As far as it is asked."""

    def __init__(self) -> None:
        self.unsaved = True
        self.refs = self.writers = 0
        self.refs_when_put: list[int] = []
        self.in_put: Any = lambda number: None

    def clone(self) -> None:
        self.refs += 1

    def release(self) -> None:
        self.refs -= 1

    def settle(self) -> None:
        self.refs_when_put.append(self.refs)
        self.unsaved = False
        self.in_put(len(self.refs_when_put))


def test_what_is_written_while_it_is_put_is_kept_until_that_is_put() -> None:
    """Otherwise the next one to open it would find the content before."""
    unsent, node, again = Unsent(1), Node(), threading.Event()

    def written_again(number: int) -> None:
        if number == 1:
            node.unsaved = True
            unsent.add(node, at_once=True)  # type: ignore[arg-type]
        else:
            again.set()

    node.in_put = written_again
    unsent.add(node, at_once=True)  # type: ignore[arg-type]
    assert again.wait(10)
    unsent.close()
    assert node.refs_when_put == [1, 1]
    assert node.refs == 0


def test_a_node_waits_once() -> None:
    unsent, node = Unsent(1), Node()
    begun, go_on = threading.Event(), threading.Event()

    def wait(number: int) -> None:
        begun.set()
        assert go_on.wait(10)

    node.in_put = wait
    for _ in range(10):
        unsent.add(node, at_once=True)  # type: ignore[arg-type]
        assert begun.wait(10)
    go_on.set()
    unsent.close()
    assert len(node.refs_when_put) <= 3  # the first, the next one, and that of the end
