"""What Linux and macOS share: verbs on one name below a directory descriptor, and verbs on a place
*by its name*.

Linux does nearly everything through the path handle itself and takes only the first half of this
page. A system without such path handles uses the second half: it opens the name without following
it, compares device and inode with the path handle, acts on the descriptor, and answers ESTALE if
another object is there. Where a verb has no form by descriptor (a link's owner, a new
hard link) a window between the look and the act remains: it never leads out of the folder, since no
name is followed, but it may hit what a host process moved in that instant. These functions run on
Linux too, where the tests try them.

Names are bytes; nothing here follows a link.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import stat as st
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, cast

from ninep import linux
from ninep.errors import Refused
from ninep.host._api import LISTING_SIZE, Entry, Handle, ObjectRef, Stat
from ninep.linux import Errno
from ninep.node import NOW, WouldBlock, check_may_wait
from ninep.wire.buffers import behind, length

if sys.platform == "win32":
    raise ImportError("not on this system")  # and nothing below is looked at when types are checked for it

# Bound straight to the system's functions: a wrapper around the hottest primitives costs a fifth of
# the call (0.1 of 0.55 us).
stat = os.fstat
close = os.close
truncate = os.ftruncate
read = os.pread
write = os.pwrite

# os.open returns a plain int; Handle() around it is a Python call (0.05 us) that does nothing.
open_fd = cast("Callable[..., Handle]", os.open)

_FLAGS: Final = (
    (linux.O_TRUNC, os.O_TRUNC),
    (linux.O_APPEND, os.O_APPEND),
    (linux.O_DSYNC, os.O_DSYNC),
    (linux.O_SYNC & ~linux.O_DSYNC, os.O_SYNC),
    (linux.O_NOATIME, getattr(os, "O_NOATIME", 0)),
    (linux.O_CREAT, os.O_CREAT),
    (linux.O_EXCL, os.O_EXCL),
)
_ACCESS: Final = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR)
_CREATION: Final = linux.O_CREAT | linux.O_EXCL
_NEVER: Final = os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
_NOATIME: Final = getattr(os, "O_NOATIME", 0)
_MASK = linux.O_ACCMODE | sum(theirs for theirs, _ in _FLAGS)
_translated: dict[int, int] = {}


def host_flags(flags: int) -> int:
    """Linux open flags as the host's. Without DIRECT: its reads would want aligned buffers, which
    no client can promise.
    """
    flags &= _MASK
    known = _translated.get(flags)
    if known is None:
        known = _ACCESS[flags & linux.O_ACCMODE] | _NEVER
        for theirs, ours in _FLAGS:
            if flags & theirs:
                known |= ours
        _translated[flags] = known
    return known


# -- one name below a directory ----------------------------------------------------------------------------------------


def open_root(path: str) -> Handle:
    return open_fd(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def stat_at(dir: Handle, name: bytes) -> Stat:
    return os.stat(name, dir_fd=dir, follow_symlinks=False)


def open_at(dir: Handle, name: bytes, flags: int, mode: int = 0) -> Handle:
    """NONBLOCK keeps the open of a FIFO that stands in the way from hanging; it means nothing for
    the regular file that remains.
    """
    wanted = host_flags(flags)
    try:
        handle = open_fd(name, wanted & ~os.O_TRUNC | os.O_NONBLOCK, mode, dir_fd=dir)
    except BlockingIOError:
        handle = until_lease_ends(partial(open_fd, name, wanted & ~os.O_TRUNC | os.O_NONBLOCK, mode, dir_fd=dir))
    except PermissionError:
        if not wanted & _NOATIME:
            raise
        return open_at(dir, name, flags & ~linux.O_NOATIME, mode)
    if wanted & os.O_EXCL and wanted & os.O_CREAT:
        return handle  # ours and new: nothing to look at
    try:
        check_regular(os.fstat(handle).st_mode)
        if wanted & os.O_TRUNC:
            os.ftruncate(handle, 0)
    except OSError:
        os.close(handle)
        raise
    return handle


def until_lease_ends(opening: Callable[[], Handle]) -> Handle:
    """Open a file that another process has a lease on, which it has been told to give up by the
    first try: again and again, in a thread that may wait. Never without NONBLOCK, or a FIFO
    put in its place keeps the thread for ever.
    """
    check_may_wait()
    while True:
        time.sleep(_LEASE_POLL)
        try:
            return opening()
        except BlockingIOError:
            continue


_LEASE_POLL: Final = 0.02

_IOV_MAX: Final = 1024
"""The most buffers of one call (readv(2))."""
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)


def read_into(handle: Handle, buffers: Sequence[memoryview], offset: int, flags: int = 0) -> int:
    """preadv2(2), again until the buffers are full or nothing comes: short is not the end yet on
    every file system (FUSE, NFS), and with RWF_NOWAIT nowhere.
    """
    size, done = length(buffers), 0
    while done < size:
        rest = behind(buffers, done) if done else buffers
        more = os.preadv(handle, rest[:_IOV_MAX], offset + done, flags)
        if not more:
            break
        done += more
    return done


def read_into_now(handle: Handle, buffers: Sequence[memoryview], offset: int) -> int:
    """With RWF_NOWAIT, which macOS has not."""
    if not _NOWAIT:
        raise Refused(Errno.EOPNOTSUPP)
    try:
        # The usual case first: one page, or all of them are there.
        done = os.preadv(handle, buffers[:_IOV_MAX], offset, _NOWAIT)
        if done and done < sum(map(len, buffers)):
            done += read_into(handle, behind(buffers, done), offset + done, _NOWAIT)
    except BlockingIOError:
        raise WouldBlock from None
    return done


def write_from(handle: Handle, buffers: Sequence[memoryview], offset: int) -> int:
    """pwritev(2). More buffers than one call takes are joined and not written in parts, so that an
    append stays one piece.
    """
    if 1 < len(buffers) <= _IOV_MAX:
        return os.pwritev(handle, buffers, offset)
    return os.pwrite(handle, buffers[0] if len(buffers) == 1 else b"".join(buffers), offset)


def make_dir(dir: Handle, name: bytes, mode: int) -> None:
    os.mkdir(name, mode, dir_fd=dir)


def make_node(dir: Handle, name: bytes, mode: int, rdev: int) -> None:
    os.mknod(name, mode, rdev, dir_fd=dir)


def make_symlink(dir: Handle, name: bytes, target: bytes) -> None:
    os.symlink(target, name, dir_fd=dir)


def rename(olddir: Handle, oldname: bytes, newdir: Handle, newname: bytes) -> None:
    os.rename(oldname, newname, src_dir_fd=olddir, dst_dir_fd=newdir)


def remove_file(dir: Handle, name: bytes) -> None:
    try:
        os.unlink(name, dir_fd=dir)
    except PermissionError:
        # POSIX lets unlink of a directory fail with EPERM, and macOS does.
        if st.S_ISDIR(os.stat(name, dir_fd=dir, follow_symlinks=False).st_mode):
            raise Refused(Errno.EISDIR) from None
        raise


def remove_dir(dir: Handle, name: bytes) -> None:
    try:
        os.rmdir(name, dir_fd=dir)
    except FileExistsError:  # POSIX allows EEXIST for a directory that is not empty
        raise Refused(Errno.ENOTEMPTY) from None


def sync(handle: Handle, datasync: bool) -> None:
    if datasync and hasattr(os, "fdatasync"):
        os.fdatasync(handle)
    else:
        os.fsync(handle)


_WHENCE: Final = {
    linux.SEEK_DATA: getattr(os, "SEEK_DATA", None),
    linux.SEEK_HOLE: getattr(os, "SEEK_HOLE", None),
}


def seek(handle: Handle, offset: int, whence: int) -> int:
    """Moves the handle's own offset, which no other verb uses."""
    wanted = _WHENCE.get(whence)
    if wanted is None:
        raise Refused(Errno.EINVAL)
    return os.lseek(handle, offset, wanted)


