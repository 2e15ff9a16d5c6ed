"""Pins of nodes: how many are kept, and how one comes back.

A client may walk to 100,000 files while the process may have 1024 handles, so a node's pin is only a cache: it is taken away when it has
not been used for a while and comes back by name from the parent's, with a check that it is still the same object. What has no name
any more (unlinked while a client holds it) keeps its pin. When no pins are left to take away, the handles of files that are only read are
taken the same way (``file.IdleFile``).

A pin closes itself when the last reference to it goes. That is what makes reclaiming safe without a lock or a count in every verb:
a verb holds the pin it works with in a local variable, and a thread that reclaims it meanwhile only lets go of the node's reference. It costs
0.15 us for each pin made, and nothing for each use.

On a host where an open handle hinders the renaming of the directories above it (``host.PINS_NAMES``) the same trick gives pins that live
exactly as long as the call: ``BriefPins`` stores none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, Stat
from ninep.linux import Errno

if TYPE_CHECKING:
    from ninep.drivers.local.file import IdleFile, LocalFile
    from ninep.drivers.local.node import LocalNode

_OTHERS: Final = (
    400  # handles left for sockets, open files of other drivers and Python itself (QEMU 9p.c v9fs_set_fd_limit)
)
_MOST: Final = 1 << 17  # each keeps an inode in the kernel's memory, about a KiB that nobody else can have
NO_BIRTH: Final = -1

T = TypeVar("T")


class _Pin(int):
    """A handle that closes itself."""

    __slots__ = ()

    def __del__(self: Any) -> None:  # a cast to Handle would be a call more for each pin
        host.close(self)


hold = cast("Callable[[Handle], Handle]", _Pin)
"""Make a handle close itself when nobody refers to it any more."""


class Pins:
    """The pins of all trees of this process, bounded: a second-chance clock over the nodes that hold one.

    ``budget``: how many handles nodes and what they opened may hold; ``opened`` counts those of open files and directories.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.held = 0
        self.opened = 0
        self.fastened = 0
        self.lock = threading.RLock()
        # In the order of the clock. A dict, because nodes leave it from anywhere: those left behind until the hand comes by would keep
        # the garbage collector busy (3.5 us for each walk).
        self._ring: dict[LocalNode, None] = {}
        self._files: dict[IdleFile, None] = {}
        """Open files whose handles may be taken away, in the same order."""

    def keep(self, node: LocalNode, pin: Handle) -> Handle:
        """Give a node its pin; call with the lock held."""
        node.pin = pin
        self.held += 1
        self._ring[node] = None
        if self.held + self.opened > self.budget:
            self.trim()
        return pin

    def drop(self, node: LocalNode) -> None:
        """Take a node's pin away; it closes when no verb uses it. Call with the lock held."""
        if node.pin is not None:
            node.pin = None
            self.held -= 1
            self.fastened -= node.detached
            self._ring.pop(node, None)

    def fasten(self, node: LocalNode) -> None:
        """Its name is about to go: from now on it keeps its pin, which must not be taken away.

        Only so many can, or a client that removes what it holds would leave no handles to others. Beyond that EMFILE for what is open, and what
        is not goes with its name.
        """
        with self.lock:
            pin = node.held()
            if self.fastened >= self.budget // 4:
                if node.files:
                    raise Refused(Errno.EMFILE, "too many removed files are open")
                self.drop(node)
                node.detached = True
                return
            self.fastened += 1
            node.detached = True
            self._ring.pop(node, None)
            if node.pin is None:
                # Not by ``keep``: when all others are fastened too, its clock would take this one.
                node.pin = pin
                self.held += 1

    def unfasten(self, node: LocalNode) -> None:
        """Its name stays after all."""
        with self.lock:
            node.detached = False
            if node.pin is not None:
                self.fastened -= 1
                self._ring[node] = None

    def count_opened(self, change: int) -> None:
        """Open files and directories take handles too."""
        with self.lock:
            self.opened += change
            if self.held + self.opened > self.budget:
                self.trim()

    def trim(self) -> None:
        """Too many: take away an eighth of them, so that it is not done for each new one."""
        self.reclaim(self.budget - self.budget // 8)

    def make_room(self) -> bool:
        """The host has no handle left: give back half of what can be. False if there is nothing to give."""
        with self.lock:
            before = self.held + self.opened
            self.reclaim(before - max(1, (self.held + len(self._files)) // 2))
            return self.held + self.opened < before

    def again(self, error: OSError, call: Callable[..., T], *arguments: object) -> T:
        """Repeat a call that found no handle left, once some pins are given back; any other error goes on its way."""
        try:
            if linux_errno(error) not in (Errno.EMFILE, Errno.ENFILE) or not self.make_room():
                raise error
        finally:
            # A frame of its own traceback that knows an error is a circle, and the handles in those frames would stay open until the
            # collector comes by: 2000 of them for a client that walks through files.
            del error
        return call(*arguments)

    def reclaim(self, goal: int) -> None:
        """Take pins away, and then handles of files, until no more than ``goal`` are in use, oldest unused first. Call with the lock held."""
        ring = self._ring
        for node in (*ring, *ring):  # twice: the first pass may find them all in use
            if self.held + self.opened <= goal:
                return
            pin = node.pin
            if pin is None or node.up is node:
                continue  # taken in the first pass; the root has no name to come back by
            if node.used or (host.BY_NAME and node.files):
                node.used = False
                del ring[node]
                ring[node] = None
                continue
            if node.birth is None:
                node.birth = birth_of(pin)
            self.drop(node)
        self._reclaim_files(goal)

    def _reclaim_files(self, goal: int) -> None:
        files = self._files
        for file in (*files, *files):
            if self.held + self.opened <= goal:
                return
            if file not in files:
                continue
            del files[file]
            if file.used:
                file.used = False
                files[file] = None
                continue
            node = file.node
            if node.birth is None:
                node.birth = birth_of(file.handle)
            if node.birth == NO_BIRTH:
                continue  # its inode number alone would not tell it from another file: it keeps its handle
            file.handle = NO_HANDLE
            self.opened -= 1

    def begin(self, file: LocalFile) -> None:
        """An open file has a handle. Call with the lock held."""
        self.opened += 1
        if file.idle:
            self._files[cast("IdleFile", file)] = None
        if self.held + self.opened > self.budget:
            self.trim()

    def fasten_file(self, file: IdleFile) -> None:
        """From now on it keeps its handle."""
        file.held()
        with self.lock:
            if file.handle is NO_HANDLE:  # taken between the two lines
                file.held()
            self._files.pop(file, None)

    def reopen(self, file: IdleFile) -> Handle:
        """The handle of a file that lost it: ENOENT or ESTALE as for a pin, EACCES if its mode forbids it now."""
        handle = hold(file.open_again())
        with self.lock:
            if file.handle is not NO_HANDLE:
                return file.handle  # another thread was faster
            if file in file.node.files:  # else it was closed meanwhile
                file.handle = handle
                self.begin(file)
        return handle

    def end(self, file: LocalFile) -> None:
        """An open file ends. Call with the lock held."""
        if file.handle is not NO_HANDLE:
            self.opened -= 1
        if file.idle:
            self._files.pop(cast("IdleFile", file), None)

    def revive(self, node: LocalNode) -> Handle:
        """The pin of a node that lost it: from what it has open, else by name from the nearest ancestor that has one.

        ENOENT if the name is gone, ESTALE if it leads to another object; not because another thread is renaming something on the way.
        """
        with self.lock:
            while True:
                try:
                    return self._revive(node)
                except OSError as error:
                    if linux_errno(error) not in (Errno.ENOENT, Errno.ESTALE) or node.tree.moves.settled():
                        raise

    def _revive(self, node: LocalNode) -> Handle:
        missing = []
        while node.pin is None and node.opened() is NO_HANDLE:
            missing.append(node)
            node = node.up
        pin = self._again(node) if node.pin is None else node.pin
        while missing:
            below = missing.pop()
            pin = self.keep(below, self._by_name(pin, below))
        return pin

    def _again(self, node: LocalNode) -> Handle:
        handle = node.opened()
        try:
            pin = host.pin_again(handle)
        except OSError as error:
            pin = self.again(error, host.pin_again, handle)
        # Where that is a second handle to the same open file, it must not outlive it: locks would.
        return hold(pin) if host.BY_NAME else self.keep(node, hold(pin))

    def pin(self, dir: Handle, name: bytes) -> Handle:
        """A pin of an entry, if need be at the cost of others."""
        try:
            return host.pin(dir, name)
        except OSError as error:
            return self.again(error, host.pin, dir, name)

    def _by_name(self, dir: Handle, node: LocalNode) -> Handle:
        if node.detached:
            raise Refused(Errno.ENOENT)
        pin = hold(self.pin(dir, node.name))
        found = host.stat(pin)
        if not is_still(node, found, pin):
            raise Refused(Errno.ESTALE, "the name leads to another file now")
        return pin


class BriefPins(Pins):
    """No node keeps a pin but the root and what has no name any more."""

    def keep(self, node: LocalNode, pin: Handle) -> Handle:
        if node.detached or node.up is node:
            return super().keep(node, pin)
        return pin


def is_still(node: LocalNode, found: Stat, pin: Handle) -> bool:
    """Is what was found the node's object? Inode numbers are used again, so the birth time counts too where it is known."""
    if found.st_ino != node.ino or found.st_dev != node.dev:
        return False
    return node.birth is None or node.birth == birth_of(pin)


def birth_of(pin: Handle) -> int:
    """Birth time in ns, ``NO_BIRTH`` if the filesystem keeps none."""
    birth = host.birth_time(pin)
    return NO_BIRTH if birth is None else birth


_shared: Pins | None = None


def shared_pins() -> Pins:
    """The pins of this process: exports share them, as they share the handles."""
    global _shared  # noqa: PLW0603 - the limit is the process's own
    if _shared is None:
        limit = host.raise_handle_limit()
        _shared = pins_for(min(limit - min(_OTHERS, limit // 3), _MOST))
    return _shared


def pins_for(budget: int) -> Pins:
    """Pins of the kind this host wants."""
    return (BriefPins if host.PINS_NAMES else Pins)(budget)
