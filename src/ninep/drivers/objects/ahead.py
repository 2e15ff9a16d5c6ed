"""Reading an object in ranges, ahead of a reader that goes through it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Final

from ninep.drivers.objects.bucket import Bucket
from ninep.node import check_may_wait

FIRST: Final = 256 << 10
"""Bytes of the first range of a reader; each next one has twice as many, up to ..."""
LARGEST: Final = 4 << 20


class Ahead:
    """The ranges that one open file has asked for. May be used from several threads at once."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._lock = threading.Lock()
        self._what: tuple[str, str, int] = ("", "", 0)
        self._ranges: dict[int, tuple[int, Future[bytes]]] = {}
        """Where they begin: how long they are, and their bytes."""
        self._next = 0
        """Where the last range ends: a read from there on goes through the file."""
        self._step = FIRST
        self._closed = False

    def read(self, key: str, etag: str, size: int, offset: int, count: int) -> memoryview:
        """Up to ``count`` bytes of this object, of ``size`` bytes; at least one, if there is one."""
        with self._lock:
            if self._what != (key, etag, size):
                self._forget(list(self._ranges))
                self._what, self._next, self._step = (key, etag, size), 0, FIRST
            start, length, data = self._range(offset, count)
            self._go_on(offset)
        if not data.done():
            check_may_wait()
        try:
            found = memoryview(data.result())[offset - start :][:count]
        except OSError:
            with self._lock:
                self._forget([start])  # the next read asks again
            raise
        if len(found) < count and start + length < size:
            rest = self.read(key, etag, size, start + length, count - len(found))
            return memoryview(b"".join((found, rest)))
        return found

    def close(self) -> None:
        """Hold nothing any more."""
        with self._lock:
            self._closed = True
            self._forget(list(self._ranges))

    def _forget(self, starts: list[int]) -> None:
        for start in starts:
            length, _ = self._ranges.pop(start, (0, None))
            self._bucket.ahead.change(-length)

    def _range(self, offset: int, count: int) -> tuple[int, int, Future[bytes]]:
        """The range with this byte; asked for now, if it was not."""
        for start, (length, data) in self._ranges.items():
            if start <= offset < start + length:
                return start, length, data
        if offset != self._next:  # somewhere else: what is asked for, and no more
            self._forget(list(self._ranges))
            self._step = FIRST
        return self._ask(offset, max(count, self._step if offset == self._next else 0))

    def _ask(self, offset: int, count: int) -> tuple[int, int, Future[bytes]]:
        key, etag, size = self._what
        count = min(count, size - offset)
        data = self._bucket.pool.submit(self._bucket.store.get, key, offset, count, etag)
        if not self._closed:
            self._forget([offset])
            self._ranges[offset] = count, data
            self._bucket.ahead.change(count)
        self._next = offset + count
        return offset, count, data

    def _go_on(self, offset: int) -> None:
        """Forget what is behind the reader, ask for what is ahead."""
        size, ahead, room = self._what[2], self._bucket.settings.read_ahead, self._bucket.ahead
        self._forget([start for start, (length, _) in self._ranges.items() if start + length + LARGEST < offset])
        if not room.has(0):
            self._forget(list(self._ranges))  # more files are open than there is room for: each has what it asks for
            return
        while len(self._ranges) > 1 or offset == 0 or self._step > FIRST:
            if self._next >= size or self._next >= offset + ahead or not room.has(min(self._step * 2, LARGEST, ahead)):
                return
            self._step = min(self._step * 2, LARGEST)
            self._ask(self._next, min(self._step, ahead))
