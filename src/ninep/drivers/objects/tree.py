"""The nodes that are held, the listings that are known, and the numbers of files: the tables of one
export. No request to the store is made while their lock is held.
"""

from __future__ import annotations

import hashlib
import threading
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, NamedTuple

from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.moving import TIMEOUT, Moving
from ninep.drivers.objects.store import Info
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import check_may_wait

FOLDERS: Final = 1024
"""Listings that are kept."""
NUMBERS: Final = 1 << 18
"""Names that have been renamed or removed, and are remembered to keep numbers apart."""


def parent_of(key: str) -> str:
    """The key of the directory that a key is in."""
    return key.rpartition("/")[0]


def name_of(key: str) -> str:
    """The last name of a key."""
    return key.rpartition("/")[2]


class Entry(NamedTuple):
    """A name in a directory."""

    is_dir: bool
    info: Info | None = None
    """Of the object; of a directory, of its marker. None: not asked; without an ETag: there is none."""
    asked: float = 0.0
    """When its metadata were asked for (``time.monotonic``)."""

    @property
    def known(self) -> bool:
        return self.info is not None and self.info.metadata is not None


class Folder:
    """What is known of the names in a directory."""

    def __init__(self, version: int) -> None:
        self.entries: dict[str, Entry] = {}
        self.order: list[str] = []
        """Of the last listing, sorted."""
        self.loaded = 0.0
        """When it was listed; 0: never."""
        self.complete = False
        self.was_read = False
        """A client listed it: it may ask for the attributes of all next (ls -l)."""
        self.version = version
        self.touched = 0
        """When this server last changed a name in it, in nanoseconds; 0: not since its times were set."""
        self.recent: dict[str, tuple[float, Entry | None]] = {}
        """What this server made and removed: a listing that was under way may not have it."""
        self.asking: dict[str, Future[Entry]] = {}

    def following(self, name: str, count: int) -> list[str]:
        """Names behind this one of which nothing but the name is known."""
        start = bisect_right(self.order, name)
        some = self.order[start : start + count]
        return [one for one in some if (entry := self.entries.get(one)) is not None and not entry.known]


