"""A folder served in one model, and what is on disk behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.errors import Refused
from ninep.linux import O_CREAT, O_EXCL, O_RDWR, Errno
from ninep.node import User

NEW = O_CREAT | O_EXCL | O_RDWR
ME = (os.geteuid(), os.getegid())

CHANGING = (
    "chmod",
    "chown",
    "make_dir",
    "make_link",
    "make_node",
    "make_symlink",
    "open_at",
    "open_unnamed",
    "open_path",
    "remove_dir",
    "remove_xattr",
    "rename",
    "set_xattr",
    "truncate",
    "utimes",
    "write",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export = tmp_path / "export"
    export.mkdir()
    return export


@pytest.fixture
def attach(folder: Path) -> Iterator[Callable[..., LocalNode]]:
    """`attach(model, **options)`: the root of the folder. Each call is like a server
    started anew.
    """
    opened: list[tuple[LocalDriver, LocalNode]] = []

    def attach(model: str, **options: object) -> LocalNode:
        driver = LocalDriver(str(folder), model, handles=new_handle_cache(1000), **options)
        opened.append((driver, driver.attach(User())))
        return opened[-1][1]

    yield attach
    for driver, root in opened:
        root.release()
        driver.close()


class Faults:
    """Lets the n-th call of the host's changing primitives fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.failed = ""
        for name in CHANGING:
            monkeypatch.setattr(host, name, self.wrap(name, getattr(host, name)))

    def wrap(self, name: str, primitive: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if self.left == 0:
                self.left, self.failed = -1, name
                raise Refused(Errno.ENOSPC)
            self.left -= self.left > 0
            return primitive(*arguments)

        return call

    def each(self, verb: Callable[[], object]) -> Iterator[str]:
        """Call the verb with its first call failing, then its second ... until it succeeds; after
        each failure yield what failed.
        """
        for number in range(50):
            self.left, self.failed = number, ""
            try:
                verb()
            except OSError:
                assert self.failed, "the verb fails by itself"
                yield self.failed
            else:
                self.left = -1
                if not self.failed:
                    return
        raise AssertionError("never succeeds")


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    return Faults(monkeypatch)


def image(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything on disk below a folder: contents, attributes, link counts."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        attributes = {
            name: os.getxattr(path, name, follow_symlinks=False) for name in os.listxattr(path, follow_symlinks=False)
        }
        links = 0 if path.is_dir() else status.st_nlink
        found[str(path.relative_to(folder))] = (content, status.st_mode, links, attributes)
    return found
