"""Renaming and linking on Windows: by a handle to the entry, to one name below a directory handle.

First as POSIX has it (FILE_RENAME_POSIX_SEMANTICS: atomic, over open and read-only targets). Where that is refused
or unknown (FAT, network shares, Windows before 10; a directory as target), an existing target is moved aside first,
and put back if the rename fails: for that moment the new name is missing.

NTFS refuses to rename a directory below which anything is open, by whomever: that is EBUSY.
"""

from __future__ import annotations

import secrets
from typing import Final

from ninep.errors import Refused
from ninep.host import _ntinfo as info
from ninep.host._api import Handle
from ninep.host._ntapi import RENAME_POSIX, RENAME_READONLY, RENAME_REPLACE, Access, Attribute, Info, NtCalls, Options
from ninep.host._ntnames import new_name
from ninep.host._ntstatus import NtError, Status
from ninep.host._winopen import LIST, LOOK, NO_CLASS, closing, open_entry, refuse_alias, scratch
from ninep.host._winremove import basic, discard, is_directory, unlocked
from ninep.host._winstat import identity
from ninep.linux import Errno

_POSIX: Final = RENAME_REPLACE | RENAME_POSIX | RENAME_READONLY
_MOVE: Final = Access.DELETE | Access.READ_ATTRIBUTES
# Answers of NTFS to a rename that an existing target hinders.
_HINDERED: Final = frozenset(
    {Status.ACCESS_DENIED, Status.OBJECT_NAME_COLLISION, Status.SHARING_VIOLATION, Status.CANNOT_DELETE}
)


def rename(calls: NtCalls, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes) -> None:
    """Rename as POSIX has it: ENOTDIR, EISDIR, ENOTEMPTY by what the target is; EINVAL into itself; EBUSY."""
    refuse_alias(calls, newdir, newname, Errno.EEXIST)
    with closing(calls, open_entry(calls, olddir, oldname, _MOVE)) as source:
        target = _look(calls, newdir, newname)
        is_dir = is_directory(basic(calls, source).attributes)
        if target is not None:
            if is_dir != target[1]:
                raise Refused(Errno.ENOTDIR if is_dir else Errno.EISDIR)
            # Two names of one file: rename(2) does nothing. One name in another case: that is a rename.
            if target[0] == identity(calls, source) and not _one_entry(calls, olddir, oldname, newdir, newname):
                return
            if target[0] == identity(calls, source):
                target = None
        try:
            _move(calls, source, newdir, newname, replaces=target is not None)
        except NtError as error:
            raise _explained(error, is_dir=is_dir) from None


def _look(calls: NtCalls, dir: Handle, name: bytes) -> tuple[info.FileId, bool] | None:
    try:
        opened = open_entry(calls, dir, name, LOOK)
    except NtError as error:
        if error.code is Errno.ENOENT:
            return None
        raise
    with closing(calls, opened) as handle:
        return identity(calls, handle), is_directory(basic(calls, handle).attributes)


def _one_entry(calls: NtCalls, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes) -> bool:
    if new_name(newname).upper() != new_name(oldname).upper():
        return False
    return identity(calls, olddir) == identity(calls, newdir)


def _move(calls: NtCalls, source: Handle, dir: Handle, name: bytes, *, replaces: bool) -> None:
    wanted = new_name(name)
    try:
        calls.change(source, Info.RENAME_EX, info.rename(_POSIX, dir, wanted))
    except NtError as error:
        if error.status not in NO_CLASS and not (replaces and error.status in _HINDERED):
            raise
    else:
        return
    try:
        calls.change(source, Info.RENAME, info.rename(int(replaces), dir, wanted))
    except NtError as error:
        if not replaces or error.status not in _HINDERED:
            raise
        _move_over(calls, source, dir, name)


def _move_over(calls: NtCalls, source: Handle, dir: Handle, name: bytes) -> None:
    """Target aside, source in its place, target away; or all as it was. A target that is merely read-only needs less."""
    aside = f".ninep-{secrets.token_hex(8)}"
    wanted = new_name(name)
    with closing(calls, open_entry(calls, dir, name, _MOVE)) as target:
        if _replaced_unlocked(calls, source, target, dir, wanted):
            return
        _must_be_empty(calls, target)
        calls.change(target, Info.RENAME, info.rename(0, dir, aside))
        try:
            calls.change(source, Info.RENAME, info.rename(0, dir, wanted))
        except NtError:
            calls.change(target, Info.RENAME, info.rename(0, dir, wanted))
            raise
        discard(calls, target)


def _replaced_unlocked(calls: NtCalls, source: Handle, target: Handle, dir: Handle, wanted: str) -> bool:
    if not basic(calls, target).attributes & Attribute.READONLY:
        return False
    try:
        with unlocked(calls, target):
            calls.change(source, Info.RENAME, info.rename(1, dir, wanted))
    except NtError as error:
        if error.status not in _HINDERED:
            raise
        return False
    return True


def _must_be_empty(calls: NtCalls, handle: Handle) -> None:
    if not is_directory(basic(calls, handle).attributes):
        return
    with scratch(calls, handle, "", LIST, Options.DIRECTORY_FILE) as again:
        while batch := calls.query_directory(again, 4096):
            if any(entry.name not in {".", ".."} for entry in info.entries_of(batch)):
                raise Refused(Errno.ENOTEMPTY)


def _explained(error: NtError, *, is_dir: bool) -> OSError:
    """What NT means by ACCESS_DENIED, or INVALID_PARAMETER, when a directory is to be moved."""
    if is_dir and error.status in {Status.ACCESS_DENIED, Status.SHARING_VIOLATION}:
        return Refused(Errno.EBUSY, "something below this directory is open")
    if is_dir and error.status in {Status.INVALID_PARAMETER, Status.OBJECT_NAME_INVALID}:
        return Refused(Errno.EINVAL, "a directory cannot be moved into itself")
    return error


def make_link(calls: NtCalls, pin: Handle, dir: Handle, name: bytes) -> None:
    """Another name for what is pinned. EPERM for a directory, EEXIST, EXDEV, EMLINK."""
    if is_directory(basic(calls, pin).attributes):
        raise Refused(Errno.EPERM)
    refuse_alias(calls, dir, name, Errno.EEXIST)
    with scratch(calls, pin, "", Access.WRITE_ATTRIBUTES) as again:
        calls.change(again, Info.LINK, info.rename(0, dir, new_name(name)))
