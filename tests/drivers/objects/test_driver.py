"""The acceptance suite over a store in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.node import Node, User
from ninep.testing.suite import Capabilities, DriverSuite

CAPABILITIES = Capabilities(
    hard_links=False,
    acls=False,
    allocation=False,
    holes=False,
    copies=False,
    no_replace=False,
    exchange=False,
    unnamed=False,
    any_bytes=False,
    link_max=4095,
    xattr_max=500,
)


class TestSuite(DriverSuite):
    """All tests that a store in memory can pass, with the listing cached for as long as by default."""

    capabilities = CAPABILITIES

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        driver = ObjectDriver(StoreInMemory(), Settings())
        node = driver.attach(User())
        yield node
        node.release()
        driver.close()


class TestPuttingLater(DriverSuite):
    """As by default: what is closed is put some time later."""

    capabilities = CAPABILITIES

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        driver = ObjectDriver(StoreInMemory(), Settings(write_back=5.0, exclusive=()))
        node = driver.attach(User())
        yield node
        node.release()
        driver.close()
