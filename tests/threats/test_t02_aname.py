"""T02: anames that are paths: an export is chosen by its name, which is compared and never joined
to anything.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.threats.lab import Lab
from tests.threats.verbs import ROOT

from ninep.linux import NO_ID, Errno
from ninep.server.access import Access, parse_rule
from ninep.wire import messages as m

NAMES = (
    b"..", b"../", b"/..", b"../canary", b"/etc", b"/etc/passwd", b"export", b"export-secret", b"other", b".", b"./", b"/./", b"\0", b"named\0",
    b"named/", b"named/..", b"named/../..", b"NAMED", b"x" * 65535, b"\xff\xfe", b"named ", b"%2e%2e", b"..\\canary", b"C:\\", b"//host/share",
)  # fmt: skip


@pytest.fixture
def named(labs: Callable[..., Lab], model: str) -> Lab:
    return labs(model, name="named")


def test_what_is_no_export_is_not_attached(named: Lab, dialect: bytes) -> None:
    with named.connect() as client:
        client.version(dialect, 1 << 20)
        for name in NAMES:
            if name.strip(b"/") == b"named":
                continue
            client.refuses(m.Tattach(ROOT, m.NOFID, b"root", name, 0), Errno.ENOENT)
            client.refuses(m.Tstat(ROOT), Errno.EBADF)
        for name in (b"named", b"/named", b"", b"/"):
            client.rpc(m.Tattach(ROOT, m.NOFID, b"root", name, 0))
            client.clunk(ROOT)


def test_nor_with_an_afid(named: Lab, dialect: bytes) -> None:
    with named.connect() as client:
        client.version(dialect)
        for name in (b"../canary", b"named"):
            client.refuses(m.Tauth(7, b"root", name, 0), Errno.ENOENT)
            client.refuses(m.Tattach(ROOT, 7, b"root", name, 0), Errno.EACCES, Errno.ENOENT)


def test_an_export_that_is_not_for_this_peer(named: Lab, dialect: bytes) -> None:
    """Refused, and the log says who wanted what, and why not."""
    next(iter(named.server.exports)).access = Access((parse_rule("uid:4242"), parse_rule("10.0.0.0/8")), closed=True)
    with named.connect() as client:
        client.version(dialect)
        client.refuses(m.Tattach(ROOT, m.NOFID, b"ro\x1bot", b"named", NO_ID), Errno.EACCES)
    (line,) = [line for line in named.records.messages() if "attach to b'named'" in line]
    assert line.startswith("refused unix uid=")
    assert r"\x1b" in line
    assert "not in the export's list" in line
    next(iter(named.server.exports)).access = Access()
