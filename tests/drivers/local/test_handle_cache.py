"""More nodes than handles: path handles are taken away and come back."""

from __future__ import annotations

import gc
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import NEW, refusal
from tests.support.descriptors import open_descriptors

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.drivers.local.handle_cache import AT_ONCE, HandleCache, is_same_object
from ninep.drivers.local.per_call_handles import PerCallHandles
from ninep.errors import Refused
from ninep.linux import GETATTR_BASIC, O_RDWR, Errno
from ninep.node import Changes

LIMIT = 64


def handles() -> int:
    gc.collect()  # nodes of failed verbs, held by tracebacks of other tests
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def few(attach: Callable[..., LocalNode], model: str) -> LocalNode:
    return attach(model, handles=LIMIT)


def test_many_nodes_few_handles(few: LocalNode, folder: Path) -> None:
    for number in range(1000):
        (folder / f"file-{number}").write_bytes(b"x" * number)
    before = handles()
    nodes = [few.walk(b"file-%d" % number) for number in range(1000)]
    assert handles() - before <= LIMIT
    assert [node.getattr(GETATTR_BASIC).size for node in nodes] == list(range(1000))
    assert handles() - before <= LIMIT
    for node in nodes:
        node.setattr(Changes(mode=0o600))
        node.open(O_RDWR).close()
    for node in nodes:
        node.release()
    assert handles() <= before
    assert few.table.handles.path_handles <= 1


def test_what_has_another_type_is_another_object(few: LocalNode, folder: Path) -> None:
    """Inode numbers are used again, and what opens a regular file relies on the type."""
    (folder / "file").touch()
    node = few.walk(b"file")
    path_handle = node.get_path_handle()
    mode, *rest = found = os.fstat(path_handle)
    assert is_same_object(node, found, path_handle)
    assert not is_same_object(node, os.stat_result((stat.S_IFIFO | stat.S_IMODE(mode), *rest)), path_handle)


def test_no_request_takes_many_away(attach: Callable[..., LocalNode], folder: Path) -> None:
    """Of a hundred thousand that may be held, an eighth would take 80 ms; with none left, all."""
    root = attach(handles=100_000)
    cache = root.table.handles
    names = [b"%d" % number for number in range(2 * AT_ONCE + 200)]
    for name in names:
        (folder / os.fsdecode(name)).touch()
    nodes = [root.walk(name) for name in names]
    held = cache.path_handles
    cache.reclaim(0)
    assert held - cache.path_handles == AT_ONCE
    assert cache.make_room()
    assert held - cache.path_handles <= 2 * AT_ONCE
    assert [node.getattr(GETATTR_BASIC).size for node in nodes] == [0] * len(nodes)


def test_deep_below_a_few_handles(few: LocalNode) -> None:
    node, depth = few, 3 * LIMIT
    for _ in range(depth):
        node.mkdir(b"d", 0o700, 0, 0)
        below = node.walk(b"d")
        node.release()
        node = below
    for _turn in range(2):
        file = node.create(b"file", NEW, 0o600, 0, 0)[1]
        file.write(0, b"deep")
        file.close()
        for _ in range(depth):  # take away all that can be
            few.table.handles.make_room()
        assert node.walk(b"file").getattr(GETATTR_BASIC).size == 4
        node.unlink(b"file", directory=False)
    assert few.table.handles.path_handles <= LIMIT + 2


def evict(node: LocalNode) -> None:
    """Make the clock take this node's path handle."""
    for _ in range(10):
        if node.path_handle is None:
            return
        node.table.handles.make_room()
    raise AssertionError("the path handle was not taken")


