"""`mkdir`, `rm`, `mv`, `ln`, `chmod` and `chown`."""

from __future__ import annotations

import stat

import pytest


def mode(files, path):
    return stat.S_IMODE(files.stat(path).st_mode)


def test_mkdir(ninep, server, files):
    assert ninep("mkdir", f"{server}/a", f"{server}/b").status == 0
    assert sorted(files.listdir()) == ["a", "b"]
    done = ninep("mkdir", f"{server}/a")
    assert (done.status, done.err) == (1, f"ninep mkdir: {server}/a: File exists\n")
    assert ninep("mkdir", "-p", "-m", "700", f"{server}/a/x/y", f"{server}/a").status == 0
    assert mode(files, "a/x/y") == 0o700
    assert ninep("mkdir", f"{server}/none/x").status == 1


def test_rm(ninep, server, files):
    for name in ("a", "b", "c"):
        files.write_bytes(name, b"")
    assert ninep("rm", f"{server}/a", f"{server}/b").status == 0
    assert files.listdir() == ["c"]
    done = ninep("rm", f"{server}/a", f"{server}/c")
    assert (done.status, done.err) == (1, f"ninep rm: {server}/a: No such file or directory\n")
    assert ninep("rm", "-f", f"{server}/a").status == 0
    assert files.listdir() == []


def test_rm_directories(ninep, server, files):
    files.makedirs("dir/below")
    files.write_bytes("dir/file", b"")
    files.mkdir("empty")
    done = ninep("rm", f"{server}/dir")
    needed = "is a directory: -r removes it with everything below, -d if it is empty"
    assert (done.status, done.err) == (1, f"ninep rm: {server}/dir: {needed}\n")
    assert ninep("rm", "-d", f"{server}/dir").status == 1
    assert ninep("rm", "-d", f"{server}/empty").status == 0
    assert ninep("rm", "-r", f"{server}/dir").status == 0
    assert files.listdir() == []


def test_rm_removes_a_link_itself(ninep, server, files):
    files.mkdir("dir")
    files.write_bytes("dir/file", b"")
    files.symlink("dir", "link")
    files.symlink("dir", "way")
    assert ninep("rm", "-r", f"{server}/link").status == 0
    assert files.listdir("dir") == ["file"]
    assert ninep("rm", f"{server}/way/file").status == 0
    assert files.listdir("dir") == []


@pytest.mark.parametrize("root", ["", "/", "/.", "/..", "//"])
def test_the_root_is_not_removed(ninep, server, files, root):
    files.write_bytes("file", b"")
    done = ninep("rm", "-rf", f"{server}{root}")
    assert done.status == 2
    assert files.listdir() == ["file"]


def test_mv(ninep, server, files):
    files.mkdir("dir")
    files.write_bytes("a", b"a")
    files.write_bytes("b", b"b")
    assert ninep("mv", f"{server}/a", f"{server}/c").status == 0
    assert ninep("mv", f"{server}/c", "/dir").status == 0
    assert files.read_bytes("dir/c") == b"a"
    assert ninep("mv", f"{server}/b", "/dir/c").status == 0
    assert files.read_bytes("dir/c") == b"b"
    files.write_bytes("d", b"")
    done = ninep("mv", f"{server}/d", f"{server}/none", f"{server}/dir/c", f"{server}/dir")
    assert done.status == 1
    assert "none" in done.err
    assert sorted(files.listdir("dir")) == ["c", "d"]
    assert ninep("mv", f"{server}/dir/c", f"{server}/dir/d", "/elsewhere").status in {1, 2}


def test_ln(ninep, server, files):
    files.mkdir("dir")
    files.write_bytes("file", b"1")
    assert ninep("ln", f"{server}/file", f"{server}/name").status == 0
    assert ninep("ln", "/file", f"{server}/dir").status == 0
    assert files.stat("file").st_nlink == 3
    assert ninep("ln", "-s", "../file", f"{server}/dir/link").status == 0
    assert files.readlink("dir/link") == "../file"
    assert ninep("ln", "-s", "other", f"{server}/dir/link").status == 1
    assert ninep("ln", "-sf", "other", f"{server}/dir/link").status == 0
    assert files.readlink("dir/link") == "other"


def test_chmod(ninep, server, files):
    files.makedirs("dir/below")
    files.write_bytes("dir/file", b"")
    files.symlink("file", "dir/link")
    assert ninep("chmod", "2711", f"{server}/dir").status == 0
    assert mode(files, "dir") == 0o2711
    assert ninep("chmod", "-R", "0700", f"{server}/dir").status == 0
    assert [mode(files, path) for path in ("dir", "dir/below", "dir/file", "dir/link")] == [0o700, 0o700, 0o700, 0o777]
    assert ninep("chmod", "640", f"{server}/dir/link").status == 0
    assert mode(files, "dir/file") == 0o640


def test_chown(ninep, server, files):
    files.mkdir("dir")
    files.write_bytes("dir/file", b"")
    files.symlink("file", "dir/link")
    assert ninep("chown", "5:6", f"{server}/dir").status == 0
    assert (files.stat("dir").st_uid, files.stat("dir").st_gid) == (5, 6)
    assert ninep("chown", "-R", ":9", f"{server}/dir").status == 0
    assert [(files.stat(p).st_uid, files.stat(p).st_gid) for p in ("dir", "dir/file", "dir/link")] == [
        (5, 9),
        (1000, 9),
        (1000, 9),
    ]
    assert ninep("chown", "7", f"{server}/dir/link").status == 0
    assert files.stat("dir/file").st_uid == 1000
    assert ninep("chown", "7", f"{server}/none").status == 1


def test_mv_does_not_replace_what_it_has_just_moved(ninep, server, files):
    for top in ("a", "b", "dir"):
        files.mkdir(top)
        files.write_bytes(f"{top}/file", top.encode())
    done = ninep("mv", f"{server}/a/file", f"{server}/b/file", "/dir")
    assert (done.status, done.err) == (
        1,
        f"ninep mv: {server}/dir/file: not overwritten: this command has just made it\n",
    )
    assert (files.read_bytes("dir/file"), files.read_bytes("b/file")) == (b"a", b"b")
