"""The table of nodes while a client, another export and a host process move the same few
directories about, and handles are taken away.

The truth is the host: for each node that the client holds, the test holds the object itself.
Whatever happened, no node is its own ancestor, every verb ends, what a node answers is its object
or ESTALE or ENOENT, ``..`` is the directory that the object is in, and the host is never asked
while the lock is held that all exports share.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ninep import host
from ninep.drivers.local import HandleCache, LocalDriver, LocalNode
from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, Errno
from ninep.node import Changes, User

NAMES = (b"a", b"b", b"c")
ASKED = (
    "stat",
    "stat_at",
    "open_path",
    "reopen_path",
    "birth_time",
    "open_file",
    "open_regular",
    "open_dir",
    "rename",
    "remove_dir",
    "make_dir",
)
MOVED = {Errno.ENOENT, Errno.ESTALE}
REFUSED = MOVED | {Errno.EINVAL, Errno.ENOTEMPTY, Errno.EEXIST, Errno.EBUSY}

names = st.sampled_from(NAMES)
numbers = st.integers(0, 30)


class Held:
    """A node, and the object itself."""

    def __init__(self, node: LocalNode) -> None:
        self.node = node
        self.object = os.open(f"/proc/self/fd/{int(node.get_path_handle())}", os.O_PATH)
        self.ino = os.fstat(self.object).st_ino

    def close(self) -> None:
        os.close(self.object)
        self.node.release()


class Table(RuleBasedStateMachine):
    model = "passthrough"

    def __init__(self) -> None:
        super().__init__()
        self.top = tempfile.mkdtemp()
        self.handles = HandleCache(40)
        self.patch = pytest.MonkeyPatch()
        for name in ASKED:
            self.patch.setattr(host, name, self.unlocked(getattr(host, name)))
        self.drivers = [LocalDriver(self.top, self.model, handles=self.handles) for _ in range(2)]
        self.roots = [driver.attach(User()) for driver in self.drivers]
        self.held = [Held(root.clone()) for root in self.roots]
        os.makedirs(Path(self.top) / "a" / "b" / "c")
        for root in self.roots:
            node = root
            for name in NAMES:
                node = node.walk(name)
                self.held.append(Held(node))

    def unlocked(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*arguments: object) -> object:
            assert not self.handles.lock._is_owned(), plain  # type: ignore[attr-defined]
            return plain(*arguments)

        return asked

    def pick(self, number: int) -> Held:
        return self.held[number % len(self.held)]

    def refusals(self, allowed: set[Errno], verb: Callable[..., object], *arguments: object) -> object:
        """What a verb returns, None if it is refused for a reason that there may be."""
        try:
            return verb(*arguments)
        except OSError as error:
            if linux_errno(error) not in allowed:
                raise
            return None

    def keep(self, node: object) -> None:
        if isinstance(node, LocalNode):
            if self.refusals(MOVED, node.get_path_handle) is None:
                node.release()
            else:
                self.held.append(Held(node))

    # -- the client, on either export

    @rule(number=numbers, name=names)
    def mkdir(self, number: int, name: bytes) -> None:
        self.refusals(REFUSED, self.pick(number).node.mkdir, name, 0o755, 0, 0)

    @rule(number=numbers, name=names)
    def walk(self, number: int, name: bytes) -> None:
        self.keep(self.refusals(MOVED, self.pick(number).node.walk, name))

    @rule(number=numbers, path=st.lists(names, min_size=2, max_size=4))
    def walk_on(self, number: int, path: list[bytes]) -> None:
        node, qids = self.pick(number).node.through(path)
        if qids:
            self.keep(node)

    @rule(number=numbers, name=names, into=numbers, newname=names)
    def rename(self, number: int, name: bytes, into: int, newname: bytes) -> None:
        one, other = self.pick(number).node, self.pick(into).node
        self.refusals(REFUSED | {Errno.EXDEV}, one.rename, name, other, newname)

    @rule(number=numbers, into=numbers, newname=names)
    def move(self, number: int, into: int, newname: bytes) -> None:
        """It is moved, or it is not: never another one that has its name."""
        one, other = self.pick(number), self.pick(into)
        before = self.place(one)
        if self.refusals(REFUSED | {Errno.EXDEV}, one.node.move, other.node, newname) is None:
            return
        assert self.place(one) != before or one.ino == other.ino

    @rule(number=numbers)
    def remove(self, number: int) -> None:
        self.refusals(REFUSED, self.pick(number).node.remove)

    @rule(number=numbers)
    def up(self, number: int) -> None:
        held = self.pick(number)
        node = self.refusals(MOVED, held.node.parent)
        if isinstance(node, LocalNode):
            if held.node.parent_node is held.node:
                assert node is held.node
            else:
                assert node.ino == os.stat("..", dir_fd=held.object).st_ino
            node.release()

    @rule(number=numbers)
    def look(self, number: int) -> None:
        self.answers(self.pick(number))

    @rule(number=numbers, mode=st.sampled_from([0o700, 0o711, 0o755]))
    def chmod(self, number: int, mode: int) -> None:
        self.refusals(MOVED, self.pick(number).node.setattr, Changes(mode=mode))

    @rule(number=numbers)
    def listing(self, number: int) -> None:
        opened: Any = self.refusals(MOVED, self.pick(number).node.opendir)
        if opened is not None:
            opened.close()

    @rule(number=numbers)
    def clunk(self, number: int) -> None:
        if len(self.held) > 2:
            self.held.pop(2 + number % (len(self.held) - 2)).close()

    # -- others

    @rule(number=numbers, name=names, into=numbers, newname=names)
    def host_moves(self, number: int, name: bytes, into: int, newname: bytes) -> None:
        with suppress(OSError):
            os.rename(name, newname, src_dir_fd=self.pick(number).object, dst_dir_fd=self.pick(into).object)

    @rule(number=numbers, name=names, newname=names)
    def host_moves_up(self, number: int, name: bytes, newname: bytes) -> None:
        with suppress(OSError):
            os.rename(
                name, Path(os.fsencode(self.top).decode()) / newname.decode(), src_dir_fd=self.pick(number).object
            )

    @rule(number=numbers, name=names)
    def host_removes(self, number: int, name: bytes) -> None:
        with suppress(OSError):
            os.rmdir(name, dir_fd=self.pick(number).object)

    @rule()
    def handles_are_taken_away(self) -> None:
        self.handles.reclaim(0)
        self.handles.reclaim(0)

    # -- what holds

    @staticmethod
    def place(held: Held) -> str:
        return os.readlink(f"/proc/self/fd/{held.object}")

    def answers(self, held: Held) -> None:
        qid: Any = self.refusals(MOVED, held.node.getattr, GETATTR_BASIC)
        if qid is not None:
            assert host.stat(held.node.get_path_handle()).st_ino == held.ino == os.fstat(held.object).st_ino

    @invariant()
    def has_no_cycle(self) -> None:
        for held in self.held:
            node, seen = held.node, set()
            while node.parent_node is not node:
                assert node not in seen, "a node is its own ancestor"
                seen.add(node)
                node = node.parent_node
            assert node in self.roots

    def teardown(self) -> None:
        try:
            for held in self.held:
                self.answers(held)
            for held in self.held:
                held.close()
            for root, driver in zip(self.roots, self.drivers, strict=True):
                root.release()
                assert (root.table.total_refs, root.refs, root.children or {}) == (0, 1, {})
                driver.close()
            assert (self.handles.path_handles, self.handles.unreclaimable, self.handles.opened) == (0, 0, 0)
        finally:
            self.patch.undo()
            shutil.rmtree(self.top, ignore_errors=True)


class TableMappedFile(Table):
    model = "mapped-file"


TestTable = Table.TestCase
TestTableMappedFile = TableMappedFile.TestCase
