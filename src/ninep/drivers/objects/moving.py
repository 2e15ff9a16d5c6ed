"""Directories that are being renamed: the store copies their objects one by one, and what is put
under an old name after it was copied would be deleted with it. So what puts waits meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ninep.drivers.objects.base_node import BaseNode
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import check_may_wait

TIMEOUT: Final = 30.0
"""Seconds that a verb waits for another one that has the same name, or renames a folder above it."""


class Moving:
    """The last lock: who has it asks the store, and takes no lock of names or nodes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._trees: list[str] = []
        self._keys: list[str] = []

    @contextmanager
    def put(self, node: BaseNode) -> Iterator[None]:
        """Put under the node's key, or below it; wait while that changes. EBUSY after ``TIMEOUT``."""
        with self._changed:
            if self._moves(node.key):
                check_may_wait()
                if not self._changed.wait_for(lambda: not self._moves(node.key), TIMEOUT):
                    raise _busy()
            key = node.key
            self._keys.append(key)
        try:
            yield
        finally:
            self._ended(self._keys, key)

    @contextmanager
    def file(self, node: BaseNode, old: str, new: str) -> Iterator[None]:
        """Rename a file. EBUSY if a directory above one of its names is being renamed, or was meanwhile."""
        with self._changed:
            if node.key != old or self._moves(old) or self._moves(new):
                raise _busy()
            self._keys += (old, new)
        try:
            yield
        finally:
            self._ended(self._keys, old, new)

    @contextmanager
    def tree(self, node: BaseNode, old: str, new: str) -> Iterator[None]:
        """Rename a directory, when what is being put below it has been. EBUSY as above."""
        check_may_wait()
        with self._changed:
            others = self._trees
            if node.key != old or any(_within(one, two) or _within(two, one) for one in (old, new) for two in others):
                raise _busy()
            self._trees += (old, new)
            self._changed.wait_for(lambda: not any(_within(key, top) for key in self._keys for top in (old, new)))
        try:
            yield
        finally:
            self._ended(self._trees, old, new)

    def _moves(self, key: str) -> bool:
        return any(_within(key, top) for top in self._trees)

    def _ended(self, table: list[str], *keys: str) -> None:
        with self._changed:
            for key in keys:
                table.remove(key)
            self._changed.notify_all()


def _within(key: str, top: str) -> bool:
    return key == top or key.startswith(top + "/")


def _busy() -> Refused:
    return Refused(Errno.EBUSY, "a directory of this name is being renamed")
