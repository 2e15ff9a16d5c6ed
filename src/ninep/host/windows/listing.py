"""Directory listings on Windows: a snapshot of names, the cookie an index into it.

NT reads a directory through a handle that remembers where it is and cannot go back, so each rewind
starts a new scan on a fresh handle. What was read is kept, packed (about 30 bytes an entry, 30 MB
for a million), and grows as the client reads on; cookies are positions in it, so creates and
deletes between two reads shift nothing (bug 18: the patches' heuristics skipped entries). Names,
types and file ids come from the directory: no entry is opened, so one that is locked, unreadable or
a link cannot fail the listing (bug 14).

A host name that no client name leads to (see ``names``) is left out, with one warning.

An open directory handle would keep Windows from renaming the directories above it, so it is let go
as soon as the scan is complete, where the directory can be found again by its file id; it is closed
once, whatever happens (bugs 12, 17).
"""

from __future__ import annotations

import bisect
import logging
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from ninep import linux
from ninep.host._api import LISTING_SIZE, Entry, Handle
from ninep.host.windows import info
from ninep.host.windows.api import Access, NtCalls
from ninep.host.windows.names import client_name
from ninep.host.windows.open import closing, is_own, scratch
from ninep.host.windows.stat import mode_of
from ninep.host.windows.status import NtError, Status

log = logging.getLogger(__name__)

_BUFFER: Final = 65536
_PACKED: Final = Struct("<QBH")
_DOTS: Final = b"".join(_PACKED.pack(0, linux.DT_DIR, len(name)) + name for name in (b".", b".."))
_MASK: Final = (1 << 64) - 1
# No write access; a filesystem that flushes no directories; a name that is gone already.
_UNFLUSHABLE: Final = frozenset(
    {Status.ACCESS_DENIED, Status.INVALID_DEVICE_REQUEST, Status.INVALID_PARAMETER, Status.NOT_SUPPORTED, Status.DELETE_PENDING,
     Status.FILE_DELETED, Status.MEDIA_WRITE_PROTECTED, Status.SHARING_VIOLATION}
)  # fmt: skip


class Snapshot:
    """A ``_api.Listing``.

    ``first`` is a handle of its own for listing. With ``keep`` it stays open and is never read
    from, ``again`` makes the handles to read from it; without, it is the first one to be read from,
    and ``again`` finds the directory by other means. ``typed``: the directory's file ids and types
    are those of ``stat``.
    """

    def __init__(self, calls: NtCalls, first: Handle, again: Callable[[], Handle], *, keep: bool, typed: bool) -> None:
        self._calls = calls
        self._kept = first if keep else None
        self._scan = None if keep else first
        self._unread = not keep
        self._again = again
        self._typed = typed
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._count = 0
        self._warned = False

    def read(self, cookie: int, size: int = LISTING_SIZE) -> Sequence[Entry]:  # noqa: ARG002 - a batch is one of NT's
        """The next batch after ``cookie``; 0 takes a new snapshot."""
        if cookie == 0:
            self._rewind()
        while cookie >= self._count:
            if not self._more():
                return ()
        chunk = bisect.bisect_right(self._starts, cookie) - 1
        if chunk == len(self._chunks) - 1:
            self._more()  # most directories end there, and their handles can go
        return self._unpack(chunk)[cookie - self._starts[chunk] :]

    def _rewind(self) -> None:
        if not self._unread:
            self._end_scan()
            self._scan = self._again()
        self._unread = False
        self._chunks, self._starts, self._count = [], [], 0

    def _more(self) -> bool:
        """Read on; False at the end."""
        while self._scan is not None:
            packed, count = self._pack(self._calls.query_directory(self._scan, _BUFFER))
            if packed:
                self._starts.append(self._count)
                self._chunks.append(packed)
                self._count += count
                return True
        return False

    def _pack(self, raw: bytes) -> tuple[bytes, int]:
        if not raw:
            self._end_scan()
        # A volume's root has no dot entries of its own; their file ids are for the caller to know.
        out, count = (bytearray(), 0) if self._chunks else (bytearray(_DOTS), 2)
        for entry in info.entries_of(raw):
            if entry.name in {".", ".."}:
                continue
            name = client_name(entry.name)
            if name is None:
                self._leave_out(entry.name)
                continue
            if is_own(name):
                continue
            kind = mode_of(entry.attributes, entry.tag) >> 12 if self._typed else linux.DT_UNKNOWN
            out += _PACKED.pack(entry.ino & _MASK, kind, len(name)) + name
            count += 1
        return bytes(out), count

    def _unpack(self, chunk: int) -> list[Entry]:
        packed, cookie, at = self._chunks[chunk], self._starts[chunk], 0
        entries = []
        while at < len(packed):
            ino, kind, length = _PACKED.unpack_from(packed, at)
            at += _PACKED.size + length
            cookie += 1
            entries.append(Entry(ino, cookie, kind, packed[at - length : at]))
        return entries

    def _leave_out(self, name: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("left out of a listing, because no client can name it: %s", ascii(name))

    def sync(self) -> None:
        """As ``flush``."""
        with closing(self._calls, self._again()) as handle:
            flush(self._calls, handle)

    def _end_scan(self) -> None:
        scan, self._scan = self._scan, None
        if scan is not None:
            self._calls.close(scan)

    def close(self) -> None:
        """Close what is still open."""
        self._end_scan()
        kept, self._kept = self._kept, None
        if kept is not None:
            self._calls.close(kept)


def flush(calls: NtCalls, handle: Handle) -> None:
    """To stable storage, whatever rights the handle has.

    NT flushes through handles with write access only, and git syncs through ones without: then the
    object is opened once more. Without the right to write there is nothing to flush.
    """
    try:
        calls.flush(handle)
    except NtError as error:
        if error.status not in _UNFLUSHABLE:
            raise
    else:
        return
    try:
        with scratch(calls, handle, "", Access.WRITE_DATA) as again:
            calls.flush(again)
    except NtError as error:
        if error.status not in _UNFLUSHABLE:
            raise
