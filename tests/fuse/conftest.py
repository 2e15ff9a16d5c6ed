"""Kernels that are checked at the end of each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.fuse_kernel import Kernel


@pytest.fixture
def kernels() -> Iterator[Callable[..., Kernel]]:
    """Makes kernels; the arguments are those of ``Kernel``."""
    made: list[Kernel] = []

    def make(*args: Any, **named: Any) -> Kernel:
        kernel = Kernel(*args, **named)
        made.append(kernel)
        kernel.init()
        return kernel

    yield make
    for kernel in made:
        kernel.end()


@pytest.fixture
def kernel(kernels: Callable[..., Kernel]) -> Kernel:
    """One that has mounted an empty file system in memory."""
    return kernels()