_SHORT_ALIAS = re.compile(rb"[^~]{1,6}~[0-9]{1,6}", re.DOTALL)


def reserved_match(name: bytes, reserved: bytes) -> bool:
    """True if some filesystem could take ``name`` for ``reserved``.

    Linux has filesystems that fold case too (ext4 casefold, vfat, CIFS), that ignore invisible code
    points (ext4 casefold, HFS+) and that answer to 8.3 names (vfat), and no cheap way to ask.
    Refusing an odd spelling of a name that begins ``.virtfs`` does no harm.
    """
    if name == reserved:
        return True
    if b"~" in name and _SHORT_ALIAS.fullmatch(name):
        return name[:2].lower() == reserved.lstrip(b".")[:2].lower()
    if name.isascii():
        return name.lower() == reserved
    folded = unicodedata.normalize("NFKD", name.decode("utf-8", "replace")).casefold().replace("\u0131", "i")
    return folded.encode("ascii", "ignore") == reserved


def linux_rdev(rdev: int) -> int:
    """A device number in the glibc layout (QEMU 9p.h makedev_dotl)."""
    major, minor = os.major(rdev), os.minor(rdev)
    return (major & 0xFFF) << 8 | (major & ~0xFFF) << 32 | minor & 0xFF | (minor & ~0xFF) << 12


def host_rdev(rdev: int) -> int:
    """The way back."""
    major = rdev >> 8 & 0xFFF | rdev >> 32 & ~0xFFF
    minor = rdev & 0xFF | rdev >> 12 & 0xFFFFFF00
    return os.makedev(major, minor)


def raise_handle_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20


# -- listings without cookies of the system's own ----------------------------------------------------------------------

_TYPES: Final = {
    st.S_IFDIR: linux.DT_DIR,
    st.S_IFREG: linux.DT_REG,
    st.S_IFLNK: linux.DT_LNK,
    st.S_IFIFO: linux.DT_FIFO,
    st.S_IFSOCK: linux.DT_SOCK,
    st.S_IFCHR: linux.DT_CHR,
    st.S_IFBLK: linux.DT_BLK,
}


