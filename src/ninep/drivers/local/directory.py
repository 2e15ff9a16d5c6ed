"""An open directory of the local driver: the host's listing, made into directory entries of 9P.

A qid path needs device and inode; the listing has the inode, and the device is the directory's own
for everything but a mount point. So only directories are looked at one by one (0.9 us each), other
entries cost no system call. What a listing cannot know stays open: a qid version is 0, and in a
mapped model a regular file may be a link or a device, so that its type is DT_UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast
from weakref import ref

from ninep import host
from ninep.drivers.local.entry_types import QID_TYPES
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.packed import PackedListing, Recorder, pack
from ninep.errors import linux_errno
from ninep.host import LISTING_SIZE, Entry, Listing
from ninep.linux import DT_DIR, DT_REG, DT_UNKNOWN, Errno
from ninep.node import Buffer, Dirent, OpenDir
from ninep.wire.cookies import CookieTable

_NOTHING: Final[tuple[list[Dirent], int, int]] = ([], 0, 0)
_UNSEEN: Final[tuple[int, Sequence[Entry]]] = (0, ())
_HEAD: Final = 24  # qid, cookie, type and the length of the name: what an entry takes besides its name
AT_ONCE: Final = 1 << 15
"""Bytes of a reply that is not at hand: a thousand entries. Fewer are no end."""
LOOKS: Final = 128
"""Calls of stat for one reply, which then ends with the entries it has: 4 to 20 us each."""
WALK: Final = 8
"""What a walk to an entry counts, in such calls: an empty file may be a link of a mapped model."""
PIECE: Final = 16
"""Entries that are looked at in one go, where a batch of the host's has more of them."""

SEEK_ROOM: Final = 4096
"""Bytes of a reply after a jump to another place, and of the host's batch for it. They grow again as
the client reads on.
"""
GROWTH: Final = 4
FULL: Final = 1 << 32


