"""A file or folder of the host as a driver's node.

Every verb is: the path handle, the model's word or a host call, the table brought in line. It knows
no fids, no messages, and not which security model or host it has. What must be true of names
(single, without ``/`` and NUL) the server has seen to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ClassVar, Concatenate, Final, ParamSpec, Self, TypeVar

from ninep import host
from ninep.drivers.local import making, moves
from ninep.drivers.local.directory import LocalDir
from ninep.drivers.local.entry_types import QID_TYPES
from ninep.drivers.local.file import IdleFile, LocalFile, usable
from ninep.drivers.local.handle_cache import NO_BIRTH, self_closing
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.reopening import reopen
from ninep.drivers.local.reserve import exhausted
from ninep.drivers.local.walking import find, through_held
from ninep.errors import Refused
from ninep.host import NO_HANDLE, Handle, ObjectRef, Stat
from ninep.host._credentials import acting
from ninep.linux import (
    DT_DIR,
    DT_LNK,
    DT_REG,
    GETATTR_BASIC,
    GETATTR_BTIME,
    NO_ID,
    O_ACCMODE,
    O_RDONLY,
    O_TRUNC,
    O_WRONLY,
    RENAME_EXCHANGE,
    S_IFMT,
    S_IFREG,
    Errno,
)
from ninep.node import Attributes, Changes, Node, Qid, Statfs, check_may_wait

_new = tuple.__new__
_SECOND: Final = 1_000_000_000

T = TypeVar("T")
P = ParamSpec("P")

DEEPEST: Final = 4096
"""Names of a path that is shown."""


def _with_reserve(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A verb that opens what it needs for its own time only, again if the host had no handle left."""

    @wraps(verb)
    def call(self: Any, /, *arguments: P.args, **named: P.kwargs) -> T:
        try:
            return verb(self, *arguments, **named)
        except OSError as error:
            if not exhausted(error):
                raise
        again: T = self.table.handles.with_reserve(partial(verb, self, *arguments, **named))
        return again

    return call


