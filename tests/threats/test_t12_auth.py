"""T12: authentication: there is none to be had, so no state of it can be abused.

Tauth is answered as attach(5) says for servers that need none; an afid never comes to be, so it is
not walked, read, written, clunked or attached with.
"""

from __future__ import annotations

import pytest
from tests.threats.lab import Lab
from tests.threats.verbs import ROOT

from ninep.linux import Errno
from ninep.wire import messages as m

AFID = 50


@pytest.mark.parametrize("begun", [False, True], ids=["nothing begun", "Tauth sent"])
@pytest.mark.parametrize("where", ["own", "other connection"])
def test_an_afid_is_good_for_nothing(lab: Lab, dialect: bytes, where: str, *, begun: bool) -> None:
    with lab.connect() as first, lab.connect() as second:
        for client in (first, second):
            client.version(dialect)
        if begun:
            (first if where == "own" else second).refuses(m.Tauth(AFID, b"root", b"", 0), Errno.ENOENT)
        for uname in (b"root", b"other", b""):
            first.refuses(m.Tattach(ROOT, AFID, uname, b"", 0), Errno.EACCES)
        for message in (
            m.Tread(AFID, 0, 100),
            m.Twrite(AFID, 0, b"x"),
            m.Twalk(AFID, 5, []),
            m.Tclunk(AFID),
            m.Topen(AFID, 0),
            m.Tremove(AFID),
        ):
            first.refuses(message, Errno.EBADF)


def test_a_flood_of_tauth_leaves_nothing(lab: Lab, dialect: bytes) -> None:
    with lab.connect() as client:
        client.version(dialect)
        for number in range(10_000):
            client.refuses(m.Tauth(number, b"root", b"", 0), Errno.ENOENT)
        assert not lab.do(lambda: [fid for one in lab.server._connections for fid in one.session.fids])


def test_a_real_fid_is_no_afid(lab: Lab, dialect: bytes) -> None:
    with lab.client(dialect) as client:
        client.refuses(m.Tattach(9, ROOT, b"root", b"", 0), Errno.EACCES)
        client.rpc(m.Tstat(ROOT))
