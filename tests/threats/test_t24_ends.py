"""T24: the end of a fid's life while requests use it: clunk, version, disconnect and flush against
read, write, listing and attribute commits.

First each end meets each request that is known to be in a thread at that moment; then schedules are
made up at random, with faults in the layer below. ``Audit`` next to the driver sees any use of what
was closed. A write is on the host as a whole or not at all, and it is there if it was answered; an
attribute likewise. ``NINEP_LONG=1`` makes it a hundred thousand schedules.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from tests.support.client import TIMEOUT, Failed
from tests.support.served import LAYERS
from tests.threats.lab import LINUX, LONG, Attacker, Lab, restless
from tests.threats.verbs import ROOT, UNTOUCHED

from ninep.linux import GETATTR_BASIC, SETATTR_SIZE, Errno
from ninep.wire import messages as m

SCHEDULES = 100_000 // 12 if LONG else 60
"""In each dialect and model."""
FILE, FOLDER, CLONE, VICTIM, VALUE, AGAIN = range(1, 7)
BLOCK = 3000
BLOCKS = 8
WHOLE = b"value" * 500


@pytest.fixture
def lab(labs: Callable[..., Lab], model: str) -> Lab:
    """A lab whose driver is watched, fails by order, and is called in threads."""
    lab = labs(model)
    lab.put_around(lab.audit, lab.faults, LAYERS["waits"])
    return lab


def prepare(lab: Lab, dialect: bytes) -> Attacker:
    """A session with an open file, an open folder, and a clone of the file's fid."""
    (lab.top / "file").write_bytes(bytes(BLOCK * BLOCKS))
    (lab.top / "file").chmod(0o666)
    (lab.top / "victim").write_bytes(b"")
    (lab.top / "folder").mkdir(exist_ok=True)
    (lab.top / "folder" / "entry").touch()
    client = lab.client(dialect, 1 << 16)
    client.walk(ROOT, FILE, b"file")
    client.walk(ROOT, FOLDER, b"folder")
    client.walk(FILE, CLONE)
    client.walk(ROOT, VICTIM, b"victim")
    client.open(FILE, 2)
    client.open(FOLDER)
    return client


def stat(client: Attacker, fid: int) -> m.Message:
    return m.Tgetattr(fid, GETATTR_BASIC) if client.linux else m.Tstat(fid)


def list_(client: Attacker) -> m.Message:
    return m.Treaddir(FOLDER, 0, 1000) if client.linux else m.Tread(FOLDER, 0, 1000)


def write(number: int, fid: int = FILE) -> m.Twrite:
    return m.Twrite(fid, number * BLOCK, bytes([number + 1]) * BLOCK)


def gone(client: Attacker, fid: int) -> None:
    client.refuses(stat(client, fid), Errno.EBADF)


# -- each end against each request ----------------------------------------------------------------------------------------


class Act(NamedTuple):
    """A request that is caught in the act: the driver's verb that is held, the fid."""

    verb: str
    fid: int
    message: Callable[[Attacker], m.Message]
    linux: bool = False


ACTS = {
    "read": Act("file.read", FILE, lambda _: m.Tread(FILE, 0, BLOCK)),
    "write": Act("file.write", FILE, lambda _: write(3)),
    "list": Act("dir.read", FOLDER, lambda client: m.Treaddir(FOLDER, 0, 1000) if client.linux else m.Tread(FOLDER, 0, 1000)),
    "stat": Act("getattr", CLONE, lambda client: stat(client, CLONE)),
    "fsync": Act("file.fsync", FILE, lambda client: m.Tfsync(FILE) if client.linux else m.Twstat(FILE, UNTOUCHED)),
    "walk": Act("walk", FOLDER, lambda _: m.Twalk(FOLDER, 50, [b"entry"])),
    "open": Act("open", CLONE, lambda client: m.Tlopen(CLONE, 2) if client.linux else m.Topen(CLONE, 2)),
    "remove": Act("remove", VICTIM, lambda _: m.Tremove(VICTIM)),
    "truncate": Act("file.truncate", FILE, lambda _: m.Tsetattr(FILE, SETATTR_SIZE, 0, 0, 0, BLOCK * BLOCKS, 0, 0, 0, 0), linux=True),
    "commit": Act("setxattr", VALUE, lambda _: m.Tclunk(VALUE), linux=True),
    "look up": Act("getxattr", CLONE, lambda _: m.Txattrwalk(CLONE, 50, b"user.kept"), linux=True),
}  # fmt: skip


def act_until_held(lab: Lab, client: Attacker, act: Act, *, after: bool) -> tuple[int, Callable[[], None]]:
    """The request is in its thread, before or after the driver did its work. Its tag, and what lets
    it go on.
    """
    if act.verb == "setxattr":
        client.walk(CLONE, VALUE)
        client.rpc(m.Txattrcreate(VALUE, b"user.x", len(WHOLE), 0))
        client.rpc(m.Twrite(VALUE, 0, WHOLE))
    if act.verb == "getxattr":
        os.setxattr(lab.top / "file", "user.kept", b"kept")
    verb = "dir.read_packed" if act.verb == "dir.read" and client.linux else act.verb
    hold = lab.faults.hold(verb, after=after)
    tag = client.send(act.message(client))
    assert hold.reached.wait(TIMEOUT), act.verb
    return tag, hold.go.set


