"""The way back to a path handle that the cache took away.

By what the node has open, else by name from the nearest ancestor that has one, with a check that it
is still the same object. On hosts where nodes keep no path handles (``per_call_handles``), a
directory is opened by its file id where the host and its volume can, and anything else by its name
in one, so that the depth of a node costs nothing.
"""

from __future__ import annotations

from typing import Final

from ninep import host
from ninep.drivers.local.handle_cache import is_same_object, self_closing
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.reserve import retrying
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle
from ninep.linux import DT_DIR, PATH_MAX, Errno
from ninep.node import check_may_wait

DEPTH: Final = PATH_MAX // 2
"""Names on the way from a path handle to a node that has lost its own: no path is longer. ELOOP
beyond.
"""
_KEPT: Final = 32
"""Of the directories on that way, the nearest are opened again."""
_ATTEMPTS: Final = 16
_NOT_BY_ID: Final = frozenset({Errno.EOPNOTSUPP, Errno.ENOENT, Errno.ESTALE, Errno.EINVAL})
"""A way by id that leads nowhere; the names on the way may."""


def reopen(node: TableEntry) -> Handle:
    """The path handle of a node that lost it: from what it has open, else by name from the
    nearest ancestor that has one.

    ENOENT if the name is gone, ESTALE if it leads to another object; not because another thread
    is renaming something on the way. ELOOP if that ancestor is further away than a path can be
    long.
    """
    rename_gate = node.table.rename_gate
    for _ in range(_ATTEMPTS):
        mark = rename_gate.ended
        try:
            path_handle = _reopen(node)
        except OSError as error:
            if linux_errno(error) not in (Errno.ENOENT, Errno.ESTALE) or rename_gate.quiet_since(mark):
                raise
        else:
            if path_handle is not None:
                return path_handle
    raise Refused(Errno.ESTALE, "names on the way to it change all the time")


def _by_names(node: TableEntry) -> Handle | None:
    """One handle besides the goal's own is open at a time, however long the way. None: another
    thread closed the file it began with.
    """
    missing: list[tuple[TableEntry, bytes]] = []
    with node.table.lock:
        while node.path_handle is None and node.opened() is NO_HANDLE:
            if node.detached or node.parent_node is node:
                raise Refused(Errno.ENOENT)
            if len(missing) >= DEPTH:
                raise Refused(Errno.ELOOP, "it is deeper than a path can be long")
            missing.append((node, node.name_))
            node = node.parent_node
        path_handle = node.path_handle
    if path_handle is None:
        path_handle = _from_file(node)
        if path_handle is None:
            return None
    while missing:
        below, name = missing.pop()
        path_handle = _by_name(path_handle, below, name)
        if len(missing) < _KEPT:
            path_handle = below.table.adopt(below, path_handle)
    return path_handle


def _from_file(node: TableEntry) -> Handle | None:
    """By what it has open. A handle that another thread closes meanwhile may be another file's
    by then: it counts if it is still open.
    """
    handle = node.opened()
    if handle is NO_HANDLE:
        return None
    path_handle = self_closing(retrying(node.table.handles, host.reopen_path, handle))
    with node.table.lock:
        if all(file.handle is not handle for file in node.files):
            return None
    # Where that is a second handle to the same open file, it must not outlive it: locks would.
    return path_handle if host.BY_NAME else node.table.adopt(node, path_handle)


def _by_name(dir: Handle, node: TableEntry, name: bytes) -> Handle:
    try:
        path_handle = self_closing(retrying(node.table.handles, host.open_path, dir, name))
    except OSError as error:
        if linux_errno(error) is not Errno.EXDEV:
            raise
        check_may_wait()
        path_handle = self_closing(host.open_path_across(dir, name))
    found = host.stat(path_handle)
    if not is_same_object(node, found, path_handle):
        raise Refused(Errno.ESTALE, "the name leads to another file now")
    return path_handle


def _reopen(node: TableEntry) -> Handle | None:
    if not node.table.handles.per_call:
        return _by_names(node)
    with node.table.lock:
        up, name = node.parent_node, node.name_
        lost = node.path_handle is None and not node.detached and up is not node and node.opened() is NO_HANDLE
    if lost:
        try:
            if node.kind == DT_DIR:
                return node.table.adopt(node, _by_id(node))
            return node.table.adopt(node, _by_name(up.get_path_handle(), node, name))
        except OSError as error:
            if linux_errno(error) not in _NOT_BY_ID:
                raise
    return _by_names(node)


def _by_id(node: TableEntry) -> Handle:
    root = node.table.root.path_handle
    if root is None:
        raise Refused(Errno.EOPNOTSUPP)
    path_handle = self_closing(retrying(node.table.handles, host.open_path_by_id, root, node.ino))
    if not is_same_object(node, host.stat(path_handle), path_handle):
        raise Refused(Errno.ESTALE)
    return path_handle
