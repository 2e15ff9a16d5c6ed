"""Labs for every model, attackers for every dialect."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.serving import keeps_user_attributes
from tests.support.lock_order import locks_in_order
from tests.threats.lab import DIALECTS, MODELS, Attacker, Lab


@pytest.fixture(autouse=True)
def lock_order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The locks of what a test makes check their order; not where processor time is measured."""
    if request.path.stem == "test_t32_latency":
        yield
        return
    with locks_in_order(monkeypatch):
        yield


@pytest.fixture
def base() -> Iterator[Path]:
    """An empty folder that any user can reach, on a filesystem with ``user.`` attributes."""
    folder = Path(tempfile.mkdtemp(prefix="ninep-threat."))
    folder.chmod(0o755)
    try:
        if not keeps_user_attributes(folder):
            pytest.skip(f"the filesystem of {folder.parent} keeps no user attributes (set TMPDIR to one that does)")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """Every security model."""
    return str(request.param)


@pytest.fixture(params=DIALECTS, ids=bytes.decode)
def dialect(request: pytest.FixtureRequest) -> bytes:
    """Every dialect."""
    return bytes(request.param)


@pytest.fixture
def labs(base: Path) -> Iterator[Callable[..., Lab]]:
    """``labs(model, ...)``: labs that end, and judge, with the test."""
    with ExitStack() as stack:
        count = 0

        def make(*args: Any, **named: Any) -> Lab:
            nonlocal count
            count += 1
            folder = base / f"lab{count}"
            folder.mkdir()
            return stack.enter_context(Lab(folder, *args, **named))

        yield make


@pytest.fixture
def lab(labs: Callable[..., Lab], model: str) -> Lab:
    """A lab in each security model."""
    return labs(model)


@pytest.fixture
def attacker(lab: Lab, dialect: bytes) -> Attacker:
    """A session in each dialect, in each model; fid 0 is the root."""
    return lab.client(dialect)
