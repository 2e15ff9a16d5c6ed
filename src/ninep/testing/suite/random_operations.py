"""Random operations on a driver and on the model, with equal results."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ninep.errors import linux_errno
from ninep.linux import O_EXCL, O_RDWR, S_IFDIR, S_IFLNK
from ninep.node import Node
from ninep.testing.suite.model import Folder, Link, Model, ModelError, Thing
from ninep.testing.suite.tree import GID, UID, ScratchTree, attributes, kind_of, write_all

NAMES = st.sampled_from([b"a", b"b", b"c"])
PATHS = st.lists(NAMES, max_size=2).map(tuple)
FULL_PATHS = st.lists(NAMES, min_size=1, max_size=3).map(tuple)
DATA = st.binary(max_size=12)
OFFSETS = st.integers(0, 20)

VERBS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "create": st.tuples(PATHS, NAMES, DATA),
    "mkdir": st.tuples(PATHS, NAMES),
    "symlink": st.tuples(PATHS, NAMES, NAMES),
    "link": st.tuples(FULL_PATHS, PATHS, NAMES),
    "write": st.tuples(FULL_PATHS, OFFSETS, DATA),
    "truncate": st.tuples(FULL_PATHS, OFFSETS),
    "read": st.tuples(FULL_PATHS),
    "list": st.tuples(PATHS),
    "unlink": st.tuples(PATHS, NAMES, st.booleans()),
    "rename": st.tuples(PATHS, NAMES, PATHS, NAMES),
}
FREQUENT = ["create", "mkdir", "mkdir", "rename", "rename"]
STEPS = st.lists(
    st.sampled_from([*VERBS, *FREQUENT]).flatmap(lambda verb: st.tuples(st.just(verb), VERBS[verb])),
    min_size=1,
    max_size=30,
)


class DriverUnderTest:
    """The model's verbs, performed on a driver."""

    def __init__(self, tree: ScratchTree, base: Node) -> None:
        self.tree = tree
        self.base = base

    def at(self, path: tuple[bytes, ...]) -> Node:
        """The node at a path."""
        return self.tree.walk(*path, start=self.base)

    def create(self, where: tuple[bytes, ...], name: bytes, content: bytes) -> None:
        node, file = self.at(where).create(name, O_RDWR | O_EXCL, 0o644, UID, GID)
        try:
            write_all(file, content)
        finally:
            file.close()
            node.release()

    def mkdir(self, where: tuple[bytes, ...], name: bytes) -> None:
        self.at(where).mkdir(name, 0o755, UID, GID)

    def symlink(self, where: tuple[bytes, ...], name: bytes, target: bytes) -> None:
        self.at(where).symlink(name, target, UID, GID)

    def link(self, source: tuple[bytes, ...], where: tuple[bytes, ...], name: bytes) -> None:
        node = self.at(source)
        self.at(where).link(node, name)

    def write(self, path: tuple[bytes, ...], offset: int, data: bytes) -> None:
        file = self.at(path).open(O_RDWR)
        try:
            write_all(file, data, offset)
        finally:
            file.close()

    def truncate(self, path: tuple[bytes, ...], size: int) -> None:
        self.tree.change(self.at(path), size=size)

    def read(self, path: tuple[bytes, ...]) -> bytes:
        node = self.at(path)
        node.open(O_RDWR).close()
        return self.tree.read(node)

    def list(self, path: tuple[bytes, ...]) -> list[bytes]:
        return self.tree.names(self.at(path))

    def unlink(self, where: tuple[bytes, ...], name: bytes, directory: bool) -> None:
        self.at(where).unlink(name, directory)

    def rename(self, where: tuple[bytes, ...], name: bytes, there: tuple[bytes, ...], newname: bytes) -> None:
        source, target = self.at(where), self.at(there)
        source.rename(name, target, newname)


class RandomOperationTests:
    """Sequences that the other tests do not contain."""

    # The root is shared by all examples of a run; each works in a directory of its own.
    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
    )
    @given(steps=STEPS)
    def test_any_sequence(self, tree: ScratchTree, steps: list[tuple[str, tuple[Any, ...]]]) -> None:
        lacking = {"symlink"} - {"symlink" * tree.can.symlinks}
        lacking |= {"link"} - {"link" * tree.can.hard_links}
        with tree.scope() as base:
            model, driver = Model(), DriverUnderTest(tree, base)
            for verb, args in steps:
                if verb in lacking:
                    continue
                try:
                    expected = getattr(model, verb)(*args)
                except ModelError as error:
                    expected = error.codes
                try:
                    found = getattr(driver, verb)(*args)
                except OSError as error:
                    found = linux_errno(error)
                    assert isinstance(expected, tuple), f"{verb}{args}: refused with {found.name}"
                    assert found in expected, f"{verb}{args}: refused with {found.name} instead of {expected}"
                else:
                    assert found == expected, f"{verb}{args}"
            self._compare(tree, base, model.root)

    def _compare(self, tree: ScratchTree, node: Node, thing: Thing) -> None:
        if isinstance(thing, Folder):
            assert kind_of(node) == S_IFDIR
            assert tree.names(node) == sorted(thing.entries)
            for name, inner in thing.entries.items():
                self._compare(tree, tree.walk(name, start=node), inner)
            return
        assert attributes(node).nlink == thing.links
        if isinstance(thing, Link):
            assert kind_of(node) == S_IFLNK
            assert node.readlink() == thing.target
        else:
            assert attributes(node).size == len(thing.content)
            assert tree.read(node) == thing.content
