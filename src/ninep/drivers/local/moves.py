"""Removing and renaming: the host's entry goes or moves, and the node table is brought in line.

A node whose name is about to go is made ready for it first (its path handle unreclaimable, what the
model knows of it remembered), so that clients which hold it can go on. If the removal then fails,
all that is taken back.

Host processes, other exports of the folder and other workers move things too, of which the table
hears nothing. So what it says of a node's place is asked of the host before anything hangs on it:
the directory that ``..`` leads to, the name by which something is removed, renamed or looked up in
a metadata folder, and the way between two directories of which one is to be moved into the other. A
place that proves wrong is looked for among the directories above, under the same name; a node that
is not found there has no name any more.
"""

from __future__ import annotations

from typing import Final, TypeVar

from ninep import host
from ninep.drivers.local.node_table import TableEntry
from ninep.errors import Refused, linux_errno
from ninep.host import Handle
from ninep.linux import DT_DIR, Errno

N = TypeVar("N", bound=TableEntry)

_GONE: Final = frozenset({Errno.ENOENT, Errno.ESTALE, Errno.ENOTDIR})
_ATTEMPTS: Final = 16
"""Of looks by name while others rename all the time."""


def unlink(directory: TableEntry, name: bytes, is_directory: bool) -> None:
    """``Node.unlink``."""
    table = directory.table
    table.model.check_name(name)
    dir = directory.get_path_handle()
    removed = _prepare_removal(directory, dir, name)
    try:
        table.model.unlink(dir, name, is_directory)
    except OSError:
        _cancel_removal(removed)
        raise
    if removed is not None:
        table.detach(removed)


def rename(source: N, name: bytes, target: N, newname: bytes, flags: int = 0) -> None:
    """``Node.rename``, between two directories of one tree."""
    table = source.table
    table.model.check_name(name)
    table.model.check_name(newname)
    olddir, newdir = source.get_path_handle(), target.get_path_handle()
    _untangle(_child(source, name), target)
    replaced = None if flags else _prepare_removal(target, newdir, newname)  # RENAME_NOREPLACE
    with table.rename_gate:
        _rename(source, name, target, newname, olddir, newdir, replaced, flags)


def exchange(one: N, name: bytes, other: N, othername: bytes, flags: int) -> None:
    """``Node.rename`` with RENAME_EXCHANGE. No name goes, so nothing is made ready for it; both nodes
    take each other's place in the table, where the host has them then.
    """
    table = one.table
    table.model.check_name(name)
    table.model.check_name(othername)
    dir, otherdir = one.get_path_handle(), other.get_path_handle()
    _untangle(_child(one, name), other)
    _untangle(_child(other, othername), one)
    with table.rename_gate:
        table.model.rename(dir, name, otherdir, othername, flags)
        nodes = _child(one, name), _child(other, othername)
        there = (
            nodes[0] is not None and leads_to(nodes[0], otherdir, othername),
            nodes[1] is not None and leads_to(nodes[1], dir, name),
        )
        table.exchange((nodes[0] if there[0] else None, other, othername), (nodes[1] if there[1] else None, one, name))


def _rename(
    source: N,
    name: bytes,
    target: N,
    newname: bytes,
    olddir: Handle,
    newdir: Handle,
    replaced: N | None,
    flags: int,
) -> None:
    table = source.table
    moved = _child(source, name)
    try:
        one = replaced is not None and replaced.is_at(olddir, name)
        table.model.rename(olddir, name, newdir, newname, flags)
    except OSError:
        _cancel_removal(replaced)
        raise
    if one:  # two names of one file: rename(2) leaves both
        _cancel_removal(replaced)
        return
    if replaced is not None:
        table.detach(replaced)
    if moved is None:
        moved = _child(source, name)  # entered by another thread, perhaps before the entry moved
    # What the table knows under the old name may not be what the host had there.
    if moved is not None and leads_to(moved, newdir, newname):
        table.move(moved, target, newname)


def _child(directory: N, name: bytes) -> N | None:
    """The node of an entry, if any client holds it."""
    return None if directory.children is None else directory.children.get(name)


def check_location(node: TableEntry) -> None:
    """Is this file still what its name leads to? Else a verb on the name would hit another one:
    ESTALE. EBUSY for the root.
    """
    if node.parent_node is node:
        raise Refused(Errno.EBUSY)
    if node.detached:
        raise Refused(Errno.ENOENT)
    if location(node) is None:
        raise Refused(Errno.ESTALE, "its name leads to another file now")


