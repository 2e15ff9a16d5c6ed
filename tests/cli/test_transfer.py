"""`cat`, `get` and `put`."""

from __future__ import annotations

import io
import os
import re
import sys

import pytest

from ninep.linux import S_IFIFO


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_cat(ninep, server, files):
    files.write_bytes("a", b"first\n")
    files.write_bytes("b", bytes(range(256)) * 1000)
    files.symlink("b", "link")
    assert ninep("cat", f"{server}/a", f"{server}/link").out == b"first\n" + bytes(range(256)) * 1000
    done = ninep("cat", f"{server}/a", f"{server}/none", f"{server}/", f"{server}/a")
    assert done.status == 1
    assert done.out == b"first\nfirst\n"
    assert done.err.splitlines() == [
        f"ninep cat: {server}/none: No such file or directory",
        f"ninep cat: {server}/: Is a directory",
    ]


def test_get_a_file(ninep, server, files):
    files.write_bytes("file", b"content")
    os.mkdir("dir")
    for arguments, place in (
        ([], "file"),
        (["name"], "name"),
        (["dir"], "dir/file"),
        (["dir/"], "dir/file"),
        (["."], "file"),
    ):
        done = ninep("get", f"{server}/file", *arguments)
        assert (done.status, done.out, done.err) == (0, b"", "")
        assert read(place) == b"content"
        os.unlink(place)


def test_get_several(ninep, server, files):
    files.makedirs("top/dir")
    files.write_bytes("top/dir/deep", b"1")
    files.write_bytes("top/file", b"2")
    done = ninep("get", f"{server}/top/dir", f"{server}/top/file", ".")
    assert done.status == 1
    assert done.err == f"ninep get: {server}/top/dir: is a directory: copy it with -r\n"
    assert read("file") == b"2"
    assert ninep("get", "-r", f"{server}/top/dir", f"{server}/top/file", ".").status == 0
    assert read("dir/deep") == b"1"
    assert ninep("get", "-r", server, "all").status == 0
    assert read("all/top/dir/deep") == b"1"
    assert ninep("get", f"{server}/top/file", f"{server}/top/file", "nowhere").status == 1


def test_get_reports_and_goes_on(ninep, server, files):
    files.mkdir("top")
    files.mknod("top/fifo", S_IFIFO | 0o600)
    files.write_bytes("top/file", b"2")
    done = ninep("get", "-r", f"{server}/top")
    assert done.status == 1
    assert done.err == f"ninep get: {server}/top/fifo: special files are not copied\n"
    assert read("top/file") == b"2"


def test_get_keeps_times_when_asked(ninep, server, files):
    files.write_bytes("file", b"content", permissions=0o600)
    files.utime("file", mtime=10**18 + 5)
    assert ninep("get", f"{server}/file", "new").status == 0
    assert os.stat("new").st_mtime_ns != 10**18 + 5
    for option in ("-p", "-a"):
        assert ninep("get", option, f"{server}/file", "kept" + option).status == 0
        assert os.stat("kept" + option).st_mtime_ns == 10**18 + 5


def test_put_a_file(ninep, server, files):
    with open("file", "wb") as file:
        file.write(b"content")
    files.mkdir("dir")
    for place, found in (("/name", "name"), ("/dir", "dir/file"), ("/dir/", "dir/file"), ("", "file")):
        assert ninep("put", "file", f"{server}{place}").status == 0
        assert files.read_bytes(found) == b"content"
        files.remove(found)
    done = ninep("put", "file", f"{server}/missing/")
    assert done.status == 1
    done = ninep("put", "file", f"{server}/missing/name")
    assert (done.status, done.err) == (1, f"ninep put: {server}/missing/name: No such file or directory\n")
    done = ninep("put", "missing", server)
    assert (done.status, done.err) == (1, "ninep put: missing: No such file or directory\n")


