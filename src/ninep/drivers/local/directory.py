"""An open directory of the local driver: the host's listing, made into directory entries of 9P.

A qid path needs device and inode; the listing has the inode, and the device is the directory's own for everything but a mount point. So
only directories are looked at one by one (0.9 us each), other entries cost no system call. What a listing cannot know stays open: a
qid version is 0, and in a mapped model a regular file may be a link or a device, so that its type is DT_UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast
from weakref import ref

from ninep import host
from ninep.drivers.local.packed import PackedListing, Recorder, pack
from ninep.errors import linux_errno
from ninep.host import Entry, Listing
from ninep.linux import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, Errno
from ninep.node import Buffer, Dirent, OpenDir
from ninep.wire.types import QT_DIR, QT_FILE, QT_SYMLINK

if TYPE_CHECKING:
    from ninep.drivers.local.node import LocalNode

_LOOK_AT: Final = frozenset((DT_DIR, DT_UNKNOWN))
_NOTHING: Final[tuple[list[Dirent], int]] = ([], 0)
_HEAD: Final = 24  # qid, cookie, type and the length of the name: what an entry takes besides its name
QID_TYPES: Final = tuple({DT_DIR: QT_DIR, DT_LNK: QT_SYMLINK}.get(kind, QT_FILE) for kind in range(16))
"""From the type of a file, ``mode >> 12`` or a ``linux.DT_*``, to the type of its qid."""


class LocalDir(OpenDir):
    """A directory, open. What is left of a batch of the host's entries is kept between two reads, so that the host need not seek; unless too many
    others read (``Listings.reading``). A kept listing is not held: when it goes, the host is asked, who knows its cookies.
    """

    __slots__ = ("_cookie", "_listing", "_next", "_node", "_packed", "_position", "_recorder", "_rest")

    def __init__(self, node: LocalNode, listing: Listing) -> None:
        self._node = node
        self._listing = listing
        self._rest: tuple[list[Dirent], int] = _NOTHING
        """A batch, and how much of it was read: replaced as one, because another thread may say ``forget``."""
        self._next = 0  # the cookie after that
        self._packed: ref[PackedListing] | None = None
        self._position = 0  # in the packed listing, and the cookie that leads there
        self._cookie = 0
        self._recorder: Recorder | None = None

    def read_packed(self, cookie: int, room: int) -> Buffer | None:
        """From the listing that is kept, or from the host, to be kept."""
        if cookie == 0:
            self._begin()
        elif self._packed is not None and cookie != self._cookie:
            self._packed = None  # somewhere else, as seekdir(3) goes: the host knows all cookies
        packed = None if self._packed is None else self._packed()
        if packed is None:
            self._packed = None
            return self._read_and_pack(cookie, room)
        data, end, last = packed.slice(self._position, room)
        if not data:
            return data if end == len(packed.data) else None
        self._position, self._cookie = end, last
        return data

    def _begin(self) -> None:
        node = self._node
        found = host.stat(node.held())
        listings = node.tree.listings
        packed = listings.get((node.dev, node.ino), found)
        self._packed = None if packed is None else ref(packed)
        self._position = 0
        self._recorder = None if packed or not node.inline else listings.recorder(found)

    def _read_and_pack(self, cookie: int, room: int) -> bytes | None:
        recorder = self._recorder
        if recorder is not None and cookie != recorder.cookie:
            recorder = None
        parts: list[bytes] = []
        while entries := self.read(cookie, room):
            pieces, size, last = pack(entries, room)
            if not last:
                if not parts:
                    return None
                break
            parts += pieces
            room -= size
            cookie = last
            if recorder is not None and not recorder.add(pieces, cookie):
                recorder = None
            if last != entries[-1][3]:
                break
        else:
            if recorder is not None and not parts:
                self._keep(recorder)
        self._recorder = recorder
        return b"".join(parts)

    def _keep(self, recorder: Recorder) -> None:
        """The end was reached: keep what was recorded if the directory stood still meanwhile."""
        node = self._node
        found = host.stat(node.held())
        if recorder.stamp == (found.st_mtime_ns, found.st_ctime_ns):
            node.tree.listings.keep((node.dev, node.ino), recorder.listing())

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        """At least one entry if there is any, even when it does not fit: who asked must see that his room is too small."""
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
            if batch:
                cookie = batch[-1][3]
            batch, end = self._fill(cookie), 0
            if not batch:
                break
            start = 0
        if taken:
            self._next = taken[-1][3]
        if end < len(batch):
            self._rest = (batch, end)
            self._node.tree.listings.reading(self)
        elif self._rest is not _NOTHING:
            self._rest = _NOTHING
            self._node.tree.listings.read(self)
        return taken

    def forget(self) -> None:
        """For ``Listings``: keep no entries at hand."""
        self._rest = _NOTHING

    def _find(self, cookie: int) -> tuple[list[Dirent], int]:
        """Go on after ``cookie``: in the batch at hand, else where the host finds it."""
        batch, at = self._rest
        if cookie and cookie == self._next and batch:
            return batch, at
        if cookie:
            for place, entry in enumerate(batch):
                if entry[3] == cookie:
                    return batch, place + 1
        return self._fill(cookie), 0

    def _fill(self, cookie: int) -> list[Dirent]:
        """The next batch that has anything to show; nothing at the end."""
        while entries := self._listing.read(cookie):
            cookie = entries[-1][1]
            if batch := self._shown(entries):
                return batch
        return []

    def _shown(self, entries: Sequence[Entry]) -> list[Dirent]:
        tree = self._node.tree
        if tree.model.reserved:
            hides = tree.model.hides
            entries = [entry for entry in entries if not hides(entry[3])]
        bits, suffix, limit = tree.qids.affix(self._node.dev)
        types = tree.shown_types
        batch: list[Dirent | tuple[int, int, int, int, int, bytes] | None] = [
            # A plain tuple, not a Dirent: the NamedTuple's constructor would double the cost of an entry (0.25 us).
            (QID_TYPES[kind], 0, ino << bits | suffix, cookie, types[kind], name)
            if kind not in _LOOK_AT and ino < limit
            else self._looked_at(ino, cookie, kind, name)
            for ino, cookie, kind, name in entries
        ]
        return cast("list[Dirent]", [entry for entry in batch if entry] if None in batch else batch)

    def _looked_at(self, ino: int, cookie: int, kind: int, name: bytes) -> Dirent | None:
        """An entry that the listing does not say enough about; None if it is gone. No failure of one entry ends a listing."""
        tree, node = self._node.tree, self._node
        device = node.dev
        try:
            if name == b".":
                kind, ino = DT_DIR, node.ino
            elif name == b"..":
                kind, device, ino = DT_DIR, node.up.dev, node.up.ino
            else:
                found = host.stat_at(node.held(), name)
                device, ino, kind = found.st_dev, found.st_ino, found.st_mode >> 12
        except OSError as error:
            if linux_errno(error) is Errno.ENOENT:
                return None
            if kind == DT_DIR:
                return Dirent(QID_TYPES[kind], 0, ino, cookie, DT_UNKNOWN, name)
        try:
            path = tree.qids.path(device, ino)
        except OSError:  # multidevs=forbid, or no path left: shown all the same
            path = ino
        return Dirent(QID_TYPES[kind], 0, path, cookie, tree.shown_types[kind], name)

    def fsync(self, datasync: bool) -> None:  # noqa: ARG002 - a directory has no data apart from its entries
        self._listing.sync()

    def close(self) -> None:
        self._node.tree.listings.read(self)
        self._node.tree.pins.count_opened(-1)
        self._listing.close()


def shown_types(plain_types: bool) -> tuple[int, ...]:
    """From a ``linux.DT_*`` of the host to the one to show: a mapped model's regular file may be anything."""
    return tuple(kind if plain_types or kind != DT_REG else DT_UNKNOWN for kind in range(16))
