"""T23: paths that change under requests.

Two folders change places, with each other and with nothing, as fast as one client can ask for it.
Each has an inhabitant: a client that holds a fid of it from before the first move. Whatever an
inhabitant does through that fid happens in its own folder, wherever that is; what anybody does by
way of a name happens in the folder whose qid the walk said. ``waits`` serves every request in a
thread, so that they do run at the same time. ``NINEP_LONG=1`` gives every combination a minute.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter, defaultdict

import pytest
from tests.support.client import Failed
from tests.support.judge import stats
from tests.support.served import LAYERS
from tests.threats.lab import LONG, Attacker, Lab, beside, codes, restless
from tests.threats.test_t03_links import forget_handles
from tests.threats.verbs import ROOT, UNTOUCHED

from ninep.linux import GETATTR_BASIC, Errno
from ninep.wire import messages as m

SECONDS = 60.0 if LONG else 0.2
LEAST = 40
"""However slow the machine: so many acts of each."""
HOME, SPOT, OTHER = 1, 2, 3
"""Fids of an inhabitant: its folder, and two for what it does at the moment."""
PLACES = (b"x", b"y", b"z")
MODES = (0o600, 0o640, 0o604, 0o644)
GONE = {Errno.ENOENT, Errno.ESTALE}
"""What a path may come to while others move it."""


def look(client: Attacker, fid: int) -> tuple[int, int, int]:
    """qid path, permissions, size."""
    if client.linux:
        found = client.rpc(m.Tgetattr(fid, GETATTR_BASIC)).attributes
        return found.qid_path, found.mode & 0o777, found.size
    record = client.rpc(m.Tstat(fid)).stat
    return record.qid.path, record.mode & 0o777, record.length


class Mover:
    """Knows where both folders are. A request that is refused has moved nothing."""

    def __init__(self, lab: Lab, dialect: bytes) -> None:
        self.chance = random.Random(dialect)
        self.client = lab.client(dialect)
        self.client.walk(ROOT, 1, b"a")
        self.client.walk(ROOT, 2, b"b")
        self.at = {0: (1, PLACES[0]), 1: (1, PLACES[1])}
        for which in self.at:
            self.client.walk(1, 10 + which, PLACES[which])
        self.moves = 0
        self.refused = 0

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.step()
            except Failed as failure:
                if not codes(failure) & GONE:
                    raise
                self.refused += 1

    def step(self) -> None:
        which = self.chance.randrange(2)
        parents = (1, 2) if self.client.linux else (1,)  # a Twstat renames within its folder
        free = [(dfid, name) for dfid in parents for name in PLACES if (dfid, name) not in self.at.values()]
        dfid, name = self.chance.choice(free)
        if not self.client.linux:
            self.client.rpc(m.Twstat(10 + which, UNTOUCHED._replace(name=name)))
        elif self.chance.random() < 0.5:
            self.client.rpc(m.Trename(10 + which, dfid, name))
        else:
            self.client.rpc(m.Trenameat(*self.at[which], dfid, name))
        self.at[which] = dfid, name
        self.moves += 1


class Occupant:
    """Lives in one of the folders, and visits whichever a name leads to."""

    def __init__(self, lab: Lab, dialect: bytes, kind: str, which: int) -> None:
        self.lab = lab
        self.which = which
        self.shown = {0o777} | ({0o700} if kind == "waits" and lab.model == "mapped-file" else set())
        """Permissions of the folder. Its record is moved before it is: who looks in between, in
        another thread, sees the host's own.
        """
        self.chance = random.Random(which)
        self.client = lab.client(dialect)
        self.parents = {self.client.walk(ROOT, fid, name)[0].path for fid, name in ((SPOT, b"a"), (OTHER, b"b"))}
        self.client.clunk(SPOT, OTHER)
        self.home = self.client.walk(ROOT, HOME, b"a", PLACES[which])[1].path
        self.files: dict[bytes, tuple[int, int, bytes]] = {}
        """What it made in its own folder: qid path, permissions, content."""
        self.guests: dict[int, set[bytes]] = defaultdict(set)
        """What it made in whichever folder a name led to, by the qid of that."""
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.number = 0
        self.acts = [
            self.create,
            self.read,
            self.list_,
            self.rename,
            self.remove,
            self.up_and_down,
            self.by_name,
            self.visit,
        ]

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            act = self.chance.choice(self.acts)
            try:
                act()
            except Failed as failure:
                if not codes(failure) & GONE:
                    raise
                self.refused[act.__name__] += 1
            self.done[act.__name__] += 1
            for fid in (SPOT, OTHER):
                self.client.errors_of(m.Tclunk(fid))
            if self.chance.random() < 0.05:
                forget_handles(self.lab)

    def has_tried(self) -> bool:
        """Enough of everything, and a path has led somewhere."""
        return (
            self.done.total() > LEAST
            and len(self.done) == len(self.acts)
            and self.refused["by_name"] < self.done["by_name"]
        )

    def fresh(self) -> bytes:
        self.number += 1
        return b"%d-%d" % (self.which, self.number)

    # -- through the fid of its folder

    def create(self) -> None:
        if len(self.files) > 30:
            return
        name, mode = self.fresh(), self.chance.choice(MODES)
        qid = self.client.create(HOME, SPOT, name, mode=mode)
        self.files[name] = qid.path, mode, b""
        self.client.rpc(m.Twrite(SPOT, 0, name * 9))
        _, made, _ = look(self.client, SPOT)
        assert made in {mode & shown for shown in self.shown}  # plain 9P2000: no more than the folder has
        self.files[name] = qid.path, made, name * 9

    def read(self) -> None:
        if self.files:
            name = self.chance.choice(list(self.files))
            path, mode, content = self.files[name]
            assert self.client.walk(HOME, SPOT, name)[0].path == path
            assert look(self.client, SPOT) == (path, mode, len(content))
            self.client.open(SPOT)
            assert self.client.read(SPOT) == content

    def list_(self) -> None:
        self.client.walk(HOME, SPOT)
        path, mode, _ = look(self.client, SPOT)
        assert path == self.home
        assert mode in self.shown
        self.client.open(SPOT)
        if self.client.linux:
            names = set(self.client.names(SPOT))
        else:
            names = set()
            while data := self.client.read(SPOT, len(names), 4096):
                names |= {record["name"] for record in stats(data, self.client.judge.extended)}
        mine = {name for name in names if name.startswith(b"%d-" % self.which)}
        assert mine - {b"guest"} == self.files.keys(), "what is in a folder is what was made in it"

    def rename(self) -> None:
        if self.files:
            name, newname = self.chance.choice(list(self.files)), self.fresh()
            if self.client.linux:
                self.client.rpc(m.Trenameat(HOME, name, HOME, newname))
            else:
                self.client.walk(HOME, SPOT, name)
                self.client.rpc(m.Twstat(SPOT, UNTOUCHED._replace(name=newname)))
            self.files[newname] = self.files.pop(name)

    def remove(self) -> None:
        if self.files:
            name = self.chance.choice(list(self.files))
            if self.client.linux and self.chance.random() < 0.5:
                self.client.rpc(m.Tunlinkat(HOME, name, 0))
            else:
                self.client.walk(HOME, SPOT, name)
                self.client.rpc(m.Tremove(SPOT))
            del self.files[name]

    def up_and_down(self) -> None:
        """The folder's folder is one of the two that it is moved between; from below, up is the
        folder.
        """
        assert self.client.walk(HOME, SPOT, b"..")[0].path in self.parents
        assert self.client.walk(HOME, OTHER, b"below", b"..")[1].path == self.home

    # -- by way of its name of the moment

    def by_name(self) -> None:
        qids = self.client.rpc(
            m.Twalk(ROOT, SPOT, [self.chance.choice([b"a", b"b"]), self.chance.choice(PLACES), b"below", b".."])
        ).qids
        if len(qids) < 4:
            raise Failed(Errno.ENOENT)
        assert qids[1].path == qids[3].path

    def visit(self) -> None:
        """Make a file by a path. It is in the folder that the walk found."""
        if sum(map(len, self.guests.values())) > 100:
            return
        qids = self.client.rpc(m.Twalk(ROOT, SPOT, [self.chance.choice([b"a", b"b"]), self.chance.choice(PLACES)])).qids
        if len(qids) < 2:
            raise Failed(Errno.ENOENT)
        name = b"guest-" + self.fresh()
        self.client.create(SPOT, OTHER, name, name)
        self.guests[qids[1].path].add(name)


OWN = {"create", "read", "list_", "rename", "remove", "up_and_down"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["fast", "waits"])
def test_fids_follow_and_nothing_is_made_elsewhere(lab: Lab, dialect: bytes, kind: str) -> None:
    lab.put_around(LAYERS[kind])
    with lab.client() as builder:
        for fid, parent in ((1, b"a"), (2, b"b")):
            builder.mkdir(ROOT, parent)
            builder.walk(ROOT, fid, parent)
        for name in PLACES[:2]:
            builder.mkdir(1, name, 0o777)
            builder.walk(1, 10, name)
            builder.mkdir(10, b"below")
            builder.clunk(10)
    folders = {os.stat(lab.top / "a" / name.decode()).st_ino: which for which, name in enumerate(PLACES[:2])}
    mover = Mover(lab, dialect)
    people = [Occupant(lab, dialect, kind, which) for which in range(2)]
    until = time.monotonic() + SECONDS
    with restless(), beside(mover.run, *(one.run for one in people)) as failures:
        while not failures and (
            time.monotonic() < until or mover.moves <= 10 or not all(one.has_tried() for one in people)
        ):
            threading.Event().wait(0.02)
    for which, one in enumerate(people):
        assert kind == "waits" or not (one.refused.keys() & OWN or mover.refused), (one.refused, mover.refused)
        expected = one.files.keys() | {b"below"} | {name for other in people for name in other.guests[one.home]}
        (found,) = (path for path in lab.top.glob("?/?") if folders.get(path.stat().st_ino) == which)
        assert {os.fsencode(name) for name in os.listdir(found)} - {b".virtfs_metadata"} == expected
        if lab.model == "mapped-file":
            kept = {os.fsencode(name) for name in os.listdir(found / ".virtfs_metadata")}
            assert kept == expected, "metadata goes with its file"
    for path in lab.top.iterdir():  # and nothing was made anywhere else
        if path.is_dir() and path.name != ".virtfs_metadata":
            assert {
                entry.stat().st_ino for entry in path.iterdir() if entry.name != ".virtfs_metadata"
            } <= folders.keys()
    assert {path.name for path in lab.top.iterdir()} - {".virtfs_metadata"} == {"a", "b"}