def test_put_trees(ninep, server, files):
    os.makedirs("top/dir")
    with open("top/dir/file", "wb") as file:
        file.write(b"1")
    os.symlink("dir/file", "top/link")
    done = ninep("put", "top", server)
    assert (done.status, done.err) == (1, "ninep put: top: is a directory: copy it with -r\n")
    assert ninep("put", "-r", "top", server).status == 0
    assert files.read_bytes("top/dir/file") == b"1"
    assert files.readlink("top/link") == "dir/file"
    assert ninep("put", "-r", "-L", "top", f"{server}/followed").status == 0
    assert files.read_bytes("followed/link") == b"1"
    os.chdir("top")
    assert ninep("put", "-a", ".", f"{server}/archive").status == 0
    assert files.stat("archive/dir/file").st_mtime_ns == os.stat("dir/file").st_mtime_ns


def test_put_standard_input(ninep, server, files, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped" * 1_000_000)))
    assert ninep("put", "-", f"{server}/file").status == 0
    assert files.stat("file").st_size == 5_000_000
    done = ninep("put", "-", server)
    assert done.status == 1
    assert "needs the name of a file" in done.err


def test_a_bar_on_a_terminal_only(ninep, server, files, monkeypatch):
    monkeypatch.setattr("ninep.cli.progress.SHOW_AFTER", 0)
    monkeypatch.setenv("TERM", "xterm")
    files.write_bytes("file", bytes(100_000))
    assert ninep("get", f"{server}/file").err == ""
    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda self: True, raising=False)
    assert "100%" in ninep("get", f"{server}/file").err
    assert ninep("get", "-q", f"{server}/file").err == ""


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_a_bar_on_a_narrow_terminal(ninep, server, files, monkeypatch, columns):
    """No line is longer than the terminal is wide: it could not be written over."""
    monkeypatch.setattr("ninep.cli.progress.SHOW_AFTER", 0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    name = "a-name-that-is-much-longer-than-the-terminal-is-wide"
    files.write_bytes(name, bytes(100_000))
    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda self: True, raising=False)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", ninep("get", f"{server}/{name}").err)
    assert "100%" in shown
    assert max(map(len, re.split(r"[\r\n]+", shown))) < int(columns)
    assert sum("100%" in line for line in re.split(r"[\r\n]+", shown)) <= 4


def test_no_bar_where_the_cursor_cannot_move(ninep, server, files, monkeypatch):
    monkeypatch.setattr("ninep.cli.progress.SHOW_AFTER", 0)
    monkeypatch.setenv("TERM", "dumb")
    files.write_bytes("file", bytes(100_000))
    monkeypatch.setattr(sys.stderr.__class__, "isatty", lambda self: True, raising=False)
    assert ninep("get", f"{server}/file").err == ""


# -- links, and names that meet


def test_get_does_not_write_through_links(ninep, server, files):
    """Whether a former command left them, or an earlier source of the same one."""
    os.makedirs("home/ssh")
    with open("home/rc", "wb") as file:
        file.write(b"mine")
    files.mkdir("links")
    files.symlink(os.path.abspath("home/rc"), "links/file")
    files.symlink(os.path.abspath("home/ssh"), "links/sub")
    files.makedirs("files/sub")
    files.write_bytes("files/file", b"evil")
    files.write_bytes("files/sub/keys", b"evil")
    os.mkdir("dest")
    assert ninep("get", "-r", f"{server}/links/.", "dest").status == 0
    for source in ("files/.", "files/sub"):
        done = ninep("get", "-r", f"{server}/{source}", "dest")
        assert done.status == 1
        assert done.err.count("\n") == 1
        assert "dest/sub: is a symbolic link" in done.err
    assert read("dest/file") == b"evil"
    os.mkdir("other")
    done = ninep("get", "-r", f"{server}/links/.", f"{server}/files/.", f"{server}/files/file", "other")
    assert done.status == 1
    assert "sub: is a symbolic link" in done.err
    assert os.path.islink("other/file")
    assert done.err.count("not overwritten") == 2
    assert read("home/rc") == b"mine"
    assert os.listdir("home/ssh") == []


