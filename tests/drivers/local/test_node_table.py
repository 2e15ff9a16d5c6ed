"""Nodes enter and leave the table; each reference to a directory is given back once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.drivers.local.node_table import IDLE_DIRECTORIES


def refs(root: LocalNode) -> tuple[int, int]:
    """Of fids in the table, and on the root (the driver's own among them)."""
    return root.table.total_refs, root.refs


def walk_and_let_go(root: LocalNode, name: bytes) -> None:
    root.walk(name).release()


def remove(root: LocalNode, name: bytes) -> None:
    node = root.walk(name)
    node.remove()
    node.release()


def rename_over(root: LocalNode, name: bytes) -> None:
    root.mkdir(b"other", 0o755, 0, 0)
    held = root.walk(name)
    root.rename(b"other", root, name)
    held.release()


@pytest.mark.parametrize("way", [remove, rename_over])
def test_an_idle_directory_that_is_removed_leaves_once(
    root: LocalNode, folder: Path, way: Callable[[LocalNode, bytes], None]
) -> None:
    """Left twice, it took the references to the root with it: the root lost its path handle, and
    the next
    attach looked for one for ever.
    """
    before = refs(root)
    for count in range(IDLE_DIRECTORIES + 5):
        name = b"%d" % count
        root.mkdir(name, 0o755, 0, 0)
        walk_and_let_go(root, name)
        way(root, name)
    root.table.drop_idle()
    if way is rename_over:  # those that took their places were not walked to
        assert len(list(folder.iterdir())) >= IDLE_DIRECTORIES + 5
    assert refs(root) == before


def test_what_is_below_a_removed_directory_leaves_once_too(root: LocalNode) -> None:
    before = refs(root)
    root.mkdir(b"a", 0o755, 0, 0)
    above = root.walk(b"a")
    above.mkdir(b"b", 0o755, 0, 0)
    below = above.walk(b"b")
    above.release()
    below.clone().release()
    below.remove()
    below.release()
    remove(root, b"a")
    root.table.drop_idle()
    assert refs(root) == before


def test_an_idle_directory_stays_until_the_last_fid_is_gone(root: LocalNode) -> None:
    root.mkdir(b"a", 0o755, 0, 0)
    walk_and_let_go(root, b"a")
    assert root.children is not None
    known = root.children[b"a"]
    assert known.path_handle is not None
    again = root.walk(b"a")
    assert again is known
    again.release()
    root.table.drop_idle()
    assert (b"a" in root.children, known.path_handle) == (False, None)


class TestThrough:
    """Directories that are known are passed through by one look each; what is not known is left to
    ``walk``.
    """

    @pytest.fixture
    def deep(self, root: LocalNode) -> LocalNode:
        """``a/b/c``, walked to and let go: it stays."""
        node = root
        for name in (b"a", b"b", b"c"):
            node.mkdir(name, 0o755, 0, 0)
            node, above = node.walk(name), node
            if above is not root:
                above.release()
        node.clone().release()
        return node

    def test_as_far_as_is_known(self, root: LocalNode, deep: LocalNode) -> None:
        before = refs(root)
        reached, qids = root.through([b"a", b"b", b"c", b"d"])
        assert reached is deep
        assert [qid.path for qid in qids] == [deep.parent_node.parent_node.path, deep.parent_node.path, deep.path]
        reached.release()
        assert refs(root) == before

    def test_qids_tell_of_changes(self, root: LocalNode, deep: LocalNode, folder: Path) -> None:
        first = root.through([b"a", b"b"])[1]
        (folder / "a" / "b" / "new").touch()
        second = root.through([b"a", b"b"])[1]
        assert second[0] == first[0]
        assert second[1].version != first[1].version
        assert second[1] == deep.parent_node.qid

    def test_nothing_is_referenced_where_it_leads_nowhere(self, root: LocalNode) -> None:
        before = refs(root)
        assert root.through([b"nothing"]) == (root, [])
        assert refs(root) == before

    @pytest.mark.parametrize("other", ["link", "directory", "nothing"])
    def test_what_the_host_put_in_the_place_is_not_passed_through(
        self, root: LocalNode, deep: LocalNode, folder: Path, other: str
    ) -> None:
        (folder / "a" / "b").rename(folder / "elsewhere")
        if other == "link":
            (folder / "a" / "b").symlink_to(folder / "elsewhere")
        elif other == "directory":
            (folder / "a" / "b" / "c").mkdir(parents=True)
        reached, qids = root.through([b"a", b"b", b"c"])
        assert reached is deep.parent_node.parent_node
        assert len(qids) == 1

    def test_a_thread_that_releases_meanwhile(
        self, root: LocalNode, deep: LocalNode, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = host.stat_at
        goal = deep

        def looking(dir: Any, name: bytes) -> Any:
            found = plain(dir, name)
            if name == goal.name_ and goal.refs:
                goal.detached = True  # so that it does not stay
                goal.release()
            return found

        monkeypatch.setattr(host, "stat_at", looking)
        monkeypatch.setattr(host, "stat_same_mount", looking)
        reached, qids = root.through([b"a", b"b", b"c"])
        assert reached is goal.parent_node
        assert len(qids) == 2
        reached.release()
