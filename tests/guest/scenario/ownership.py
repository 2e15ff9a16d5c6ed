"""Owners, modes and times: chmod, chown, utimes, set-id bits."""

from __future__ import annotations

import os
import stat
import time

from .registry import Place, as_user, check, fails_with, put, write_all

USER = 1000


def mode_of(path: str) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


def owners_of(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_uid, found.st_gid


@check
def chmod_keeps_the_type(place: Place) -> None:
    put(place.path("f"))
    os.mkdir(place.path("d"))
    for mode in (0o6755, 0o1777, 0, 0o777, 0o744):
        os.chmod(place.path("f"), mode)
        os.chmod(place.path("d"), mode)
        assert oct(os.stat(place.path("f")).st_mode) == oct(stat.S_IFREG | mode)
        assert oct(os.stat(place.path("d")).st_mode) == oct(stat.S_IFDIR | mode)


@check
def chmod_plain_bits(place: Place) -> None:
    put(place.path("f"))
    os.mkdir(place.path("d"))
    for mode in (0o600, 0o640, 0o755):
        os.chmod(place.path("f"), mode)
        os.chmod(place.path("d"), mode)
        assert oct(os.stat(place.path("f")).st_mode) == oct(stat.S_IFREG | mode)
        assert oct(os.stat(place.path("d")).st_mode) == oct(stat.S_IFDIR | mode)


@check
def chmod_of_a_fifo_keeps_the_type(place: Place) -> None:
    os.mkfifo(place.path("p"))
    os.chmod(place.path("p"), 0o604)
    assert oct(os.lstat(place.path("p")).st_mode) == oct(stat.S_IFIFO | 0o604)


@check
def chmod_by_descriptor(place: Place) -> None:
    put(place.path("f"))
    fd = os.open(place.path("f"), os.O_RDONLY)
    os.fchmod(fd, 0o4711)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o4711
    os.close(fd)


@check
def chmod_moves_ctime(place: Place) -> None:
    put(place.path("f"))
    before = os.stat(place.path("f")).st_ctime_ns
    end = time.monotonic() + 5
    mode = 0o600
    while os.stat(place.path("f")).st_ctime_ns <= before:
        assert time.monotonic() < end, "ctime stays through 5 s of chmod"
        mode ^= 0o044
        os.chmod(place.path("f"), mode)


@check
def chown(place: Place) -> None:
    put(place.path("f"), mode=0o600)
    os.mkdir(place.path("d"))
    for name in ("f", "d"):
        os.chown(place.path(name), 1234, 4321)
        assert owners_of(place.path(name)) == (1234, 4321)
        os.chown(place.path(name), -1, 77)
        assert owners_of(place.path(name)) == (1234, 77)
        os.chown(place.path(name), 2_000_000_000, -1)
        assert owners_of(place.path(name)) == (2_000_000_000, 77)
    assert mode_of(place.path("f")) == 0o600


@check
def chown_of_a_link_itself(place: Place) -> None:
    put(place.path("f"))
    os.symlink("f", place.path("l"))
    before = owners_of(place.path("f"))
    os.lchown(place.path("l"), 1234, 4321)
    assert owners_of(place.path("l")) == (1234, 4321)
    assert owners_of(place.path("f")) == before
    assert os.readlink(place.path("l")) == "f"


@check
def made_by_a_user_is_the_users(place: Place) -> None:
    os.chmod(place.here, 0o777)

    def make() -> None:
        put(place.path("f"), b"mine", 0o640)
        os.mkdir(place.path("d"), 0o750)
        put(place.path("d", "g"), b"mine too")

    as_user(USER, make)
    for name in ("f", "d", "d/g"):
        assert owners_of(place.path(name))[0] == USER, (name, owners_of(place.path(name)))
    assert mode_of(place.path("f")) == 0o640
    assert mode_of(place.path("d")) == 0o750


@check
def made_by_a_user_is_the_users_groups(place: Place) -> None:
    os.chmod(place.here, 0o777)
    as_user(USER, lambda: put(place.path("f")))
    as_user(USER, lambda: os.mkdir(place.path("d")))
    for name in ("f", "d"):
        assert owners_of(place.path(name)) == (USER, USER), (name, owners_of(place.path(name)))


@check
def a_users_link_and_fifo(place: Place) -> None:
    os.chmod(place.here, 0o777)

    def make() -> None:
        os.symlink("target", place.path("l"))
        os.mkfifo(place.path("p"), 0o600)

    as_user(USER, make)
    for name in ("l", "p"):
        assert owners_of(place.path(name))[0] == USER, (name, owners_of(place.path(name)))


@check
def others_are_kept_out(place: Place) -> None:
    put(place.path("f"), b"secret", 0o600)
    os.chown(place.path("f"), USER, USER)
    os.chmod(place.here, 0o755)
    fails_with(13, as_user, USER + 1, lambda: os.open(place.path("f"), os.O_RDONLY))
    fails_with(1, as_user, USER + 1, lambda: os.chmod(place.path("f"), 0o666))
    as_user(USER, lambda: os.chmod(place.path("f"), 0o604))
    assert mode_of(place.path("f")) == 0o604


@check
def set_group_id_folder_passes_its_group_on(place: Place) -> None:
    os.mkdir(place.path("d"))
    os.chown(place.path("d"), 0, 50)
    os.chmod(place.path("d"), 0o2777)
    put(place.path("d", "f"))
    os.mkdir(place.path("d", "e"))
    assert owners_of(place.path("d", "f"))[1] == 50
    assert owners_of(place.path("d", "e"))[1] == 50
    assert os.stat(place.path("d", "e")).st_mode & stat.S_ISGID


def set_id_file(place: Place) -> str:
    path = place.path("f")
    put(path, b"#!/bin/sh\n")
    os.chmod(place.here, 0o777)
    os.chown(path, USER, USER)
    os.chmod(path, 0o6777)
    assert mode_of(path) == 0o6777
    return path


@check
def set_id_dropped_by_a_users_write(place: Place) -> None:
    path = set_id_file(place)

    def write() -> None:
        fd = os.open(path, os.O_WRONLY)
        write_all(fd, b"changed")
        os.close(fd)

    as_user(USER + 1, write)
    assert oct(mode_of(path)) == oct(0o777)


@check
def set_id_dropped_by_a_users_truncate(place: Place) -> None:
    path = set_id_file(place)
    as_user(USER + 1, lambda: os.truncate(path, 3))
    assert oct(mode_of(path)) == oct(0o777)


@check
def set_id_dropped_by_chown(place: Place) -> None:
    path = set_id_file(place)
    os.chown(path, USER + 5, -1)
    assert oct(mode_of(path)) == oct(0o777)
    assert owners_of(path) == (USER + 5, USER)


@check
def times_set_by_hand(place: Place) -> None:
    put(place.path("f"))
    os.mkdir(place.path("d"))
    for name in ("f", "d"):
        os.utime(place.path(name), (1_000_000_000, 1_100_000_000))
        found = os.stat(place.path(name))
        assert (found.st_atime, found.st_mtime) == (1_000_000_000, 1_100_000_000)
    fd = os.open(place.path("f"), os.O_RDWR)
    os.utime(fd, (1_200_000_000, 1_300_000_000))
    os.close(fd)
    found = os.stat(place.path("f"))
    assert (found.st_atime, found.st_mtime) == (1_200_000_000, 1_300_000_000)


@check
def times_now(place: Place) -> None:
    put(place.path("f"))
    os.utime(place.path("f"), (1_000_000_000, 1_000_000_000))
    os.utime(place.path("f"))
    assert abs(os.stat(place.path("f")).st_mtime - time.time()) < 3600  # the server's clock, not the guest's


@check
def times_of_a_link_itself(place: Place) -> None:
    put(place.path("f"))
    os.symlink("f", place.path("l"))
    before = os.stat(place.path("f")).st_mtime
    os.utime(place.path("l"), (1_000_000_000, 1_100_000_000), follow_symlinks=False)
    assert os.lstat(place.path("l")).st_mtime == 1_100_000_000
    assert os.stat(place.path("f")).st_mtime == before


@check
def writing_moves_mtime(place: Place) -> None:
    put(place.path("f"), b"old")
    os.utime(place.path("f"), (1_000_000_000, 1_000_000_000))
    fd = os.open(place.path("f"), os.O_WRONLY)
    os.write(fd, b"new")
    os.close(fd)
    assert os.stat(place.path("f")).st_mtime > 1_000_000_001
