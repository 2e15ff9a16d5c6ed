"""``WouldBlock`` from any verb of any request: the whole request is repeated, so it must not have
changed anything before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import pytest
from tests.support.client import Failed, RawClient
from tests.support.served import Served

from ninep.layers.base import Around
from ninep.linux import AT_REMOVEDIR, NO_ID, Errno
from ninep.node import Node, User, WouldBlock, may_wait
from ninep.server.table import ROWS
from ninep.wire import messages as m
from ninep.wire.modes import DMDEVICE, DMDIR, DMLINK, DMNAMEDPIPE, DMSYMLINK
from ninep.wire.types import Stat

KEEP: Final = Stat(
    0xFFFF, 0xFFFFFFFF, (0xFF, 0xFFFFFFFF, (1 << 64) - 1), *[0xFFFFFFFF] * 3, (1 << 64) - 1, n_uid=NO_ID, n_gid=NO_ID, n_muid=NO_ID  # type: ignore[arg-type]
)  # fmt: skip
CHANGING: Final = frozenset(
    {
        *("setattr", "create", "mkdir", "symlink", "mknod", "link", "unlink", "rename", "remove", "move"),
        *("setxattr", "removexattr", "file.write", "file.truncate", "file.lock"),
    }
)
NEVER: Final = frozenset({"clone", "release", "file.close", "dir.close"})
"""Verbs that never raise ``WouldBlock`` (see ``node``)."""

SIZE, MODE, TRUNC, RDWR, RCLOSE = 8, 1, 0o1000, 2, 0x40
FILE, OPENED, LISTED, LINK, SET, DIR = 1, 2, 3, 4, 5, 0


class Blocks:
    """A layer that says no at one call that is made in the event loop, and notes what was changed
    there before.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at = -1
        self.armed = False
        self.changed_before: list[str] = []

    def __call__(self, root: Node, user: User) -> Node:
        del user
        return _Blocking(root, self)

    def arm(self, at: int) -> None:
        self.calls, self.at, self.armed, self.changed_before = [], at, True, []


class _Blocking(Around):
    __slots__ = ()
    layer: Blocks

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        layer = self.layer
        if layer.armed and not may_wait() and verb not in NEVER:
            layer.calls.append(verb)
            if len(layer.calls) - 1 == layer.at:
                layer.armed = False
                layer.changed_before = [one for one in layer.calls[:-1] if one in CHANGING]
                raise WouldBlock
        return call()


def setattr_(fid: int, valid: int) -> m.Tsetattr:
    return m.Tsetattr(fid, valid, 0o600, 0, 0, 2, 0, 0, 0, 0)


REQUESTS: Final[Sequence[m.Message]] = (
    m.Tattach(20, m.NOFID, b"root", b"", 0),
    m.Twalk(DIR, 20, [b"folder", b"..", b"file"]),
    m.Tread(OPENED, 0, 10),
    m.Twrite(OPENED, 0, b"new"),
    m.Tclunk(OPENED),
    m.Tclunk(SET),
    m.Tclunk(LISTED),
    m.Tremove(FILE),
    m.Tremove(OPENED),
    m.Tstat(FILE),
    m.Tstat(LINK),
    m.Topen(FILE, 1 | 0x10),
    m.Topen(FILE, RCLOSE),
    m.Tcreate(DIR, b"new", 0o644, RDWR),
    m.Tcreate(DIR, b"new", DMDIR | 0o755, 0),
    m.Twstat(FILE, KEEP._replace(name=b"other")),
    m.Twstat(FILE, KEEP._replace(length=2)),
    m.Twstat(FILE, KEEP._replace(name=b"other", mode=0o600)),
    m.Twstat(FILE, KEEP._replace(name=b"other", mode=0o600, length=2, mtime=7)),
    m.Twstat(FILE, KEEP._replace(name=b"other", length=20)),
    m.Twstat(OPENED, KEEP._replace(name=b"other", length=2, mtime=7)),
)
UNIX_REQUESTS: Final[Sequence[m.Message]] = (
    m.Tcreate(DIR, b"new", DMSYMLINK | 0o777, 0, b"target"),
    m.Tcreate(DIR, b"new", DMLINK, 0, b"%d\n" % FILE),
    m.Tcreate(DIR, b"new", DMNAMEDPIPE | 0o600, 0),
    m.Tcreate(DIR, b"new", DMDEVICE | 0o600, 0, b"c 1 3"),
)
LINUX_REQUESTS: Final[Sequence[m.Message]] = (
    m.Tstatfs(FILE),
    m.Tlopen(FILE, RDWR | TRUNC),
    m.Tlcreate(DIR, b"new", RDWR, 0o644, NO_ID),
    m.Tsymlink(DIR, b"new", b"target", NO_ID),
    m.Tmknod(DIR, b"new", 0o010644, 0, 0, NO_ID),
    m.Trename(FILE, DIR, b"other"),
    m.Treadlink(LINK),
    m.Tgetattr(FILE, 0x7FF),
    setattr_(FILE, SIZE | MODE),
    setattr_(OPENED, SIZE | MODE),
    m.Txattrwalk(FILE, 20, b""),
    m.Txattrcreate(FILE, b"user.b", 1, 0),
    m.Treaddir(LISTED, 0, 4000),
    m.Tfsync(OPENED, 0),
    m.Tlock(OPENED, 1, 0, 0, 10, 1, b"me"),
    m.Tlock(OPENED, 2, 0, 0, 10, 1, b"me"),
    m.Tgetlock(OPENED, 1, 0, 10, 1, b"me"),
    m.Tlink(DIR, FILE, b"new"),
    m.Tmkdir(DIR, b"new", 0o755, NO_ID),
    m.Trenameat(DIR, b"file", DIR, b"other"),
    m.Tunlinkat(DIR, b"folder", AT_REMOVEDIR),
)
CASES = [
    *[(b"9P2000.L", one) for one in (*REQUESTS, *UNIX_REQUESTS, *LINUX_REQUESTS)],
    *[(b"9P2000.u", one) for one in (*REQUESTS, *UNIX_REQUESTS)],
    *[(b"9P2000", one) for one in REQUESTS],
]


