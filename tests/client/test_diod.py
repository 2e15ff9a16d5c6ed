"""The client with a server of another project: diod, over an inherited socket."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess

import pytest
from tests.client.expect import refused
from tests.support.client import TIMEOUT

from ninep.client.local import Keep
from ninep.linux import S_IFIFO

pytestmark = pytest.mark.peer

DIOD = shutil.which("diod", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@pytest.fixture
def diod(face, tmp_path):
    """(client, the folder that is served)."""
    if DIOD is None:
        pytest.skip("diod is not installed")
    top = tmp_path / "export"
    top.mkdir()
    ours, theirs = socket.socketpair()
    number = str(theirs.fileno())
    command = [DIOD, "-f", "-n", "-N", "-c", "/dev/null", "-L", "stderr", "-e", str(top), "-r", number, "-w", number]
    if os.geteuid():
        command += ["-u", str(os.geteuid())]
    # In a folder of its own: it may end with a core dump when the connection does.
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL, cwd=tmp_path) as server:
        theirs.close()
        client = face.connect(ours, str(top), timeout=TIMEOUT)
        yield client, top
        client.close()
        try:
            server.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            server.kill()


def test_files(diod):
    client, top = diod
    assert client.dialect.value == b"9P2000.L"
    data = os.urandom(3_000_001)
    client.write_bytes("file", data, permissions=0o640)
    assert (top / "file").read_bytes() == data
    assert stat.S_IMODE((top / "file").stat().st_mode) == 0o640
    assert client.read_bytes("file") == data
    with client.open("file", "r+b") as file:
        file.truncate(10)
        file.seek(0, os.SEEK_END)
        file.write(b"end")
        file.fsync()
    assert (top / "file").read_bytes() == data[:10] + b"end"
    with client.open("file", "ab") as file:
        file.write(b"!")
    assert (top / "file").read_bytes() == data[:10] + b"end!"


def test_errors(diod):
    client, top = diod
    client.makedirs("a/b")
    (top / "a/file").touch()
    with refused(errno.ENOENT, "a/b/c/d"):
        client.stat("a/b/c/d")
    with refused(errno.ENOTDIR, "a/file/x"):
        client.stat("a/file/x")
    with refused(errno.ENOTEMPTY, "a"):
        client.rmdir("a")
    with refused(errno.EEXIST, "a"):
        client.mkdir("a")
    with refused(errno.EISDIR, "a"):
        client.open("a", "wb")
    with refused(errno.EEXIST, "a/file"):
        client.open("a/file", "xb")


def test_names(diod):
    client, top = diod
    client.makedirs("a/b")
    client.write_bytes("a/file", b"1")
    client.rename("a/file", "a/b/renamed")
    client.link("a/b/renamed", "hard")
    client.symlink("a/b", "soft")
    client.mknod("fifo", S_IFIFO | 0o600)
    assert (top / "hard").stat().st_nlink == 2
    assert os.readlink(top / "soft") == "a/b"
    assert client.readlink("soft") == "a/b"
    assert client.read_bytes("soft/renamed", follow=True) == b"1"
    assert stat.S_ISFIFO((top / "fifo").stat().st_mode)
    client.remove("fifo")
    client.remove("soft")
    assert sorted(client.listdir()) == ["a", "hard"]


def test_attributes(diod):
    client, top = diod
    (top / "file").write_bytes(b"12345")
    client.chmod("file", 0o604)
    client.utime("file", atime=5, mtime=1_234_567_890_123_456_789)
    client.truncate("file", 3)
    found = client.stat("file")
    real = (top / "file").stat()
    assert (found.st_mode, found.st_size, found.st_uid) == (real.st_mode, 3, real.st_uid)
    assert (found.st_ino, found.st_ctime_ns) == (real.st_ino, real.st_ctime_ns)
    assert client.statfs().f_blocks > 0


def test_large_directories_and_trees(diod, tmp_path):
    client, top = diod
    (top / "many").mkdir()
    for n in range(700):
        (top / f"many/file number {n}").touch()
    assert len(set(client.listdir("many"))) == 700
    assert len([entry for entry in client.scandir("many", stat=True) if entry.is_file()]) == 700
    (top / "many/link").symlink_to("x")
    client.get("many", tmp_path / "copy", recursive=True, keep=Keep(times=True))
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {path.name for path in (top / "many").iterdir()}
    client.put(tmp_path / "copy", "again", recursive=True)
    assert len(list((top / "again").iterdir())) == 701
    client.rmtree("many")
    client.rmtree("again")
    assert list(top.iterdir()) == []


def test_locks(diod):
    client, top = diod
    (top / "file").touch()
    with client.open("file", "r+b") as one, client.open("file", "r+b") as two:
        one.lock(owner=1)
        with pytest.raises(BlockingIOError):
            two.lock(owner=2, wait=False)
        one.unlock(owner=1)
        two.lock(owner=2, timeout=TIMEOUT)