class Names:
    """Locks of names: what makes, removes or renames one holds it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[str] = set()

    @contextmanager
    def __call__(self, *keys: str) -> Iterator[None]:
        """Hold these keys. EBUSY if another has one for longer than ``TIMEOUT``: a folder is renamed."""
        wanted = set(keys)
        with self._changed:
            if wanted & self._held:
                check_may_wait()
                if not self._changed.wait_for(lambda: not wanted & self._held, TIMEOUT):
                    raise Refused(Errno.EBUSY, "the name is being renamed")
            self._held |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._held -= wanted
                self._changed.notify_all()


class Numbers:
    """qid paths: a hash of the key, so that they are the same on all servers. Within this server a
    file keeps its own when it is renamed, and a new file of an old name gets another.
    """

    def __init__(self) -> None:
        self._moved: OrderedDict[str, int] = OrderedDict()
        self._uses: OrderedDict[str, int] = OrderedDict()

    def of(self, key: str) -> int:
        found = self._moved.get(key)
        return found if found is not None else self._fresh(key)

    def _fresh(self, key: str) -> int:
        digest = hashlib.blake2b(f"{self._uses.get(key, 0)}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1 or 1

    def removed(self, key: str) -> None:
        """The next file of this name is another."""
        self._moved.pop(key, None)
        self._remember(self._uses, key, self._uses.get(key, 0) + 1)

    def moved(self, old: str, new: str) -> None:
        number = self.of(old)
        self.removed(old)
        self.removed(new)
        self._remember(self._moved, new, number)

    def _remember(self, table: OrderedDict[str, int], key: str, value: int) -> None:
        table[key] = value
        table.move_to_end(key)
        if len(table) > NUMBERS:
            table.popitem(last=False)


class Tree:
    """The tables."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.names = Names()
        self.moving = Moving()
        self.numbers = Numbers()
        self.nodes: dict[str, BaseNode] = {}
        self._folders: OrderedDict[str, Folder] = OrderedDict()
        self._version = int(time.time())

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def hold(self, key: str) -> BaseNode | None:
        """The node of this key, if there is one; to be released."""
        with self.lock:
            node = self.nodes.get(key)
            if node is not None:
                node.ref()
            return node

    def enter(self, node: BaseNode) -> BaseNode:
        """Add a node, and hold it; or hold the one that was there first."""
        with self.lock:
            node = self.nodes.setdefault(node.key, node)
            node.ref()
            return node

    def release(self, node: BaseNode) -> None:
        with self.lock:
            if node.unref() and self.nodes.get(node.key) is node:
                del self.nodes[node.key]

    def forget(self, node: BaseNode) -> None:
        """Its name is gone."""
        with self.lock:
            node.set_deleted()
            if self.nodes.get(node.key) is node:
                del self.nodes[node.key]
            self.numbers.removed(node.key)
            for key in [key for key in self._folders if key == node.key]:
                del self._folders[key]

    def below(self, key: str) -> list[BaseNode]:
        """The nodes held below a directory."""
        with self.lock:
            return [node for name, node in self.nodes.items() if name.startswith(key + "/")]

    def moved(self, old: str, new: str, keys: list[str]) -> None:
        """Names changed: of ``keys``, all at or below ``old``, and of the nodes and listings there."""
        with self.lock:
            for key in keys:
                self.numbers.moved(key, new + key[len(old) :])
            moving = [key for key in self.nodes if key == old or key.startswith(old + "/")]
            nodes = [self.nodes.pop(key) for key in moving]
            for key, node in zip(moving, nodes, strict=True):
                node.set_key(new + key[len(old) :])
                self.nodes[node.key] = node
            for key in [key for key in self._folders if key in {old, new} or key.startswith((old + "/", new + "/"))]:
                folder = self._folders.pop(key)
                if key == old or key.startswith(old + "/"):
                    folder.loaded = 0.0
                    self._folders[new + key[len(old) :]] = folder

    # -- listings ------------------------------------------------------------------------------------------------------

    def folder(self, key: str) -> Folder:
        """What is known of a directory."""
        with self.lock:
            folder = self._folders.get(key)
            if folder is None:
                self._version += 1
                folder = self._folders[key] = Folder(self._version & 0xFFFFFFFF)
                while len(self._folders) > FOLDERS:
                    self._folders.popitem(last=False)
            else:
                self._folders.move_to_end(key)
            return folder

    def stale(self, key: str) -> None:
        """What is known of a directory is no longer so."""
        with self.lock:
            self.folder(key).loaded = 0.0

    def empty(self, key: str, now: float) -> None:
        """A directory was made."""
        with self.lock:
            folder = self.folder(key)
            folder.entries, folder.order = {}, []
            folder.loaded, folder.complete = now, True

    def timed(self, key: str) -> None:
        """The times of a directory were set."""
        with self.lock:
            self.folder(key).touched = 0

    def read(self, key: str) -> list[tuple[str, bool]]:
        """The names in a directory, which a client lists, and whether they are directories."""
        with self.lock:
            folder = self.folder(key)
            folder.was_read = True
            return [(name, entry.is_dir) for name, entry in folder.entries.items()]

    def install(self, key: str, entries: dict[str, Entry], started: float, *, complete: bool) -> None:
        """A listing that was begun at ``started`` has come."""
        with self.lock:
            folder = self.folder(key)
            for name, entry in entries.items():
                before = folder.entries.get(name)
                if before is not None and _same(before, entry):
                    entries[name] = before
            for name, (when, made) in list(folder.recent.items()):
                if when < started:
                    del folder.recent[name]
                elif made is None:
                    entries.pop(name, None)
                else:
                    entries[name] = made
            entries |= {name: entry for name, entry in folder.entries.items() if self._is_unsent(key, name)}
            if folder.loaded and entries.keys() != folder.entries.keys():
                self._bump(folder)
            folder.entries, folder.order = entries, sorted(entries)
            folder.loaded, folder.complete = started, complete

    def _is_unsent(self, key: str, name: str) -> bool:
        node = self.nodes.get(f"{key}/{name}" if key else name)
        return node is not None and not node.etag and (node.attrs_dirty or not node.is_dir)

    def _bump(self, folder: Folder) -> None:
        folder.version = (folder.version + 1) & 0xFFFFFFFF

    def note(self, key: str, entry: Entry) -> None:
        """What is known of a name now, although nothing changed."""
        with self.lock:
            folder = self._folders.get(parent_of(key))
            if folder is not None and name_of(key) in folder.entries:
                folder.entries[name_of(key)] = entry

    def changed(self, key: str, entry: Entry | None, now: int) -> None:
        """This server made (or removed: None) a name, at a time in nanoseconds."""
        with self.lock:
            folder, name = self.folder(parent_of(key)), name_of(key)
            folder.recent[name] = (time.monotonic(), entry)
            folder.touched = now
            self._bump(folder)
            if entry is None:
                folder.entries.pop(name, None)
            else:
                folder.entries[name] = entry


def _same(before: Entry, after: Entry) -> bool:
    """Whether the metadata that were asked for are still those of the object, by what a listing says
    (ETag, size, time in seconds), and they were asked for later than in the second of that time.
    """
    old, new = before.info, after.info
    if old is None or new is None or not before.known or before.is_dir or after.is_dir:
        return False
    seconds = 1_000_000_000
    settled = old.modified // seconds + 2 < time.time() - (time.monotonic() - before.asked)
    return (old.etag, old.size, old.modified // seconds) == (new.etag, new.size, new.modified // seconds) and settled
