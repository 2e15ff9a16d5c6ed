"""Extended attributes on Windows: each one an alternate data stream of the file or folder, named by
``names.stream_name``.

``user.virtfs.uid`` is the stream ``user.virtfs.uid``, as in the hypervisor's Windows patches; a
client's own attributes are kept the same way. Other programs' streams (``Zone.Identifier``) are no
attributes and are not shown.

Rules

* A stream is opened relative to the file's own handle: no name is looked up, nothing can be swapped
  (bug 4). Where that cannot be done (network redirectors; Wine) it is opened as ``name:stream``
  below the directory, and counts only if file and stream turn out to be the same object: ESTALE if
  not, and what was made by mistake is removed.
* All opens share everything (bug 11). A new value is written over the old one and then cut: no
  reader finds the attribute empty, and of the mapped attributes, which have one length, none finds
  it mixed.
* CREATE and REPLACE are the open's own disposition, atomic (bug 11). What fails is undone.
* Writing a stream moves the file's mtime on NTFS, which a chmod must not: it is put back by the
  same handle, after which NTFS leaves it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from ninep.errors import Refused
from ninep.host._api import NO_HANDLE, Handle, ObjectRef
from ninep.host.windows import info
from ninep.host.windows.api import Access, Disposition, Info, NtCalls, Options
from ninep.host.windows.names import attribute_name, host_name, stream_name
from ninep.host.windows.open import ITSELF, LOOK, NO_CLASS, closing, kept, open_entry, own_name, reopen, scratch
from ninep.host.windows.remove import basic, discard
from ninep.host.windows.stat import identity
from ninep.host.windows.status import NtError, Status
from ninep.linux import XATTR_CREATE, XATTR_REPLACE, XATTR_SIZE_MAX, Errno

_LIST_MAX: Final = 1 << 20
_DISPOSITIONS: Final = {0: Disposition.OPEN_IF, XATTR_CREATE: Disposition.CREATE, XATTR_REPLACE: Disposition.OPEN}
_READ: Final = Access.READ_DATA | Access.READ_ATTRIBUTES
_WRITE: Final = Access.WRITE_DATA | Access.READ_ATTRIBUTES | Access.WRITE_ATTRIBUTES
_PROBE: Final = Access.DELETE | Access.READ_ATTRIBUTES | Access.WRITE_ATTRIBUTES
# The second is Wine's, of what Linux thought was there: a mount remembers for a while the streams
# of a file whose name another one has now.
_MISSING: Final = frozenset({Status.OBJECT_NAME_NOT_FOUND, Status.NO_SUCH_FILE})
# A system that cannot open ":stream" below a file's handle says one of these; NTFS, of a missing
# stream, OBJECT_NAME_NOT_FOUND.
_NOT_BELOW_A_FILE: Final = frozenset(
    {Status.OBJECT_PATH_NOT_FOUND, Status.OBJECT_NAME_INVALID, Status.OBJECT_PATH_SYNTAX_BAD, Status.OBJECT_TYPE_MISMATCH,
     Status.INVALID_PARAMETER, Status.NOT_SUPPORTED, Status.NOT_A_DIRECTORY}
)  # fmt: skip


class Streams:
    """The attributes of one system's files. ``by_name``: streams are opened below the directory
    only.
    """

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self.by_name = False
        self._places: dict[Handle, ObjectRef] = {}

    def opened(self, handle: Handle, dir: Handle, name: bytes) -> None:
        """An open file may be asked for its attributes later, without a name: where they go by
        name, it is remembered.
        """
        if self.by_name and dir != NO_HANDLE and handle not in self._places:
            again = Handle(reopen(self._calls, dir, LOOK))
            handle = Handle(
                int(handle)
            )  # the number alone: a path handle of the driver closes itself when no reference to it is left
            self._places[handle] = ObjectRef(handle, again, name)

    def closed(self, handle: Handle) -> None:
        """An open file ends."""
        if self._places and (place := self._places.pop(handle, None)):
            self._calls.close(place.dir)

    def get(self, place: ObjectRef, attribute: bytes) -> bytes:
        """ENODATA; ERANGE for a stream that no client could have written (over 64 KiB)."""
        with self._open(place, attribute, _READ, Disposition.OPEN) as (stream, _):
            value = self._calls.read(stream, XATTR_SIZE_MAX + 1, 0)
        if len(value) > XATTR_SIZE_MAX:
            raise Refused(Errno.ERANGE)
        return value

    def set(self, place: ObjectRef, attribute: bytes, value: bytes, flags: int) -> None:
        """EEXIST, ENODATA by ``flags``; EACCES if the file has Windows' read-only attribute."""
        calls = self._calls
        with self._open(place, attribute, _WRITE, _DISPOSITIONS[flags]) as (stream, made):
            try:
                before = basic(calls, stream).written
                self._write(stream, value)
                self._put_back(place, stream, before)
            except OSError:
                if made:
                    self._unmake(stream)
                raise

    def _unmake(self, stream: Handle) -> None:
        with scratch(self._calls, stream, "", Access.DELETE | Access.READ_ATTRIBUTES) as again:
            discard(self._calls, again)

    def _write(self, stream: Handle, value: bytes) -> None:
        """All of it (bug 11: short writes), then the end."""
        done = 0
        while done < len(value):
            done += self._calls.write(stream, value[done:], done)
        self._calls.change(stream, Info.END_OF_FILE, info.END_OF_FILE.pack(len(value)))

    def _put_back(self, place: ObjectRef, stream: Handle, written: int) -> None:
        raw = info.BASIC.pack(*info.Basic(written=written))
        try:
            self._calls.change(stream, Info.BASIC, raw)
        except NtError as error:
            if error.status != Status.INVALID_PARAMETER:
                raise
            self._calls.change(place.path_handle, Info.BASIC, raw)  # Wine sets no times through a stream

    def remove(self, place: ObjectRef, attribute: bytes) -> None:
        """ENODATA."""
        with self._open(place, attribute, Access.DELETE | Access.READ_ATTRIBUTES, Disposition.OPEN) as (stream, _):
            discard(self._calls, stream)

    def names(self, place: ObjectRef) -> list[bytes]:
        """All attributes. EOPNOTSUPP where the system does not list streams."""
        size = 4096
        while True:
            try:
                raw = self._calls.query(place.path_handle, Info.STREAM, size)
                break
            except NtError as error:
                if error.status == Status.END_OF_FILE:  # a folder without any
                    return []
                if error.status in NO_CLASS:
                    raise Refused(Errno.EOPNOTSUPP, "streams cannot be listed here") from None
                if error.status not in {Status.BUFFER_OVERFLOW, Status.BUFFER_TOO_SMALL} or size >= _LIST_MAX:
                    raise
                size *= 4
        found = (attribute_name(stream) for stream in info.streams_of(raw))
        return [attribute for attribute in found if attribute is not None]

    @contextlib.contextmanager
    def _open(
        self, place: ObjectRef, attribute: bytes, access: int, disposition: Disposition
    ) -> Iterator[tuple[Handle, bool]]:
        """A stream for the length of a block, and whether it was made."""
        stream = stream_name(attribute)
        try:
            opened, made = self._find(place, stream, access, disposition)
        except NtError as error:
            if error.status in _MISSING:
                raise Refused(Errno.ENODATA) from None
            raise
        with closing(self._calls, opened) as handle:
            yield handle, made

    def _find(self, place: ObjectRef, stream: str, access: int, disposition: Disposition) -> tuple[int, bool]:
        if place.dir == NO_HANDLE or b"/" in place.name:  # an open file, or the export's root
            place = self._places.get(place.path_handle, ObjectRef(place.path_handle, NO_HANDLE, b""))
        named = place.dir != NO_HANDLE
        if not (self.by_name and named):
            try:
                opened, made = self._create(place.path_handle, f":{stream}", access, disposition)
            except NtError as error:
                if error.status not in _NOT_BELOW_A_FILE:
                    raise
                if not named:
                    raise Refused(Errno.EOPNOTSUPP, "streams go by name here, and it has none") from None
            else:
                # Wine, below a folder, makes a file with a colon in its name.
                if not made or self._belongs(opened, made, place):
                    return opened, made
                raise Refused(Errno.EOPNOTSUPP, "no named streams here")
        opened, made = self._create(place.dir, f"{host_name(place.name)}:{stream}", access, disposition)
        if self._belongs(opened, made, place):
            return opened, made
        raise self._mistaken(place)

    def _belongs(self, opened: int, made: bool, place: ObjectRef) -> bool:
        """Is this the file's stream? If not it is closed, and unmade if it was made."""
        with kept(self._calls, opened):
            if identity(self._calls, opened) == identity(self._calls, place.path_handle):
                return True
        with closing(self._calls, opened) as handle:
            if made:
                self._unmake(handle)
        return False

    def _create(self, root: Handle, name: str, access: int, disposition: Disposition) -> tuple[int, bool]:
        options = ITSELF | Options.NON_DIRECTORY_FILE
        try:
            return self._calls.create(root, name, access, options, disposition=disposition)
        except NtError as error:
            if disposition != Disposition.OPEN_IF or error.status != Status.NO_SUCH_FILE:
                raise
        return self._calls.create(root, name, access, options, disposition=Disposition.CREATE)

    def _mistaken(self, place: ObjectRef) -> OSError:
        """Why the stream was not the file's: another program replaced the file, or the filesystem
        made a file with a colon in its name.
        """
        with closing(self._calls, open_entry(self._calls, place.dir, place.name, LOOK)) as again:
            if identity(self._calls, again) != identity(self._calls, place.path_handle):
                return Refused(Errno.ESTALE)
        return Refused(Errno.EOPNOTSUPP, "no named streams here")

    def work_in(self, dir: Handle) -> bool:
        """Try it, for a volume that does not say that it has streams, or is far away. Leaves
        nothing behind.

        Learns on the way whether they can be opened through a file's handle.
        """
        calls = self._calls
        name, options = own_name(), ITSELF | Options.NON_DIRECTORY_FILE
        try:
            handle, _ = calls.create(dir, name, _PROBE, options, disposition=Disposition.CREATE)
        except NtError:
            return False
        with closing(calls, handle) as path_handle:
            try:
                if self._takes(ObjectRef(path_handle, NO_HANDLE, b"")):
                    return True
                before, self.by_name = self.by_name, True
                if self._takes(ObjectRef(path_handle, dir, name.encode())):
                    return True
                self.by_name = before
                return False
            finally:
                discard(calls, path_handle)

    def _takes(self, place: ObjectRef) -> bool:
        try:
            self.set(place, b"user.probe", b"x", XATTR_CREATE)
        except OSError:
            return False
        return True
