"""File systems mounted below an export: what clients have looked at there does not keep the host
from unmounting them.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.faults.disks import mounted, needs_root
from tests.faults.fuse import Faulty
from tests.support.client import TIMEOUT
from tests.support.served import Served

from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.errors import linux_errno
from ninep.host import NO_HANDLE
from ninep.linux import GETATTR_BASIC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, Errno
from ninep.node import OpenFile, User

pytestmark = needs_root
MODELS = ("none", "mapped-file")


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs in a folder of the export, with some directories and a file."""
    folder = tmp_path / "export" / "disk"
    folder.mkdir(parents=True)
    with mounted(folder, "-t", "tmpfs", "tmpfs") as disk:
        (disk / "a" / "b").mkdir(parents=True)
        (disk / "a" / "file").write_bytes(b"data")
        yield disk


@pytest.fixture(params=MODELS)
def driver(request: pytest.FixtureRequest, tmp_path: Path, below: Path) -> Iterator[LocalDriver]:
    del below
    driver = LocalDriver(str(tmp_path / "export"), request.param, handles=new_handle_cache(1000))
    yield driver
    driver.close()


def unmounts(folder: Path) -> bool:
    return subprocess.run(["umount", folder], check=False, capture_output=True).returncode == 0


def walk(root: LocalNode, *names: bytes) -> LocalNode:
    node = root.clone()
    for name in names:
        node, before = node.walk(name), node
        before.release()
    return node


def refusal(verb: Callable[..., object], *arguments: object) -> Errno:
    with pytest.raises(OSError) as error:  # noqa: PT011 - the errno is looked at by the caller
        verb(*arguments)
    return linux_errno(error.value)


def test_what_stays_and_what_is_in_use(driver: LocalDriver, below: Path) -> None:
    root = driver.attach(User())
    walk(root, b"disk", b"a", b"b").release()
    held = [walk(root, b"disk"), walk(root, b"disk", b"a", b"file")]
    assert not unmounts(below)
    for _ in range(2):  # the first time, all of it was just used
        driver.tidy()
    assert unmounts(below)
    assert {refusal(node.getattr, GETATTR_BASIC) for node in held} <= {Errno.ENOENT, Errno.ESTALE}
    assert not driver._table.on_submounts
    for node in (*held, root):
        node.release()


def test_what_is_used_stays_and_comes_back(driver: LocalDriver, below: Path) -> None:
    del below
    root = driver.attach(User())
    node = walk(root, b"disk", b"a", b"file")
    for _ in range(3):
        node.getattr(GETATTR_BASIC)
        driver.tidy()
        assert node.path_handle is not None
    driver.tidy()
    assert node.path_handle is None
    assert node.getattr(GETATTR_BASIC).size == 4
    driver.tidy()
    driver.tidy()
    assert node.path_handle is None
    for one in (node, root):
        one.release()


def test_what_is_open_is_in_use(driver: LocalDriver, below: Path) -> None:
    root = driver.attach(User())
    node = walk(root, b"disk", b"a", b"file")
    file = node.open(O_RDONLY)
    for _ in range(3):
        driver.tidy()
    assert not unmounts(below)
    assert bytes(file.read(0, 9)) == b"data"
    file.close()
    driver.tidy()
    driver.tidy()
    assert unmounts(below)
    for one in (node, root):
        one.release()


def test_a_removed_file_that_is_held_is_in_use(driver: LocalDriver, below: Path) -> None:
    root = driver.attach(User())
    node, above = walk(root, b"disk", b"a", b"file"), walk(root, b"disk", b"a")
    above.unlink(b"file", directory=False)
    for _ in range(3):
        driver.tidy()
    assert node.getattr(GETATTR_BASIC).size == 4
    assert not unmounts(below)
    for one in (node, above, root):
        one.release()


def test_the_server_sees_to_it(driver: LocalDriver, below: Path) -> None:
    """While a client is connected and holds fids there."""
    with Served(driver=driver) as served, served.client() as client:
        client.walk(0, 1, b"disk", b"a", b"b")
        client.walk(0, 2, b"disk", b"a", b"file")
        served.until(lambda: unmounts(below))
        assert os.listdir(below) == []


@pytest.mark.parametrize("model", MODELS)
def test_one_that_hangs_is_not_waited_for_when_handles_are_reclaimed(tmp_path: Path, model: str) -> None:
    """By requests for files beside it, and by what the server does by itself."""
    (tmp_path / "export").mkdir()
    for number in range(200):
        (tmp_path / "export" / f"{number}").touch()
    done = threading.Event()
    with Faulty(tmp_path / "export" / "disk") as disk:
        driver = LocalDriver(str(tmp_path / "export"), model, handles=new_handle_cache(64))
        root = driver.attach(User())
        top = walk(root, b"disk")
        made, writer = top.create(b"file", O_CREAT | O_EXCL | O_RDWR, 0o644, 0, 0)
        writer.close()
        reader = made.open(O_RDONLY)
        made.get_path_handle()

        def use_many() -> None:
            nodes = [root.walk(b"%d" % number) for number in range(200)]
            files = [node.open(O_RDONLY) for node in nodes]
            for _ in range(5):
                root.table.handles.make_room()
                driver.tidy()
            for one in (*files, *nodes):
                one.close() if isinstance(one, OpenFile) else one.release()
            done.set()

        disk.stop()
        try:
            threading.Thread(target=use_many, daemon=True).start()
            assert done.wait(TIMEOUT), "a request waits for a file system that it does not ask for"
            # Nothing was to be asked of it (and the kernel need not have known the answer), and to
            # close a file may have to wait.
            assert (made.path_handle, made.birth is None, reader.handle is NO_HANDLE) == (None, False, False)
        finally:
            disk.resume()
        assert made.getattr(GETATTR_BASIC).size == 0
        reader.close()
        for node in (made, top, root):
            node.release()
        driver.close()
