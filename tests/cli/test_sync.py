"""`sync`: a tree of this host or a server becomes what another is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from tests.client.conftest import InThread

from ninep.drivers.local import LocalDriver
from ninep.linux import S_IFIFO

SECOND = 10**9


@pytest.fixture
def local(tmp_path):
    """A tree of this host."""
    top = tmp_path / "src"
    (top / "dir/empty").mkdir(parents=True)
    (top / "file").write_bytes(b"1" * 1000)
    (top / "file").chmod(0o640)
    (top / "dir/deep").write_bytes(b"2")
    (top / "link").symlink_to("dir/deep")
    for path, seconds in ((top / "file", 5), (top / "dir/deep", 6), (top / "dir", 7), (top, 8)):
        os.utime(path, ns=(seconds * SECOND + 1, seconds * SECOND + 1))
    return top


@pytest.fixture
def remote(files):
    """The same on the server."""
    files.makedirs("src/dir/empty")
    files.write_bytes("src/file", b"1" * 1000, permissions=0o640)
    files.write_bytes("src/dir/deep", b"2", permissions=0o644)
    files.symlink("dir/deep", "src/link")
    for path, seconds in (("src/file", 5), ("src/dir/deep", 6), ("src/dir", 7), ("src", 8)):
        files.utime(path, mtime=seconds * SECOND + 1)
    return files


def picture(files, top):
    """Names, kinds, permissions, times and contents below a directory of a server."""
    found = {}
    for _, directories, others in files.walk(top):
        for entry in (*directories, *others):
            one = files.stat(entry.path)
            name = entry.path[len(top) :].strip("/")
            content = (
                files.readlink(entry.path)
                if one.is_symlink()
                else files.read_bytes(entry.path)
                if one.is_file()
                else b""
            )
            times = None if one.is_symlink() else one.st_mtime_ns
            found[name] = (stat.S_IFMT(one.st_mode), None if one.is_symlink() else one.st_mode & 0o777, times, content)
    return found


def local_picture(top):
    found = {}
    for path in sorted(Path(top).rglob("*")):
        one = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        kind = stat.S_IFMT(one.st_mode)
        link = path.is_symlink()
        found[str(path.relative_to(top))] = (
            kind,
            None if link else one.st_mode & 0o777,
            None if link else one.st_mtime_ns,
            content,
        )
    return found


def told(done):
    assert (done.status, done.err) == (0, "")
    return done.lines


ALL = ["mkdir dir", "copy file", "link link", "mkdir dir/empty", "copy dir/deep"]


class TestToAServer:
    def test_all_then_nothing_then_what_was_changed(self, ninep, server, files, local):
        assert sorted(told(ninep("sync", "-v", f"{local}/", f"{server}/copy"))) == sorted(ALL)
        assert picture(files, "copy") == local_picture(local)
        assert files.stat("copy").st_mtime_ns == 8 * SECOND + 1
        assert files.stat("copy/link").st_mtime_ns == (local / "link").lstat().st_mtime_ns
        assert told(ninep("sync", "-v", f"{local}/", f"{server}/copy")) == []
        (local / "file").write_bytes(b"3" * 1000)
        (local / "dir/deep").chmod(0o600)
        (local / "link").unlink()
        (local / "link").symlink_to("file")
        assert sorted(told(ninep("sync", "-v", f"{local}/", f"{server}/copy"))) == [
            "attributes dir/deep",
            "copy file",
            "link link",
        ]
        assert picture(files, "copy") == local_picture(local)

    def test_the_directory_itself_without_a_slash(self, ninep, server, files, local):
        files.mkdir("into")
        assert told(ninep("sync", local, f"{server}/into")) == []
        assert files.listdir("into") == ["src"]
        assert picture(files, "into/src") == local_picture(local)

    def test_delete(self, ninep, server, files, local):
        files.makedirs("copy/old/below")
        files.write_bytes("copy/extra", b"")
        assert told(ninep("sync", f"{local}/", f"{server}/copy")) == []
        assert {"old", "extra", "dir"} <= set(files.listdir("copy"))
        assert told(ninep("sync", "-v", "--delete", f"{local}/", f"{server}/copy")) == ["delete extra", "delete old"]
        assert picture(files, "copy") == local_picture(local)

    def test_a_dry_run_changes_nothing(self, ninep, server, files, local):
        assert sorted(told(ninep("sync", "-n", f"{local}/", f"{server}/copy"))) == sorted(ALL)
        assert files.listdir() == []
        files.makedirs("copy/old")
        before = picture(files, "copy")
        assert sorted(told(ninep("sync", "-n", "--delete", f"{local}/", f"{server}/copy"))) == sorted(
            [*ALL, "delete old"]
        )
        assert picture(files, "copy") == before

    def test_another_kind_of_file_is_replaced(self, ninep, server, files, local):
        files.makedirs("copy/file/below")
        files.write_bytes("copy/dir", b"")
        files.symlink("/outside", "copy/link")
        files.mkdir("outside")
        done = ninep("sync", f"{local}/", f"{server}/copy")
        assert (done.status, done.err) == (
            1,
            f"ninep sync: {server}/copy/file: is a directory: only --delete replaces it\n",
        )
        assert told(ninep("sync", "--delete", f"{local}/", f"{server}/copy")) == []
        assert picture(files, "copy") == local_picture(local)

    def test_links_are_not_written_through(self, ninep, server, files, local):
        files.makedirs("outside")
        files.write_bytes("outside/deep", b"kept")
        files.makedirs("copy")
        files.symlink("../outside", "copy/dir")
        files.symlink("../outside/deep", "copy/file")
        assert told(ninep("sync", f"{local}/", f"{server}/copy")) == []
        assert files.read_bytes("outside/deep") == b"kept"
        assert picture(files, "copy") == local_picture(local)
        files.symlink("outside", "src")
        done = ninep("sync", local, server)
        assert done.status == 1
        assert f"{server}/src: is not a directory of the server" in done.err
        assert files.listdir("outside") == ["deep"]

    def test_what_cannot_be_read_is_not_deleted(self, ninep, server, files, local, monkeypatch):
        assert told(ninep("sync", f"{local}/", f"{server}/copy")) == []

        def unreadable(path):
            if path.endswith("dir"):
                raise PermissionError(13, "Permission denied", path)
            return [os.path.join(path, name) for name in sorted(os.listdir(path))]

        monkeypatch.setattr("ninep.client.local.entries", unreadable)
        done = ninep("sync", "--delete", f"{local}/", f"{server}/copy")
        assert (done.status, done.err) == (1, f"ninep sync: {local}/dir: Permission denied\n")
        assert sorted(files.listdir("copy/dir")) == ["deep", "empty"]


class TestFromAServer:
    def test_all_then_nothing_then_what_was_changed(self, ninep, server, remote, tmp_path):
        copy = tmp_path / "copy"
        assert sorted(told(ninep("sync", "-v", f"{server}/src/", copy))) == sorted(ALL)
        assert local_picture(copy) == picture(remote, "src")
        assert copy.stat().st_mtime_ns == 8 * SECOND + 1
        assert told(ninep("sync", "-v", f"{server}/src/", copy)) == []
        remote.write_bytes("src/file", b"new")
        remote.chmod("src/dir/deep", 0o600)
        (copy / "extra").mkdir()
        acts = ["attributes dir/deep", "copy file", "delete extra"]
        assert sorted(told(ninep("sync", "-v", "--delete", f"{server}/src/", copy))) == acts
        assert local_picture(copy) == picture(remote, "src")

    def test_into_a_directory_that_is_there(self, ninep, server, remote, tmp_path):
        assert told(ninep("sync", f"{server}/src", tmp_path)) == []
        assert local_picture(tmp_path / "src") == picture(remote, "src")

    def test_a_dry_run_changes_nothing(self, ninep, server, remote, tmp_path):
        assert sorted(told(ninep("sync", "-n", f"{server}/src/", tmp_path / "copy"))) == sorted(ALL)
        assert sorted(told(ninep("sync", "-n", f"{server}/src", tmp_path))) == sorted(ALL)
        assert list(tmp_path.iterdir()) == []

    def test_links_are_not_followed(self, ninep, server, remote, tmp_path):
        """Those that an earlier copy left: of a directory, of a file, and of the top."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "deep").write_bytes(b"kept")
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "dir").symlink_to(outside)
        (copy / "file").symlink_to(outside / "deep")
        assert told(ninep("sync", "--delete", f"{server}/src/", copy)) == []
        assert local_picture(copy) == picture(remote, "src")
        assert (outside / "deep").read_bytes() == b"kept"
        (tmp_path / "src").symlink_to(outside)
        done = ninep("sync", "--delete", f"{server}/src", tmp_path)
        assert done.status == 1
        assert "src: is not a directory of this host" in done.err
        assert [one.name for one in outside.iterdir()] == ["deep"]

    def test_special_files_are_reported(self, ninep, server, remote, tmp_path):
        remote.mknod("src/fifo", S_IFIFO | 0o600)
        done = ninep("sync", f"{server}/src/", tmp_path / "copy")
        assert done.status == 1
        assert (
            done.err
            == f"ninep sync: {tmp_path}/copy/fifo: is a device, FIFO or socket, and none is made on this host\n"
        )
        assert sorted(os.listdir(tmp_path / "copy")) == ["dir", "file", "link"]


