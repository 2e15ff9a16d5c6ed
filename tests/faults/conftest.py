"""The locks of what a test makes check their order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.lock_order import locks_in_order


@pytest.fixture(autouse=True)
def lock_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with locks_in_order(monkeypatch):
        yield
