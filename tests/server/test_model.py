"""Fids, walks, opens, creations, removals and renames against a dict: any sequence of requests,
each dialect, through the wire.

The model is a tree of plain objects and says of every request what comes back: an errno or a
result. A fid names an object and not a path, so that it follows renames and outlives removals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.support.client import Failed, RawClient
from tests.support.judge import dirents, stats
from tests.support.served import Served

from ninep import linux
from ninep.errors import text_of
from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m

FIDS = st.integers(0, 5)
NAMES = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.lists(st.sampled_from([b"a", b"b", b"c", b".", b".."]), max_size=3)


@dataclass(eq=False)
class Thing:
    """A file or a directory."""

    directory: bool
    name: bytes = b"/"
    parent: Thing | None = None
    content: bytearray = field(default_factory=bytearray)
    entries: dict[bytes, Thing] = field(default_factory=dict)
    alive: bool = True

    def put(self, name: bytes, thing: Thing) -> None:
        thing.name, thing.parent, thing.alive = name, self, True
        self.entries[name] = thing

    def drop(self) -> None:
        assert self.parent
        del self.parent.entries[self.name]
        self.alive = False

    def below(self, other: Thing) -> bool:
        here: Thing | None = self
        while here is not None and here is not other:
            here = here.parent
        return here is other


@dataclass(eq=False)
class Fid:
    """What a fid stands for."""

    thing: Thing
    opened: bool = False
    flags: int = 0


class Refusal(Exception):
    """The model's error."""


def need(condition: object, code: Errno) -> None:
    if not condition:
        raise Refusal(code)


class Model:
    """What a server has to know, and nothing else."""

    def __init__(self) -> None:
        self.root = Thing(directory=True)
        self.fids: dict[int, Fid] = {0: Fid(self.root)}

    def fid(self, number: int) -> Fid:
        need(number in self.fids, Errno.EBADF)
        return self.fids[number]

    def step(self, thing: Thing, name: bytes) -> Thing:
        need(thing.directory, Errno.ENOTDIR)
        if name == b"..":
            return thing.parent or thing
        if name == b".":
            return thing
        need(name in thing.entries, Errno.ENOENT)
        return thing.entries[name]

    def walk(self, fid: int, newfid: int, names: list[bytes]) -> int:
        start = self.fid(fid)
        need(newfid == fid or newfid not in self.fids, Errno.EINVAL)
        need(newfid != fid or not start.opened, Errno.EINVAL)
        thing, done = start.thing, 0
        for name in names:
            try:
                thing = self.step(thing, name)
            except Refusal:
                if not done:
                    raise
                return done
            done += 1
        self.fids[newfid] = Fid(thing)
        return done

    def open(self, fid: int, flags: int) -> None:
        held = self.fid(fid)
        need(not held.opened, Errno.EINVAL)
        need(not held.thing.directory or not flags & (3 | linux.O_TRUNC), Errno.EISDIR)
        held.opened, held.flags = True, flags
        if flags & linux.O_TRUNC:
            held.thing.content.clear()

    def create(self, fid: int, name: bytes, flags: int, *, directory: bool) -> None:
        held = self.fid(fid)
        need(not held.opened, Errno.EINVAL)
        where = held.thing
        need(where.directory, Errno.ENOTDIR)
        found = where.entries.get(name)
        if found is None:
            need(where.alive, Errno.ENOENT)
            found = Thing(directory)
            where.put(name, found)
        else:
            need(not directory and not flags & linux.O_EXCL, Errno.EEXIST)
            need(not found.directory, Errno.EISDIR)
            if flags & linux.O_TRUNC:
                found.content.clear()
        self.fids[fid] = Fid(found, opened=True, flags=flags)

    def mkdir(self, fid: int, name: bytes) -> None:
        where = self.fid(fid).thing
        need(where.directory, Errno.ENOTDIR)
        need(where.alive, Errno.ENOENT)
        need(name not in where.entries, Errno.EEXIST)
        where.put(name, Thing(directory=True))

    def read(self, fid: int, offset: int, count: int) -> bytes | set[bytes]:
        held = self.fid(fid)
        need(held.opened, Errno.EBADF)
        if held.thing.directory:
            return set(held.thing.entries)
        need(held.flags & 3 != linux.O_WRONLY, Errno.EBADF)
        return bytes(held.thing.content[offset : offset + count])

    def write(self, fid: int, offset: int, data: bytes) -> int:
        held = self.fid(fid)
        need(not (held.opened and held.thing.directory), Errno.EISDIR)
        need(held.opened and held.flags & 3, Errno.EBADF)
        content = held.thing.content
        if data:
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
        return len(data)

    def clunk(self, fid: int) -> None:
        self.fid(fid)
        del self.fids[fid]

    def remove(self, fid: int) -> None:
        thing = self.fid(fid).thing
        del self.fids[fid]
        need(thing.parent, Errno.EBUSY)
        need(thing.alive, Errno.ENOENT)
        need(not thing.entries, Errno.ENOTEMPTY)
        thing.drop()

    def unlink(self, fid: int, name: bytes, *, directory: bool) -> None:
        where = self.fid(fid).thing
        need(where.directory, Errno.ENOTDIR)
        need(name in where.entries, Errno.ENOENT)
        found = where.entries[name]
        need(found.directory == directory, Errno.ENOTDIR if directory else Errno.EISDIR)
        need(not found.entries, Errno.ENOTEMPTY)
        found.drop()

    def rename(self, fid: int, name: bytes, newfid: int, newname: bytes) -> None:
        old, new = self.fid(fid).thing, self.fid(newfid).thing
        need(old.directory, Errno.ENOTDIR)
        need(name in old.entries, Errno.ENOENT)
        moving = old.entries[name]
        need(new.directory, Errno.ENOTDIR)
        need(new.alive, Errno.ENOENT)
        need(not (moving.directory and new.below(moving)), Errno.EINVAL)
        replaced = new.entries.get(newname)
        if replaced is moving:
            return
        if replaced is not None:
            need(replaced.directory == moving.directory, Errno.ENOTDIR if moving.directory else Errno.EISDIR)
            need(not replaced.entries, Errno.ENOTEMPTY)
            replaced.drop()
        del old.entries[name]
        new.put(newname, moving)

    def size(self, fid: int) -> tuple[bool, int]:
        thing = self.fid(fid).thing
        return thing.directory, 0 if thing.directory else len(thing.content)


