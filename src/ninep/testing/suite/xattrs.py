"""Extended attributes and ACLs."""

from __future__ import annotations

import pytest

from ninep.linux import XATTR_CREATE, XATTR_REPLACE, Errno
from ninep.node import Node
from ninep.testing.suite.tree import ScratchTree, attributes, refuses

VALUES = {"text": b"value", "empty": b"", "binary": bytes(range(256)), "one NUL": b"\0"}
# xattr(7), acl_ea.h: version 2; user::rw- user:1234:r-- group::r-- mask::r-- other::---
ACL = bytes.fromhex(
    "02000000 01000600ffffffff 02000400d2040000 04000400ffffffff 10000400ffffffff 20000000ffffffff".replace(" ", "")
)
ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


def _user(node: Node) -> list[bytes]:
    return sorted(name for name in node.listxattr() if name.startswith(b"user."))


class XattrTests:
    """getxattr, listxattr, setxattr, removexattr."""

    @pytest.fixture(autouse=True)
    def _require_xattrs(self, tree: ScratchTree) -> None:
        if not tree.can.xattrs:
            node = tree.file(b"probe", b"content")
            with refuses(Errno.EOPNOTSUPP, Errno.EPERM, Errno.EROFS):
                node.setxattr(b"user.x", b"value", 0)
            with refuses(Errno.EOPNOTSUPP, Errno.ENODATA):
                node.getxattr(b"user.x")
            assert list(node.listxattr()) == []
            pytest.skip("the driver has no extended attributes")

    @pytest.mark.parametrize("kind", VALUES)
    def test_values(self, tree: ScratchTree, kind: str) -> None:
        for node in (tree.file(b"f"), tree.folder(b"d"), tree.root):
            node.setxattr(b"user.x", VALUES[kind], 0)
            assert bytes(node.getxattr(b"user.x")) == VALUES[kind]
            assert _user(node) == [b"user.x"]
            node.removexattr(b"user.x")

    def test_a_large_value(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        value = b"v" * tree.can.xattr_max
        node.setxattr(b"user.x", value, 0)
        node.setxattr(b"user.x", b"small", 0)
        node.setxattr(b"user.x", value, XATTR_REPLACE)
        assert bytes(node.getxattr(b"user.x")) == value

    def test_several(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        names = [b"user.%d" % i for i in range(10)]
        for name in names:
            node.setxattr(name, b"value of " + name, 0)
        assert _user(node) == names
        node.removexattr(b"user.3")
        assert _user(node) == sorted(set(names) - {b"user.3"})
        assert all(bytes(node.getxattr(name)) == b"value of " + name for name in _user(node))
        assert tree.read(node) == b"content"

    def test_create_and_replace(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        with refuses(Errno.ENODATA):
            node.setxattr(b"user.x", b"one", XATTR_REPLACE)
        assert _user(node) == []
        node.setxattr(b"user.x", b"one", XATTR_CREATE)
        with refuses(Errno.EEXIST):
            node.setxattr(b"user.x", b"two", XATTR_CREATE)
        assert bytes(node.getxattr(b"user.x")) == b"one"
        node.setxattr(b"user.x", b"two", XATTR_REPLACE)
        node.setxattr(b"user.x", b"three", 0)
        assert bytes(node.getxattr(b"user.x")) == b"three"

    def test_what_is_not_there(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        with refuses(Errno.ENODATA):
            node.getxattr(b"user.missing")
        with refuses(Errno.ENODATA):
            node.removexattr(b"user.missing")

    @pytest.mark.parametrize("name", [b"bogus.x", b"nodots", b"USER.x", b"system.unheard_of"], ids=bytes.decode)
    def test_namespaces_that_are_not_served(self, tree: ScratchTree, name: bytes) -> None:
        """Not ENODATA: clients would take that as an answer about a supported attribute."""
        node = tree.file(b"f")
        with refuses(Errno.EOPNOTSUPP):
            node.setxattr(name, b"value", 0)
        with refuses(Errno.EOPNOTSUPP):
            node.getxattr(name)
        with refuses(Errno.EOPNOTSUPP):
            node.removexattr(name)
        assert name not in node.listxattr()

    def test_all_that_is_listed_can_be_read(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        node.setxattr(b"user.x", b"value", 0)
        tree.change(node, mode=0o600)
        if tree.can.owners == "kept":
            tree.change(node, uid=5, gid=6)
        names = list(node.listxattr())
        assert len(names) == len(set(names))
        for name in names:
            node.getxattr(name)

    def test_they_go_with_the_file(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        node.setxattr(b"user.x", b"value", 0)
        tree.root.rename(b"f", tree.folder(b"d"), b"g")
        tree.rewrite(node, b"other")
        moved = tree.walk(b"d", b"g")
        assert bytes(moved.getxattr(b"user.x")) == b"value"
        tree.file(b"h")
        tree.root.rename(b"h", tree.walk(b"d"), b"g")
        assert _user(tree.walk(b"d", b"g")) == []

    def test_they_go_on_without_a_name(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.opened(node)
        node.setxattr(b"user.x", b"value", 0)
        tree.root.unlink(b"f", directory=False)
        assert bytes(node.getxattr(b"user.x")) == b"value"
        assert _user(tree.file(b"f")) == []

    def test_they_do_not_change_the_content(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        before = attributes(node)
        node.setxattr(b"user.x", b"value", 0)
        node.removexattr(b"user.x")
        after = attributes(node)
        assert (after.mode, after.size, after.mtime_sec, after.mtime_nsec) == (
            before.mode,
            before.size,
            before.mtime_sec,
            before.mtime_nsec,
        )


class AclTests:
    """system.posix_acl_access and system.posix_acl_default."""

    def test_acls(self, tree: ScratchTree) -> None:
        node, folder = tree.file(b"f", mode=0o640), tree.folder(b"d")
        if not tree.can.acls:
            for name in (ACCESS, DEFAULT):
                with refuses(Errno.EOPNOTSUPP, Errno.EPERM, Errno.EROFS):
                    folder.setxattr(name, ACL, 0)
                # any other errno makes Linux fail each look-up of the file (fs/9p/acl.c)
                with refuses(Errno.EOPNOTSUPP, Errno.ENODATA, Errno.ENOSYS):
                    folder.getxattr(name)
                assert name not in folder.listxattr()
            return
        for which, name in ((node, ACCESS), (folder, ACCESS), (folder, DEFAULT)):
            with refuses(Errno.ENODATA):
                which.getxattr(name)
            which.setxattr(name, ACL, 0)
            assert bytes(which.getxattr(name)) == ACL
            assert name in which.listxattr()
            which.removexattr(name)
            with refuses(Errno.ENODATA):
                which.getxattr(name)
