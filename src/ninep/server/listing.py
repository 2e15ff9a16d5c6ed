"""A directory as 9P2000 and 9P2000.u read it: stat records, one after the other (read(5)).

Rules: whole records only; offset 0 begins afresh, any other offset goes on where the last read
ended (unikraft adds up byte counts, others send what they got: both mean "continue"). An entry that
has gone since it was listed is left out, one that cannot be looked at is shown with what the
listing says of it: nothing is dropped in silence. ``.`` and ``..`` are not part of it. Names may be
as long as the driver has them: what 9P2000.L leaves out (``entries``), clients of these dialects
take. A record that is larger than any message of the connection (``largest``) would make all
entries after it unreadable: a link is shown without its target then, and what is still too large is
left out.
"""

from __future__ import annotations

import logging
from collections import deque
from threading import Lock

from ninep.errors import Refused, linux_errno
from ninep.linux import DT_DIR, DT_UNKNOWN, Errno
from ninep.node import Node, OpenDir, WouldBlock
from ninep.server.entries import LONGEST_ENTRY
from ninep.server.stat_record import stat_of
from ninep.wire.codec import pack_stat
from ninep.wire.modes import Encoding, mode_to_wire
from ninep.wire.types import QT_DIR, Qid, Stat

log = logging.getLogger("ninep.server")

BATCH = 1024
"""Bytes of records that are made at a time: about 12."""
LOOKS = 16
"""Entries that are looked at for one message, besides the last batch: a reply may be shorter than
asked for, and each look takes 10 to 130 us (mapped-file, on a busy machine).
"""
DOTS = frozenset({b".", b".."})


class StatListing:
    """The reading of one directory through one fid."""

    __slots__ = (
        "_cookie",
        "_directory",
        "_encoding",
        "_guard",
        "_largest",
        "_left_out",
        "_looks",
        "_node",
        "_peer",
        "_waiting",
    )

    def __init__(
        self, node: Node, directory: OpenDir, encoding: Encoding, largest: int = 1 << 32, peer: object = "?"
    ) -> None:
        """``peer``: for the log."""
        self._node = node
        self._peer = peer
        self._directory = directory
        self._encoding = encoding
        self._largest = largest
        self._left_out = False
        self._guard = Lock()  # clients pipeline reads, and slow drivers are read in threads
        self._cookie = self._looks = 0
        self._waiting: deque[bytes] = deque()

    def read(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes of whole records; EINVAL if not even one fits (0 bytes would read
        as the end).
        """
        with self._guard:
            if offset == 0:
                self._cookie = 0
                self._waiting.clear()
            records: list[bytes] = []
            room, enough = count, self._looks + LOOKS
            while self._waiting or ((not records or self._looks < enough) and self._filled(count, records)):
                room -= len(self._waiting[0])
                if room < 0:
                    break
                records.append(self._waiting.popleft())
            if not records and room < 0:
                raise Refused(Errno.EINVAL, f"{count} bytes are too few for an entry")
            return b"".join(records)

    def _filled(self, count: int, records: list[bytes]) -> bool:
        """Fetch more. If that is for a thread that may wait, what there is already must not be
        lost: it is a reply.
        """
        try:
            return self._fill(count)
        except WouldBlock:
            if records:
                return False
            raise

    def _fill(self, count: int) -> bool:
        """Fetch the next entries' records; False at the end."""
        while not self._waiting:
            entries = self._directory.read(self._cookie, max(LONGEST_ENTRY, min(count, BATCH)))
            if not entries:
                return False
            size = 0
            for entry in entries:
                if entry[5] not in DOTS:
                    size += self._add(*entry)
                self._cookie = entry[3]
                if size > BATCH:
                    break  # the record of a link has its target, 4 KiB perhaps
        return True

    def _add(self, qid_type: int, version: int, path: int, cookie: int, kind: int, name: bytes) -> int:
        """Add an entry's record; its size, 0 if the entry is gone."""
        del cookie
        self._looks += 1
        try:
            node = self._node.walk(name)
            try:
                record = stat_of(node, self._encoding)
            finally:
                node.release()
        except WouldBlock:
            raise
        except OSError as error:
            if linux_errno(error) is Errno.ENOENT:
                return 0
            mode = mode_to_wire((kind or (DT_DIR if qid_type & QT_DIR else DT_UNKNOWN)) << 12, self._encoding)
            record = Stat(qid=Qid(qid_type, version, path), mode=mode, name=name)
        packed = pack_stat(record, self._encoding)
        if len(packed) > self._largest:
            packed = pack_stat(record._replace(extension=b""), self._encoding)
            if len(packed) > self._largest:
                self._warn(len(packed), name)
                return 0
        self._waiting.append(packed)
        return len(packed)

    def _warn(self, size: int, name: bytes) -> None:
        """Once for each listing."""
        if not self._left_out:
            self._left_out = True
            log.warning(
                "left out of a listing for %s: entries whose records are larger than a message of the client, such as one of %d bytes for %r; "
                "a larger msize shows them",
                self._peer,
                size,
                name[:40],
            )
