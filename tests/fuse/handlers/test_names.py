"""LOOKUP, UNLINK, RMDIR, RENAME, LINK."""

from __future__ import annotations

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, entry_of, refused

from ninep.linux import RENAME_EXCHANGE, RENAME_NOREPLACE, Errno
from ninep.wire.fuse import Opcode

BAD = {b"": Errno.ENOENT, b"a/b": Errno.ENOENT, b"x" * 256: Errno.ENAMETOOLONG}


def test_lookup_brings_the_attributes(kernel: Kernel) -> None:
    kernel.uid, kernel.gid = 1000, 100
    made = kernel.create(ROOT, b"f", 0o640)
    found = entry_of(kernel.ask(Opcode.LOOKUP, ROOT, b"f"))
    assert found.nodeid == made.nodeid
    assert (found.attr.mode, found.attr.uid, found.attr.gid) == (0o100640, 1000, 100)


def test_lookup_of_nothing(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.ENOENT):
        kernel.lookup(ROOT, b"g")
    with refused(Errno.ENOTDIR):
        kernel.lookup(made.nodeid, b"g")
    with refused(Errno.ESTALE):
        kernel.lookup(999, b"g")


@pytest.mark.parametrize(("name", "code"), [*BAD.items(), (b".", Errno.EINVAL), (b"..", Errno.EINVAL)])
def test_what_is_no_name_is_not_looked_up(kernel: Kernel, name: bytes, code: Errno) -> None:
    with refused(code):
        kernel.lookup(ROOT, name)


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize(
    ("opcode", "before", "after"),
    [
        (Opcode.MKDIR, (0o755, 0), ()),
        (Opcode.MKNOD, (0o100644, 0, 0, 0), ()),
        (Opcode.CREATE, (0o102, 0o100644, 0, 0), ()),
        (Opcode.SYMLINK, (), (b"target",)),
        (Opcode.UNLINK, (), ()),
        (Opcode.RMDIR, (), ()),
        (Opcode.RENAME, (ROOT,), (b"new",)),
        (Opcode.RENAME2, (ROOT, 0, 0), (b"new",)),
        (Opcode.LINK, (ROOT,), ()),
    ],
)
def test_what_is_no_name_makes_and_removes_nothing(
    kernel: Kernel, opcode: Opcode, before: tuple[int, ...], after: tuple[bytes, ...], name: bytes
) -> None:
    with refused(BAD[name]):
        kernel.ask(opcode, ROOT, *before, name, *after)
    assert kernel.readdir(kernel.opendir(ROOT))[2:] == []


@pytest.mark.parametrize("name", [b".", b".."])
def test_dots_are_not_made_renamed_or_removed(kernel: Kernel, name: bytes) -> None:
    with refused(Errno.EEXIST):
        kernel.mkdir(ROOT, name)
    with refused(Errno.EISDIR):
        kernel.ask(Opcode.RENAME, ROOT, ROOT, name, b"x")
    with refused(Errno.EINVAL if name == b"." else Errno.ENOTEMPTY):
        kernel.ask(Opcode.RMDIR, ROOT, name)


def test_unlink_and_rmdir(kernel: Kernel) -> None:
    kernel.create(ROOT, b"f")
    directory = kernel.mkdir(ROOT, b"d")
    kernel.create(directory, b"in")
    with refused(Errno.EISDIR):
        kernel.ask(Opcode.UNLINK, ROOT, b"d")
    with refused(Errno.ENOTDIR):
        kernel.ask(Opcode.RMDIR, ROOT, b"f")
    with refused(Errno.ENOTEMPTY):
        kernel.ask(Opcode.RMDIR, ROOT, b"d")
    kernel.ask(Opcode.UNLINK, directory, b"in")
    kernel.ask(Opcode.RMDIR, ROOT, b"d")
    kernel.ask(Opcode.UNLINK, ROOT, b"f")
    assert kernel.attr(ROOT).nlink == 2


def test_rename_keeps_the_node_id(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    directory = kernel.mkdir(ROOT, b"d")
    kernel.ask(Opcode.RENAME, ROOT, directory, b"f", b"g")
    assert kernel.lookup(directory, b"g") == made.nodeid
    with refused(Errno.ENOENT):
        kernel.lookup(ROOT, b"f")


def test_rename_replaces(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    other = kernel.create(ROOT, b"g")
    kernel.ask(Opcode.RENAME2, ROOT, ROOT, 0, 0, b"f", b"g")
    assert kernel.lookup(ROOT, b"g") == made.nodeid
    assert kernel.attr(other.nodeid).nlink == 0


def test_rename_that_replaces_nothing(kernel: Kernel) -> None:
    made, other = kernel.create(ROOT, b"f"), kernel.create(ROOT, b"g")
    with refused(Errno.EEXIST):
        kernel.ask(Opcode.RENAME2, ROOT, ROOT, RENAME_NOREPLACE, 0, b"f", b"g")
    assert (kernel.lookup(ROOT, b"f"), kernel.lookup(ROOT, b"g")) == (made.nodeid, other.nodeid)
    kernel.ask(Opcode.RENAME2, ROOT, ROOT, RENAME_NOREPLACE, 0, b"f", b"h")
    assert kernel.lookup(ROOT, b"h") == made.nodeid


def test_rename_that_exchanges(kernel: Kernel) -> None:
    made, directory = kernel.create(ROOT, b"f"), kernel.mkdir(ROOT, b"d")
    kernel.ask(Opcode.RENAME2, ROOT, ROOT, RENAME_EXCHANGE, 0, b"f", b"d")
    assert (kernel.lookup(ROOT, b"d"), kernel.lookup(ROOT, b"f")) == (made.nodeid, directory)
    with refused(Errno.ENOENT):
        kernel.ask(Opcode.RENAME2, ROOT, ROOT, RENAME_EXCHANGE, 0, b"f", b"missing")


@pytest.mark.parametrize("flags", [3, 4, 8])
def test_other_flags_of_rename_are_refused_and_nothing_is_renamed(kernel: Kernel, flags: int) -> None:
    """Both at once, RENAME_WHITEOUT, and one that there is not."""
    made = kernel.create(ROOT, b"f")
    with refused(Errno.EINVAL):
        kernel.ask(Opcode.RENAME2, ROOT, ROOT, flags, 0, b"f", b"g")
    assert kernel.lookup(ROOT, b"f") == made.nodeid


def test_link_needs_a_node_and_a_free_name(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.EEXIST):
        kernel.ask(Opcode.LINK, ROOT, made.nodeid, b"f")
    with refused(Errno.ESTALE):
        kernel.ask(Opcode.LINK, ROOT, 999, b"g")
