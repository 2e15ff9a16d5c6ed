"""FALLOCATE, LSEEK, COPY_FILE_RANGE."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused

from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.layers.base import FileWrapper, Wrapper
from ninep.linux import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    O_APPEND,
    O_RDONLY,
    O_WRONLY,
    S_ISUID,
    SEEK_DATA,
    SEEK_HOLE,
    Errno,
)
from ninep.node import OpenFile
from ninep.testing.faults import Faults
from ninep.wire.fuse import Opcode

CHUNK = 1 << 16


def fallocate(kernel: Kernel, fh: int, offset: int, length: int, mode: int = 0) -> bytes:
    return kernel.ask(Opcode.FALLOCATE, ROOT, fh, offset, length, mode, 0)


def lseek(kernel: Kernel, fh: int, offset: int, whence: int) -> int:
    return int.from_bytes(kernel.ask(Opcode.LSEEK, ROOT, fh, offset, whence, 0), "little")


def copy(kernel: Kernel, fh_in: int, offset_in: int, fh_out: int, offset_out: int, length: int, flags: int = 0) -> int:
    fields = (fh_in, offset_in, ROOT, fh_out, offset_out, length, flags)
    return int.from_bytes(kernel.ask(Opcode.COPY_FILE_RANGE, ROOT, *fields)[:4], "little")


def test_space_is_reserved_and_given_back(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    assert fallocate(kernel, made.fh, 10, 20) == b""
    assert kernel.attr(made.nodeid).size == 30
    kernel.write(made.fh, b"x" * 30)
    fallocate(kernel, made.fh, 5, 10, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
    assert kernel.read(made.fh) == b"x" * 5 + bytes(10) + b"x" * 15
    fallocate(kernel, made.fh, 0, 1 << 20, FALLOC_FL_KEEP_SIZE)
    assert (kernel.attr(made.nodeid).size, kernel.attr(made.nodeid).blocks) == (30, 2048)


def test_what_fallocate_refuses(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.EBADF):
        fallocate(kernel, kernel.open(made.nodeid, O_RDONLY), 0, 10)
    for offset, length, code in (
        (0, 0, Errno.EINVAL),
        (1 << 63, 1, Errno.EINVAL),
        ((1 << 63) - 1, 1, Errno.EFBIG),
        (0, (1 << 64) - 1, Errno.EFBIG),
        (0, 1 << 62, Errno.ENOSPC),
    ):
        with refused(code):
            fallocate(kernel, made.fh, offset, length)
    with refused(Errno.EOPNOTSUPP):
        fallocate(kernel, made.fh, 0, 10, 1 << 20)
    assert kernel.attr(made.nodeid).size == 0


def test_fallocate_drops_the_set_user_bit_unless_root_asks(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f", 0o4755)
    fallocate(kernel, made.fh, 0, 10)
    assert kernel.attr(made.nodeid).mode & S_ISUID
    kernel.uid = 1000
    fallocate(kernel, made.fh, 0, 10)
    assert not kernel.attr(made.nodeid).mode & S_ISUID


def test_holes(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"data", 2 * CHUNK)
    assert lseek(kernel, made.fh, 0, SEEK_HOLE) == 0
    assert lseek(kernel, made.fh, 10, SEEK_DATA) == 2 * CHUNK
    assert lseek(kernel, made.fh, 2 * CHUNK + 1, SEEK_HOLE) == 2 * CHUNK + 4
    for offset in (2 * CHUNK + 4, 1 << 63, (1 << 64) - 1):
        with refused(Errno.ENXIO):
            lseek(kernel, made.fh, offset, SEEK_DATA)
    with refused(Errno.EINVAL):
        lseek(kernel, made.fh, 0, 0)


def test_a_driver_without_holes_has_data_from_begin_to_end(kernels: Callable[..., Kernel]) -> None:
    faults = Faults()
    kernel = kernels(layers=[faults])
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"data", CHUNK)
    faults.fail("file.seek", Errno.EOPNOTSUPP, times=3)
    assert lseek(kernel, made.fh, 10, SEEK_DATA) == 10
    assert lseek(kernel, made.fh, 10, SEEK_HOLE) == CHUNK + 4
    with refused(Errno.ENXIO):
        lseek(kernel, made.fh, CHUNK + 4, SEEK_HOLE)


def test_copies_stay_on_the_host(kernel: Kernel) -> None:
    source, target = kernel.create(ROOT, b"a"), kernel.create(ROOT, b"b")
    kernel.write(source.fh, b"0123456789")
    assert copy(kernel, source.fh, 2, target.fh, 1, 5) == 5
    assert kernel.read(target.fh) == b"\00023456"
    assert copy(kernel, source.fh, 20, target.fh, 0, 5) == 0
    assert copy(kernel, source.fh, 0, source.fh, 10, 3) == 3
    assert kernel.read(source.fh) == b"0123456789012"


def test_copies_that_are_refused(kernel: Kernel) -> None:
    source, target = kernel.create(ROOT, b"a"), kernel.create(ROOT, b"b")
    kernel.write(source.fh, b"0123456789")
    appending = kernel.open(target.nodeid, O_WRONLY | O_APPEND)
    for fh_in, fh_out, flags, code in (
        (source.fh, appending, 0, Errno.EBADF),
        (source.fh, kernel.open(target.nodeid), 0, Errno.EBADF),
        (appending, target.fh, 0, Errno.EBADF),
        (source.fh, target.fh, 1, Errno.EINVAL),
        (source.fh, source.fh, 0, Errno.EINVAL),
    ):
        with refused(code):
            copy(kernel, fh_in, 0, fh_out, 1, 5, flags)
    with refused(Errno.EINVAL):
        copy(kernel, source.fh, (1 << 63) - 2, target.fh, 0, 5)
    assert kernel.attr(target.nodeid).size == 0


class _Plain(FileWrapper):
    """What a driver of another kind has."""

    copy_file_range = OpenFile.copy_file_range


class _OfAnother(Wrapper):
    def wrap_file(self, file: OpenFile) -> OpenFile:
        return _Plain(file, self)


def test_a_driver_that_cannot_copy_leaves_it_to_the_kernel(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[lambda root, user: _OfAnother(root, _OfAnother)])
    source, target = kernel.create(ROOT, b"a"), kernel.create(ROOT, b"b")
    with refused(Errno.EOPNOTSUPP):
        copy(kernel, source.fh, 0, target.fh, 0, 5)


@pytest.mark.parametrize("opcode", ["FALLOCATE", "LSEEK", "COPY_FILE_RANGE"])
def test_on_storage_they_go_to_a_thread(kernels: Callable[..., Kernel], tmp_path: Path, opcode: str) -> None:
    kernel = kernels(LocalDriver(str(tmp_path), "none", handles=new_handle_cache(64)))
    one, two = kernel.create(ROOT, b"a"), kernel.create(ROOT, b"b")
    kernel.write(one.fh, b"data")
    fields = {
        "FALLOCATE": (one.fh, 0, 100, FALLOC_FL_KEEP_SIZE, 0),
        "LSEEK": (one.fh, 0, SEEK_HOLE, 0),
        "COPY_FILE_RANGE": (one.fh, 0, ROOT, two.fh, 0, 4, 0),
    }[opcode]
    unique = kernel.send(Opcode[opcode], ROOT, *fields)
    assert unique in kernel.dispatcher.in_flight
    kernel.reply(unique)
    assert kernel.read(one.fh) == b"data"
    if opcode == "COPY_FILE_RANGE":
        assert kernel.read(two.fh) == b"data"
