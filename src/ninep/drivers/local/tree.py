"""What all nodes of one export share, and the one place where nodes enter and leave the tree.

A file that clients hold under one name is one node, however many fids walked there: the parent's ``children`` finds it, ``claims`` counts
fids and children. So cloning a fid costs no system call, and when a client renames a directory one node changes and all below follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ninep import host
from ninep.drivers.local.directory import QID_TYPES, shown_types
from ninep.drivers.local.pins import Pins
from ninep.drivers.local.qids import QidMap
from ninep.host import Handle, Stat
from ninep.node import Qid
from ninep.security import SecurityModel

if TYPE_CHECKING:
    from ninep.drivers.local.node import LocalNode


class Tree:
    """One export: its model, its qid numbers, its nodes."""

    __slots__ = ("by_name", "devices", "lock", "look", "model", "pins", "qids", "root", "shown_types")

    root: LocalNode

    def __init__(self, model: SecurityModel, qids: QidMap, pins: Pins) -> None:
        self.model = model
        self.look = model.look
        self.qids = qids
        self.pins = pins
        self.lock = pins.lock
        self.by_name = host.BY_NAME
        self.shown_types = shown_types(model.plain_types)
        self.devices: dict[int, int] = {}

    def enter(self, parent: LocalNode, name: bytes, found: Stat, pin: Handle | None) -> LocalNode:
        """A new node for what was found under ``name``, claimed once; in the map it takes the place of what was known there."""
        device, ino = found.st_dev, found.st_ino
        device = self.devices.setdefault(device, device)  # one int for all nodes
        node = type(parent)(self, parent, name, device, ino, self.qids.path(device, ino))
        with self.lock:
            if pin is not None:
                self.pins.keep(node, pin)
            if parent.children is None:
                parent.children = {}
            parent.children[name] = node
            parent.claims += 1
        return node

    def release(self, node: LocalNode) -> None:
        """A claim ends; what nobody claims leaves the tree, and so may its parents."""
        with self.lock:
            node.claims -= 1
            while not node.claims:
                self.pins.drop(node)
                parent = node.up
                if parent is node:
                    return
                children = parent.children
                if children is not None and children.get(node.name) is node:
                    del children[node.name]
                node = parent
                node.claims -= 1

    def detach(self, node: LocalNode) -> None:
        """Its name is gone: it lives on by its pin until it is released."""
        with self.lock:
            node.detached = True
            children = node.up.children
            if children is not None and children.get(node.name) is node:
                del children[node.name]

    def move(self, node: LocalNode, parent: LocalNode, name: bytes) -> None:
        """It was renamed. What was known under the new name must have been detached."""
        with self.lock:
            old = node.up
            if old.children is not None and old.children.get(node.name) is node:
                del old.children[node.name]
            node.up, node.name_ = parent, name
            if parent.children is None:
                parent.children = {}
            parent.children[name] = node
            parent.claims += 1
            if self.by_name:
                self.pins.drop(node)  # a pin may stand for directory and name there
            self.release(old)

    @staticmethod
    def version(found: Stat) -> int:
        """32 bits that change when contents or attributes do, never on access alone. hash() of a tuple mixes well (xxHash) and is the
        same in every process; a XOR of the two times would cancel for every file just written.
        """
        return hash((found.st_mtime_ns, found.st_ctime_ns, found.st_size)) & 0xFFFFFFFF

    def qid(self, kind: int, found: Stat) -> Qid:
        """The qid of a file of that type (``mode >> 12``)."""
        return Qid(QID_TYPES[kind], self.version(found), self.qids.path(found.st_dev, found.st_ino))
