"""Waiting, which no verb may do in an event loop: for a lock, and for the store. There the server
calls the verb again in a thread (``WouldBlock``).
"""

from __future__ import annotations

import threading

from ninep.drivers.objects.store import Info, Page, Store
from ninep.node import WouldBlock, check_may_wait, may_wait
from ninep.wire.types import Buffer


class Lock:
    """As ``threading.RLock``."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=may_wait()):
            raise WouldBlock

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def acquire_now(self) -> bool:
        """Whether it was free; to be released then."""
        return self._lock.acquire(blocking=False)

    def release(self) -> None:
        """After ``acquire_now``."""
        self._lock.release()


class BlockingStore(Store):
    """A store that is never asked in an event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def head(self, key: str) -> Info:
        check_may_wait()
        return self._store.head(key)

    def get(self, key: str, offset: int, count: int, etag: str) -> bytes:
        check_may_wait()
        return self._store.get(key, offset, count, etag)

    def put(self, info: Info, body: Buffer, *, etag: str | None, new: bool = False) -> str:
        check_may_wait()
        return self._store.put(info, body, etag=etag, new=new)

    def copy(self, source: str, info: Info, etag: str | None, *, replace: bool) -> str:
        check_may_wait()
        return self._store.copy(source, info, etag, replace=replace)

    def delete(self, key: str) -> None:
        check_may_wait()
        self._store.delete(key)

    def listing(self, prefix: str, after: str = "", *, deep: bool = False, limit: int = 1000) -> Page:
        check_may_wait()
        return self._store.listing(prefix, after, deep=deep, limit=limit)

    def begin(self, info: Info) -> str:
        check_may_wait()
        return self._store.begin(info)

    def part(self, key: str, upload: str, number: int, body: Buffer) -> str:
        check_may_wait()
        return self._store.part(key, upload, number, body)

    def complete(self, key: str, upload: str, parts: list[str], *, etag: str | None, new: bool = False) -> str:
        check_may_wait()
        return self._store.complete(key, upload, parts, etag=etag, new=new)

    def abort(self, key: str, upload: str) -> None:
        self._store.abort(key, upload)

    def close(self) -> None:
        self._store.close()
