"""The base class of the suite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from ninep.node import Node
from ninep.testing.suite.capabilities import Capabilities
from ninep.testing.suite.tree import ScratchTree

CLOCK_TIMEOUT = 2.0
"""Seconds within which the driver's clock must advance (kernels stamp files with a clock of 1 to 16
ms)."""


class Suite:
    """The author of a driver defines a fixture ``root``, and its ``capabilities``."""

    capabilities: ClassVar[Capabilities] = Capabilities()

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        """The root of an empty writable tree, for one test. Release it after the ``yield``."""
        raise NotImplementedError("a driver's suite needs a fixture `root` that yields the root of an empty tree")

    @pytest.fixture
    def tree(self, root: Node) -> Iterator[ScratchTree]:
        """The tree, with an audit."""
        tree = ScratchTree(root, self.capabilities)
        yield tree
        tree.finish()


def eventually(attempt: Callable[[], bool]) -> bool:
    """Repeat until it returns true, for at most ``CLOCK_TIMEOUT`` seconds."""
    deadline = time.monotonic() + CLOCK_TIMEOUT
    while not attempt():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True
