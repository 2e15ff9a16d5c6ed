"""The acceptance suite of drivers over file systems of clusters, in the security models that keep
owners there. What a file system does otherwise by itself is in a table; the rest must hold.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.support.drivers import end

from ninep import host
from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.drivers.local import driver as local
from ninep.drivers.local.handle_cache import self_closing
from ninep.drivers.local.probe import Found, probe
from ninep.node import Node, User
from ninep.testing.suite import Capabilities, DriverSuite

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

GONE = "a file that is removed ends for its path handles (O_PATH), unless it is open"
BLOCKS = "blocks do not tell of what fallocate(2) reserves and frees"
UPLOADED = "mtime moves when data are uploaded, not when they are written"
"""On a busy machine that may be in between: such a test may also pass."""
JUICEFS = {
    "test_a_file_that_is_not_even_open|test_they_go_on_without_a_name": GONE,
    "test_exchange$": "the file that is replaced counts as removed",
    "test_space_behind_the_end|test_a_hole$": BLOCKS,
    "test_holes|test_only_a_hole": "SEEK_DATA takes all for data",
    r"test_a_moment\[-": "no times before 1970",
    "test_changing_attributes_moves_ctime": "fchown(2) of nothing does not move ctime",
    "test_a_change_of_content_changes_the_version|test_versions_differ_after": UPLOADED,
}
SEAWEEDFS = {
    "test_a_file_that_is_not_even_open": GONE,
    r"test_all_together|test_not_utf8\[": "names that are no UTF-8 get other bytes",
    "test_exchange$|test_exchange_of_a_file_and_a_directory": "EIO for RENAME_EXCHANGE",
    "test_space_behind_the_end|test_a_hole$|TestAllocate.*test_bad_requests": BLOCKS,
    "test_holes": "SEEK_DATA fails in a hole at the end",
}

GLUSTERFS = {
    "test_everything_goes_on_without_a_name|test_a_file_that_is_not_even_open|test_attributes_go_on_without_a_name": GONE,
    "test_a_replaced_file_goes_on|TestXattr::test_they_go_on_without_a_name": GONE,
    "test_space_behind_the_end": BLOCKS,
    "TestAllocate::test_zeros": "fallocate(2) says that it zeroed a range, and did not",
    "test_without_replacing|test_exchange$|test_exchange_of_a_file_and_a_directory": "EINVAL for flags of renameat2(2)",
}


@cache
def found_in(mount: Path) -> tuple[Found, ...]:
    """What the file system can do, tried once."""
    return probe(self_closing(host.open_root(str(mount))))


class Case(DriverSuite):
    """A subclass names the mount by a fixture `mount`."""

    model: str
    lacks: ClassVar[dict[str, str]]

    @pytest.fixture(autouse=True)
    def lacking(self, request: pytest.FixtureRequest) -> None:
        """What the file system does otherwise fails; also when it does no more, so that it is noticed."""
        for pattern, reason in self._suite(request).lacks.items():
            if re.search(pattern, request.node.nodeid):
                request.applymarker(pytest.mark.xfail(reason=reason, strict=reason != UPLOADED))

    @staticmethod
    def _suite(request: pytest.FixtureRequest) -> Any:
        return request.node.getparent(pytest.Module).obj.__dict__[request.node.nodeid.split("::")[1]]

    @pytest.fixture
    def root(self, mount: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        monkeypatch.setattr(local, "probe", lambda _: found_in(mount))
        driver = LocalDriver(tempfile.mkdtemp(dir=mount), self._suite(request).model, handles=new_handle_cache(64))
        driver.prepare(writable=True)
        root = driver.attach(User())
        yield root
        end(driver, root)


del DriverSuite  # not itself a case


class TestJuiceFS(Case):
    capabilities = Capabilities(link_owners=False, unnamed=False)
    model = "mapped-owner"
    lacks = JUICEFS

    @pytest.fixture
    def mount(self, juicefs: tuple[Path, Path]) -> Path:
        return juicefs[0]


class TestJuiceFSWithSQLite(Case):
    capabilities = Capabilities(unnamed=False)
    model = "mapped-xattr"
    lacks = JUICEFS

    @pytest.fixture
    def mount(self, juicefs_sqlite: Path) -> Path:
        return juicefs_sqlite


class TestSeaweedFS(Case):
    capabilities = Capabilities(unnamed=False)
    model = "mapped-xattr"
    lacks = SEAWEEDFS

    @pytest.fixture
    def mount(self, seaweedfs_mount: Path) -> Path:
        return seaweedfs_mount


class TestSeaweedFSWithRecords(Case):
    capabilities = Capabilities(exchange=False, unnamed=False)
    model = "mapped-file"
    lacks: ClassVar[dict[str, str]] = {
        pattern: reason for pattern, reason in SEAWEEDFS.items() if "exchange" not in pattern
    }

    @pytest.fixture
    def mount(self, seaweedfs_mount: Path) -> Path:
        return seaweedfs_mount


class TestGlusterFS(Case):
    """Where it is installed."""

    capabilities = Capabilities(unnamed=False)
    model = "mapped-xattr"
    lacks = GLUSTERFS

    @pytest.fixture
    def mount(self, glusterfs_mount: Path) -> Path:
        return glusterfs_mount
