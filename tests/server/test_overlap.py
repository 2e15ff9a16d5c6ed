"""Exports that show the same files: refused where they keep owners in different ways, told of where
they do not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.faults.disks import mounted, tmpfs
from tests.serving import may_become_another_user
from tests.support.descriptors import open_descriptors

from ninep.app.build import exports_of
from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.drivers.local import LocalDriver
from ninep.drivers.memory import MemoryDriver
from ninep.layers.id_map import IdMap, Ranges, Squash, peer_ids
from ninep.layers.read_only import read_only
from ninep.node import Source
from ninep.options import BadOption
from ninep.server.exports import Export, Layer
from ninep.server.overlap import Overlap, check, share
from ninep.server.server import Server

needs_mounts = pytest.mark.skipif(not may_become_another_user(), reason="only root may mount")
SHIFT = Ranges.parse("0:100000:1000")


def source(path: str, *above: tuple[int, int], areas: Sequence[tuple[str, str]] = ()) -> Source:
    return Source(path, "none", above, tuple(areas))


class TestShare:
    @pytest.mark.parametrize(
        ("one", "other", "expected"),
        [
            (source("a", (1, 5), (1, 2)), source("b", (1, 5), (1, 2)), True),
            (source("a", (1, 5), (1, 2)), source("b", (1, 6), (1, 5), (1, 2)), True),
            (source("a", (2, 5), (1, 2)), source("b", (1, 2)), True),
            (source("a", (1, 5), (1, 2)), source("b", (1, 6), (1, 2)), False),
            (source("a", (1, 5), (1, 2)), source("b", (2, 5), (1, 2)), False),
            (source("a"), source("b"), False),
            (source("a", areas=[("8:1", "/x")]), source("b", areas=[("8:1", "/x/y")]), True),
            (source("a", areas=[("8:1", "/x")]), source("b", areas=[("8:1", "/xy")]), False),
            (source("a", areas=[("8:1", "/x")]), source("b", areas=[("8:2", "/x")]), False),
            (source("a", areas=[("8:1", "/"), ("8:2", "/")]), source("b", areas=[("8:3", "/"), ("8:2", "/z")]), True),
        ],
        ids=str,
    )
    def test_either_way_round(self, one: Source, other: Source, expected: bool) -> None:
        assert share(one, other) == share(other, one) == expected


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Callable[..., Export]]:
    """``export(name, model, *layers)``: an export of a folder below one of ours."""
    with ExitStack() as stack:

        def make(name: str, model: str = "none", *layers: Layer, **options: Any) -> Export:
            path = tmp_path / name
            path.mkdir(exist_ok=True, parents=True)
            driver = LocalDriver(str(path), model)
            stack.callback(driver.close)
            return Export(name, driver, layers, **options)

        yield make


Exporter = Callable[..., Export]


class TestCheck:
    def test_folders_beside_each_other(self, export: Exporter, caplog: pytest.LogCaptureFixture) -> None:
        check([export("a"), export("ab", "passthrough"), Export("m", MemoryDriver())])
        assert not caplog.messages

    @pytest.mark.parametrize("other", ["a", "a/b/c", "."])
    def test_different_models(self, export: Exporter, other: str, tmp_path: Path) -> None:
        with pytest.raises(Overlap) as found:
            check([export("a"), export(other, "mapped-file")])
        for word in (str(tmp_path / "a"), str(tmp_path / other), "none", "mapped-file"):
            assert word in str(found.value)
        assert "\n" not in str(found.value)

    @pytest.mark.parametrize(
        "layers",
        [[Squash()], [Squash(root_only=True)], [IdMap(SHIFT, SHIFT)], [Squash(5, 6), read_only]],
        ids=["squash all", "squash root", "map", "squash and read-only"],
    )
    def test_different_users(self, export: Exporter, layers: list[Layer]) -> None:
        with pytest.raises(Overlap):
            check([export("a"), export("a/b", "none", *layers)])

    def test_users_of_a_peer(self, export: Exporter) -> None:
        with pytest.raises(Overlap):
            check([export("a"), export("a/b", "none", peer_ids, trusting=False)])

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ([], [read_only]),
            ([Squash(5, 6)], [Squash(5, 6)]),
            ([IdMap(SHIFT, SHIFT)], [IdMap(Ranges.parse("0:100000:1000"), SHIFT)]),
        ],
        ids=["read-only", "squash", "map"],
    )
    def test_the_same_is_told_of(
        self, export: Exporter, caplog: pytest.LogCaptureFixture, one: list[Layer], other: list[Layer]
    ) -> None:
        with caplog.at_level(logging.WARNING, "ninep.server"):
            check([export("a", "none", *one), export("a/b", "none", *other)])
        assert len(caplog.messages) == 1
        assert "share files" in caplog.text

    def test_permitted(self, export: Exporter, caplog: pytest.LogCaptureFixture) -> None:
        check([export("a"), export("a", "passthrough")], permitted=True)
        assert "forge" in caplog.text

    def test_by_a_link(self, export: Exporter, tmp_path: Path) -> None:
        one = export("a/b")
        (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
        with pytest.raises(Overlap):
            check([one, export("link", "passthrough")])

    @needs_mounts
    def test_by_a_bind_mount(self, export: Exporter, tmp_path: Path) -> None:
        """Of a folder in the middle: nothing above it is above the mount."""
        (tmp_path / "a" / "b" / "c").mkdir(parents=True)
        (tmp_path / "elsewhere" / "with space").mkdir(parents=True)
        with mounted(tmp_path / "elsewhere" / "with space", "--bind", tmp_path / "a" / "b"):
            for other in ("a", "a/b", "a/b/c"):
                with pytest.raises(Overlap):
                    check([export(other), export("elsewhere/with space", "passthrough")])
            with pytest.raises(Overlap):
                check([export("a/b/c"), export("elsewhere", "passthrough")])
            check([export("a/other"), export("elsewhere", "passthrough")])

    @needs_mounts
    def test_by_another_filesystem_below(self, export: Exporter, tmp_path: Path) -> None:
        (tmp_path / "a" / "disk").mkdir(parents=True)
        (tmp_path / "elsewhere").mkdir()
        with tmpfs(tmp_path / "a" / "disk"):
            with pytest.raises(Overlap):
                check([export("a"), export("a/disk/x", "passthrough")])
            with mounted(tmp_path / "elsewhere", "--bind", tmp_path / "a" / "disk" / "x"), pytest.raises(Overlap):
                check([export("a"), export("elsewhere", "passthrough")])


class TestWhoAsks:
    def test_a_program(self, export: Exporter) -> None:
        async def make(**options: bool) -> None:
            await Server([export("a"), export("a/b", "passthrough")], **options).close()  # type: ignore[arg-type]

        with pytest.raises(ValueError, match="share files"):
            asyncio.run(make())
        asyncio.run(make(allow_overlap=True))

    def test_a_configuration(self, tmp_path: Path) -> None:
        two = [
            ExportConfig(str(tmp_path), "a", security_model="none"),
            ExportConfig(str(tmp_path), "b", security_model="passthrough"),
        ]
        before = open_descriptors()
        with pytest.raises(BadOption, match="--allow-overlap"):
            exports_of(ServerConfig(two))
        left = open_descriptors() - before  # the process's own cache keeps a reserve, of `/`
        assert not [what for what in left if str(tmp_path) in what]
        for one in exports_of(ServerConfig(two, allow_overlap=True)):
            one.driver.close()
