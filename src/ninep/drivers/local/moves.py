"""Removing and renaming: the host's entry goes or moves, and the tree is brought in line.

A node whose name is about to go is made ready for it first (its pin fastened, what the model knows of it remembered), so that clients which
hold it can go on. If the removal then fails, all that is taken back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep.errors import Refused, linux_errno
from ninep.linux import Errno

if TYPE_CHECKING:
    from ninep.drivers.local.node import LocalNode
    from ninep.host import Handle


def unlink(directory: LocalNode, name: bytes, is_directory: bool) -> None:
    """``Node.unlink``."""
    tree = directory.tree
    tree.model.admit(name)
    dir = directory.held()
    doomed = _doomed(directory, dir, name)
    try:
        tree.model.unlink(dir, name, is_directory)
    except OSError:
        _spared(doomed)
        raise
    if doomed is not None:
        tree.detach(doomed)


def rename(source: LocalNode, name: bytes, target: LocalNode, newname: bytes) -> None:
    """``Node.rename``, between two directories of one tree."""
    tree = source.tree
    tree.model.admit(name)
    tree.model.admit(newname)
    olddir, newdir = source.held(), target.held()
    replaced = _doomed(target, newdir, newname)
    with tree.moves:
        _rename(source, name, target, newname, olddir, newdir, replaced)


def _rename(
    source: LocalNode,
    name: bytes,
    target: LocalNode,
    newname: bytes,
    olddir: Handle,
    newdir: Handle,
    replaced: LocalNode | None,
) -> None:
    tree = source.tree
    moved = _child(source, name)
    try:
        one = replaced is not None and replaced.is_at(olddir, name)
        tree.model.rename(olddir, name, newdir, newname)
    except OSError:
        _spared(replaced)
        raise
    if one:  # two names of one file: rename(2) leaves both
        _spared(replaced)
        return
    if replaced is not None:
        tree.detach(replaced)
    if moved is None:
        moved = _child(source, name)  # entered by another thread, perhaps before the entry moved
        if moved is not None and not moved.is_at(newdir, newname):
            return
    if moved is not None:
        tree.move(moved, target, newname)


def _child(directory: LocalNode, name: bytes) -> LocalNode | None:
    """The node of an entry, if any client holds it."""
    return None if directory.children is None else directory.children.get(name)


def must_still_be_there(node: LocalNode) -> None:
    """Is this file still what its name leads to? Else a verb on the name would hit another one: ESTALE. EBUSY for the root."""
    if node.up is node:
        raise Refused(Errno.EBUSY)
    if node.detached:
        raise Refused(Errno.ENOENT)
    if not node.is_at(node.up.held(), node.name):
        raise Refused(Errno.ESTALE)


def _doomed(directory: LocalNode, dir: Handle, name: bytes) -> LocalNode | None:
    """The node of a name that is about to go, made ready to live without it; None if no client holds it."""
    node = _child(directory, name)
    if node is None:
        return None
    try:
        if not node.is_at(dir, name):
            return None  # a host process put another file there: that one goes
        node.tree.model.forget(node)
        node.tree.pins.fasten(node)
    except OSError as error:
        if linux_errno(error) not in (Errno.ENOENT, Errno.ESTALE):
            raise
        return None  # it is gone already; the removal will say so
    return node


def _spared(node: LocalNode | None) -> None:
    """The removal failed, or meant something else: what the name says counts again."""
    if node is not None:
        node.memory = None
        node.tree.pins.unfasten(node)