def prepared(served: Served, dialect: bytes) -> RawClient:
    """A session in an empty export with a file, a folder and a link, whose fids are as above."""
    client = served.client()
    client.create(0, 10, b"file", b"content")
    client.mkdir(0, b"folder")
    client.rpc(m.Tsymlink(0, b"link", b"file", NO_ID))
    client.clunk(10)
    if dialect != b"9P2000.L":
        client.close()
        client = served.client(dialect)
    for fid, name in ((FILE, b"file"), (OPENED, b"file"), (LINK, b"link"), (SET, b"file")):
        client.walk(0, fid, name)
    client.walk(0, LISTED)
    linux = dialect == b"9P2000.L"
    client.rpc(m.Tlopen(OPENED, RDWR) if linux else m.Topen(OPENED, RDWR))
    client.rpc(m.Tlopen(LISTED, 0) if linux else m.Topen(LISTED, 0))
    if linux:
        client.rpc(m.Txattrcreate(SET, b"user.a", 5, 0))
        client.rpc(m.Twrite(SET, 0, b"value"))
    return client


def outcome(dialect: bytes, request: m.Message, at: int) -> tuple[object, list[str], Blocks]:
    """The kind of reply, the names there are afterwards, and the layer."""
    blocks = Blocks()
    with Served(layers=[blocks]) as served:
        client = prepared(served, dialect)
        blocks.arm(at)
        try:
            reply: object = type(client.rpc(request))
        except Failed as error:
            reply = error
        blocks.armed = False
        with served.client() as looking:
            looking.open(0)
            names = sorted(entry[3] for entry in looking.entries(0, 0))
    return reply, [bytes(name) for name in names], blocks


def named(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else type(value).__name__


@pytest.mark.parametrize(("dialect", "request_"), CASES, ids=named)
def test_nothing_was_changed_before(dialect: bytes, request_: m.Message, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "ninep.server")
    expected, names, blocks = outcome(dialect, request_, -1)
    assert not isinstance(expected, Failed), expected
    for at in range(len(blocks.calls)):
        caplog.clear()
        reply, found, blocked = outcome(dialect, request_, at)
        if isinstance(reply, Failed):  # the driver's fault, said so; never by the first verb that changes something
            assert reply.stands_for(Errno.EIO), blocked.calls
            assert blocked.changed_before, blocked.calls
            assert "raised WouldBlock after a change" in caplog.text
        else:
            assert not blocked.changed_before, blocked.calls
            assert (reply, found) == (expected, names), blocked.calls


def test_no_row_is_left_out() -> None:
    asked = {type(request) for _, request in CASES}
    assert {row.message for row in ROWS} - asked == {m.Tauth}  # which asks no driver
