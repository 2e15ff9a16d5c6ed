"""The acceptance suite of drivers over object stores with the interface of S3."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from tests.cluster.s3 import BUCKET, ENVIRONMENT, STORES, client
from tests.drivers.objects.test_driver import CAPABILITIES

from ninep.drivers.objects.options import S3Options, open_s3
from ninep.node import Node, User
from ninep.testing.suite import DriverSuite

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
numbers = itertools.count()


@pytest.fixture(scope="module", params=STORES)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with STORES[request.param](tmp_path_factory.mktemp(request.param)) as store:
        caller = client(store.endpoint)
        caller.create_bucket(Bucket=BUCKET)
        caller.close()
        yield store.endpoint


class TestSuite(DriverSuite):
    capabilities = CAPABILITIES

    @pytest.fixture
    def root(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        driver = open_s3(f"//{BUCKET}/{next(numbers)}", S3Options(s3_endpoint=endpoint), None)
        node = driver.attach(User())
        yield node
        node.release()
        driver.close()
