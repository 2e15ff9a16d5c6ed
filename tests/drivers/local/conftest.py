"""A folder, served by the local driver in each security model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.lock_order import locks_in_order

from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, Errno
from ninep.node import User
from ninep.options import rows
from ninep.security import MODELS as SECURITY_MODELS

MODELS = tuple(SECURITY_MODELS)
FOR_THE_HOST = tuple(
    name for name in MODELS if "devices" in {row.name for row in rows(SECURITY_MODELS.get(name).options)}
)
"""Those whose devices are ones for the host too, and made only with leave (``devices``)."""
NEW = O_CREAT | O_EXCL | O_RDWR
ME = (os.geteuid(), os.getegid())


@pytest.fixture(autouse=True)
def lock_order(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Locks check the order in which they are taken."""
    with locks_in_order(monkeypatch):
        yield


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
        driver = LocalDriver(str(folder), model, handles=new_handle_cache(handles), **options)
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
