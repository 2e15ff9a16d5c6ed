"""System calls for which 9P has no message: fallocate, lseek for holes, renameat2, O_TMPFILE,
syncfs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat

from .registry import Place, check, fails_with, get, put

BLOCK = 1 << 16
AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | str) -> None:
    """A system call that Python has not."""
    given = [ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(os.fsencode(one)) for one in arguments]
    if getattr(_libc, name)(*given):
        raise OSError(ctypes.get_errno(), name)


@check
def range_reserved_and_given_back(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"x" * 3 * BLOCK)
    call("fallocate", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BLOCK, BLOCK)
    assert os.pread(fd, 4 * BLOCK, 0) == b"x" * BLOCK + bytes(BLOCK) + b"x" * BLOCK
    call("fallocate", fd, FALLOC_FL_KEEP_SIZE, 0, 8 * BLOCK)
    assert os.fstat(fd).st_size == 3 * BLOCK
    os.posix_fallocate(fd, 0, 4 * BLOCK)
    assert os.fstat(fd).st_size == 4 * BLOCK
    os.close(fd)
    assert len(get(place.path("f"))) == 4 * BLOCK


@check
def range_of_data_and_hole(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(fd, b"data", 0)
    os.pwrite(fd, b"more", 4 * BLOCK)
    assert 4 <= os.lseek(fd, 0, os.SEEK_HOLE) <= BLOCK
    assert 3 * BLOCK < os.lseek(fd, BLOCK, os.SEEK_DATA) <= 4 * BLOCK
    assert os.lseek(fd, 4 * BLOCK, os.SEEK_HOLE) == 4 * BLOCK + 4
    fails_with(errno.ENXIO, os.lseek, fd, 5 * BLOCK, os.SEEK_DATA)
    os.close(fd)


@check
def rename2_replaces_nothing(place: Place) -> None:
    put(place.path("f"), b"one", 0o640)
    put(place.path("g"), b"two")
    f, g, h = (place.path(name) for name in "fgh")
    fails_with(errno.EEXIST, call, "renameat2", AT_FDCWD, f, AT_FDCWD, g, RENAME_NOREPLACE)
    call("renameat2", AT_FDCWD, f, AT_FDCWD, h, RENAME_NOREPLACE)
    assert (get(h), get(g), sorted(os.listdir(place.here))) == (b"one", b"two", ["g", "h"])
    assert stat.S_IMODE(os.stat(h).st_mode) == 0o640


@check
def rename2_exchanges(place: Place) -> None:
    put(place.path("f"), b"one", 0o640)
    os.mkdir(place.path("d"))
    put(place.path("d", "g"), b"two", 0o600)
    os.chown(place.path("f"), 7, 8)
    before = os.stat(place.path("f")), os.stat(place.path("d", "g"))
    call("renameat2", AT_FDCWD, place.path("f"), AT_FDCWD, place.path("d", "g"), RENAME_EXCHANGE)
    after = os.stat(place.path("d", "g")), os.stat(place.path("f"))
    kept = ("st_ino", "st_mode", "st_uid", "st_gid")
    assert [[getattr(one, field) for field in kept] for one in after] == [
        [getattr(one, field) for field in kept] for one in before
    ]
    assert (get(place.path("f")), get(place.path("d", "g"))) == (b"two", b"one")


@check
def rename2_exchanges_directories(place: Place) -> None:
    os.makedirs(place.path("d", "in"))
    os.makedirs(place.path("e", "of", "e"))
    call("renameat2", AT_FDCWD, place.path("d"), AT_FDCWD, place.path("e", "of"), RENAME_EXCHANGE)
    assert (os.listdir(place.path("d")), os.listdir(place.path("e", "of"))) == (["e"], ["in"])
    fails_with(
        errno.EINVAL, call, "renameat2", AT_FDCWD, place.path("e"), AT_FDCWD, place.path("e", "of"), RENAME_EXCHANGE
    )


@check
def unnamed_file_is_gone_with_its_last_user(place: Place) -> None:
    fd = os.open(place.here, os.O_TMPFILE | os.O_RDWR | os.O_EXCL, 0o600)
    os.write(fd, b"content")
    os.lseek(fd, 0, os.SEEK_SET)
    assert os.read(fd, 100) == b"content"
    os.close(fd)
    assert os.listdir(place.here) == []


@check
def unnamed_file_is_named(place: Place) -> None:
    fd = os.open(place.here, os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"content")
    assert (os.listdir(place.here), os.fstat(fd).st_nlink) == ([], 0)
    call("linkat", AT_FDCWD, f"/proc/self/fd/{fd}", AT_FDCWD, place.path("f"), AT_SYMLINK_FOLLOW)
    os.fchmod(fd, 0o600)
    os.close(fd)
    assert get(place.path("f")) == b"content"
    assert stat.S_IMODE(os.stat(place.path("f")).st_mode) == 0o600


@check
def sync_of_the_filesystem(place: Place) -> None:
    put(place.path("f"), b"data")
    fd = os.open(place.path("f"), os.O_RDONLY)
    call("syncfs", fd)
    os.close(fd)
