"""OPEN, READ, WRITE, RELEASE, FSYNC, SYNCFS."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused
from tests.support.served import LAYERS

from ninep.linux import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_ISUID, Errno
from ninep.testing.faults import Faults
from ninep.transport.fuse import MountOptions
from ninep.wire import fuse as f
from ninep.wire.fuse import Opcode


def test_write_and_read(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    assert kernel.write(made.fh, b"world", 6) == 5
    assert kernel.write(made.fh, b"hello ") == 6
    assert kernel.read(made.fh) == b"hello world"
    assert kernel.read(made.fh, 6, 3) == b"wor"
    assert kernel.read(made.fh, 100) == b""


def test_access_modes(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    reading, writing = kernel.open(made.nodeid, O_RDONLY), kernel.open(made.nodeid, O_WRONLY)
    with refused(Errno.EBADF):
        kernel.write(reading, b"x")
    with refused(Errno.EBADF):
        kernel.read(writing)
    with refused(Errno.EINVAL):
        kernel.open(made.nodeid, 3)
    with refused(Errno.EISDIR):
        kernel.open(ROOT)


def test_offsets(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.EINVAL):
        kernel.read(made.fh, 1 << 63)
    assert kernel.read(made.fh, (1 << 63) - 1) == b""
    with refused(Errno.EFBIG):
        kernel.write(made.fh, b"xy", (1 << 63) - 1)
    with refused(Errno.EINVAL):
        kernel.write(made.fh, b"xy", (1 << 64) - 1)


def test_no_more_is_read_than_was_agreed_on(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    size = kernel.dispatcher.session.max_write
    kernel.setattr(made.nodeid, f.FATTR_SIZE, size=2 * size)
    assert len(kernel.read(made.fh, 0, 0xFFFFFFFF)) == size


def test_truncated_at_the_open(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"data")
    kernel.open(made.nodeid, O_RDWR | O_TRUNC)
    assert kernel.attr(made.nodeid).size == 0


def test_appending(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"0123")
    fh = kernel.open(made.nodeid, O_RDWR | O_APPEND)
    kernel.write(fh, b"end", 0, oflags=O_RDWR | O_APPEND)  # the kernel's idea of the end may be old
    assert kernel.read(fh) == b"0123end"


def test_append_is_what_the_open_file_has_now(kernel: Kernel) -> None:
    """F_SETFL may take it away, and give it back."""
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"hello")
    fh = kernel.open(made.nodeid, O_RDWR | O_APPEND)
    kernel.write(fh, b"J", 0, oflags=O_RDWR)
    assert kernel.read(fh) == b"Jello"
    kernel.write(fh, b"!", 0, oflags=O_RDWR | O_APPEND)
    assert kernel.read(fh) == b"Jello!"


def test_a_page_of_a_mapping_goes_where_it_belongs(kernel: Kernel) -> None:
    """Whatever handle the kernel takes for it."""
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"0123")
    fh = kernel.open(made.nodeid, O_RDWR | O_APPEND)
    kernel.write(fh, b"ab", 1, f.WRITE_CACHE)
    assert kernel.read(fh) == b"0ab3"


@pytest.mark.parametrize("uid", [0, 1000])
def test_suid_is_dropped_where_the_kernel_says_so(kernel: Kernel, uid: int) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.setattr(made.nodeid, f.FATTR_MODE, mode=S_ISUID | 0o755)
    kernel.uid = uid
    kernel.write(made.fh, b"x")
    assert kernel.attr(made.nodeid).mode == 0o104755
    kernel.write(made.fh, b"x", flags=f.WRITE_KILL_SUIDGID)
    assert kernel.attr(made.nodeid).mode == 0o100755


def open_flags(kernel: Kernel, node: int) -> int:
    return kernel.ask(Opcode.OPEN, node, O_RDONLY, 0)[8] & ~f.FOPEN_NOFLUSH


def test_pages_are_kept_while_the_file_is_the_same(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    assert open_flags(kernel, made.nodeid) == f.FOPEN_KEEP_CACHE
    kernel.write(made.fh, b"x")
    assert kernel.attr(made.nodeid).size == 1
    assert open_flags(kernel, made.nodeid) == 0
    assert open_flags(kernel, made.nodeid) == f.FOPEN_KEEP_CACHE


def test_a_handle_that_is_not_open(kernel: Kernel) -> None:
    for opcode, fields in [
        (Opcode.READ, (9, 0, 1, 0, 0, 0, 0)),
        (Opcode.WRITE, (9, 0, 1, 0, 0, 0, 0, b"x")),
        (Opcode.RELEASE, (9, 0, 0, 0)),
        (Opcode.RELEASEDIR, (9, 0, 0, 0)),
        (Opcode.FLUSH, (9, 0, 0, 0)),
        (Opcode.FSYNC, (9, 0, 0)),
        (Opcode.READDIR, (9, 0, 1, 0, 0, 0, 0)),
        (Opcode.READDIRPLUS, (9, 0, 1, 0, 0, 0, 0)),
        (Opcode.SETLK, (9, 0, 0, 0, 0, 0, 0, 0)),
        (Opcode.COPY_FILE_RANGE, (9, 0, ROOT, 9, 0, 1, 0)),
    ]:
        with refused(Errno.EBADF):
            kernel.ask(opcode, ROOT, *fields)


def test_a_directory_is_no_file(kernel: Kernel) -> None:
    fh = kernel.opendir(ROOT)
    with refused(Errno.EISDIR):
        kernel.read(fh)
    with refused(Errno.EISDIR):
        kernel.write(fh, b"x")


def test_data_are_as_long_as_announced(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.EPROTO):
        kernel.ask(Opcode.WRITE, made.nodeid, made.fh, 0, 5, 0, 0, 0, 0, b"four")
    assert kernel.attr(made.nodeid).size == 0


def test_what_is_opened_for_appending_alone_bypasses_the_pages(kernel: Kernel) -> None:
    """Which would cut a write(2) where they end, and another's could come in between."""
    made = kernel.create(ROOT, b"f")
    flags = [
        kernel.ask(Opcode.OPEN, made.nodeid, mode, 0)[8]
        for mode in (O_WRONLY | O_APPEND, O_RDWR | O_APPEND, O_WRONLY, O_RDONLY)
    ]
    assert [bool(one & f.FOPEN_DIRECT_IO) for one in flags] == [True, False, False, False]
    assert kernel.create(ROOT, b"log", flags=O_WRONLY | O_APPEND | O_CREAT).open_flags & f.FOPEN_DIRECT_IO


