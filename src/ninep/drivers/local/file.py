"""Open files of the local driver: a handle and what a write must see to.

``IdleFile`` is one that was opened for reading only. A client may have more of these open than the
process may have handles: like a node's path handle, its handle may be taken away while it is not
used (``handle_cache``), and comes back from the node's path handle, or by name with a check that it
is still the same file. So with more files open than handles, a file that a host process renames or
removes meanwhile cannot be read any more: ENOENT or ESTALE, never another file's bytes. A file
that is open for writing keeps its handle: it is what tells of writes that failed later (fsync(2),
close(2)). So does one with a lock, which would be gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ninep import host
from ninep.drivers.local.handle_cache import CachedFile
from ninep.drivers.local.node_table import TableEntry
from ninep.drivers.local.reserve import exhausted
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef
from ninep.host._credentials import acting
from ninep.linux import LOCK_UNLCK, NO_ID, O_ACCMODE, O_RDWR, O_TRUNC, Errno
from ninep.node import Buffer, OpenFile, check_may_wait


def read_whole(handle: Handle, offset: int, count: int) -> Buffer:
    """Short is not the end yet on every filesystem (FUSE, NFS); only nothing is."""
    data = host.read(handle, count, offset)
    while 0 < len(data) < count:
        more = host.read(handle, count - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


class LocalFile(CachedFile):
    """A regular file, open."""

    __slots__ = ("_locks", "_never_waits", "_unchanged", "by", "writable")

    node: TableEntry

    def __init__(self, node: TableEntry, handle: Handle, flags: int, by: int) -> None:
        self.node = node
        self._locks = NO_HANDLE
        self._unchanged = node.table.model.keeps_modes
        self._never_waits = False
        """Its filesystem does not tell whether a read would wait, and none does: tmpfs and a few
        others. Asking each time would cost an exception.
        """
        self.handle = handle
        self.by = acting() or by
        """Who opened it, and no other user's requests may use the rights that the open gave: the user of
        the host whose rights count now, with all groups, or where that is the server process, who the
        client says.
        """
        self.writable = bool(flags & O_ACCMODE)

    def skip_first_look(self) -> None:
        """It was made just now, without SUID and SGID: the first change need not look for them."""
        self._unchanged = False

    def read(self, offset: int, count: int) -> Buffer:
        return read_whole(self.handle, offset, count)

    def read_now(self, offset: int, count: int) -> Buffer:
        if self._never_waits:
            return host.read(self.handle, count, offset)
        try:
            return host.read_now(self.handle, count, offset)
        except OSError as error:
            if linux_errno(error) is not Errno.EOPNOTSUPP:
                raise
            self._never_waits = True
            return self.read(offset, count)

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        return self._into(self.handle, offset, buffers)

    def _into(self, handle: Handle, offset: int, buffers: Sequence[memoryview]) -> int:
        if not self._never_waits:
            try:
                return host.read_into_now(handle, buffers, offset)
            except OSError as error:
                if linux_errno(error) is not Errno.EOPNOTSUPP:
                    raise
                self._never_waits = True
        return host.read_into(handle, buffers, offset)

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        if by or self._unchanged:
            self._before_change(by)
        return host.write(self.handle, data, offset)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        if by or self._unchanged:
            self._before_change(by)
        return host.write_from(self.handle, buffers, offset)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        if by or self._unchanged:
            self._before_change(by)
        host.truncate(self.handle, size)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:
        check_may_wait()
        if by or self._unchanged:
            self._before_change(by)
        host.allocate(self.handle, mode, offset, length)

    def seek(self, offset: int, whence: int) -> int:
        check_may_wait()
        return host.seek(self.get_handle(), offset, whence)

    def copy_file_range(self, offset: int, target: OpenFile, target_offset: int, count: int, by: int = NO_ID) -> int:
        if not isinstance(target, LocalFile):
            raise Refused(Errno.EXDEV)
        check_may_wait()
        return target.take_range(self.get_handle(), offset, target_offset, count, by)

    def take_range(self, source: Handle, offset: int, target_offset: int, count: int, by: int) -> int:
        """``copy_file_range``, from the target's side."""
        if by or self._unchanged:
            self._before_change(by)
        return host.copy_file_range(source, offset, self.handle, target_offset, count)

    def _before_change(self, by: int) -> None:
        model, node = self.node.table.model, self.node
        ref = ObjectRef(self.handle, NO_HANDLE, b"")
        if self._unchanged:
            model.drop_host_setid(ref)
            self._unchanged = False
        if not by:
            return
        try:
            model.drop_setid(node, ref)
        except OSError as error:
            if not exhausted(error):
                raise
        else:
            return
        node.table.handles.with_reserve(model.drop_setid, node, ref)

    def fsync(self, datasync: bool) -> None:
        host.sync(self.handle, datasync)

    # -- locks ---------------------------------------------------------------------------------------------------------

    def lock(self, kind: int, start: int, length: int) -> None:
        rule = self.node.table.devices.locks
        if not rule.asks_always and not rule.asks(self.node.dev):
            return
        try:
            host.lock(self.handle if self._locks == NO_HANDLE else self._locks, kind, start, length)
        except OSError as error:
            if linux_errno(error) is not Errno.EBADF or kind == LOCK_UNLCK or self._locks != NO_HANDLE:
                raise rule.refusal(error) from None
        else:
            return
        # The host wants a handle open for writing for a write lock; flock(2) clients have one for
        # reading only.
        try:
            self._locks = self.node.open_handle(O_RDWR)
            self.node.table.handles.count_opened(1)
            host.lock(self._locks, kind, start, length)
        except OSError as error:
            raise rule.refusal(error) from None

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        if not self.node.table.devices.locks.asks(self.node.dev):
            return None
        return host.test_lock(self.handle if self._locks == NO_HANDLE else self._locks, kind, start, length)

    def close(self) -> None:
        node = self.node
        node.table.handles.remove_file(self)
        if self._locks != NO_HANDLE:
            node.table.handles.count_opened(-1)
            host.close(self._locks)
        self._close_handle()

    def _close_handle(self) -> None:
        host.close(self.handle)


