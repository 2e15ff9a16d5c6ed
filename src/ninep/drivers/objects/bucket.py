"""What all nodes of one export share: the store, the tables, threads, and what was asked of names."""

from __future__ import annotations

import fnmatch
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.blocking import BlockingStore
from ninep.drivers.objects.metadata import ObjectAttrs
from ninep.drivers.objects.spool import Budget
from ninep.drivers.objects.store import Info, Page, Store
from ninep.drivers.objects.tree import Entry, Folder, Tree, name_of, parent_of
from ninep.drivers.objects.unsent import Unsent
from ninep.errors import Refused
from ninep.linux import NAME_MAX, NO_ID, S_IFDIR, S_IFREG, Errno
from ninep.node import check_may_wait

KEY_MAX: Final = 1024
"""Bytes of a key."""
FULLWIDTH: Final = "\uff3c"
"""In keys, for a backslash, of which some stores make a ``/``. rclone has the same for stores without it."""
LISTED: Final = 1_000_000
"""Names of one folder."""
EMPTY: Final = 100
"""Pages of a listing with nothing in them, one after the other."""
AHEAD: Final = 32
"""Files whose metadata are asked for before the client does."""
READERS: Final = 32
"""So many open files can be read ahead of at once, of all clients."""
ROOM: Final = 64 << 20
"""Bytes that they can hold in any case."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How an export behaves; ``options`` says what each means. By these defaults nothing is put off."""

    uid: int = 0
    gid: int = 0
    file_mode: int = 0o644
    dir_mode: int = 0o755
    part_size: int = 8 << 20
    read_ahead: int = 16 << 20
    connections: int = 32
    cache: float = 5.0
    spool_folder: str = ""
    spool_limit: int = 1 << 30
    write_back: float = 0.0
    keep: float = 3600.0
    exclusive: tuple[str, ...] = ("*",)
    conditions: bool = True
    metadata: bool = True
    rename_limit: int = 10_000


