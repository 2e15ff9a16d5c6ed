"""Attributes, extended attributes and locks, with both clients, in each dialect that has them."""

from __future__ import annotations

import errno
import stat

import pytest
from tests.client.expect import refused
from tests.support.client import TIMEOUT

from ninep.client.stat import SetAttr
from ninep.linux import XATTR_CREATE, XATTR_REPLACE


def test_stat(client):
    client.write_bytes("file", b"12345", permissions=0o640)
    found = client.stat("file")
    assert found.is_file()
    assert not found.is_dir()
    assert found.st_size == 5
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert found.st_nlink == 1
    assert found.st_ino == found.qid.path
    assert client.stat("/").is_dir()
    assert client.stat("").st_ino == client.stat("/").st_ino


def test_changing_attributes(client):
    client.write_bytes("file", b"x")
    client.chmod("file", 0o604)
    client.utime("file", atime=1_000_000_000 * 10**9, mtime=1_500_000_000 * 10**9)
    found = client.stat("file")
    assert stat.S_IMODE(found.st_mode) == 0o604
    assert (found.st_atime, found.st_mtime) == (1_000_000_000, 1_500_000_000)
    client.utime("file", atime=None)
    found = client.stat("file")
    assert found.st_atime == 1_000_000_000
    assert found.st_mtime > 1_700_000_000
    client.mkdir("dir")
    client.chmod("dir", 0o700)
    assert client.stat("dir").is_dir()


def test_ownership(extended):
    extended.write_bytes("file", b"x")
    extended.chown("file", 1234, 5678)
    assert (extended.stat("file").st_uid, extended.stat("file").st_gid) == (1234, 5678)
    extended.chown("file", gid=9)
    assert (extended.stat("file").st_uid, extended.stat("file").st_gid) == (1234, 9)


def test_times_to_the_nanosecond(linux):
    linux.write_bytes("file", b"x")
    linux.utime("file", atime=-5, mtime=1_234_567_890_123_456_789)
    found = linux.stat("file")
    assert (found.st_atime_ns, found.st_mtime_ns) == (-5, 1_234_567_890_123_456_789)


def test_several_attributes_at_once(linux):
    linux.write_bytes("file", b"12345678")
    linux.setattr("file", SetAttr(mode=0o600, uid=7, size=3, mtime=5))
    found = linux.stat("file")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_size, found.st_mtime_ns) == (0o600, 7, 3, 5)


def test_statfs(linux):
    assert linux.statfs("/").f_bsize > 0
    assert linux.statfs().f_namemax == 255


def test_what_a_dialect_cannot_say_is_refused(connect):
    client = connect("9P2000")
    client.write_bytes("file", b"")
    for act in (
        lambda: client.statfs("/"),
        lambda: client.getxattr("file", "user.x"),
        lambda: client.symlink("x", "link"),
        lambda: client.link("file", "other"),
        lambda: client.open("file").lock(),
    ):
        with pytest.raises(OSError, match="9P2000 has no") as error:
            act()
        assert error.value.errno == errno.EOPNOTSUPP


def test_extended_attributes(linux):
    linux.write_bytes("file", b"")
    linux.setxattr("file", "user.one", b"1")
    linux.setxattr("file", "user.two", bytes(range(256)) * 100)
    assert sorted(linux.listxattr("file")) == ["user.one", "user.two"]
    assert linux.getxattr("file", "user.two") == bytes(range(256)) * 100
    with pytest.raises(FileExistsError):
        linux.setxattr("file", "user.one", b"2", XATTR_CREATE)
    linux.setxattr("file", "user.one", b"3", XATTR_REPLACE)
    assert linux.getxattr("file", "user.one") == b"3"
    linux.setxattr("file", "user.empty", b"")
    assert linux.getxattr("file", "user.empty") == b""
    linux.removexattr("file", "user.one")
    for act in (lambda: linux.getxattr("file", "user.one"), lambda: linux.removexattr("file", "user.one")):
        with refused(errno.ENODATA, "file"):
            act()


def test_locks(linux):
    linux.write_bytes("file", b"0123456789")
    with linux.open("file", "r+b") as one, linux.open("file", "r+b") as two:
        one.lock(2, 4, owner=1)
        found = two.test_lock(owner=2)
        assert (found.exclusive, found.start, found.length, found.proc_id) == (True, 2, 4, 1)
        with pytest.raises(BlockingIOError):
            two.lock(wait=False, owner=2)
        with pytest.raises(TimeoutError):
            two.lock(timeout=0.03, owner=2)
        two.lock(6, wait=False, owner=2)
        one.unlock(owner=1)
        assert two.test_lock(0, 6, owner=2) is None
        one.lock(shared=True, length=5, owner=1)
        two.lock(shared=True, length=5, wait=False, owner=2)


def test_a_lock_excludes_other_connections(linux, connect):
    other = connect("9P2000.L")
    linux.write_bytes("file", b"")
    with linux.open("file", "r+b") as one, other.open("file", "r+b") as two:
        one.lock()
        with pytest.raises(BlockingIOError) as caught:
            two.lock(wait=False)
        assert caught.value.filename == "file"
        one.unlock()
        two.lock(timeout=TIMEOUT)
