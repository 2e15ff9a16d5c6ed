"""Renaming and linking on Windows: by a handle to the entry, to one name below a directory handle.

First as POSIX has it (FILE_RENAME_POSIX_SEMANTICS: atomic, over open and read-only targets). Where
that is refused or unknown (FAT, network shares, Windows before 10; a directory as target), an
existing target is moved aside first, and put back if the rename fails: for that moment the new name
is missing.

The directory that a name is moved to is another matter than one that is opened below: NT opens it
by itself, and nothing tells it not to follow a junction. So either no directory is named (a rename
within one), or the directory is kept from becoming a junction meanwhile: only an empty one can, and
for the length of the call it has an entry that cannot be removed (``anchored``).

NTFS refuses to rename a directory below which anything is open, by whomever: that is EBUSY.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import (
    NULL,
    RENAME_POSIX,
    RENAME_READONLY,
    RENAME_REPLACE,
    Access,
    Attribute,
    Disposition,
    Info,
    NtCalls,
    Options,
)
from ninep.host.windows.names import host_name, new_name
from ninep.host.windows.open import (
    ITSELF,
    LIST,
    LOOK,
    NO_CLASS,
    below_a_file,
    closing,
    is_directory,
    open_entry,
    own_name,
    refuse_alias,
    scratch,
)
from ninep.host.windows.remove import MoveOut, basic, check_empty, discard, unlocked
from ninep.host.windows.stat import identity
from ninep.host.windows.status import NtError, Status
from ninep.linux import RENAME_NOREPLACE, Errno

_POSIX: Final = RENAME_REPLACE | RENAME_POSIX | RENAME_READONLY
_MOVE: Final = Access.DELETE | Access.READ_ATTRIBUTES
_NAME_MAX: Final = 4 + 2 * 32767
# Answers of NTFS to a rename that an existing target hinders.
_HINDERED: Final = frozenset(
    {Status.ACCESS_DENIED, Status.OBJECT_NAME_COLLISION, Status.SHARING_VIOLATION, Status.CANNOT_DELETE}
)


class Name(NamedTuple):
    """A name below a directory, as the host has it."""

    dir: Handle
    name: str


def rename(
    calls: NtCalls, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, move_out: MoveOut, flags: int = 0
) -> None:
    """Rename as POSIX has it: ENOTDIR, EISDIR, ENOTEMPTY by what the target is; EINVAL into itself,
    and for flags: NT exchanges no entries; EBUSY.
    """
    if flags & ~RENAME_NOREPLACE:
        raise Refused(Errno.EINVAL)
    refuse_alias(calls, newdir, newname, Errno.EEXIST)
    with closing(calls, open_entry(calls, olddir, oldname, _MOVE)) as source:
        old, new = Name(olddir, host_name(oldname)), Name(newdir, new_name(newname))
        target = _look(calls, newdir, newname)
        is_dir = is_directory(calls, source)
        recased = target is not None and target[0] == identity(calls, source)
        if flags and target is not None and not (recased and _one_entry(calls, old, new) and old.name != new.name):
            raise Refused(Errno.EEXIST)
        if target is not None and is_dir != target[1]:
            raise Refused(Errno.ENOTDIR if is_dir else Errno.EISDIR)
        if recased:
            # Two names of one file: rename(2) does nothing. One name in another case: that is a
            # rename, and replaces nothing.
            if not _one_entry(calls, old, new) or _is_spelled(calls, new):
                return
            target = None
        try:
            if flags:
                give_name(calls, source, Info.RENAME, 0, new, here=identity(calls, olddir) == identity(calls, newdir))
            else:
                _move(calls, source, old, new, move_out, replaces=target is not None)
            if recased and not _is_spelled(calls, new):
                _respell(calls, source, old, new)
        except NtError as error:
            raise _explained(calls, error, source, newdir) if is_dir else below_a_file(calls, newdir, error) from None


def _look(calls: NtCalls, dir: Handle, name: bytes) -> tuple[info.FileId, bool] | None:
    try:
        opened = open_entry(calls, dir, name, LOOK)
    except NtError as error:
        if error.code is Errno.ENOENT:
            return None
        raise
    with closing(calls, opened) as handle:
        return identity(calls, handle), is_directory(calls, handle)


def _one_entry(calls: NtCalls, old: Name, new: Name) -> bool:
    return old.name.upper() == new.name.upper() and identity(calls, old.dir) == identity(calls, new.dir)


def _is_spelled(calls: NtCalls, entry: Name) -> bool:
    """Does the directory list the name in this very case?"""
    with scratch(calls, entry.dir, "", LIST, Options.DIRECTORY_FILE) as again:
        found = info.entries_of(calls.query_directory(again, 4096, entry.name))
        return any(one.name == entry.name for one in found)


def _respell(calls: NtCalls, source: Handle, old: Name, new: Name) -> None:
    """By way of another name, where a rename to the same name in another case succeeds and changes
    nothing (Wine, some redirectors).
    """
    give_name(calls, source, Info.RENAME, 0, Name(new.dir, own_name()), here=True)
    try:
        give_name(calls, source, Info.RENAME, 0, new, here=True)
    except NtError:
        give_name(calls, source, Info.RENAME, 0, old)
        raise


@contextlib.contextmanager
def anchored(calls: NtCalls, dir: Handle) -> Iterator[None]:
    """The directory cannot be emptied, hence not be turned into a reparse point, for the length of
    a block.
    """
    opened, _ = calls.create(
        dir,
        own_name(),
        _MOVE,
        ITSELF | Options.NON_DIRECTORY_FILE | Options.DELETE_ON_CLOSE,
        share=0,
        disposition=Disposition.CREATE,
        attributes=Attribute.TEMPORARY | Attribute.HIDDEN,
    )
    with closing(calls, opened):
        yield


def give_name(calls: NtCalls, handle: Handle, kind: Info, flags: int, new: Name, *, here: bool = False) -> None:
    """Give an open file a name; ``here``: in the directory where it is."""
    if here:
        try:
            return calls.change(handle, kind, info.rename(flags, NULL, new.name))
        except NtError as error:
            if error.status != Status.OBJECT_PATH_SYNTAX_BAD:  # Wine wants to be told the directory
                raise
    with anchored(calls, new.dir):
        return calls.change(handle, kind, info.rename(flags, new.dir, new.name))


def _move(calls: NtCalls, source: Handle, old: Name, new: Name, move_out: MoveOut, *, replaces: bool) -> None:
    here = identity(calls, old.dir) == identity(calls, new.dir)
    try:
        give_name(calls, source, Info.RENAME_EX, _POSIX, new, here=here)
    except NtError as error:
        if error.status not in NO_CLASS and not (replaces and error.status in _HINDERED):
            raise
    else:
        return
    try:
        give_name(calls, source, Info.RENAME, int(replaces), new, here=here)
    except NtError as error:
        if not replaces or error.status not in _HINDERED:
            raise
        _move_over(calls, source, old, new, move_out)


def _move_over(calls: NtCalls, source: Handle, old: Name, new: Name, move_out: MoveOut) -> None:
    """Target aside, source in its place, target away; or all as it was. A merely read-only target
    needs less.
    """
    with scratch(calls, *new, _MOVE) as target, contextlib.ExitStack() as undo:
        if _replaced_unlocked(calls, source, target, new):
            return
        check_empty(calls, target)
        if not move_out(target):
            give_name(calls, target, Info.RENAME, 0, Name(new.dir, own_name()), here=True)
        undo.callback(give_name, calls, target, Info.RENAME, 0, new)
        give_name(calls, source, Info.RENAME, 0, new)
        undo.callback(give_name, calls, source, Info.RENAME, 0, old)
        discard(calls, target)
        undo.pop_all()


def _replaced_unlocked(calls: NtCalls, source: Handle, target: Handle, new: Name) -> bool:
    if not basic(calls, target).attributes & Attribute.READONLY:
        return False
    try:
        with unlocked(calls, target):
            give_name(calls, source, Info.RENAME, 1, new)
    except NtError as error:
        if error.status not in _HINDERED:
            raise
        return False
    return True


def _explained(calls: NtCalls, error: NtError, source: Handle, newdir: Handle) -> OSError:
    """What NT means when it does not rename a directory."""
    if error.status not in {Status.ACCESS_DENIED, Status.SHARING_VIOLATION, Status.INVALID_PARAMETER}:
        return error
    try:
        inner, outer = (info.name_of(calls.query(handle, Info.NAME, _NAME_MAX)) for handle in (newdir, source))
    except NtError:
        return error
    if f"{inner}\\".upper().startswith(f"{outer}\\".upper()):
        return Refused(Errno.EINVAL, "a directory cannot be moved into itself")
    return Refused(Errno.EBUSY, "something below this directory is open")


def make_link(calls: NtCalls, path_handle: Handle, dir: Handle, name: bytes) -> None:
    """Another name for what a path handle refers to. EPERM for a directory, EEXIST, EXDEV, EMLINK."""
    if is_directory(calls, path_handle):
        raise Refused(Errno.EPERM)
    refuse_alias(calls, dir, name, Errno.EEXIST)
    with scratch(calls, path_handle, "", Access.WRITE_ATTRIBUTES) as again:
        try:
            give_name(calls, again, Info.LINK, 0, Name(dir, new_name(name)))
        except NtError as error:
            raise below_a_file(calls, dir, error) from None
