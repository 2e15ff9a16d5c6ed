"""qids: the identity of files, and the detection of changes."""

from __future__ import annotations

import pytest

from ninep.linux import O_NOATIME, O_RDONLY
from ninep.node import Qid
from ninep.testing.suite.case import eventually
from ninep.testing.suite.tree import ScratchTree, attributes, qid_of


class QidTests:
    """type, version, path."""

    def test_types(self, tree: ScratchTree) -> None:
        assert (tree.root.qid.type, tree.folder(b"d").qid.type, tree.file(b"f").qid.type) == (0x80, 0x80, 0)
        if tree.can.symlinks:
            assert tree.link(b"l", b"f").qid.type == 0x02

    def test_verbs_agree(self, tree: ScratchTree) -> None:
        made: Qid = tree.root.mkdir(b"d", 0o755, 0, 0)
        node = tree.walk(b"d")
        assert made == node.qid == qid_of(attributes(node))
        listed = next(entry for entry in tree.entries() if entry.name == b"d")
        assert listed.qid_path == made.path
        assert listed.qid_type in {made.type, 0}

    def test_paths_are_unique(self, tree: ScratchTree) -> None:
        paths = {tree.root.qid.path}
        for i in range(50):
            paths.add(tree.file(b"f%d" % i).qid.path)
            paths.add(tree.folder(b"d%d" % i).qid.path)
        assert len(paths) == 101

    def test_the_path_stays_with_the_file(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        path = node.qid.path
        tree.rewrite(node, b"other content")
        tree.change(node, mode=0o600, mtime=0)
        assert attributes(node).qid_path == path
        tree.root.rename(b"f", tree.folder(b"d"), b"g")
        assert tree.walk(b"d", b"g").qid.path == path
        if tree.can.hard_links:
            tree.root.link(node, b"h")
            assert tree.walk(b"h").qid.path == path

    def test_the_path_stays_with_a_directory(self, tree: ScratchTree) -> None:
        inner = tree.folder(b"i", within=tree.folder(b"d"))
        paths = tree.walk(b"d").qid.path, inner.qid.path
        tree.root.rename(b"d", tree.root, b"e")
        assert (tree.walk(b"e").qid.path, tree.walk(b"e", b"i").qid.path) == paths

    def test_reading_attributes_never_changes_the_version(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        version = attributes(node).qid_version
        tree.release(tree.opened(node, O_RDONLY))
        tree.read(node)
        tree.entries()
        file = tree.opened(node, O_RDONLY | O_NOATIME)
        file.read(0, 3)
        file.fsync(datasync=False)
        node.fsync()
        assert attributes(node).qid_version == version
        assert tree.walk(b"f").qid.version == version

    def test_a_moved_atime_is_no_change(self, tree: ScratchTree) -> None:
        """A read does not invalidate the caches of other readers, also if it changes atime
        (relatime changes it after a write).
        """
        node = tree.file(b"f", b"content")
        tree.change(node, atime=1_000_000_000)
        version = attributes(node).qid_version
        tree.read(node)
        assert attributes(node).qid_version == version

    @pytest.mark.parametrize("how", ["write", "truncate", "set size"])
    def test_a_change_of_content_changes_the_version(self, tree: ScratchTree, how: str) -> None:
        """Also within one second and without a change of size."""
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        version = attributes(node).qid_version

        def changed() -> bool:
            if how == "write":
                file.write(0, b"CONTENT", 0)
            elif how == "truncate":
                file.truncate(7, 0)
            else:
                tree.change(node, size=7)
            return attributes(node).qid_version != version

        assert eventually(changed)
        assert tree.walk(b"f").qid.version == attributes(node).qid_version

    def test_versions_differ_after_each_of_many_changes(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        file = tree.opened(node)
        seen = [attributes(node).qid_version]
        for i in range(10):

            def changed(i: int = i) -> bool:
                file.write(0, b"%d" % i, 0)
                return attributes(node).qid_version != seen[-1]

            assert eventually(changed)
            seen.append(attributes(node).qid_version)
        assert len(set(seen)) == 11

    def test_a_directorys_content_is_its_entries(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        for change in (
            lambda: folder.mkdir(b"x", 0o755, 0, 0),
            lambda: folder.rename(b"x", folder, b"y"),
            lambda: folder.unlink(b"y", directory=True),
        ):
            before = attributes(folder).qid_version
            change()
            extra = iter(range(100_000))

            def changed(before: int = before, extra: object = extra) -> bool:
                if attributes(folder).qid_version != before:
                    return True
                name = b"t%d" % next(extra)  # type: ignore[call-overload]
                folder.mkdir(name, 0o755, 0, 0)  # in case the clock did not advance
                folder.unlink(name, directory=True)
                return False

            assert eventually(changed)
