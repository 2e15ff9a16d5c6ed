"""Two servers over two mounts of one cluster, with our own client: one file system for both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.cephfs import CephFS
from tests.cluster.mounts import needs_fuse
from tests.cluster.service import wait_until
from tests.serving import Server

from ninep.client.blocking import Client, connect

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
CASES = (
    ("juicefs", "mapped-owner"),
    ("juicefs", "mapped-file"),
    ("seaweedfs", "mapped-xattr"),
    ("seaweedfs", "mapped-file"),
    ("cephfs", "mapped-xattr"),
)


def mounts_of(name: str, request: pytest.FixtureRequest, folder: Path, stack: ExitStack) -> list[Path]:
    """Two mounts."""
    needs_fuse()
    if name == "juicefs":
        return list(request.getfixturevalue("juicefs"))
    engine = stack.enter_context(CephFS(folder / "ceph")) if name == "cephfs" else request.getfixturevalue("seaweedfs")
    places = [folder / which / "mount" for which in ("one", "two")]
    for place in places:
        stack.enter_context(engine.mounted(place))
    return places


@pytest.fixture
def mounts(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[Path]]:
    with ExitStack() as stack:
        yield mounts_of(engine, request, tmp_path, stack)


def tree(client: Client, folder: str) -> dict[str, tuple[int, int, int, int, int]]:
    """Of each file: the qid path, mode, owner, group and size."""
    found = {}
    for name in client.listdir(folder):
        one = client.stat(f"{folder}/{name}")
        found[name] = (one.qid.path, one.st_mode, one.st_uid or 0, one.st_gid or 0, one.st_size)
    return found


@pytest.mark.parametrize(("engine", "model"), CASES)
def test_both_show_the_same_files(mounts: list[Path], model: str) -> None:
    """Contents, owners, modes, links, and the numbers by which clients know files again."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Server(mount, "-s", model)) for mount in mounts]
        one, two = (stack.enter_context(connect(f"127.0.0.1:{server.port}")) for server in servers)
        folder = f"/{model}"
        one.mkdir(folder)
        for number in range(20):
            name = f"{folder}/file{number}"
            one.write_bytes(name, bytes(number) * 1000)
            one.chown(name, 1000 + number, 2000)
            one.chmod(name, 0o640)
        one.symlink("file1", f"{folder}/link")
        one.rename(f"{folder}/file2", f"{folder}/renamed")
        one.remove(f"{folder}/file3")
        wait_until(lambda: tree(two, folder) == tree(one, folder), servers[1].said)
        assert len(tree(two, folder)) == 20
        assert two.read_bytes(f"{folder}/file9") == bytes(9) * 1000
        assert two.stat(f"{folder}/file9").st_uid == 1009
        assert two.readlink(f"{folder}/link") == "file1"
        two.rmtree(folder)
        wait_until(lambda: not one.exists(folder), servers[0].said)
