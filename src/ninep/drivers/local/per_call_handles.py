"""Path handles that live no longer than a call, for hosts where an open handle hinders the renaming
of the directories above it.

Without handles that are kept, each request would open its way down from the root, and a client that
walks one name at a time the whole way again for each. So a directory is opened by its file id,
where the host and its volume can, and anything else by its name in one: the depth of a node costs
nothing. What is opened counts only if it is the same object (``is_still``). A walk of several names
keeps the handles on its way until it ends, and opens each name once.

Where files cannot be opened by id (FAT, network shares), the way is opened by names from the root
as ever, but for the names of one walk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ninep import host
from ninep.drivers.local.handle_cache import HandleCache, is_same_object, self_closing
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle
from ninep.linux import DT_DIR, Errno

if TYPE_CHECKING:
    from ninep.drivers.local.node import LocalNode

_OTHERS: Final = (
    400  # handles left for sockets, open files of other drivers and Python itself (QEMU 9p.c v9fs_set_fd_limit)
)
_MOST: Final = 1 << 17  # each keeps an inode in the kernel's memory, about a KiB that nobody else can have
_NOT_BY_ID: Final = frozenset({Errno.EOPNOTSUPP, Errno.ENOENT, Errno.ESTALE, Errno.EINVAL})
"""A way by id that leads nowhere; the names on the way may."""


class _Walk(threading.local):
    nodes: list[LocalNode] | None = None


class PerCallHandles(HandleCache):
    """No node keeps a path handle but the root and what has no name any more, and those on a walk's
    way until it ends.

    A directory comes back by its file id where the host can open by that, so that the depth of a
    node costs nothing; what is no directory by its name in one.
    """

    def __init__(self, budget: int) -> None:
        super().__init__(budget)
        self._walk = _Walk()

    def store(self, node: LocalNode, path_handle: Handle) -> None:
        if node.parent_node is node:
            super().store(node, path_handle)
        elif self._walk.nodes is not None:
            super().store(node, path_handle)
            self._walk.nodes.append(node)

    @contextmanager
    def kept_meanwhile(self) -> Iterator[None]:
        kept = self._walk.nodes = []
        try:
            yield
        finally:
            self._walk.nodes = None
            with self.lock:
                for node in kept:
                    if not node.detached:
                        self.drop(node)

    def _reopen(self, node: LocalNode) -> Handle | None:
        with self.lock:
            up, name = node.parent_node, node.name_
            lost = node.path_handle is None and not node.detached and up is not node and node.opened() is NO_HANDLE
        if not lost:
            return super()._reopen(node)
        try:
            if node.kind == DT_DIR:
                return self.adopt(node, self._by_id(node))
            return self.adopt(node, self._by_name(up.held(), node, name))
        except OSError as error:
            if linux_errno(error) not in _NOT_BY_ID:
                raise
        return super()._reopen(node)

    def _by_id(self, node: LocalNode) -> Handle:
        root = node.table.root.path_handle
        if root is None:
            raise Refused(Errno.EOPNOTSUPP)
        try:
            path_handle = self_closing(host.open_path_by_id(root, node.ino))
        except OSError as error:
            path_handle = self_closing(self.retry(error, host.open_path_by_id, root, node.ino))
        if not is_same_object(node, host.stat(path_handle), path_handle):
            raise Refused(Errno.ESTALE)
        return path_handle


_shared: HandleCache | None = None


def shared_handle_cache() -> HandleCache:
    """The path handles of this process: exports share them, as they share the handles."""
    global _shared  # noqa: PLW0603 - the limit is the process's own
    if _shared is None:
        limit = host.raise_handle_limit()
        _shared = new_handle_cache(min(limit - min(_OTHERS, limit // 3), _MOST))
    return _shared


def new_handle_cache(budget: int) -> HandleCache:
    """Path handles of the kind this host wants."""
    return (PerCallHandles if host.HANDLES_BLOCK_RENAME else HandleCache)(budget)
