"""Path handles that live no longer than a call, for hosts where an open handle hinders the renaming
of the directories above it.

Without handles that are kept, each request would open its way down from the root, and a client that
walks one name at a time the whole way again for each. So a directory is opened by its file id,
where the host and its volume can, and anything else by its name in one: the depth of a node costs
nothing. What is opened counts only if it is the same object (``reopening``). A walk of several
names keeps the handles on its way until it ends, and opens each name once.

Where files cannot be opened by id (FAT, network shares), the way is opened by names from the root
as ever, but for the names of one walk.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ninep import host
from ninep.drivers.local.handle_cache import CacheEntry, HandleCache
from ninep.host import Handle

_OTHERS: Final = (
    400  # handles left for sockets, open files of other drivers and Python itself (QEMU 9p.c v9fs_set_fd_limit)
)
_MAX_IDS: Final = 1 << 17  # each keeps an inode in the kernel's memory, about a KiB


class _Walk(threading.local):
    nodes: list[CacheEntry] | None = None


class PerCallHandles(HandleCache):
    """No node keeps a path handle but the root and what has no name any more, and those on a walk's
    way until it ends.

    A directory comes back by its file id where the host can open by that, so that the depth of a
    node costs nothing; what is no directory by its name in one.
    """

    per_call = True

    def __init__(self, budget: int) -> None:
        super().__init__(budget)
        self._walk = _Walk()

    def store(self, node: CacheEntry, path_handle: Handle) -> None:
        if self._walk.nodes is not None:
            super().store(node, path_handle)
            self._walk.nodes.append(node)

    @contextmanager
    def keep_handles(self) -> Iterator[None]:
        kept = self._walk.nodes = []
        try:
            yield
        finally:
            self._walk.nodes = None
            with self.lock:
                for node in kept:
                    if not node.detached:
                        self.drop(node)


_shared: HandleCache | None = None


def shared_handle_cache() -> HandleCache:
    """The path handles of this process: exports share them, as they share the handles."""
    global _shared  # noqa: PLW0603 - the limit is the process's own
    if _shared is None:
        limit = host.raise_handle_limit()
        _shared = new_handle_cache(min(limit - min(_OTHERS, limit // 3), _MAX_IDS))
    return _shared


def new_handle_cache(budget: int) -> HandleCache:
    """Path handles of the kind this host wants."""
    return (PerCallHandles if host.HANDLES_BLOCK_RENAME else HandleCache)(budget)
