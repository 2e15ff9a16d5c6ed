"""GETXATTR, LISTXATTR, SETXATTR, REMOVEXATTR."""

from __future__ import annotations

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused

from ninep.linux import XATTR_CREATE, XATTR_REPLACE, Errno
from ninep.wire.fuse import Opcode


def set_(kernel: Kernel, name: bytes, value: bytes, flags: int = 0) -> None:
    assert kernel.ask(Opcode.SETXATTR, ROOT, len(value), flags, name, value) == b""


def get(kernel: Kernel, name: bytes, size: int = 65536) -> bytes:
    return kernel.ask(Opcode.GETXATTR, ROOT, size, 0, name)


def test_set_get_list_remove(kernel: Kernel) -> None:
    set_(kernel, b"user.a", b"one\0two")
    set_(kernel, b"user.b", b"")
    assert get(kernel, b"user.a") == b"one\0two"
    assert get(kernel, b"user.b") == b""
    assert kernel.ask(Opcode.LISTXATTR, ROOT, 100, 0) == b"user.a\0user.b\0"
    kernel.ask(Opcode.REMOVEXATTR, ROOT, b"user.a")
    with refused(Errno.ENODATA):
        get(kernel, b"user.a")
    with refused(Errno.ENODATA):
        kernel.ask(Opcode.REMOVEXATTR, ROOT, b"user.a")


def test_a_size_of_zero_asks_for_the_length(kernel: Kernel) -> None:
    set_(kernel, b"user.a", b"12345")
    assert get(kernel, b"user.a", 0) == b"\x05\0\0\0\0\0\0\0"
    assert kernel.ask(Opcode.LISTXATTR, ROOT, 0, 0) == b"\x07\0\0\0\0\0\0\0"


def test_too_little_room(kernel: Kernel) -> None:
    set_(kernel, b"user.a", b"12345")
    with refused(Errno.ERANGE):
        get(kernel, b"user.a", 4)
    with refused(Errno.ERANGE):
        kernel.ask(Opcode.LISTXATTR, ROOT, 6, 0)


def test_flags(kernel: Kernel) -> None:
    with refused(Errno.ENODATA):
        set_(kernel, b"user.a", b"1", XATTR_REPLACE)
    set_(kernel, b"user.a", b"1", XATTR_CREATE)
    with refused(Errno.EEXIST):
        set_(kernel, b"user.a", b"2", XATTR_CREATE)
    for flags in (3, 4, 1 << 31):
        with refused(Errno.EINVAL):
            set_(kernel, b"user.a", b"2", flags)
    assert get(kernel, b"user.a") == b"1"


@pytest.mark.parametrize("name", [b"", b"user." + b"x" * 251])
def test_names(kernel: Kernel, name: bytes) -> None:
    with refused(Errno.ERANGE):
        set_(kernel, name, b"")
    with refused(Errno.ERANGE):
        get(kernel, name)


def test_values(kernel: Kernel) -> None:
    with refused(Errno.E2BIG):
        set_(kernel, b"user.a", bytes(65537))
    with refused(Errno.EPROTO):
        kernel.ask(Opcode.SETXATTR, ROOT, 5, 0, b"user.a", b"four")
    assert kernel.ask(Opcode.LISTXATTR, ROOT, 100, 0) == b""


@pytest.mark.parametrize("name", [b"system.posix_acl_access", b"system.posix_acl_default"])
def test_lists_that_no_kernel_would_check_are_not_set(kernel: Kernel, name: bytes) -> None:
    with refused(Errno.EOPNOTSUPP):
        set_(kernel, name, b"\2\0\0\0")
    with refused(Errno.EOPNOTSUPP):
        get(kernel, name)
    kernel.dispatcher.session.node(ROOT).setxattr(name, b"\2\0\0\0", 0)
    assert kernel.ask(Opcode.LISTXATTR, ROOT, 100, 0) == b""
