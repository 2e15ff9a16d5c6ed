"""Locks between two mounts: the guest's kernel keeps them apart, so only the server can make them
exclude each other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from .registry import Place, check, fails_with, in_child, put, two_mounts

FLOCK = "hhqqi4x"  # struct flock of x86-64: type, whence, start, length, pid


def busy(path: str, kind: int, start: int, length: int) -> bool:
    """Whether another process finds the range locked."""

    def attempt() -> bool:
        fd = os.open(path, os.O_RDWR)
        try:
            fcntl.lockf(fd, kind | fcntl.LOCK_NB, length, start)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    return bool(in_child(attempt))


def conflict(path: str, kind: int, start: int, length: int) -> tuple[int, int, int]:
    """What F_GETLK tells another process: type, start and length of a lock in the way."""

    def ask() -> tuple[int, int, int]:
        fd = os.open(path, os.O_RDWR)
        try:
            answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack(FLOCK, kind, os.SEEK_SET, start, length, 0))
        finally:
            os.close(fd)
        found, _, first, size, _ = struct.unpack(FLOCK, answer)
        return found, first, size

    result = in_child(ask)
    assert isinstance(result, tuple)
    return result


@check
@two_mounts
def flock_excludes_the_other_mount(place: Place) -> None:
    put(place.path("f"))
    here = os.open(place.path("f"), os.O_RDWR)
    there = os.open(place.other("f"), os.O_RDWR)
    fcntl.flock(here, fcntl.LOCK_EX)
    fails_with(errno.EAGAIN, fcntl.flock, there, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fails_with(errno.EAGAIN, fcntl.flock, there, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(here, fcntl.LOCK_UN)
    fcntl.flock(there, fcntl.LOCK_SH | fcntl.LOCK_NB)
    fcntl.flock(here, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(there)
    fcntl.flock(here, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(here)


@check
@two_mounts
def byte_ranges_exclude_the_other_mount(place: Place) -> None:
    put(place.path("f"), bytes(100))
    other = place.other("f")
    fd = os.open(place.path("f"), os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
    assert busy(other, fcntl.LOCK_EX, 5, 10)
    assert busy(other, fcntl.LOCK_SH, 0, 1)
    assert not busy(other, fcntl.LOCK_EX, 10, 5)
    fcntl.lockf(fd, fcntl.LOCK_SH, 4, 0)  # the first four bytes become a shared lock
    assert not busy(other, fcntl.LOCK_SH, 0, 4)
    assert busy(other, fcntl.LOCK_EX, 3, 1)
    assert busy(other, fcntl.LOCK_SH, 4, 1)
    fcntl.lockf(fd, fcntl.LOCK_UN, 3, 5)  # a hole in the middle
    assert not busy(other, fcntl.LOCK_EX, 5, 3)
    assert busy(other, fcntl.LOCK_EX, 8, 1)
    os.close(fd)
    assert not busy(other, fcntl.LOCK_EX, 0, 0)


@check
@two_mounts
def range_to_the_end_excludes_the_other_mount(place: Place) -> None:
    put(place.path("f"))
    fd = os.open(place.path("f"), os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 0, 1 << 40)  # length 0: up to the largest offset
    assert busy(place.other("f"), fcntl.LOCK_EX, (1 << 62), 1)
    assert not busy(place.other("f"), fcntl.LOCK_EX, 0, 1 << 40)
    os.close(fd)


@check
@two_mounts
def lock_in_the_way_is_told(place: Place) -> None:
    put(place.path("f"), bytes(100))
    fd = os.open(place.path("f"), os.O_RDWR)
    assert conflict(place.other("f"), fcntl.F_WRLCK, 0, 50)[0] == fcntl.F_UNLCK
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 20)
    assert conflict(place.other("f"), fcntl.F_WRLCK, 0, 50) == (fcntl.F_WRLCK, 20, 10)
    assert conflict(place.other("f"), fcntl.F_WRLCK, 30, 10)[0] == fcntl.F_UNLCK
    os.close(fd)


@check
@two_mounts
def locks_end_with_their_process(place: Place) -> None:
    put(place.path("f"))

    def lock_and_die() -> None:
        fd = os.open(place.path("f"), os.O_RDWR)
        fcntl.lockf(fd, fcntl.LOCK_EX)
        assert busy(place.other("f"), fcntl.LOCK_EX, 0, 0)

    in_child(lock_and_die)
    assert not busy(place.other("f"), fcntl.LOCK_EX, 0, 0)


@check
def locks_on_one_mount(place: Place) -> None:
    put(place.path("f"), bytes(10))
    fd = os.open(place.path("f"), os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 5, 0)
    assert busy(place.path("f"), fcntl.LOCK_EX, 0, 1)
    assert not busy(place.path("f"), fcntl.LOCK_EX, 5, 5)
    fcntl.lockf(fd, fcntl.LOCK_UN)
    assert not busy(place.path("f"), fcntl.LOCK_EX, 0, 0)
    os.close(fd)
