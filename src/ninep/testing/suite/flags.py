"""rename with flags of renameat2(2); files without a name (open(2), O_TMPFILE)."""

from __future__ import annotations

import pytest

from ninep.linux import O_RDWR, O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE, S_IFREG, Errno
from ninep.node import Changes
from ninep.testing.suite.tree import GID, UID, ScratchTree, attributes, mode_of, read_all, refuses


class RenameFlagTests:
    """rename with flags."""

    def test_unknown_flags(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"one")
        tree.file(b"g", b"two")
        for flags in (RENAME_EXCHANGE | RENAME_NOREPLACE, 1 << 10):
            with refuses(Errno.EINVAL):
                tree.root.rename(b"f", tree.root, b"g", flags)
        assert tree.read(tree.walk(b"g")) == b"two"

    def test_without_replacing(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"one", 0o640)
        other = tree.file(b"g", b"two", 0o600)
        folder = tree.folder(b"d")
        if not tree.can.no_replace:
            with refuses(Errno.EINVAL):
                tree.root.rename(b"f", folder, b"new", RENAME_NOREPLACE)
            return
        for name in (b"g", b"d", b"f"):
            with refuses(Errno.EEXIST):
                tree.root.rename(b"f", tree.root, name, RENAME_NOREPLACE)
        assert tree.names() == [b"d", b"f", b"g"]
        assert tree.read(other) == b"two"
        before = attributes(node)
        tree.root.rename(b"f", folder, b"new", RENAME_NOREPLACE)
        assert (tree.names(), tree.names(folder)) == ([b"d", b"g"], [b"new"])
        assert attributes(tree.walk(b"d", b"new"))[3:8] == before[3:8]
        assert (node.name, tree.track(node.parent()).qid.path) == (b"new", folder.qid.path)
        with refuses(Errno.ENOENT):
            tree.root.rename(b"f", tree.root, b"x", RENAME_NOREPLACE)

    def test_exchange(self, tree: ScratchTree) -> None:
        one, two = tree.file(b"f", b"one", 0o640), tree.file(b"g", b"two", 0o600, within=tree.folder(b"d"))
        if tree.can.owners == "kept":
            tree.change(two, uid=7, gid=8)
        if not tree.can.exchange:
            with refuses(Errno.EINVAL):
                tree.root.rename(b"f", tree.walk(b"d"), b"g", RENAME_EXCHANGE)
            assert (tree.read(tree.walk(b"f")), tree.read(tree.walk(b"d", b"g"))) == (b"one", b"two")
            return
        before = attributes(one), attributes(two)
        tree.root.rename(b"f", tree.walk(b"d"), b"g", RENAME_EXCHANGE)
        after = attributes(tree.walk(b"d", b"g")), attributes(tree.walk(b"f"))
        assert [a[3:8] for a in after] == [a[3:8] for a in before]
        assert (one.name, two.name) == (b"g", b"f")
        assert tree.track(one.parent()).qid.path == tree.walk(b"d").qid.path
        assert tree.track(two.parent()).qid.path == tree.root.qid.path
        # what was held follows its own file from now on
        tree.root.unlink(b"f", directory=False)
        assert (attributes(two).nlink, tree.read(one)) == (0, b"one")
        tree.walk(b"d").rename(b"g", tree.root, b"h")
        assert one.name == b"h"

    def test_exchange_of_a_file_and_a_directory(self, tree: ScratchTree) -> None:
        if not tree.can.exchange:
            pytest.skip("the driver exchanges no entries")
        inner = tree.file(b"inner", b"content", within=tree.folder(b"d"))
        tree.file(b"f", b"one")
        links = attributes(tree.root).nlink, attributes(tree.folder(b"e")).nlink
        tree.root.rename(b"f", tree.walk(b"e"), b"g")
        tree.walk(b"e").rename(b"g", tree.root, b"d", RENAME_EXCHANGE)
        assert tree.read(tree.walk(b"d")) == b"one"
        assert tree.names(tree.walk(b"e", b"g")) == [b"inner"]
        assert tree.read(inner) == b"content"
        if links[0] > 2:  # where directories are counted at all
            assert (attributes(tree.root).nlink, attributes(tree.walk(b"e")).nlink) == (links[0], links[1] + 1)

    def test_exchange_needs_both(self, tree: ScratchTree) -> None:
        if not tree.can.exchange:
            pytest.skip("the driver exchanges no entries")
        node = tree.file(b"f", b"one", within=tree.folder(b"d"))
        for names in ((b"d", b"missing"), (b"missing", b"d")):
            with refuses(Errno.ENOENT):
                tree.root.rename(names[0], tree.root, names[1], RENAME_EXCHANGE)
        with refuses(Errno.EINVAL, Errno.ENOTEMPTY):
            tree.root.rename(b"d", tree.walk(b"d"), b"f", RENAME_EXCHANGE)
        with refuses(Errno.EINVAL, Errno.ENOTEMPTY):
            tree.walk(b"d").rename(b"f", tree.root, b"d", RENAME_EXCHANGE)
        assert tree.read(node) == b"one"
        assert tree.read(tree.walk(b"d", b"f")) == b"one"

    def test_exchange_of_two_names_of_one_file(self, tree: ScratchTree) -> None:
        if not tree.can.exchange or not tree.can.hard_links:
            pytest.skip("the driver exchanges no entries, or has no hard links")
        node = tree.file(b"f", b"content")
        tree.root.link(node, b"g")
        tree.root.rename(b"f", tree.root, b"g", RENAME_EXCHANGE)
        assert tree.names() == [b"f", b"g"]
        assert tree.read(node) == tree.read(tree.walk(b"g")) == b"content"


