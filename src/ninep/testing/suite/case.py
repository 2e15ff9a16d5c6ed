"""What every part of the suite stands on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from ninep.node import Node
from ninep.testing.suite.capabilities import Capabilities
from ninep.testing.suite.tree import Tree

PATIENCE = 2.0
"""Seconds within which a clock that a driver uses must tick (kernels stamp files with a clock of 1 to 16 ms)."""


class Suite:
    """What a driver's author gives: a fixture ``root``, and a word on what the driver is capable of."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        """The root of an empty writable tree, nobody else's. Release it after the ``yield``."""
        raise NotImplementedError("a driver's suite needs a fixture `root` that yields the root of an empty tree")

    @pytest.fixture
    def tree(self, root: Node) -> Iterator[Tree]:
        """The tree, audited."""
        tree = Tree(root, self.capabilities)
        yield tree
        tree.finish()


def eventually(attempt: Callable[[], bool]) -> bool:
    """Try until it is true, for at most ``PATIENCE`` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not attempt():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True
