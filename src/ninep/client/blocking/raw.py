"""A remote file as a raw file of Python's ``io``, for code that expects one (buffering, text,
``zipfile``, ``tarfile``).
"""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from ninep.client.blocking.file import File

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class RawFile(io.RawIOBase):
    """``io.RawIOBase`` over a ``File``; closing it closes the file."""

    def __init__(self, file: File) -> None:
        self._file = file

    @property
    def name(self) -> str:
        """The path of the file, as passed to ``open``."""
        return self._file.name

    def readable(self) -> bool:
        """Whether the file is open for reading."""
        return self._file.readable()

    def writable(self) -> bool:
        """Whether the file is open for writing."""
        return self._file.writable()

    def seekable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer from the position. Returns the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer) -> int:
        """Write at the position. Returns the number of bytes."""
        return self._file.write(memoryview(data).cast("B"))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position. Returns the new position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Set the size (default: to the position). Returns the size."""
        return self._file.truncate(size)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._file.close()


def raw(file: File) -> RawFile:
    """The file as an ``io.RawIOBase``: ``io.TextIOWrapper(io.BufferedReader(raw(file)))`` reads
    text.
    """
    return RawFile(file)
