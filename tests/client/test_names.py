"""Making, moving and removing entries; paths; links, followed or not; with both clients, in each
dialect.
"""

from __future__ import annotations

import errno
import stat

import pytest
from tests.client.expect import refused

from ninep.linux import S_IFCHR, S_IFIFO


def names(client, path="/"):
    return sorted(client.listdir(path))


def test_directories(client):
    client.mkdir("dir", 0o750)
    assert stat.S_IMODE(client.stat("dir").st_mode) == 0o750
    with pytest.raises(FileExistsError) as caught:
        client.mkdir("dir")
    assert caught.value.filename == "dir"
    client.mkdir("dir/below")
    with refused(errno.ENOTEMPTY):
        client.rmdir("dir")
    client.rmdir("dir/below")
    client.rmdir("dir")
    assert names(client) == []


def test_makedirs(client):
    client.makedirs("a/b/c")
    assert client.stat("a/b/c").is_dir()
    with pytest.raises(FileExistsError):
        client.makedirs("a/b/c")
    client.makedirs("a/b/c", exist_ok=True)
    client.write_bytes("a/file", b"")
    with pytest.raises(FileExistsError):
        client.makedirs("a/file", exist_ok=True)


def test_removal_knows_files_from_directories(client):
    client.write_bytes("file", b"")
    client.mkdir("dir")
    with pytest.raises(IsADirectoryError):
        client.remove("dir")
    with pytest.raises(NotADirectoryError):
        client.rmdir("file")
    client.remove("file")
    with pytest.raises(FileNotFoundError) as caught:
        client.remove("file")
    assert caught.value.filename == "file"
    assert names(client) == ["dir"]


def test_the_root_is_not_removed_or_renamed(client):
    for act in (
        lambda: client.rmdir("/"),
        lambda: client.remove(".."),
        lambda: client.rename("/", "x"),
        lambda: client.mkdir("a/.."),
    ):
        with refused(errno.EBUSY):
            act()


def test_rename_in_place(client):
    client.write_bytes("old", b"1")
    client.rename("old", "new")
    assert names(client) == ["new"]
    assert client.read_bytes("new") == b"1"


def test_rename_into_another_directory(connect):
    client = connect("9P2000.L")
    client.makedirs("a/b")
    client.write_bytes("a/file", b"1")
    client.write_bytes("a/b/file", b"2")
    client.rename("a/file", "a/b/file")
    assert client.read_bytes("a/b/file") == b"1"
    other = connect("9P2000.u")
    with refused(errno.EXDEV, "a/b/file", "file"):
        other.rename("a/b/file", "file")


def test_links(extended):
    extended.write_bytes("file", b"linked")
    extended.link("file", "name")
    assert extended.read_bytes("name") == b"linked"
    assert extended.stat("file").st_nlink == 2
    extended.symlink("where/ever", "link")
    assert extended.readlink("link") == "where/ever"
    assert extended.stat("link").is_symlink()
    with refused(errno.EINVAL):
        extended.readlink("file")


def test_special_files(extended):
    extended.mknod("fifo", S_IFIFO | 0o600)
    assert stat.S_ISFIFO(extended.stat("fifo").st_mode)
    extended.mknod("null", S_IFCHR | 0o666, 1 << 8 | 3)
    found = extended.stat("null")
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 1 << 8 | 3


def test_names_of_any_bytes(client):
    for name in ("Grüße", "white space", "\udcff\udc80", "new\nline", "-r", "*"):
        client.write_bytes(name, name.encode("utf-8", "surrogateescape"))
        assert client.read_bytes(name.encode("utf-8", "surrogateescape")) == name.encode("utf-8", "surrogateescape")
        assert names(client) == [name]
        client.remove(name)
    with pytest.raises(ValueError, match="null byte"):
        client.stat("a\0b")


def test_paths_start_at_the_root_whatever_they_say(client):
    client.makedirs("a/b")
    ino = client.stat("a/b").st_ino
    for path in ("/a/b", "a/b/", "a//b", "./a/./b", "../../a/b", "a/b/../b", b"a/b"):
        assert client.stat(path).st_ino == ino


def test_deep_paths_take_several_walks(client):
    path = "/".join(f"d{n}" for n in range(40))
    client.makedirs(path)
    client.write_bytes(path + "/file", b"deep")
    assert client.read_bytes(path + "/file") == b"deep"
    with pytest.raises(FileNotFoundError):
        client.stat("/".join(f"d{n}" for n in range(20)) + "/missing/" + "x/" * 20)
    with pytest.raises(NotADirectoryError):
        client.stat(path + "/file/below")
    client.rmtree("d0")
    assert names(client) == []


def test_exists(client):
    client.mkdir("dir")
    client.write_bytes("dir/file", b"")
    assert client.exists("dir/file")
    assert client.exists("/")
    assert not client.exists("dir/missing")
    assert not client.exists("missing/file")
    assert not client.exists("dir/file/below")


def test_links_are_followed_when_asked(extended):
    extended.makedirs("a/b")
    extended.write_bytes("a/b/file", b"found")
    extended.symlink("b/../b/file", "a/link")
    extended.symlink("/a/b", "absolute")
    extended.symlink("../../../../absolute/../link", "a/b/out")
    assert extended.read_bytes("a/link", follow=True) == b"found"
    assert extended.read_bytes("absolute/file", follow=True) == b"found"
    assert extended.read_bytes("a/b/out", follow=True) == b"found"
    assert extended.realpath("absolute/out") == "/a/b/file"
    assert extended.realpath("absolute/..") == "/a"
    assert extended.realpath("absolute/new") == "/a/b/new"
    assert extended.realpath("missing") == "/missing"
    with pytest.raises(FileNotFoundError):
        extended.realpath("missing/file")
    with refused(errno.ENOTDIR, "absolute/file"):
        extended.stat("absolute/file")


def test_writing_through_a_link(extended):
    extended.mkdir("dir")
    extended.symlink("dir/new", "link")
    extended.write_bytes("link", b"through", follow=True)
    assert extended.read_bytes("dir/new") == b"through"


def test_circles_of_links_end(extended):
    extended.symlink("b", "a")
    extended.symlink("a", "b")
    with refused(errno.ELOOP, "a"):
        extended.stat("a", follow=True)
