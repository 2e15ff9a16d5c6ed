"""The kernel's mount: verbs that 9P has not."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fuse.test_kernel import LIMIT, mounted
from tests.serving import ORDINARY_USER

from ninep.linux import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, RENAME_EXCHANGE, RENAME_NOREPLACE

BLOCK = 1 << 16


AT_FDCWD = -100


AT_SYMLINK_FOLLOW = 0x400


_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes) -> None:
    """A system call that Python has not."""
    wide = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(one) for one in arguments]
    if getattr(_libc, name)(*wide):
        raise OSError(ctypes.get_errno(), name)


@contextmanager
def refused(code: int) -> Iterator[None]:
    with pytest.raises(OSError, match=r".") as caught:
        yield
    assert caught.value.errno == code, errno.errorcode.get(caught.value.errno or 0)


def test_fallocate(ground: Path, model: str) -> None:
    with mounted(ground, "--security-model", model) as (folder, mount):
        with (mount / "f").open("wb+", buffering=0) as file:
            file.write(b"x" * 3 * BLOCK)
            _call("fallocate", file.fileno(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK)
            assert os.pread(file.fileno(), 4 * BLOCK, 0) == b"x" * BLOCK + bytes(BLOCK) + b"x" * BLOCK
            _call("fallocate", file.fileno(), FALLOC_FL_KEEP_SIZE, 0, 8 * BLOCK)
            assert os.fstat(file.fileno()).st_size == 3 * BLOCK
            assert os.fstat(file.fileno()).st_blocks >= 8 * BLOCK // 512
            os.posix_fallocate(file.fileno(), 0, 4 * BLOCK)
            assert os.fstat(file.fileno()).st_size == 4 * BLOCK
            with refused(errno.EINVAL):
                _call("fallocate", file.fileno(), 0, 0, 0)
        content = b"x" * BLOCK + bytes(BLOCK) + b"x" * BLOCK + bytes(BLOCK)
        assert (folder / "f").read_bytes() == (mount / "f").read_bytes() == content


def test_fallocate_drops_set_user_id(ground: Path, model: str) -> None:
    """As on a file system of the host: a user without CAP_FSETID changes the content."""
    with mounted(ground, "--security-model", model) as (folder, mount):
        folder.chmod(0o755)
        (mount / "f").write_bytes(b"")
        (mount / "f").chmod(0o6777)
        argv = ["fallocate", "--length", "100", mount / "f"]
        subprocess.run(argv, user=ORDINARY_USER, group=ORDINARY_USER, check=True, cwd="/", timeout=LIMIT)
        assert (mount / "f").stat().st_mode & 0o7777 == 0o777
        assert (mount / "f").stat().st_size == 100


def test_holes(ground: Path, model: str) -> None:
    with mounted(ground, "--security-model", model) as (_, mount), (mount / "f").open("wb+", buffering=0) as file:
        file.write(b"data")
        file.seek(4 * BLOCK)
        file.write(b"more")
        fd = file.fileno()
        assert os.lseek(fd, 0, os.SEEK_DATA) == 0
        assert 4 <= os.lseek(fd, 0, os.SEEK_HOLE) <= BLOCK
        assert 3 * BLOCK < os.lseek(fd, BLOCK, os.SEEK_DATA) <= 4 * BLOCK
        assert os.lseek(fd, 4 * BLOCK, os.SEEK_HOLE) == 4 * BLOCK + 4
        with refused(errno.ENXIO):
            os.lseek(fd, 5 * BLOCK, os.SEEK_DATA)


def test_copies_stay_on_the_host(ground: Path, model: str) -> None:
    data = os.urandom(3 << 20)
    with mounted(ground, "--security-model", model) as (folder, mount):
        (mount / "a").write_bytes(data)
        with (mount / "a").open("rb") as source, (mount / "b").open("wb") as target:
            count = os.copy_file_range(source.fileno(), target.fileno(), len(data))
            while more := os.copy_file_range(source.fileno(), target.fileno(), len(data)):
                count += more
            assert count == len(data)
        assert (mount / "b").read_bytes() == (folder / "b").read_bytes() == data


def test_renameat2(ground: Path, model: str) -> None:
    with mounted(ground, "--security-model", model) as (folder, mount):
        (mount / "f").write_text("one")
        (mount / "g").write_text("two")
        (mount / "f").chmod(0o640)
        os.chown(mount / "f", 7, 8)
        one, two = (mount / "f").stat(), (mount / "g").stat()
        f, g, h = (bytes(mount / name) for name in "fgh")
        with refused(errno.EEXIST):
            _call("renameat2", AT_FDCWD, f, AT_FDCWD, g, RENAME_NOREPLACE)
        _call("renameat2", AT_FDCWD, f, AT_FDCWD, h, RENAME_NOREPLACE)
        assert ((mount / "h").stat().st_mode, (mount / "h").stat().st_uid) == (one.st_mode, one.st_uid)
        if model == "mapped-file":
            with refused(errno.EINVAL):
                _call("renameat2", AT_FDCWD, g, AT_FDCWD, h, RENAME_EXCHANGE)
        else:
            _call("renameat2", AT_FDCWD, g, AT_FDCWD, h, RENAME_EXCHANGE)
            assert ((mount / "g").read_text(), (mount / "h").read_text()) == ("one", "two")
            for name, before in (("g", one), ("h", two)):
                found = (mount / name).stat()
                assert (found.st_ino, found.st_mode, found.st_uid) == (before.st_ino, before.st_mode, before.st_uid)
            assert (folder / "g").read_text() == "one"
        with refused(errno.EINVAL):
            _call("renameat2", AT_FDCWD, g, AT_FDCWD, bytes(mount / "x"), 4)  # RENAME_WHITEOUT
        assert sorted(os.listdir(mount)) == ["g", "h"]


def _name(fd: int, path: Path) -> None:
    """The example of open(2), O_TMPFILE."""
    _call("linkat", AT_FDCWD, b"/proc/self/fd/%d" % fd, AT_FDCWD, bytes(path), AT_SYMLINK_FOLLOW)


def test_files_without_a_name(ground: Path, model: str) -> None:
    with mounted(ground, "--security-model", model) as (folder, mount):
        if model == "mapped-file":
            with refused(errno.EOPNOTSUPP):
                os.open(mount, os.O_TMPFILE | os.O_RDWR, 0o640)
            return
        fd = os.open(mount, os.O_TMPFILE | os.O_RDWR, 0o640)
        os.write(fd, b"content")
        assert os.listdir(mount) == []
        assert os.fstat(fd).st_nlink == 0
        _name(fd, mount / "f")
        assert os.fstat(fd).st_nlink == 1
        os.write(fd, b"!")
        os.fchmod(fd, 0o600)
        os.close(fd)
        assert (mount / "f").read_text() == (folder / "f").read_text() == "content!"
        assert (mount / "f").stat().st_mode & 0o7777 == 0o600
        os.close(os.open(mount, os.O_TMPFILE | os.O_WRONLY, 0o640))
        unlinkable = os.open(mount, os.O_TMPFILE | os.O_EXCL | os.O_RDWR, 0o640)
        with refused(errno.ENOENT):
            _name(unlinkable, mount / "g")
        os.close(unlinkable)
        assert os.listdir(mount) == ["f"]


def test_syncfs(ground: Path, model: str) -> None:
    """Linux sends SYNCFS to a virtiofs device alone (fuse_sync_fs of fs/fuse/inode.c); here it writes
    back its own pages.
    """
    with mounted(ground, "--security-model", model) as (folder, mount), (mount / "f").open("wb", buffering=0) as file:
        file.write(b"data")
        _call("syncfs", file.fileno())
        assert (folder / "f").read_bytes() == b"data"


def test_records_that_two_mounts_append_are_whole(ground: Path, model: str) -> None:
    program = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)\n"
        "print(1, flush=True)\n"
        "for number in range(200): os.write(fd, sys.argv[2].encode() * int(sys.argv[3]) + b'\\n')\n"
    )
    size = 9_999
    with mounted(ground, "--security-model", model, mounts=2, words="cache=1") as (folder, one, two):
        (one / "f").write_bytes(b"")
        writers = [
            subprocess.Popen([sys.executable, "-c", program, place / "f", letter, str(size)], stdout=subprocess.DEVNULL)
            for place, letter in ((one, "1"), (two, "2"), (folder, "3"))
        ]
        assert [writer.wait(LIMIT) for writer in writers] == [0, 0, 0]
        records = (folder / "f").read_bytes().splitlines()
    assert len(records) == 600
    assert all(len(record) == size and len(set(record)) == 1 for record in records)
