"""Requests sent without waiting for any reply, on few fids, with flushes and new versions in
between: each is answered once, in an order that flush(5) allows (the judge looks), and in the end
everything has been given back (T24 and T25).
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.support.client import RawClient
from tests.support.served import Served
from tests.wire.wire_examples import UNTOUCHED

from ninep.linux import NO_ID
from ninep.server.limits import Limits
from ninep.wire import messages as m

FIDS = range(5)
NAMES = (b"a", b"b", b"c", b"..")
Ask = Callable[[random.Random], m.Message]


def fid(chance: random.Random) -> int:
    return chance.choice(FIDS)


def name(chance: random.Random) -> bytes:
    return chance.choice(NAMES[:3])


ASKS: list[Ask] = [
    lambda r: m.Twalk(fid(r), fid(r), r.choices(NAMES, k=r.randrange(3))),
    lambda r: m.Twalk(0, fid(r), [name(r)]),
    lambda r: m.Tlopen(fid(r), r.choice([0, 1, 2])),
    lambda r: m.Tlcreate(fid(r), name(r), 2, 0o644, NO_ID),
    lambda r: m.Tcreate(fid(r), name(r), 0o644, r.choice([2, 0x42]), b""),
    lambda r: m.Tread(fid(r), r.randrange(9), r.randrange(99)),
    lambda r: m.Twrite(fid(r), r.randrange(9), b"x" * r.randrange(99)),
    lambda r: m.Treaddir(fid(r), 0, 4096),
    lambda r: m.Tclunk(r.choice(FIDS[1:])),
    lambda r: m.Tclunk(r.choice(FIDS[1:])),
    lambda r: m.Tremove(r.choice(FIDS[1:])),
    lambda r: m.Tgetattr(fid(r), 0x7FF),
    lambda r: m.Tsetattr(fid(r), 8, 0, 0, 0, r.randrange(99), 0, 0, 0, 0),
    lambda r: m.Tstat(fid(r)),
    lambda r: m.Twstat(fid(r), UNTOUCHED._replace(n_uid=NO_ID, n_gid=NO_ID, n_muid=NO_ID)),
    lambda r: m.Tmkdir(fid(r), name(r), 0o755, NO_ID),
    lambda r: m.Tunlinkat(fid(r), name(r), r.choice([0, 0x200])),
    lambda r: m.Trenameat(fid(r), name(r), fid(r), name(r)),
    lambda r: m.Trename(fid(r), fid(r), name(r)),
    lambda r: m.Txattrwalk(fid(r), fid(r), r.choice([b"", b"user.a"])),
    lambda r: m.Txattrcreate(fid(r), b"user.a", 3, 0),
    lambda r: m.Tfsync(fid(r)),
    lambda r: m.Tlock(fid(r), r.choice([0, 1, 2]), 0, r.randrange(9), r.randrange(9), r.randrange(3), b"c"),
    lambda r: m.Tgetlock(fid(r), 1, 0, 0, 1, b"c"),
]


def pipeline(client: RawClient, chance: random.Random) -> None:
    """A hundred requests or so, in pieces."""
    recent: list[int] = [0]
    for _ in range(chance.randrange(2, 12)):
        batch: list[m.Message] = []
        for _ in range(chance.randrange(1, 20)):
            if chance.random() < 0.15:
                batch.append(m.Tflush(chance.choice(recent)))
            else:
                batch.append(chance.choice(ASKS)(chance))
        tags = []
        frames = []
        for message in batch:  # one by one, so that a flush may name a request of the same piece
            tag = client.next_tag()
            if isinstance(message, m.Tflush) and chance.random() < 0.5 and tags:
                message.oldtag = chance.choice(tags)
            frame = client.encode(message, tag)
            client.judge.sent(frame)
            frames.append(frame)
            tags.append(tag)
        recent = (recent + tags)[-40:]
        client.sock.sendall(b"".join(frames))
        for _ in range(chance.randrange(10)):
            if client.judge.pending:
                client.receive()


@pytest.mark.parametrize("kind", ["fast", "misses", "waits"])
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(threads=1), Limits(in_flight=3)], ids=["generous", "one thread", "three at a time"]
)
@pytest.mark.parametrize("seed", range(6))
def test_every_request_is_answered_once(seed: int, limits: Limits, kind: str) -> None:
    chance = random.Random(seed)
    with Served(kind, limits=limits) as served:
        clients = [served.client() for _ in range(3)]
        for _ in range(4):
            for client in clients:
                pipeline(client, chance)
            for client in clients:
                while client.judge.pending:
                    client.receive()
                client.version()  # sometimes with everything in flight: see below
                client.attach()


@pytest.mark.parametrize("end", ["version", "disconnect"])
@pytest.mark.parametrize("kind", ["misses", "waits"])
@pytest.mark.parametrize("seed", range(6))
def test_with_everything_in_flight(seed: int, kind: str, end: str) -> None:
    chance = random.Random(seed)
    with Served(kind, limits=Limits(threads=3), threads=4) as served:
        clients = [served.client() for _ in range(3)]
        for _ in range(3):
            for client in clients:
                pipeline(client, chance)
            if end == "version":
                for client in clients:
                    begin_again(client)
            else:
                clients[0].close()
                clients[0] = served.client()


def begin_again(client: RawClient) -> None:
    """A new version while replies of the old session may still be on their way."""
    old = dict(client.judge.pending)
    client.judge.sent(client.encode(m.Tversion(8192, b"9P2000.L"), m.NOTAG))
    client.judge.pending |= {tag: what for tag, what in old.items() if tag != m.NOTAG}
    client.sock.sendall(client.encode(m.Tversion(8192, b"9P2000.L"), m.NOTAG))
    while client.receive()[0] != m.NOTAG:
        pass
    client.judge.pending.clear()
    client.attach()
