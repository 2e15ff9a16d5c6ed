"""`cp`: on one server, and between two."""

from __future__ import annotations

import pytest

from ninep.linux import S_IFIFO


@pytest.fixture
def tree(files):
    files.makedirs("top/dir")
    files.write_bytes("top/file", b"1" * 3_000_000, permissions=0o640)
    files.write_bytes("top/dir/deep", b"2")
    files.symlink("dir/deep", "top/link")
    files.mknod("top/fifo", S_IFIFO | 0o600)
    files.utime("top/file", mtime=10**18 + 5)
    return files


def test_a_file_on_a_server(ninep, server, tree):
    assert ninep("cp", f"{server}/top/file", "/copy") == (0, b"", "")
    assert tree.read_bytes("copy") == b"1" * 3_000_000
    assert tree.stat("copy").st_mode & 0o777 == 0o640
    assert ninep("cp", f"{server}/top/file", f"{server}/top/dir").status == 0
    assert sorted(tree.listdir("top/dir")) == ["deep", "file"]
    assert ninep("cp", "-p", f"{server}/top/file", f"{server}/copy").status == 0
    assert tree.stat("copy").st_mtime_ns == 10**18 + 5


def test_a_tree_to_another_server(ninep, server, tree, other):
    address, there = other
    done = ninep("cp", "-r", f"{server}/top", f"{address}/new/")
    assert (done.status, done.err) == (1, f"ninep cp: {server}/top/fifo: special files are not copied\n")
    assert sorted(there.listdir("new")) == ["dir", "file", "link"]
    assert there.readlink("new/link") == "dir/deep"
    assert there.read_bytes("new/dir/deep") == b"2"
    assert ninep("cp", "-a", f"{server}/top/.", f"{address}/new").status == 0
    assert there.stat("new/file").st_mtime_ns == 10**18 + 5
    assert there.stat("new/fifo").st_mode == S_IFIFO | 0o600


def test_several_and_patterns(ninep, server, tree, other):
    address, there = other
    done = ninep("cp", f"{server}/top/file", f"{server}/top/dir/*", address)
    assert (done.status, done.err) == (0, "")
    assert sorted(there.listdir()) == ["deep", "file"]
    done = ninep("cp", f"{server}/top/file", f"{server}/top/dir/deep", f"{address}/file")
    assert done == (1, b"", f"ninep cp: {address}/file: is not a directory of the server\n")


def test_errors_name_their_server(ninep, server, tree, other):
    address, _ = other
    done = ninep("cp", f"{server}/nothing", address)
    assert done == (1, b"", f"ninep cp: {server}/nothing: No such file or directory\n")
    done = ninep("cp", f"{server}/top", address)
    assert done == (1, b"", f"ninep cp: {server}/top: is a directory: copy it with -r\n")
    done = ninep("cp", f"{server}/top/file", f"{address}/none/file")
    assert done == (1, b"", f"ninep cp: {address}/none/file: No such file or directory\n")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_file_onto_itself(ninep, server, tree, host):
    """By another name of the file, and another of the server."""
    tree.link("top/file", "hard")
    tree.symlink("top/file", "soft")
    same = f"{host}:{server.rpartition(':')[2]}"
    for name in ("top/file", "hard", "soft"):
        done = ninep("cp", f"{server}/top/file", f"{same}/{name}")
        assert done.status == 1
        assert "a file cannot be copied onto itself" in done.err
    assert tree.read_bytes("top/file") == b"1" * 3_000_000


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_directory_into_itself(ninep, server, tree, host):
    same = f"{host}:{server.rpartition(':')[2]}"
    for name in ("top", "top/dir", "top/new/"):
        done = ninep("cp", "-r", f"{server}/top", f"{same}/{name}")
        assert done.status == 1
        assert "a directory cannot be copied into itself" in done.err
    assert sorted(tree.listdir("top")) == ["dir", "fifo", "file", "link"]
    assert tree.listdir("top/dir") == ["deep"]


def test_nothing_is_written_through_links(ninep, server, tree, other):
    """Whether they were there before, or an earlier source of the same command is one."""
    address, there = other
    there.makedirs("outside")
    there.write_bytes("outside/file", b"kept")
    there.makedirs("copy/top")
    there.symlink("../../outside", "copy/top/dir")
    there.symlink("../../outside/file", "copy/top/file")
    done = ninep("cp", "-r", f"{server}/top", f"{address}/copy")
    assert done.status == 1
    assert f"{address}/copy/top/dir: is a symbolic link on the server" in done.err
    assert there.read_bytes("outside/file") == b"kept"
    assert there.listdir("outside") == ["file"]
    assert there.read_bytes("copy/top/file") == b"1" * 3_000_000
    tree.makedirs("links")
    tree.symlink("/outside", "links/dir")
    done = ninep("cp", "-r", f"{server}/links/.", f"{server}/top/.", f"{address}/copy")
    assert done.status == 1
    assert there.listdir("outside") == ["file"]


def test_two_sources_of_one_name(ninep, server, tree, other):
    address, there = other
    tree.write_bytes("top/dir/file", b"other")
    done = ninep("cp", f"{server}/top/dir/file", f"{server}/top/file", address)
    assert done.status == 1
    assert done.err == f"ninep cp: {address}/file: not overwritten: this command has just made it\n"
    assert there.read_bytes("file") == b"other"


def test_a_wrong_command_line(ninep, server):
    assert ninep("cp", f"{server}/a").status == 2
    assert ninep("cp", f"{server}/a", "::").status == 2
