"""What a Twstat asks for, all of it or nothing (stat(5)).

The rule: what can be checked is checked first; then comes what can be taken back, and is, if
something later fails; what cannot be taken back comes last. So for one message

1. a file that is to become shorter is opened for writing, which shows that it may be, and a name
   must be free where it has to be;
2. a file that is to become longer does, then owner, mode and times are changed: each can be changed
   back;
3. the name is changed, perhaps over another file, which no further error then costs;
4. the file is cut, through what was opened in step 1; mode and times that the cut moved are set
   again.

What remains: a cut may fail although the file could be opened for writing (a disk that fails). Then
the name is changed back, but a file that it replaced is gone; and ctime has moved. (Tsetattr of
9P2000.L has no name, and needs less: "all or as few as possible".)
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

from ninep.linux import GETATTR_BASIC, O_WRONLY, S_ISGID, S_ISUID
from ninep.node import Attributes, Changes, Node, WouldBlock
from ninep.server.fids import Fid
from ninep.server.steps import Steps

_SECOND: Final = 1_000_000_000
_SETID: Final = S_ISUID | S_ISGID


def change(held: Fid, changes: Changes, step: Steps) -> None:
    """Changes of one kind need no more than the driver's own promise: a verb that fails has changed
    nothing.
    """
    if changes.size is not None and held.writable and held.file is not None:
        step(held.file.truncate, changes.size, held.user.uid)
        changes = changes._replace(size=None)
    if changes != Changes(by=changes.by):
        step(held.node.setattr, changes)


def change_all(held: Fid, newname: bytes | None, changes: Changes) -> None:
    """A new name (None: the one it has) and other changes."""
    kinds = (changes.size, changes.uid if changes.gid is None else changes.gid, changes.mode, _times(changes))
    step = Steps()
    if (newname is not None) + sum(kind is not None for kind in kinds) < 2:
        if newname is not None:
            step(held.node.move, None, newname)
        change(held, changes, step)
        return
    before = held.node.getattr(GETATTR_BASIC)
    with ExitStack() as opened, ExitStack() as undo:
        try:
            _change_several(held, newname, changes, before, step, opened, undo)
        except WouldBlock:  # from the first step: nothing was done
            undo.pop_all()
            raise
        undo.pop_all()


def _change_several(
    held: Fid,
    newname: bytes | None,
    changes: Changes,
    before: Attributes,
    step: Steps,
    opened: ExitStack,
    undo: ExitStack,
) -> None:
    cut = None
    if changes.size is not None and changes.size < before.size:
        cut = _cut(held, changes.size, before, step, opened, undo)
    elif changes.size is not None:
        _take_back(undo, held.node, Changes(size=before.size), *_moved(before))
        change(held, Changes(size=changes.size, by=changes.by), step)
    _change_the_rest(held.node, changes._replace(size=None), before, step, undo)
    if newname is not None:
        former = held.node.name
        step(held.node.move, None, newname)
        undo.callback(_quietly, held.node.move, None, former)
    if cut is not None:
        step(cut)
        undo.pop_all()
        again = changes._replace(size=None, uid=None, gid=None)
        if again != Changes(by=changes.by):
            step(held.node.setattr, again)


def _times(changes: Changes) -> int | None:
    return changes.mtime if changes.atime is None else changes.atime


def _change_the_rest(node: Node, changes: Changes, before: Attributes, step: Steps, undo: ExitStack) -> None:
    """Owner, mode and times: the driver does them in this order, and stops at the first that it
    must refuse.
    """
    if changes == Changes(by=changes.by):
        return
    mode, times = _moved(before)
    if _times(changes) is not None:
        _take_back(undo, node, times)
    if changes.mode is not None:
        _take_back(undo, node, mode)
    if changes.uid is not None or changes.gid is not None:
        # In this order, called last to first: the owner, then what a chown drops of the mode.
        if before.mode & _SETID:
            _take_back(undo, node, mode)
        _take_back(undo, node, Changes(uid=before.uid, gid=before.gid))
    step(node.setattr, changes)


def _moved(before: Attributes) -> tuple[Changes, Changes]:
    """What a change of the size moves: set-user-ID and set-group-ID bits, and times."""
    return Changes(mode=before.mode), Changes(
        atime=before.atime_sec * _SECOND + before.atime_nsec, mtime=before.mtime_sec * _SECOND + before.mtime_nsec
    )


def _cut(
    held: Fid, size: int, before: Attributes, step: Steps, opened: ExitStack, undo: ExitStack
) -> Callable[[], None]:
    """Make ready to shorten a file. Where it cannot be opened, a change to the size that it has
    shows whether it may be changed.
    """
    node, by = held.node, held.user.uid
    if held.writable and held.file is not None:
        file = held.file
        return lambda: file.truncate(size, by)
    try:
        file = node.open(O_WRONLY, by)
    except WouldBlock:
        raise
    except OSError:
        _take_back(undo, node, *_moved(before))
        step(node.setattr, Changes(size=before.size, by=by))
        return lambda: node.setattr(Changes(size=size, by=by))
    opened.callback(file.close)
    return lambda: file.truncate(size, by)


def _take_back(undo: ExitStack, node: Node, *former: Changes) -> None:
    """If something later fails, set these, one after the other; as the server itself, since it is
    what was there.
    """
    for changes in reversed(former):
        undo.callback(_quietly, node.setattr, changes._replace(by=0))


def _quietly(verb: Callable[..., object], *arguments: object) -> None:
    with suppress(OSError):
        verb(*arguments)
