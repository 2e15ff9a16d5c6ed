"""The public acceptance suite on the local driver: each security model, privileged or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.drivers import end

from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.node import Node, User
from ninep.testing.suite import Capabilities, DriverSuite

PRIVILEGED = os.geteuid() == 0


def attached(folder: Path, model: str, **options: bool) -> Iterator[Node]:
    driver = LocalDriver(str(folder), model, handles=new_handle_cache(64), **options)
    root = driver.attach(User())
    yield root
    end(driver, root)


class TestPassthrough(DriverSuite):
    capabilities = Capabilities(
        owners="kept" if PRIVILEGED else "refused", devices=PRIVILEGED, root_keeps_setid=PRIVILEGED
    )

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        yield from attached(tmp_path, "passthrough", devices=True)


class TestNone(DriverSuite):
    capabilities = Capabilities(
        owners="kept" if PRIVILEGED else "ignored", devices=PRIVILEGED, acls=False, root_keeps_setid=PRIVILEGED
    )

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        yield from attached(tmp_path, "none", devices=True)


class TestMappedOwner(DriverSuite):
    capabilities = Capabilities(link_owners=False)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        yield from attached(tmp_path, "mapped-owner")


class TestMappedXattr(DriverSuite):
    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        yield from attached(tmp_path, "mapped-xattr")


class TestMappedFile(DriverSuite):
    capabilities = Capabilities(exchange=False, unnamed=False)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        yield from attached(tmp_path, "mapped-file")
