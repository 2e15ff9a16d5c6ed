"""Exports share handles. One whose file system does not answer any more is never asked anything,
and never waited for, by the requests of others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.local.conftest import NEW

from ninep import host
from ninep.drivers.local import HandleCache, LocalDriver, LocalNode, new_handle_cache
from ninep.drivers.local.file import IdleFile
from ninep.host import NO_HANDLE
from ninep.linux import GETATTR_BASIC, O_RDONLY
from ninep.node import User

pytestmark = pytest.mark.skipif(host.BY_NAME, reason="an open handle keeps others from removing the file here")

LIMIT = 64


class Slow:
    """A folder that counts as one on a slow file system, and may stop to answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.hung = False
        self.folder = folder
        volume = host.volume
        monkeypatch.setattr(host, "volume", lambda handle: volume(handle)._replace(slow=self.has(handle)))
        for name in ("stat", "birth_time", "reopen_path"):
            monkeypatch.setattr(host, name, self.answering(getattr(host, name)))
        for name in ("open_path", "stat_at"):
            monkeypatch.setattr(host, name, self.answering(getattr(host, name)))
        self.closed: list[str] = []
        close = host.close

        def closing(handle: host.Handle) -> None:
            if self.hung and self.has(handle) and not self.is_path_only(handle):
                self.closed.append(os.readlink(f"/proc/self/fd/{int(handle)}"))
            close(handle)

        monkeypatch.setattr(host, "close", closing)

    def has(self, handle: int) -> bool:
        path = os.readlink(f"/proc/self/fd/{int(handle)}")
        return (path + "/").startswith(f"{self.folder}/")

    @staticmethod
    def is_path_only(handle: int) -> bool:
        flags = Path(f"/proc/self/fdinfo/{int(handle)}").read_text().split("flags:")[1].split()[0]
        return bool(int(flags, 8) & os.O_PATH)

    def answering(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def asked(handle: host.Handle, *arguments: object) -> object:
            assert not (self.hung and self.has(handle)), f"{plain} would wait for ever"
            return plain(handle, *arguments)

        return asked


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Slow:
    (tmp_path / "slow").mkdir()
    (tmp_path / "good").mkdir()
    return Slow(monkeypatch, tmp_path / "slow")


@pytest.fixture
def handles() -> HandleCache:
    return new_handle_cache(LIMIT)


@pytest.fixture
def roots(slow: Slow, tmp_path: Path, handles: HandleCache, model: str) -> Iterator[tuple[LocalNode, LocalNode]]:
    drivers = [LocalDriver(str(tmp_path / name), model, handles=handles) for name in ("slow", "good")]
    roots = [driver.attach(User()) for driver in drivers]
    yield roots[0], roots[1]
    slow.hung = False
    for root, driver in zip(roots, drivers, strict=True):
        root.release()
        driver.close()


def files(root: LocalNode, count: int) -> list[LocalNode]:
    made = []
    for number in range(count):
        node, file = root.create(b"%d" % number, NEW, 0o644, 0, 0)
        file.close()
        node.get_path_handle()
        made.append(node)
    return made


def test_path_handles_are_reclaimed_without_a_system_call(
    roots: tuple[LocalNode, LocalNode], slow: Slow, handles: HandleCache
) -> None:
    hung, good = roots
    assert (hung.inline, good.inline) == (False, True)
    theirs = files(hung, LIMIT // 2)
    slow.hung = True
    mine = files(good, 3 * LIMIT)
    for node in mine:
        node.getattr(GETATTR_BASIC)
    assert handles.path_handles <= LIMIT
    assert sum(node.path_handle is not None for node in theirs) < LIMIT // 2
    assert slow.closed == []
    slow.hung = False
    for node in theirs:
        node.getattr(GETATTR_BASIC)


def test_open_files_are_taken_by_their_own_only(
    roots: tuple[LocalNode, LocalNode], slow: Slow, handles: HandleCache
) -> None:
    """To close one may wait (a flush, where it is served by a program)."""
    hung, good = roots
    theirs = [node.open(O_RDONLY) for node in files(hung, LIMIT // 4)]
    assert all(isinstance(file, IdleFile) for file in theirs)
    slow.hung = True
    mine = [node.open(O_RDONLY) for node in files(good, 2 * LIMIT)]
    assert all(bytes(file.read(0, 1)) == b"" for file in mine)
    assert all(file.handle is not NO_HANDLE for file in theirs)
    assert slow.closed == []
    slow.hung = False
    more = [node.open(O_RDONLY) for node in [hung.walk(b"1") for _ in range(LIMIT)]]
    assert sum(file.handle is not NO_HANDLE for file in theirs + more) <= LIMIT // 4
    assert all(bytes(file.read(0, 1)) == b"" for file in theirs + more)
    for file in theirs + more + mine:
        file.close()
    assert (handles.opened, handles._files, handles._slow_files) == (0, {}, {})


def test_no_room_on_the_host(roots: tuple[LocalNode, LocalNode], slow: Slow, handles: HandleCache) -> None:
    hung, good = roots
    files(hung, 10)
    files(good, 10)
    slow.hung = True
    for _ in range(10):
        handles.make_room()
    assert handles.path_handles == 2  # the roots
