"""Putting what was written: whole, in one request or in parts, unless another client of the store
was there first.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Final

from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Bucket
from ninep.drivers.objects.spool import Spool
from ninep.drivers.objects.store import PARTS, Changed, Info
from ninep.drivers.objects.tree import Entry
from ninep.errors import Refused
from ninep.linux import Errno

AT_ONCE: Final = 8
"""Parts of one object on their way."""


class Short(Refused):
    """The store took all parts, and made less of them."""

    def __init__(self, info: Info, there: Info) -> None:
        super().__init__(Errno.EIO, f"{info.key!r}: the store has {there.size} bytes of {info.size}: it lost a part")
        self.etag = there.etag


def load(bucket: Bucket, node: BaseNode) -> Spool:
    """A local copy of what the store has. ESTALE if that is not what the node was read from; EFBIG
    and ENOSPC if there is no room.
    """
    spool = Spool(bucket.budget)
    if node.size > bucket.budget.limit:
        raise Refused(Errno.EFBIG, "changing it takes a local copy, larger than --s3-spool-limit")
    if not node.etag:
        return spool
    step, key, etag = bucket.settings.part_size, node.object_key, node.etag
    spans = [(at, min(step, node.size - at)) for at in range(0, node.size, step)]
    for (at, _), data in zip(spans, _in_order(bucket, key, etag, spans), strict=True):
        spool.write(at, data)
    return spool


def _in_order(bucket: Bucket, key: str, etag: str, spans: list[tuple[int, int]]) -> Iterator[bytes]:
    """The ranges, a few of them asked for ahead."""
    if len(spans) == 1:
        yield bucket.store.get(key, *spans[0], etag)
        return
    asked: list[Future[bytes]] = []
    try:
        for number in range(len(spans)):
            more = spans[number + len(asked) : number + AT_ONCE]
            asked += [bucket.pool.submit(bucket.store.get, key, *span, etag) for span in more]
            yield asked.pop(0).result()
    finally:
        for one in asked:
            one.cancel()


def put(bucket: Bucket, node: BaseNode, spool: Spool) -> str:
    """Put a content and the node's attributes. Returns the ETag. ``Changed`` if the store has not
    what the node was read from; on any error the store has what it had.
    """
    return put_as(bucket, node, spool, node.object_key, node.etag if bucket.settings.conditions else None)


def put_as(bucket: Bucket, node: BaseNode, spool: Spool, key: str, there: str | None) -> str:
    """The same under any key. ``there``: the ETag of what it replaces; empty: nothing, None: anything."""
    info = Info(key, spool.size, "", 0, node.attrs.write(), node.headers)
    etag, new = there or None, not there and there is not None
    try:
        if spool.size <= bucket.settings.part_size:
            return bucket.store.put(info, spool.read(0, spool.size), etag=etag, new=new)
        return _put_parts(bucket, info, spool, etag, new=new)
    except Changed:
        return _ours(bucket, info)


def _ours(bucket: Bucket, info: Info) -> str:
    """What is there after a refusal may be ours: the request had come, and its reply was lost. Its
    times are of one nanosecond. ``Changed`` if it is not.
    """
    try:
        there = bucket.store.head(info.key)
    except Refused as error:
        if error.code is Errno.ENOENT:
            raise Changed(info.key) from error
        raise
    if there.size == info.size and there.metadata == info.metadata:
        return there.etag
    raise Changed(info.key)


def _put_parts(bucket: Bucket, info: Info, spool: Spool, etag: str | None, *, new: bool) -> str:
    store = bucket.store
    step = max(bucket.settings.part_size, -(-spool.size // PARTS))
    upload = store.begin(info)
    try:
        parts = _upload(bucket, info.key, upload, spool, step)
        _check(bucket, info.key, etag, new=new)
        made = store.complete(info.key, upload, parts, etag=etag, new=new)
    except OSError:
        store.abort(info.key, upload)
        raise
    there = store.head(info.key)
    if there.etag == made and there.size != info.size:
        raise Short(info, there)
    return made


def _check(bucket: Bucket, key: str, etag: str | None, *, new: bool) -> None:
    """``Changed`` if the store has not what it should have. Not all stores that have conditions have
    them where parts are completed: there this leaves a moment, and the others none.
    """
    if etag is None and not new:
        return
    there: str | None = None
    try:
        there = bucket.store.head(key).etag
    except Refused as error:
        if error.code is not Errno.ENOENT:
            raise
    if there != etag:
        raise Changed(key)


def _upload(bucket: Bucket, key: str, upload: str, spool: Spool, step: int) -> list[str]:
    """All parts, several at once. Returns their ETags."""
    parts: dict[Future[str], int] = {}
    etags: dict[int, str] = {}
    on_their_way: set[Future[str]] = set()

    def send(number: int) -> str:
        return bucket.store.part(key, upload, number + 1, spool.read(number * step, step))

    try:
        for number in range(-(-spool.size // step)):
            if len(on_their_way) >= AT_ONCE:
                done, on_their_way = wait(on_their_way, return_when=FIRST_COMPLETED)
                etags |= {parts[one]: one.result() for one in done}
            job = bucket.pool.submit(send, number)
            parts[job] = number
            on_their_way.add(job)
        etags |= {parts[one]: one.result() for one in on_their_way}
    finally:
        for one in on_their_way:
            one.cancel()
        wait(on_their_way)
    return [etags[number] for number in range(len(etags))]


def put_attrs(bucket: Bucket, node: BaseNode) -> str:
    """Put the attributes alone. Returns the ETag."""
    info = Info(node.object_key, node.size, "", 0, node.attrs.write(), node.headers)
    if node.is_dir:
        return bucket.store.put(info._replace(size=0), b"", etag=None)
    etag = node.etag if bucket.settings.conditions else None
    return bucket.store.copy(info.key, info, etag, replace=True)


def entry_of(bucket: Bucket, node: BaseNode) -> Entry:
    """What a listing says of a node."""
    info = Info(node.object_key, node.size, node.etag, bucket.clock(), node.attrs.write(), node.headers)
    return Entry(node.is_dir, info, time.monotonic())
