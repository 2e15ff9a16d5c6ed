"""Every reply of a small session, changed at every byte: the client answers with a result or an
`OSError`, never with anything else.
"""

from __future__ import annotations

import pytest
from tests.client.fake import ROOT, FakeServer, hasty

from ninep.client.blocking import connect
from ninep.wire.codec import codec, pack_dirents
from ninep.wire.messages import (
    Rattach,
    Rgetattr,
    Rgetlock,
    Rlerror,
    Rlock,
    Rlopen,
    Rread,
    Rreaddir,
    Rreadlink,
    Rstatfs,
    Rversion,
    Rwalk,
    Rwrite,
    Rxattrwalk,
    Tattach,
    Tgetattr,
    Tgetlock,
    Tlock,
    Tlopen,
    Tread,
    Treaddir,
    Treadlink,
    Tstatfs,
    Tversion,
    Twalk,
    Twrite,
    Txattrwalk,
)
from ninep.wire.modes import EXTENDED
from ninep.wire.types import Attributes, Dirent, Qid, Statfs

FILE = Qid(0, 1, 5)
ENTRIES = b"".join(pack_dirents([Dirent(*FILE, 1, 8, b"one"), Dirent(*FILE, 2, 0, b"two")], 100)[0])
GOOD = {
    Twalk: lambda t: Rwalk([FILE] * len(t.wnames)),
    Tgetattr: lambda t: Rgetattr(Attributes(mode=0o100644, size=3)),
    Tlopen: lambda t: Rlopen(ROOT if t.flags else FILE, 0),
    Treaddir: lambda t: Rreaddir(b"" if t.offset else ENTRIES),
    Tread: lambda t: Rread(b"abc"[t.offset :][: t.count]),
    Twrite: lambda t: Rwrite(len(t.data)),
    Tstatfs: lambda t: Rstatfs(Statfs()),
    Treadlink: lambda t: Rreadlink(b"target"),
    Txattrwalk: lambda t: Rxattrwalk(3),
    Tlock: lambda t: Rlock(0),
    Tgetlock: lambda t: Rgetlock(2, 0, 0, 1, b"host"),
    Tversion: lambda t: Rversion(8192, t.version),
    Tattach: lambda t: Rattach(ROOT),
}


def session(client):
    """One of each kind of request."""
    assert [entry.name for entry in client.scandir("/", stat=True)]
    client.readlink("link")
    client.statfs()
    client.getxattr("file", "user.x")
    with client.open("file") as file:
        file.read()
        list(file)
        file.lock(wait=False)
        file.test_lock()
    with client.open("file", 2) as file:
        file.write(b"abc")
    client.stat("link", follow=True)


@pytest.mark.parametrize("kind", GOOD)
def test_a_changed_reply(kind):
    calls = 0
    seen = []
    server: FakeServer

    def once(change):
        """A rule that changes the first reply of this kind, and answers the others correctly."""

        def rule(t):
            nonlocal calls
            calls += 1
            reply = GOOD[kind](t)
            if calls > 1:
                return reply
            frame = b"".join(codec(EXTENDED).encode(server.tag, reply))
            seen.append(len(frame))
            return change(frame)

        return rule

    def play(change):
        nonlocal server, calls
        calls = 0
        server = FakeServer({**GOOD, kind: once(change)})
        with server:
            try:
                with hasty(kind, after=lambda: calls > 0), connect(server.socket, dialect="9P2000.L") as client:
                    session(client)
            except (OSError, AssertionError):
                pass

    play(lambda frame: frame)
    for place in range(seen[0]):
        for value in (0x00, 0xFF):
            play(lambda frame, p=place, v=value: frame[:p] + bytes([v]) + frame[p + 1 :])
    for end in range(0, seen[0], 20):
        play(lambda frame, e=end: frame[:e])
    play(lambda frame: frame + frame)
    play(lambda frame: Rlerror(0xFFFFFFFF))
    assert len(seen) > 2 * seen[0]
