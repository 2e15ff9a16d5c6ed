"""unlink, rename, remove, move."""

from __future__ import annotations

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.linux import Errno
from ninep.node import Changes, User
from ninep.testing.suite.tree import ScratchTree, attributes, read_all, refuses


class UnlinkTests:
    """unlink."""

    def test_a_file(self, tree: ScratchTree) -> None:
        tree.file(b"f")
        tree.root.unlink(b"f", directory=False)
        assert tree.names() == []
        with refuses(Errno.ENOENT):
            tree.root.unlink(b"f", directory=False)

    def test_a_directory(self, tree: ScratchTree) -> None:
        tree.folder(b"d")
        tree.root.unlink(b"d", directory=True)
        assert tree.names() == []
        with refuses(Errno.ENOENT):
            tree.root.unlink(b"d", directory=True)

    def test_the_wrong_kind(self, tree: ScratchTree) -> None:
        tree.file(b"f")
        tree.folder(b"d")
        with refuses(Errno.ENOTDIR):
            tree.root.unlink(b"f", directory=True)
        with refuses(Errno.EISDIR):
            tree.root.unlink(b"d", directory=False)
        assert tree.names() == [b"d", b"f"]

    def test_a_directory_with_entries(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content", within=tree.folder(b"d"))
        with refuses(Errno.ENOTEMPTY):
            tree.root.unlink(b"d", directory=True)
        assert tree.read(node) == b"content"
        tree.walk(b"d").unlink(b"f", directory=False)
        tree.root.unlink(b"d", directory=True)

    def test_a_directory_without_permissions(self, tree: ScratchTree) -> None:
        """The mode of a directory does not prevent its removal by the owner of its parent."""
        tree.folder(b"d", 0o000)
        tree.root.unlink(b"d", directory=True)
        assert tree.names() == []

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOTDIR):
            tree.file(b"f").unlink(b"x", directory=False)

    def test_made_again(self, tree: ScratchTree) -> None:
        for i in range(20):
            node = tree.file(b"same", b"%d" % i)
            assert attributes(node).nlink == 1
            tree.root.unlink(b"same", directory=False)
            tree.release(node)
        assert tree.names() == []


