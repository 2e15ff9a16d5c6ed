"""MKNOD, MKDIR, SYMLINK, CREATE, TMPFILE."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, entry_of, refused

from ninep.drivers.memory import MemoryDriver
from ninep.layers.id_map import IdMap, Ranges, Squash, peer_ids
from ninep.layers.read_only import read_only
from ninep.linux import O_RDONLY, O_RDWR, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, S_ISGID, Errno
from ninep.node import User
from ninep.server.exports import Export
from ninep.testing.audit import Audit
from ninep.transport.peers import Peer
from ninep.wire.fuse import FATTR_MODE, Opcode


def owners(kernel: Kernel, node: int) -> tuple[int, int]:
    attr = kernel.attr(node)
    return attr.uid, attr.gid


def made_each_way(kernel: Kernel) -> list[int]:
    """A file, a directory, a link and a FIFO."""
    return [
        kernel.create(ROOT, b"file").nodeid,
        kernel.mkdir(ROOT, b"directory"),
        entry_of(kernel.ask(Opcode.SYMLINK, ROOT, b"link", b"target")).nodeid,
        entry_of(kernel.ask(Opcode.MKNOD, ROOT, S_IFIFO | 0o600, 0, 0, 0, b"fifo")).nodeid,
    ]


def test_the_request_says_who_owns_what_is_made(kernel: Kernel) -> None:
    kernel.uid, kernel.gid = 1000, 100
    nodes = made_each_way(kernel)
    assert [owners(kernel, node) for node in nodes] == [(1000, 100)] * 4
    kernel.uid = kernel.gid = 0
    assert owners(kernel, kernel.mkdir(ROOT, b"root's")) == (0, 0)


def test_types_and_permissions(kernel: Kernel) -> None:
    modes = [kernel.attr(node).mode for node in made_each_way(kernel)]
    assert modes == [S_IFREG | 0o644, S_IFDIR | 0o755, S_IFLNK | 0o777, S_IFIFO | 0o600]
    device = entry_of(kernel.ask(Opcode.MKNOD, ROOT, S_IFCHR | 0o600, 0x12305, 0, 0, b"device")).attr
    assert (device.mode, device.rdev) == (S_IFCHR | 0o600, 0x12305)
    plain = entry_of(kernel.ask(Opcode.MKNOD, ROOT, S_IFREG | 0o600, 99, 0, 0, b"plain")).attr
    assert (plain.mode, plain.rdev) == (S_IFREG | 0o600, 0)


def test_no_directory_or_link_by_mknod(kernel: Kernel) -> None:
    for kind in (S_IFDIR, S_IFLNK, 0o170000):
        with refused(Errno.EINVAL):
            kernel.ask(Opcode.MKNOD, ROOT, kind | 0o700, 0, 0, 0, b"x")


def test_a_directory_with_sgid_gives_its_group(kernel: Kernel) -> None:
    kernel.gid = 100
    directory = kernel.mkdir(ROOT, b"d", 0o755)
    kernel.setattr(directory, FATTR_MODE, mode=0o2755)
    kernel.gid = 200
    below = kernel.mkdir(directory, b"d")
    assert (kernel.attr(below).gid, kernel.attr(below).mode) == (100, S_IFDIR | S_ISGID | 0o755)
    made = kernel.create(directory, b"f")
    assert (kernel.attr(made.nodeid).gid, kernel.attr(made.nodeid).mode) == (100, S_IFREG | 0o644)


def test_symbolic_links(kernel: Kernel) -> None:
    made = entry_of(kernel.ask(Opcode.SYMLINK, ROOT, b"link", b"../a/target"))
    assert kernel.ask(Opcode.READLINK, made.nodeid) == b"../a/target"
    for target, code in ((b"", Errno.ENOENT), (b"x" * 4096, Errno.ENAMETOOLONG)):
        with refused(code):
            kernel.ask(Opcode.SYMLINK, ROOT, b"other", target)
    with refused(Errno.EINVAL):
        kernel.ask(Opcode.READLINK, ROOT)


def test_a_file_that_another_made_meanwhile_is_looked_up_again(kernel: Kernel) -> None:
    """The kernel asks for CREATE only where it found no file, and checks no permissions then."""
    kernel.create(ROOT, b"f", 0o600)
    with refused(Errno.ESTALE):
        kernel.create(ROOT, b"f")
    with refused(Errno.EEXIST):
        kernel.create(ROOT, b"f", flags=0o302)  # O_EXCL


def test_a_file_without_a_name(kernel: Kernel) -> None:
    kernel.uid, kernel.gid = 1000, 100
    made = entry_of(kernel.ask(Opcode.TMPFILE, ROOT, O_RDWR, S_IFREG | 0o640, 0, 0, b"/"))
    assert (made.attr.mode, made.attr.nlink, made.attr.uid, made.attr.gid) == (S_IFREG | 0o640, 0, 1000, 100)
    assert kernel.write(made.fh, b"data") == 4
    assert kernel.readdir(kernel.opendir(ROOT))[2:] == []
    named = entry_of(kernel.ask(Opcode.LINK, ROOT, made.nodeid, b"f"))
    assert (named.nodeid, named.attr.nlink) == (made.nodeid, 1)
    assert kernel.read(kernel.open(kernel.lookup(ROOT, b"f"))) == b"data"


def test_a_file_without_a_name_goes_with_its_last_reference(kernel: Kernel) -> None:
    made = entry_of(kernel.ask(Opcode.TMPFILE, ROOT, O_RDWR, S_IFREG | 0o600, 0, 0, b"/"))
    free = int.from_bytes(kernel.ask(Opcode.STATFS, ROOT)[8:16], "little")
    kernel.write(made.fh, bytes(1 << 16))
    kernel.release(made.fh)
    kernel.forget(made.nodeid)
    assert int.from_bytes(kernel.ask(Opcode.STATFS, ROOT)[8:16], "little") == free


def test_a_file_without_a_name_is_for_writing(kernel: Kernel) -> None:
    with refused(Errno.EINVAL):
        kernel.ask(Opcode.TMPFILE, ROOT, O_RDONLY, S_IFREG | 0o600, 0, 0, b"/")


def test_access_mode_three(kernel: Kernel) -> None:
    with refused(Errno.EINVAL):
        kernel.create(ROOT, b"f", flags=0o103)


# -- layers ------------------------------------------------------------------------------------------------------------


def test_root_is_squashed_and_others_are_not(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[Squash(99, 98, root_only=True)])
    assert {owners(kernel, node) for node in made_each_way(kernel)} == {(99, 98)}
    kernel.uid = kernel.gid = 7
    assert owners(kernel, kernel.mkdir(ROOT, b"theirs")) == (7, 7)


def test_all_are_squashed(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[Squash(99, 98)])
    kernel.uid = kernel.gid = 7
    assert {owners(kernel, node) for node in made_each_way(kernel)} == {(99, 98)}


def test_ids_are_shifted(kernels: Callable[..., Kernel]) -> None:
    driver = MemoryDriver(clock=lambda: 0)
    ranges = Ranges.parse("0:100000:65536")
    kernel = kernels(driver, [IdMap(ranges, ranges)])
    kernel.uid, kernel.gid = 5, 6
    node = kernel.mkdir(ROOT, b"d")
    assert owners(kernel, node) == (5, 6)
    root = driver.attach(User())
    made = root.walk(b"d")
    assert (made.getattr(0).uid, made.getattr(0).gid) == (100005, 100006)
    made.release()
    root.release()


def test_every_user_is_the_peer(kernels: Callable[..., Kernel]) -> None:
    audit = Audit()
    export = Export("", MemoryDriver(clock=lambda: 0), [peer_ids, audit], trusting=False)
    kernel = Kernel(export=export)
    kernel.dispatcher.meet(Peer("qemu", uid=1234, gid=1235))
    kernel.init()
    kernel.uid, kernel.gid = 0, 5
    assert owners(kernel, kernel.mkdir(ROOT, b"d")) == (1234, 5)
    kernel.end()
    audit.check()


def test_a_read_only_export_refuses_every_change(kernels: Callable[..., Kernel]) -> None:
    kernel = kernels(layers=[read_only])
    requests = [
        (Opcode.CREATE, 0o102, 0o100644, 0, 0, b"f"),
        (Opcode.MKDIR, 0o755, 0, b"d"),
        (Opcode.MKNOD, 0o100644, 0, 0, 0, b"f"),
        (Opcode.SYMLINK, b"l", b"t"),
        (Opcode.LINK, ROOT, b"l"),
        (Opcode.UNLINK, b"f"),
        (Opcode.RMDIR, b"d"),
        (Opcode.RENAME, ROOT, b"f", b"g"),
        (Opcode.SETXATTR, 1, 0, b"user.a", b"v"),
        (Opcode.REMOVEXATTR, b"user.a"),
        (Opcode.SETATTR, FATTR_MODE, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0o700, 0, 0, 0, 0),
    ]
    for opcode, *fields in requests:
        with refused(Errno.EROFS):
            kernel.ask(opcode, ROOT, *fields)
    assert kernel.readdir(kernel.opendir(ROOT))[2:] == []


@pytest.mark.parametrize("uid", [0, 1000])
def test_what_is_made_and_cannot_be_shown_is_an_error_and_no_leak(kernels: Callable[..., Kernel], uid: int) -> None:
    from ninep.testing.faults import Faults

    faults = Faults()
    kernel = kernels(layers=[faults])
    kernel.uid = uid
    faults.fail("getattr", Errno.EIO, at=2)  # the first is for the group of the directory
    with refused(Errno.EIO):
        kernel.create(ROOT, b"f")
    assert kernel.lookup(ROOT, b"f") > ROOT
