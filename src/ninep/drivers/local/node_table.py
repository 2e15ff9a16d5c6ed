"""What all nodes of one export share, and the one place where nodes enter and leave the tree.

A file that clients hold under one name is one node, however many fids walked there: the parent's
``children`` finds it, ``references`` counts fids and children. So cloning a fid costs no system call,
and when a client renames a directory one node changes and all below follow.

A directory that nobody references any more lingers for a while with its path handle, because clients
walk through the same few directories again and again: a step to one that lingers is one look (0.9
us) instead of open, look, close and a new node (5 us). Only a few do, files never (a path handle
would keep a deleted file's blocks), none when no fid is left, and none on hosts where path handles
hinder others.

The table is what clients' renames made of it; host processes, other exports of the folder and other
workers rename too, and nothing tells of that. So a parent link is a guess until the host confirms
it (``rename_gate``), and the one thing that must hold whatever the host says is kept here: no node is its
own ancestor. A node whose place proved wrong and could not be found loses its name (``detach_misplaced``): it
lives on by its path handle.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from threading import Condition
from typing import TYPE_CHECKING, Final

from ninep import host
from ninep.drivers.local.devices import DeviceTable
from ninep.drivers.local.directory import QID_TYPES, shown_types, types_to_stat
from ninep.drivers.local.handle_cache import HandleCache, record_birth
from ninep.drivers.local.packed import Listings
from ninep.drivers.local.qids import QidMap
from ninep.host import Handle, Stat
from ninep.linux import DT_DIR
from ninep.node import Qid
from ninep.security import SecurityModel

if TYPE_CHECKING:
    from threading import RLock

    from ninep.drivers.local.node import LocalNode


RENAME_TIMEOUT: Final = 0.5
"""Seconds that a look by name waits for a rename in another thread: the storage may be slow, or not
answer any more.
"""
IDLE_DIRECTORIES: Final = 64
"""Directories that stay for a while after their last reference."""
TIDIED: Final = 4096
"""Nodes that one ``tidy`` looks at: half a millisecond."""


class RenameGate:
    """Renames that are under way: the host's entry may have moved and the tree not yet, so that no
    name in it can be relied on.
    """

    __slots__ = ("_ended", "_lock", "_under_way", "_waiting", "ended")

    def __init__(self, lock: RLock) -> None:
        self.ended = 0
        """How many have ended: read it before a look by name, for ``quiet_since``."""
        self._lock = lock
        self._ended = Condition(lock)
        self._under_way = 0
        self._waiting = 0

    def __enter__(self) -> None:
        with self._lock:
            self._under_way += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._under_way -= 1
            self.ended += 1
            if self._waiting:
                self._ended.notify_all()

    def quiet_since(self, mark: int) -> bool:
        """A name led nowhere. False: some rename has ended since ``ended`` was ``mark``, try again."""
        with self._lock:
            if self.ended != mark:
                return False
            if not self._under_way:
                return True
            self._waiting += 1
            try:
                return not self._ended.wait(RENAME_TIMEOUT)
            finally:
                self._waiting -= 1


class NodeTable:
    """One export: its model, its qid numbers, its nodes."""

    __slots__ = (
        "_idle_directories",
        "attributes_of",
        "by_name",
        "devices",
        "handles",
        "listings",
        "lock",
        "model",
        "numbers",
        "on_submounts",
        "qids",
        "rename_gate",
        "root",
        "shown_types",
        "total_refs",
        "types_to_stat",
    )

    root: LocalNode

    def __init__(self, model: SecurityModel, qids: QidMap, handles: HandleCache, devices: DeviceTable) -> None:
        self.model = model
        self.attributes_of = model.attributes_of
        self.qids = qids
        self.handles = handles
        self.lock = handles.lock
        self.rename_gate = RenameGate(handles.lock)
        self.by_name = host.BY_NAME
        self.shown_types = shown_types(model.plain_types)
        self.types_to_stat = types_to_stat(model)
        self.devices = devices
        self.numbers: dict[int, int] = {}
        self.listings = Listings()
        self.total_refs = 0
        """Claims of fids on nodes of this tree; those that nodes have on their parents are not
        counted.
        """
        self._idle_directories: deque[LocalNode] = deque()
        self.on_submounts: dict[LocalNode, None] = {}
        """Nodes on file systems mounted below the export that have path handles, in the order in
        which they are looked at: see ``tidy``.
        """

    def add(self, parent: LocalNode, name: bytes, found: Stat, path_handle: Handle | None) -> LocalNode:
        """A new node for what was found under ``name``, referenced once; in the map it takes the place
        of what was known there.

        Unless another thread entered the same file just now: one node for a name, or a rename would
        move one and leave the other behind.
        """
        device, ino = found.st_dev, found.st_ino
        device = self.numbers.setdefault(device, device)  # one int for all nodes
        kind = type(parent) if path_handle is None or device == parent.dev else self._kind(parent, device, path_handle)
        node = kind(self, parent, name, device, ino, self.qids.path(device, ino))
        on_submounts = device != self.root.dev
        if path_handle is not None and (on_submounts or not node.inline):
            record_birth(node, path_handle)
        handles = self.handles
        with self.lock:
            known = None if parent.children is None else parent.children.get(name)
            if (
                path_handle is not None
                and known is not None
                and known.path_handle is not None
                and known.ino == ino
                and known.dev == device
            ):
                self.ref(known)
                return known
            if path_handle is not None:
                handles.store(node, path_handle)
                if on_submounts:
                    self.on_submounts[node] = None
            if parent.children is None:
                parent.children = {}
            parent.children[name] = node
            parent.refs += 1
            self.total_refs += 1
        if handles.held + handles.opened > handles.budget:
            handles.trim(node)
        return node

    def _kind(self, parent: LocalNode, device: int, path_handle: Handle) -> type[LocalNode]:
        """The class of a node on another device than its parent's. All below a slow one is slow:
        that is how it is reached.
        """
        kind = self.devices.nodes(device, path_handle)
        return kind if parent.inline else type(parent)

    def kept(self, known: LocalNode, path_handle: Handle) -> bool:
        """Whether the node of what ``open_path`` is can go on as it is: not if its device's number
        was given to another kind of device.
        """
        parent = known.parent_node
        return known.dev == parent.dev or type(known) is self._kind(parent, known.dev, path_handle)

    def ref(self, node: LocalNode) -> None:
        """One more fid holds a node. Call with the lock held."""
        node.refs += 1
        self.total_refs += 1

    def unref(self, node: LocalNode) -> None:
        """The reference of a fid ends; what nobody references leaves the tree, now or after it lingered."""
        with self.lock:
            self.total_refs -= 1
            node.refs -= 1
            if not node.refs:
                self._drop_unreferenced(node)
                while len(self._idle_directories) > IDLE_DIRECTORIES:
                    self._drop_oldest()
            if not self.total_refs:
                self.drop_idle()

    def drop_idle(self) -> None:
        """Nobody is here: nothing lingers. Call with the lock held."""
        while self._idle_directories:
            self._drop_oldest()

    def _drop_unreferenced(self, node: LocalNode) -> None:
        """Nobody references this node: it lingers (perhaps it does already), or leaves, and maybe its
        parents after it.
        """
        while node.parent_node is node or node.kind != DT_DIR or node.path_handle is None or node.detached:
            if node.parent_node is node:  # a root that was replaced
                self.handles.drop(node)
                return
            parent = self._leave(node)
            if parent.refs:
                return
            node = parent
        if not node.cached:
            node.cached = True
            self._idle_directories.append(node)

    def _drop_oldest(self) -> None:
        node = self._idle_directories.popleft()
        if not node.cached:
            return  # it was removed, and left when its last claim ended
        node.cached = False
        if not node.refs:
            parent = self._leave(node)
            if not parent.refs:
                self._drop_unreferenced(parent)

    def replace_root(self, root: LocalNode, path_handle: Handle) -> None:
        """The exported folder is another one now. Call with the lock held. What is held of the old
        one keeps that as its root.
        """
        old, self.root = self.root, root
        self.handles.store(root, path_handle)
        old.refs -= 1
        if not old.refs:
            self._drop_unreferenced(old)

    def tidy(self) -> None:
        """Give back what was not used since the last time on file systems mounted below the export.

        The host can unmount none of them while it is held. What has no name any more, and what is
        open, is in use.
        """
        with self.lock:
            for node in [*islice(self.on_submounts, TIDIED)]:
                del self.on_submounts[node]
                if node.path_handle is None:
                    continue
                if node.used or node.files or node.detached:
                    node.used = False
                    self.on_submounts[node] = None
                elif node.refs:
                    self.handles.drop(node)
                else:
                    node.cached = False
                    parent = self._leave(node)
                    if not parent.refs:
                        self._drop_unreferenced(parent)

    def _leave(self, node: LocalNode) -> LocalNode:
        """Take a node out of the tree, and its reference off its parent, which is returned."""
        self.handles.drop(node)
        self.on_submounts.pop(node, None)
        node.cached = False
        parent = node.parent_node
        children = parent.children
        if children is not None and children.get(node.name_) is node:
            del children[node.name_]
        parent.refs -= 1
        return parent

    def detach(self, node: LocalNode) -> None:
        """Its name is gone: it lives on by its path handle until it is released."""
        with self.lock:
            node.detached = True
            children = node.parent_node.children
            if children is not None and children.get(node.name_) is node:
                del children[node.name_]

    def detach_misplaced(self, node: LocalNode) -> None:
        """The host says that it is not where the table has it, and where it is cannot be told: it
        lives on by its path handle, without a name.

        It is never the root, which is above everything.
        """
        with self.lock:
            if not node.detached:
                self.handles.detach(node, node.path_handle)
            self._set_parent(node, self.root)

    def move(self, node: LocalNode, parent: LocalNode, name: bytes) -> None:
        """It was renamed. What was known under the new name must have been detached.

        A node that left the tree meanwhile (the last fid was clunked in another thread) is nobody's
        any more and stays away. If the new parent is below the node by the table, then the table is
        wrong somewhere in between: that part loses its name.
        """
        with self.lock:
            if parent is node:
                return
            if node.children and (between := self.between(parent, node)):
                self.detach_misplaced(between[-1])
            old = node.parent_node
            if not node.refs and (old.children is None or old.children.get(node.name_) is not node):
                return
            if self.by_name:
                self.handles.drop(node)  # a path handle may stand for directory and name there
            self._set_parent(node, parent, name)

    def _set_parent(self, node: LocalNode, parent: LocalNode, name: bytes | None = None) -> None:
        """Give a node, which is not above it, another parent; None: without a name."""
        old = node.parent_node
        if old.children is not None and old.children.get(node.name_) is node:
            del old.children[node.name_]
        node.parent_node = parent
        parent.refs += 1
        if name is not None:
            node.name_ = name
            if parent.children is None:
                parent.children = {}
            parent.children[name] = node
        old.refs -= 1
        if not old.refs:
            self._drop_unreferenced(old)

    def between(self, low: LocalNode, high: LocalNode) -> list[LocalNode]:
        """``low`` and what is above it, up to the one whose parent is ``high``; empty if ``high``
        is not above it (or is ``low`` itself).
        """
        path: list[LocalNode] = []
        with self.lock:
            while low is not high:
                path.append(low)
                if low.parent_node is low:
                    return []
                low = low.parent_node
        return path

    @staticmethod
    def version(found: Stat) -> int:
        """32 bits that change when contents or attributes do, never on access alone. hash() of a
        tuple mixes well (xxHash) and is the same in every process; a XOR of the two times would
        cancel for every file just written.
        """
        return hash((found.st_mtime_ns, found.st_ctime_ns, found.st_size)) & 0xFFFFFFFF

    def qid(self, kind: int, found: Stat) -> Qid:
        """The qid of a file of that type (``mode >> 12``)."""
        return Qid(QID_TYPES[kind], self.version(found), self.qids.path(found.st_dev, found.st_ino))
