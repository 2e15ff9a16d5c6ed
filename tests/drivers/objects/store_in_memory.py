"""An object store in memory, with the rules of S3, that can be told to fail."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

from ninep.drivers.objects.store import Changed, Info, Page, Store
from ninep.errors import Refused
from ninep.linux import Errno


class StoreInMemory(Store):
    """`requests` lists what was asked for, as (method, key). `fault`, if set, is called with them
    before anything is done, and may raise.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[Info, bytes]] = {}
        self.uploads: dict[str, tuple[Info, dict[int, bytes]]] = {}
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], None] = lambda method, key: None
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)

    def _asked(self, method: str, key: str) -> None:
        with self._lock:
            self.requests.append((method, key))
        self.fault(method, key)

    def count(self, method: str) -> int:
        return sum(one == method for one, _ in self.requests)

    def add(self, key: str, body: bytes = b"", modified: int = 0, **metadata: str) -> str:
        """As another client does."""
        info = Info(key, len(body), "", modified, dict(metadata), {"ContentType": "text/plain"})
        return self._keep(info, body, modified)

    def _keep(self, info: Info, body: bytes, modified: int | None = None) -> str:
        etag = f'"{hashlib.md5(body).hexdigest()}"'
        now = next(self._numbers) * 1_000_000_000 if modified is None else modified
        with self._lock:
            self.objects[info.key] = info._replace(size=len(body), etag=etag, modified=now), body
        return etag

    def _find(self, key: str) -> tuple[Info, bytes]:
        if key not in self.objects:
            raise Refused(Errno.ENOENT)
        return self.objects[key]

    def _check(self, key: str, etag: str | None, *, new: bool = False) -> None:
        there = self.objects.get(key)
        if (new and there) or (etag is not None and (there is None or there[0].etag != etag)):
            raise Changed(key)

    def head(self, key: str) -> Info:
        self._asked("head", key)
        return self._find(key)[0]

    def get(self, key: str, offset: int, count: int, etag: str) -> bytes:
        self._asked("get", key)
        self._check(key, etag)
        return self._find(key)[1][offset : offset + count]

    def put(self, info: Info, body: Any, *, etag: str | None, new: bool = False) -> str:
        self._asked("put", info.key)
        with self._lock:
            self._check(info.key, etag, new=new)
            return self._keep(info, bytes(body))

    def copy(self, source: str, info: Info, etag: str | None, *, replace: bool) -> str:
        self._asked("copy", source)
        with self._lock:
            self._check(source, etag)
            there, body = self._find(source)
            return self._keep(info if replace else there._replace(key=info.key), body)

    def delete(self, key: str) -> None:
        self._asked("delete", key)
        self.objects.pop(key, None)

    def listing(self, prefix: str, after: str = "", *, deep: bool = False, limit: int = 1000) -> Page:
        self._asked("list", prefix)
        objects: list[Info] = []
        prefixes: list[str] = []
        with self._lock:
            keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        last = ""
        for key in keys:
            inner, slash, _ = key[len(prefix) :].partition("/")
            shown = prefix + inner + "/" if slash and not deep else ""
            if shown and (shown in prefixes or after.startswith(shown)):
                continue
            if len(objects) + len(prefixes) == limit:
                return Page(objects, prefixes, last)
            if shown:
                prefixes.append(shown)
            else:
                objects.append(self.objects[key][0]._replace(metadata=None, headers={}))
            last = shown + "\uffff" if shown else key
        return Page(objects, prefixes, "")

    def begin(self, info: Info) -> str:
        self._asked("begin", info.key)
        upload = f"upload {next(self._numbers)}"
        self.uploads[upload] = info, {}
        return upload

    def part(self, key: str, upload: str, number: int, body: Any) -> str:
        self._asked("part", key)
        self.uploads[upload][1][number] = bytes(body)
        return f"part {number}"

    def complete(self, key: str, upload: str, parts: list[str], *, etag: str | None, new: bool = False) -> str:
        self._asked("complete", key)
        info, bodies = self.uploads[upload]
        with self._lock:
            self._check(key, etag, new=new)
            del self.uploads[upload]
            return self._keep(info, b"".join(bodies[number] for number in sorted(bodies)))

    def abort(self, key: str, upload: str) -> None:
        self._asked("abort", key)
        self.uploads.pop(upload, None)
