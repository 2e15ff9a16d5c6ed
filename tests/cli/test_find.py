"""`find`."""

from __future__ import annotations

import pytest

SECOND = 10**9


@pytest.fixture
def tree(files):
    files.makedirs("src/dir")
    files.write_bytes("src/a.c", b"12345")
    files.write_bytes("src/dir/b.c", bytes(5000))
    files.write_bytes("src/dir/b.h", b"")
    files.symlink("dir", "src/link")
    for name in ("src/a.c", "src/dir/b.h"):
        files.utime(name, mtime=SECOND)
    return files


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], ["", "/a.c", "/link", "/dir", "/dir/b.c", "/dir/b.h"]),
        (["--name", "*.c"], ["/a.c", "/dir/b.c"]),
        (["-name", "*.c", "-type", "f", "-size", "+1K"], ["/dir/b.c"]),
        (["--type", "d"], ["", "/dir"]),
        (["--type", "l"], ["/link"]),
        (["--type", "f", "--size", "5"], ["/a.c"]),
        (["--type", "f", "--size", "-6"], ["/a.c", "/dir/b.h"]),
        (["--type", "f", "--newer", "@2"], ["/dir/b.c"]),
        (["--type", "f", "--mmin", "60"], ["/dir/b.c"]),
        (["--max-depth", "0"], [""]),
        (["-maxdepth", "1", "--name", "b*"], []),
    ],
)
def test_conditions(ninep, server, tree, options, found):
    done = ninep("find", f"{server}/src", *options)
    assert (done.status, done.err) == (0, "")
    assert sorted(done.lines) == sorted(f"{server}/src{name}" for name in found)


def test_for_xargs(ninep, server, tree):
    tree.write_bytes("src/two\nlines", b"")
    done = ninep("find", f"{server}/src", "--name", "two*", "-0")
    assert done.out == f"{server}/src/two\nlines\0".encode()


@pytest.mark.parametrize(
    "options", [["--type", "x"], ["--size", "much"], ["--newer", "then"], ["--newer", "@1", "--mmin", "1"]]
)
def test_wrong_conditions(ninep, server, options):
    assert ninep("find", server, *options).status == 2