class SnapshotListing:
    """A directory as a list of names taken at each rewind; a cookie is the index of the
    next one.
    """

    BATCH = 512

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._names: list[tuple[int, int, bytes]] = []

    def read(self, cookie: int, size: int = LISTING_SIZE) -> Sequence[Entry]:  # noqa: ARG002 - names are at hand
        if cookie == 0:
            self._names = list(self._snapshot())
        part = self._names[cookie : cookie + self.BATCH]
        return [Entry(ino, number, kind, name) for number, (ino, kind, name) in enumerate(part, cookie + 1)]

    def _snapshot(self) -> list[tuple[int, int, bytes]]:
        own = os.fstat(self._handle).st_ino
        names = [(own, linux.DT_DIR, b"."), (0, linux.DT_DIR, b"..")]
        with os.scandir(self._handle) as entries:
            names += [(entry.inode(), self._kind(entry), os.fsencode(entry.name)) for entry in entries]
        return names

    @staticmethod
    def _kind(entry: os.DirEntry[str]) -> int:
        if entry.is_symlink():
            return linux.DT_LNK
        return linux.DT_DIR if entry.is_dir(follow_symlinks=False) else linux.DT_UNKNOWN

    def sync(self) -> None:
        os.fsync(self._handle)

    def close(self) -> None:
        os.close(self._handle)


# -- a place by its name; ``held`` is what the path handle shows --------------------------------------------------------------


def check_regular(mode: int) -> None:
    """EISDIR, ELOOP or ENXIO for what is no regular file."""
    if not st.S_ISREG(mode):
        if st.S_ISDIR(mode):
            raise Refused(Errno.EISDIR)
        raise Refused(Errno.ELOOP if st.S_ISLNK(mode) else Errno.ENXIO)


def look(place: ObjectRef) -> Stat:
    """What the name leads to now. ENOENT for a place without one."""
    if place.dir < 0:
        raise Refused(Errno.ENOENT)
    return stat_at(place.dir, place.name)


def check_same(held: Stat, found: Stat) -> None:
    """ESTALE unless both are the same object."""
    if (held.st_dev, held.st_ino) != (found.st_dev, found.st_ino):
        raise Refused(Errno.ESTALE)


def open_by_name(place: ObjectRef, held: Stat, flags: int) -> Handle:
    """Looks before and afterwards: a device that was swapped in meanwhile is opened without waiting
    and closed at once, without a byte read or written.
    """
    check_regular(held.st_mode)
    check_same(held, look(place))
    handle = open_at(place.dir, place.name, flags & ~(_CREATION | linux.O_TRUNC))
    try:
        check_same(held, os.fstat(handle))
        if flags & linux.O_TRUNC:
            os.ftruncate(handle, 0)
    except OSError:
        os.close(handle)
        raise
    return handle


def read_link_by_name(place: ObjectRef, held: Stat) -> bytes:
    check_same(held, look(place))
    if not st.S_ISLNK(held.st_mode):
        raise Refused(Errno.EINVAL)
    return os.readlink(place.name, dir_fd=place.dir)


def chmod_by_name(place: ObjectRef, held: Stat, mode: int) -> None:
    """Python has the call that does not follow a link on macOS only."""
    if st.S_ISLNK(held.st_mode):
        raise Refused(Errno.EOPNOTSUPP)
    check_same(held, look(place))
    os.chmod(place.name, mode & linux.PERMISSIONS, dir_fd=place.dir, follow_symlinks=False)


def chown_by_name(place: ObjectRef, held: Stat, uid: int, gid: int) -> None:
    check_same(held, look(place))
    os.chown(place.name, uid, gid, dir_fd=place.dir, follow_symlinks=False)


def utimes_by_name(place: ObjectRef, held: Stat, atime: int | None, mtime: int | None) -> None:
    check_same(held, look(place))
    os.utime(place.name, ns=both_times(held, atime, mtime), dir_fd=place.dir, follow_symlinks=False)


def both_times(held: Stat, atime: int | None, mtime: int | None) -> tuple[int, int]:
    """For calls that set both: a time that is left alone is the one there is, NOW is
    the clock's.
    """
    clock = time.time_ns()
    return (
        held.st_atime_ns if atime is None else clock if atime == NOW else atime,
        held.st_mtime_ns if mtime is None else clock if mtime == NOW else mtime,
    )


def make_link_by_name(place: ObjectRef, held: Stat, dir: Handle, name: bytes) -> None:
    """What was linked is looked at afterwards, and the new name taken back if it was another
    object.
    """
    check_same(held, look(place))
    os.link(place.name, name, src_dir_fd=place.dir, dst_dir_fd=dir, follow_symlinks=False)
    try:
        check_same(held, stat_at(dir, name))
    except Refused:
        os.unlink(name, dir_fd=dir)
        raise
