"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.vhost_back_end import Pair

    Make = Callable[..., Pair]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes front ends with their devices. None of their descriptors is left at the end."""
    from tests.support.descriptors import open_descriptors
    from tests.support.vhost_back_end import Pair  # where there is shared memory: the tests that ask skip elsewhere

    before = open_descriptors()
    pairs: list[Pair] = []

    def made(**options: object) -> Pair:
        pairs.append(Pair(**options))  # type: ignore[arg-type]
        return pairs[-1]

    yield made
    for pair in pairs:
        pair.close()
    pairs.clear()
    assert not open_descriptors() - before


@pytest.fixture
def pair(make: Make) -> Pair:
    """A front end that is connected."""
    made = make()
    made.front.realize()
    return made


@pytest.fixture
def running(pair: Pair) -> Pair:
    """Its ring runs, and has answered one request."""
    pair.front.start()
    assert pair.front.call(b"one", 10) == b"ONE"
    assert pair.calls == ["start 0 at 0"]
    return pair