def test_between_servers(ninep, server, remote, other):
    address, there = other
    remote.mknod("src/fifo", S_IFIFO | 0o600)
    assert sorted(told(ninep("sync", "-v", f"{server}/src/", f"{address}/copy"))) == sorted([*ALL, "mknod fifo"])
    assert picture(there, "copy") == picture(remote, "src")
    assert told(ninep("sync", "-v", f"{server}/src/", f"{address}/copy")) == []
    done = ninep("sync", f"{server}/nothing/", address)
    assert done == (1, b"", f"ninep sync: {server}/nothing: No such file or directory\n")


@pytest.mark.parametrize("dialect", ["9P2000.u", "9P2000"])
def test_other_dialects_have_whole_seconds(ninep, server, files, local, dialect):
    if dialect == "9P2000":
        (local / "link").unlink()
    assert ninep("sync", "--dialect", dialect, f"{local}/", f"{server}/copy").status == 0
    assert files.stat("copy/file").st_mtime_ns == 5 * SECOND
    assert told(ninep("sync", "-v", "--dialect", dialect, f"{local}/", f"{server}/copy")) == []


def test_wrong_command_lines(ninep, server, tmp_path):
    done = ninep("sync", tmp_path, tmp_path / "b")
    assert done.status == 2
    assert "has to be on a server" in done.err
    assert ninep("sync", "host:port", tmp_path).status == 2
    done = ninep("sync", __file__, server)
    assert (done.status, "is not a directory" in done.err) == (1, True)


