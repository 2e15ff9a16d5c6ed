"""Contents that are being written: in memory while they are small, then in a file without a name
that only this process can open (mode 0600).
"""

from __future__ import annotations

import tempfile
import threading
from typing import IO, Final

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.wire.types import Buffer

SMALL: Final = 256 << 10
"""Bytes of one content that stay in memory."""


class Budget:
    """Bytes that all contents may take together."""

    def __init__(self, limit: int, folder: str = "") -> None:
        self.limit = limit
        self.folder = folder or None
        self._lock = threading.RLock()  # by the same thread again, where a collection ends a Spool
        self.used = 0

    def has(self, count: int) -> bool:
        """Whether there is room for so many bytes more."""
        return self.used + count <= self.limit

    def change(self, count: int) -> None:
        """Take, or give back. ENOSPC if there is not enough; nothing is taken then."""
        with self._lock:
            if count > 0 and self.used + count > self.limit:
                raise Refused(Errno.ENOSPC, "the spool is full (--s3-spool-limit)")
            self.used += count


class Spool:
    """One content. All methods may be called from several threads at once."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self._small: bytearray = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    @property
    def in_file(self) -> bool:
        """It takes a file, not memory."""
        return self._file is not None

    def __del__(self) -> None:
        self._budget.change(-self.size)
        if self._file is not None:
            self._file.close()

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes; fewer only at the end."""
        with self._lock:
            if self._file is None:
                return bytes(memoryview(self._small)[offset : offset + count])
            self._file.seek(min(offset, self.size))
            return self._file.read(count)

    def write(self, offset: int, data: Buffer) -> None:
        """All of ``data``. ENOSPC, EFBIG; the size is as before then."""
        with self._lock:
            if not len(data):
                return
            before = self.size
            self._grow(offset + len(data))
            try:
                self._put(offset, data)
            except OSError:
                self._shrink(before)
                raise

    def truncate(self, size: int) -> None:
        """Zeros are added. ENOSPC, EFBIG; nothing is changed then."""
        with self._lock:
            if size > self.size:
                self._grow(size)
            else:
                self._shrink(size)

    def _shrink(self, size: int) -> None:
        if self._file is None:
            del self._small[size:]
        else:
            self._file.truncate(size)
        self._budget.change(size - self.size)
        self.size = size

    def _grow(self, size: int) -> None:
        if size <= self.size:
            return
        if size > self._budget.limit:
            raise Refused(Errno.EFBIG, "larger than the spool (--s3-spool-limit)")
        self._budget.change(size - self.size)
        try:
            if self._file is None and size > SMALL:
                file = tempfile.TemporaryFile(buffering=0, dir=self._budget.folder)  # noqa: SIM115 - closed by __del__
                try:
                    _write(file, self._small)
                except OSError:
                    file.close()
                    raise
                self._file, self._small = file, bytearray()
            if self._file is None:
                self._small.extend(bytes(size - self.size))
            else:
                self._file.truncate(size)
        except OSError:
            self._budget.change(self.size - size)
            raise
        self.size = size

    def _put(self, offset: int, data: Buffer) -> None:
        if self._file is None:
            self._small[offset : offset + len(data)] = data
            return
        self._file.seek(offset)
        _write(self._file, data)


def _write(file: IO[bytes], data: Buffer) -> None:
    """All of it: a disk that gets full takes a part, and says so the next time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
