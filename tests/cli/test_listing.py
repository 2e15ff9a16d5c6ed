"""`ls` and `tree`."""

from __future__ import annotations

import re
import sys

import pytest
from tests.client.conftest import InThread

from ninep.drivers.memory import MemoryDriver
from ninep.linux import S_IFCHR, S_IFIFO
from ninep.server.exports import Export

DAY = 86400 * 10**9


@pytest.fixture
def folder(files):
    files.makedirs("dir/below")
    files.write_bytes("file", b"12345", permissions=0o640)
    files.write_bytes("large", bytes(5000), permissions=0o600)
    files.write_bytes(".hidden", b"")
    files.symlink("dir/below", "link")
    files.write_bytes("dir/below/deep", b"")
    files.utime("file", mtime=1_000_000_000 * 10**9)
    return files


def test_names(ninep, server, folder):
    done = ninep("ls", server)
    assert (done.status, done.err) == (0, "")
    assert done.lines == ["dir", "file", "large", "link"]
    assert ninep("ls", "-a", server).lines == [".hidden", "dir", "file", "large", "link"]
    assert ninep("ls", f"{server}/dir/below").lines == ["deep"]
    assert ninep("ls", f"{server}/file").lines == [f"{server}/file"]
    assert ninep("ls", "-d", f"{server}/dir").lines == [f"{server}/dir"]


def test_orders(ninep, server, folder):
    folder.remove("link")
    assert ninep("ls", "-r", server).lines == ["large", "file", "dir"]
    assert ninep("ls", "-S", server).lines[0] == "large"
    assert ninep("ls", "-t", server).lines[-1] == "file"
    assert ninep("ls", "-tr", server).lines[0] == "file"


def test_long(ninep, server, folder):
    folder.mknod("null", S_IFCHR | 0o666, 1 << 8 | 3)
    folder.mknod("fifo", S_IFIFO | 0o600)
    rows = {line.split()[-1]: line for line in ninep("ls", "-l", server).lines}
    assert re.fullmatch(r"-rw-r----- +1 1000 100 +5 Sep  9  2001 file", rows["file"])
    assert re.fullmatch(r"drwxrwxrwx +3 1000 100 +\d+ \w{3} [ \d]\d \d\d:\d\d dir", rows["dir"])
    assert re.match(r"lrwxrwxrwx .* link -> dir/below$", rows["dir/below"])
    assert re.match(r"crw-rw-rw- +1 1000 100 +1, 3 ", rows["null"])
    assert rows["fifo"].startswith("prw")
    assert len({line.index(" 1000 ") for line in rows.values()}) == 1  # columns
    assert " 4.9K " in "\n".join(ninep("ls", "-lh", server).lines)


def test_a_link_is_followed_unless_its_own_line_is_wanted(ninep, server, folder):
    assert ninep("ls", f"{server}/link").lines == ["deep"]
    assert ninep("ls", "-l", f"{server}/link").lines[0].endswith("link -> dir/below")
    assert ninep("ls", f"{server}/link/deep").lines == [f"{server}/link/deep"]


def test_recursion(ninep, server, folder):
    assert ninep("ls", "-R", f"{server}/dir").lines == [f"{server}/dir:", "below", "", f"{server}/dir/below:", "deep"]


def test_several_and_one_missing(ninep, server, folder):
    done = ninep("ls", f"{server}/dir", f"{server}/missing", f"{server}/dir/below")
    assert done.status == 1
    assert done.err == f"ninep ls: {server}/missing: No such file or directory\n"
    assert done.lines == [f"{server}/dir:", "below", "", f"{server}/dir/below:", "deep"]


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
def test_every_dialect(ninep, server, folder, dialect):
    folder.remove("link")
    done = ninep("ls", "-lR", "--dialect", dialect, server)
    assert done.status == 0
    assert any(line.endswith(" large") for line in done.lines)


def test_options_of_the_connection(ninep, server, files):
    assert ninep("mkdir", "--uid", "1234", f"{server}/mine").status == 0
    assert files.stat("mine").st_uid == 1234
    done = ninep("ls", "--aname", "no such export", server)
    assert done.status == 1
    assert done.err.count("\n") == 1
    assert "the server has no export 'no such export'" in done.err


def test_names_that_drive_a_terminal(ninep, server, files, monkeypatch):
    files.write_bytes("\x1b[31mred\nline", b"")
    files.write_bytes(b"\xff", b"")
    assert ninep("ls", server).out == b"\x1b[31mred\nline\n\xff\n"
    monkeypatch.setattr(sys.stdout.__class__, "isatty", lambda self: True, raising=False)
    assert ninep("ls", server).out == b"\\x1b[31mred\\x0aline\n\\xff\n"


def test_tree(ninep, server, folder):
    assert ninep("tree", server).lines == [
        f"{server}/",
        "|-- dir",
        "|   `-- below",
        "|       `-- deep",
        "|-- file",
        "|-- large",
        "`-- link -> dir/below",
        "",
        "2 directories, 4 files",
    ]
    assert ninep("tree", "-L", "1", "-a", server).lines[1] == "|-- .hidden"
    assert not any("below" in line for line in ninep("tree", "-L", "1", f"{server}/dir/..").lines if "link" not in line)


class TestExports:
    """What a user sees of a server's exports before one is chosen."""

    @pytest.fixture
    def addresses(self):
        """Of a server whose exports all have names, and of one with an export without."""
        servers = [
            InThread([Export(name, MemoryDriver()) for name in names]) for names in (("one", "it's"), ("", "src"))
        ]
        yield [f"127.0.0.1:{server.port()}" for server in servers]
        for server in servers:
            server.stop()

    @pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
    def test_ls_lists_them_when_none_is_chosen(self, ninep, addresses, dialect):
        several, _ = addresses
        done = ninep("ls", "--dialect", dialect, several)
        assert done.lines == ["one", "it's"]
        assert done.err == f"ninep ls: these are the exports of {several}: choose one by --aname NAME\n"
        assert done.status == 0
        assert ninep("ls", "--aname", "it's", several) == (0, b"", "")

    @pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
    def test_an_error_says_which_there_are(self, ninep, addresses, dialect):
        several, two = addresses
        done = ninep("stat", "--dialect", dialect, "--aname", "on", f"{several}/f")
        assert done == (
            1,
            b"",
            f"ninep stat: {several}/f: the server has no export 'on': there are 'one', \"it's\"\n",
        )
        done = ninep("ls", "--dialect", dialect, "--aname", "scr", two)
        assert done.err == (f"ninep ls: {two}/: the server has no export 'scr': there are one without a name, 'src'\n")

    def test_a_path_needs_one(self, ninep, addresses):
        done = ninep("ls", f"{addresses[0]}/one")
        assert (done.status, done.out) == (1, b"")
        assert "choose one by its name" in done.err
