"""Object stores with the interface of S3: the acceptance suite of drivers, other programs' buckets, and
two gateways of one bucket.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cluster.s3 import BUCKET, ENVIRONMENT, STORES, client
from tests.drivers.objects.test_driver import CAPABILITIES

from ninep.drivers.objects.options import S3Options, open_s3
from ninep.errors import Refused
from ninep.linux import O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, S_IFLNK, Errno
from ninep.node import Node, User
from ninep.testing.suite import DriverSuite, ListingTests, OddNameTests

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
numbers = itertools.count()
MIB = 1 << 20


@pytest.fixture(scope="module", params=STORES)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with STORES[request.param](tmp_path_factory.mktemp(request.param)) as store:
        caller = client(store.endpoint)
        caller.create_bucket(Bucket=BUCKET)
        caller.close()
        yield store.endpoint


@pytest.fixture
def prefix() -> str:
    """Of the keys of this test."""
    return str(next(numbers))


@pytest.fixture
def gateway(endpoint: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Node]]:
    """Gateways of one prefix: the root of each. Closing waits for the store."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    drivers = []

    def begin(**options: Any) -> Node:
        chosen = S3Options(**{"s3_endpoint": endpoint, "s3_write_back": 0, **options})
        driver = open_s3(f"//{BUCKET}/{prefix}", chosen, None)
        drivers.append(driver)
        return driver.attach(User())

    yield begin
    for driver in drivers:
        driver.close()


@pytest.fixture
def put(endpoint: str, prefix: str) -> Iterator[Callable[..., None]]:
    """What another program does: `put("a/b", b"content", mtime="1")`, below the same prefix."""
    caller = client(endpoint)

    def act(key: str, body: bytes, **metadata: str) -> None:
        caller.put_object(Bucket=BUCKET, Key=f"{prefix}/{key}", Body=body, Metadata=metadata)

    yield act
    caller.close()


class Names(OddNameTests):
    """SeaweedFS takes a backslash for a separator of names, so it keeps no object with `..` before one;
    moto finds no object to copy whose key has a newline.
    """

    test_all_together = None  # type: ignore[assignment]

    @pytest.mark.parametrize("kind", ["space", "backslash", "colon", "percent", "umlaut", "quotes and pipes"])
    def test_text(self, tree: Any, kind: str) -> None:
        super().test_text(tree, kind)


class Listings(ListingTests):
    """What takes thousands of requests runs over the store in memory."""

    test_a_large_directory_in_answers_of_any_size = None  # type: ignore[assignment]


class TestSuite(DriverSuite):
    """All but what takes thousands of requests."""

    capabilities = CAPABILITIES
    TestOddNames = Names
    TestListing = Listings
    TestStability = None  # type: ignore[assignment]
    TestRandomOperations = None  # type: ignore[assignment]

    @pytest.fixture
    def root(self, gateway: Callable[..., Node]) -> Iterator[Node]:
        node = gateway(s3_write_back=5)
        yield node
        node.release()


def refused(code: Errno) -> Any:
    return pytest.raises(Refused, check=lambda refusal: refusal.code is code)


def test_of_two_gateways_none_loses_an_update(gateway: Callable[..., Node]) -> None:
    one, two = gateway(s3_cache=0), gateway(s3_cache=0)
    for size in (10, 11 * MIB):  # in one request, and in parts
        name = b"%d" % size
        node, file = one.create(name, O_RDWR, 0o644, 0, 0)
        file.write(0, bytes(size))
        file.close()
        node.release()
        files = [root.walk(name).open(O_WRONLY) for root in (one, two)]
        for number, file in enumerate(files):
            file.write(0, b"%d" % (number + 1) * size)
        files[0].close()
        with refused(Errno.ESTALE):
            files[1].close()
        assert bytes(two.walk(name).open(O_RDONLY).read(0, 10)) == b"1111111111"


def test_of_two_gateways_one_makes_a_lock_file(gateway: Callable[..., Node]) -> None:
    one, two = gateway(s3_cache=0), gateway(s3_cache=0)
    one.create(b"index.lock", O_RDWR | O_EXCL, 0o644, 0, 0)[1].close()
    with refused(Errno.EEXIST):
        two.create(b"index.lock", O_RDWR | O_EXCL, 0o644, 0, 0)


def test_a_bucket_that_rclone_and_s3fs_filled(gateway: Callable[..., Node], put: Callable[..., None]) -> None:
    root = gateway()
    put("copied/file", b"content", mtime="1700000000.5")
    put("made", b"content", mode="33256", uid="1000", gid="1001", mtime="1700000000")
    put("link", b"made", mode=str(S_IFLNK | 0o777))
    copied = root.walk(b"copied").walk(b"file").getattr(0)
    assert (copied.mtime_sec, copied.mtime_nsec, copied.mode & 0o777) == (1700000000, 500_000_000, 0o644)
    made = root.walk(b"made").getattr(0)
    assert (made.mode & 0o777, made.uid, made.gid, made.mtime_sec) == (0o750, 1000, 1001, 1700000000)
    assert root.walk(b"link").readlink() == b"made"


def test_what_is_too_large_for_one_copy_is_copied_in_parts(
    gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metadata go along, of a file and of one in a folder."""
    s3 = pytest.importorskip("ninep.drivers.objects.s3", reason="extra `s3`")
    monkeypatch.setattr(s3, "COPY_MAX", MIB)
    monkeypatch.setattr(s3, "COPY_PART", 5 * MIB)
    content = bytes(range(256)) * (11 * MIB // 256)
    root = gateway(s3_cache=0)
    root.mkdir(b"d", 0o755, 1, 2)
    node, file = root.walk(b"d").create(b"f", O_RDWR, 0o640, 7, 8)
    file.write(0, content)
    file.close()
    node.release()
    root.rename(b"d", root, b"e")
    root.walk(b"e").rename(b"f", root, b"g")
    found = root.walk(b"g")
    attributes = found.getattr(0)
    assert (attributes.mode & 0o7777, attributes.uid, attributes.size) == (0o640, 7, len(content))
    file = found.open(O_RDONLY)
    assert b"".join(bytes(file.read(at, MIB)) for at in range(0, len(content), MIB)) == content
    file.close()
