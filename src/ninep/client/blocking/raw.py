"""A file of a server as a file of Python's ``io``, for everything that wants one (buffering, text, ``zipfile``, ``tarfile``)."""

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
        """The path it was opened by."""
        return self._file.name

    def readable(self) -> bool:
        """Opened for reading."""
        return self._file.readable()

    def writable(self) -> bool:
        """Opened for writing."""
        return self._file.writable()

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill a buffer from the position; how much was there."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer) -> int:
        """Write at the position."""
        return self._file.write(memoryview(data).cast("B"))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        return self._file.truncate(size)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._file.close()


def raw(file: File) -> RawFile:
    """The file as ``io`` has them: ``io.TextIOWrapper(io.BufferedReader(raw(file)))`` reads text."""
    return RawFile(file)
