"""Open files and directories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.drivers.objects.ahead import Ahead
from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Bucket, shown
from ninep.drivers.objects.unsent import RETRY_DELAY
from ninep.errors import Refused
from ninep.linux import DT_DIR, DT_UNKNOWN, NO_ID, O_ACCMODE, O_APPEND, O_RDONLY, O_RDWR, O_SYNC, O_WRONLY, Errno
from ninep.node import OpenDir, OpenFile, check_may_wait, may_wait
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.types import QT_DIR, Buffer, Dirent

MAX_SIZE: Final = 5 << 40
"""Bytes of the largest object."""


class ObjectFile(OpenFile):
    """An open file. Readers get ranges of the object, or, where it is being written, of the local
    copy, which all open files of one server share.
    """

    idle = True

    def __init__(self, bucket: Bucket, node: BaseNode, flags: int) -> None:
        self.bucket = bucket
        self.node = node.clone()
        self.flags = flags
        self.reads = flags & O_ACCMODE in {O_RDONLY, O_RDWR}
        self.writes = flags & O_ACCMODE in {O_WRONLY, O_RDWR}
        self._generation = node.generation
        self._ahead = Ahead(bucket)

    def _check(self) -> None:
        if self._generation != self.node.generation:
            raise Refused(Errno.ESTALE, "another client of the store replaced the object")

    def read(self, offset: int, count: int) -> Buffer:
        if not self.reads:
            raise Refused(Errno.EBADF, "not open for reading")
        node = self.node
        self._check()
        with node.lock:
            spool, size, key, etag = node.spool, node.size, node.key, node.etag
            if spool is None and node.deleted:
                raise Refused(Errno.ESTALE, "the file is deleted")
        if spool is not None:
            return spool.read(offset, count)
        count = min(count, size - offset)
        if count <= 0:
            return b""
        try:
            return self._ahead.read(key, etag, size, offset, count)
        except Refused:
            with node.lock:
                if (node.spool, node.key, node.etag) == (None, key, etag):
                    raise
            return self.read(offset, count)  # renamed, removed or put meanwhile by this server

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        if not self.writes:
            raise Refused(Errno.EBADF, "not open for writing")
        if not len(data):
            return 0
        node = self.node
        if self.flags & O_SYNC:
            check_may_wait()
        with node.lock:
            self._check()
            node.say()
            spool = node.writable()
            offset = spool.size if self.flags & O_APPEND else offset
            if offset + len(data) > MAX_SIZE:
                raise Refused(Errno.EFBIG)
            self.bucket.unsent.wait_for_room(offset + len(data) - spool.size)
            spool.write(offset, data)
            node.changed(by)
            if self.flags & O_SYNC:
                node.settle()
        return len(data)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        if not self.writes:
            raise Refused(Errno.EBADF, "not open for writing")
        with self.node.lock:
            self._check()
            self.node.truncate(size, by)

    def fsync(self, datasync: bool) -> None:  # noqa: ARG002 - attributes go with the content
        self._check()
        self.node.fsync()

    def close(self) -> None:
        self._ahead.close()
        if may_wait():
            self._close()
        else:
            self.bucket.unsent.call(self._close)

    def _close(self) -> None:
        node, bucket = self.node, self.bucket
        later = bucket.settings.write_back
        try:
            with node.lock:
                node.closed(self.flags)
                due = node.unsaved and (self.writes or not node.writers)
                try:
                    if due and not later:
                        self._settle()
                finally:
                    node.drop_spool()
            if due and later:
                bucket.unsent.add(node, later)
            if self.writes:
                node.say()
        finally:
            node.release()

    def _settle(self) -> None:
        """Put it. What the store does not take now, it gets as soon as it does; the error is reported
        in any case.
        """
        try:
            self.node.settle()
        except OSError:
            if self.node.unsaved:
                self.bucket.unsent.add(self.node, RETRY_DELAY)
            raise


class ObjectDir(OpenDir):
    """An open directory: the names of the moment when it is read from the start."""

    small_cookies = True

    def __init__(self, bucket: Bucket, node: BaseNode) -> None:
        self.bucket = bucket
        self.node = node.clone()
        self._names: list[tuple[str, bool]] = []

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        node, bucket = self.node, self.bucket
        if node.deleted:
            return ()
        if cookie == 0:
            bucket.folder(node.key, whole=True)
            self._names = bucket.tree.read(node.key)
        found = []
        if cookie < 1:
            found.append(Dirent(*node.qid, 1, DT_DIR, b"."))
        if cookie < 2:
            above = node.parent()
            found.append(Dirent(*above.qid, 2, DT_DIR, b".."))
            above.release()
        room -= sum(DIRENT_SIZE + len(entry.name) for entry in found)
        numbers = bucket.tree.numbers
        for number in range(max(0, cookie - 2), len(self._names)):
            if room <= 0 and found:
                break
            name, is_dir = self._names[number]
            path = numbers.of(f"{node.key}/{name}" if node.key else name)
            kind, dtype = (QT_DIR, DT_DIR) if is_dir else (0, DT_UNKNOWN)
            found.append(Dirent(kind, 0, path, number + 3, dtype, shown(name)))
            room -= DIRENT_SIZE + len(found[-1].name)
        return found

    def close(self) -> None:
        self.node.release()