def leads_to(node: TableEntry, dir: Handle, name: bytes) -> bool:
    """Does this name lead to this file now? No if it leads nowhere."""
    try:
        return node.is_at(dir, name)
    except OSError as error:
        if linux_errno(error) not in _GONE:
            raise
        return False


def location(node: TableEntry) -> tuple[Handle, bytes] | None:
    """The directory a node is in and its name there, if that name leads to it now; not because
    another thread is renaming it.
    """
    rename_gate = node.table.rename_gate
    for _ in range(_ATTEMPTS):
        mark = rename_gate.ended
        above_it, name = node.parent_node, node.name_
        if node.detached:
            return None
        try:
            dir = above_it.get_path_handle()
            if above_it is node:
                return dir, name
            found = node.stat_name(dir, name)
            if found.st_ino == node.ino and found.st_dev == node.dev:
                node.confirm_location(found)
                return dir, name
        except OSError as error:
            if linux_errno(error) not in _GONE:
                raise
        if rename_gate.quiet_since(mark):
            break
    return None


def parent(node: N) -> N:
    """``Node.parent``: the directory that the host says it is in, if that is one which the table
    has above it.

    ESTALE otherwise, as when a host process moved it somewhere else: by way of the host's own
    ``..`` one would come out of the export.
    """
    table = node.table
    for _ in range(_ATTEMPTS):
        mark = table.rename_gate.ended
        with table.lock:
            above_it = node.parent_node
            above = [above_it, *table.between(above_it, table.root)]
        if above_it is node:
            return node.clone()
        found = next((one for one in (*dict.fromkeys(above), table.root) if _is_in(node, one)), None)
        if (
            found is not None
            and found is not above_it
            and not node.detached
            and leads_to(node, found.get_path_handle(), node.name_)
        ):
            table.move(node, found, node.name_)
        with table.lock:
            if found is not None and (found.refs or found.parent_node is found):
                table.ref(found)
                return found
        if table.rename_gate.quiet_since(mark):
            break
    raise Refused(Errno.ENOENT if node.detached else Errno.ESTALE, "it is not where it was")


def _is_in(node: N, directory: N) -> bool:
    """Does the host have it in this directory? Where it cannot tell by ``..``, its name must be
    there.
    """
    try:
        if node.kind == DT_DIR and not host.BY_NAME:
            # Not by ``is_at``: this look says nothing of what may be mounted on the directory's own
            # name.
            found = host.stat_at(node.get_path_handle(), b"..")
            return found.st_ino == directory.ino and found.st_dev == directory.dev
        return not node.detached and node.is_at(directory.get_path_handle(), node.name_)
    except OSError as error:
        if linux_errno(error) not in _GONE:
            raise
        return False


def _untangle(moved: N | None, target: N) -> None:
    """What is to be moved may be above its new directory by the table: the host would refuse that,
    unless the table is out of date. Ask it about each step in between; what is not where the table
    has it goes where it is found.
    """
    if moved is None or not moved.children:
        return
    table = moved.table
    # Each turn brings a node further up or takes its name, so there is an end.
    while wrong := next((node for node in table.between(target, moved) if location(node) is None), None):
        above = [*table.between(wrong.parent_node, table.root)[1:], table.root]
        found = next(
            (one for one in above if _is_in(wrong, one) and leads_to(wrong, one.get_path_handle(), wrong.name_)), None
        )
        if found is None:
            table.detach_misplaced(wrong)
        else:
            table.move(wrong, found, wrong.name_)


def _prepare_removal(directory: N, dir: Handle, name: bytes) -> N | None:
    """The node of a name that is about to go, made ready to live without it; None if no client
    holds it.
    """
    node = _child(directory, name)
    if node is None:
        return None
    try:
        if not node.is_at(dir, name):
            return None  # a host process put another file there: that one goes
        node.table.model.forget(node)
        if not node.table.handles.make_unreclaimable(node):
            return None  # another thread is at it
    except OSError as error:
        if linux_errno(error) not in (Errno.ENOENT, Errno.ESTALE):
            raise
        return None  # it is gone already; the removal will say so
    return node


def _cancel_removal(node: TableEntry | None) -> None:
    """The removal failed, or meant something else: what the name says counts again."""
    if node is not None:
        node.save_attributes(None)
        node.table.handles.make_reclaimable(node)