@pytest.mark.parametrize(("locks", "minor", "asks"), [("local", 39, False), ("local", 34, True), ("shared", 39, True)])
def test_a_kernel_that_keeps_its_own_locks_need_not_flush(locks: str, minor: int, asks: bool) -> None:
    """Unless it does not know how not to."""
    kernel = Kernel(options=MountOptions(locks=locks))
    kernel.init(minor=minor)
    made = kernel.create(ROOT, b"f")
    opened = kernel.ask(Opcode.OPEN, made.nodeid, O_WRONLY | O_APPEND, 0)[8]
    assert [bool(one & f.FOPEN_NOFLUSH) for one in (made.open_flags, opened)] == [not asks] * 2
    assert kernel.ask(Opcode.FLUSH, ROOT, made.fh, 0, 0, 0) == b""  # one that asks all the same
    kernel.end()


def test_syncs_reach_the_driver(kernels: Callable[..., Kernel]) -> None:
    faults = Faults()
    kernel = kernels(layers=[faults])
    made = kernel.create(ROOT, b"f")
    reading = kernel.open(made.nodeid)
    kernel.ask(Opcode.FSYNC, made.nodeid, made.fh, 1, 0)
    assert faults.calls["file.fsync"] == 1
    kernel.ask(Opcode.SYNCFS, ROOT, 0)
    assert faults.calls["syncfs"] == 1
    assert faults.calls["file.fsync"] == 2, "in place of it, and what is open for reading needs none"
    fh = kernel.opendir(ROOT)
    kernel.ask(Opcode.FSYNCDIR, ROOT, fh, 0, 0)
    assert faults.calls["dir.fsync"] == 1
    faults.fail("file.fsync", Errno.ENOSPC)
    with refused(Errno.ENOSPC):
        kernel.ask(Opcode.FSYNC, made.nodeid, reading, 0, 0)


def test_a_read_that_misses_the_page_cache_goes_to_a_thread(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[LAYERS["misses"]])
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"data")
    unique = kernel.send(Opcode.READ, made.nodeid, made.fh, 0, 10, 0, 0, 0, 0)
    assert unique in kernel.dispatcher.in_flight
    assert kernel.reply(unique) == b"data"
    assert not kernel.dispatcher.in_flight


def test_a_handle_that_is_released_while_a_thread_reads_is_closed_afterwards(kernels: Callable[..., Kernel]) -> None:
    faults = Faults()
    kernel = kernels(layers=[faults, LAYERS["misses"]])
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"data")
    unique = kernel.send(Opcode.READ, made.nodeid, made.fh, 0, 10, 0, 0, 0, 0)
    request = kernel.dispatcher.next()
    kernel.release(made.fh)
    kernel.forget(made.nodeid)
    assert faults.calls["file.close"] == 0
    kernel.dispatcher.finish(request, lambda: b"data")
    kernel.collect()
    assert kernel.reply(unique) == b"data"
    assert faults.calls["file.close"] == 1
