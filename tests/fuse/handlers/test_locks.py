"""GETLK, SETLK, SETLKW, and what ends locks."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused
from tests.support.served import LAYERS

from ninep.drivers.memory import MemoryDriver
from ninep.fuse.dispatcher import MAX_WAITING
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.server.exports import Export, Exports
from ninep.server.handlers.attach import attach
from ninep.server.handlers.files import lopen
from ninep.server.handlers.locking import getlock
from ninep.server.handlers.walk import walk
from ninep.server.limits import Limits
from ninep.server.session import Session
from ninep.wire.codec import codec
from ninep.wire.dialect import Dialect
from ninep.wire.fuse import OFFSET_MAX, Opcode
from ninep.wire.messages import NOFID, Rgetlock
from ninep.wire.modes import EXTENDED

ONE, TWO = 1001, 1002
"""Owners."""


def fields(fh: int, owner: int, kind: int, start: int = 0, end: int = OFFSET_MAX) -> tuple[int, ...]:
    return fh, owner, start, end, kind, 17, 0, 0


@pytest.fixture
def files(kernel: Kernel) -> tuple[int, int]:
    """Two handles of one file."""
    made = kernel.create(ROOT, b"f")
    return made.fh, kernel.open(made.nodeid, 2)


def lock(kernel: Kernel, fh: int, owner: int, kind: int = LOCK_WRLCK, start: int = 0, end: int = OFFSET_MAX) -> None:
    assert kernel.ask(Opcode.SETLK, ROOT, *fields(fh, owner, kind, start, end)) == b""


def in_the_way(kernel: Kernel, fh: int, owner: int, kind: int = LOCK_WRLCK) -> tuple[int, ...]:
    """(start, end, type) of GETLK."""
    return unpack("<QQII", kernel.ask(Opcode.GETLK, ROOT, *fields(fh, owner, kind)))[:3]


def test_owners_exclude_each_other(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE, LOCK_WRLCK, 10, 19)
    lock(kernel, files[0], ONE, LOCK_WRLCK, 15, 19)
    with refused(Errno.EAGAIN):
        lock(kernel, files[1], TWO, LOCK_RDLCK, 19, 30)
    lock(kernel, files[1], TWO, LOCK_RDLCK, 20, 30)
    assert in_the_way(kernel, files[1], TWO) == (10, 19, LOCK_WRLCK)
    assert in_the_way(kernel, files[0], ONE) == (20, 30, LOCK_RDLCK)
    assert in_the_way(kernel, files[0], ONE, LOCK_RDLCK) == (0, OFFSET_MAX, LOCK_UNLCK)


def test_unlocking(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    lock(kernel, files[0], ONE, LOCK_UNLCK, 10, 19)
    lock(kernel, files[1], TWO, LOCK_WRLCK, 10, 19)
    assert in_the_way(kernel, files[1], TWO) == (0, 9, LOCK_WRLCK)


def test_a_close_ends_the_owners_locks_through_whatever_handle(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE, LOCK_WRLCK, 0, 9)
    lock(kernel, files[0], TWO, LOCK_WRLCK, 20, 29)
    kernel.ask(Opcode.FLUSH, ROOT, files[1], 0, 0, ONE)
    assert in_the_way(kernel, files[0], 3) == (20, 29, LOCK_WRLCK)


def test_locks_end_with_the_handle(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    kernel.release(files[0])
    lock(kernel, files[1], TWO)


def test_ranges_that_cannot_be(kernel: Kernel, files: tuple[int, int]) -> None:
    for start, end, kind in ((5, 4, LOCK_WRLCK), (1 << 63, (1 << 64) - 1, LOCK_WRLCK), (0, 1, 3)):
        with refused(Errno.EINVAL):
            lock(kernel, files[0], ONE, kind, start, end)
    lock(kernel, files[0], ONE, LOCK_WRLCK, 0, (1 << 64) - 1)  # to the end


def test_more_locks_than_the_limit(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(limits=Limits(locks=2))
    made = kernel.create(ROOT, b"f")
    for start in (0, 10):
        lock(kernel, made.fh, ONE, LOCK_WRLCK, start, start + 1)
    with refused(Errno.ENOLCK):
        lock(kernel, made.fh, ONE, LOCK_WRLCK, 20, 21)


def wait_for(kernel: Kernel, fh: int, owner: int) -> int:
    return kernel.send(Opcode.SETLKW, ROOT, *fields(fh, owner, LOCK_WRLCK))


def test_a_request_waits_until_the_range_is_free(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    unique = wait_for(kernel, files[1], TWO)
    kernel.dispatcher.retry()
    kernel.collect()
    assert not kernel.replies
    assert not kernel.dispatcher.ready, "no thread waits"
    lock(kernel, files[0], ONE, LOCK_UNLCK)
    kernel.dispatcher.retry()
    kernel.collect()
    assert kernel.reply(unique) == b""
    with refused(Errno.EAGAIN):
        lock(kernel, files[0], ONE)


@pytest.mark.parametrize("how", ["unlock", "close", "release"])
def test_who_waits_comes_before_who_locks_again(kernel: Kernel, files: tuple[int, int], how: str) -> None:
    """Whatever ends the lock says that waiting requests are to be tried; nothing else does."""
    lock(kernel, files[0], ONE)
    first, second = wait_for(kernel, files[1], TWO), wait_for(kernel, files[1], 3)
    kernel.dispatcher.retry()
    assert not kernel.dispatcher.session.unlocked
    match how:
        case "unlock":
            lock(kernel, files[0], ONE, LOCK_UNLCK)
        case "close":
            kernel.ask(Opcode.FLUSH, ROOT, files[0], 0, 0, ONE)
        case _:
            kernel.release(files[0])
    assert kernel.dispatcher.session.unlocked
    kernel.dispatcher.retry()
    kernel.collect()
    assert kernel.reply(first) == b""
    assert [request.unique for request in kernel.dispatcher.waiting] == [second]
    kernel.send(Opcode.INTERRUPT, 0, second)


def test_a_request_that_waits_can_be_interrupted(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    unique = wait_for(kernel, files[1], TWO)
    kernel.send(Opcode.INTERRUPT, 0, unique)
    with refused(Errno.EINTR):
        kernel.reply(unique)
    lock(kernel, files[0], ONE, LOCK_UNLCK)
    kernel.dispatcher.retry()
    assert in_the_way(kernel, files[0], ONE) == (0, OFFSET_MAX, LOCK_UNLCK)


def test_an_interrupt_comes_before_the_wait(kernels: Callable[..., Kernel]) -> None:
    """While a thread still looks whether the range is free."""
    kernel = kernels(layers=[LAYERS["waits"]])
    made = kernel.create(ROOT, b"f")
    two = kernel.open(made.nodeid, 2)
    lock(kernel, made.fh, ONE)
    unique = wait_for(kernel, two, TWO)
    request = kernel.dispatcher.next()
    kernel.send(Opcode.INTERRUPT, 0, unique)
    kernel.dispatcher.finish(request, request.call)
    kernel.collect()
    with refused(Errno.EINTR):
        kernel.reply(unique)
    assert not kernel.dispatcher.waiting


def test_so_many_wait_and_no_more(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    for owner in range(MAX_WAITING):
        wait_for(kernel, files[1], 5000 + owner)
    with refused(Errno.ENOLCK):
        kernel.reply(wait_for(kernel, files[1], 6000))
    lock(kernel, files[0], ONE, LOCK_UNLCK)  # there is room for that


def test_a_request_waits_after_a_thread_found_the_range_taken(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[LAYERS["waits"]])
    made = kernel.create(ROOT, b"f")
    fh = kernel.open(made.nodeid, 2)
    lock(kernel, made.fh, ONE)
    unique = wait_for(kernel, fh, TWO)
    assert kernel.run_threads() == 1
    assert [request.unique for request in kernel.dispatcher.waiting] == [unique]
    kernel.release(fh)  # a kernel would not
    lock(kernel, made.fh, ONE, LOCK_UNLCK)
    kernel.dispatcher.retry()
    with refused(Errno.EBADF):
        kernel.reply(unique)


def test_the_end_of_the_handle_ends_the_wait(kernel: Kernel, files: tuple[int, int]) -> None:
    lock(kernel, files[0], ONE)
    unique = wait_for(kernel, files[1], TWO)
    kernel.release(files[1])
    kernel.dispatcher.retry()
    kernel.collect()
    with refused(Errno.EBADF):
        kernel.reply(unique)


def test_a_9p_client_is_told_who_is_in_the_way() -> None:
    """Owners have 64 bits here, and 32 there."""
    export = Export("", MemoryDriver(clock=lambda: 0))
    kernel = Kernel(export=export)
    kernel.init()
    made = kernel.create(ROOT, b"f")
    owner = (1 << 64) - 2
    lock(kernel, made.fh, owner, LOCK_WRLCK, 20, 29)
    held = Session(Exports([export]), Limits(), Dialect.LINUX, 8192)
    attach(held, 0, NOFID, b"", b"", 0)
    walk(held, 0, 1, [b"f"])
    lopen(held, 1, 2)
    reply = getlock(held, 1, LOCK_WRLCK, 0, 50, 7, b"host")
    assert reply == (LOCK_WRLCK, 20, 10, 0, b"fffffffffffffffe")
    assert codec(EXTENDED).encode(1, Rgetlock(*reply))
    held.close()
    kernel.end_of_session()


def test_kernels_exclude_each_other() -> None:
    export = Export("", MemoryDriver(clock=lambda: 0))
    one, two = (Kernel(export=export) for _ in range(2))
    for kernel in (one, two):
        kernel.init()
    made = one.create(ROOT, b"f")
    fh = two.open(two.lookup(ROOT, b"f"), 2)
    lock(one, made.fh, ONE)
    with refused(Errno.EAGAIN):
        lock(two, fh, ONE)
    one.end_of_session()
    lock(two, fh, ONE)
    two.end_of_session()
    assert not len(export.locks)
