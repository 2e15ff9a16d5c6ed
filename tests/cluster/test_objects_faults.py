"""An object store that fails: each failure has its errno, nothing is lost without one, and every verb
ends. The deadline of each test is the bound that docs/object-stores.md states.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster.proxy import Proxy
from tests.cluster.s3 import BUCKET, ENVIRONMENT, client
from tests.cluster.seaweedfs import SeaweedFS

from ninep.drivers.objects.options import S3Options, open_s3
from ninep.errors import Refused
from ninep.linux import O_RDONLY, O_RDWR, Errno
from ninep.node import Node, User

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(120)]
MIB = 1 << 20
PART = 5 * MIB


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with SeaweedFS(tmp_path_factory.mktemp("store")) as one:
        caller = client(one.endpoint)
        caller.create_bucket(Bucket=BUCKET)
        caller.close()
        yield one


@pytest.fixture
def proxy(store: SeaweedFS) -> Iterator[Proxy]:
    with Proxy(store.endpoint).running() as one:
        yield one


@pytest.fixture
def root(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Node]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    options = S3Options(
        s3_endpoint=proxy.endpoint, s3_timeout=1, s3_attempts=2, s3_part_size=PART, s3_cache=0, s3_write_back=0
    )
    driver = open_s3(f"//{BUCKET}/{request.node.name}", options, None)
    node = driver.attach(User())
    yield node
    proxy.fault = lambda method, path: ""
    node.release()
    driver.close()


def refused(*codes: Errno) -> Any:
    return pytest.raises(Refused, check=lambda refusal: refusal.code in codes)


def faulty(fault: str, method: str, word: str = "", times: int = 1 << 30) -> Callable[[str, str], str]:
    left = [times]

    def decide(asked: str, path: str) -> str:
        if asked != method or word not in path or not left[0]:
            return ""
        left[0] -= 1
        return fault

    return decide


def written(root: Node, content: bytes) -> Any:
    node, file = root.create(b"f", O_RDWR, 0o644, 0, 0)
    node.release()
    assert file.write(0, content) == len(content)
    return file


def content(root: Node) -> bytes:
    node = root.walk(b"f")
    file = node.open(O_RDONLY)
    try:
        return whole(file)
    finally:
        file.close()
        node.release()


def whole(file: Any) -> bytes:
    data = b""
    while part := file.read(len(data), MIB):
        data += bytes(part)
    return data


@pytest.mark.parametrize(("fault", "code"), [("503", Errno.EIO), ("hang", Errno.ETIMEDOUT)])
@pytest.mark.parametrize("size", [1000, 2 * PART + 1])
def test_writing(root: Node, proxy: Proxy, fault: str, code: Errno, size: int) -> None:
    data = os.urandom(size)
    file = written(root, data)
    proxy.fault = faulty(fault, "PUT")
    with refused(code):
        file.fsync(datasync=False)
    proxy.fault = lambda method, path: ""
    file.close()
    assert content(root) == data


@pytest.mark.parametrize(("fault", "code"), [("503", Errno.EIO), ("hang", Errno.ETIMEDOUT), ("cut", Errno.EIO)])
def test_reading(root: Node, proxy: Proxy, fault: str, code: Errno) -> None:
    data = os.urandom(MIB)
    written(root, data).close()
    node = root.walk(b"f")
    file = node.open(O_RDONLY)
    proxy.fault = faulty(fault, "GET", "/f")
    with refused(code):
        file.read(0, 1000)
    proxy.fault = lambda method, path: ""
    assert whole(file) == data
    file.close()
    node.release()


@pytest.mark.parametrize("fault", ["503", "hang", "cut"])
def test_a_failure_that_passes_is_not_seen(root: Node, proxy: Proxy, fault: str) -> None:
    data = os.urandom(MIB)
    written(root, data).close()
    proxy.fault = faulty(fault, "GET", "/f", times=1)
    assert content(root) == data


def test_a_part_that_the_store_lost(root: Node, proxy: Proxy) -> None:
    data = os.urandom(2 * PART + 1)
    file = written(root, data)
    proxy.fault = faulty("lose", "PUT", "partNumber=2")
    with refused(Errno.EIO):
        file.fsync(datasync=False)
    proxy.fault = lambda method, path: ""
    file.close()
    assert content(root) == data


def test_listing(root: Node, proxy: Proxy) -> None:
    proxy.fault = faulty("503", "GET")
    with refused(Errno.EIO):
        root.opendir().read(0, 1000)
    with refused(Errno.EIO):
        root.walk(b"f")


def test_a_wrong_key_is_said_without_it(store: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}.items():
        monkeypatch.setenv(name, value)
    driver = open_s3(f"//{BUCKET}/x", S3Options(s3_endpoint=store.endpoint), None)
    with refused(Errno.EACCES) as refusal:
        driver.attach(User())
    assert "not-the-secret" not in str(refusal.value)
    driver.close()