class LocalNode(TableEntry):
    """See ``node_table`` for its life and ``handle_cache`` for its path handle."""

    __slots__ = ()

    inline = True
    file_type: ClassVar[type[LocalFile]] = LocalFile
    idle_type: ClassVar[type[IdleFile]] = IdleFile
    dir_type: ClassVar[type[LocalDir]] = LocalDir

    files: tuple[LocalFile, ...]

    # -- life ----------------------------------------------------------------------------------------------------------

    def reopen(self) -> Handle:
        return reopen(self)

    def object_ref(self) -> ObjectRef:
        """What the host needs to act on this file."""
        path_handle = self.get_path_handle()
        if not self.table.by_name or self.detached:
            return _new(ObjectRef, (path_handle, NO_HANDLE, self.name_, False))  # 0.2 us less than by its constructor
        return ObjectRef(path_handle, self.parent_node.get_path_handle(), self.name_, self.table.model.keeps_modes)

    def location(self, found: Stat | None = None) -> tuple[Handle, bytes] | None:
        """The directory it is in, and its name there, which leads to it now; None if it has none
        any more.
        """
        if found is not None and found.st_ctime_ns == self.confirmed_ctime and not self.detached:
            return self.parent_node.get_path_handle(), self.name_
        return moves.location(self)

    def is_still_at(self, dir: Handle, name: bytes) -> bool:
        """``FileRef.is_still_at``."""
        return self.parent_node is self or moves.leads_to(self, dir, name)

    def update_qid(self, found: Stat, kind: int | None = None) -> Self:
        """Take over what a stat says: type and version of the qid. ``kind``: the type, where it is
        known without the model (``linux.DT_*``).
        """
        if kind is None:
            kind = self.table.attributes_of(self, found)[0] >> 12 & 15
        self.kind = kind
        # As qids.version and Qid(), without the calls (0.3 us).
        version = hash((found.st_mtime_ns, found.st_ctime_ns, found.st_size)) & 0xFFFFFFFF
        self.qid = _new(Qid, (QID_TYPES[kind], version, self.path))
        return self

    def update_qid_or_unref(self, found: Stat) -> Self:
        """As ``update_qid``, at the end of a walk, which has looked at its name: if the model cannot
        say what this is, the walk's reference on it ends.
        """
        try:
            if found.st_ctime_ns != self.confirmed_ctime and self.table.model.opens_records:
                self.confirm_location(found)
            return self.update_qid(found)
        except OSError:
            self.release()
            raise

    # -- names ---------------------------------------------------------------------------------------------------------

    @property
    def name(self) -> bytes:
        return self.name_

    @property
    def pathname(self) -> bytes:
        names: list[bytes] = []
        node: LocalNode = self
        while node.parent_node is not node and len(names) < DEEPEST:  # hints, which may lead round while they change
            names.append(node.name_)
            node = node.parent_node
        return b"/" + b"/".join(reversed(names))

    @property
    def bsd_groups(self) -> bool:
        return self.table.model.bsd_groups

    def walk(self, name: bytes) -> Self:
        node, found = self._find(name)
        return node.update_qid_or_unref(found)

    def _find(self, name: bytes) -> tuple[Self, Stat]:
        known = None if self.children is None else self.children.get(name)
        if known is not None:
            known.used = True
        return find(self, name, known)

    def look_up(self, name: bytes, mask: int) -> tuple[Self, Attributes]:
        node, found = self._find(name)
        node.update_qid_or_unref(found)
        try:
            # What was found is what the stat says of it; below a mount that may wait, not here.
            return node, node._attributes(found, mask) if node.inline else node.getattr(mask)
        except BaseException:
            node.release()
            raise

    def through(self, names: Sequence[bytes]) -> tuple[LocalNode, list[Qid]]:
        """Directories that are known and opened take one look each, and only the last of them is
        referenced (1 us less for each).
        """
        if host.HANDLES_BLOCK_RENAME:
            return through_held(self, names)
        node: LocalNode = self
        qids: list[Qid] = []
        changes = host.mounts.changes
        try:
            dir = self.get_path_handle()
            for name in names:
                known = None if node.children is None else node.children.get(name)
                path_handle = None if known is None else known.path_handle
                if known is None or path_handle is None or known.kind != DT_DIR:
                    break
                found = host.stat_at(dir, name) if known.mounts_checked == changes else known.stat_name(dir, name)
                if found.st_ino != known.ino or found.st_dev != known.dev:
                    break
                qids.append(known.update_qid(found).qid)
                known.used = True
                node, dir = known, path_handle
        except OSError:
            pass  # the walk that follows runs into it, too; cheaper than ``suppress``
        while qids and not node.parent_node.ref_child(node, node.name_):  # another thread released it just now
            node = node.parent_node
            qids.pop()
        return node, qids

    def parent(self) -> Self:
        return moves.parent(self)

    # -- attributes ----------------------------------------------------------------------------------------------------

    def getattr(self, mask: int) -> Attributes:
        self.used = True
        path_handle = self.path_handle
        return self._attributes(host.stat(self.reopen() if path_handle is None else path_handle), mask)

    def _attributes(self, found: Stat, mask: int) -> Attributes:
        """What clients see of what the host says."""
        table = self.table
        mode, uid, gid, rdev = table.attributes_of(self, found)
        links = found.st_nlink
        if not links and self.parent_node is self:
            raise Refused(Errno.ENOENT, "the exported folder was removed")
        if self.kind == DT_DIR:
            links = table.model.links(self, found)
        atime, mtime, ctime, size = found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns, found.st_size
        version = hash((mtime, ctime, size)) & 0xFFFFFFFF  # as qids.version, without the call
        kind, qid_version, path = self.qid
        if version != qid_version:
            kind = self.update_qid(found).qid.type
        valid, birth = GETATTR_BASIC, 0
        if mask & GETATTR_BTIME:
            birth = self.birth or self.read_birth()
            if birth == NO_BIRTH:
                birth = 0
            else:
                valid |= GETATTR_BTIME
        # The constructor of the NamedTuple with its 22 arguments takes 0.3 us more.
        return _new(
            Attributes,
            (
                valid,
                kind,
                version,
                path,
                mode,
                uid,
                gid,
                links,
                rdev,
                size,
                found.st_blksize,
                found.st_blocks,
                atime // _SECOND,
                atime % _SECOND,
                mtime // _SECOND,
                mtime % _SECOND,
                ctime // _SECOND,
                ctime % _SECOND,
                birth // _SECOND,
                birth % _SECOND,
                0,
                0,
            ),
        )

    def setattr(self, changes: Changes) -> None:
        try:  # as ``_with_reserve``, which takes 0.2 us of every chmod
            self._change(changes)
        except OSError as error:
            if not exhausted(error):
                raise
        else:
            return
        self.table.handles.with_reserve(self._change, changes)

    def _change(self, changes: Changes) -> None:
        size, uid, gid, mode, atime, mtime, touch, by = changes
        model = self.table.model
        if size is not None:
            self._resize(size, by)
        if uid is not None or gid is not None:
            model.chown(self, _id(uid), _id(gid), drop=by != 0)
        if mode is not None:
            model.chmod(self, mode)
        if atime is not None or mtime is not None:
            host.utimes(self.object_ref(), atime, mtime)
        elif touch and size is uid is gid is mode is None:
            host.chown(self.object_ref(), -1, -1)

    def _resize(self, size: int, by: int) -> None:
        try:
            handle = self.open_handle(O_WRONLY)
        except OSError:
            # It may be open since before its mode forbade it, or have no name to be opened by any
            # more. The rights of an open are those of who opened: no other user may use them.
            asking = acting() or by
            for file in self.files:
                if file.writable and file.by == asking:
                    file.truncate(size, by)
                    return
            raise
        try:
            ref = ObjectRef(handle, NO_HANDLE, b"")
            self.table.model.drop_host_setid(ref)
            if by:
                self.table.model.drop_setid(self, ref)
            host.truncate(handle, size)
        finally:
            host.close(handle)

    def statfs(self) -> Statfs:
        return Statfs(*host.statfs(self.get_path_handle()))

    @_with_reserve
    def readlink(self) -> bytes:
        if self.kind != DT_LNK:
            raise Refused(Errno.EINVAL)
        return self.table.model.read_link(self)

    def fsync(self) -> None:
        if self.kind == DT_DIR:
            listing = host.open_dir(self.object_ref())
            try:
                listing.sync()
            finally:
                listing.close()
        elif file := usable(self.files):
            file.fsync(datasync=False)
        elif self.kind == DT_REG:
            handle = self.open_handle(O_RDONLY)
            try:
                host.sync(handle, datasync=False)
            finally:
                host.close(handle)

    @_with_reserve
    def syncfs(self) -> None:
        check_may_wait()
        host.sync_filesystem(self.object_ref())

    # -- opening -------------------------------------------------------------------------------------------------------

    def open_handle(self, flags: int) -> Handle:
        """A handle to the contents, not counted. EISDIR, ELOOP, ENXIO for what is no
        regular file.
        """
        if self.kind != DT_REG:
            raise Refused({DT_DIR: Errno.EISDIR, DT_LNK: Errno.ELOOP}.get(self.kind, Errno.ENXIO))
        ref = self.object_ref()
        # What its path handle shows was looked at when the node was made.
        open_file = host.open_regular if self.host_type == S_IFREG else host.open_file
        try:
            return open_file(ref, flags)
        except OSError as error:
            return self.table.handles.retry(error, open_file, ref, flags)

    def open(self, flags: int, by: int = NO_ID) -> LocalFile:
        if not flags & O_ACCMODE:
            if flags & O_TRUNC:
                self._resize(0, by)
            handle = self.open_handle(flags & ~O_TRUNC)
            # Elsewhere an open handle is what keeps others from removing the file.
            file = (
                self.file_type(self, handle, flags, by)
                if host.BY_NAME
                else self.idle_type(self, self_closing(handle), flags, by)
            )
            self.table.handles.add_file(self, file)
            return file
        file = self.file_type(self, self.open_handle(flags & ~O_TRUNC), flags, by)
        self.table.handles.add_file(self, file)
        if not flags & O_TRUNC:
            return file
        try:
            file.truncate(0, by)
        except OSError:
            file.close()
            raise
        return file

    def opendir(self) -> LocalDir:
        if self.kind != DT_DIR:
            raise Refused(Errno.ENOTDIR)
        ref = self.object_ref()
        try:
            listing = host.open_dir(ref)
        except OSError as error:
            listing = self.table.handles.retry(error, host.open_dir, ref)
        self.table.handles.count_opened(1)
        return self.dir_type(self, self.table.devices.listing(self.dev, listing))

    # -- making --------------------------------------------------------------------------------------------------------

    def make(self, verb: Callable[..., T], *arguments: object) -> T:
        """A verb of the model in this directory, again if handles ran out."""
        dir = self.get_path_handle()
        try:
            return verb(dir, *arguments)
        except OSError as error:
            return self.table.handles.retry(error, verb, dir, *arguments)

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[LocalNode, LocalFile]:
        return making.create(self, name, flags, mode, uid, gid)

    @_with_reserve
    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[LocalNode, LocalFile]:
        return making.create_unnamed(self, flags, mode, uid, gid)

    @_with_reserve
    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        self.table.model.check_name(name)
        made = self.make(self.table.model.make_dir, name, mode, uid, gid)
        return self.table.qids.qid(DT_DIR, made)

    @_with_reserve
    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        self.table.model.check_name(name)
        made = self.make(self.table.model.make_symlink, name, target, uid, gid)
        return self.table.qids.qid(DT_LNK, made)

    @_with_reserve
    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        self.table.model.check_name(name)
        mode = mode if mode & S_IFMT else mode | DT_REG << 12
        if mode >> 12 & 15 in (DT_DIR, DT_LNK):
            raise Refused(Errno.EINVAL)  # those have messages of their own
        made = self.make(self.table.model.make_node, name, mode, rdev, uid, gid)
        return self.table.qids.qid(mode >> 12 & 15, made)

    @_with_reserve
    def link(self, target: Node, name: bytes) -> None:
        if not isinstance(target, LocalNode) or target.table is not self.table:
            raise Refused(Errno.EXDEV)
        if not target.inline:
            check_may_wait()
        self.table.model.check_name(name)
        self.table.model.make_link(target, self.get_path_handle(), name)

    # -- unmaking ------------------------------------------------------------------------------------------------------

    def unlink(self, name: bytes, directory: bool) -> None:
        try:  # as in ``setattr``
            moves.unlink(self, name, directory)
        except OSError as error:
            if not exhausted(error):
                raise
        else:
            return
        self.table.handles.with_reserve(moves.unlink, self, name, directory)

    @_with_reserve
    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        if not isinstance(newdir, LocalNode) or newdir.table is not self.table:
            raise Refused(Errno.EXDEV)
        if not newdir.inline:
            check_may_wait()
        if flags & RENAME_EXCHANGE:
            moves.exchange(self, name, newdir, newname, flags)
        else:
            moves.rename(self, name, newdir, newname, flags)

    def remove(self) -> None:
        moves.check_location(self)
        self.parent_node.unlink(self.name_, self.kind == DT_DIR)

    def move(self, newdir: Node | None, newname: bytes) -> None:
        moves.check_location(self)
        self.parent_node.rename(self.name_, newdir or self.parent_node, newname)

    # -- extended attributes -------------------------------------------------------------------------------------------

    def getxattr(self, name: bytes) -> bytes:
        return self.table.model.get_xattr(self, name)

    def listxattr(self) -> Sequence[bytes]:
        return self.table.model.list_xattrs(self)

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        self.table.model.set_xattr(self, name, value, flags)

    def removexattr(self, name: bytes) -> None:
        self.table.model.remove_xattr(self, name)


def _id(number: int | None) -> int:
    """A uid or gid for the host, which leaves one alone at -1."""
    return -1 if number is None or number == NO_ID else number
