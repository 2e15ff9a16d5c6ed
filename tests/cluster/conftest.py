"""File systems of clusters, mounted once for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.glusterfs import glusterfs
from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.mounts import needs_fuse
from tests.cluster.seaweedfs import SeaweedFS


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """The metadata engine of `juicefs`."""
    with Redis(tmp_path_factory.mktemp("redis") / "data") as engine:
        yield engine


@pytest.fixture(scope="session")
def juicefs(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """JuiceFS with Redis, by two mounts, as two servers have it."""
    needs_fuse()
    folder = tmp_path_factory.mktemp("juicefs")
    engine = JuiceFS(folder / "data", redis.url)
    with engine.mounted(folder / "one"), engine.mounted(folder / "two"):
        yield folder / "one", folder / "two"


@pytest.fixture(scope="session")
def juicefs_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """JuiceFS with SQLite."""
    needs_fuse()
    folder = tmp_path_factory.mktemp("juicefs-sqlite")
    with JuiceFS(folder / "data").mounted(folder / "mount"):
        yield folder / "mount"


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """SeaweedFS, not mounted."""
    with SeaweedFS(tmp_path_factory.mktemp("seaweedfs") / "data") as engine:
        yield engine


@pytest.fixture(scope="session")
def seaweedfs_mount(seaweedfs: SeaweedFS, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A mount of it."""
    needs_fuse()
    with seaweedfs.mounted(tmp_path_factory.mktemp("seaweedfs") / "mount") as mount:
        yield mount


@pytest.fixture(scope="session")
def glusterfs_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """GlusterFS of two bricks."""
    needs_fuse()
    with glusterfs(tmp_path_factory.mktemp("glusterfs") / "engine") as mount:
        yield mount
