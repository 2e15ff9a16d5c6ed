"""Path handles of nodes: how many are kept, and how one comes back.

A client may walk to 100,000 files while the process may have 1024 handles, so a node's path handle
is only a cache: it is taken away when it has not been used for a while and comes back by name from
the parent's, with a check that it is still the same object. What has no name any more (unlinked
while a client holds it) keeps its path handle. When no path handles are left to take away, the
handles of files that are only read are taken the same way (``file.IdleFile``).

A path handle closes itself when the last reference to it goes. That is what makes reclaiming safe
without a lock or a count in every verb: a verb holds the path handle it works with in a local
variable, and a thread that reclaims it meanwhile only lets go of the node's reference. It costs
0.15 us for each path handle made, and nothing for each use.

There is one lock, ``HandleCache.lock``, and all exports of the process share it: it guards the
budget and the node tables (``node_table``). A file system that does not answer must stop only its
own clients, so **no call to the host is made while the lock is held**: victims and paths are chosen
under it, the host is asked without it, and what it said is entered under it if it still applies.
(Only O_PATH handles are closed under it, which never waits.) Other locks are taken inside it or
alone, and nothing takes it inside of them. Nor does a request of one file system make calls that
another one could hold up: what may be on a slow one (``Node.inline`` is false, or it is mounted
below the export) has its birth time asked when it is opened, by its own request, and the handles of
its open files, whose close may wait (a FUSE flush), are taken away by requests on that device only.

On a host where an open handle hinders the renaming of the directories above it
(``host.HANDLES_BLOCK_RENAME``) the same trick gives path handles that live exactly as long as the
call: see ``per_call_handles``.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, NamedTuple, TypeVar, cast

from ninep import host
from ninep.drivers.local.reserve import MAX_RESERVED as RESERVE
from ninep.drivers.local.reserve import Reserve, exhausted
from ninep.errors import Refused
from ninep.host import NO_HANDLE, Handle, Stat
from ninep.linux import S_IFMT, S_IFREG, Errno
from ninep.node import OpenFile

NO_BIRTH: Final = -1
_ROUNDS: Final = 3
AT_ONCE: Final = 1024
"""Handles that are taken away in one go: 5 to 8 ms."""

T = TypeVar("T")


class _Chosen(NamedTuple):
    """What a round of reclaiming found: handles to be closed, and whose birth time must be known
    first.
    """

    taken: list[Handle]
    unknown: dict[CacheEntry, Handle]


class _SelfClosing(int):
    """A handle that closes itself."""

    __slots__ = ()

    def __del__(self: Any) -> None:  # a cast to Handle would be a call more for each path handle
        host.close(self)


self_closing = cast("Callable[[Handle], Handle]", _SelfClosing)
"""Make a handle close itself when nothing refers to it any more."""


class CacheEntry(ABC):
    """A node as the cache knows it: something that can lose its path handle and get it again.

    Only the methods of this module change its fields.
    """

    __slots__ = ("birth", "detached", "files", "path_handle", "slow_device", "used")

    dev: int
    ino: int
    host_type: int
    """``S_IFMT`` of the mode that the host says."""
    files: tuple[CachedFile, ...]
    """What is open of it."""

    def __init__(self, slow_device: int | None) -> None:
        self.path_handle: Handle | None = None
        self.used = False
        """Since the hand of the clock came by."""
        self.birth: int | None = None
        """In ns, ``NO_BIRTH`` if the file system keeps none, None if it was not read yet."""
        self.files = ()
        self.detached = False
        """It has no name by which its handle could come back: the handle is unreclaimable."""
        self.slow_device = slow_device
        """The file system that it is on, if that may be a slow one; None otherwise."""

    def get_path_handle(self) -> Handle:
        """The path handle. Keep it in a local variable while it is used: see the head
        of this page.
        """
        self.used = True
        path_handle = self.path_handle
        return self.reopen() if path_handle is None else path_handle

    @abstractmethod
    def reopen(self) -> Handle:
        """A path handle again, after the cache took it away: ENOENT, ESTALE."""

    def opened(self) -> Handle:
        """A handle of something opened from it, NO_HANDLE if there is none."""
        for file in self.files:
            if file.handle is not NO_HANDLE:
                return file.handle
        return NO_HANDLE

    def read_birth(self) -> int:
        """Its birth time, asked of the host once: it never changes, and statx by ctypes costs more
        than all the rest of a getattr.
        """
        self.birth = birth_of(self.get_path_handle())
        return self.birth


class CachedFile(OpenFile):
    """An open file as the cache knows it. Only the cache and the file itself change its fields."""

    __slots__ = ("handle", "node", "used")

    node: CacheEntry
    """What it was opened from."""
    handle: Handle
    used: bool

    def reopen_handle(self) -> Handle:
        """Another handle to its contents; only asked of files whose handle can be taken away."""
        raise NotImplementedError

    def get_handle(self) -> Handle:
        """The handle."""
        return self.handle


class HandleCache:
    """The path handles of all trees of this process, bounded: a second-chance clock over the nodes
    that hold one.

    ``budget``: how many handles nodes and what they opened may hold; ``opened`` counts those of
    open files and directories.
    """

    per_call = False
    """Path handles live no longer than a call."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.path_handles = 0
        self.opened = 0
        self.unreclaimable = 0
        self.lock = threading.RLock()
        self.reserve = Reserve(0 if self.per_call else min(RESERVE, budget // 8))
        # In the order of the clock. A dict, because nodes leave it from anywhere: those left behind
        # until the hand comes by would keep the garbage collector busy (3.5 us for each walk).
        self._ring: dict[CacheEntry, None] = {}
        self._files: dict[CachedFile, None] = {}
        """Open files whose handles may be taken away, in the same order ..."""
        self._slow_files: dict[int, dict[CachedFile, None]] = {}
        """... and those on slow file systems, by device."""

    def store(self, node: CacheEntry, path_handle: Handle) -> None:
        """Give a node its path handle; call with the lock held, and ``trim`` without it if there
        are more than the budget then.
        """
        node.path_handle = path_handle
        self.path_handles += 1
        self._ring[node] = None

    def store_permanently(self, node: CacheEntry, path_handle: Handle) -> None:
        """As ``store``, for what has no name to come back by: it is never taken away."""
        node.path_handle = path_handle
        self.path_handles += 1
        self.reserve.fill()

    def drop(self, node: CacheEntry) -> None:
        """Take a node's path handle away; it closes when no verb uses it. Call with the
        lock held.
        """
        if node.path_handle is not None:
            node.path_handle = None
            self.path_handles -= 1
            self.unreclaimable -= node.detached
            self._ring.pop(node, None)

    def make_unreclaimable(self, node: CacheEntry) -> bool:
        """Its name is about to go: from now on it keeps its path handle, which must not be taken
        away. False if another thread said so before.

        Only so many can, or a client that removes what it holds would leave no handles to others.
        Beyond that, and while the reserve is not full, EMFILE for what is open, and what is not
        goes with its name.
        """
        path_handle: Handle | None = node.get_path_handle()
        short = self.reserve.missing and not self.reserve.fill()
        with self.lock:
            if node.detached:
                return False
            if short or self.unreclaimable >= self.budget // 4:
                if node.files:
                    raise Refused(Errno.EMFILE, "too many removed files are open")
                path_handle = None
            self.detach(node, path_handle)
        return True

    def detach(self, node: CacheEntry, path_handle: Handle | None) -> None:
        """It has no name any more, and keeps its path handle if there may be one more of these.
        Call with the lock held.
        """
        if path_handle is None or self.unreclaimable >= self.budget // 4:
            self.drop(node)
            node.detached = True
            return
        self.unreclaimable += 1
        node.detached = True
        self._ring.pop(node, None)
        if node.path_handle is None:
            # Not by ``store``: when all others are unreclaimable too, the clock would take this
            # one.
            node.path_handle = path_handle
            self.path_handles += 1

    def make_reclaimable(self, node: CacheEntry) -> None:
        """Its name stays after all."""
        with self.lock:
            node.detached = False
            if node.path_handle is not None:
                self.unreclaimable -= 1
                self._ring[node] = None

    # -- taking away ---------------------------------------------------------------------------------------------------

    def count_opened(self, change: int) -> None:
        """Open files and directories take handles too."""
        with self.lock:
            self.opened += change
        if self.path_handles + self.opened > self.budget:
            self.trim()

    def trim(self, node: CacheEntry | None = None) -> None:
        """Too many: take away an eighth of them, so that it is not done for each new one. ``node``:
        whose request this is.
        """
        self.reclaim(self.budget - self.budget // 8, None if node is None else node.slow_device)

    def make_room(self) -> bool:
        """The host has no handle left: give back half of what can be. False if there is nothing to
        give, or no more than what is missing of the reserve.
        """
        with self.lock:
            before = self.path_handles + self.opened
            idle = len(self._files)
            spare = len(self._ring) + idle - self.reserve.missing
        if spare > 0:
            self.reclaim(before - min(spare, max(1, (self.path_handles + idle) // 2)))
        return self.path_handles + self.opened < before

    def retry(self, error: OSError, call: Callable[..., T], *arguments: object) -> T:
        """Repeat a call that found no handle left, once some path handles are given back; any other
        error goes on its way. What the call opens may stay open.
        """
        try:
            if not exhausted(error) or not self.make_room():
                raise error
        finally:
            # A frame of its own traceback that refers to an error is a reference cycle, and the
            # handles in those frames would stay open until the collector comes by: 2000 of them for
            # a client that walks through files.
            del error
        return call(*arguments)

    def with_reserve(self, call: Callable[..., T], *arguments: object) -> T:
        """Repeat a call that found no handle left, and that leaves none open but what can be taken
        away again: if need be with all of those given back, and the reserve.

        Not where the first try's error is still being handled: its frames hold handles.
        """
        if self.make_room():
            try:
                return call(*arguments)
            except OSError as error:
                if not exhausted(error):
                    raise
        self.reclaim(0)
        self.reserve.give()
        try:
            return call(*arguments)
        finally:
            self.reserve.fill()

    def reclaim(self, goal: int, device: int | None = None) -> None:
        """Take path handles away, and then handles of files, until no more than ``goal`` are in
        use, oldest unused first.

        ``device``: the slow file system whose own request this is, if any: only such a one takes
        away the handles of its files. No more than ``AT_ONCE``: the next request goes on.
        """
        goal = max(goal, self.path_handles + self.opened - AT_ONCE)

        def choose(chosen: _Chosen) -> None:
            left = self._take_path_handles(self.path_handles + self.opened - goal, chosen)
            left = self._take_files(self._files, left, chosen)
            if device is not None:
                self._take_files(self._slow_files.get(device, {}), left, chosen)

        self._rounds(choose)

    def _rounds(self, choose: Callable[[_Chosen], object]) -> None:
        """Choose victims under the lock; without it, close what was taken, and ask for birth times
        that are not known yet.
        """
        for _ in range(_ROUNDS):
            chosen = _Chosen([], {})
            with self.lock:
                choose(chosen)
            chosen.taken.clear()
            for node, handle in chosen.unknown.items():
                try:
                    node.birth = birth_of(handle)
                except OSError:
                    node.birth = NO_BIRTH
            if not chosen.unknown:
                return

    def _take_path_handles(self, left: int, chosen: _Chosen) -> int:
        """Take so many; how many are still to be found. What has no birth time yet is only put
        down, for the next round.
        """
        ring, (taken, unknown) = self._ring, chosen
        for node in (*ring, *ring) if left > 0 else ():  # twice: the first pass may find them all in use
            if left <= 0:
                break
            path_handle = node.path_handle
            if path_handle is None or node in unknown:
                continue  # taken in the first pass
            if node.used or (host.BY_NAME and node.files):
                node.used = False
                del ring[node]
                ring[node] = None
                continue
            left -= 1
            if node.birth is None:
                unknown[node] = path_handle
                continue
            taken.append(path_handle)
            self.drop(node)
        return left

    def _take_files(self, ring: dict[CachedFile, None], left: int, chosen: _Chosen) -> int:
        taken, unknown = chosen
        for file in (*ring, *ring) if left > 0 else ():
            if left <= 0:
                break
            if file not in ring or (file.node in unknown and not file.used):
                continue
            node = file.node
            if file.used:
                file.used = False
                del ring[file]
                ring[file] = None
                continue
            if node.birth is None:
                unknown[node] = file.handle
                left -= 1
                continue
            del ring[file]
            if node.birth == NO_BIRTH:
                continue  # its inode number alone would not tell it from another file: it keeps its handle
            taken.append(file.handle)
            file.handle = NO_HANDLE
            self.opened -= 1
            left -= 1
        return left

    # -- open files ----------------------------------------------------------------------------------------------------

    def add_file(self, node: CacheEntry, file: CachedFile) -> None:
        """A file was opened."""
        crowd = 0
        with self.lock:
            node.files += (file,)
            self.opened += 1
            if file.idle:
                crowd = self._add_victim(node, file)
        if crowd or self.path_handles + self.opened > self.budget:
            self._trim_files(node, crowd)

    def _add_victim(self, node: CacheEntry, file: CachedFile) -> int:
        """Its handle may be taken away; how many files there are by now that others cannot take
        away. Call with the lock held.
        """
        device = node.slow_device
        if device is None:
            self._files[file] = None
            return 0
        self._slow_files.setdefault(device, {})[file] = None
        return sum(map(len, self._slow_files.values()))

    def _trim_files(self, node: CacheEntry, crowd: int) -> None:
        if self.path_handles + self.opened > self.budget:
            self.trim(node)
        elif crowd > self.budget // 4:
            # They may be no more than a part. Opening one more gives back some of the same device,
            # be it this one.
            own = self._slow_files.get(node.dev, {})
            self._rounds(lambda chosen: self._take_files(own, max(1, len(own) // 8), chosen))

    def _remove_victim(self, file: CachedFile) -> None:
        device = file.node.slow_device
        if device is None:
            self._files.pop(file, None)
            return
        ring = self._slow_files.get(device)
        if ring is not None:
            ring.pop(file, None)
            if not ring:
                del self._slow_files[device]

    def make_file_unreclaimable(self, file: CachedFile) -> None:
        """From now on it keeps its handle."""
        while True:
            handle = file.get_handle()
            with self.lock:
                if file.handle is handle or file not in file.node.files:
                    self._remove_victim(file)
                    return

    def reopen_file(self, file: CachedFile) -> Handle:
        """The handle of a file that lost it: ENOENT or ESTALE as for a path handle, EACCES if its
        mode forbids it now.
        """
        handle = self_closing(file.reopen_handle())
        node, crowd = file.node, 0
        with self.lock:
            if file.handle is not NO_HANDLE:
                return file.handle  # another thread was faster
            if file in node.files:  # else it was closed meanwhile
                file.handle = handle
                self.opened += 1
                crowd = self._add_victim(node, file)
        self._trim_files(node, crowd)
        return handle

    def remove_file(self, file: CachedFile) -> None:
        """An open file ends; its handle is about to be closed and is no way back to a
        path handle.
        """
        node = file.node
        with self.lock:
            files = node.files
            node.files = () if len(files) == 1 else tuple(other for other in files if other is not file)
            if file.handle is not NO_HANDLE:
                self.opened -= 1
            if file.idle:
                self._remove_victim(file)

    def clear_used(self, node: CacheEntry) -> None:
        """Begin to watch whether it is used."""
        node.used = False

    def keep_handles(self) -> AbstractContextManager[None]:
        """For the length of a block nodes keep the path handles that they get; here
        they do anyway.
        """
        return nullcontext()


def is_same_object(node: CacheEntry, found: Stat, path_handle: Handle) -> bool:
    """Is what was found the node's object? Inode numbers are used again, so the birth time counts
    too where it is known, and the type of a regular file: ``host.open_regular`` relies on it.
    """
    if found.st_ino != node.ino or found.st_dev != node.dev or node.host_type == S_IFREG != found.st_mode & S_IFMT:
        return False
    return node.birth is None or node.birth == birth_of(path_handle)


def record_birth(node: CacheEntry, path_handle: Handle) -> None:
    """Of what may be on a slow file system, while its own request is at it: reclaiming
    the path handle could not wait for the answer.
    """
    if node.birth is None and node.slow_device is not None:
        node.birth = birth_of(path_handle)


def birth_of(path_handle: Handle) -> int:
    """Birth time in ns, ``NO_BIRTH`` if the filesystem keeps none."""
    birth = host.birth_time(path_handle)
    return NO_BIRTH if birth is None else birth