class UnnamedTests:
    """tmpfile."""

    def test_what_is_not_supported(self, tree: ScratchTree) -> None:
        if tree.can.unnamed:
            pytest.skip("the driver has files without a name")
        with refuses(Errno.EOPNOTSUPP):
            tree.root.tmpfile(O_RDWR, 0o644, UID, GID)
        assert tree.names() == []

    def test_a_file_without_a_name(self, tree: ScratchTree) -> None:
        if not tree.can.unnamed:
            pytest.skip("the driver has no files without a name")
        node, file = tree.root.tmpfile(O_RDWR, 0o640, UID, GID)
        tree.track(node)
        assert file.write(0, b"content", 0) == 7
        assert read_all(file) == b"content"
        a = attributes(node)
        assert (a.nlink, a.size) == (0, 7)
        assert tree.names() == []
        if tree.can.modes:
            assert a.mode == S_IFREG | 0o640
        if tree.can.owners == "kept":
            assert (a.uid, a.gid) == (UID, GID)
        node.setattr(Changes(mode=0o600, by=0))
        file.close()
        assert attributes(node).nlink == 0

    def test_naming_it(self, tree: ScratchTree) -> None:
        if not tree.can.unnamed or not tree.can.hard_links:
            pytest.skip("the driver has no files without a name, or no hard links")
        node, file = tree.folder(b"d").tmpfile(O_WRONLY, 0o4711, UID, GID)
        tree.track(node)
        file.write(0, b"content", 0)
        tree.root.link(node, b"f")
        named = tree.walk(b"f")
        assert attributes(named)[3:8] == attributes(node)[3:8]
        assert attributes(named).nlink == 1
        file.write(7, b"!", 0)
        file.close()
        assert tree.read(named) == b"content!"
        if tree.can.modes:
            node.setattr(Changes(mode=0o600, by=0))
            assert mode_of(tree.walk(b"f")) == 0o600
        tree.root.unlink(b"f", directory=False)
        with refuses(Errno.ENOENT, Errno.ESTALE):
            tree.root.link(node, b"g")

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        if not tree.can.unnamed:
            pytest.skip("the driver has no files without a name")
        node = tree.file(b"f")
        with refuses(Errno.ENOTDIR):
            node.tmpfile(O_RDWR, 0o644, UID, GID)
