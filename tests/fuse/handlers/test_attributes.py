"""GETATTR, SETATTR, STATX, STATFS."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused

from ninep.drivers.memory import MemoryDriver
from ninep.linux import S_ISGID, S_ISUID, S_IXGRP, Errno
from ninep.transport.fuse import MountOptions
from ninep.wire import fuse as f
from ninep.wire.fuse import Opcode

SECOND = 1_000_000_000


def test_the_root(kernel: Kernel) -> None:
    attr = kernel.attr(ROOT)
    assert (attr.mode, attr.nlink, attr.uid, attr.gid) == (0o040755, 2, 0, 0)


@pytest.mark.parametrize(
    ("cache", "seconds", "nanoseconds"), [(0.0, 0, 0), (1.0, 1, 0), (0.25, 0, 250_000_000), (float("inf"), 10**9, 0)]
)
def test_how_long_a_kernel_may_keep_attributes(
    kernels: Callable[..., Kernel], cache: float, seconds: int, nanoseconds: int
) -> None:
    kernel = kernels(options=MountOptions(cache=cache))
    assert unpack_from("<QI", kernel.ask(Opcode.GETATTR, ROOT, 0, 0, 0)) == (seconds, nanoseconds)
    entry = kernel.ask(Opcode.MKDIR, ROOT, 0o755, 0, b"d")
    assert unpack_from("<QQII", entry, 16) == (seconds, seconds, nanoseconds, nanoseconds)


def test_times(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    attr = kernel.setattr(
        made.nodeid, f.FATTR_ATIME | f.FATTR_MTIME, atime=-5, atimensec=7, mtime=1 << 33, mtimensec=999_999_999
    )
    assert (attr.atime, attr.atimensec, attr.mtime, attr.mtimensec) == (-5, 7, 1 << 33, 999_999_999)
    with refused(Errno.EINVAL):
        kernel.setattr(made.nodeid, f.FATTR_ATIME, atimensec=SECOND)


def test_the_time_is_now(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(MemoryDriver(clock=lambda: 77 * SECOND))
    made = kernel.create(ROOT, b"f")
    attr = kernel.setattr(
        made.nodeid,
        f.FATTR_ATIME | f.FATTR_ATIME_NOW | f.FATTR_MTIME | f.FATTR_MTIME_NOW,
        atime=1,
        mtime=1,
    )
    assert (attr.atime, attr.mtime) == (77, 77)


def test_only_what_is_named_changes(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f", 0o640)
    before = kernel.attr(made.nodeid)
    assert kernel.setattr(made.nodeid, 0, size=9, mode=0o777, uid=9, gid=9, atime=9, mtime=9) == before


def test_size(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.write(made.fh, b"0123456789")
    assert kernel.setattr(made.nodeid, f.FATTR_SIZE, size=4).size == 4
    assert kernel.setattr(made.nodeid, f.FATTR_SIZE | f.FATTR_FH, fh=made.fh, size=6).size == 6
    assert kernel.read(made.fh) == b"0123\0\0"
    with refused(Errno.EINVAL):
        kernel.setattr(made.nodeid, f.FATTR_SIZE, size=1 << 63)
    with refused(Errno.EBADF):
        kernel.setattr(made.nodeid, f.FATTR_SIZE | f.FATTR_FH, fh=99, size=6)


def test_owner_and_mode(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    attr = kernel.setattr(made.nodeid, f.FATTR_UID | f.FATTR_GID | f.FATTR_MODE, uid=5, gid=6, mode=0o100751)
    assert (attr.uid, attr.gid, attr.mode) == (5, 6, 0o100751)
    assert kernel.setattr(made.nodeid, f.FATTR_GID, gid=7)[11:13] == (5, 7)
    assert kernel.setattr(made.nodeid, f.FATTR_UID, uid=0xFFFFFFFF).uid == 5


SETID = S_ISUID | S_ISGID | S_IXGRP | 0o700


@pytest.mark.parametrize("uid", [0, 1000])
def test_another_owner_drops_suid_and_sgid(kernel: Kernel, uid: int) -> None:
    made = kernel.create(ROOT, b"f")
    kernel.setattr(made.nodeid, f.FATTR_MODE, mode=SETID)
    kernel.uid = uid
    assert kernel.setattr(made.nodeid, f.FATTR_UID, uid=3).mode == 0o100710


@pytest.mark.parametrize("by_handle", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_a_truncation_drops_them_where_the_kernel_says_so(kernel: Kernel, uid: int, by_handle: bool) -> None:
    made = kernel.create(ROOT, b"f")
    valid = f.FATTR_SIZE | (f.FATTR_FH if by_handle else 0)
    kernel.setattr(made.nodeid, f.FATTR_MODE, mode=SETID)
    kernel.uid = uid
    assert kernel.setattr(made.nodeid, valid, fh=made.fh, size=1).mode == 0o100000 | SETID
    assert kernel.setattr(made.nodeid, valid | f.FATTR_KILL_SUIDGID, fh=made.fh, size=2).mode == 0o100710


def test_statx(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f", 0o640)
    body = kernel.ask(Opcode.STATX, made.nodeid, 0, 0, 0, 0, f.STATX_BASIC)
    assert len(body) == 288
    mask, _, _, nlink, _, _, mode = unpack_from("<IIQIIIH", body, 32)
    assert mask & f.STATX_BASIC == f.STATX_BASIC
    assert (nlink, mode) == (1, 0o100640)
    assert unpack_from("<Q", body, 32 + 32)[0] == kernel.attr(made.nodeid).ino


def test_statfs(kernel: Kernel) -> None:
    body = kernel.ask(Opcode.STATFS, ROOT)
    assert len(body) == 80
    assert unpack_from("<I", body, 40)[0] == 4096
    assert unpack_from("<I", body, 44)[0] == 255