def by_clunk(lab: Lab, client: Attacker, act: Act, tag: int, go: Callable[[], None]) -> None:
    """It waits for its turn; then the fid is gone."""
    clunk = client.send(m.Tclunk(act.fid))
    client.rpc(stat(client, ROOT))  # others pass by
    assert not client.arrived(clunk)
    go()
    client.reply(tag)
    ends_itself = act.verb in {"remove", "setxattr"}
    if ends_itself:
        with pytest.raises(Failed):
            client.reply(clunk)
    else:
        client.reply(clunk)
    assert client.order[-2:] == [tag, clunk]
    gone(client, act.fid)


def by_version(lab: Lab, client: Attacker, act: Act, tag: int, go: Callable[[], None]) -> None:
    """Nothing more is said of it, and the new session knows none of the fids."""
    client.version(client.dialect, 1 << 16)
    gone(client, act.fid)
    client.attach()
    go()
    client.rpc(stat(client, ROOT))
    assert tag not in client.order[-4:]


def by_disconnect(lab: Lab, client: Attacker, act: Act, tag: int, go: Callable[[], None]) -> None:
    """The thread comes back to nobody."""
    client.close()
    go()


def by_flush(lab: Lab, client: Attacker, act: Act, tag: int, go: Callable[[], None]) -> None:
    """It runs: the answer, then the Rflush."""
    flush = client.send(m.Tflush(tag))
    client.rpc(stat(client, ROOT))
    assert not client.arrived(flush)
    go()
    client.reply(flush)
    client.reply(tag)
    assert client.order[-2:] == [tag, flush]


def by_the_same(lab: Lab, client: Attacker, act: Act, tag: int, go: Callable[[], None]) -> None:
    """The same request once more, under another tag: each is answered, and the second finds what
    the first left.
    """
    second = client.send(act.message(client))
    go()
    client.reply(tag)
    try:
        client.reply(second)
    except Failed:
        assert act.verb in {
            "open",
            "remove",
            "setxattr",
            "walk",
            "getxattr",
        }  # open already, gone already, a fid in use


ENDS = [by_clunk, by_version, by_disconnect, by_flush, by_the_same]


@pytest.mark.parametrize("end", ENDS)
def test_each_end_against_each_request(lab: Lab, dialect: bytes, end: Callable[..., None]) -> None:
    for act in ACTS.values():
        if act.linux and dialect != LINUX:
            continue
        for after in (False, True):
            client = prepare(lab, dialect)
            tag, go = act_until_held(lab, client, act, after=after)
            end(lab, client, act, tag, go)
            client.close()
            lab.wait_until_idle()
            answered = tag in client.order
            if act.verb == "file.write":
                found = (lab.top / "file").read_bytes()[3 * BLOCK : 4 * BLOCK]
                assert found == bytes([4]) * BLOCK
            if act.verb == "remove":
                assert not (lab.top / "victim").exists() or not answered
            if act.verb == "setxattr":
                assert os.getxattr(lab.top / "file", "user.x") == WHOLE
                os.removexattr(lab.top / "file", "user.x")


# -- schedules at random --------------------------------------------------------------------------------------------------


