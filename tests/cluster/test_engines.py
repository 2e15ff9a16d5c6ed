"""The engines themselves: what a test of this folder starts is what it says it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.mounts import needs_fuse
from tests.cluster.seaweedfs import SeaweedFS

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_seaweedfs_keeps_a_file(tmp_path: Path) -> None:
    needs_fuse()
    with SeaweedFS(tmp_path) as engine, engine.mounted(tmp_path / "mount") as mount:
        (mount / "file").write_text("content")
        assert (mount / "file").read_text() == "content"


def test_two_mounts_of_juicefs_are_one_file_system(tmp_path: Path) -> None:
    needs_fuse()
    with Redis(tmp_path / "redis") as redis:
        engine = JuiceFS(tmp_path / "juicefs", redis.url)
        with engine.mounted(tmp_path / "one"), engine.mounted(tmp_path / "two"):
            (tmp_path / "one/file").write_text("content")
            assert (tmp_path / "two/file").read_text() == "content"
