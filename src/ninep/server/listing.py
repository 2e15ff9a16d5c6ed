"""A directory as 9P2000 and 9P2000.u read it: stat records, one after the other (read(5)).

Rules: whole records only; offset 0 begins afresh, any other offset goes on where the last read ended (unikraft adds up byte counts, others send
what they got: both mean "continue"). An entry that has gone since it was listed is left out; ``.`` and ``..`` are not part of it.
"""

from __future__ import annotations

from ninep.errors import Refused, linux_errno
from ninep.linux import Errno
from ninep.node import Node, OpenDir
from ninep.server.stats import stat_of
from ninep.wire.codec import pack_stat


class StatListing:
    """The reading of one directory through one fid."""

    __slots__ = ("_cookie", "_directory", "_extended", "_node", "_waiting")

    def __init__(self, node: Node, directory: OpenDir, extended: bool) -> None:
        self._node = node
        self._directory = directory
        self._extended = extended
        self._cookie = 0
        self._waiting: list[bytes] = []

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of whole records; EINVAL if not even one fits (0 bytes would read as the end)."""
        if offset == 0:
            self._cookie = 0
            self._waiting = []
        records: list[bytes] = []
        room = count
        while True:
            if not self._waiting and not self._fill(count):
                break
            record = self._waiting[0]
            if len(record) > room:
                if not records:
                    raise Refused(Errno.EINVAL, f"{count} bytes are too few for an entry")
                break
            records.append(self._waiting.pop(0))
            room -= len(record)
        return b"".join(records)

    def _fill(self, count: int) -> bool:
        """Fetch the next entries' records; False at the end."""
        while not self._waiting:
            entries = self._directory.read(self._cookie, min(count, 8192))
            if not entries:
                return False
            for entry in entries:
                self._cookie = entry.cookie
                if entry.name not in {b".", b".."}:
                    self._add(entry.name)
        return True

    def _add(self, name: bytes) -> None:
        try:
            node = self._node.walk(name)
        except OSError as error:
            if linux_errno(error) is Errno.ENOENT:
                return
            raise
        try:
            self._waiting.append(pack_stat(stat_of(node, self._extended), self._extended))
        finally:
            node.release()
