"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.node import Node, User


@pytest.fixture
def store() -> StoreInMemory:
    return StoreInMemory()


@pytest.fixture
def gateway(store: StoreInMemory) -> Iterator[Callable[..., Node]]:
    """Gateways of one bucket: the root of each. They believe what they know for no time at all."""
    drivers = []

    def begin(**settings: Any) -> Node:
        driver = ObjectDriver(store, Settings(**{"cache": 0.0, **settings}))
        drivers.append(driver)
        return driver.attach(User())

    yield begin
    store.fault = lambda method, key: None
    for driver in drivers:
        driver.close()
