"""A session: everything between INIT and DESTROY of one mount: node ids with their lookups, what is
open, what was agreed on.

Rules

* A node id stands for a file, by whatever name it was looked up: the kernel keeps one inode for it.
  A file is known again by its qid path and, where the host tells, its time of creation: an inode
  number that the host gives to another file gets another node id. Node ids and handles count up and
  are never used twice, so that a late request meets ESTALE or EBADF and never another file.
* The kernel counts its references (LOOKUP and its like add one, FORGET takes some away). What is
  open, and a request in a worker thread, *refers* to a node: it is released when there are neither.
* A node that is looked up again becomes the newest one found, unless it is referred to: its name is the
  one that leads to it now.

Handlers get the session as their first argument. Tables are changed with the lock held, because
worker threads commit at the same time; nodes are released without it.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Sequence
from itertools import islice
from typing import Final, TypeAlias

from ninep.errors import Refused
from ninep.linux import GETATTR_BASIC, GETATTR_BTIME, NO_ID, O_WRONLY, Errno
from ninep.node import Attributes, Node, OpenDir, OpenFile, User
from ninep.server.budgets import PROMISED_DIRECTORIES, PROMISED_FIDS, Allowance, Budgets
from ninep.server.entries import EntryListing
from ninep.server.exports import Export
from ninep.server.limits import Limits, OverLimit
from ninep.transport.fuse import DEFAULT, MountOptions
from ninep.transport.peers import Peer
from ninep.wire.fuse import FOPEN_NOFLUSH, NOFLUSH_MINOR, PAGE, ROOT_ID, Init
from ninep.wire.fuse_codec import Timeout

LOOKUP_MASK: Final = GETATTR_BASIC | GETATTR_BTIME
DirectoryEntry: TypeAlias = tuple[int, int, int, bytes]
"""Inode number, the offset behind it, type, name."""


class Entry:
    """What a node id stands for."""

    __slots__ = ("key", "lookups", "node", "nodeid", "references", "version")

    def __init__(self, nodeid: int, node: Node, key: Hashable) -> None:
        self.nodeid = nodeid
        self.node = node
        self.key = key
        self.lookups = 0
        """References of the kernel."""
        self.references = 0
        """What is open, and requests in worker threads."""
        self.version: int | None = None
        """The qid version at the last open: whether the kernel's pages are still those."""

    def note_open(self, version: int) -> bool:
        """It is opened at this qid version. False if the version was another at the last open."""
        same = self.version == version
        self.version = version
        return same


class Opened:
    """What a handle (``fh``) stands for: an open file or directory."""

    __slots__ = (
        "ahead",
        "closed",
        "directory",
        "entries",
        "entry",
        "export",
        "file",
        "flags",
        "guard",
        "keeps",
        "plain",
        "references",
        "uid",
    )

    def __init__(
        self,
        entry: Entry,
        export: Export,
        flags: int,
        uid: int,
        *,
        file: OpenFile | None = None,
        directory: OpenDir | None = None,
    ) -> None:
        self.entry = entry
        self.export = export
        self.flags = flags
        self.uid = uid
        self.file = file
        self.directory = directory
        self.entries: EntryListing | None = None
        self.ahead: tuple[int, Sequence[DirectoryEntry]] = (0, ())
        """Entries of a directory that were read and did not fit into the reply, and the offset that
        they follow.
        """
        self.plain: OpenFile | None = None
        """Of a file opened O_APPEND: the same without it, for pages that were written through a
        mapping.
        """
        self.guard = threading.Lock()
        """Listings are read by one thread at a time."""
        self.references = 0
        """Requests in worker threads."""
        self.closed = False
        self.keeps = True
        """It has a handle of the host all the time (see ``OpenFile.idle``)."""

    def keep_ahead(self, offset: int, entries: Sequence[DirectoryEntry]) -> None:
        """These follow ``offset``, which the next read is likely to begin at."""
        self.ahead = offset, entries

    def listing(self, directory: OpenDir) -> EntryListing:
        """The numbered entries of its directory."""
        if self.entries is None:
            self.entries = EntryListing(directory, self.export)
        return self.entries

    def without_append(self) -> OpenFile:
        """The file once more, without O_APPEND, for pages of the kernel's cache."""
        with self.guard:
            if self.plain is None:
                self.plain = self.entry.node.open(O_WRONLY, self.uid)
            return self.plain

    @property
    def storage(self) -> Hashable:
        """What a request for it may have to wait for: see ``server.offload``."""
        return storage_of(self.entry, self.export)