class Session(RuleBasedStateMachine):
    """The rules are the requests."""

    dialect = b""
    kind = "fast"

    @initialize()
    def begin(self) -> None:
        self.served = Served(self.kind)
        self.served.__enter__()
        self.client: RawClient = self.served.client(self.dialect)
        self.model = Model()

    @property
    def linux(self) -> bool:
        return self.dialect == b"9P2000.L"

    def same(self, message: m.Message, expected: Any) -> Any:
        """The server's reply, if the model expects one; None if both refuse."""
        try:
            wanted = expected()
        except Refusal as refusal:
            code: Errno = refusal.args[0]
            with pytest.raises(Failed) as caught:
                self.client.rpc(message)
            found = caught.value.code
            assert found == (code if isinstance(found, int) else text_of(code).decode())
            return None
        return self.client.rpc(message), wanted

    @rule(fid=FIDS, newfid=FIDS, names=STEPS)
    def walk(self, fid: int, newfid: int, names: list[bytes]) -> None:
        if done := self.same(m.Twalk(fid, newfid, names), lambda: self.model.walk(fid, newfid, names)):
            assert len(done[0].qids) == done[1]

    @rule(fid=FIDS, access=st.integers(0, 2), truncate=st.booleans())
    def open(self, fid: int, access: int, truncate: bool) -> None:
        flags = access | linux.O_TRUNC * truncate
        message = m.Tlopen(fid, flags) if self.linux else m.Topen(fid, access | 0x10 * truncate)
        self.same(message, lambda: self.model.open(fid, flags))

    @rule(fid=FIDS, name=NAMES, access=st.integers(0, 2), truncate=st.booleans(), exclusive=st.booleans())
    def create(self, fid: int, name: bytes, access: int, truncate: bool, exclusive: bool) -> None:
        flags = access | linux.O_TRUNC * truncate | linux.O_EXCL * (exclusive or self.dialect == b"9P2000")
        message: m.Message = m.Tcreate(fid, name, 0o644, access | 0x10 * truncate | 0x04 * exclusive, b"")
        if self.linux:
            message = m.Tlcreate(fid, name, flags, 0o644, NO_ID)
        self.same(message, lambda: self.model.create(fid, name, flags, directory=False))

    @rule(fid=FIDS, name=NAMES)
    def mkdir(self, fid: int, name: bytes) -> None:
        if self.linux:
            self.same(m.Tmkdir(fid, name, 0o755, NO_ID), lambda: self.model.mkdir(fid, name))
        else:
            message = m.Tcreate(fid, name, 0x80000000 | 0o755, 0, b"")
            self.same(message, lambda: self.model.create(fid, name, 0, directory=True))

    @rule(fid=FIDS, offset=st.integers(0, 20), count=st.integers(0, 20))
    def read(self, fid: int, offset: int, count: int) -> None:
        held = self.model.fids.get(fid)
        if held is not None and held.opened and held.thing.directory:
            message = m.Treaddir(fid, 0, 4096) if self.linux else m.Tread(fid, 0, 4096)
            data = bytes(self.client.rpc(message).data)
            if self.linux:
                names = {entry[3] for entry in dirents(data)} - {b".", b".."}
            else:
                names = {record["name"] for record in stats(data, self.client.judge.extended)}
            assert names == self.model.read(fid, 0, 0)
        elif done := self.same(m.Tread(fid, offset, count), lambda: self.model.read(fid, offset, count)):
            assert bytes(done[0].data) == done[1]

    @rule(fid=FIDS, offset=st.integers(0, 20), data=st.binary(max_size=8))
    def write(self, fid: int, offset: int, data: bytes) -> None:
        if done := self.same(m.Twrite(fid, offset, data), lambda: self.model.write(fid, offset, data)):
            assert done[0].count == done[1]

    @rule(fid=FIDS)
    def clunk(self, fid: int) -> None:
        if fid:  # something to begin from
            self.same(m.Tclunk(fid), lambda: self.model.clunk(fid))

    @rule(fid=FIDS)
    def remove(self, fid: int) -> None:
        if fid:
            self.same(m.Tremove(fid), lambda: self.model.remove(fid))

    @rule(fid=FIDS, name=NAMES, directory=st.booleans())
    def unlink(self, fid: int, name: bytes, directory: bool) -> None:
        if self.linux:
            message = m.Tunlinkat(fid, name, 0x200 * directory)
            self.same(message, lambda: self.model.unlink(fid, name, directory=directory))

    @rule(fid=FIDS, name=NAMES, newfid=FIDS, newname=NAMES)
    def rename(self, fid: int, name: bytes, newfid: int, newname: bytes) -> None:
        if self.linux:
            message = m.Trenameat(fid, name, newfid, newname)
            self.same(message, lambda: self.model.rename(fid, name, newfid, newname))

    @rule(fid=FIDS)
    def stat(self, fid: int) -> None:
        message = m.Tgetattr(fid, 0x7FF) if self.linux else m.Tstat(fid)
        if done := self.same(message, lambda: self.model.size(fid)):
            directory, size = done[1]
            if self.linux:
                found = done[0].attributes
                assert (found.mode & linux.S_IFMT == linux.S_IFDIR) == directory
                assert directory or found.size == size
            else:
                found = done[0].stat
                assert (found.qid.type == 0x80, found.length) == (directory, size)

    @invariant()
    def no_more_than_there_is(self) -> None:
        if hasattr(self, "client"):
            assert self.served.do(self.fids) == set(self.model.fids)

    def fids(self) -> set[int]:
        (connection,) = self.served.server._connections
        return set(connection.session.fids)

    def teardown(self) -> None:
        if hasattr(self, "served"):
            self.served.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["fast", "waits"])
@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
def test_any_sequence_of_requests(dialect: bytes, kind: str) -> None:
    machine = type("Machine", (Session,), {"dialect": dialect, "kind": kind})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
