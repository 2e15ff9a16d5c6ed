"""Kernels that are checked at the end of each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
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


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that other users can reach, unlike ``tmp_path``."""
    made = Path(tempfile.mkdtemp(prefix="ninep-fuse."))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


MODELS = ["passthrough", "none", "mapped-xattr", "mapped-file", "mapped-owner"]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)