def test_two_sources_of_one_name(ninep, server, files):
    for top in ("a", "b"):
        files.mkdir(top)
        files.write_bytes(f"{top}/file", top.encode())
    done = ninep("get", f"{server}/a/file", f"{server}/b/file", ".")
    assert done.status == 1
    assert done.err.startswith("ninep get: ./file: not overwritten")
    assert read("file") == b"a"
    os.makedirs("x")
    with open("x/file", "wb") as file:
        file.write(b"x")
    done = ninep("put", "file", "x/file", server)
    assert (done.status, done.err) == (1, f"ninep put: {server}/file: not overwritten: this command has just made it\n")
    assert files.read_bytes("file") == b"a"


def test_the_content_of_a_folder(ninep, server, files):
    """`DIR/.` into what is there, as cp(1) has it; and a name with a slash at its end
    may be new.
    """
    os.makedirs("src/dir")
    with open("src/dir/file", "wb") as file:
        file.write(b"1")
    files.mkdir("dst")
    assert ninep("put", "-r", "src/.", f"{server}/dst/").status == 0
    assert sorted(files.listdir("dst")) == ["dir"]
    assert ninep("put", "-r", "src/", f"{server}/dst").status == 0
    assert sorted(files.listdir("dst")) == ["dir", "src"]
    assert ninep("put", "-r", "src/.", f"{server}/new/").status == 0
    assert sorted(files.listdir("new")) == ["dir"]
    os.chdir("src")
    assert ninep("put", "-r", ".", f"{server}/dst").status == 0
    assert ninep("put", "-r", "../src/dir/..", f"{server}/dst").status == 0
    assert sorted(files.listdir("dst")) == ["dir", "src"]
    assert ninep("put", "dir/file", f"{server}/none/").status == 1
    os.chdir("..")
    os.mkdir("back")
    assert ninep("get", "-r", f"{server}/new/.", "back").status == 0
    assert ninep("get", "-r", f"{server}/new/", "back/").status == 0
    assert ninep("get", "-r", f"{server}/new", "fresh/").status == 0
    assert (sorted(os.listdir("back")), os.listdir("fresh")) == (["dir", "new"], ["dir"])


def test_put_into_a_directory_replaces_a_link(ninep, server, files):
    files.mkdir("dir")
    files.write_bytes("precious", b"1")
    files.symlink("../precious", "dir/file")
    files.symlink("precious", "typed")
    with open("file", "wb") as file:
        file.write(b"new")
    assert ninep("put", "file", f"{server}/dir").status == 0
    assert files.read_bytes("precious") == b"1"
    assert files.read_bytes("dir/file") == b"new"
    assert ninep("put", "file", f"{server}/typed").status == 0
    assert files.read_bytes("precious") == b"new"


def test_archives_have_fifos_and_no_setuid_unless_asked(ninep, server, files):
    files.mkdir("top")
    files.write_bytes("top/program", b"", permissions=0o755)
    files.chown("top/program", os.getuid(), os.getgid())
    files.chmod("top/program", 0o6755)
    assert ninep("get", "-a", f"{server}/top").status == 0
    assert os.stat("top/program").st_mode & 0o7777 == 0o755
    assert ninep("get", "-a", "--setid", f"{server}/top", "asked").status == 0
    assert os.stat("asked/program").st_mode & 0o7777 == 0o6755
    os.mkfifo("top/fifo")
    done = ninep("put", "-r", "top", f"{server}/plain")
    assert (done.status, done.err) == (1, "ninep put: top/fifo: special files are not copied\n")
    assert ninep("put", "-a", "top", f"{server}/archive").status == 0
    assert files.stat("archive/fifo").st_mode == os.stat("top/fifo").st_mode
