"""Assertions about errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def refused(number: int, *names: str) -> Iterator[None]:
    """An `OSError` with this errno, and about these paths if they are given."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is what counts
        yield
    assert caught.value.errno == number, caught.value
    if names:
        assert (caught.value.filename, caught.value.filename2)[: len(names)] == names
