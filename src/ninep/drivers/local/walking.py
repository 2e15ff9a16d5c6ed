"""Walks: what a name of a directory leads to, and several names at once on hosts where nodes keep no
path handles (``host.HANDLES_BLOCK_RENAME``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from ninep import host
from ninep.drivers.local.handle_cache import is_same_object, self_closing
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.reserve import exhausted
from ninep.errors import linux_errno
from ninep.host import Handle, Stat
from ninep.linux import Errno
from ninep.node import Qid, check_may_wait

N = TypeVar("N", bound=TableEntry)


def find(directory: N, name: bytes, known: N | None) -> tuple[N, Stat]:
    """The entry of a directory, referenced once more, and the host's stat of it: its qid is to be
    updated by that. ``known``: what the table has there.
    """
    table = directory.table
    table.model.check_name(name)
    dir = directory.get_path_handle()
    if known is not None and known.path_handle is not None:
        # One look instead of open, look and close; as long as the path handle is held its inode
        # number cannot be used again.
        found = host.stat_at(dir, name) if known.mounts_checked == host.mounts.changes else known.stat_name(dir, name)
        if found.st_ino == known.ino and found.st_dev == known.dev and directory.ref_child(known, name):
            return known, found
    try:
        path_handle = self_closing(host.open_path(dir, name))
    except OSError as error:
        path_handle = self_closing(_open_path_again(directory, error, dir, name))
    found = host.stat(path_handle)
    if (
        known is not None
        and is_same_object(known, found, path_handle)
        and table.is_valid(known, path_handle)
        and directory.ref_child(known, name)
    ):
        if known.path_handle is None:
            table.adopt(known, path_handle)
        return known, found
    return table.add(directory, name, found, path_handle), found


def _open_path_again(directory: TableEntry, error: OSError, dir: Handle, name: bytes) -> Handle:
    """After a try that failed: across a mount, or with fewer handles in use."""
    try:
        if exhausted(error):
            return directory.table.handles.with_reserve(host.open_path, dir, name)
        if linux_errno(error) is not Errno.EXDEV:
            raise error
    finally:
        del error  # see ``retry``
    check_may_wait()
    return host.open_path_across(dir, name)


def through_held(node: N, names: Sequence[bytes]) -> tuple[N, list[Qid]]:
    """``Node.through``: each name is opened once, below the handle of the one before, which is kept
    until the walk ends.
    """
    qids: list[Qid] = []
    with node.table.handles.keep_handles(), suppress(OSError):  # which the walk that follows runs into, too
        for name in names:
            if not name or b"/" in name or b"\0" in name:
                break
            found = node.walk(name)
            if qids:
                node.release()
            node = found
            qids.append(found.qid)
    return node, qids
