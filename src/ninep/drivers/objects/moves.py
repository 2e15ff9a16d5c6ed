"""Renaming: the store copies, then the old objects are deleted. Whatever stops it in between leaves
both, never neither.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Final, TypeVar

from ninep.drivers.objects import content, making
from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Bucket
from ninep.drivers.objects.store import Info
from ninep.drivers.objects.tree import Entry, parent_of
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import check_may_wait

log = logging.getLogger("ninep.objects")

REPORT: Final = 10.0
"""Seconds between two lines of the log about one rename."""
T = TypeVar("T")
R = TypeVar("R")


def rename(bucket: Bucket, old: str, new: str) -> None:
    """Rename, with errors in the order in which the kernel finds them (fs/namei.c)."""
    with bucket.tree.names(old, new):
        node = bucket.root.at(old)
        try:
            if node.is_dir and (new + "/").startswith(old + "/") and new != old:
                raise Refused(Errno.EINVAL, "into itself")
            if new == old:
                return
            replaced = _replaced(bucket, node, new)
            try:
                making.ensure_marker(bucket, parent_of(old))
                (_move_tree if node.is_dir else _move_file)(bucket, node, old, new, replaced)
            finally:
                if replaced is not None:
                    replaced.release()
        finally:
            node.release()


def _replaced(bucket: Bucket, node: BaseNode, new: str) -> BaseNode | None:
    """What has the new name, held, if it can be replaced."""
    try:
        there = bucket.root.at(new)
    except Refused as error:
        if error.code is Errno.ENOENT:
            return None
        raise
    try:
        if there.is_dir != node.is_dir:
            raise Refused(Errno.ENOTDIR if node.is_dir else Errno.EISDIR)
        if there.is_dir:
            making.check_empty(bucket, new)
        there.keep_for_readers()
    except OSError:
        there.release()
        raise
    return there


def _move_file(bucket: Bucket, node: BaseNode, old: str, new: str, replaced: BaseNode | None) -> None:
    with node.lock, (node if replaced is None else replaced).lock:  # which is not put any more
        there = replaced.etag if replaced is not None else ""
        send = _sending(bucket, node, old, new, there)
        with bucket.tree.moving.file(node, old, new):
            made = send()
            if node.may_be_there:
                bucket.store.delete(old)
            if replaced is not None:
                bucket.tree.forget(replaced)
                replaced.drop_spool()
            bucket.tree.moved(old, new, [old])
            node.put_as(made)
            _renamed(bucket, old, new, content.entry_of(bucket, node))


def _sending(bucket: Bucket, node: BaseNode, old: str, new: str, there: str) -> Callable[[], str]:
    """How it gets its new name in the store. What is called returns the ETag."""
    if not node.etag:  # it will be put under its new name, over what is there now
        return lambda: there
    conditions = bucket.settings.conditions
    if node.dirty and node.spool is not None and not node.writers:
        spool = node.spool

        def put() -> str:  # what it has in the store is of no use any more
            made = content.put_as(bucket, node, spool, new, there if conditions else None)
            node.put_content(made)
            return made

        return put
    node.settle()
    attrs = replace(node.attrs, ctime=bucket.clock())
    info = Info(new, node.size, "", 0, attrs.write(), node.headers)
    etag = node.etag if conditions else None
    return lambda: bucket.store.copy(old, info, etag, replace=True)


def _renamed(bucket: Bucket, old: str, new: str, entry: Entry) -> None:
    now = bucket.clock()
    bucket.tree.changed(old, None, now)
    bucket.tree.changed(new, entry, now)


def _move_tree(bucket: Bucket, node: BaseNode, old: str, new: str, replaced: BaseNode | None) -> None:
    check_may_wait()
    making.ensure_marker(bucket, old)
    node.settle()  # without a marker, which is deleted, SeaweedFS shows the old name for a while
    for inner in bucket.tree.below(old):
        inner.settle()
    with bucket.tree.moving.tree(node, old, new):
        _copy_and_delete(bucket, node, old, new, replaced)


def _copy_and_delete(bucket: Bucket, node: BaseNode, old: str, new: str, replaced: BaseNode | None) -> None:
    objects = _all_below(bucket, old)
    conditions = bucket.settings.conditions

    def copy(info: Info) -> str:
        target = info._replace(key=new + info.key[len(old) :])
        if info.key.endswith("/"):  # SeaweedFS copies no marker of a directory
            there = bucket.store.head(info.key)
            return bucket.store.put(there._replace(key=target.key), b"", etag=None)
        return bucket.store.copy(info.key, target, info.etag if conditions else None, replace=False)

    try:
        etags = _copy(bucket, f"renaming {old!r}: copies", copy, objects)
    except OSError:
        try:
            _delete(bucket, f"renaming {old!r}: copies given up", [new + info.key[len(old) :] for info in objects])
        except OSError as error:
            log.error("renaming %r failed; copies of some of it stay below %r: %s", old, new, error)  # noqa: TRY400 - the trace says nothing
        raise
    if replaced is not None:
        bucket.tree.forget(replaced)
    keys = sorted({old} | {key for info in objects for key in _and_above(info.key.rstrip("/"), old)})
    bucket.tree.moved(old, new, keys)
    copies = {new + info.key[len(old) :]: etag for info, etag in zip(objects, etags, strict=True)}
    for inner in [node, *bucket.tree.below(new)]:
        inner.put_as(copies.get(inner.object_key, inner.etag))
    _renamed(bucket, old, new, content.entry_of(bucket, node))
    _delete(bucket, f"renaming {old!r}: old objects deleted", [info.key for info in objects])


def _copy(bucket: Bucket, what: str, copy: Callable[[Info], str], objects: list[Info]) -> list[str]:
    """Markers of directories first, the highest first: where a file is made at the same time, SeaweedFS
    may lose the marker.
    """
    made: dict[str, str] = {}
    markers = [info for info in objects if info.key.endswith("/")]
    for depth in sorted({info.key.count("/") for info in markers}):
        some = [info for info in markers if info.key.count("/") == depth]
        made |= zip((info.key for info in some), _each(bucket, what, copy, some), strict=True)
    files = [info for info in objects if not info.key.endswith("/")]
    made |= zip((info.key for info in files), _each(bucket, what, copy, files), strict=True)
    return [made[info.key] for info in objects]


def _delete(bucket: Bucket, what: str, keys: list[str]) -> None:
    """Files first, then the markers of directories, the deepest first: until then what is left is a
    directory, and SeaweedFS deletes no marker above others.
    """
    _each(bucket, what, bucket.store.delete, [key for key in keys if not key.endswith("/")])
    markers = [key for key in keys if key.endswith("/")]
    for depth in sorted({key.count("/") for key in markers}, reverse=True):
        _each(bucket, what, bucket.store.delete, [key for key in markers if key.count("/") == depth])


def _and_above(key: str, top: str) -> list[str]:
    found = [key]
    while key != top:
        key = parent_of(key)
        found.append(key)
    return found


def _all_below(bucket: Bucket, key: str) -> list[Info]:
    """All objects of a directory, its marker too. EXDEV if there are too many: programs then copy."""
    found: list[Info] = []
    for page in bucket.pages(key + "/", deep=True):
        found += page.objects
        if len(found) > bucket.settings.rename_limit:
            raise Refused(Errno.EXDEV, "more objects than --s3-rename-limit")
    return found


def _each(bucket: Bucket, what: str, act: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Do it with all, many at once; say how far it is. The first error, when all have ended."""
    jobs: list[Future[R]] = [bucket.pool.submit(act, thing) for thing in things]
    said = time.monotonic()
    waiting = set(jobs)
    while waiting:
        _, waiting = wait(waiting, timeout=REPORT)
        if waiting and time.monotonic() - said >= REPORT:
            said = time.monotonic()
            log.info("%s: %d of %d", what, len(jobs) - len(waiting), len(jobs))
    return [job.result() for job in jobs]
