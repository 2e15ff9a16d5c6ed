"""What all nodes of one export share, and the one place where nodes enter and leave the table.

A file that clients hold under one name is one node, however many fids walked there: the parent's
``children`` finds it, ``references`` counts fids and children. So cloning a fid costs no system
call, and when a client renames a directory one node changes and all below follow.

A directory without references stays for a while with its path handle, because clients walk through
the same few again and again: a step to one that stayed is one look (0.9 us) instead of open, look,
close and a new node (5 us). Only a few do, files never (a path handle would keep a deleted file's
blocks), none when no fid is left, and none on hosts where path handles hinder others.

The table is what clients' renames made of it; host processes, other exports of the folder and other
workers rename too, and nothing tells of that. So a parent link is a guess until the host confirms
it (``rename_gate``), and the one thing that must hold whatever the host says is kept here: no node
is its own ancestor. A node whose place proved wrong and could not be found loses its name
(``detach_misplaced``): it lives on by its path handle.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import ClassVar, Final, Generic, Self, TypeVar

from ninep import host
from ninep.drivers.local.devices import DeviceTable
from ninep.drivers.local.entry_types import shown_types, types_to_stat
from ninep.drivers.local.handle_cache import CacheEntry, HandleCache, record_birth
from ninep.drivers.local.packed import Listings
from ninep.drivers.local.qids import QidMap
from ninep.drivers.local.rename_gate import RenameGate
from ninep.drivers.local.reserve import retrying
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, ObjectRef, Stat
from ninep.linux import DT_DIR, S_IFMT, Errno
from ninep.node import Node, Qid, check_may_wait
from ninep.security import FileRef, Owned, SecurityModel
from ninep.security.attr_cache import RACY

IDLE_DIRECTORIES: Final = 64
"""Directories that stay for a while after their last reference."""
NEVER: Final = -1
"""No time that a file has."""
TIDIED: Final = 4096
"""Nodes that one ``tidy`` looks at: half a millisecond."""


class TableEntry(CacheEntry, Node):
    """A node as the table knows it. Only the methods of this module change its parent, name,
    children and references; device, inode, type on the host and qid path never change.
    """

    __slots__ = (
        "cached",
        "children",
        "confirmed_ctime",
        "dev",
        "host_type",
        "ino",
        "kind",
        "mounts_checked",
        "name_",
        "parent_node",
        "path",
        "qid",
        "refs",
        "saved_attributes",
        "table",
    )

    never_checked: ClassVar[int] = 0
    """What ``mounts_checked`` is at first."""
    table: NodeTable[Self]
    parent_node: Self
    children: dict[bytes, Self] | None
    qid: Qid

    def __init__(
        self, table: NodeTable[Self], parent: Self | None, name: bytes, dev: int, found: Stat, path: int
    ) -> None:
        # Not by super(), which takes 0.1 us of every walk.
        CacheEntry.__init__(self, None if self.inline and (parent is None or dev == table.root.dev) else dev)
        self.table = table
        self.parent_node = parent or self
        self.name_ = name
        self.dev = dev
        self.ino = found.st_ino
        self.host_type = found.st_mode & S_IFMT
        self.path = path
        self.kind = 0
        self.refs = 1
        self.cached = False
        self.children = None
        self.saved_attributes: Owned | None = None
        self.confirmed_ctime = NEVER  # its ctime when the host had it in ``parent_node`` under ``name_``
        self.mounts_checked = self.never_checked
        """``host.mounts.changes`` when nothing was mounted on it: while that stands, no look waits."""

    def clone(self) -> Self:
        table = self.table
        with table.lock:
            table.ref(self)
        return self

    def release(self: Self) -> None:
        self.table.unref(self)

    def ref_child(self, known: Self, name: bytes) -> bool:
        """One more fid holds a child. False if another thread released it just now."""
        table = self.table
        with table.lock:
            if self.children is None or self.children.get(name) is not known:
                return False
            known.refs += 1
            table.total_refs += 1
            return True

    @abstractmethod
    def walk(self, name: bytes) -> Self:
        """``Node.walk``."""

    @abstractmethod
    def open_handle(self, flags: int) -> Handle:
        """A handle to the contents, not counted."""

    @abstractmethod
    def object_ref(self) -> ObjectRef:
        """``FileRef.object_ref``."""

    @abstractmethod
    def location(self, found: Stat | None = None) -> tuple[Handle, bytes] | None:
        """``FileRef.location``."""

    @abstractmethod
    def is_still_at(self, dir: Handle, name: bytes) -> bool:
        """``FileRef.is_still_at``."""

    def confirm_location(self, found: Stat) -> None:
        """Its name led to it just now, with this stat. As long as its ctime stands still, it does:
        Linux moves that of what is renamed, and of what loses a name. Elsewhere rename(2) need not.
        """
        if not self.table.by_name and self.table.model.filesystems.settled(found, RACY):
            self.confirmed_ctime = found.st_ctime_ns

    def save_attributes(self, owned: Owned | None) -> None:
        """``FileRef.save_attributes``."""
        self.saved_attributes = owned

    def is_at(self, dir: Handle, name: bytes) -> bool:
        """Does this name lead to this file now?"""
        found = self.stat_name(dir, name)
        return found.st_ino == self.ino and found.st_dev == self.dev

    def stat_name(self, dir: Handle, name: bytes) -> Stat:
        """As ``host.stat_at`` of a name that this node may have. Where something may be mounted
        since the last look, only in a thread that may wait.
        """
        changes = host.mounts.changes
        if self.mounts_checked == changes:
            return host.stat_at(dir, name)
        if not self.inline:
            check_may_wait()
        crossed = False
        try:
            found = host.stat_same_mount(dir, name)
        except OSError as error:
            if linux_errno(error) is not Errno.EXDEV:
                raise
            check_may_wait()
            crossed = True
            found = host.stat_at(dir, name)
        same = found.st_ino == self.ino and found.st_dev == self.dev
        # On what others may mount on, they may do so at any moment, before this process is told of
        # it.
        if same and self.inline and changes > 0 and (crossed or self.table.devices.is_private(found)):
            self.mounts_checked = changes
        return found


N = TypeVar("N", bound=TableEntry)


class NodeTable(Generic[N]):
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

    root: N

    def __init__(self, model: SecurityModel, qids: QidMap, handles: HandleCache, devices: DeviceTable[N]) -> None:
        self.model = model
        self.attributes_of: Callable[[FileRef, Stat], Owned] = (
            partial(retrying, handles, model.attributes_of) if model.opens_records else model.attributes_of
        )
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
        """References of fids to nodes of this table; those of nodes to their parents are not
        counted.
        """
        self._idle_directories: deque[N] = deque()
        self.on_submounts: dict[N, None] = {}
        """Nodes on file systems mounted below the export that have path handles, in the order in
        which they are looked at: see ``tidy``.
        """

    def add(self, parent: N, name: bytes, found: Stat, path_handle: Handle | None) -> N:
        """A new node for what was found under ``name``, referenced once; in the map it takes the
        place of what was known there.

        Unless another thread entered the same file just now: one node for a name, or a rename would
        move one and leave the other behind.
        """
        ino = found.st_ino
        device = self.numbers.setdefault(found.st_dev, found.st_dev)  # one int for all nodes
        kind = (
            type(parent)
            if path_handle is None or device == parent.dev
            else self.devices.kind_below(parent, device, path_handle)
        )
        node = kind(self, parent, name, device, found, self.qids.path(device, ino))  # type: ignore[arg-type] # of N is Self
        if path_handle is not None and node.slow_device is not None:
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
                if device != self.root.dev:
                    self.on_submounts[node] = None
            if parent.children is None:
                parent.children = {}
            parent.children[name] = node
            parent.refs += 1
            self.total_refs += 1
        if handles.path_handles + handles.opened > handles.budget:
            handles.trim(node)
        return node

    def add_unnamed(self, found: Stat, path_handle: Handle) -> N:
        """A node for a file without a name, referenced once: it lives by its path handle. Shown as
        Linux shows it (d_mark_tmpfile of fs/dcache.c). EMFILE if there are too many of these.
        """
        root = self.root
        device = self.numbers.setdefault(found.st_dev, found.st_dev)
        kind = type(root) if device == root.dev else self.devices.kind_below(root, device, path_handle)
        node = kind(self, root, b"#%d" % found.st_ino, device, found, self.qids.path(device, found.st_ino))  # type: ignore[arg-type] # as in ``add``
        handles = self.handles
        with self.lock:
            if handles.unreclaimable >= handles.budget // 4:
                raise Refused(Errno.EMFILE, "too many files without a name are open")
            handles.detach(node, path_handle)
            root.refs += 1
            self.total_refs += 1
        return node

    def is_valid(self, known: N, path_handle: Handle) -> bool:
        """Whether the node of what ``open_path`` is can go on as it is: not if its device's number
        was given to another kind of device.
        """
        parent = known.parent_node
        return known.dev == parent.dev or type(known) is self.devices.kind_below(parent, known.dev, path_handle)

    def adopt(self, node: N, path_handle: Handle) -> Handle:
        """Give a node that was found again its path handle. Another thread may have been faster, or
        the node have left the table meanwhile.
        """
        record_birth(node, path_handle)
        handles = self.handles
        with self.lock:
            if node.path_handle is not None:
                return node.path_handle
            if node.refs and not node.detached:
                handles.store(node, path_handle)
                if node.dev != self.root.dev:
                    self.on_submounts[node] = None
        if handles.path_handles + handles.opened > handles.budget:
            handles.trim(node)
        return path_handle

    def ref(self, node: N) -> None:
        """One more fid holds a node. Call with the lock held."""
        node.refs += 1
        self.total_refs += 1

    def unref(self, node: N) -> None:
        """The reference of a fid ends; what has none leaves the table, now or after a while."""
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
        """No fid is left: no directory stays. Call with the lock held."""
        while self._idle_directories:
            self._drop_oldest()

    def _drop_unreferenced(self, node: N) -> None:
        """This node has no references: it stays (perhaps it does already), or leaves, and maybe its
        parents after it.
        """
        while node.kind != DT_DIR or node.path_handle is None or node.detached or node.parent_node is node:
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
            return  # it was removed, and left when its last reference ended
        node.cached = False
        if not node.refs:
            parent = self._leave(node)
            if not parent.refs:
                self._drop_unreferenced(parent)

    def begin(self, root: N, path_handle: Handle) -> None:
        """The first root."""
        self.root = root
        with self.lock:
            self.handles.store_permanently(root, path_handle)

    def close(self) -> None:
        """The export ends: its own reference to the root, and what stays without references."""
        with self.lock:
            self.drop_idle()
            self.root.refs -= 1
            self.handles.drop(self.root)

    def replace_root(self, root: N, path_handle: Handle) -> None:
        """The exported folder is another one now. Call with the lock held. What is held of the old
        one keeps that as its root.
        """
        old, self.root = self.root, root
        self.handles.store_permanently(root, path_handle)
        old.refs -= 1
        if not old.refs:
            self._drop_unreferenced(old)

    def tidy(self) -> None:
        """Give back what was not used since the last time on file systems mounted below the export.

        The host can unmount none of them while it is held. What has no name any more, and what is
        open, is in use.
        """
        self.handles.reserve.fill()
        with self.lock:
            for node in [*islice(self.on_submounts, TIDIED)]:
                del self.on_submounts[node]
                if node.path_handle is None:
                    continue
                if node.used or node.files or node.detached:
                    self.handles.clear_used(node)
                    self.on_submounts[node] = None
                elif node.refs:
                    self.handles.drop(node)
                else:
                    node.cached = False
                    parent = self._leave(node)
                    if not parent.refs:
                        self._drop_unreferenced(parent)

    def _leave(self, node: N) -> N:
        """Take a node out of the table, and its reference off its parent, which is returned."""
        self.handles.drop(node)
        if self.on_submounts:
            self.on_submounts.pop(node, None)
        node.cached = False
        parent = node.parent_node
        children = parent.children
        if children is not None and children.get(node.name_) is node:
            del children[node.name_]
        parent.refs -= 1
        return parent

    def detach(self, node: N) -> None:
        """Its name is gone: it lives on by its path handle until it is released."""
        with self.lock:
            children = node.parent_node.children
            if children is not None and children.get(node.name_) is node:
                del children[node.name_]

    def detach_misplaced(self, node: N) -> None:
        """The host says that it is not where the table has it, and where it is cannot be told: it
        lives on by its path handle, without a name. Never the root, which is above everything.
        """
        with self.lock:
            if not node.detached:
                self.handles.detach(node, node.path_handle)
            self._set_parent(node, self.root)

    def move(self, node: N, parent: N, name: bytes) -> None:
        """It was renamed. What was known under the new name must have been detached.

        A node that left the table meanwhile (the last fid was clunked in another thread) has no
        reference any more and stays out. If the new parent is below the node by the table, then the
        table is wrong somewhere in between: that part loses its name.
        """
        with self.lock:
            if parent is node:
                return
            if between := self.between(parent, node):
                self.detach_misplaced(between[-1])
            old = node.parent_node
            if not node.refs and (old.children is None or old.children.get(node.name_) is not node):
                return
            if self.by_name:
                self.handles.drop(node)  # a path handle may stand for directory and name there
            self._set_parent(node, parent, name)

    def exchange(self, *moves: tuple[N | None, N, bytes]) -> None:
        """As two of ``move`` at once: what of both is known, its new directory and name."""
        with self.lock:
            for node, parent, name in moves:
                # Not by its new name: it is the other's until that is moved.
                children = parent.children
                if children is not None and children.get(name) is not None and children[name] is not node:
                    del children[name]
            for node, parent, name in moves:
                if node is not None:
                    self.move(node, parent, name)

    def _set_parent(self, node: N, parent: N, name: bytes | None = None) -> None:
        """Give a node, which is not above it, another parent; None: without a name."""
        old = node.parent_node
        if old.children is not None and old.children.get(node.name_) is node:
            del old.children[node.name_]
        node.confirmed_ctime = NEVER
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

    def between(self, low: N, high: N) -> list[N]:
        """``low`` and what is above it, up to the one whose parent is ``high``; empty if ``high``
        is not above it (or is ``low`` itself).
        """
        path: list[N] = []
        with self.lock:
            while low is not high:
                path.append(low)
                if low.parent_node is low:
                    return []
                low = low.parent_node
        return path
