"""Servers that behave differently from ninep's: other errors, wrong types in listings, endless
listings and trees.
"""

from __future__ import annotations

import errno

import pytest
from tests.client.expect import refused
from tests.client.fake import EACCES, ENOENT, EROFS, FILE, LINK, ROOT, listing, walk_to

from ninep.client import bounds
from ninep.client.errors import ProtocolError
from ninep.wire.codec import pack_dirents
from ninep.wire.messages import (
    Rcreate,
    Rerror,
    Rgetattr,
    Rlcreate,
    Rlerror,
    Rlopen,
    Rmkdir,
    Rreaddir,
    Rrenameat,
    Runlinkat,
    Rwalk,
    Rwrite,
    Rwstat,
    Tcreate,
    Tgetattr,
    Tlcreate,
    Tlopen,
    Tmkdir,
    Treaddir,
    Trenameat,
    Tunlinkat,
    Twalk,
    Twrite,
    Twstat,
)
from ninep.wire.types import Attributes, Dirent


@pytest.mark.parametrize("entries", [b"short", b"with attributes"])
def test_what_is_kept_of_a_listing_is_bounded(against, monkeypatch, entries):
    """Where entries are stored (in a tree) it ends with an error; where they are passed on it
    continues.
    """
    monkeypatch.setattr(bounds, "MAX_HELD", 1 << 20)
    rules = {Treaddir: lambda t: Rreaddir(listing(*(b"%d" % (t.offset + n) for n in range(100)), cookie=t.offset + 1))}
    client, server = against({Twalk: walk_to(ROOT), Tlopen: Rlopen(ROOT, 0), **rules})
    with refused(errno.ENOMEM, "/"):
        list(client.walk("/"))
    assert len(server.asked(Treaddir)) < 40
    errors = []
    client.rmtree("/dir", onerror=errors.append)
    assert [error.errno for error in errors][:1] == [errno.ENOMEM]
    if entries == b"short":
        assert sum(1 for _ in zip(client.scandir("/"), range(10_000), strict=False)) == 10_000


@pytest.mark.parametrize("cycle", [1, 2, 3, 7, 100])
def test_a_listing_with_a_cycle(against, cycle):
    """For every length of the cycle, with one stored offset."""
    rules = {Treaddir: lambda t: Rreaddir(listing(b"x", cookie=50 + (t.offset + 1) % cycle))}
    client, server = against({Twalk: walk_to(ROOT), Tlopen: Rlopen(ROOT, 0), **rules})
    with pytest.raises(ProtocolError, match="comes back"):
        client.listdir("/")
    assert len(server.asked(Treaddir)) < 4 * cycle + 8


def test_the_qid_determines_the_type(against):
    """Some servers write DT_REG for everything (or DT_DIR for files)."""
    made = [Dirent(*ROOT, 1, 8, b"dir"), Dirent(*FILE, 2, 4, b"file"), Dirent(*LINK, 3, 8, b"link")]
    data = b"".join(pack_dirents(made, 1000)[0])
    fids = {}

    def walk(t):
        qid = {b"file": FILE, b"link": LINK}.get(t.wnames[-1] if t.wnames else b"", ROOT)
        fids[t.newfid] = t.wnames[-1] if t.wnames else fids.get(t.fid, b"")
        return Rwalk([ROOT] * (len(t.wnames) - 1) + [qid] * bool(t.wnames))

    rules = {
        Twalk: walk,
        Tlopen: Rlopen(ROOT, 0),
        Treaddir: lambda t: Rreaddir(data if not t.offset and fids[t.fid] == b"" else b""),
        Tunlinkat: Runlinkat(),
    }
    client, server = against(rules)
    assert [(entry.name, entry.kind) for entry in client.scandir("/")] == [("dir", 4), ("file", 8), ("link", 10)]
    assert [(path, [entry.name for entry in dirs]) for path, dirs, _ in client.walk("/")] == [
        ("/", ["dir"]),
        ("/dir", []),
    ]
    client.rmtree("/")
    assert {(t.name, t.flags) for t in server.asked(Tunlinkat)} == {(b"file", 0), (b"link", 0), (b"dir", 0x200)}


# -- servers that say no in ways of their own


def existing(*paths):
    """A rule: a walk is refused as a whole unless the whole path exists, as some servers do."""
    fids = {0: ()}

    def walk(t):
        path = (*fids[t.fid], *t.wnames)
        if any(b"/".join(path[: n + 1]) not in paths for n in range(len(path))):
            return ENOENT
        fids[t.newfid] = path
        return Rwalk([ROOT if b"dir" in name else FILE for name in t.wnames])

    return walk


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        (b"9P2000.L", b""),
        *(
            (b"9P2000", words)
            for words in (b"file does not exist", b"no such file", b"not found", b"Datei nicht da", b"gone", b"")
        ),
    ],
)
def test_a_name_that_is_missing_can_be_made(against, dialect, words):
    """Also where a walk is refused as a whole, and with any text of a plain server."""
    walk = existing(b"dir", b"dir/dir2", b"dir/dir2/old")
    no = Rlerror(ENOENT) if dialect == b"9P2000.L" else Rerror(words)
    rules = {
        Twalk: lambda t: no if (said := walk(t)) == ENOENT else said,
        Tlcreate: Rlcreate(FILE, 0),
        Tcreate: Rcreate(FILE, 0),
        Twrite: lambda t: Rwrite(len(t.data)),
        Tmkdir: Rmkdir(ROOT),
        Twstat: Rwstat(),
        Trenameat: Rrenameat(),
    }
    client, server = against(rules, dialect=dialect)
    assert not client.exists("dir/dir2/new")
    assert not client.exists("dir/dir2/new", follow=True)
    assert client.realpath("dir/dir2/new") == "/dir/dir2/new"
    client.write_bytes("dir/dir2/new", b"data", follow=True)
    client.rename("dir/dir2/old", "dir/dir2/other")
    assert len(server.asked(Twrite)) == 1
    with refused(errno.EIO if words in {b"Datei nicht da", b"gone", b""} and dialect == b"9P2000" else errno.ENOENT):
        client.stat("dir/dir2/new")
    with pytest.raises(OSError):  # noqa: PT011 - the way there must exist
        client.realpath("dir/none/new")


def test_a_long_way_where_walks_are_refused_as_a_whole(against):
    paths = [b"/".join([b"dir"] * n) for n in range(1, 41)]
    walk = existing(*paths)
    client, _ = against({Twalk: lambda t: Rlerror(ENOENT) if (said := walk(t)) == ENOENT else said})
    deep = "/".join(["dir"] * 40)
    assert client.realpath(f"{deep}/new") == f"/{deep}/new"
    assert client.exists(deep)
    assert not client.exists(f"{deep}/new")
    assert client.connection.exchange.fids.in_use <= 3


def test_directories_that_are_there_whatever_the_refusal(against):
    walk = existing(b"dir", b"dir/dir2")
    client, server = against(
        {
            Twalk: walk,
            Tmkdir: lambda t: Rlerror(EROFS if t.name == b"dir" else EACCES),
            Tgetattr: Rgetattr(Attributes(mode=0o40755)),
        }
    )
    client.makedirs("dir/dir2", exist_ok=True)
    with refused(errno.EACCES, "dir/dir2"):
        client.makedirs("dir/dir2")
    assert len(server.asked(Tmkdir)) == 4
