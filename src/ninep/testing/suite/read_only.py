"""Read-only drivers: every change is refused, and everything stays unchanged.

The tree is the one made by ``populate``: a file ``f`` with ``content``, a directory ``d`` with a
file ``g`` in it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ninep.linux import O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, RENAME_EXCHANGE, S_IFIFO, S_IFREG, Errno
from ninep.node import Changes, Node
from ninep.testing.suite.capabilities import Capabilities
from ninep.testing.suite.case import Suite
from ninep.testing.suite.tree import ScratchTree, attributes, in_buffers, read_all, refuses

SAYS_NO = (Errno.EROFS, Errno.EPERM, Errno.EOPNOTSUPP)


def populate(root: Node) -> None:
    """Make the tree that the read-only tests expect, through a writable root."""
    tree = ScratchTree(root, Capabilities())
    tree.file(b"f", b"content")
    tree.file(b"g", b"inner", within=tree.folder(b"d"))
    tree.finish()


MUTATIONS: dict[str, Callable[[ScratchTree, Node], object]] = {
    "create": lambda tree, _: tree.root.create(b"new", O_RDWR, 0o644, 0, 0),
    "create of what exists, truncating": lambda tree, _: tree.root.create(b"f", O_RDWR | O_TRUNC, 0o644, 0, 0),
    "mkdir": lambda tree, _: tree.root.mkdir(b"new", 0o755, 0, 0),
    "symlink": lambda tree, _: tree.root.symlink(b"new", b"f", 0, 0),
    "mknod": lambda tree, _: tree.root.mknod(b"new", S_IFIFO | 0o644, 0, 0, 0),
    "mknod of a file": lambda tree, _: tree.root.mknod(b"new", S_IFREG | 0o644, 0, 0, 0),
    "link": lambda tree, file: tree.root.link(file, b"new"),
    "unlink": lambda tree, _: tree.root.unlink(b"f", directory=False),
    "unlink of a directory": lambda tree, _: tree.root.unlink(b"d", directory=True),
    "tmpfile": lambda tree, _: tree.root.tmpfile(O_RDWR, 0o644, 0, 0),
    "rename": lambda tree, _: tree.root.rename(b"f", tree.root, b"new"),
    "rename, exchanging": lambda tree, _: tree.root.rename(b"f", tree.root, b"d", RENAME_EXCHANGE),
    "remove": lambda _, file: file.remove(),
    "check_remove": lambda _, file: file.check_remove(),
    "move": lambda _, file: file.move(None, b"new"),
    "open to write": lambda _, file: file.open(O_WRONLY),
    "open to read and write": lambda _, file: file.open(O_RDWR),
    "open to append": lambda _, file: file.open(O_WRONLY | O_APPEND),
    "open truncating": lambda _, file: file.open(O_RDONLY | O_TRUNC),
    "open creating and truncating": lambda _, file: file.open(O_RDWR | O_CREAT | O_TRUNC),
    "chmod": lambda _, file: file.setattr(Changes(mode=0o600)),
    "chown": lambda _, file: file.setattr(Changes(uid=1, gid=1)),
    "truncate": lambda _, file: file.setattr(Changes(size=0)),
    "utimes": lambda _, file: file.setattr(Changes(atime=0, mtime=0)),
    "touch": lambda _, file: file.setattr(Changes(touch=True)),
    "setxattr": lambda _, file: file.setxattr(b"user.x", b"value", 0),
    "removexattr": lambda _, file: file.removexattr(b"user.x"),
}


class ReadOnlySuite(Suite):
    """For drivers and layers that change nothing. ``root`` yields the tree that
    ``populate`` makes.
    """

    @pytest.mark.parametrize("mutation", MUTATIONS)
    def test_nothing_is_changed(self, tree: ScratchTree, mutation: str) -> None:
        file = tree.walk(b"f")
        before = [attributes(node) for node in (tree.root, file, tree.walk(b"d"))]
        with refuses(*SAYS_NO):
            MUTATIONS[mutation](tree, file)
        assert [attributes(node) for node in (tree.root, file, tree.walk(b"d"))] == before
        assert tree.names() == [b"d", b"f"]
        assert tree.read(file) == b"content"

    def test_files_are_read(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.walk(b"d", b"g"), O_RDONLY)
        assert read_all(file) == b"inner"
        with refuses(Errno.EBADF, *SAYS_NO):
            file.write(0, b"x", 0)
        with refuses(Errno.EBADF, *SAYS_NO):
            file.write_from(0, in_buffers(b"x", (1,))[1], 0)
        with refuses(Errno.EBADF, Errno.EINVAL, *SAYS_NO):
            file.truncate(0, 0)
        with refuses(Errno.EBADF, *SAYS_NO):
            file.allocate(0, 0, 100_000, 0)
        with refuses(Errno.EBADF, *SAYS_NO):
            file.copy_file_range(0, file, 100, 5, 0)

    def test_directories_are_listed(self, tree: ScratchTree) -> None:
        assert tree.names(tree.walk(b"d")) == [b"g"]

    def test_what_is_not_there(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOENT):
            tree.root.walk(b"new")

    def test_what_is_reached_is_read_only_as_well(self, tree: ScratchTree) -> None:
        for node in (tree.walk(b"d"), tree.track(tree.walk(b"d", b"g").parent()), tree.track(tree.walk(b"d").clone())):
            with refuses(*SAYS_NO):
                node.mkdir(b"new", 0o755, 0, 0)
            with refuses(*SAYS_NO):
                node.unlink(b"g", directory=False)
        assert tree.names(tree.walk(b"d")) == [b"g"]
