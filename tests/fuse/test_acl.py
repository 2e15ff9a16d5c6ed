"""ACLs and modes, together: fs/posix_acl.c of Linux is the measure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.fuse_kernel import OFFERED, ROOT, Kernel, entry_of, refused

from ninep.layers.id_map import IdMap, Ranges
from ninep.linux import NO_ID, O_RDWR, S_IFDIR, S_IFIFO, S_IFREG, Errno
from ninep.node import Node, User
from ninep.testing.faults import Faults
from ninep.transport.fuse import MountOptions
from ninep.wire import posix_acl
from ninep.wire.fuse import FATTR_MODE, SETXATTR_ACL_KILL_SGID, SETXATTR_EXT, Init, Opcode
from ninep.wire.posix_acl import ACCESS, DEFAULT, GROUP_OBJ, MASK, OTHER, USER, USER_OBJ, AclEntry

OPTIONS = MountOptions(posix_acl=True)


class Below:
    """A layer that keeps the root which the others wrap."""

    root: Node

    def __call__(self, root: Node, _user: User) -> Node:
        self.root = root
        return root


def acl(user: int, group: int, other: int, mask: int | None = None, **named: int) -> bytes:
    """``u1000=6``: a named user."""
    entries = [AclEntry(USER_OBJ, user, NO_ID)]
    entries += [AclEntry(USER, perm, int(name[1:])) for name, perm in named.items()]
    entries += [AclEntry(GROUP_OBJ, group, NO_ID)]
    entries += [] if mask is None else [AclEntry(MASK, mask, NO_ID)]
    return posix_acl.pack([*entries, AclEntry(OTHER, other, NO_ID)])


def setxattr(kernel: Kernel, node: int, name: bytes, value: bytes, more: int = 0) -> None:
    fields = (len(value), 0, more, 0, name, value)
    assert kernel.ask(Opcode.SETXATTR, node, *fields, form=SETXATTR_EXT) == b""


def getxattr(kernel: Kernel, node: int, name: bytes) -> bytes:
    return kernel.ask(Opcode.GETXATTR, node, 4096, 0, name)


@pytest.fixture
def kernel(kernels: Callable[..., Kernel]) -> Kernel:
    return kernels(options=OPTIONS)


def test_flags_are_agreed_on_together_and_only_if_wanted(kernels: Callable[..., Kernel]) -> None:
    wanted = Init.POSIX_ACL | Init.DONT_MASK | Init.SETXATTR_EXT
    assert kernels(options=OPTIONS).dispatcher.session.flags & wanted == wanted
    assert not kernels().dispatcher.session.flags & wanted
    older = kernels(options=OPTIONS)
    older.init(OFFERED & ~Init.SETXATTR_EXT)
    older.close_sessions()
    assert older.dispatcher.session.flags & wanted == Init.POSIX_ACL | Init.DONT_MASK
    made = older.create(ROOT, b"f")
    value = acl(6, 4, 0, 6, u1000=6)
    older.ask(Opcode.SETXATTR, made.nodeid, len(value), 0, ACCESS, value)
    assert older.attr(made.nodeid).mode == S_IFREG | 0o660


def test_an_acl_sets_the_mode(kernel: Kernel) -> None:
    node = kernel.create(ROOT, b"f", 0o4600).nodeid
    value = acl(6, 0, 4, 5, u1000=7)
    setxattr(kernel, node, ACCESS, value)
    assert kernel.attr(node).mode == S_IFREG | 0o4654
    assert getxattr(kernel, node, ACCESS) == value
    assert ACCESS + b"\0" in kernel.ask(Opcode.LISTXATTR, node, 4096, 0)


def test_an_acl_that_says_no_more_than_the_mode_is_the_mode(kernel: Kernel) -> None:
    node = kernel.create(ROOT, b"f", 0o600).nodeid
    for _ in range(2):
        setxattr(kernel, node, ACCESS, acl(7, 5, 1))
        assert kernel.attr(node).mode == S_IFREG | 0o751
        with refused(Errno.ENODATA):
            getxattr(kernel, node, ACCESS)
        setxattr(kernel, node, ACCESS, acl(6, 4, 4, 6, u1000=6))


def test_a_chmod_sets_the_mask(kernel: Kernel) -> None:
    node = kernel.create(ROOT, b"f", 0o600).nodeid
    setxattr(kernel, node, ACCESS, acl(6, 5, 4, 7, u1000=7))
    kernel.setattr(node, FATTR_MODE, mode=0o410)
    assert getxattr(kernel, node, ACCESS) == acl(4, 5, 0, 1, u1000=7)
    assert kernel.attr(node).mode == S_IFREG | 0o410


def test_sgid_goes_if_the_kernel_says_so(kernel: Kernel) -> None:
    node = kernel.create(ROOT, b"f", 0o2755).nodeid
    setxattr(kernel, node, ACCESS, acl(7, 5, 5, 5, u1000=5))
    assert kernel.attr(node).mode == S_IFREG | 0o2755
    setxattr(kernel, node, ACCESS, acl(7, 5, 5, 5, u1000=4), SETXATTR_ACL_KILL_SGID)
    assert kernel.attr(node).mode == S_IFREG | 0o755


def test_what_is_made_inherits(kernel: Kernel) -> None:
    directory = kernel.mkdir(ROOT, b"d", 0o755)
    default = acl(7, 5, 0, 7, u1000=6)
    setxattr(kernel, directory, DEFAULT, default)
    # posix_acl_create_masq: the mode is what both allow, and the umask does not count
    made = entry_of(kernel.ask(Opcode.CREATE, directory, O_RDWR, S_IFREG | 0o664, 0o077, 0, b"f"))
    assert made.attr.mode == S_IFREG | 0o660
    assert getxattr(kernel, made.nodeid, ACCESS) == acl(6, 5, 0, 6, u1000=6)
    fifo = entry_of(kernel.ask(Opcode.MKNOD, directory, S_IFIFO | 0o622, 0, 0o077, 0, b"p"))
    assert fifo.attr.mode == S_IFIFO | 0o620
    unnamed = entry_of(kernel.ask(Opcode.TMPFILE, directory, O_RDWR, S_IFREG | 0o600, 0, 0, b"/"))
    assert getxattr(kernel, unnamed.nodeid, ACCESS) == acl(6, 5, 0, 0, u1000=6)
    below = entry_of(kernel.ask(Opcode.MKDIR, directory, 0o777, 0o077, b"e"))
    assert below.attr.mode == S_IFDIR | 0o770
    assert getxattr(kernel, below.nodeid, DEFAULT) == default
    assert getxattr(kernel, below.nodeid, ACCESS) == acl(7, 5, 0, 7, u1000=6)
    with refused(Errno.ENODATA):
        getxattr(kernel, made.nodeid, DEFAULT)


def test_without_a_default_acl_the_umask_counts(kernel: Kernel) -> None:
    made = entry_of(kernel.ask(Opcode.CREATE, ROOT, O_RDWR, S_IFREG | 0o666, 0o027, 0, b"f"))
    assert made.attr.mode == S_IFREG | 0o640
    assert entry_of(kernel.ask(Opcode.MKDIR, ROOT, 0o777, 0o027, b"d")).attr.mode == S_IFDIR | 0o750
    with refused(Errno.ENODATA):
        getxattr(kernel, made.nodeid, ACCESS)


def test_what_cannot_get_its_acl_is_not_made(kernels: Callable[..., Kernel]) -> None:
    faults = Faults()
    kernel = kernels(layers=[faults], options=OPTIONS)
    directory = kernel.mkdir(ROOT, b"d")
    setxattr(kernel, directory, DEFAULT, acl(7, 5, 0, 7, u1000=6))
    for opcode, fields in (
        (Opcode.CREATE, (O_RDWR, S_IFREG | 0o664, 0, 0)),
        (Opcode.MKDIR, (0o755, 0)),
        (Opcode.MKNOD, (S_IFIFO | 0o600, 0, 0, 0)),
    ):
        faults.fail("setxattr", Errno.ENOSPC)
        with refused(Errno.ENOSPC):
            kernel.ask(opcode, directory, *fields, b"f")
    assert kernel.readdir(kernel.opendir(directory))[2:] == []


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\1\0\0\0",
        acl(7, 5, 0)[:-1],
        acl(7, 5, 0, u1000=6),  # no mask
        acl(8, 5, 0),
        posix_acl.pack([AclEntry(USER_OBJ, 7, NO_ID)]),
        posix_acl.pack([*posix_acl.unpack(acl(7, 5, 0)), AclEntry(0x40, 7, NO_ID)]),
    ],
)
@pytest.mark.parametrize("name", [ACCESS, DEFAULT])
def test_what_is_no_acl(kernel: Kernel, name: bytes, value: bytes) -> None:
    directory = kernel.mkdir(ROOT, b"d", 0o755)
    with refused(Errno.EINVAL):
        setxattr(kernel, directory, name, value)
    assert kernel.attr(directory).mode == S_IFDIR | 0o755


def test_a_model_without_acls_has_none(kernels: Callable[..., Kernel]) -> None:
    """EOPNOTSUPP would be the answer to each look at a permission."""
    faults = Faults()
    kernel = kernels(layers=[faults], options=OPTIONS)
    faults.fail("getxattr", Errno.EOPNOTSUPP, times=3)
    with refused(Errno.ENODATA):
        getxattr(kernel, ROOT, ACCESS)
    node = kernel.create(ROOT, b"f", 0o644).nodeid
    kernel.setattr(node, FATTR_MODE, mode=0o600)
    assert kernel.attr(node).mode == S_IFREG | 0o600


def test_ids_inside_are_shifted(kernels: Callable[..., Kernel]) -> None:
    ranges = Ranges.parse("0:100000:65536")
    kernel = kernels(layers=[IdMap(ranges, ranges)], options=OPTIONS)
    directory = kernel.mkdir(ROOT, b"d", 0o755)
    setxattr(kernel, directory, DEFAULT, acl(7, 5, 0, 7, u1000=6))
    made = kernel.create(directory, b"f", 0o660)
    assert getxattr(kernel, made.nodeid, ACCESS) == acl(6, 5, 0, 6, u1000=6)


def test_an_id_that_the_mount_cannot_name_is_inherited_as_it_is(kernels: Callable[..., Kernel]) -> None:
    """As on a mount with mapped ids of the host (posix_acl_create of fs/posix_acl.c copies kernel ids)."""
    ranges, below = Ranges.parse("0:100000:65534"), Below()
    kernel = kernels(layers=[below, IdMap(ranges, ranges)], options=OPTIONS)
    below.root.setxattr(DEFAULT, acl(7, 5, 0, 7, u12=6, u13=4, u100005=2), 0)
    shown = [entry.id for entry in posix_acl.unpack(getxattr(kernel, ROOT, DEFAULT)) if entry.tag == USER]
    assert shown == [65534, 65534, 5]
    made = kernel.create(ROOT, b"f", 0o660)
    directory = kernel.mkdir(ROOT, b"d", 0o777)
    for node in (made.nodeid, directory):
        kernel.setattr(node, FATTR_MODE, mode=0o750)
    kernel.ask(Opcode.MKNOD, ROOT, S_IFIFO | 0o622, 0, 0, 0, b"p")
    unnamed = entry_of(kernel.ask(Opcode.TMPFILE, ROOT, O_RDWR, S_IFREG | 0o600, 0, 0, b"/"))
    kernel.ask(Opcode.LINK, ROOT, unnamed.nodeid, b"u")
    assert below.root.walk(b"d").getxattr(DEFAULT) == below.root.getxattr(DEFAULT)
    for name in (b"f", b"d", b"p", b"u"):
        entries = posix_acl.unpack(below.root.walk(name).getxattr(ACCESS))
        assert [(entry.id, entry.perm) for entry in entries if entry.tag == USER] == [(12, 6), (13, 4), (100_005, 2)]
