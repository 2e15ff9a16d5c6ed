"""Directories and trees, with both clients, in each dialect."""

from __future__ import annotations

import pytest


def names(client, path="/"):
    return sorted(client.listdir(path))


def test_listing(client):
    client.mkdir("dir")
    client.write_bytes("file", b"123")
    entries = {entry.name: entry for entry in client.scandir(stat=True)}
    assert entries["dir"].is_dir()
    assert entries["file"].is_file()
    assert entries["file"].stat.st_size == 3
    assert entries["file"].path == "/file"
    assert next(entry.path for entry in client.scandir("dir/..")).startswith("dir/../")
    with pytest.raises(NotADirectoryError) as caught:
        list(client.scandir("file"))
    assert caught.value.filename == "file"
    with pytest.raises(FileNotFoundError):
        client.listdir("missing")


def test_large_directories(connect):
    client = connect(msize=4096)
    client.mkdir("dir")
    wanted = {f"file number {n}" for n in range(700)}
    for name in wanted:
        client.open(f"dir/{name}", "xb").close()
    assert set(client.listdir("dir")) == wanted
    assert {entry.name for entry in client.scandir("dir", stat=True) if entry.stat.is_file()} == wanted
    client.rmtree("dir")
    assert not client.exists("dir")


def test_a_listing_that_is_left_early_leaves_nothing_behind(client):
    for n in range(20):
        client.open(f"f{n}", "xb").close()
    for _entry in client.scandir():
        break
    client.stat("/")  # the clunk before has been answered when this is
    assert client.connection.exchange.fids.in_use <= 2


@pytest.fixture
def tree(client):
    client.makedirs("top/one/deep")
    client.makedirs("top/two")
    for path in ("top/a", "top/one/b", "top/one/deep/c", "top/two/d"):
        client.write_bytes(path, path.encode())
    return client


def test_walk(tree):
    def shape(walked):
        return [(path, sorted(e.name for e in dirs), sorted(e.name for e in files)) for path, dirs, files in walked]

    down = shape(tree.walk("top"))
    assert down[0] == ("top", ["one", "two"], ["a"])
    assert sorted(down) == [
        ("top", ["one", "two"], ["a"]),
        ("top/one", ["deep"], ["b"]),
        ("top/one/deep", [], ["c"]),
        ("top/two", [], ["d"]),
    ]
    up = shape(tree.walk("top", topdown=False))
    assert up[-1] == down[0]
    assert sorted(up) == sorted(down)
    assert up.index(("top/one/deep", [], ["c"])) < up.index(("top/one", ["deep"], ["b"]))


def test_walk_goes_only_where_it_is_let(tree):
    seen = []
    for path, directories, _ in tree.walk("top"):
        seen.append(path)
        directories[:] = [entry for entry in directories if entry.name != "one"]
    assert seen == ["top", "top/two"]


def test_walk_tells_what_cannot_be_listed(client):
    errors = []
    assert list(client.walk("missing", onerror=errors.append)) == []
    assert [error.filename for error in errors] == ["missing"]
    with pytest.raises(FileNotFoundError):
        list(client.walk("missing"))


def test_rmtree(tree):
    tree.rmtree("top")
    assert names(tree) == []
    with pytest.raises(FileNotFoundError):
        tree.rmtree("top")


def test_rmtree_removes_links_not_what_they_lead_to(extended):
    extended.makedirs("keep")
    extended.write_bytes("keep/file", b"")
    extended.mkdir("dir")
    extended.symlink("../keep", "dir/link")
    extended.rmtree("dir")
    assert names(extended, "keep") == ["file"]
