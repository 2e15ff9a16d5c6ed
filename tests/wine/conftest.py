"""One Wine for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.guest.debs import Unavailable
from tests.wine.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Windows Python under Wine."""
    try:
        with Lab() as lab:
            yield lab
    except Unavailable as missing:
        pytest.skip(f"no Wine: {missing}")
