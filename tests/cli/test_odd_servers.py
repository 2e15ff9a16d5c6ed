"""The commands with servers that do not answer, or whose listings and trees have no end."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from tests.cli.conftest import one_line
from tests.client.fake import FILE, ROOT, FakeServer, listing, walk_to
from tests.support.client import TIMEOUT

from ninep.cli import waiting
from ninep.client import blocking, bounds
from ninep.client.blocking import tree as blocking_tree
from ninep.wire.codec import pack_dirents
from ninep.wire.messages import (
    Rgetattr,
    Rlcreate,
    Rlerror,
    Rlopen,
    Rreaddir,
    Rrenameat,
    Rsetattr,
    Runlinkat,
    Rwalk,
    Rwrite,
    Tgetattr,
    Tlcreate,
    Tlopen,
    Treaddir,
    Trenameat,
    Tsetattr,
    Tunlinkat,
    Twalk,
    Twrite,
)
from ninep.wire.types import Attributes, Dirent

DIRECTORY = Rgetattr(Attributes(mode=0o40755))


@pytest.fixture
def fake(monkeypatch):
    """`fake(rules)`: the commands use a server with these rules."""
    real = blocking.connect
    servers = []

    def begin(rules):
        def connect(address, aname="", **options):
            servers.append(server.__enter__())
            return real(server.socket, aname, **{**options, "dialect": "9P2000.L", "reconnect": 0})

        server = FakeServer(
            {
                Twalk: walk_to(ROOT),
                Tlopen: Rlopen(ROOT, 0),
                Tgetattr: DIRECTORY,
                Tunlinkat: Rlerror(39),
                Tsetattr: Rsetattr(),
                **rules,
            }
        )
        monkeypatch.setattr("ninep.client.blocking.connect", connect)
        return server

    yield begin
    for server in servers:
        server.__exit__(None, None, None)


def bottomless(t):
    """Each directory has a directory in it."""
    return Rreaddir(b"" if t.offset else b"".join(pack_dirents([Dirent(*ROOT, 1, 4, b"d")], 100)[0]))


def endless(t):
    """There is always more."""
    return Rreaddir(listing(*(b"%d" % (t.offset + n) for n in range(100)), cookie=t.offset + 1))


@pytest.mark.parametrize("command", [["tree"], ["ls", "-R"], ["chmod", "-R", "755"], ["rm", "-r"]], ids=" ".join)
def test_a_tree_without_a_bottom(ninep, fake, command):
    server = fake({Treaddir: bottomless, Tunlinkat: Runlinkat()})
    done = ninep(*command, "host/dir")
    assert done.status == 1
    assert "more than 512 directories deep" in done.err
    assert len(server.asked(Treaddir)) < 1100


def test_get_of_a_tree_without_a_bottom(ninep, fake, tmp_path, monkeypatch):
    monkeypatch.setattr(blocking_tree, "MAX_DEPTH", 40)
    monkeypatch.chdir(tmp_path)
    fake({Treaddir: bottomless})
    done = ninep("get", "-r", "host/dir")
    assert done.status == 1
    assert one_line(done.err)
    assert "more than 40 directories deep" in done.err
    assert os.path.isdir("dir" + "/d" * 40)


@pytest.mark.parametrize(
    "command", [["tree"], ["ls"], ["ls", "-l"], ["ls", "-R"], ["chmod", "-R", "755"], ["rm", "-r"]], ids=" ".join
)
def test_a_listing_without_an_end(ninep, fake, command, monkeypatch):
    monkeypatch.setattr(bounds, "MAX_HELD", 2 << 20)
    server = fake({Treaddir: endless, Tgetattr: DIRECTORY})
    done = ninep(*command, "host/dir")
    assert done.status == 1
    assert "more than fits in 2 MiB" in done.err
    assert len(server.asked(Treaddir)) < 100


def test_get_of_a_listing_without_an_end(ninep, fake, tmp_path, monkeypatch):
    """Links and directories wait until all is listed; they are bounded, and the copy ends."""
    monkeypatch.setattr(bounds, "MAX_HELD", 1 << 19)
    monkeypatch.chdir(tmp_path)
    fake({Treaddir: endless, Twalk: lambda t: Rwalk([ROOT] * len(t.wnames))})
    done = ninep("get", "-r", "host/dir")
    assert done.status == 1
    assert one_line(done.err)


def test_a_directory_is_removed_as_one_whatever_its_type_in_the_listing(ninep, fake):
    """DT_REG for all: the qid determines which is a directory."""
    data = b"".join(pack_dirents([Dirent(*ROOT, 1, 8, b"sub"), Dirent(*FILE, 2, 8, b"file")], 1000)[0])
    seen = {}

    def walk(t):
        seen[t.newfid] = t.wnames[-1] if t.wnames else seen.get(t.fid, b"")
        return Rwalk([FILE if name == b"file" else ROOT for name in t.wnames])

    rules = {
        Twalk: walk,
        Treaddir: lambda t: Rreaddir(data if not t.offset and seen[t.fid] == b"dir" else b""),
        Tunlinkat: Runlinkat(),
    }
    server = fake(rules)
    assert ninep("rm", "-r", "host/dir").status == 0
    assert [(t.name, t.flags) for t in server.asked(Tunlinkat)] == [(b"sub", 512), (b"file", 0), (b"dir", 512)]


def test_put_and_mv_where_walks_are_refused_as_a_whole(ninep, fake, tmp_path):
    """A server that answers ENOENT to a walk whose last name is missing, instead of a partial list
    of qids.
    """
    fids = {0: ()}

    def walk(t):
        path = (*fids[t.fid], *t.wnames)
        if path not in {(), (b"dir",), (b"dir", b"old")}:
            return Rlerror(2)
        fids[t.newfid] = path
        return Rwalk([ROOT if name == b"dir" else FILE for name in t.wnames])

    def attributes(t):
        return DIRECTORY if fids[t.fid] in {(), (b"dir",)} else Rgetattr(Attributes(mode=0o100644))

    written = []
    rules = {
        Twalk: walk,
        Tgetattr: attributes,
        Tlcreate: lambda t: written.append(t.name) or Rlcreate(FILE, 0),
        Twrite: lambda t: Rwrite(len(t.data)),
        Trenameat: Rrenameat(),
    }
    server = fake(rules)
    (tmp_path / "file").write_bytes(b"content")
    assert ninep("put", tmp_path / "file", "host/dir/new").err == ""
    assert written == [b"new"]
    server = fake(rules)
    assert ninep("mv", "host/dir/old", "/dir/new").err == ""
    assert [(t.oldname, t.newname) for t in server.asked(Trenameat)] == [(b"old", b"new")]


@pytest.mark.parametrize(("seconds", "limit"), [("30", "up to 30 s"), ("0", "without a limit")])
def test_a_hint_while_nothing_answers(ninep, monkeypatch, seconds, limit):
    hinted = threading.Event()
    said = []

    def echo(message, err=False):
        said.append(message)
        hinted.set()

    def serve():
        peer, _ = listener.accept()
        with peer:
            assert hinted.wait(TIMEOUT)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setattr(waiting, "HINT_AFTER", 0)
        monkeypatch.setattr(waiting.click, "echo", echo)
        port = listener.getsockname()[1]
        assert ninep("ls", "--timeout", seconds, f"127.0.0.1:{port}").status == 1
        thread.join(TIMEOUT)
    assert (
        f"no answer yet from 127.0.0.1:{port}: is a 9P server listening there? Waiting {limit}, Ctrl-C ends" in said[0]
    )
    assert "closed the connection" in said[-1]


def test_no_hint_where_there_is_an_answer(ninep, server, files):
    assert ninep("ls", server).err == ""


def test_the_message_after_a_timeout(ninep):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = ninep("ls", "--timeout", "0.1", f"127.0.0.1:{port}")
    assert done.status == 1
    assert done.err == (
        f"ninep ls: 127.0.0.1:{port}/: no answer to the first message (Tversion) within 0.1 s: what listens there may be no 9P server\n"
    )
