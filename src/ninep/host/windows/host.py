"""The primitives of ``_api`` on Windows, over the NT calls.

A path handle is one with the right to read attributes and nothing else: such an open meets no
sharing conflict and causes none. An open handle still hinders the renaming of the directories above
it (``HANDLES_BLOCK_RENAME``), so path handles live as long as a call. The root's handle lives as
long as the server, and does not share deletion: the folder cannot be removed or replaced meanwhile
(bug 23).

Ownership. Windows has no uids and no permission bits for Linux. chmod sets and clears the read-only
attribute of a file (read-only if and only if the mode has no write bit) and chown does nothing;
both succeed, so that ``cp -p``, tar and git work in a guest, and what was dropped is said once in
the log (bug 22). Owners and modes are kept by the mapped models.

Locks are the server's: Windows' own are mandatory and would stop reads and writes of all other
programs.

Numbers of bugs are those of docs/windows.md. Everything here works on any ``NtCalls``, also on the
fake in the tests.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from ninep import linux
from ninep.errors import Refused
from ninep.host import _lacking, _steps
from ninep.host._api import NO_HANDLE, Handle, Listing, NoMounts, ObjectRef, Stat, Volume
from ninep.host.windows import info, links, remove, rename
from ninep.host.windows.api import END, Access, Attribute, Info, NtCalls, Options
from ninep.host.windows.contents import RECALLED, THROUGH, reopen_contents, with_contents
from ninep.host.windows.listing import Snapshot, flush
from ninep.host.windows.names import folds_to
from ninep.host.windows.open import LIST, LOOK, closing, is_directory, kept, look, make_entry, open_entry, reopen
from ninep.host.windows.read_only import ReadOnly
from ninep.host.windows.removed import RemovedFiles
from ninep.host.windows.roots import Roots
from ninep.host.windows.sparse import Growth
from ninep.host.windows.stat import identity, stat_of, statfs_of, volume_of
from ninep.host.windows.status import NtError, Status
from ninep.host.windows.streams import Streams
from ninep.host.windows.tags import is_contents, is_link
from ninep.linux import Errno
from ninep.node import NOW, Buffer, WouldBlock, check_may_wait
from ninep.wire.buffers import behind, length, scatter

log = logging.getLogger(__name__)

_ACCESS: Final = (
    Access.READ_DATA,
    Access.WRITE_DATA | Access.APPEND_DATA,
    Access.READ_DATA | Access.WRITE_DATA | Access.APPEND_DATA,
    Access.READ_DATA | Access.WRITE_DATA | Access.APPEND_DATA,
)
_ATTRIBUTES: Final = Access.READ_ATTRIBUTES | Access.WRITE_ATTRIBUTES
_MANY: Final = 1 << 20  # a Windows process may have 16 million handles; memory ends first


class NtHost:
    """``_api.HostModule`` over NT calls."""

    HANDLES_BLOCK_RENAME = True
    BY_NAME = True  # for streams that cannot be opened through a handle
    UNPRIVILEGED_OWNERS = True
    SEES_MOUNTS = False  # they are reparse points, which nothing goes through
    mounts = NoMounts()

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self._streams = Streams(calls)
        self._removed = RemovedFiles(calls)
        self._roots = Roots(calls)
        self._growth = Growth(calls)
        self._read_only = ReadOnly(calls)
        self._files: set[Handle] = set()
        self._recalled: set[Handle] = set()
        self._appending: set[Handle] = set()
        self._warned: set[str] = set()

    # -- handles -------------------------------------------------------------------------------------------------------

    def open_root(self, path: str) -> Handle:
        """Links in ``path`` are followed: the person who starts the server chose it."""
        root, volume = self._roots.open(path)
        self._removed.opened(volume, root)
        return root

    def open_path(self, dir: Handle, name: bytes) -> Handle:
        """With the right to write attributes too, where there is one: a file without a name cannot
        be opened again for it.
        """
        return Handle(self._for_attributes(lambda access: open_entry(self._calls, dir, name, access)))

    open_path_across = open_path

    def open_path_by_id(self, root: Handle, ino: int) -> Handle:
        """It is opened as ``open_path`` opens it; what is below it is refused if it has become a
        junction.
        """
        return Handle(self._for_attributes(lambda access: self._roots.find_itself(root, ino, access)))

    def reopen_path(self, handle: Handle) -> Handle:
        """A file without a name cannot be opened again: then it is the same open file once more."""
        try:
            return Handle(self._for_attributes(lambda access: reopen(self._calls, handle, access)))
        except NtError as error:
            if error.code is not Errno.ENOENT:
                raise
        copy = Handle(self._calls.duplicate(handle))
        self._files.add(copy)
        return copy

    @staticmethod
    def _for_attributes(open_with: Callable[[int], int]) -> int:
        try:
            return open_with(_ATTRIBUTES)
        except NtError as error:
            if error.status not in {Status.ACCESS_DENIED, Status.MEDIA_WRITE_PROTECTED}:
                raise
        return open_with(LOOK)

    def close(self, handle: Handle, /) -> None:
        self._files.discard(handle)
        self._appending.discard(handle)
        self._recalled.discard(handle)
        self._streams.closed(handle)
        self._growth.closed(handle)
        volume = self._roots.close(handle)
        if volume is not None:
            self._removed.closed(volume)
        self._calls.close(handle)

    def open_file(self, place: ObjectRef, flags: int) -> Handle:
        """Through the path handle, which is asked what it is: nothing lies between."""
        open_with = functools.partial(reopen_contents, self._calls, place.path_handle)
        return self._read_only.lifted_for(
            place, lambda: self._open(open_with, flags, place.dir, place.name), undo=self.close
        )

    open_regular = open_file

    def open_at(self, dir: Handle, name: bytes, flags: int, mode: int = 0) -> Handle:
        if flags & linux.O_CREAT:
            open_with = functools.partial(self._make, dir, name, new=bool(flags & linux.O_EXCL))
        else:
            open_with = functools.partial(self._find, dir, name)
        return self._open(open_with, flags, dir, name)

    def _make(self, dir: Handle, name: bytes, access: int, options: int, *, new: bool) -> int:
        opened, made = make_entry(self._calls, dir, name, access, options, new=new)
        return opened if made else with_contents(self._calls, opened, access, options)

    def _find(self, dir: Handle, name: bytes, access: int, options: int) -> int:
        return with_contents(self._calls, open_entry(self._calls, dir, name, access, options), access, options)

    def _open(self, open_with: Callable[[int, int], int], flags: int, dir: Handle, name: bytes) -> Handle:
        """DIRECT is left out: unbuffered reads want aligned buffers. TRUNC acts on the open file,
        never by a disposition.
        """
        calls = self._calls
        access = _ACCESS[flags & linux.O_ACCMODE]
        if flags & linux.O_TRUNC:
            access |= Access.WRITE_DATA
        options = Options.NON_DIRECTORY_FILE
        if flags & (linux.O_SYNC | linux.O_DSYNC):
            options |= Options.WRITE_THROUGH
        opened = self._for_attributes(lambda attributes: open_with(access | attributes, options))
        with kept(calls, opened) as handle:
            if look(calls, handle)[0] & RECALLED:
                self._recalled.add(handle)
            if flags & linux.O_TRUNC:
                self.truncate(handle, 0)
            self._streams.opened(handle, dir, name)
            self._files.add(handle)
            if flags & linux.O_APPEND:
                self._appending.add(handle)
        return handle

    def open_unnamed(self, dir: Handle, flags: int, mode: int) -> Handle:
        """Windows has no files without a name."""
        raise Refused(Errno.EOPNOTSUPP)

    def open_dir(self, place: ObjectRef) -> Listing:
        calls = self._calls
        if place.path_handle in self._roots:
            opened, _ = calls.create(place.path_handle, "", LIST, THROUGH | Options.DIRECTORY_FILE)
        elif not is_directory(calls, place.path_handle):  # a junction is a link
            raise Refused(Errno.ENOTDIR)
        else:
            opened = reopen_contents(calls, place.path_handle, LIST, Options.DIRECTORY_FILE)
        with kept(calls, opened) as handle:
            self._fetch_names(handle)
            who = identity(calls, handle)
            export = self._roots.on(who.volume)
            typed = export is not None and export.short_ids
            if export is not None and export.by_id:
                again = functools.partial(self._roots.find, export.handle, who.file)
                return Snapshot(calls, handle, again, keep=False, typed=typed)
            again = functools.partial(self._reopened, handle)
            return Snapshot(calls, handle, again, keep=True, typed=typed)

    def _reopened(self, dir: Handle) -> Handle:
        return Handle(self._calls.create(dir, "", LIST, THROUGH | Options.DIRECTORY_FILE)[0])

    def _fetch_names(self, dir: Handle) -> None:
        """A directory whose entries are not all on this computer is completed by its first scan,
        which waits: before the event loop reads it.
        """
        if look(self._calls, dir)[0] & RECALLED:
            with closing(self._calls, self._reopened(dir)) as again:
                self._calls.query_directory(again, 4096)

    # -- looking -------------------------------------------------------------------------------------------------------

    def stat(self, handle: Handle, /) -> Stat:
        return stat_of(self._calls, handle, root=handle in self._roots)

    def stat_at(self, dir: Handle, name: bytes) -> Stat:
        with closing(self._calls, open_entry(self._calls, dir, name, LOOK)) as handle:
            return stat_of(self._calls, handle)

    stat_same_mount = stat_at

    def find_same_mount(self, dir: Handle, name: bytes) -> Stat | None:
        return _steps.find(self.stat_at, dir, name)

    def stat_below(self, dir: Handle, folder: bytes, name: bytes) -> Stat | None:
        return _steps.stat_below(self.open_path, self.stat_at, self.close, dir, folder, name)

    def birth_time(self, handle: Handle) -> int | None:
        """Any program may set a CreationTime, and Wine makes one up: it says nothing about
        identity, which file ids do alone.
        """
        return None

    def generation(self, handle: Handle) -> int | None:
        return None

    def linux_rdev(self, rdev: int) -> int:
        return rdev

    def statfs(self, handle: Handle) -> tuple[int, int, int, int, int, int, int, int, int]:
        return statfs_of(self._calls, handle)

    def volume(self, handle: Handle, xattrs: bool = True) -> Volume:
        """Named streams are asked for by flag, not by the filesystem's name (bug 19), and tried
        where it is missing.
        """
        found = volume_of(self._calls, handle)
        known = found.xattrs and not found.slow
        if self._roots.is_filtered(handle):
            found = found._replace(slow=True)
        if not xattrs or known:
            return found
        works = self._streams.work_in(handle)
        if works and handle in self._roots:
            self._name_root(handle)
        return found._replace(xattrs=works or found.xattrs)

    def _name_root(self, root: Handle) -> None:
        """Where streams go by name, the root too needs a directory to be looked up in, and it alone
        has none so far.
        """
        found = self._roots.directory_of(root)
        if found is not None:
            with closing(self._calls, found[0]) as dir:
                self._streams.opened(root, dir, found[1])

    def read_link(self, place: ObjectRef) -> bytes:
        return links.target_of(self._calls, place.path_handle)

    # -- changing attributes -------------------------------------------------------------------------------------------

    def chmod(self, place: ObjectRef, mode: int) -> None:
        """Moves ctime in any case: clients see that something was done."""
        if mode & 0o777 not in {0o777, 0o555}:
            self._say_once("Windows keeps no permission bits but read-only: chmod drops the others")
        with self._read_only.unchanged():
            attributes, tag = look(self._calls, place.path_handle)
            if is_link(tag):
                raise Refused(Errno.EOPNOTSUPP)
            if is_contents(tag) and not attributes & Attribute.DIRECTORY:
                attributes &= ~Attribute.READONLY
                attributes |= 0 if mode & 0o222 else Attribute.READONLY
            self._set_basic(place, info.Basic(changed=_now(), attributes=attributes or Attribute.NORMAL))

    def chown(self, place: ObjectRef, uid: int, gid: int) -> None:
        if (uid, gid) != (-1, -1):
            self._say_once("Windows keeps no owners for Linux: chown does nothing")
        self._set_basic(place, info.Basic(changed=_now()))

    def utimes(self, place: ObjectRef, atime: int | None, mtime: int | None) -> None:
        """By the handle, to 100 ns, also before 1970; what is None is left alone (bug 15)."""
        accessed, written = (
            0 if when is None else _now() if when == NOW else info.to_filetime(when) for when in (atime, mtime)
        )
        self._set_basic(place, info.Basic(accessed=accessed, written=written))

    def _set_basic(self, place: ObjectRef, wanted: info.Basic) -> None:
        """Through a path handle itself if it has the right, else through another handle to the same
        object.

        Never through an open file, unless it has no name to be opened again by: a time that is set
        through a handle stays as it was set, whatever is written through that handle afterwards
        [MS-FSA 2.1.5.15.2].
        """
        calls, raw = self._calls, info.BASIC.pack(*wanted)
        if place.path_handle not in self._files:
            try:
                return calls.change(place.path_handle, Info.BASIC, raw)
            except NtError as error:
                if error.status != Status.ACCESS_DENIED:
                    raise
        try:
            opened = reopen(calls, place.path_handle, Access.WRITE_ATTRIBUTES)
        except NtError as error:
            if error.code is not Errno.ENOENT:
                raise
            return calls.change(place.path_handle, Info.BASIC, raw)
        with closing(calls, opened) as again:
            return calls.change(again, Info.BASIC, raw)

    def _say_once(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            log.warning("%s (a mapped security model keeps them)", what)

    def truncate(self, handle: Handle, size: int, /) -> None:
        """A size that is the old one is a change too, for clients that keep the contents."""
        calls = self._calls
        self._check_here(handle)
        before = self._growth.size(handle)
        self._growth.before_truncate(handle, before, size)
        try:
            calls.change(handle, Info.END_OF_FILE, info.END_OF_FILE.pack(size))
        except NtError as error:
            raise _unwritable(error) from None
        if before == size:
            self._set_basic(ObjectRef(handle, NO_HANDLE, b""), info.Basic(written=_now()))

    # -- extended attributes -------------------------------------------------------------------------------------------

    def get_xattr(self, place: ObjectRef, name: bytes) -> bytes:
        return self._streams.get(place, name)

    def list_xattrs(self, place: ObjectRef) -> Sequence[bytes]:
        return self._streams.names(place)

    def set_xattr(self, place: ObjectRef, name: bytes, value: bytes, flags: int = 0) -> None:
        self._read_only.lifted_for(place, lambda: self._streams.set(place, name, value, flags), undo=_nothing)

    def remove_xattr(self, place: ObjectRef, name: bytes) -> None:
        self._read_only.lifted_for(place, lambda: self._streams.remove(place, name), undo=_nothing)

    # -- names ---------------------------------------------------------------------------------------------------------

    def make_dir(self, dir: Handle, name: bytes, mode: int) -> None:
        self._calls.close(make_entry(self._calls, dir, name, LOOK, Options.DIRECTORY_FILE)[0])

    def make_node(self, dir: Handle, name: bytes, mode: int, rdev: int) -> None:
        links.make_node(self._calls, dir, name, mode)

    def make_symlink(self, dir: Handle, name: bytes, target: bytes) -> None:
        links.make_symlink(self._calls, dir, name, target)

    def make_link(self, place: ObjectRef, dir: Handle, name: bytes) -> None:
        rename.make_link(self._calls, place.path_handle, dir, name)

    def rename(self, olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes, flags: int = 0) -> None:
        rename.rename(self._calls, olddir, oldname, newdir, newname, self._removed.move_out, flags)

    def remove_file(self, dir: Handle, name: bytes) -> None:
        remove.remove_file(self._calls, dir, name, self._removed.move_out)

    def remove_dir(self, dir: Handle, name: bytes) -> None:
        remove.remove_dir(self._calls, dir, name, self._removed.move_out)

    def reserved_match(self, name: bytes, reserved: bytes) -> bool:
        return folds_to(name, reserved)

    # -- data ----------------------------------------------------------------------------------------------------------

    def read(self, handle: Handle, count: int, offset: int, /) -> bytes:
        try:
            return self._calls.read(handle, count, offset)
        except NtError as error:
            raise _unwritable(error) from None

    def read_now(self, handle: Handle, count: int, offset: int, /) -> Buffer:
        """A synchronous handle cannot be asked whether it would wait, only whether what it reads is
        on this computer.
        """
        if handle in self._recalled:
            if look(self._calls, handle)[0] & RECALLED:
                raise WouldBlock
            self._recalled.discard(handle)
        raise Refused(Errno.EOPNOTSUPP)

    def read_into(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        """Through a copy: ReadFileScatter takes whole pages, on handles without a cache."""
        size, done = length(buffers), 0
        while done < size and (data := self.read(handle, size - done, offset + done)):
            done += scatter(behind(buffers, done), data)
        return done

    def read_into_now(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        return scatter(buffers, self.read_now(handle, length(buffers), offset))

    def _check_here(self, handle: Handle) -> None:
        """Changing contents that are elsewhere fetches them first."""
        if handle in self._recalled:
            check_may_wait()

    def write(self, handle: Handle, data: Buffer, offset: int, /) -> int:
        self._check_here(handle)
        if handle not in self._appending:
            self._growth.before_write(handle, offset, len(data))
        try:
            return self._calls.write(handle, data, END if handle in self._appending else offset)
        except NtError as error:
            raise _unwritable(error) from None

    def write_from(self, handle: Handle, buffers: Sequence[memoryview], offset: int, /) -> int:
        return self.write(handle, b"".join(buffers), offset)

    def sync(self, handle: Handle, datasync: bool) -> None:
        flush(self._calls, handle)

    sync_file_range = staticmethod(_lacking.sync_file_range)
    sync_filesystem = staticmethod(_lacking.sync_filesystem)
    allocate = staticmethod(_lacking.allocate)
    seek = staticmethod(_lacking.seek)
    copy_file_range = staticmethod(_lacking.copy_file_range)

    # -- locks: none of the host's -------------------------------------------------------------------------------------

    def lock(self, handle: Handle, kind: int, start: int, length: int) -> None:
        """Nothing: the server keeps locks, and Windows' own would bar reads and writes of other
        programs.
        """

    def test_lock(self, handle: Handle, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        return None

    # -- the process ---------------------------------------------------------------------------------------------------

    def raise_handle_limit(self) -> int:
        return _MANY

    def privileged(self) -> bool:
        return False


_WHY_NOT: Final[dict[int, Errno]] = {
    Status.ACCESS_DENIED: Errno.EBADF,  # a handle without the right to read or write, as read(2) and write(2) say
    Status.INVALID_PARAMETER: Errno.EFBIG,  # beyond what the filesystem can hold
}


def _nothing(done: None) -> None:
    """There is nothing to undo: an attribute was set, which stays."""


def _unwritable(error: NtError) -> OSError:
    """What NT means when it does not read, write or cut an open file."""
    code = _WHY_NOT.get(error.status)
    return error if code is None else Refused(code)


def _now() -> int:
    return info.to_filetime(time.time_ns())