class Bucket:
    """The state of one export."""

    def __init__(
        self, store: Store, settings: Settings, *, has_prefix: bool = True, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.store = BlockingStore(store)
        self.has_root_marker = has_prefix
        """The root can have an object of its own; a whole bucket has no name for one."""
        self.settings = settings
        self.clock = clock
        self.tree = Tree()
        self.ahead = Room(max(READERS * settings.read_ahead, ROOM))
        self.budget = Budget(settings.spool_limit, settings.spool_folder)
        self.pool = ThreadPoolExecutor(settings.connections, "objects")
        """For single requests: a job of it never waits for another."""
        self.unsent = Unsent(max(2, settings.connections // 8), self.budget, settings.keep)
        self._root: BaseNode | None = None
        self._exclusive = [re.compile(fnmatch.translate(pattern)) for pattern in settings.exclusive]

    def asks_at_once(self, key: str) -> bool:
        """Whether an exclusive create of it asks the store, or the next put does."""
        name = name_of(key)
        return any(pattern.match(name) for pattern in self._exclusive)

    @property
    def root(self) -> BaseNode:
        """Of the export."""
        assert self._root is not None  # noqa: S101 - the driver sets it at once
        return self._root

    def begin(self, root: BaseNode) -> None:
        """This is the root."""
        self._root = root

    def close(self) -> None:
        self.unsent.close()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.store.close()

    # -- names ---------------------------------------------------------------------------------------------------------

    def key(self, directory: str, name: bytes) -> str:
        """ENAMETOOLONG; EILSEQ: keys are UTF-8."""
        if len(name) > NAME_MAX:
            raise Refused(Errno.ENAMETOOLONG)
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise Refused(Errno.EILSEQ, "keys of objects are UTF-8") from error
        if FULLWIDTH in text:
            raise Refused(Errno.EILSEQ, "U+FF3C stands for a backslash in keys")
        text = text.replace("\\", FULLWIDTH)
        key = f"{directory}/{text}" if directory else text
        if len(key.encode()) + 1 > KEY_MAX:
            raise Refused(Errno.ENAMETOOLONG, "keys of objects have 1024 bytes")
        return key

    def defaults(self, kind: int, uid: int = NO_ID, gid: int = NO_ID, mode: int | None = None) -> ObjectAttrs:
        """Attributes of what has none in its metadata, and of what is new."""
        chosen, now = self.settings, self.clock()
        if mode is None:
            mode = chosen.dir_mode if kind == S_IFDIR else chosen.file_mode
        uid, gid = chosen.uid if uid == NO_ID else uid, chosen.gid if gid == NO_ID else gid
        return ObjectAttrs(kind | mode, uid, gid, now, now, now)

    def attrs(self, info: Info, *, is_dir: bool) -> ObjectAttrs:
        default = self.defaults(S_IFDIR if is_dir else S_IFREG)
        return ObjectAttrs.read(info.metadata or {}, info.modified or default.mtime, default)

    # -- asking the store ------------------------------------------------------------------------------------------------

    def folder(self, key: str, *, whole: bool = False) -> Folder:
        """The listing of a directory, at most ``cache`` seconds old: whole, or its first page."""
        folder, started = self.tree.folder(key), time.monotonic()
        if folder.loaded and started - folder.loaded < self.settings.cache and (folder.complete or not whole):
            return folder
        prefix = key + "/" if key else ""
        entries: dict[str, Entry] = {}
        after = ""
        for page in self.pages(prefix):
            for info in page.objects:
                if name := _visible(info.key[len(prefix) :]):
                    entries[name] = Entry(
                        False, info if self.settings.metadata else info._replace(metadata={}), started
                    )
            for one in page.prefixes:
                if name := _visible(one[len(prefix) : -1]):
                    entries[name] = Entry(True)
            if len(entries) > LISTED:
                raise Refused(Errno.EOVERFLOW, f"{key!r}: more than {LISTED} names")
            after = page.after
            if not whole:
                break
        self.tree.install(key, entries, started, complete=not after)
        return self.tree.folder(key)

    def pages(self, prefix: str, *, deep: bool = False) -> Iterator[Page]:
        """A listing. EIO if the store goes on without anything in it."""
        after, empty = "", 0
        while True:
            page = self.store.listing(prefix, after, deep=deep)
            yield page
            empty = 0 if page.objects or page.prefixes else empty + 1
            if not page.after:
                return
            if empty == EMPTY:
                raise Refused(Errno.EIO, f"{prefix!r}: the store's listing has no end")
            after = page.after

    def find(self, key: str) -> Entry:
        """What a name is, with its metadata. ENOENT."""
        folder = self.folder(parent_of(key))
        entry = folder.entries.get(name_of(key))
        if entry is None:
            if folder.complete:
                raise Refused(Errno.ENOENT)
            return self.ask(key)
        if entry.known and (not self.settings.metadata or time.monotonic() - entry.asked < self.settings.cache):
            return entry
        return self._details(folder, key)

    def _details(self, folder: Folder, key: str) -> Entry:
        """Ask for the metadata of one, and, where a client lists the directory, of those behind it."""
        directory, name = parent_of(key), name_of(key)
        if not folder.was_read:
            return self.ask(key)
        check_may_wait()
        with self.tree.lock:
            for one in (name, *folder.following(name, AHEAD)):
                if one not in folder.asking:
                    folder.asking[one] = self.pool.submit(self._ask_ahead, folder, directory, one)
            mine = folder.asking[name]
        return mine.result()

    def _ask_ahead(self, folder: Folder, directory: str, name: str) -> Entry:
        try:
            return self.ask(f"{directory}/{name}" if directory else name)
        finally:
            with self.tree.lock:
                folder.asking.pop(name, None)

    def ask(self, key: str) -> Entry:
        """Ask the store what a key is: an object, or a directory. ENOENT."""
        started = time.monotonic()
        known = self.tree.folder(parent_of(key)).entries.get(name_of(key))
        if known is None or not known.is_dir:
            info = self._head(key)
            if info is not None:
                entry = Entry(False, info, started)
                self.tree.note(key, entry)
                return entry
        info = self._head(key + "/")
        if info is None:
            page = self.store.listing(key + "/", limit=1)
            if not page.objects and not page.prefixes:
                raise Refused(Errno.ENOENT)
            info = Info(key + "/", 0, "", 0, {})
        entry = Entry(True, info, started)
        self.tree.note(key, entry)
        return entry

    def root_entry(self) -> Entry:
        """The root, which is there in any case."""
        info = self._head("") if self.has_root_marker else None
        return Entry(True, info or Info("", 0, "", 0, {}), time.monotonic())

    def _head(self, key: str) -> Info | None:
        try:
            return self.store.head(key)
        except Refused as error:
            if error.code is Errno.ENOENT:
                return None
            raise


def shown(name: str) -> bytes:
    """The name of a file, from that in a key."""
    return name.replace(FULLWIDTH, "\\").encode()


def _visible(name: str) -> str:
    """The name, if it can be one: empty names, dots of other programs and what a store that does not
    divide keys made of them are not shown.
    """
    return "" if name in {".", ".."} or {"\0", "/", "\\"} & set(name) or len(shown(name)) > NAME_MAX else name


class Room:
    """Bytes that all open files hold of what they have asked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._used = 0

    def change(self, count: int) -> None:
        """So much more, or less; what a reader waits for has room in any case."""
        with self._lock:
            self._used += count

    def has(self, count: int) -> bool:
        """Whether there is room for so much more."""
        return self._used + count <= self._limit