@pytest.fixture
def served(tmp_path):
    """A folder of this host with another in it, and the addresses of servers of both."""
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "outer/zoo").mkdir()
    (tmp_path / "outer/zoo/file").write_bytes(b"1")
    folders = (tmp_path / "outer", tmp_path / "outer/inner")
    threads = [InThread(LocalDriver(str(folder), security_model="none")) for folder in folders]
    yield tmp_path / "outer", *(f"127.0.0.1:{thread.port()}" for thread in threads)
    for thread in threads:
        thread.stop()


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
@pytest.mark.parametrize("way", ["to a server", "from a server", "between servers"])
def test_a_destination_in_the_source_is_met_once(ninep, served, dialect, way):
    folder, outer, inner = served
    source, to = {
        "to a server": (folder, f"{inner}/new"),
        "from a server": (outer, folder / "inner/new"),
        "between servers": (outer, f"{inner}/new"),
    }[way]
    done = ninep("sync", "--dialect", dialect, f"{source}/", f"{to}/")
    assert done.status == 1
    assert done.err.count("a directory cannot be copied into itself") == len(done.err.splitlines()) == 1
    assert sorted(os.listdir(folder / "inner/new")) == ["inner", "zoo"]
    assert (folder / "inner/new/zoo/file").read_bytes() == b"1"
    assert os.listdir(folder / "inner/new/inner") == []


def test_a_folder_onto_itself(ninep, served):
    folder, outer, _ = served
    for source, to in ((folder, outer), (outer, folder)):
        done = ninep("sync", "--delete", f"{source}/", f"{to}/")
        assert done.status == 1
        assert "a directory cannot be copied into itself" in done.err
    assert (folder / "zoo/file").read_bytes() == b"1"