def usable(files: Iterable[LocalFile]) -> LocalFile | None:
    """One that was opened with the rights that count now."""
    rights = acting()
    return next((file for file in files if rights is None or file.by == rights), None)


class IdleFile(LocalFile):
    """A regular file, open for reading: see above. Its handle closes itself
    (``handle_cache.self_closing``): a read that uses it refers to it for as long.
    """

    __slots__ = ("_flags",)

    idle = True

    def __init__(self, node: TableEntry, handle: Handle, flags: int, by: int) -> None:
        # Not by super(), which takes 0.2 us of every open.
        self.node = node
        self._locks = NO_HANDLE
        self._never_waits = False
        self._flags = flags & ~O_TRUNC
        self.handle = handle
        self.by = acting() or by
        self.writable = False
        self.used = True

    def get_handle(self) -> Handle:
        """The handle. Keep it in a local variable while it is used."""
        self.used = True
        handle = self.handle
        return self.node.table.handles.reopen_file(self) if handle is NO_HANDLE else handle

    def reopen_handle(self) -> Handle:
        """Another handle, for ``handle_cache``, which can take it away again."""
        try:
            return self.node.open_handle(self._flags)
        except OSError as error:
            if not exhausted(error):
                raise
        return self.node.table.handles.with_reserve(self.node.open_handle, self._flags)

    def read(self, offset: int, count: int) -> Buffer:
        return read_whole(self.get_handle(), offset, count)

    def read_now(self, offset: int, count: int) -> Buffer:
        self.used = True
        handle = self.handle
        if handle is NO_HANDLE:
            handle = self.node.table.handles.reopen_file(self)
        if self._never_waits:
            return host.read(handle, count, offset)
        try:
            return host.read_now(handle, count, offset)
        except OSError as error:
            if linux_errno(error) is not Errno.EOPNOTSUPP:
                raise
            self._never_waits = True
            return read_whole(handle, offset, count)

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        return self._into(self.get_handle(), offset, buffers)

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:  # noqa: ARG002
        raise Refused(Errno.EBADF)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:  # noqa: ARG002
        raise Refused(Errno.EBADF)

    def truncate(self, size: int, by: int = NO_ID) -> None:  # noqa: ARG002
        raise Refused(Errno.EBADF)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:  # noqa: ARG002
        raise Refused(Errno.EBADF)

    def take_range(self, source: Handle, offset: int, target_offset: int, count: int, by: int) -> int:  # noqa: ARG002
        raise Refused(Errno.EBADF)

    def fsync(self, datasync: bool) -> None:
        host.sync(self.get_handle(), datasync)

    def lock(self, kind: int, start: int, length: int) -> None:
        self.node.table.handles.make_file_unreclaimable(self)
        super().lock(kind, start, length)

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        if not self.node.table.devices.locks.asks(self.node.dev):
            return None
        return host.test_lock(self.get_handle() if self._locks == NO_HANDLE else self._locks, kind, start, length)

    def _close_handle(self) -> None:
        self.handle = NO_HANDLE
