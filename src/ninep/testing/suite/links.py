"""Symbolic links, hard links, devices, FIFOs and sockets."""

from __future__ import annotations

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.linux import (
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    Errno,
)
from ninep.node import User
from ninep.testing.suite.tree import GID, UID, ScratchTree, attributes, kind_of, mode_of, owners_of, refuses

NOT_HERE = (Errno.EOPNOTSUPP, Errno.EPERM, Errno.EROFS)
TARGETS = {
    "relative": b"f",
    "up": b"../../../etc/passwd",
    "absolute": b"/etc/passwd",
    "dangling": b"no/such/thing",
    "odd": b" a\nb\\c:*?",
    "umlaut": "grün".encode(),
    "slashes": b"a//b/",
}


class SymlinkTests:
    """symlink and readlink."""

    @pytest.fixture(autouse=True)
    def _require_symlinks(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            with refuses(*NOT_HERE):
                tree.root.symlink(b"l", b"f", UID, GID)
            assert tree.names() == []
            pytest.skip("the driver has no symbolic links")

    @pytest.mark.parametrize("kind", TARGETS)
    def test_the_target_is_kept_as_it_is(self, tree: ScratchTree, kind: str) -> None:
        qid = tree.root.symlink(b"l", TARGETS[kind], UID, GID)
        link = tree.walk(b"l")
        assert link.readlink() == TARGETS[kind]
        a = attributes(link)
        assert (qid.type, qid.path) == (0x02, a.qid_path)
        assert (a.mode & S_IFMT, a.size) == (S_IFLNK, len(TARGETS[kind]))
        if tree.can.owners == "kept":
            assert (a.uid, a.gid) == ((UID, GID) if tree.can.link_owners else owners_of(tree.root))

    def test_any_bytes(self, tree: ScratchTree) -> None:
        if not tree.can.any_bytes:
            pytest.skip("the driver keeps text only")
        target = bytes(range(1, 256))
        assert tree.link(b"l", target).readlink() == target

    def test_the_longest_target(self, tree: ScratchTree) -> None:
        target = b"t" * tree.can.link_max
        assert tree.link(b"l", target).readlink() == target

    def test_over_what_exists(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.link(b"l", b"first")
        for name in (b"f", b"l"):
            with refuses(Errno.EEXIST):
                tree.root.symlink(name, b"second", UID, GID)
        assert tree.read(node) == b"content"
        assert tree.walk(b"l").readlink() == b"first"

    def test_other_files_are_no_links(self, tree: ScratchTree) -> None:
        for node in (tree.root, tree.file(b"f", b"content")):
            with refuses(Errno.EINVAL):
                node.readlink()

    def test_moving_and_removing_the_link_itself(self, tree: ScratchTree) -> None:
        target = tree.file(b"target", b"content")
        tree.link(b"l", b"target")
        tree.root.rename(b"l", tree.folder(b"d"), b"m")
        assert tree.walk(b"d", b"m").readlink() == b"target"
        tree.walk(b"d").unlink(b"m", directory=False)
        tree.link(b"dirlink", b"d")
        with refuses(Errno.ENOTDIR):
            tree.root.unlink(b"dirlink", directory=True)
        tree.walk(b"dirlink").remove()
        assert tree.names() == [b"d", b"target"]
        assert tree.read(target) == b"content"


class HardLinkTests:
    """link."""

    @pytest.fixture(autouse=True)
    def _require_links(self, tree: ScratchTree) -> None:
        if not tree.can.hard_links:
            with refuses(*NOT_HERE):
                tree.root.link(tree.file(b"f"), b"g")
            assert tree.names() == [b"f"]
            pytest.skip("the driver has no hard links")

    def test_two_names_of_one_file(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        folder = tree.folder(b"d")
        folder.link(node, b"g")
        other = tree.walk(b"d", b"g")
        assert other.qid.path == node.qid.path
        assert (attributes(node).nlink, attributes(other).nlink) == (2, 2)
        tree.rewrite(other, b"changed")
        tree.change(other, mode=0o600, mtime=0)
        assert tree.read(node) == b"changed"
        assert attributes(node)[4:] == attributes(other)[4:]

    def test_either_name_may_go(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.root.link(node, b"g")
        tree.root.unlink(b"f", directory=False)
        other = tree.walk(b"g")
        assert (tree.read(other), attributes(other).nlink) == (b"content", 1)
        if tree.can.modes:
            assert mode_of(other) == 0o644

    def test_removing_a_node_removes_the_name_it_was_walked_by(self, tree: ScratchTree) -> None:
        tree.root.link(tree.file(b"f", b"content"), b"g")
        tree.walk(b"g").remove()
        assert tree.names() == [b"f"]
        tree.root.link(tree.walk(b"f"), b"h")
        tree.walk(b"f").move(None, b"i")
        assert tree.names() == [b"h", b"i"]

    def test_over_what_exists(self, tree: ScratchTree) -> None:
        node, other = tree.file(b"f", b"content"), tree.file(b"g", b"other")
        for name in (b"f", b"g"):
            with refuses(Errno.EEXIST):
                tree.root.link(node, name)
        assert (tree.read(other), attributes(node).nlink) == (b"other", 1)

    def test_directories_have_one_name(self, tree: ScratchTree) -> None:
        with refuses(Errno.EPERM):
            tree.root.link(tree.folder(b"d"), b"e")
        assert tree.names() == [b"d"]

    def test_a_deleted_file_stays_deleted(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.opened(node)
        tree.root.unlink(b"f", directory=False)
        with refuses(Errno.ENOENT, Errno.ESTALE, Errno.EPERM):
            tree.root.link(node, b"g")
        assert tree.names() == []

    def test_a_link_to_a_link_is_to_the_link(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        target = tree.file(b"target")
        tree.root.link(tree.link(b"l", b"target"), b"m")
        assert tree.walk(b"m").readlink() == b"target"
        assert attributes(target).nlink == 1

    def test_nodes_of_another_driver(self, tree: ScratchTree) -> None:
        foreign = MemoryDriver().attach(User())
        node, file = foreign.create(b"f", O_RDWR, 0o644, 0, 0)
        file.close()
        with refuses(Errno.EXDEV):
            tree.root.link(node, b"g")
        assert tree.names() == []

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        with refuses(Errno.ENOTDIR):
            node.link(node, b"g")


SPECIAL = {
    "fifo": (S_IFIFO, 0),
    "socket": (S_IFSOCK, 0),
    "character device": (S_IFCHR, 0x0103),
    "block device": (S_IFBLK, 0x0801),
    "large numbers": (S_IFCHR, (0xABC << 8) | 0x12 | (0x345 << 20)),
}


class SpecialTests:
    """mknod, and that special files are never opened (CVE-2023-2861)."""

    @pytest.mark.parametrize("kind", SPECIAL)
    def test_special_files(self, tree: ScratchTree, kind: str) -> None:
        form, rdev = SPECIAL[kind]
        able = tree.can.devices if form in {S_IFCHR, S_IFBLK} else tree.can.fifos
        if not able:
            with refuses(*NOT_HERE):
                tree.root.mknod(b"n", form | 0o640, rdev, UID, GID)
            assert tree.names() == []
            return
        qid = tree.root.mknod(b"n", form | 0o640, rdev, UID, GID)
        node = tree.walk(b"n")
        a = attributes(node)
        assert (a.mode & S_IFMT, a.rdev, qid.type, qid.path) == (form, rdev, 0, a.qid_path)
        if tree.can.modes:
            assert mode_of(node) == 0o640
            tree.change(node, mode=S_IFREG | 0o600)
            assert attributes(node).mode == form | 0o600
        for flags in (O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK):
            with refuses(Errno.ENXIO):
                node.open(flags)
        with refuses(Errno.ENOTDIR):
            node.opendir()
        with refuses(Errno.EINVAL):
            node.readlink()
        with refuses(Errno.EEXIST):
            tree.root.mknod(b"n", form | 0o640, rdev, UID, GID)
        tree.root.rename(b"n", tree.root, b"m")
        assert attributes(tree.walk(b"m")).rdev == rdev
        tree.root.unlink(b"m", directory=False)
        assert tree.names() == []

    def test_a_regular_file(self, tree: ScratchTree) -> None:
        tree.root.mknod(b"f", S_IFREG | 0o640, 0, UID, GID)
        node = tree.walk(b"f")
        assert kind_of(node) == S_IFREG
        tree.rewrite(node, b"content")
        assert tree.read(node) == b"content"

    @pytest.mark.parametrize("form", [S_IFDIR, S_IFLNK], ids=oct)
    def test_what_has_a_verb_of_its_own(self, tree: ScratchTree, form: int) -> None:
        with refuses(Errno.EINVAL, Errno.EPERM):
            tree.root.mknod(b"n", form | 0o755, 0, UID, GID)
        assert tree.names() == []

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOTDIR):
            tree.file(b"f").mknod(b"n", S_IFREG, 0, UID, GID)