class Schedule:
    """A session's worth of requests that are sent without waiting for anything, and how it ends."""

    def __init__(self, lab: Lab, dialect: bytes, chance: random.Random) -> None:
        self.lab = lab
        self.chance = chance
        self.client = prepare(lab, dialect)
        self.requests: list[m.Message] = []
        self.tags: list[int] = []
        self.replies: dict[int, m.Message] = {}
        for _ in range(chance.randrange(3, 12)):
            self.requests += chance.choice(self.choices())
        self.end = chance.choice(["", "", "version", "disconnect", "disconnect early"])

    def choices(self) -> list[list[m.Message]]:
        chance, client = self.chance, self.client
        number = chance.randrange(BLOCKS)
        common: list[list[m.Message]] = [
            [write(number)], [write(number), m.Tclunk(FILE)], [m.Tread(FILE, 0, 9000)], [list_(client)],
            [stat(client, chance.choice([FILE, CLONE, FOLDER]))], [m.Tclunk(chance.choice([FILE, FOLDER, CLONE]))],
            [m.Twalk(FILE, CLONE, [])], [m.Twalk(ROOT, FILE, [b"file"])], [m.Tremove(VICTIM)], [m.Twstat(FILE, UNTOUCHED)],
            [m.Twalk(ROOT, AGAIN, [b"file"]), m.Topen(AGAIN, 2), write(number, AGAIN), m.Tclunk(AGAIN)], [m.Tflush(0)], [m.Tflush(0)],
        ]  # fmt: skip
        if client.linux:
            value = [m.Twalk(ROOT, VALUE, [b"file"]), m.Txattrcreate(VALUE, b"user.x", len(WHOLE), 0)]
            common += [
                [*value, m.Twrite(VALUE, 0, WHOLE), m.Tclunk(VALUE)], [*value, m.Twrite(VALUE, 0, WHOLE[:9]), m.Tclunk(VALUE)],
                [*value, m.Twrite(VALUE, 0, WHOLE[:999]), m.Twrite(VALUE, 999, WHOLE[999:]), m.Tclunk(VALUE)],
            ]  # fmt: skip
        return common

    def run(self) -> None:
        for _ in range(self.chance.randrange(3)):
            verb = self.chance.choice(
                ["file.write", "file.read", "getattr", "setxattr", "walk", "open", "dir.read", "remove"]
            )
            makes = verb in {"walk", "open"}  # what they made would be lost on the way back
            self.lab.faults.fail(
                verb, Errno.EIO, at=self.chance.randrange(1, 4), after=not makes and self.chance.random() < 0.5
            )
        self.lab.faults.fail("file.close", Errno.EIO, at=self.chance.randrange(1, 9), after=True)
        self.send()
        while self.client.judge.pending and (self.end != "disconnect early" or self.chance.random() < 0.5):
            tag, self.replies[tag] = self.client.receive()
        if self.end == "":
            self.known_fids()
        self.client.close()
        self.lab.wait_until_idle()
        self.lab.faults.clear()
        self.on_the_host()

    def send(self) -> None:
        frames = []
        for request in self.requests:
            if isinstance(request, m.Tflush):
                request.oldtag = self.chance.choice(self.tags or [9999])
            tag = self.client.next_tag()
            frames.append(self.client.encode(request, tag))
            self.client.judge.sent(frames[-1])
            self.tags.append(tag)
        if self.end == "version":
            before = dict(self.client.judge.pending)
            frames.append(self.client.encode(m.Tversion(8192, self.client.dialect), m.NOTAG))
            self.client.judge.sent(frames[-1])
            self.client.judge.pending |= before  # they may be answered until the Rversion
        self.client.sock.sendall(b"".join(frames))
        if self.end == "disconnect":
            self.client.judge.pending.clear()
        if self.end == "version":
            while m.NOTAG not in self.replies:
                tag, self.replies[tag] = self.client.receive()
            self.client.judge.pending.clear()

    def answered(self, position: int) -> bool | None:
        """Whether a request succeeded; None if nothing was said."""
        reply = self.replies.get(self.tags[position])
        return None if reply is None else not isinstance(reply, (m.Rlerror, m.Rerror))

    def known_fids(self) -> None:
        """Requests for one fid are served in their order: what the replies say is what there is."""
        bound: dict[int, bool | None] = dict.fromkeys((FILE, FOLDER, CLONE, VICTIM), True) | dict.fromkeys(
            (VALUE, AGAIN), False
        )
        for position, request in enumerate(self.requests):
            done = self.answered(position)
            if isinstance(request, m.Tclunk | m.Tremove):
                bound[request.fid] = None if done is None and bound[request.fid] is not False else False
            elif isinstance(request, m.Twalk) and request.newfid != request.fid:
                if done:
                    bound[request.newfid] = True
                elif done is None and not bound[request.newfid]:
                    bound[request.newfid] = None
        for fid, is_bound in bound.items():
            if is_bound is not None:
                said = self.client.errors_of(m.Twalk(fid, 77, []))
                if not said:
                    self.client.clunk(77)
                assert (Errno.EBADF in said) != is_bound, (fid, is_bound, said, self.requests, self.replies)

    def on_the_host(self) -> None:
        found = (self.lab.top / "file").read_bytes()
        assert len(found) == BLOCK * BLOCKS
        for position, request in enumerate(self.requests):
            if isinstance(request, m.Twrite) and request.fid != VALUE:
                block = found[request.offset : request.offset + BLOCK]
                assert block in {request.data, bytes(BLOCK)}, "a part of a write"
                assert block == request.data or not self.answered(position), "a write that was answered is not there"
        try:
            value = os.getxattr(self.lab.top / "file", "user.x")
        except OSError:
            value = b""
        else:
            os.removexattr(self.lab.top / "file", "user.x")
        assert value in {b"", WHOLE}, "a part of an attribute"


@pytest.mark.timeout(3600 if LONG else 900)
def test_schedules_at_random(lab: Lab, dialect: bytes) -> None:
    replies = 0
    with restless():
        for seed in range(SCHEDULES):
            schedule = Schedule(lab, dialect, random.Random(seed))
            try:
                schedule.run()
            except BaseException as failure:
                failure.add_note(f"schedule {seed}, which ends with {schedule.end!r}: {schedule.requests}")
                raise
            replies += len(schedule.replies)
    assert replies > SCHEDULES * 2
