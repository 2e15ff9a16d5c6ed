"""References: releasing, cloning or closing one never affects the others."""

from __future__ import annotations

from ninep.linux import GETATTR_BASIC, O_RDWR, Errno
from ninep.testing.suite.tree import ScratchTree, attributes, read_all, read_entries, refuses


class LifeTests:
    """clone, release, parent, name, close."""

    def test_a_clone_outlives_its_original(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"content")
        original = tree.walk(b"f")
        clone = tree.track(original.clone())
        tree.release(original)
        assert tree.read(clone) == b"content"

    def test_the_original_outlives_a_clone(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        clone = node.clone()
        assert clone.qid.path == node.qid.path
        clone.release()
        assert tree.read(node) == b"content"

    def test_a_child_outlives_its_parents_release(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"content", within=tree.folder(b"inner", within=tree.folder(b"outer")))
        outer = tree.root.walk(b"outer")
        inner = outer.walk(b"inner")
        outer.release()
        node = tree.track(inner.walk(b"f"))
        inner.release()
        assert tree.read(node) == b"content"
        up = tree.track(node.parent())
        assert up.name == b"inner"
        assert tree.track(up.parent()).name == b"outer"

    def test_an_open_file_outlives_its_node(self, tree: ScratchTree) -> None:
        node, file = tree.root.create(b"f", O_RDWR, 0o644, 0, 0)
        node.release()
        assert file.write(0, b"content", 0) == 7
        assert read_all(file) == b"content"
        file.close()

    def test_an_open_directory_outlives_its_node(self, tree: ScratchTree) -> None:
        tree.file(b"f", within=tree.folder(b"d"))
        node = tree.root.walk(b"d")
        listing = tree.track(node.opendir())
        node.release()
        assert sorted(entry.name for entry in read_entries(listing)) == [b".", b"..", b"f"]

    def test_two_walks_lead_to_one_file(self, tree: ScratchTree) -> None:
        tree.file(b"f")
        one, two = tree.walk(b"f"), tree.walk(b"f")
        assert one.qid.path == two.qid.path
        tree.rewrite(one, b"through the first")
        tree.release(one)
        assert tree.read(two) == b"through the first"

    def test_a_look_up_is_a_walk_and_the_attributes_there(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"content")
        for _ in range(2):  # the second time it is known
            node, attributes = tree.root.look_up(b"f", GETATTR_BASIC)
            assert attributes == tree.track(node).getattr(GETATTR_BASIC)
            assert node.qid == tree.walk(b"f").qid
        with refuses(Errno.ENOENT):
            tree.root.look_up(b"missing", GETATTR_BASIC)

    def test_nothing_is_used_up_by_walking(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"content", within=tree.folder(b"d"))
        for _ in range(3000):
            folder = tree.root.walk(b"d")
            node = folder.walk(b"f")
            folder.release()
            node.release()
        assert tree.read(tree.walk(b"d", b"f")) == b"content"

    def test_nothing_is_used_up_by_opening(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        for _ in range(3000):
            node.open(O_RDWR).close()
            tree.root.opendir().close()
        assert tree.read(node) == b"content"

    def test_nothing_is_used_up_by_failing(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        for verb in (
            lambda: tree.root.walk(b"missing"),
            lambda: node.walk(b"x"),
            lambda: tree.root.open(O_RDWR),
            node.opendir,
            lambda: tree.root.create(b"f", O_RDWR | 0o200, 0o644, 0, 0),
            lambda: tree.root.rename(b"missing", tree.root, b"x"),
            lambda: tree.root.link(tree.root, b"x"),
        ):
            for _ in range(500):
                try:
                    verb()
                except OSError:
                    continue
                raise AssertionError("not refused")
        assert tree.read(node) == b"content"
        assert tree.names() == [b"f"]


class ParentTests:
    """The parent, and names."""

    def test_the_root_is_its_own_parent(self, tree: ScratchTree) -> None:
        up = tree.track(tree.root.parent())
        assert up.qid.path == tree.root.qid.path
        assert up.name == b"/"

    def test_the_way_up(self, tree: ScratchTree) -> None:
        tree.folder(b"c", within=tree.folder(b"b", within=tree.folder(b"a")))
        node = tree.walk(b"a", b"b", b"c")
        names, paths = [node.name], [node.qid.path]
        for _ in range(3):
            node = tree.track(node.parent())
            names.append(node.name)
            paths.append(node.qid.path)
        assert names == [b"c", b"b", b"a", b"/"]
        assert paths[1:] == [attributes(tree.walk(*names)).qid_path for names in ([b"a", b"b"], [b"a"], [])]

    def test_the_parent_of_a_file(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        node = tree.file(b"f", within=folder)
        up = tree.track(node.parent())
        assert up.qid.path == folder.qid.path
        assert tree.names(up) == [b"f"]
