"""Whether the storage of the exports answers: asked by a health check, from any thread.

One thread asks the folders of all exports, one after the other, for a name that there is not: attributes of
its root a file system may have itself (JuiceFS answers them when its metadata engine does not). While it has not
come back, no other is sent after it: a storage that hangs costs one thread, and a check waits for
``PROBE_TIMEOUT`` once, then not at all until the storage answers again.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from ninep.server.exports import Export

PROBE_TIMEOUT: Final = 1.0
"""Seconds that a check waits."""


class _Round:
    """All exports, asked once."""

    def __init__(self, exports: Iterable[Export]) -> None:
        self.done = threading.Event()
        self.error = ""
        self.at = ""
        self._exports = list(exports)
        threading.Thread(target=self._ask, name="ninep-storage", daemon=True).start()

    def _ask(self) -> None:
        for export in self._exports:
            self.at = f"export {export.name!r}"
            try:
                source = export.driver.source()
                if source is not None:
                    _look(source.path)
            except OSError as error:
                self.error = f"{self.at}: {error.strerror or error}"
                break
        self.done.set()


def _look(folder: str) -> None:
    """``OSError`` if the folder does not work."""
    os.stat(folder)
    with suppress(FileNotFoundError):
        os.lstat(os.path.join(folder, f".ninep-health-{secrets.token_hex(8)}"))


class StorageProbe:
    """For the folders of a server; drivers without one (``Driver.source``) are not asked."""

    def __init__(self) -> None:
        self._round: _Round | None = None
        self._lock = threading.Lock()

    def trouble(self, exports: Iterable[Export]) -> str:
        """What is wrong with the first export that has an error or does not answer; empty if all
        answer.
        """
        with self._lock:  # a second check at the same time waits for the first
            late = self._round
            self._round = now = _Round(exports) if late is None else late
            if not now.done.wait(PROBE_TIMEOUT if late is None else 0):
                return f"{now.at}: its storage does not answer"
            self._round = None
            return now.error
