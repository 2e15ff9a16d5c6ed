"""Making and removing names."""

from __future__ import annotations

from dataclasses import replace

from ninep.drivers.objects import content
from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Bucket, shown
from ninep.drivers.objects.opened import ObjectFile
from ninep.drivers.objects.spool import Spool
from ninep.drivers.objects.store import Changed, Info
from ninep.drivers.objects.tree import name_of, parent_of
from ninep.errors import Refused
from ninep.linux import NO_ID, O_EXCL, PATH_MAX, PERMISSIONS, S_IFMT, S_IFREG, S_ISGID, Errno
from ninep.node import Node, OpenFile
from ninep.wire.types import Qid


def _new(bucket: Bucket, directory: BaseNode, key: str, mode: int, uid: int, gid: int, rdev: int = 0) -> BaseNode:
    """A node that the store has not yet."""
    if gid == NO_ID and directory.attrs.mode & S_ISGID:
        gid = directory.attrs.gid
    attrs = bucket.defaults(mode & S_IFMT, uid, gid, mode & PERMISSIONS)
    return directory.new(key, replace(attrs, rdev=rdev))


def _key_in(directory: BaseNode, node: BaseNode) -> str:
    """The key of a new node: that of the directory may have changed since it was made up."""
    return f"{directory.key}/{name_of(node.key)}" if directory.key else name_of(node.key)


def _put_new(bucket: Bucket, directory: BaseNode, node: BaseNode, spool: Spool) -> None:
    """EEXIST if the store has one of its key."""
    if directory.unsaved and not directory.etag:
        directory.settle()  # its marker first: see ``ObjectNode.settle``
    try:
        with bucket.tree.moving.put(directory):
            node.set_key(_key_in(directory, node))
            node.put_as(content.put(bucket, node, spool))
    except Changed as error:
        bucket.tree.stale(parent_of(node.key))
        raise Refused(Errno.EEXIST) from error


def create(
    bucket: Bucket, directory: BaseNode, key: str, flags: int, mode: int, uid: int, gid: int
) -> tuple[Node, OpenFile]:
    """``Node.create``. An exclusive one asks the store at once; others are in the store when they are
    closed.
    """
    with bucket.tree.names(key):
        try:
            existing = directory.walk(shown(name_of(key)))
        except Refused as error:
            if error.code is not Errno.ENOENT or directory.deleted:
                raise
        else:
            try:
                if flags & O_EXCL:
                    raise Refused(Errno.EEXIST)
                return existing, existing.open(flags, uid)
            except OSError:
                existing.release()
                raise
        bucket.unsent.wait_for_room()
        node = _new(bucket, directory, key, S_IFREG | mode & PERMISSIONS, uid, gid)
        spool = Spool(bucket.budget)
        at_once = bool(flags & O_EXCL) and bucket.asks_at_once(key)
        if at_once:
            _put_new(bucket, directory, node, spool)
        node.begin(spool, dirty=not at_once)
        with bucket.tree.lock:
            node.set_key(_key_in(directory, node))
            node = bucket.tree.enter(node)
        with node.lock:
            node.opened(flags)
        bucket.tree.changed(node.key, content.entry_of(bucket, node), bucket.clock())
        return node, ObjectFile(bucket, node, flags)


def make(
    bucket: Bucket, directory: BaseNode, key: str, mode: int, uid: int, gid: int, *, target: bytes = b"", rdev: int = 0
) -> Qid:
    """A directory, link, device or empty file. EEXIST."""
    if len(target) >= PATH_MAX:
        raise Refused(Errno.ENAMETOOLONG)
    with bucket.tree.names(key):
        try:
            bucket.find(key)
        except Refused as error:
            if error.code is not Errno.ENOENT:
                raise
        else:
            raise Refused(Errno.EEXIST)
        if bucket.tree.nodes.get(key) is not None:
            raise Refused(Errno.EEXIST)
        node = _new(bucket, directory, key, mode, uid, gid, rdev)
        spool = Spool(bucket.budget)
        spool.write(0, target)
        node.begin(spool, dirty=False)
        if node.is_dir and bucket.settings.write_back and not bucket.asks_at_once(key):
            node = _enter_unsent(bucket, directory, node)
        else:
            _put_new(bucket, directory, node, spool)
        bucket.tree.changed(node.key, content.entry_of(bucket, node), bucket.clock())
        if node.is_dir:
            bucket.tree.empty(node.key, node.asked)
        return node.qid


def _enter_unsent(bucket: Bucket, directory: BaseNode, node: BaseNode) -> BaseNode:
    """A directory is put later."""
    bucket.unsent.wait_for_room()
    with bucket.tree.lock:
        node.set_key(_key_in(directory, node))
        node.touch_attrs()
        node = bucket.tree.enter(node)
    bucket.unsent.add(node, bucket.settings.write_back)
    node.release()
    return node


def unlink(bucket: Bucket, key: str, *, directory: bool) -> None:
    """Remove a name. The directory that it was in gets a marker, if it has none, so that it stays."""
    with bucket.tree.names(key):
        node = bucket.root.at(key)
        try:
            if node.is_dir != directory:
                raise Refused(Errno.ENOTDIR if directory else Errno.EISDIR)
            if directory:
                check_empty(bucket, key)
            ensure_marker(bucket, parent_of(key))
            node.keep_for_readers()
            with node.lock, bucket.tree.moving.put(node):  # what is being put at this moment is deleted afterwards
                if node.may_be_there:
                    bucket.store.delete(node.object_key)
                bucket.tree.forget(node)
                node.drop_spool()
            bucket.tree.changed(node.key, None, bucket.clock())
        finally:
            node.release()


def check_empty(bucket: Bucket, key: str) -> None:
    """ENOTEMPTY if the directory has names, by what the store has now."""
    page = bucket.store.listing(key + "/", limit=2)
    unsent = any(not inner.etag and (inner.attrs_dirty or not inner.is_dir) for inner in bucket.tree.below(key))
    if unsent or page.prefixes or any(info.key != key + "/" for info in page.objects):
        raise Refused(Errno.ENOTEMPTY)


def ensure_marker(bucket: Bucket, key: str) -> None:
    """Without an object of its own a directory would go with its last name."""
    if not key:
        return
    node = bucket.root.at(key)
    try:
        with node.lock:
            if not node.etag and not node.attrs_dirty:  # then it gets one anyway
                with bucket.tree.moving.put(node):
                    info = Info(node.object_key, 0, "", 0, node.attrs.write())
                    node.put_as(bucket.store.put(info, b"", etag=None))
                bucket.tree.note(node.key, content.entry_of(bucket, node))
    finally:
        node.release()
