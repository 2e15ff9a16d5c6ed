"""The file of an audit log: JSON lines, for the server's user alone.

Rules

* A file that another program has moved (logrotate(8)) is opened anew before the next record, without
  a signal. With a size, a file that has reached it is moved to ``FILE.1``, and so on to ``FILE.5``.
* Several workers append to one file, each record by one write(2). If two of them find at the same
  moment that it is full, one of the numbered files is short; no record is lost.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import WatchedFileHandler
from typing import Final

from ninep.log_format import timestamp

KEPT: Final = 5


class AuditFile(WatchedFileHandler):
    """A handler of records of ``ninep.audit``."""

    def __init__(self, path: str, size: int | None = None) -> None:
        self._size = size
        super().__init__(path, "a", "ascii")

    def _open(self) -> TextIOWrapper:
        """With mode 0600 whatever the umask is."""
        return open(
            self.baseFilename,
            "a",
            encoding="ascii",
            opener=lambda path, flags: os.open(path, flags | getattr(os, "O_CLOEXEC", 0), 0o600),
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, to the file that has that name now."""
        if self._size is not None and self.stream is not None:
            with suppress(OSError):
                if os.path.getsize(self.baseFilename) >= self._size:
                    self._rotate()
        super().emit(record)

    def _rotate(self) -> None:
        if self.stream is not None:
            self.stream.close()  # Windows does not move what is open
        for number in range(KEPT - 1, -1, -1):
            with suppress(FileNotFoundError):
                os.replace(self._numbered(number), self._numbered(number + 1))
        self.stream = self._open()
        self._statstream()

    def _numbered(self, number: int) -> str:
        return f"{self.baseFilename}.{number}" if number else self.baseFilename

    def format(self, record: logging.LogRecord) -> str:
        """A JSON object on a line."""
        return json.dumps(
            {"time": timestamp(record.created), **getattr(record, "fields", {"action": record.getMessage()})}
        )
