"""The Linux kernel's own client on file systems of clusters: JuiceFS and SeaweedFS, mounted by FUSE.

What such a file system does otherwise by itself is in `scenario.expectations.FAILING`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.cluster.juicefs import JuiceFS
from tests.cluster.mounts import needs_fuse
from tests.cluster.seaweedfs import SeaweedFS
from tests.guest.combinations import Combination, check_scenario, served_as
from tests.guest.machine import Machine, Mount
from tests.serving import Server, may_become_another_user

pytestmark = [pytest.mark.guest, pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]


@contextmanager
def juicefs(folder: Path) -> Iterator[Path]:
    """With SQLite."""
    with JuiceFS(folder / "data").mounted(folder / "mount"):
        yield folder / "mount"


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Path]:
    with SeaweedFS(folder / "data") as engine, engine.mounted(folder / "mount") as mount:
        yield mount


ENGINES: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {"juicefs": juicefs, "seaweedfs": seaweedfs}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_scenario(guest: Machine, tmp_path: Path, engine: str) -> None:
    needs_fuse()
    combination = Combination("mapped-xattr", Mount(acl=True), storage=engine)
    with (
        ENGINES[engine](tmp_path) as mount,
        Server(mount, *served_as(combination.model)) as server,
        guest.served(server.port, combination.mount, times=2) as folders,
    ):
        check_scenario(guest, server, combination, folders, root=may_become_another_user())
