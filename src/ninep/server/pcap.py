"""Every message of all connections, as a capture of packets (``--pcap FILE``)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import count
from time import time

from ninep.protocol.framing import RawFrame
from ninep.server.observer import Observed, Observer
from ninep.wire.pcap import Writer
from ninep.wire.types import Buffer


class PcapFile:
    """A file with mode 0600: it has what clients read and write. ``OSError`` if it cannot be made."""

    def __init__(self, path: str) -> None:
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._writer = Writer()
        self._numbers = count()
        self._file.write(self._writer.header())
        self._file.flush()

    def observer(self) -> Observer:
        """For one connection."""
        return PcapObserver(self, next(self._numbers))

    def add(self, client: int, data: bytes, *, reply: bool) -> None:
        """A message."""
        self._file.write(self._writer.packets(time(), client, data, reply=reply))
        if reply:
            self._file.flush()


class PcapObserver(Observer):
    """Writes the messages of one connection."""

    def __init__(self, file: PcapFile, client: int) -> None:
        self._pcap = file
        self._client = client

    def requests(self, connection: Observed, frames: Iterator[RawFrame]) -> Iterator[RawFrame]:
        """Each before it is served."""
        del connection
        for frame in frames:
            size, _, _, buffer, start = frame
            self._pcap.add(self._client, bytes(buffer[start : start + size]), reply=False)
            yield frame

    def replies(self, connection: Observed, replies: Sequence[Buffer]) -> None:
        """Together."""
        del connection
        self._pcap.add(self._client, b"".join(replies), reply=True)
