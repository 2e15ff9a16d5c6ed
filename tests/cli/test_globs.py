"""Patterns in locations."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def tree(files):
    for directory in ("a/one", "b/one", "b/two"):
        files.makedirs(directory)
    for name in ("a/x.c", "a/y.c", "a/z.h", "a/.hidden.c", "b/x.c", "b/[x].c"):
        files.write_bytes(name, b"")
    files.symlink("a", "link")
    return files


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("a/*.c", ["a/x.c", "a/y.c"]),
        ("a/.*", ["a/.hidden.c"]),
        ("a/[yz].?", ["a/y.c", "a/z.h"]),
        ("*/x.c", ["a/x.c", "b/x.c", "link/x.c"]),
        ("?/*o*", ["a/one", "b/one", "b/two"]),
        ("b/[x].c", ["b/[x].c"]),
        ("b/../a/x*", ["b/../a/x.c"]),
    ],
)
def test_what_they_match(ninep, server, tree, pattern, matches):
    done = ninep("ls", "-d", f"{server}/{pattern}")
    assert done.lines == [f"{server}/{name}" for name in matches]
    assert (done.status, done.err) == (0, "")


def test_nothing(ninep, server, tree):
    assert ninep("ls", f"{server}/a/*.py") == (
        1,
        b"",
        f"ninep ls: {server}/a/*.py: No such file or directory\n",
    )


@pytest.mark.parametrize("command", ["cat", "stat", "df", "du", "find"])
def test_every_command_knows_them(ninep, server, tree, command):
    assert ninep(command, f"{server}/a/*.[ch]").status == 0


def test_commands_that_change_files(ninep, server, tree, tmp_path):
    assert ninep("chmod", "a=,u=rw", f"{server}/a/*.c").status == 0
    assert [tree.stat(f"a/{name}").st_mode & 0o777 for name in ("x.c", "y.c", "z.h")] == [0o600, 0o600, 0o644 | 0o022]
    assert ninep("mv", f"{server}/a/*.c", f"{server}/b/one").status == 0
    assert sorted(tree.listdir("b/one")) == ["x.c", "y.c"]
    (tmp_path / "there").mkdir()
    assert ninep("get", f"{server}/b/one/*", tmp_path / "there").status == 0
    assert sorted(os.listdir(tmp_path / "there")) == ["x.c", "y.c"]
    assert ninep("rm", f"{server}/b/one/*").status == 0
    assert tree.listdir("b/one") == []


def test_rm_keeps_the_root(ninep, server, tree):
    done = ninep("rm", "-r", f"{server}/*/..")
    assert done.status == 1
    assert "the root of an export cannot be removed" in done.err
    assert sorted(tree.listdir()) == ["a", "b", "link"]