def test_the_path_handle_is_reopened_by_name(few: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = few.walk(b"file")
    evict(node)
    assert node.getattr(GETATTR_BASIC).size == 4
    assert node.path_handle is not None


def test_what_took_the_name_is_not_the_file(few: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = few.walk(b"file")
    evict(node)
    os.rename(folder / "file", folder / "other")
    with pytest.raises(FileNotFoundError):
        node.getattr(GETATTR_BASIC)
    (folder / "file").write_bytes(b"another")
    with pytest.raises(Refused) as refused:
        node.getattr(GETATTR_BASIC)
    assert refused.value.code is Errno.ESTALE
    os.rename(folder / "other", folder / "file")
    assert node.getattr(GETATTR_BASIC).size == 4


def test_an_inode_number_used_again_is_not_the_file(few: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = few.walk(b"file")
    if host.birth_time(node.get_path_handle()) is None:
        pytest.skip("this filesystem keeps no birth time")
    evict(node)
    os.unlink(folder / "file")
    (folder / "file").write_bytes(b"another")
    if os.stat(folder / "file").st_ino != node.ino:
        node.ino = os.stat(folder / "file").st_ino  # as if the filesystem had used the number again
    with pytest.raises(Refused) as refused:
        node.getattr(GETATTR_BASIC)
    assert refused.value.code is Errno.ESTALE
    fresh = few.walk(b"file")
    assert fresh is not node
    assert fresh.getattr(GETATTR_BASIC).size == 7


def test_a_link_that_took_the_name_of_a_directory(few: LocalNode, folder: Path, tmp_path: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d" / "file").write_bytes(b"inside")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(b"secret")
    node = few.walk(b"d").walk(b"file")
    evict(node)
    evict(node.parent_node)
    os.rename(folder / "d", folder / "kept")
    os.symlink(tmp_path / "outside", folder / "d")
    assert refusal(lambda: node.getattr(GETATTR_BASIC)) is Errno.ESTALE


def test_unlinked_files_keep_their_path_handles(few: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = few.walk(b"file")
    evict(node)
    few.unlink(b"file", directory=False)
    for _ in range(5):
        few.table.handles.make_room()
    assert node.getattr(GETATTR_BASIC).size == 4
    assert node.getattr(GETATTR_BASIC).nlink == 0


def test_more_unlinked_files_than_path_handles(few: LocalNode, folder: Path) -> None:
    """A quarter of the path handles is for them. Beyond that what is open cannot be removed, and
    what is not goes with its name.
    """
    nodes = []
    for number in range(2 * LIMIT):
        (folder / f"{number}").write_bytes(b"x" * number)
        nodes.append(few.walk(b"%d" % number))
    for number in range(2 * LIMIT - 1):
        few.unlink(b"%d" % number, directory=False)
    kept, others, last = nodes[: LIMIT // 4], nodes[LIMIT // 4 : -1], nodes[-1]
    assert [node.getattr(GETATTR_BASIC).size for node in kept] == list(range(LIMIT // 4))
    assert {refusal(node.getattr, GETATTR_BASIC) for node in others} == {Errno.ENOENT}
    file = last.open(O_RDWR)
    assert refusal(few.unlink, last.name, False) is Errno.EMFILE
    assert (folder / last.name.decode()).exists()
    kept[0].release()
    few.unlink(last.name, directory=False)
    assert last.getattr(GETATTR_BASIC).size == 2 * LIMIT - 1
    file.close()
    for node in nodes[1:]:
        node.release()
    assert (few.table.handles.path_handles <= 1, few.table.handles.unreclaimable) == (True, 0)


def test_a_removal_that_fails_fastens_nothing(few: LocalNode, folder: Path) -> None:
    (folder / "d" / "e").mkdir(parents=True)
    node = few.walk(b"d")
    for _ in range(LIMIT):
        assert refusal(few.unlink, b"d", True) is Errno.ENOTEMPTY
    assert few.table.handles.unreclaimable == 0
    node.release()


def test_an_open_file_finds_back_through_its_handle(few: LocalNode, folder: Path) -> None:
    node, file = few.create(b"file", NEW, 0o600, 0, 0)
    evict(node)
    os.rename(folder / "file", folder / "renamed")  # a host process
    file.write(0, b"data")
    assert node.getattr(GETATTR_BASIC).size == 4
    evict(node)
    os.unlink(folder / "renamed")
    assert node.getattr(GETATTR_BASIC).nlink == 0
    file.close()


def test_the_root_keeps_its_path_handle(few: LocalNode, folder: Path) -> None:
    for number in range(3 * LIMIT):
        (folder / str(number)).write_bytes(b"")
        few.walk(b"%d" % number)
    os.rename(folder, folder.parent / "moved")
    assert few.walk(b"5").getattr(GETATTR_BASIC).size == 0


def test_a_path_handle_in_use_survives_being_reclaimed(few: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = few.walk(b"file")
    path_handle = node.get_path_handle()
    evict(node)
    assert host.stat(path_handle).st_size == 4
    number = int(path_handle)
    del path_handle
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_emfile_gives_path_handles_back(attach: Callable[..., LocalNode], folder: Path) -> None:
    import resource

    root = attach(handles=100_000)
    for number in range(300):
        (folder / str(number)).write_bytes(b"")
    nodes = [root.walk(b"%d" % number) for number in range(300)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (handles(), limits[1]))
    try:
        files = [node.open(O_RDWR) for node in nodes[:100]]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for file in files:
        file.close()


def test_threads_share_nodes_and_few_handles(few: LocalNode, folder: Path) -> None:
    for number in range(200):
        (folder / str(number)).write_bytes(b"x" * number)
    errors: list[object] = []

    def work(start: int) -> None:
        try:
            for turn in range(300):
                number = (start * 37 + turn * 7) % 200
                node = few.walk(b"%d" % number)
                if node.getattr(GETATTR_BASIC).size != number:
                    errors.append(number)
                node.release()
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert few.children == {}


# -- hosts where an open handle hinders renames ------------------------------------------------------------------------


@pytest.fixture
def brief(attach: Callable[..., LocalNode], model: str, monkeypatch: pytest.MonkeyPatch) -> LocalNode:
    monkeypatch.setattr(host, "HANDLES_BLOCK_RENAME", True)
    monkeypatch.setattr(host, "BY_NAME", True)
    root = attach(model)
    assert isinstance(root.table.handles, PerCallHandles)
    return root


def test_brief_path_handles_leave_nothing_open(brief: LocalNode) -> None:
    before = open_descriptors()
    brief.mkdir(b"d", 0o755, 0, 0)
    directory = brief.walk(b"d")
    node, file = directory.create(b"file", NEW, 0o644, 0, 0)
    file.write(0, b"data")
    file.close()
    directory.move(None, b"e")
    node.setattr(Changes(mode=0o600, size=3))
    assert stat.S_IMODE(node.getattr(GETATTR_BASIC).mode) == 0o600
    assert directory.walk(b"file") is node
    assert not open_descriptors() - before
    directory.unlink(b"file", directory=False)
    assert node.getattr(GETATTR_BASIC).nlink == 0
    node.release()
    node.release()
    assert not open_descriptors() - before


def test_kept_path_handles_elsewhere(attach: Callable[..., LocalNode]) -> None:
    assert type(attach().table.handles) is (PerCallHandles if host.HANDLES_BLOCK_RENAME else HandleCache)
