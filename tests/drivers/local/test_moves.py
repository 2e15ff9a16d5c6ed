"""Renames and removals, of files that clients hold among others, in each security model."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.drivers.local.conftest import ME, NEW, content, make, permissions, refused

from ninep.drivers.local import LocalNode
from ninep.linux import (
    GETATTR_BASIC,
    O_RDONLY,
    Errno,
)
from ninep.node import Changes

SECOND = 1_000_000_000


def test_an_unlinked_open_file_lives_on(root: LocalNode, folder: Path) -> None:
    node, file = (
        root.create(b"file", NEW, 0o640, 12, 13) if os.geteuid() == 0 else root.create(b"file", NEW, 0o640, *ME)
    )
    file.write(0, b"data")
    owner = node.getattr(GETATTR_BASIC)[5:7]
    root.unlink(b"file", directory=False)
    assert [name for name in os.listdir(folder) if not name.startswith(".virtfs")] == []
    attributes = node.getattr(GETATTR_BASIC)
    assert (attributes.nlink, attributes.size, attributes.mode) == (0, 4, stat.S_IFREG | 0o640)
    assert attributes[5:7] == owner
    node.setattr(Changes(size=2, mode=0o600, mtime=5 * SECOND))
    assert file.read(0, 10) == b"da"
    file.write(2, b"ta")
    file.truncate(3)
    attributes = node.getattr(GETATTR_BASIC)
    assert (attributes.size, attributes.mode & 0o777) == (3, 0o600)
    assert refused(Errno.ENOENT, root.walk, b"file")
    assert refused(Errno.ENOENT, node.remove)
    again = node.open(O_RDONLY)
    assert again.read(0, 10) == b"dat"
    again.close()
    file.close()


def test_a_new_file_of_the_same_name_is_another_one(root: LocalNode) -> None:
    old = make(root, b"file", b"old", mode=0o600)
    root.unlink(b"file", directory=False)
    new = make(root, b"file", b"new", mode=0o644)
    assert (content(old), permissions(old)) == (b"old", 0o600)
    assert (content(new), permissions(new)) == (b"new", 0o644)


def test_renamed_while_open(root: LocalNode) -> None:
    node, file = root.create(b"old", NEW, 0o644, *ME)
    root.mkdir(b"folder", 0o755, *ME)
    other = root.walk(b"folder")
    root.rename(b"old", other, b"new")
    file.write(0, b"data")
    assert (node.name, node.parent()) == (b"new", other)
    assert node.getattr(GETATTR_BASIC).size == 4
    node.setattr(Changes(mode=0o600))
    assert permissions(other.walk(b"new")) == 0o600
    assert refused(Errno.ENOENT, root.walk, b"old")
    file.close()


def test_everything_below_a_renamed_directory_follows(root: LocalNode) -> None:
    root.mkdir(b"a", 0o755, *ME)
    root.walk(b"a").mkdir(b"b", 0o755, *ME)
    deep = make(root.walk(b"a").walk(b"b"), b"file", b"deep")
    root.walk(b"a").move(None, b"z")
    for node in (deep, deep.parent_node):
        node.table.handles.drop(node)  # so that the way back is by name
    assert content(deep) == b"deep"
    assert deep.parent().parent().name == b"z"


def test_a_replaced_file_lives_on_for_who_holds_it(root: LocalNode) -> None:
    old = make(root, b"target", b"old", mode=0o600)
    new = make(root, b"source", b"new", mode=0o644)
    root.rename(b"source", root, b"target")
    assert (content(old), permissions(old), old.getattr(GETATTR_BASIC).nlink) == (b"old", 0o600, 0)
    assert (content(new), permissions(new), new.name) == (b"new", 0o644, b"target")
    assert root.walk(b"target") is new


def test_renaming_one_name_of_a_file_over_another_changes_nothing(root: LocalNode) -> None:
    one = make(root, b"one", b"same", mode=0o640)
    root.link(one, b"two")
    two = root.walk(b"two")
    root.rename(b"one", root, b"two")
    assert permissions(root.walk(b"one")) == permissions(root.walk(b"two")) == 0o640
    two.setattr(Changes(mode=0o600))
    assert permissions(one) == 0o600


def test_renames_that_fail(root: LocalNode) -> None:
    root.mkdir(b"folder", 0o700, *ME)
    inner = root.walk(b"folder")
    held = make(inner, b"inside", b"x", mode=0o640)
    make(root, b"file", b"y", mode=0o600)
    assert refused(Errno.ENOENT, root.rename, b"nothing", root, b"new")
    assert refused(Errno.EISDIR, root.rename, b"file", root, b"folder")
    assert refused(Errno.ENOTDIR, root.rename, b"folder", root, b"file")
    assert refused(Errno.EINVAL, root.rename, b"folder", inner, b"below")
    root.mkdir(b"other", 0o711, *ME)
    assert refused(Errno.ENOTEMPTY, root.rename, b"other", root, b"folder")
    assert refused(Errno.ENOENT, root.rename, b"nothing", root, b"file")
    assert [permissions(root.walk(name)) for name in (b"folder", b"other", b"file")] == [0o700, 0o711, 0o600]
    assert not any(root.walk(name).detached for name in (b"folder", b"other", b"file"))
    held.setattr(Changes(mode=0o604))
    assert permissions(inner.walk(b"inside")) == 0o604


def test_a_directory_that_clients_see_empty_can_be_replaced_and_removed(root: LocalNode) -> None:
    for name in (b"one", b"two", b"three"):
        root.mkdir(name, 0o755, *ME)
        make(root.walk(name), b"passing")
        root.walk(name).unlink(b"passing", directory=False)
    root.rename(b"one", root, b"two")
    root.unlink(b"two", directory=True)
    root.unlink(b"three", directory=True)
    assert refused(Errno.ENOENT, root.walk, b"two")


def test_removals_that_fail(root: LocalNode) -> None:
    root.mkdir(b"folder", 0o711, *ME)
    make(root.walk(b"folder"), b"inside")
    file = make(root, b"file", b"x", mode=0o640)
    assert refused(Errno.EISDIR, root.unlink, b"folder", False)
    assert refused(Errno.ENOTDIR, root.unlink, b"file", True)
    assert refused(Errno.ENOTEMPTY, root.unlink, b"folder", True)
    assert refused(Errno.ENOENT, root.unlink, b"nothing", False)
    file.setattr(Changes(mode=0o604))
    assert [permissions(root.walk(name)) for name in (b"folder", b"file")] == [0o711, 0o604]


def test_remove_knows_the_type_and_the_current_name(root: LocalNode) -> None:
    root.mkdir(b"folder", 0o755, *ME)
    directory, file = root.walk(b"folder"), make(root, b"file")
    file.move(directory, b"inside")
    file.remove()
    directory.remove()
    assert refused(Errno.ENOENT, root.walk, b"folder")


def test_remove_does_not_hit_what_took_the_name(root: LocalNode, folder: Path) -> None:
    node = make(root, b"file", b"mine")
    os.rename(folder / "file", folder / "kept")
    (folder / "file").write_bytes(b"of a host process")
    assert refused(Errno.ESTALE, node.remove)
    assert refused(Errno.ESTALE, node.move, None, b"elsewhere")
    assert (folder / "file").read_bytes() == b"of a host process"


# -- nodes -------------------------------------------------------------------------------------------------------------