class RenameTests:
    """rename: rename(2)."""

    def test_a_file(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content", 0o640)
        before = attributes(node)
        tree.root.rename(b"f", tree.root, b"g")
        assert tree.names() == [b"g"]
        after = attributes(tree.walk(b"g"))
        assert after[3:8] == before[3:8]
        assert tree.read(node) == b"content"

    def test_to_another_directory(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content", within=tree.folder(b"d"))
        tree.walk(b"d").rename(b"f", tree.folder(b"e"), b"g")
        assert (tree.names(tree.walk(b"d")), tree.names(tree.walk(b"e"))) == ([], [b"g"])
        assert tree.read(node) == b"content"
        assert tree.track(node.parent()).qid.path == tree.walk(b"e").qid.path

    def test_over_a_file(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"new", 0o600)
        tree.file(b"g", b"old", 0o644)
        tree.root.rename(b"f", tree.root, b"g")
        node = tree.walk(b"g")
        assert (tree.names(), tree.read(node)) == ([b"g"], b"new")
        if tree.can.modes:
            assert attributes(node).mode & 0o777 == 0o600

    def test_onto_itself(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        folder = tree.folder(b"d")
        tree.root.rename(b"f", tree.root, b"f")
        tree.root.rename(b"d", tree.root, b"d")
        assert tree.names() == [b"d", b"f"]
        assert tree.read(node) == b"content"
        assert attributes(folder).qid_path == folder.qid.path

    def test_over_another_name_of_the_same_file(self, tree: ScratchTree) -> None:
        if not tree.can.hard_links:
            pytest.skip("the driver has no hard links")
        node = tree.file(b"f", b"content")
        tree.root.link(node, b"g")
        tree.root.rename(b"f", tree.root, b"g")
        assert tree.names() == [b"f", b"g"]
        assert attributes(node).nlink == 2
        assert tree.walk(b"f").name == b"f"

    def test_changing_only_the_case(self, tree: ScratchTree) -> None:
        node = tree.file(b"name", b"content")
        tree.root.rename(b"name", tree.root, b"NAME")
        assert tree.names() == [b"NAME"]
        assert tree.read(node) == b"content"

    def test_a_directory_with_all_below(self, tree: ScratchTree) -> None:
        inner = tree.folder(b"inner", within=tree.folder(b"d"))
        node = tree.file(b"f", b"content", within=inner)
        file = tree.opened(node)
        tree.root.rename(b"d", tree.folder(b"e"), b"moved")
        assert tree.names() == [b"e"]
        assert tree.read(tree.walk(b"e", b"moved", b"inner", b"f")) == b"content"
        # nodes walked to before stay valid, and their parent is the new one
        assert (read_all(file), tree.read(node), tree.names(inner)) == (b"content", b"content", [b"f"])
        names = []
        up = inner
        for _ in range(4):
            names.append(up.name)
            up = tree.track(up.parent())
        assert names == [b"inner", b"moved", b"e", b"/"]
        assert {entry.name: entry.qid_path for entry in tree.entries(tree.walk(b"e", b"moved"))}[b".."] == tree.walk(
            b"e"
        ).qid.path
        tree.file(b"new", within=inner)
        tree.change(node, mode=0o600)
        assert tree.names(tree.walk(b"e", b"moved", b"inner")) == [b"f", b"new"]

    def test_over_an_empty_directory(self, tree: ScratchTree) -> None:
        tree.file(b"f", within=tree.folder(b"d"))
        tree.folder(b"e")
        tree.root.rename(b"d", tree.root, b"e")
        assert tree.names() == [b"e"]
        assert tree.names(tree.walk(b"e")) == [b"f"]

    def test_what_cannot_be_replaced(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.folder(b"empty")
        tree.file(b"x", within=tree.folder(b"full"))
        for source, target, codes in (
            (b"f", b"empty", (Errno.EISDIR,)),
            (b"f", b"full", (Errno.EISDIR,)),
            (b"empty", b"f", (Errno.ENOTDIR,)),
            (b"empty", b"full", (Errno.ENOTEMPTY, Errno.EEXIST)),
        ):
            with refuses(*codes):
                tree.root.rename(source, tree.root, target)
        assert tree.names() == [b"empty", b"f", b"full"]
        assert tree.read(node) == b"content"
        assert tree.names(tree.walk(b"full")) == [b"x"]

    def test_a_directory_into_itself(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        inner = tree.folder(b"inner", within=folder)
        for target in (folder, inner):
            with refuses(Errno.EINVAL):
                tree.root.rename(b"d", target, b"x")
        assert tree.names() == [b"d"]
        assert tree.names(folder) == [b"inner"]

    def test_over_its_own_ancestor(self, tree: ScratchTree) -> None:
        inner = tree.folder(b"inner", within=tree.folder(b"d"))
        tree.file(b"f", within=inner)
        with refuses(Errno.ENOTEMPTY, Errno.EEXIST):
            tree.walk(b"d").rename(b"inner", tree.root, b"d")
        assert tree.names(tree.walk(b"d", b"inner")) == [b"f"]

    def test_what_is_not_there(self, tree: ScratchTree) -> None:
        target = tree.file(b"target", b"content")
        with refuses(Errno.ENOENT):
            tree.root.rename(b"missing", tree.root, b"target")
        with refuses(Errno.ENOTDIR):
            tree.root.rename(b"target", target, b"x")
        with refuses(Errno.ENOTDIR):
            target.rename(b"x", tree.root, b"y")
        assert tree.names() == [b"target"]
        assert tree.read(target) == b"content"

    def test_to_a_deleted_directory(self, tree: ScratchTree) -> None:
        node, folder = tree.file(b"f", b"content"), tree.folder(b"d")
        tree.root.unlink(b"d", directory=True)
        with refuses(Errno.ENOENT, Errno.ESTALE):
            tree.root.rename(b"f", folder, b"g")
        assert tree.names() == [b"f"]
        assert tree.read(node) == b"content"

    def test_to_another_driver(self, tree: ScratchTree) -> None:
        foreign = MemoryDriver().attach(User())
        node = tree.file(b"f", b"content")
        with refuses(Errno.EXDEV):
            tree.root.rename(b"f", foreign, b"g")
        with refuses(Errno.EXDEV):
            node.move(foreign, b"g")
        assert tree.names() == [b"f"]


class RemoveMoveTests:
    """remove and move: act on the node under its current name."""

    def test_removing(self, tree: ScratchTree) -> None:
        tree.file(b"f").remove()
        tree.folder(b"d").remove()
        assert tree.names() == []

    def test_removing_a_directory_with_entries(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        tree.file(b"f", within=folder)
        with refuses(Errno.ENOTEMPTY):
            folder.remove()
        assert tree.names(folder) == [b"f"]

    def test_may_remove_refuses_nothing_that_can_be_removed(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        node.check_remove()
        assert tree.names() == [b"f"]

    def test_removed_twice(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        twin = tree.track(node.clone())
        node.remove()
        with refuses(Errno.ENOENT, Errno.ESTALE):
            twin.remove()
        with refuses(Errno.ENOENT, Errno.ESTALE):
            twin.move(None, b"g")

    def test_the_root_stays(self, tree: ScratchTree) -> None:
        tree.folder(b"d")
        with refuses(Errno.EBUSY):
            tree.root.remove()
        with refuses(Errno.EBUSY):
            tree.root.move(None, b"x")
        with refuses(Errno.EBUSY):
            tree.root.move(tree.walk(b"d"), b"x")
        assert tree.names() == [b"d"]

    def test_moving_in_place(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        node.move(None, b"g")
        assert (node.name, tree.names(), tree.read(node)) == (b"g", [b"g"], b"content")
        node.move(None, b"h")
        node.setattr(Changes(size=3, by=0))
        assert tree.read(tree.walk(b"h")) == b"con"

    def test_moving_to_another_directory(self, tree: ScratchTree) -> None:
        node, folder = tree.file(b"f", b"content"), tree.folder(b"d")
        node.move(folder, b"g")
        assert (tree.names(), tree.names(folder)) == ([b"d"], [b"g"])
        assert tree.track(node.parent()).qid.path == folder.qid.path
        folder.move(None, b"e")
        assert tree.read(tree.walk(b"e", b"g")) == b"content"

    def test_moving_over_what_exists(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"new")
        tree.file(b"g", b"old")
        tree.folder(b"d")
        node.move(None, b"g")
        assert tree.names() == [b"d", b"g"]
        with refuses(Errno.EISDIR):
            node.move(None, b"d")
        assert tree.read(tree.walk(b"g")) == b"new"

    @pytest.mark.parametrize("by", ["rename of the directory", "move of a clone", "move of another walk"])
    def test_every_fid_follows_a_rename(self, tree: ScratchTree, by: str) -> None:
        """Linux renames a file through one fid (9P2000.u) and later removes it through another."""
        node = tree.file(b"f", b"content")
        if by.startswith("rename"):
            tree.root.rename(b"f", tree.root, b"g")
        else:
            other = tree.track(node.clone()) if by.endswith("clone") else tree.walk(b"f")
            other.move(None, b"g")
        tree.file(b"f", b"not this one")
        assert node.name == b"g"
        assert tree.read(node) == b"content"
        node.move(None, b"h")
        assert tree.names() == [b"f", b"h"]
        node.remove()
        assert tree.names() == [b"f"]

    def test_a_file_below_a_renamed_directory(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content", within=tree.folder(b"d"))
        tree.root.rename(b"d", tree.root, b"e")
        tree.file(b"f", b"not this one", within=tree.folder(b"d"))
        node.remove()
        assert (tree.names(tree.walk(b"d")), tree.names(tree.walk(b"e"))) == ([b"f"], [])
