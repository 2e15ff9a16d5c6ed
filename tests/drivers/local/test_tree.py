"""Nodes enter and leave the tree; each claim on a directory is given back once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ninep.drivers.local import LocalNode
from ninep.drivers.local.tree import LINGERING


def claims(root: LocalNode) -> tuple[int, int]:
    """Of fids in the tree, and on the root (the driver's own among them)."""
    return root.tree.claimed, root.claims


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
def test_a_directory_that_lingers_and_is_removed_leaves_once(
    root: LocalNode, folder: Path, way: Callable[[LocalNode, bytes], None]
) -> None:
    """Left twice, it took the root's claims with it: the root lost its pin, and the next attach looked for one for ever."""
    before = claims(root)
    for count in range(LINGERING + 5):
        name = b"%d" % count
        root.mkdir(name, 0o755, 0, 0)
        walk_and_let_go(root, name)
        way(root, name)
    root.tree.settle()
    if way is rename_over:  # those that took their places were not walked to
        assert len(list(folder.iterdir())) >= LINGERING + 5
    assert claims(root) == before


def test_what_is_below_a_removed_directory_leaves_once_too(root: LocalNode) -> None:
    before = claims(root)
    root.mkdir(b"a", 0o755, 0, 0)
    above = root.walk(b"a")
    above.mkdir(b"b", 0o755, 0, 0)
    below = above.walk(b"b")
    above.release()
    below.clone().release()
    below.remove()
    below.release()
    remove(root, b"a")
    root.tree.settle()
    assert claims(root) == before


def test_a_directory_lingers_until_the_last_fid_is_gone(root: LocalNode) -> None:
    root.mkdir(b"a", 0o755, 0, 0)
    walk_and_let_go(root, b"a")
    assert root.children is not None
    known = root.children[b"a"]
    assert known.pin is not None
    again = root.walk(b"a")
    assert again is known
    again.release()
    root.tree.settle()
    assert (b"a" in root.children, known.pin) == (False, None)