class LocalDir(OpenDir):
    """A directory, open. Its cookies are numbers for those of the host (``wire.cookies``).

    What is left of a batch of the host's entries is kept between two reads, so that the host need
    not seek; unless too many others read (``Listings.reading``). A kept listing is not held: when
    it goes, the host is asked.
    """

    packs = True
    __slots__ = (
        "_is_short",
        "_listing",
        "_looked",
        "_next",
        "_node",
        "_packed",
        "_recorder",
        "_rest",
        "_room",
        "_span",
        "_table",
        "_unseen",
    )

    def __init__(self, node: TableEntry, listing: Listing) -> None:
        self._node = node
        self._listing = listing
        self._rest: tuple[list[Dirent], int, int] = _NOTHING
        """A batch, how much of it was read, and the number of the last entry read: replaced as one,
        because another thread may say ``forget``.
        """
        self._unseen: tuple[int, Sequence[Entry]] = _UNSEEN
        """What of a batch of the host's comes after the cookie: replaced as one, too."""
        self._looked = 0  # calls of stat, for this reply
        self._next = 0
        """Where a client that reads on will ask next: after the last entry it got; from the start,
        once it got to the end.
        """
        self._span = 0  # the most entries that a batch had, or those of the last piece of one
        self._room = FULL
        self._is_short = False  # the last reply: it says nothing about how its reader goes on
        self._table = CookieTable(node.table.listings.pool)
        self._packed: ref[PackedListing] | None = None
        self._recorder: Recorder | None = None

    def is_far(self, cookie: int) -> bool:
        return cookie != self._next and self._table.is_far(cookie)

    def read_packed(self, cookie: int, room: int) -> Buffer | None:
        """From the listing that is kept, or from the host, to be kept."""
        if cookie != self._next:
            self._room = SEEK_ROOM
        elif not self._is_short:
            self._room = min(self._room * GROWTH, FULL)
        self._is_short = False
        room = min(room, self._room)
        if cookie == 0 or not self._next:
            self._begin()
        packed = None if self._packed is None else self._packed()
        if packed is None:
            self._packed = None
            return self._read_and_pack(cookie, room)
        if cookie >= len(packed.ends):
            self._next = 0
            return b""
        data, last = packed.slice(cookie, room)
        if not data:
            return None
        self._next = last
        self._table.move_to(last)
        return data

    def _begin(self) -> None:
        node = self._node
        found = host.stat(node.get_path_handle())
        listings = node.table.listings
        packed = listings.get((node.dev, node.ino), found)
        if packed is not None and not self._table.adopt(packed.cookies):
            packed = None
        self._packed = None if packed is None else ref(packed)
        span = 0 if node.inline else node.table.model.filesystems.attr_timeout(node.dev)
        self._recorder = None if packed or not (node.inline or span) else listings.recorder(found, span)

    def _read_and_pack(self, cookie: int, room: int) -> bytes | None:
        room = min(room, AT_ONCE)
        recorder = self._recorder
        if recorder is not None and cookie != recorder.cookie:
            recorder = None
        parts: list[bytes] = []
        while entries := self.read(cookie, room):
            pieces, size, taken = pack(entries, room)
            if len(pieces) != 2 * taken:
                self._node.table.listings.leave_out(entries)
            if not taken:
                if not parts:
                    return None
                break
            parts += pieces
            room -= size
            before, cookie = cookie, entries[taken - 1][3]
            if recorder is not None and not self._record(recorder, pieces, before, cookie):
                recorder = None
            # After nothing but names that no client takes go on: an empty reply reads as the end.
            if parts and (taken < len(entries) or self._is_enough):
                break
        else:
            if recorder is not None and not parts:
                self._keep(recorder)
        self._recorder = recorder
        if parts:
            self._next = cookie
            self._table.move_to(cookie)
        return b"".join(parts)

    def _record(self, recorder: Recorder, pieces: Sequence[bytes], before: int, cookie: int) -> bool:
        cookies = self._table.between(before, cookie)
        return cookies is not None and recorder.add(pieces, cookie, cookies)

    def _keep(self, recorder: Recorder) -> None:
        """The end was reached: keep what was recorded if the directory stood still meanwhile."""
        node = self._node
        found = host.stat(node.get_path_handle())
        if recorder.stamp == (found.st_mtime_ns, found.st_ctime_ns) and self._table.plain:
            listing = recorder.listing()
            if listing is not None:
                node.table.listings.keep((node.dev, node.ino), listing)

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        """At least one entry if there is any, even when it does not fit: the caller must see that
        the room is too small.
        """
        self._looked = 0
        batch, start = self._find(cookie)
        taken: list[Dirent] = []
        while True:
            end = start
            for entry in batch[start:] if start else batch:
                room -= _HEAD + len(entry[5])
                if room < 0 and (taken or end > start):
                    break
                end += 1
            taken += batch[start:end] if start or end < len(batch) else batch
            if end < len(batch) or room < 0:
                break
            if taken and self._is_enough:
                self._is_short = True
                break
            if batch:
                cookie = batch[-1][3]
            same_batch = batch and self._unseen is not _UNSEEN
            more = self._fill(cookie)
            if not more:
                break
            # One who jumps may come back: the pieces of a batch stay together.
            start = end = len(batch) if same_batch else 0
            batch = [*batch, *more] if same_batch else more
        self._next = taken[-1][3] if taken else 0
        self._table.move_to(self._next)
        if end < len(batch) or (batch and self._room < FULL) or self._unseen is not _UNSEEN:
            self._rest = (batch, end, self._next)
            self._table.keep_to(batch[-1][3] if batch else 0)
            self._node.table.listings.reading(self)
        elif self._rest is not _NOTHING or self._unseen is not _UNSEEN:
            self.forget()
            self._node.table.listings.read(self)
        return taken

    @property
    def _is_enough(self) -> bool:
        """Whether a reply ends with the batch: it took long, or its reader jumps, and would not find
        the batch again if the next one took its place.
        """
        return self._looked >= LOOKS or self._room <= SEEK_ROOM

    def forget(self) -> None:
        """For ``Listings``: keep no entries at hand."""
        self._rest, self._unseen = _NOTHING, _UNSEEN
        self._table.keep_to(0)

    def _find(self, cookie: int) -> tuple[list[Dirent], int]:
        """Go on after ``cookie``: in the batch at hand, else where the host finds it."""
        batch, at, last = self._rest
        if cookie:
            if batch and (cookie == last or (at := _place(batch, cookie))):
                return batch, at
            earlier = max(1, cookie - self._span // 2)
            if earlier < cookie < self._next and self._table.cookie(earlier):
                batch = self._fill(
                    earlier, LISTING_SIZE if self._span > PIECE else 0
                )  # a client that goes back will go on doing so
                if at := _place(batch, cookie):
                    return batch, at
        return self._fill(cookie), 0

    def _fill(self, number: int, size: int = 0) -> list[Dirent]:
        """The next batch after ``number`` that has anything to show; nothing at the end. ``size``:
        of the host's batch, if not that of the reply.
        """
        size = size or min(self._room, LISTING_SIZE)
        cookie = self._table.cookie(number) if number else 0
        if cookie is None:
            cookie = self._reach(number)
        while cookie is not None and (entries := self._piece(cookie, size)):
            cookie = entries[-1][1]
            batch, number = self._shown(entries, number)
            if batch:
                return batch
        return []

    def _piece(self, cookie: int, size: int) -> Sequence[Entry]:
        """The host's entries after a cookie: all that it gives at once, if few must be looked at."""
        at, entries = self._unseen
        if not cookie or at != cookie:
            entries = self._listing.read(cookie, size)
        self._unseen = _UNSEEN
        if len(entries) <= PIECE:
            return entries
        types_to_stat = self._node.table.types_to_stat
        to_stat = [at for at, entry in enumerate(entries) if entry[2] in types_to_stat]
        if len(to_stat) <= PIECE:
            return entries
        count = to_stat[PIECE]
        self._unseen = (entries[count - 1][1], entries[count:])
        return entries[:count]

    def _reach(self, number: int) -> int | None:
        """The host's cookie for a number that is not in the table: count so many entries. None if
        there are fewer.
        """
        table = self._table
        last, cookie = table.last
        if number < last:
            table.restart()
            last = cookie = 0
        while last < number:
            entries = self._listing.read(cookie)
            if not entries:
                return None
            cookie = entries[-1][1]
            if visible := self._visible(entries):
                last = table.number(last, [entry[1] for entry in visible])[-1]
        return table.cookie(number)

    def _visible(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        model = self._node.table.model
        if not model.reserved_names:
            return entries
        is_reserved = model.is_reserved
        return [entry for entry in entries if not is_reserved(entry[3])]

    def _shown(self, entries: Sequence[Entry], after: int) -> tuple[list[Dirent], int]:
        """What of a batch is shown, and the number of its last entry."""
        table = self._node.table
        self._span = max(self._span, len(entries)) if self._unseen is _UNSEEN else len(entries)
        if table.model.reserved_names and not (entries := self._visible(entries)):
            return [], after
        numbers = self._table.number(after, [entry[1] for entry in entries])
        bits, suffix, limit = table.qids.affix(self._node.dev)
        types, types_to_stat = table.shown_types, table.types_to_stat
        number = numbers[0] - 1
        batch: list[Dirent | tuple[int, int, int, int, int, bytes] | None] = [
            # Plain tuples: a Dirent's constructor would double the cost of an entry (0.25 us).
            # Counting costs 0.02 us, a zip with the numbers 0.1.
            (QID_TYPES[kind], 0, ino << bits | suffix, number, types[kind], name)
            if (number := number + 1) and kind not in types_to_stat and ino < limit
            else self._stat_entry(ino, number, kind, name)
            for ino, _, kind, name in entries
        ]
        if type(numbers) is not range:  # of a directory that changed
            batch = [entry and (*entry[:3], number, *entry[4:]) for number, entry in zip(numbers, batch, strict=True)]
        return cast("list[Dirent]", [entry for entry in batch if entry] if None in batch else batch), numbers[-1]

    def _stat_entry(self, ino: int, cookie: int, kind: int, name: bytes) -> Dirent | None:
        """An entry that the listing does not say enough about; None if it is gone. No failure of
        one entry ends a listing.
        """
        self._looked += 1
        table, node = self._node.table, self._node
        device, size = node.dev, 0
        try:
            if name == b".":
                kind, ino = DT_DIR, node.ino
            elif name == b"..":
                kind, device, ino = DT_DIR, node.parent_node.dev, node.parent_node.ino
            else:
                found = host.stat_same_mount(node.get_path_handle(), name)
                device, ino, kind, size = found.st_dev, found.st_ino, found.st_mode >> 12, found.st_size
        except OSError as error:
            code = linux_errno(error)
            if code is Errno.ENOENT:
                return None
            if code is Errno.EXDEV:
                device, ino = self._mounted(ino, name)
            elif kind == DT_DIR:
                return Dirent(QID_TYPES[kind], 0, ino, cookie, DT_UNKNOWN, name)
        try:
            path = table.qids.path(device, ino)
        except OSError:  # multidevs=forbid, or no path left: shown all the same
            path = ino
        shown = table.shown_types[kind]
        if shown == DT_UNKNOWN and DT_REG in table.types_to_stat and not size:
            shown = self._kind(name)
        return Dirent(QID_TYPES[kind], 0, path, cookie, shown, name)

    def _kind(self, name: bytes) -> int:
        """What the model says that an empty file is. DT_UNKNOWN if it cannot say."""
        self._looked += WALK
        try:
            found = self._node.walk(name)
        except OSError:
            return DT_UNKNOWN
        kind = found.kind
        found.release()
        return kind

    def _mounted(self, ino: int, name: bytes) -> tuple[int, int]:
        """Device and inode of an entry on which another filesystem is mounted, which may be one
        that does not answer: as it was walked to, else those of what is covered by it, as the
        host's own listing shows (readdir(3)).
        """
        children = self._node.children
        known = None if children is None else children.get(name)
        return (self._node.dev, ino) if known is None else (known.dev, known.ino)

    def fsync(self, datasync: bool) -> None:  # noqa: ARG002 - a directory has no data apart from its entries
        self._listing.sync()

    def close(self) -> None:
        self._node.table.listings.read(self)
        self._table.close()
        self._node.table.handles.count_opened(-1)
        self._listing.close()


def _place(batch: Sequence[Dirent], number: int) -> int:
    """How many entries of a batch are read when the one of this number is; 0 if it is not there."""
    if not batch:
        return 0
    first = batch[0][3]
    guess = number - first
    if 0 <= guess < len(batch) and batch[guess][3] == number:
        return guess + 1
    if batch[-1][3] - first == len(batch) - 1:  # one number after the other
        return 0
    return next((at for at, entry in enumerate(batch, 1) if entry[3] == number), 0)
