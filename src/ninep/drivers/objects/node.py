"""The nodes: one for each object or directory that fids hold."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Final, Self

from ninep.drivers.objects import content, making, moves
from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Bucket, shown
from ninep.drivers.objects.metadata import NANO, ObjectAttrs
from ninep.drivers.objects.opened import ObjectDir, ObjectFile
from ninep.drivers.objects.spool import Spool
from ninep.drivers.objects.store import Changed, Info
from ninep.drivers.objects.tree import Entry, name_of, parent_of
from ninep.drivers.objects.unsent import RETRY_DELAY
from ninep.drivers.xattrs import check_name, check_set, is_name
from ninep.errors import Refused
from ninep.linux import (
    GETATTR_BASIC,
    NAME_MAX,
    NO_ID,
    O_ACCMODE,
    O_RDONLY,
    O_TRUNC,
    PATH_MAX,
    PERMISSIONS,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    Errno,
)
from ninep.node import NOW, Changes, Node, OpenFile, check_may_wait
from ninep.wire.types import QT_DIR, QT_SYMLINK, Attributes, Qid, Statfs

BLOCK: Final = 4096
ROOM: Final = 1 << 38
"""Blocks that df shows: a store has no size. 1 PiB."""
MAGIC: Final = 0x01021997
QID_TYPES: Final = {S_IFDIR: QT_DIR, S_IFLNK: QT_SYMLINK}
UNCHANGED: Final = Changes()[:7]


class ObjectNode(BaseNode):
    """Its verbs."""

    def __init__(self, bucket: Bucket, key: str, attrs: ObjectAttrs, info: Info | None = None) -> None:
        super().__init__(key, bucket.tree.numbers.of(key), attrs, info)
        self.bucket = bucket

    def serve_in_loop(self) -> None:
        """This is the root: verbs are called in the event loop, and again in a thread if they have to
        wait (``blocking``).
        """
        self.inline = True

    # -- identity ------------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        if self.is_dir:
            return self.bucket.tree.folder(self.key).version
        return zlib.crc32(f"{self.base}/{self.changes}".encode())

    @property
    def qid(self) -> Qid:  # type: ignore[override]  # always fresh; mypy wants attributes to stay writable
        return Qid(QID_TYPES.get(self.attrs.kind, 0), self.version, self.number)

    @property
    def name(self) -> bytes:
        return shown(name_of(self.key)) or b"/"

    @property
    def pathname(self) -> bytes:
        return b"/" + shown(self.key)

    def clone(self) -> Self:
        with self.bucket.tree.lock:
            self.refs += 1
        return self

    def release(self) -> None:
        self.bucket.tree.release(self)

    # -- names ---------------------------------------------------------------------------------------------------------

    def _directory(self) -> None:
        if not self.is_dir:
            raise Refused(Errno.ENOTDIR)
        if self.deleted:
            raise Refused(Errno.ENOENT, "the directory is deleted")

    def walk(self, name: bytes) -> BaseNode:
        self._directory()
        return self.at(self.bucket.key(self.key, name))

    def parent(self) -> BaseNode:
        return self.at(parent_of(self.key))

    def at(self, key: str) -> BaseNode:
        bucket = self.bucket
        if not key:
            return bucket.root.clone()
        node = bucket.tree.hold(key)
        if node is not None:
            try:
                node.refresh()
            except OSError:
                node.release()
                if not node.deleted:
                    raise
            else:
                return node
        entry = bucket.find(key)
        assert entry.info is not None  # noqa: S101 - found with its metadata
        info = entry.info._replace(size=0) if entry.is_dir else entry.info
        return bucket.tree.enter(ObjectNode(bucket, key, bucket.attrs(info, is_dir=entry.is_dir), info))

    def new(self, key: str, attrs: ObjectAttrs) -> BaseNode:
        return ObjectNode(self.bucket, key, attrs)

    # -- attributes ----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        if self.deleted or time.monotonic() - self.asked < self.bucket.settings.cache:
            return
        if not self.lock.acquire_now():
            return  # it is being put: what is known here is what will be there
        try:
            if self.unsaved or self.spool is not None:
                return
            self._take(self._there())
        finally:
            self.lock.release()

    def _there(self) -> Entry:
        if not self.key:
            return self.bucket.root_entry()
        try:
            entry = self.bucket.find(self.key)
        except Refused as error:
            if error.code is Errno.ENOENT:
                self.bucket.tree.forget(self)
            raise
        if entry.is_dir != self.is_dir:
            self.bucket.tree.forget(self)
            raise Refused(Errno.ENOENT, "another thing has its name now")
        return entry

    def _take(self, entry: Entry) -> None:
        info = entry.info
        assert info is not None  # noqa: S101 - found with its metadata
        if info.etag != self.etag and not self.is_dir:
            self.generation += 1
            self.base, self.changes = info.etag, 0
        self.attrs = self.bucket.attrs(info, is_dir=self.is_dir)
        self.etag, self.headers = info.etag, info.headers
        self.size = 0 if self.is_dir else info.size
        self.asked = time.monotonic()

    def getattr(self, mask: int) -> Attributes:  # noqa: ARG002 - all there is, is returned in any case
        self.refresh()
        attrs, mtime, ctime = self.attrs, self.attrs.mtime, self.attrs.ctime
        if self.is_dir:
            touched = self.bucket.tree.folder(self.key).touched
            mtime, ctime = (touched or mtime), max(ctime, touched)
        return Attributes(
            GETATTR_BASIC, QID_TYPES.get(attrs.kind, 0), self.version, self.number, attrs.mode, attrs.uid, attrs.gid,
            0 if self.deleted else 1, attrs.rdev, self.size, BLOCK, -(-self.size // 512), *divmod(attrs.atime, NANO),
            *divmod(mtime, NANO), *divmod(ctime, NANO),
        )  # fmt: skip

    def setattr(self, changes: Changes) -> None:
        self._check_changes(changes)
        if changes[:7] == UNCHANGED:
            return
        with self.lock:
            self.refresh()
            self.say()
            before = self.attrs.copy(), self.dirty, self.attrs_dirty, self.changes
            try:
                if changes.size is not None:
                    self.truncate(changes.size, changes.by)
                self._apply(changes)
                self._put_attrs()
            except Changed:
                raise  # all that was changed here is given up
            except OSError:
                if changes.size is None:
                    self.attrs, self.dirty, self.attrs_dirty, self.changes = before
                raise
            finally:
                self.drop_spool()
            if self.is_dir and changes.mtime is not None:
                self.bucket.tree.timed(self.key)

    def _put_attrs(self) -> None:
        """Attributes were changed: put them now, or later with the content or others that follow."""
        self.touch_attrs()
        self.attrs.write()
        if self.writers:
            return
        if self.bucket.settings.write_back:
            self.bucket.unsent.add(self, self.bucket.settings.write_back)
        else:
            self.settle()

    def _apply(self, changes: Changes) -> None:
        attrs, now = self.attrs, self.bucket.clock()
        if changes.uid is not None or changes.gid is not None:
            attrs.set_owner(changes.uid, changes.gid)
            self.drop_privileges(changes.by)
        if changes.mode is not None:
            attrs.set_mode(changes.mode)
        attrs.set_times(*(now if time == NOW else time for time in (changes.atime, changes.mtime)))
        attrs.changed(now)

    def _check_changes(self, changes: Changes) -> None:
        kind = self.attrs.kind
        if changes.size is not None and kind != S_IFREG:
            raise Refused(Errno.EISDIR if kind == S_IFDIR else Errno.EINVAL)
        if changes.mode is not None and kind == S_IFLNK:
            raise Refused(Errno.EOPNOTSUPP, "a link has no permissions")
        for moment in (changes.atime, changes.mtime):
            if moment is not None and moment != NOW and not -(1 << 63) <= moment // NANO < 1 << 63:
                raise Refused(Errno.EINVAL, "the time does not fit in a field of 9P")
        if not self.key and not self.bucket.has_root_marker:
            raise Refused(Errno.EOPNOTSUPP, "a bucket has no attributes: serve a prefix of it")

    def drop_privileges(self, by: int) -> None:
        """After a change by a user other than root (notify_change in fs/attr.c)."""
        if by != 0 and self.attrs.is_file:
            self.attrs.drop_privileges()

    def statfs(self) -> Statfs:
        return Statfs(MAGIC, BLOCK, ROOM, ROOM, ROOM, ROOM, ROOM, 0, NAME_MAX)

    def readlink(self) -> bytes:
        if self.attrs.kind != S_IFLNK:
            raise Refused(Errno.EINVAL)
        self.refresh()
        if not 0 < self.size < PATH_MAX:
            raise Refused(Errno.EIO, f"{self.key!r}: {self.size} bytes are no target of a link")
        target = self.bucket.store.get(self.key, 0, self.size, self.etag)
        if b"\0" in target:
            raise Refused(Errno.EIO, f"{self.key!r}: no target of a link")
        return target

    # -- content -------------------------------------------------------------------------------------------------------

    def writable(self) -> Spool:
        if self.spool is None:
            if self.deleted:
                raise Refused(Errno.ESTALE, "the file is deleted")
            self.spool = content.load(self.bucket, self)
        return self.spool

    def changed(self, by: int) -> None:
        assert self.spool is not None  # noqa: S101 - it was changed
        self.size = self.spool.size
        self.dirty = True
        self.changes += 1
        now = self.bucket.clock()
        self.attrs.set_times(None, now)
        self.attrs.changed(now)
        self.drop_privileges(by)

    def truncate(self, size: int, by: int) -> None:
        with self.lock:
            if size == 0 and self.spool is None and not self.deleted:
                self.spool = Spool(self.bucket.budget)
            self.writable().truncate(size)
            self.changed(by)

    def _settle_above(self) -> None:
        """Folders first: where a file is put at the same time as the marker of its folder, SeaweedFS may
        lose the marker.
        """
        key = parent_of(self.key)
        above = self.bucket.tree.hold(key) if key else None
        if above is not None:
            try:
                if above.unsaved and not above.etag:
                    above.settle()
            finally:
                above.release()

    def settle(self) -> None:
        if self.unsaved:
            self._settle_above()
        with self.lock:
            if not self.unsaved:
                self.dirty = self.attrs_dirty = False
                return
            check_may_wait()
            try:
                with self.bucket.tree.moving.put(self):
                    self.tried = True
                    if self.dirty:
                        assert self.spool is not None  # noqa: S101 - it was changed
                        etag = content.put(self.bucket, self, self.spool)
                    else:
                        etag = content.put_attrs(self.bucket, self)
            except content.Short as error:
                self.etag = error.etag  # that is ours, and the next attempt replaces it
                raise
            except Changed:
                self._give_up()
                raise
            self.put_content(etag)
            self.bucket.tree.note(self.key, content.entry_of(self.bucket, self))
            self.drop_spool()

    def give_up(self, error: OSError) -> None:
        with self.lock:
            if self.unsaved:
                self._give_up()
                self.fail(error)

    def _give_up(self) -> None:
        self.spool = None
        self.dirty = self.attrs_dirty = False
        self.generation += 1
        self.expire()
        self.bucket.tree.stale(parent_of(self.key))

    def keep_for_readers(self) -> None:
        with self.lock:
            if self.files and self.spool is None and self.attrs.is_file:
                try:
                    self.spool = content.load(self.bucket, self)
                except Refused:
                    return

    def fsync(self) -> None:
        self.settle()
        self.say()

    def syncfs(self) -> None:
        with self.bucket.tree.lock:
            nodes = list(self.bucket.tree.nodes.values())
        for node in nodes:
            if node.unsaved:
                self.bucket.unsent.add(node, RETRY_DELAY)
        self.bucket.unsent.flush()

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, flags: int, by: int = NO_ID) -> ObjectFile:
        kind = self.attrs.kind
        if kind != S_IFREG:
            raise Refused({S_IFDIR: Errno.EISDIR, S_IFLNK: Errno.ELOOP}.get(kind, Errno.ENXIO))
        with self.lock:
            self.refresh()
            if self.deleted and self.spool is None:
                raise Refused(Errno.ESTALE, "the file is deleted")
            if flags & O_ACCMODE != O_RDONLY:
                self.say()
            if flags & O_TRUNC:
                self.truncate(0, by)
            self.opened(flags)
        return ObjectFile(self.bucket, self, flags)

    def opendir(self) -> ObjectDir:
        self._directory()
        return ObjectDir(self.bucket, self)

    # -- making, removing, renaming ------------------------------------------------------------------------------------

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        self._directory()
        return making.create(self.bucket, self, self.bucket.key(self.key, name), flags, mode, uid, gid)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        self._directory()
        return making.make(self.bucket, self, self.bucket.key(self.key, name), S_IFDIR | mode & PERMISSIONS, uid, gid)

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        self._directory()
        return making.make(self.bucket, self, self.bucket.key(self.key, name), S_IFLNK | 0o777, uid, gid, target=target)

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        self._directory()
        kind = mode & S_IFMT or S_IFREG
        if kind in {S_IFDIR, S_IFLNK}:
            raise Refused(Errno.EPERM)
        return making.make(
            self.bucket, self, self.bucket.key(self.key, name), kind | mode & PERMISSIONS, uid, gid, rdev=rdev
        )

    def link(self, target: Node, name: bytes) -> None:  # noqa: ARG002
        raise Refused(Errno.EOPNOTSUPP, "an object has one name")

    def unlink(self, name: bytes, directory: bool) -> None:
        self._directory()
        making.unlink(self.bucket, self.bucket.key(self.key, name), directory=directory)

    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        self._directory()
        if not isinstance(newdir, ObjectNode) or newdir.bucket is not self.bucket:
            raise Refused(Errno.EXDEV)
        newdir._directory()
        if flags:
            raise Refused(Errno.EINVAL, "not in one step")
        moves.rename(self.bucket, self.bucket.key(self.key, name), self.bucket.key(newdir.key, newname))

    def _named(self) -> None:
        if not self.key:
            raise Refused(Errno.EBUSY, "the root")
        if self.deleted:
            raise Refused(Errno.ENOENT, "deleted")

    def remove(self) -> None:
        self._named()
        making.unlink(self.bucket, self.key, directory=self.is_dir)

    def move(self, newdir: Node | None, newname: bytes) -> None:
        self._named()
        if newdir is not None and (not isinstance(newdir, ObjectNode) or newdir.bucket is not self.bucket):
            raise Refused(Errno.EXDEV)
        directory = parent_of(self.key)
        if isinstance(newdir, ObjectNode):
            newdir._directory()
            directory = newdir.key
        moves.rename(self.bucket, self.key, self.bucket.key(directory, newname))

    # -- extended attributes -------------------------------------------------------------------------------------------

    def _permitted(self, name: bytes, *, change: bool) -> dict[bytes, bytes]:
        check_name(name, self.attrs.kind, change=change)
        self.refresh()
        return self.attrs.xattrs

    def getxattr(self, name: bytes) -> bytes:
        value = self._permitted(name, change=False).get(name)
        if value is None:
            raise Refused(Errno.ENODATA)
        return value

    def listxattr(self) -> Sequence[bytes]:
        self.refresh()
        return [name for name in self.attrs.xattrs if is_name(name)]  # any client of the store wrote them

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        with self.lock:
            xattrs = self._permitted(name, change=True)
            check_set(name, flags, xattrs)
            self._put_xattrs({**xattrs, name: bytes(value)})

    def removexattr(self, name: bytes) -> None:
        with self.lock:
            xattrs = self._permitted(name, change=True)
            if name not in xattrs:
                raise Refused(Errno.ENODATA)
            self._put_xattrs({one: value for one, value in xattrs.items() if one != name})

    def _put_xattrs(self, xattrs: dict[bytes, bytes]) -> None:
        self._check_changes(Changes(touch=True))
        before = self.attrs.copy(), self.attrs_dirty
        self.attrs.set_xattrs(xattrs)
        self.attrs.changed(self.bucket.clock())
        try:
            self._put_attrs()
        except Changed:
            raise  # all that was changed here is given up
        except OSError:
            self.attrs, self.attrs_dirty = before
            raise
