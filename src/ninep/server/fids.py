"""What a fid stands for, and the table of them.

A fid refers to one node, and holds what was opened from it: a file, a directory, or an extended
attribute being read or written. It knows no tag and no thread. Closing it closes all of that
exactly once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ninep.errors import Refused
from ninep.linux import O_ACCMODE, O_RDONLY, O_WRONLY, XATTR_REPLACE, Errno
from ninep.node import WouldBlock
from ninep.server.entries import EntryListing

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ninep.node import Node, OpenDir, OpenFile, User
    from ninep.server.exports import Export
    from ninep.server.listing import StatListing


log = logging.getLogger("ninep.server")


@dataclass(slots=True, eq=False)
class XattrValue:
    """Txattrwalk: a value (or the list of names), copied once, to be read."""

    value: bytes


@dataclass(slots=True, eq=False)
class XattrBuffer:
    """Txattrcreate: exactly ``size`` bytes to be written, set as the attribute when the fid is
    clunked.

    ``extent`` is how far writes have reached without a gap: counting bytes (as QEMU does) lets
    overlapping writes pass for a whole value.
    """

    name: bytes
    size: int
    flags: int
    data: bytearray = field(default_factory=bytearray)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> int:
        """Take what fits. ENOSPC beyond the announced size, EINVAL for a gap."""
        if offset > self.size:
            raise Refused(Errno.ENOSPC, "beyond the announced size of the attribute")
        if offset > len(self.data):
            raise Refused(Errno.EINVAL, "a gap in the value of the attribute")
        count = min(len(data), self.size - offset)
        self.data[offset : offset + count] = data[:count]
        return count

    def commit(self, node: Node) -> None:
        """Set or remove. EINVAL unless the whole value has arrived; size 0 with REPLACE removes
        (kernel fs/9p/xattr.c).
        """
        if len(self.data) != self.size:
            raise Refused(Errno.EINVAL, f"{len(self.data)} bytes of an attribute of {self.size} arrived")
        if self.size == 0 and self.flags == XATTR_REPLACE:
            node.removexattr(self.name)
        else:
            node.setxattr(self.name, bytes(self.data), self.flags)


class Fid:
    """One fid of one session."""

    __slots__ = ("directory", "entries", "export", "file", "flags", "node", "remove_on_clunk", "stats", "user", "xattr")

    def __init__(self, node: Node, user: User, export: Export) -> None:
        self.node = node
        self.user = user
        self.export = export
        self.file: OpenFile | None = None
        self.directory: OpenDir | None = None
        self.flags = 0
        self.xattr: XattrValue | XattrBuffer | None = None
        self.stats: StatListing | None = None
        self.entries: EntryListing | None = None
        self.remove_on_clunk = False

    @property
    def storage(self) -> Hashable:
        """What a request for it may have to wait for: see ``offload``."""
        found = self.node.storage
        return self.export if found is None else found

    @property
    def opened(self) -> bool:
        """Whether anything was opened from it: then it cannot be walked from in place, opened
        again, or turned into an attribute.
        """
        return self.file is not None or self.directory is not None or self.xattr is not None

    @property
    def writable(self) -> bool:
        """Opened for writing."""
        return self.file is not None and self.flags & O_ACCMODE != O_RDONLY

    @property
    def readable(self) -> bool:
        """Opened for reading."""
        return self.file is not None and self.flags & O_ACCMODE != O_WRONLY

    def become(self, node: Node) -> None:
        """Stand for another node, of which the fid gets the reference."""
        self.node, old = node, self.node
        old.release()

    def open(self, file: OpenFile, flags: int) -> None:
        """Hold a file that was opened from it with these flags."""
        self.file = file
        self.flags = flags

    def open_directory(self, directory: OpenDir, stats: StatListing | None) -> None:
        """Hold a directory that was opened from it; ``stats`` where it is read as stat records."""
        self.directory = directory
        self.flags = O_RDONLY
        self.stats = stats

    def set_xattr(self, xattr: XattrValue | XattrBuffer) -> None:
        """Hold an attribute to be read or written."""
        self.xattr = xattr

    def set_remove_on_clunk(self, value: bool) -> None:
        """Remove the file when the fid is clunked (ORCLOSE), or do not."""
        self.remove_on_clunk = value

    def listing(self, directory: OpenDir) -> EntryListing:
        """The numbered entries of its open directory."""
        if self.entries is None:
            self.entries = EntryListing(directory, self.export)
        return self.entries

    def commit(self) -> None:
        """Set the attribute that was written, if there is one."""
        if isinstance(self.xattr, XattrBuffer):
            self.xattr.commit(self.node)

    def close(self) -> None:
        """Give everything back: locks taken through it, what was opened, the node. An error is
        raised after all is done.
        """
        opened, self.file, self.directory = self.file or self.directory, None, None
        self.xattr = None
        self.export.locks.forget(self)
        if self.entries is not None:
            self.entries.close()
        try:
            if opened is not None:
                opened.close()
        finally:
            try:
                if self.remove_on_clunk:
                    self.node.remove()
            except WouldBlock:
                raise
            except OSError:
                pass  # open(5): if the file cannot be removed, nothing is said
            finally:
                self.node.release()

    def drop(self) -> None:
        """As ``close`` when the client is gone: no attribute is set (it may be half a value),
        errors are ignored.
        """
        self.xattr = None
        try:
            self.close()
        except OSError:
            return
        except Exception:  # one broken driver must not keep the client's other fids and locks alive
            log.exception("closing a fid of %s failed", self.export.name or "the export")
