"""Nothing changes, and the driver is not even asked."""

from collections.abc import Callable
from typing import Any

import pytest

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.layers.base import NODE_VERBS, Around
from ninep.layers.read_only import read_only
from ninep.linux import Errno
from ninep.node import Changes, Node, User
from ninep.testing.suite.tree import in_buffers


class Spy(Around):
    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        self.layer.append(verb)  # type: ignore[attr-defined]
        return call()


@pytest.fixture
def asked() -> list[str]:
    """The verbs that reached the driver."""
    return []


@pytest.fixture
def root(asked: list[str]) -> Node:
    inside = MemoryDriver().attach(User())
    node, file = inside.create(b"f", linux.O_RDWR, 0o644, 0, 0)
    file.write(0, b"content")
    file.close()
    node.setxattr(b"user.a", b"value", 0)
    node.release()
    inside.mkdir(b"d", 0o755, 0, 0)
    inside.symlink(b"l", b"f", 0, 0)
    return read_only(Spy(inside, asked), User())


MUTATIONS: dict[str, Callable[[Node, Node], object]] = {
    "setattr": lambda root, file: file.setattr(Changes(touch=True)),
    "create": lambda root, file: root.create(b"new", linux.O_RDONLY, 0o644, 0, 0),
    "create of what exists": lambda root, file: root.create(b"f", linux.O_RDONLY, 0o644, 0, 0),
    "tmpfile": lambda root, file: root.tmpfile(linux.O_RDWR, 0o644, 0, 0),
    "mkdir": lambda root, file: root.mkdir(b"new", 0o755, 0, 0),
    "symlink": lambda root, file: root.symlink(b"new", b"to", 0, 0),
    "mknod": lambda root, file: root.mknod(b"new", linux.S_IFIFO, 0, 0, 0),
    "link": lambda root, file: root.link(file, b"new"),
    "unlink": lambda root, file: root.unlink(b"f", directory=False),
    "unlink of nothing": lambda root, file: root.unlink(b"new", directory=False),
    "rename": lambda root, file: root.rename(b"f", root, b"new"),
    "rename, exchanging": lambda root, file: root.rename(b"f", root, b"d", linux.RENAME_EXCHANGE),
    "remove": lambda root, file: file.remove(),
    "check_remove": lambda root, file: file.check_remove(),
    "move": lambda root, file: file.move(None, b"new"),
    "setxattr": lambda root, file: file.setxattr(b"user.b", b"", 0),
    "removexattr": lambda root, file: file.removexattr(b"user.a"),
    "open to write": lambda root, file: file.open(linux.O_WRONLY),
    "open to read and write": lambda root, file: file.open(linux.O_RDWR),
    "open without access": lambda root, file: file.open(3),
    "open truncating": lambda root, file: file.open(linux.O_RDONLY | linux.O_TRUNC),
    "open creating": lambda root, file: file.open(linux.O_RDONLY | linux.O_CREAT),
}
HARMLESS = {
    "clone", "release", "walk", "parent", "getattr", "statfs", "readlink", "fsync", "syncfs", "open", "opendir", "getxattr", "listxattr",
}  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_mutations_do_not_reach_the_driver(root: Node, asked: list[str], mutation: str) -> None:
    file = root.walk(b"f")
    asked.clear()
    with pytest.raises(Refused) as refusal:
        MUTATIONS[mutation](root, file)
    assert refusal.value.code is Errno.EROFS
    assert asked == []


def test_every_verb_is_one_or_the_other() -> None:
    assert {name.replace(",", "").split()[0] for name in MUTATIONS} - {"open"} | HARMLESS == set(NODE_VERBS)


def test_reading_goes_on(root: Node, asked: list[str]) -> None:
    node = root.walk(b"f")
    file = node.open(linux.O_RDONLY | linux.O_APPEND | linux.O_NOATIME)
    assert file.read(0, 100) == b"content"
    file.lock(linux.LOCK_RDLCK, 0, 0)
    file.fsync(datasync=False)
    _, buffers = in_buffers(b"content", (3, 4))
    assert file.read_into(2, buffers) == 5
    assert b"".join(buffers) == b"ntentnt"
    for change in (
        lambda: file.write(0, b"x"),
        lambda: file.write_from(0, buffers),
        lambda: file.truncate(0),
    ):
        asked.clear()
        with pytest.raises(Refused) as refusal:
            change()
        assert refusal.value.code is Errno.EROFS
        assert asked == []
    file.close()
    listing = root.opendir()
    assert [entry.name for entry in listing.read(0, 1000)] == [b".", b"..", b"f", b"d", b"l"]
    listing.close()
    assert (node.getxattr(b"user.a"), node.listxattr()) == (b"value", [b"user.a"])
    assert root.walk(b"l").readlink() == b"f"
    assert node.getattr(0).size == 7
    assert root.statfs().bsize == 4096
    node.fsync()


def test_a_write_lock_does_not_reach_the_driver(root: Node, asked: list[str]) -> None:
    file = root.walk(b"f").open(linux.O_RDONLY)
    asked.clear()
    with pytest.raises(Refused) as refusal:
        file.lock(linux.LOCK_WRLCK, 0, 0)
    assert refusal.value.code is Errno.EBADF
    assert asked == []
    file.lock(linux.LOCK_UNLCK, 0, 0)
    assert file.test_lock(linux.LOCK_WRLCK, 0, 0) is None
    assert asked == ["file.lock", "file.test_lock"]


def test_what_is_walked_to_is_read_only_as_well(root: Node) -> None:
    for node in (root.walk(b"d"), root.walk(b"d").parent(), root.clone(), root.walk(b"d").clone()):
        with pytest.raises(Refused) as refusal:
            node.mkdir(b"new", 0o755, 0, 0)
        assert refusal.value.code is Errno.EROFS


def test_claims_reach_the_driver(root: Node, asked: list[str]) -> None:
    asked.clear()
    node = root.walk(b"f").clone()
    file = node.open(linux.O_RDONLY)
    file.close()
    node.release()
    assert asked == ["walk", "clone", "open", "file.close", "release"]