def storage_of(entry: Entry, export: Export) -> Hashable:
    """What a request for a node may have to wait for."""
    found = entry.node.storage
    return export if found is None else found


class Session:
    """What one kernel has, from INIT to the end."""

    def __init__(
        self, export: Export, limits: Limits, budgets: Budgets, peer: Peer, options: MountOptions = DEFAULT
    ) -> None:
        self.export = export
        self.limits = limits
        self.options = options
        self.peer = peer
        self.counters = budgets.counters
        self.timeout = Timeout.of(options.cache)
        self.flags = Init(0)
        self.over = False
        """Nothing of it is answered any more."""
        self.minor = 0
        """Of the version that was agreed on; 0 before INIT."""
        self.open_flags = 0
        """What each open file is answered with."""
        self.max_write = max(PAGE, limits.msize // PAGE * PAGE)
        """Bytes of data in one request: whole pages."""
        self.inline = export.inline
        """The driver may be called in the event loop."""
        self.slow_driver = False
        self.threadsafe = True
        self.on_slow_storage = False
        """Some node is of a file that one has to wait for, though the root is none."""
        self.user = User()
        self.nodes: dict[int, Entry] = {}
        self.by_key: dict[Hashable, Entry] = {}
        self.opened: dict[int, Opened] = {}
        self.idle = 0
        """Open files that keep no handle (``OpenFile.idle``) ..."""
        self.handles = 0
        """... and those that do, directories included."""
        self.directories = 0
        self.unlocked = False
        """Locks have ended since ``Dispatcher.retry``: what waits for one may have it now."""
        self._last = ROOT_ID
        self._last_handle = 0
        self._guard = threading.RLock()
        self._nodes_allowance = Allowance(budgets.fids, PROMISED_FIDS, limits.fids, 1024, self.nodes.__len__)
        self._open_allowance = Allowance(
            budgets.open_files, budgets.promised_files, limits.open_files, 64, lambda: self.handles
        )
        self._listing_allowance = Allowance(
            budgets.directories, PROMISED_DIRECTORIES, limits.directories, 8, lambda: self.directories
        )

    # -- beginning -------------------------------------------------------------------------------------------------------

    def meet(self, peer: Peer) -> None:
        """The process at the other end is known."""
        self.peer = peer

    def agree(self, flags: Init, minor: int) -> None:
        """What both sides know, and the version that they speak. A FLUSH ends locks here and does nothing
        else: a kernel that keeps its own need not ask at each close(2).
        """
        self.flags = flags
        self.minor = minor
        if minor >= NOFLUSH_MINOR and not flags & Init.POSIX_LOCKS:
            self.open_flags = FOPEN_NOFLUSH

    def set_unlocked(self, value: bool) -> None:
        """Some range was unlocked since those that wait for locks were tried, or was not."""
        self.unlocked = value

    def attach(self) -> None:
        """Node id 1 becomes the root of the export. EACCES for a peer that may not have it."""
        why = self.export.access.refusal(self.peer)
        if why:
            raise Refused(Errno.EACCES, why)
        self.user = self.export.user(b"", 0, self.peer)
        node = self.export.attach(self.user, self.peer)
        root = Entry(ROOT_ID, node, None)
        root.lookups = 1
        self.nodes[ROOT_ID] = root
        self.threadsafe = self.export.driver.threadsafe or not node.inline
        self.slow_driver = not node.inline
        self.inline = node.inline
        self.counters.attached(self.export.name)

    def inline_again(self) -> None:
        """Storage that was slow for a while gets another try in the event loop."""
        self.inline = not self.slow_driver

    def owner(self, uid: int) -> int:
        """The user that acts: that of the request, or where the export does not trust clients the one
        that the kernel names for the other end.
        """
        return uid if self.export.trusting else self.user.uid

    # -- nodes -----------------------------------------------------------------------------------------------------------

    def entry(self, nodeid: int) -> Entry:
        """What a node id stands for. ESTALE for one that is not known (any more): the kernel then
        looks the path up again.
        """
        entry = self.nodes.get(nodeid)
        if entry is None:
            raise Refused(Errno.ESTALE, f"node id {nodeid} is not in use")
        return entry

    def node(self, nodeid: int) -> Node:
        """The node of an id."""
        return self.entry(nodeid).node

    def enter(self, node: Node, attributes: Attributes) -> Entry:
        """A look-up found ``node``, which belongs to the session from now on: count it for the
        kernel. ENFILE beyond the limit.
        """
        key = (attributes.qid_path, attributes.mode >> 12, attributes.btime_sec, attributes.btime_nsec)
        old = None
        try:
            with self._guard:
                entry = self.by_key.get(key)
                if entry is None:
                    entry = self._new(node, key)
                elif entry.references:
                    old = node
                else:
                    entry.node, old = node, entry.node
                entry.lookups += 1
        except OSError:
            node.release()
            raise
        if old is not None:
            old.release()
        return entry

    def _new(self, node: Node, key: Hashable) -> Entry:
        count = len(self.nodes)
        if count >= self._nodes_allowance.granted and not self._nodes_allowance.grow(count + 1):
            raise OverLimit("fids", Errno.ENFILE, "too many node ids")
        self._last += 1
        entry = self.nodes[self._last] = self.by_key[key] = Entry(self._last, node, key)
        self.on_slow_storage |= not node.inline
        return entry

    def forget(self, nodeid: int, lookups: int) -> None:
        """The kernel gives up some of its references. The root stays."""
        with self._guard:
            entry = self.nodes.get(nodeid)
            if entry is None or nodeid == ROOT_ID:
                return
            entry.lookups -= lookups
            if entry.lookups > 0:
                return
            del self.nodes[nodeid]
            if self.by_key.get(entry.key) is entry:
                del self.by_key[entry.key]
            unused = not entry.references
        if unused:
            entry.node.release()

    def reference(self, entry: Entry) -> bool:
        """The node is used by a request in a thread. False if it was forgotten by now: then it is not."""
        with self._guard:
            known = bool(entry.references) or self.nodes.get(entry.nodeid) is entry
            entry.references += known
            return known

    def unreference(self, entry: Entry) -> None:
        """No more by that."""
        with self._guard:
            entry.references -= 1
            unused = not entry.references and self.nodes.get(entry.nodeid) is not entry
        if unused:
            entry.node.release()

    # -- what is open ----------------------------------------------------------------------------------------------------

    def handle(self, fh: int) -> Opened:
        """What a handle stands for, or EBADF."""
        opened = self.opened.get(fh)
        if opened is None:
            raise Refused(Errno.EBADF, f"handle {fh} is not open")
        return opened

    def file(self, fh: int) -> tuple[Opened, OpenFile]:
        """An open file. EBADF; EISDIR for a directory."""
        opened = self.handle(fh)
        if opened.file is None:
            raise Refused(Errno.EISDIR, f"handle {fh} is a directory's")
        return opened, opened.file

    def reserve_open(self, *, idle: bool = False) -> None:
        """Check that one more file or directory may be opened: EMFILE. ``idle``: one that keeps no
        handle.
        """
        count = self.handles
        if count + self.idle >= self.limits.open_files or (
            not idle and count >= self._open_allowance.granted and not self._open_allowance.grow(count + 1)
        ):
            raise OverLimit("open_files", Errno.EMFILE, "too many open files")

    def reserve_listing(self) -> None:
        """Check that one more directory may be opened: EMFILE."""
        count = self.directories
        if count >= self._listing_allowance.granted and not self._listing_allowance.grow(count + 1):
            raise OverLimit("directories", Errno.EMFILE, "too many open directories")

    def open(self, opened: Opened) -> int:
        """Commit that something was opened; its handle."""
        with self._guard:
            opened.entry.references += 1
            opened.keeps = opened.file is None or not opened.file.idle
            self._count(opened, 1)
            self.directories += opened.directory is not None
            self._last_handle += 1
            self.opened[self._last_handle] = opened
            return self._last_handle

    def keep_handle(self, opened: Opened) -> None:
        """A file is about to be locked through: from now on it keeps a handle. EMFILE."""
        if not opened.keeps:
            self.reserve_open()
            with self._guard:
                self._count(opened, -1)
                opened.keeps = True
                self._count(opened, 1)

    def _count(self, opened: Opened, more: int) -> None:
        if opened.keeps:
            self.handles += more
        else:
            self.idle += more

    def close(self, fh: int) -> None:
        """A handle is not used any more; what it stands for is closed when no thread is at it. An
        error of closing is the caller's.
        """
        with self._guard:
            opened = self.handle(fh)
            del self.opened[fh]
            self._count(opened, -1)
            self.directories -= opened.directory is not None
            opened.closed = True
            busy = opened.references
        if not busy:
            self._close(opened)

    def reference_handle(self, opened: Opened) -> bool:
        """A request in a thread uses it. False if it was closed by now: then it does not."""
        with self._guard:
            opened.references += not opened.closed
            return not opened.closed

    def unreference_handle(self, opened: Opened) -> None:
        """No more."""
        with self._guard:
            opened.references -= 1
            last = opened.closed and not opened.references
        if last:
            self._close(opened)

    def _close(self, opened: Opened) -> None:
        opened.export.locks.forget(opened)
        self.unlocked = True
        if opened.entries is not None:
            opened.entries.close()
        try:
            for one in (opened.plain, opened.file, opened.directory):
                if one is not None:
                    one.close()
        finally:
            self.unreference(opened.entry)

    # -- the end ---------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The session is over: its locks end. Then ``drop_some`` or ``by_storage`` and ``drop``."""
        self.export.locks.forget_session(self, list(self.opened.values()))

    def drop_some(self, count: int) -> list[Exception]:
        """Close some of what there is; what went wrong. At the end nothing is left."""
        numbers = [-fh for fh in islice(self.opened, count)] or list(islice(self.nodes, count))
        return self.drop(numbers)

    def by_storage(self) -> list[tuple[Hashable, list[int]]]:
        """Everything that is to be closed by ``drop``, sorted by what closing it may wait for: handles
        (negative) before node ids.
        """
        parts: dict[Hashable, list[int]] = {}
        for fh, opened in list(self.opened.items()):
            parts.setdefault(opened.storage, []).append(-fh)
        for nodeid, entry in list(self.nodes.items()):
            parts.setdefault(storage_of(entry, self.export), []).append(nodeid)
        return list(parts.items())

    def drop(self, numbers: Iterable[int]) -> list[Exception]:
        """Close some of them; what went wrong."""
        errors: list[Exception] = []
        for number in numbers:
            try:
                if number < 0:
                    self.close(-number)
                else:
                    self._forget_all(number)
            except Exception as error:  # noqa: BLE001 - one broken driver must not keep the others
                errors.append(error)
        return errors

    def _forget_all(self, nodeid: int) -> None:
        with self._guard:
            entry = self.nodes.pop(nodeid, None)
            if entry is None:
                return
            self.by_key.pop(entry.key, None)
            unused = not entry.references
        if unused:
            entry.node.release()

    def end(self) -> None:
        """Everything is closed: give back what was granted."""
        for allowance in (self._nodes_allowance, self._open_allowance, self._listing_allowance):
            allowance.end()


NOT_ROOT: Final = NO_ID
"""As ``by`` of a driver's verb: any user but root."""
