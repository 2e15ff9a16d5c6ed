"""Removing on Windows: by a handle to the entry itself, checked and removed through that one
handle.

First as POSIX has it (FILE_DISPOSITION_POSIX_SEMANTICS: the name goes at once, open handles stay
good; read-only is no hindrance). Where the filesystem does not know that, the old way: a read-only
attribute is taken off and put back if it fails; and since an open file's name would stay until its
last handle goes, it is moved out of the way first.

A junction, a mount point or a link to a directory is removed as the link it is: never the folder
that it leads to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import REMOVE, REMOVE_POSIX, REMOVE_READONLY, Access, Attribute, Info, NtCalls, Options
from ninep.host.windows.names import host_name
from ninep.host.windows.open import LIST, NO_CLASS, closing, is_directory, open_entry, scratch
from ninep.host.windows.status import NtError, Status
from ninep.linux import Errno

_POSIX: Final = (REMOVE | REMOVE_POSIX | REMOVE_READONLY).to_bytes(4, "little")
_PLAIN: Final = b"\1"


MoveOut: TypeAlias = Callable[[Handle], bool]
"""Take something out of the way before it is marked for deletion; see ``removed``."""


def remove_file(calls: NtCalls, dir: Handle, name: bytes, move_out: MoveOut) -> None:
    """EISDIR for a directory."""
    _remove(calls, dir, name, move_out, directory=False)


def remove_dir(calls: NtCalls, dir: Handle, name: bytes, move_out: MoveOut) -> None:
    """ENOTDIR for anything else, ENOTEMPTY."""
    _remove(calls, dir, name, move_out, directory=True)


def _remove(calls: NtCalls, dir: Handle, name: bytes, move_out: MoveOut, *, directory: bool) -> None:
    with closing(calls, open_entry(calls, dir, name, Access.DELETE | Access.READ_ATTRIBUTES)) as handle:
        if is_directory(calls, handle) != directory:
            raise Refused(Errno.ENOTDIR if directory else Errno.EISDIR)
        if not discarded_as_posix(calls, handle):
            _discard_moved_out(calls, handle, dir, name, move_out)


def _discard_moved_out(calls: NtCalls, handle: Handle, dir: Handle, name: bytes, move_out: MoveOut) -> None:
    check_empty(calls, handle)
    moved = move_out(handle)
    try:
        discard_plainly(calls, handle)
    except NtError:
        if moved:
            calls.change(handle, Info.RENAME, info.rename(0, dir, host_name(name)))
        raise


def check_empty(calls: NtCalls, handle: Handle) -> None:
    """ENOTEMPTY for a directory with entries."""
    if not is_directory(calls, handle):
        return
    with scratch(calls, handle, "", LIST, Options.DIRECTORY_FILE) as again:
        while batch := calls.query_directory(again, 4096):
            if any(entry.name not in {".", ".."} for entry in info.entries_of(batch)):
                raise Refused(Errno.ENOTEMPTY)


def basic(calls: NtCalls, handle: int) -> info.Basic:
    """FileBasicInformation."""
    return info.Basic._make(info.BASIC.unpack(calls.query(handle, Info.BASIC, info.BASIC.size)))


def discard(calls: NtCalls, handle: Handle) -> None:
    """Remove what is open with DELETE access: a file, a directory (ENOTEMPTY), a link
    or a stream.
    """
    if not discarded_as_posix(calls, handle):
        discard_plainly(calls, handle)


def discarded_as_posix(calls: NtCalls, handle: Handle) -> bool:
    """Remove with POSIX semantics; False where there are none."""
    try:
        calls.change(handle, Info.DISPOSITION_EX, _POSIX)
    except NtError as error:
        if error.status not in NO_CLASS:
            raise
        return False
    return True


def discard_plainly(calls: NtCalls, handle: Handle) -> None:
    """Mark for deletion with the last handle, read-only or not."""
    try:
        calls.change(handle, Info.DISPOSITION, _PLAIN)
    except NtError as error:
        if error.status != Status.CANNOT_DELETE or not basic(calls, handle).attributes & Attribute.READONLY:
            raise
        with unlocked(calls, handle):
            calls.change(handle, Info.DISPOSITION, _PLAIN)


def set_attributes(calls: NtCalls, handle: Handle, attributes: int) -> None:
    """Set the attribute bits; 0 would mean "leave them alone"."""
    wanted = info.Basic(attributes=attributes or Attribute.NORMAL)
    calls.change(handle, Info.BASIC, info.BASIC.pack(*wanted))


@contextlib.contextmanager
def unlocked(calls: NtCalls, handle: Handle) -> Iterator[None]:
    """Take the read-only attribute off for the length of a block.

    It comes back if the block fails, and also if the file lives on under another name: hard links
    share their attributes.
    """
    with scratch(calls, handle, "", Access.WRITE_ATTRIBUTES | Access.READ_ATTRIBUTES) as again:
        attributes = basic(calls, again).attributes
        _, _, links, _, _ = info.STANDARD.unpack(calls.query(again, Info.STANDARD, info.STANDARD.size))
        set_attributes(calls, again, attributes & ~Attribute.READONLY)
        try:
            yield
        except NtError:
            set_attributes(calls, again, attributes)
            raise
        if links > 1:
            set_attributes(calls, again, attributes)
