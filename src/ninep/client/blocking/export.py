# Generated from ninep/client/aio/export.py by tools/unasync.py. Do not edit.
"""The root of an attached export, and walks from it to files.

Without ``follow`` no symbolic link is resolved, neither in the path nor at its end: the server
refuses to walk through one. With ``follow`` links are resolved here, inside the export (an absolute
target starts at its root, ``..`` has no effect there), at most 40 of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ninep.client.blocking.connection import Connection
from ninep.client.blocking.verbs import Verbs
from ninep.client.errors import can_mean_missing, refusal
from ninep.client.paths import RemotePath, split
from ninep.linux import Errno
from ninep.wire.types import QT_DIR, QT_SYMLINK

MAX_LINKS: Final = 40  # as Linux (path_resolution(7))


class AttachedExport:
    """An attached export. ``root`` is the fid of its root, ``gid`` the group of new files."""

    def __init__(self, verbs: Verbs, root: int, gid: int) -> None:
        self.verbs = verbs
        self.root = root
        self.gid = gid

    @property
    def connection(self) -> Connection:
        """The connection of the export."""
        return self.verbs.connection

    @contextmanager
    def at(self, names: Sequence[bytes]) -> Iterator[int]:
        """A fid for the file at ``names``, valid inside the block."""
        if not names:
            yield self.root
            return
        fid, _ = self.verbs.walk(self.root, names)
        try:
            yield fid
        finally:
            self.verbs.release(fid)

    def names_of(self, path: RemotePath, follow: bool) -> list[bytes]:
        """The names of ``path``, with ``follow`` after resolving symbolic links."""
        return self.real_names(split(path, physical=True)) if follow else split(path)

    def real_names(self, names: Sequence[bytes]) -> list[bytes]:
        """``names`` with all links resolved. The last name need not exist."""
        real: list[bytes] = []
        todo = deque(names)
        links = 0
        while todo:
            if todo[0] == b"..":
                todo.popleft()
                del real[-1:]
                continue
            steps = list(todo)
            if b".." in steps:
                steps = steps[: steps.index(b"..")]
            count, is_link = self._until_link(real, steps, optional_last=len(steps) == len(todo))
            real += steps[:count]
            for _ in range(count):
                todo.popleft()
            if not is_link:
                continue
            links += 1
            if links > MAX_LINKS:
                raise refusal(Errno.ELOOP)
            with self.at(real) as fid:
                target = self.verbs.readlink(fid)
            del real[-1:]
            if target.startswith(b"/"):
                real.clear()
            todo.extendleft(reversed(split(target, physical=True)))
        return real

    def _until_link(self, real: Sequence[bytes], steps: Sequence[bytes], optional_last: bool) -> tuple[int, bool]:
        """The number of ``steps`` that can be walked from ``real`` up to a symbolic link, and
        whether the last of them is one.

        ``optional_last``: the last step need not exist.
        """
        way = [*real, *steps]
        try:
            fid, qids = self.verbs.walk_partial(self.root, way)
        except OSError as error:
            if len(way) == 1 and optional_last and can_mean_missing(error):
                return 1, False
            raise
        if fid is not None:
            self.verbs.release(fid)
        for step, qid in enumerate(qids[len(real) :]):
            if qid.type & QT_SYMLINK:
                return step + 1, True
        if fid is None and not (optional_last and len(qids) == len(way) - 1 and qids[-1].type & QT_DIR):
            with self.at(way):  # raises the error
                pass
        return len(steps), False
