"""``writeout=immediate``: after each write the host begins to write the data back, and waits for what
it was writing back of the range before (sync_file_range(2)), so that no dirty pages pile up in its
cache. It is no fsync: what was answered may still be lost.

A write may wait therefore, and runs in a worker thread. An error of the device is the answer of the
write: the host says it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ninep import host
from ninep.drivers.local.file import LocalFile
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.slow import FILE_VERBS, SlowNode, in_workers
from ninep.host import Handle
from ninep.linux import NO_ID, O_APPEND
from ninep.node import Buffer, check_may_wait


class WriteoutFile(LocalFile):
    """A file, open."""

    __slots__ = ("_appends",)

    def __init__(self, node: TableEntry, handle: Handle, flags: int, by: int) -> None:
        super().__init__(node, handle, flags, by)
        self._appends = bool(flags & O_APPEND)
        """The host decides where data are written."""

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        check_may_wait()
        return self._begin_writeback(offset, super().write(offset, data, by))

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        check_may_wait()
        return self._begin_writeback(offset, super().write_from(offset, buffers, by))

    def take_range(self, source: Handle, offset: int, target_offset: int, count: int, by: int) -> int:
        return self._begin_writeback(target_offset, super().take_range(source, offset, target_offset, count, by))

    def _begin_writeback(self, offset: int, count: int) -> int:
        if count:
            host.sync_file_range(self.handle, *((0, 0) if self._appends else (offset, count)))
        return count


class WriteoutNode(LocalNode):
    """The node."""

    __slots__ = ()

    file_type: ClassVar[type[LocalFile]] = WriteoutFile


@in_workers(*FILE_VERBS)
class SlowWriteoutFile(WriteoutFile):
    """A file on storage that waits, open."""

    __slots__ = ()


class SlowWriteoutNode(SlowNode):
    """The node."""

    __slots__ = ()

    file_type: ClassVar[type[LocalFile]] = SlowWriteoutFile
