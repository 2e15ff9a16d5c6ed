"""A folder, served by the local driver in each security model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ninep.drivers.local import HandleCache, LocalDriver, LocalNode, new_handle_cache
from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, Errno
from ninep.node import User
from ninep.testing.lock_order import LOCAL_DRIVER, LockOrder

MODELS = ("passthrough", "none", "mapped-owner", "mapped-xattr", "mapped-file")
FOR_THE_HOST = ("passthrough", "none")
"""Those whose devices are ones for the host too, and made only with leave (``devices``)."""
NEW = O_CREAT | O_EXCL | O_RDWR
ME = (os.geteuid(), os.getegid())


def in_order(path: str, model: str, handles: HandleCache, **options: object) -> LocalDriver:
    """A driver whose locks check the order in which they are taken."""
    order = LockOrder(*LOCAL_DRIVER)
    handles.lock = order.watch(handles.lock, "handle cache")  # type: ignore[assignment]
    driver = LocalDriver(path, model, handles=handles, **options)
    listings = driver._table.listings
    listings._guard = order.watch(listings._guard, "listings")  # type: ignore[assignment]
    listings.pool.guard = order.watch(listings.pool.guard, "cookies")  # type: ignore[assignment]
    return driver


def refusal(verb: Callable[..., object], *arguments: object) -> Errno:
    """The Linux errno that a verb refuses with."""
    with pytest.raises(OSError) as error:  # noqa: PT011 - the errno is looked at by the caller
        verb(*arguments)
    return linux_errno(error.value)


def refused(errno: Errno, verb: Callable[..., object], *arguments: object) -> bool:
    return refusal(verb, *arguments) is errno


def make(root: LocalNode, name: bytes, content: bytes = b"", mode: int = 0o644) -> LocalNode:
    node, file = root.create(name, NEW, mode, *ME)
    file.write(0, content, by=0)
    file.close()
    return node


def content(node: LocalNode) -> bytes:
    file = node.open(O_RDONLY)
    try:
        return bytes(file.read(0, 1 << 16))
    finally:
        file.close()


def permissions(node: LocalNode) -> int:
    return node.getattr(GETATTR_BASIC).mode & 0o7777


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    export = tmp_path / "export"
    export.mkdir()
    return export


@pytest.fixture
def attach(folder: Path) -> Iterator[Callable[..., LocalNode]]:
    """`attach(model, **options)`: the root of the folder, released when the test ends."""
    opened: list[tuple[LocalDriver, LocalNode]] = []

    def attach(model: str = "passthrough", handles: int = 1000, **options: object) -> LocalNode:
        driver = in_order(str(folder), model, new_handle_cache(handles), **options)
        root = driver.attach(User())
        opened.append((driver, root))
        return root

    yield attach
    for driver, root in opened:
        root.release()
        driver.close()


@pytest.fixture
def root(attach: Callable[..., LocalNode], model: str) -> LocalNode:
    """The root of the folder, in each model."""
    return attach(model)
