"""Opening on Windows: one name below a directory handle, or an object again by its own handle.

Rules

* Every open carries OPEN_REPARSE_POINT (the entry itself is opened, never what it stands for) and
  OBJ_DONT_REPARSE (the kernel refuses rather than follow if a directory became a junction
  meanwhile), so that no reparse point is followed at any component at any moment. Only ``contents``
  leaves the first out, for a file that a filter driver keeps. There are no paths here, so there is
  nothing to compare with a prefix, to cut at 260 characters or to re-read (bugs 1, 5, 6, 7, 9).
* What is open is asked about through its handle. A handle that is refused is closed here (bugs 1,
  2, 17).
* All opens share everything: neither a Windows program nor another client is locked out.
* 8.3 short names are not names: an entry is reached by its long name only, or hidden entries would
  have a second spelling.

Numbers of bugs are those of the Windows list in docs/windows.md.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Final

from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import Access, Attribute, Disposition, Info, NtCalls, Options
from ninep.host.windows.names import folds_below, host_name, looks_short, new_name
from ninep.host.windows.status import NtError, Status
from ninep.host.windows.tags import is_contents, is_link
from ninep.linux import Errno

OURS: Final = b".ninep-"  # names of this host's own, which clients neither see nor use
ITSELF: Final = Options.OPEN_REPARSE_POINT | Options.OPEN_FOR_BACKUP_INTENT
# Looking needs no more than this: files that are unreadable, or open elsewhere without sharing, can
# be looked at all the same (bug 13).
LOOK: Final = Access.READ_ATTRIBUTES
LIST: Final = Access.READ_ATTRIBUTES | Access.READ_DATA
# What a filesystem or redirector answers that does not know an information class.
NO_CLASS: Final = frozenset(
    {
        Status.NOT_IMPLEMENTED,
        Status.INVALID_PARAMETER,
        Status.INVALID_INFO_CLASS,
        Status.NOT_SUPPORTED,
        Status.INVALID_DEVICE_REQUEST,
    }
)


def look(calls: NtCalls, handle: int) -> tuple[int, int]:
    """Attributes of what is open, and its reparse tag, 0 if it is no reparse point."""
    attributes, tag = info.ATTRIBUTE_TAG.unpack(calls.query(handle, Info.ATTRIBUTE_TAG, info.ATTRIBUTE_TAG.size))
    return attributes, tag if attributes & Attribute.REPARSE_POINT else 0


def tag_of(calls: NtCalls, handle: int) -> int:
    """The reparse tag of what is open, 0 if it is no reparse point."""
    return look(calls, handle)[1]


def is_directory(calls: NtCalls, handle: int) -> bool:
    """A directory and nothing that merely looks like one to Windows (a junction); a cloud
    provider's directories are ones.
    """
    attributes, tag = look(calls, handle)
    return bool(attributes & Attribute.DIRECTORY) and is_contents(tag)


def refuse_reparse(tag: int) -> None:
    """ELOOP for a link, ENXIO for what else is not opened (a FIFO, a socket, an alias of an
    application).
    """
    if not is_contents(tag):
        raise Refused(Errno.ELOOP if is_link(tag) else Errno.ENXIO, f"reparse point 0x{tag:08X}")


def own_name() -> str:
    """A name of this host's own that no other program uses."""
    return f"{OURS.decode()}{secrets.token_hex(8)}"


def is_own(name: bytes) -> bool:
    """Is it a name of this host's own, in any spelling that would open it?"""
    return folds_below(name, OURS)


def refuse_alias(calls: NtCalls, dir: Handle, name: bytes, code: Errno = Errno.ENOENT) -> None:
    """``code`` if the directory knows ``name`` only as the 8.3 form of a longer one, or if it is
    one of the host's own.
    """
    if is_own(name):
        raise Refused(code, "a name of the server's own")
    if not looks_short(name):
        return
    wanted = host_name(name)
    with scratch(calls, dir, "", LIST, Options.DIRECTORY_FILE) as again:
        for entry in info.entries_of(calls.query_directory(again, 4096, wanted)):
            if entry.name.upper() != wanted.upper():
                raise Refused(code, "a short name is no name")


def open_entry(calls: NtCalls, dir: Handle, name: bytes, access: int, options: int = 0) -> int:
    """Open what stands under ``name``, whatever it is. ENOENT, ENOTDIR (the directory is none),
    EACCES, EBUSY.
    """
    refuse_alias(calls, dir, name)
    try:
        return calls.create(dir, host_name(name), access, ITSELF | options)[0]
    except NtError as error:
        raise below_a_file(calls, dir, error) from None


def make_entry(
    calls: NtCalls, dir: Handle, name: bytes, access: int, options: int, *, new: bool = True, share: int = 7
) -> tuple[int, bool]:
    """Make an entry, EEXIST if ``new`` and there is one; the handle, and whether it was made."""
    refuse_alias(calls, dir, name, Errno.EEXIST)
    disposition = Disposition.CREATE if new else Disposition.OPEN_IF
    try:
        return calls.create(
            dir,
            new_name(name),
            access,
            ITSELF | options,
            disposition=disposition,
            attributes=Attribute.NORMAL,
            share=share,
        )
    except NtError as error:
        raise below_a_file(calls, dir, error) from None


def reopen(calls: NtCalls, handle: Handle, access: int, options: int = 0) -> int:
    """The object of a handle again, with other rights: no name, so no other object can take its
    place.
    """
    return calls.create(handle, "", access, ITSELF | options)[0]


@contextlib.contextmanager
def scratch(calls: NtCalls, handle: Handle, name: str, access: int, options: int = 0) -> Iterator[Handle]:
    """A handle for the length of a block; ``name`` is the host's, "" opens the object
    itself again.
    """
    opened, _ = calls.create(handle, name, access, ITSELF | options)
    try:
        yield Handle(opened)
    finally:
        calls.close(opened)


@contextlib.contextmanager
def closing(calls: NtCalls, handle: int) -> Iterator[Handle]:
    """Close a handle at the end of a block."""
    try:
        yield Handle(handle)
    finally:
        calls.close(handle)


@contextlib.contextmanager
def kept(calls: NtCalls, handle: int) -> Iterator[Handle]:
    """Close a handle if the block fails; else it is for the caller."""
    try:
        yield Handle(handle)
    except BaseException:
        calls.close(handle)
        raise


def below_a_file(calls: NtCalls, dir: Handle, error: NtError) -> OSError:
    """ENOTDIR where NT says only that there is no such path, because what should be a directory is
    a file.
    """
    if error.status in {Status.OBJECT_PATH_NOT_FOUND, Status.OBJECT_TYPE_MISMATCH, Status.INVALID_PARAMETER}:
        with contextlib.suppress(NtError):
            basic = info.BASIC.unpack(calls.query(dir, Info.BASIC, info.BASIC.size))
            if not basic[4] & Attribute.DIRECTORY:
                return Refused(Errno.ENOTDIR)
    return error
