"""Wrappers delegate everything, wrap what comes back and take apart what goes in."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ninep import linux
from ninep.drivers.memory import MemoryDriver, MemoryNode
from ninep.errors import Refused
from ninep.layers import base
from ninep.layers.base import DIR_VERBS, FILE_VERBS, NODE_VERBS, Around, DirWrapper, FileWrapper, Wrapper
from ninep.linux import NO_ID, Errno
from ninep.node import Buffer, Node, OpenDir, OpenFile, User
from ninep.testing.suite.tree import in_buffers

LAYER = object()


def verbs_of(cls: type) -> set[str]:
    return {name for name, member in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


@pytest.fixture
def inside() -> MemoryNode:
    return MemoryDriver().attach(User())


SHORTCUTS = {"look_up", "through"}
"""Their defaults take the long way, by verbs that each layer sees."""


@pytest.mark.parametrize(
    ("wrapper", "wrapped", "table"),
    [(Wrapper, Node, NODE_VERBS), (FileWrapper, OpenFile, FILE_VERBS), (DirWrapper, OpenDir, DIR_VERBS)],
)
def test_no_verb_is_forgotten(wrapper: type, wrapped: type, table: tuple[str, ...]) -> None:
    """A verb with a default would answer EOPNOTSUPP for a driver that has it."""
    assert verbs_of(wrapped) - SHORTCUTS == set(table)
    assert set(table) <= set(vars(wrapper))
    assert all(inspect.signature(getattr(wrapper, verb)) == inspect.signature(getattr(wrapped, verb)) for verb in table)
    assert {"qid", "name"} <= set(vars(Wrapper))


class TestWrapper:
    def test_nodes_come_back_wrapped(self, inside: MemoryNode) -> None:
        root = Wrapper(inside, LAYER)
        root.mkdir(b"d", 0o755, 0, 0)
        made, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        for node in (root.walk(b"d"), root.walk(b"d").parent(), root.parent(), root.clone(), made):
            assert type(node) is Wrapper
            assert node.layer is LAYER
            assert type(node.inner) is MemoryNode
        assert file.write(0, b"abc") == 3
        assert made.qid == made.inner.qid
        assert (root.walk(b"f").name, root.inline) == (b"f", True)

    def test_each_reference_is_released(self, inside: MemoryNode) -> None:
        root = Wrapper(inside, LAYER)
        root.mkdir(b"d", 0o755, 0, 0)
        refs = inside.inode.refs
        nodes = [root.parent(), root.clone(), root.walk(b"d").parent()]
        assert inside.inode.refs == refs + 3
        for node in nodes:
            node.release()
        assert inside.inode.refs == refs

    def test_nodes_of_the_same_layer_are_taken_apart(self, inside: MemoryNode) -> None:
        root = Wrapper(inside, LAYER)
        root.mkdir(b"d", 0o755, 0, 0)
        folder = root.walk(b"d")
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        file.close()
        folder.link(node, b"g")
        root.rename(b"f", folder, b"h")
        node.move(root, b"i")
        node.move(None, b"j")
        assert [entry.name for entry in root.opendir().read(0, 1000)] == [b".", b"..", b"d", b"j"]
        assert [entry.name for entry in folder.opendir().read(0, 1000)] == [b".", b"..", b"g"]

    @pytest.mark.parametrize(
        "other", [lambda node: node, lambda node: Wrapper(node, object())], ids=["bare", "wrapped"]
    )
    def test_nodes_of_another_export_are_not(self, inside: MemoryNode, other: Callable[[Node], Node]) -> None:
        root = Wrapper(inside, LAYER)
        inside.mkdir(b"d", 0o755, 0, 0)
        inside.mknod(b"f", linux.S_IFREG, 0, 0, 0)
        foreign_dir, foreign_file = other(inside.walk(b"d")), other(inside.walk(b"f"))
        for attempt in (
            lambda: root.link(foreign_file, b"g"),
            lambda: root.rename(b"f", foreign_dir, b"g"),
            lambda: root.walk(b"f").move(foreign_dir, b"g"),
        ):
            with pytest.raises(Refused) as refusal:
                attempt()
            assert refusal.value.code is Errno.EXDEV

    def test_layers_stack(self, inside: MemoryNode) -> None:
        outer, inner = object(), object()
        root = Wrapper(Wrapper(inside, inner), outer)
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        file.close()
        root.link(node, b"g")
        assert inside.walk(b"g").qid == node.qid


class _Upper(FileWrapper):
    __slots__ = ()

    def read_now(self, offset: int, count: int) -> Buffer:
        return bytes(self.inner.read_now(offset, count)).upper()

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        return self.inner.write(offset, bytes(data).lower(), by)


class _Straight(_Upper):
    __slots__ = ()

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        return self.inner.read_into(offset, buffers)


class _Again(_Straight):
    __slots__ = ()

    def read_now(self, offset: int, count: int) -> Buffer:
        return self.inner.read_now(offset, count)[::-1]


@pytest.mark.parametrize(("wrapper", "read"), [(_Upper, b"STORED"), (_Straight, b"stored"), (_Again, b"derots")])
def test_what_a_file_does_to_data_is_done_in_place_too(
    inside: MemoryNode, wrapper: type[FileWrapper], read: bytes
) -> None:
    """A layer that looks at data must not be passed by, though it knows nothing of buffers."""
    _, opened = inside.create(b"f", linux.O_RDWR, 0o644, 0, 0)
    file = wrapper(opened, Wrapper(inside, LAYER))
    _, buffers = in_buffers(b"StOrEd", (2, 4))
    assert file.write_from(0, buffers, 0) == 6
    assert opened.read(0, 100) == b"stored"
    assert file.read_into(0, buffers) == 6
    assert b"".join(buffers) == read


class Spy(Around):
    """Notes every verb."""

    calls: list[tuple[str, tuple[Any, ...]]] = []  # noqa: RUF012 - the fixture gives each test its own

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        self.calls.append((verb, args))
        return call()


class TestAround:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...]]]:
        calls: list[tuple[str, tuple[Any, ...]]] = []
        monkeypatch.setattr(Spy, "calls", calls)
        return calls

    def test_every_verb_goes_through_the_hook(
        self, inside: MemoryNode, calls: list[tuple[str, tuple[Any, ...]]]
    ) -> None:
        root = Spy(inside, LAYER)
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        file.write(0, b"abc", by=7)
        assert file.read_now(1, 9) == b"bc"
        _, buffers = in_buffers(b"xyz", (1, 2))
        assert file.write_from(0, buffers, by=7) == file.read_into(0, buffers) == 3
        file.close()
        root.unlink(b"f", directory=False)
        node.release()
        listing = root.clone().opendir()
        listing.read(0, 100)
        listing.close()
        assert calls == [
            ("create", (b"f", linux.O_RDWR, 0o644, 0, 0)),
            ("file.write", (0, b"abc", 7)),
            ("file.read_now", (1, 9)),
            ("file.write_from", (0, buffers, 7)),
            ("file.read_into", (0, buffers)),
            ("file.close", ()),
            ("unlink", (b"f", False)),
            ("release", ()),
            ("clone", ()),
            ("opendir", ()),
            ("dir.read", (0, 100)),
            ("dir.close", ()),
        ]

    def test_what_comes_back_goes_through_it_too(self, inside: MemoryNode) -> None:
        root = Spy(inside, LAYER)
        root.mkdir(b"d", 0o755, 0, 0)
        assert type(root.walk(b"d")) is Spy
        assert isinstance(root.opendir(), base.AroundDir)

    def test_a_hook_is_required(self, inside: MemoryNode) -> None:
        with pytest.raises(NotImplementedError):
            Around(inside, LAYER).walk(b"x")
