"""Files that grow by a leap: made sparse first, or NTFS allocates every cluster in between
(FSCTL_SET_SPARSE, [MS-FSCC] 2.3.64).

A leap is ``LEAP`` bytes or more at once, by a truncation or by a write far beyond the end. Smaller
ones are not worth it: a sparse file keeps the attribute and is allocated piece by piece ever after.
"""

from __future__ import annotations

import contextlib
from typing import Final

from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import Control, Info, NtCalls
from ninep.host.windows.status import NtError

LEAP: Final = 16 << 20


class Growth:
    """Where the open files of one system were last written, so that only a leap costs a
    question.
    """

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self._ends: dict[Handle, int] = {}

    def before_write(self, handle: Handle, offset: int, length: int) -> None:
        """Bytes are about to be written there."""
        end = self._ends.get(handle, 0)
        if offset >= end + LEAP:
            self.before_truncate(handle, self.size(handle), offset)
        if offset + length > end:
            self._ends[handle] = offset + length

    def before_truncate(self, handle: Handle, size: int, new: int) -> None:
        """A file of ``size`` bytes is about to have ``new``. Where nothing is sparse (FAT), nothing
        changes.
        """
        if new - size >= LEAP:
            with contextlib.suppress(NtError):
                self._calls.control(handle, Control.SET_SPARSE, b"", 0)

    def size(self, handle: Handle) -> int:
        """The size of an open file."""
        return int(info.STANDARD.unpack(self._calls.query(handle, Info.STANDARD, info.STANDARD.size))[1])

    def closed(self, handle: Handle) -> None:
        """An open file ends."""
        self._ends.pop(handle, None)
