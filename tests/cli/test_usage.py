"""`du`."""

from __future__ import annotations

import pytest


@pytest.fixture
def tree(files):
    files.makedirs("top/dir/deep")
    files.write_bytes("top/file", bytes(1000))
    files.write_bytes("top/dir/file", bytes(2000))
    files.write_bytes("top/dir/deep/file", bytes(3000))
    files.link("top/file", "top/dir/again")
    return files


def sizes(done, server):
    assert (done.status, done.err) == (0, "")
    return {name.removeprefix(server): int(size) for size, name in (line.split("\t") for line in done.lines)}


def own(files, *names):
    """What files take by themselves, in KiB."""
    return sum(files.stat(name).st_blocks for name in names) / 2


def test_each_directory_after_what_is_in_it(ninep, server, tree):
    done = ninep("du", f"{server}/top")
    assert list(sizes(done, server)) == ["/top/dir/deep", "/top/dir", "/top"]
    found = sizes(done, server)
    assert found["/top/dir/deep"] == own(tree, "top/dir/deep", "top/dir/deep/file")
    everything = ("top", "top/dir", "top/dir/deep", "top/file", "top/dir/file", "top/dir/deep/file")
    assert found["/top"] == own(tree, *everything)  # "again" is "file"


def test_options(ninep, server, tree):
    assert list(sizes(ninep("du", "-s", f"{server}/top"), server)) == ["/top"]
    assert list(sizes(ninep("du", "-d1", f"{server}/top"), server)) == ["/top/dir", "/top"]
    found = sizes(ninep("du", "-a", "--apparent-size", f"{server}/top"), server)
    assert found["/top/dir/deep/file"] == 3
    assert ninep("du", "-h", "--apparent-size", f"{server}/top/file").lines == [f"1000\t{server}/top/file"]
    assert ninep("du", "-s", "-a", server).status == 2


def test_errors(ninep, server, tree):
    done = ninep("du", "-s", f"{server}/nothing", f"{server}/top")
    assert done.status == 1
    assert done.err == f"ninep du: {server}/nothing: No such file or directory\n"
    assert len(done.lines) == 1
