"""The destination of ``get``: a directory that the user named, and below it only directories that a
server cannot redirect.

Paths from a server are not trusted, nor is the result of an earlier copy, which a server
determined. Therefore

* symbolic links are followed only in the path that the user typed; below it each component is
  opened by handle, relative to the one before, and a symbolic link (or another redirection: a
  junction) is refused as a directory;
* a file is received under a temporary name in its directory and renamed when it is complete: an
  existing link or hard link is replaced, not written through. Existing devices, FIFOs and sockets
  are refused without opening them;
* two names of a copy that are the same on this host are refused (``copied``);
* SUID and SGID of a server's files are not set unless requested.

Hosts without handles relative to a directory (Windows) check each component before each use. There,
a *local* process that replaces directories meanwhile could redirect a copy; a server still cannot.
All functions here block; the asyncio client calls them in threads.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, NamedTuple, Self

from ninep.client.copied import Copied
from ninep.client.local import Keep
from ninep.client.paths import local_name, to_host
from ninep.client.stat import FileStat

HANDLES: Final = os.open in os.supports_dir_fd and os.stat in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
_BINARY: Final = getattr(os, "O_BINARY", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY: Final = getattr(os, "O_DIRECTORY", 0)
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0)
_wait_again: Final = getattr(os, "set_blocking", None) or (lambda _fd, _blocking: None)
# O_PATH (open(2)) needs search permission only, like a path component
_SEARCH: Final = getattr(os, "O_PATH", os.O_RDONLY) | _DIRECTORY
_LINK_TIMES: Final = os.utime in os.supports_follow_symlinks
_BY_HANDLE: Final = HANDLES and os.chmod in os.supports_fd and os.utime in os.supports_fd
# flag of a reparse tag: the entry is an alias of another one ([MS-FSCC] 2.1.2.1)
_SURROGATE: Final = 0x20000000
_REDIRECTS: Final = (
    "is a symbolic link, and a copy does not write through links: remove it or choose another destination"
)
_KINDS: Final = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _is_redirection(found: os.stat_result) -> bool:
    """Whether it is a symbolic link, a junction or a mount point of Windows."""
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_reparse_tag", 0) & _SURROGATE)


@contextmanager
def _about(path: str) -> Iterator[None]:
    """Errors have the path that the user knows, not the one relative to a handle. OverflowError,
    from a server's number that does not fit on this host, becomes EOVERFLOW.
    """
    try:
        yield
    except OverflowError as error:
        raise OSError(errno.EOVERFLOW, str(error), path) from None
    except OSError as error:
        if error.filename2 is None:
            error.filename = path
        else:
            error.filename2 = path
        raise


class Target(NamedTuple):
    """The destination of one file or directory. ``name`` is empty for the directory itself."""

    destination: Destination
    name: str
    typed: bool = False
    """The user typed this name; otherwise the server sent it."""

    @property
    def path(self) -> str:
        """For messages."""
        return os.path.join(self.destination.path, self.name) if self.name else self.destination.path


class Destination:
    """A directory of this host to copy into. ``path`` may lead through links, because the user
    typed it.
    """

    def __init__(self, path: str, copied: Copied | None = None) -> None:
        self.path = path
        self.copied = Copied() if copied is None else copied
        self._fd = -1
        self._real = ""
        with _about(path):
            if not stat.S_ISDIR(os.stat(path).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "is not a directory")
            if HANDLES:
                self._fd = os.open(path, _SEARCH)
            else:
                self._real = os.path.realpath(path)

    @classmethod
    def below(cls, folder: Folder, name: str) -> Self:
        """A directory below another one, with its own handle. ENOTDIR for a link."""
        self = cls.__new__(cls)
        self.path = folder.shown(name)
        self.copied = folder.copied
        self._fd = -1
        self._real = ""
        with _about(self.path):
            _require_directory(os.stat(folder.at(name), dir_fd=folder.fd, follow_symlinks=False))
            if HANDLES:
                self._fd = os.open(name, _SEARCH | _NO_FOLLOW, dir_fd=folder.fd)
            else:
                self._real = folder.at(name)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def child(self, name: str, shown: str) -> Target:
        """The target for a server's name ``name``. EINVAL, with the remote path, for a name that is
        not a single component.
        """
        return Target(self, checked_name(name, shown))

    def folder(self, names: tuple[str, ...] = ()) -> Folder:
        """A directory below this one, opened component by component. ENOTDIR if one of them is a
        link. The caller closes it.
        """
        shown = os.path.join(self.path, *names)
        if not HANDLES:
            path = self._real
            for name in names:
                path = os.path.join(path, name)
                with _about(shown):
                    _require_directory(os.lstat(path))
            return Folder(self.copied, shown, path, None)
        fd = os.dup(self._fd)
        for name in names:
            with _about(shown):
                try:
                    below = os.open(name, _SEARCH | _NO_FOLLOW, dir_fd=fd)
                except OSError:
                    _require_directory(os.stat(name, dir_fd=fd, follow_symlinks=False))
                    raise
                finally:
                    os.close(fd)
            fd = below
        return Folder(self.copied, shown, "", fd)


def _require_directory(found: os.stat_result) -> None:
    if _is_redirection(found):
        raise NotADirectoryError(errno.ENOTDIR, _REDIRECTS)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory")


def checked_name(name: str, shown: str) -> str:
    """A server's name as one component. EINVAL, with the remote path, for a name with separators
    and for one that this host does not permit.
    """
    try:
        return to_host(local_name(name))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), shown) from None


class Folder:
    """An open directory to write into, made by ``Destination.folder``."""

    def __init__(self, copied: Copied, shown: str, base: str, fd: int | None) -> None:
        self.path = shown
        self.copied = copied
        self._base = base
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the handle."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def at(self, name: str) -> str:
        """The path of an entry for functions of ``os``, relative to the handle (``dir_fd``) if
        there is one.
        """
        return os.path.join(self._base, name)

    def shown(self, name: str) -> str:
        """The path of an entry for messages."""
        return os.path.join(self.path, name)

    def lstat(self, name: str) -> os.stat_result | None:
        """The attributes of an entry (lstat(2)), or None if it does not exist."""
        with suppress(FileNotFoundError):
            return os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)
        return None

    def make_directory(self, name: str) -> None:
        """Make a directory, if it does not exist. ENOTDIR for a symbolic link."""
        with _about(self.shown(name)):
            with suppress(FileExistsError):
                os.mkdir(self.at(name), dir_fd=self.fd)
            found = os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False)
            _require_directory(found)
            own = os.stat(self._base) if self.fd is None else os.fstat(self.fd)
            self.copied.enter_directory(found, own, name, self.shown(name))

    def make_link(self, name: str, target: str) -> None:
        """Make a symbolic link, replacing an existing link. EEXIST for any other existing file,
        EINVAL for a target with NUL.
        """
        path = self.shown(name)
        if "\0" in target:
            raise OSError(errno.EINVAL, "a link target with NUL in it", path)
        target = to_host(target)
        with _about(path):
            try:
                os.symlink(target, self.at(name), dir_fd=self.fd)
            except FileExistsError:
                found = self.lstat(name)
                if found is None or not stat.S_ISLNK(found.st_mode):
                    raise
                self.copied.check(found, path)
                os.unlink(self.at(name), dir_fd=self.fd)
                os.symlink(target, self.at(name), dir_fd=self.fd)
            self.copied.record(os.stat(self.at(name), dir_fd=self.fd, follow_symlinks=False))

    def receive(self, name: str, mode: int) -> PartialFile:
        """Start to receive a file."""
        return PartialFile(self, name, mode)

    def keep(self, found: FileStat, keep: Keep) -> None:
        """Set the attributes of the directory that ``keep`` selects."""
        with _about(self.path):
            if not _BY_HANDLE:
                keep_attributes(self._base, found, keep)
                return
            fd = os.open(".", os.O_RDONLY | _DIRECTORY | _NO_FOLLOW, dir_fd=self.fd)
            try:
                keep_attributes(fd, found, keep)
            finally:
                os.close(fd)

    def keep_file(self, name: str, found: FileStat, keep: Keep) -> None:
        """Set the attributes of a regular file that ``keep`` selects. ELOOP for a link."""
        with _about(self.shown(name)):
            if not _BY_HANDLE:
                if not stat.S_ISREG(os.lstat(self.at(name)).st_mode):
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                keep_attributes(self.at(name), found, keep)
                return
            fd = os.open(self.at(name), os.O_RDONLY | _NO_FOLLOW | _NO_WAIT, dir_fd=self.fd)
            try:
                keep_attributes(fd, found, keep)
            finally:
                os.close(fd)

    def keep_link(self, name: str, found: FileStat, keep: Keep) -> None:
        """Set the attributes of a symbolic link that ``keep`` selects."""
        with _about(self.shown(name)):
            chown = getattr(os, "chown", None)
            if keep.owner and chown is not None and found.st_uid is not None and found.st_gid is not None:
                with suppress(PermissionError):
                    chown(self.at(name), found.st_uid, found.st_gid, dir_fd=self.fd, follow_symlinks=False)
            if _LINK_TIMES:
                times = (found.st_atime_ns, found.st_mtime_ns)
                os.utime(self.at(name), ns=times, dir_fd=self.fd, follow_symlinks=False)


def keep_attributes(file: int | str, found: FileStat, keep: Keep) -> None:
    """Set the attributes that ``keep`` selects, by file descriptor, or by path where descriptors
    are not supported.
    """
    mode = keep.mode(found.st_mode)
    if not (keep.setid or found.is_dir()):
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    chown = getattr(os, "chown", None)
    if keep.owner and chown is not None and found.st_uid is not None and found.st_gid is not None:
        try:
            chown(file, found.st_uid, found.st_gid)
        except PermissionError:
            mode &= 0o777
    os.chmod(file, mode)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


class PartialFile:
    """A file that is being received. ``commit`` renames it to its name; before, and after
    ``discard``, it is not visible.

    ``mode`` is the mode of a new file (less the umask). A file that is replaced keeps its
    permissions except SUID and SGID, because its content changes.
    """

    def __init__(self, folder: Folder, name: str, mode: int) -> None:
        self._folder = folder
        self._name = name
        self._temporary = ""
        self._mode: int | None = None
        self._path = path = folder.shown(name)
        with _about(path):
            found = folder.lstat(name)
            if found is not None:
                kind = stat.S_IFMT(found.st_mode)
                if kind == stat.S_IFDIR:
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                if kind in _KINDS:
                    raise FileExistsError(
                        errno.EEXIST, f"is {_KINDS[kind]} and is not replaced by a file: remove it first"
                    )
                folder.copied.check(found, path)
                if kind == stat.S_IFREG:
                    self._mode = found.st_mode & 0o1777
            self._temporary = f".{name[:64]}.{os.urandom(4).hex()}.part"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW
            self._fd = os.open(folder.at(self._temporary), flags, mode & 0o777, dir_fd=folder.fd)

    def write(self, data: bytes) -> None:
        """Append all of ``data``."""
        with _about(self._path):
            _write_all(self._fd, data)

    def commit(self, found: FileStat, keep: Keep) -> None:
        """The file is complete: set its attributes and rename it."""
        folder = self._folder
        temporary = folder.at(self._temporary)
        with _about(self._path):
            if _BY_HANDLE:
                self._set(self._fd, found, keep)
            made = os.fstat(self._fd)
            os.close(self._fd)
            self._fd = -1
            if not _BY_HANDLE:
                self._set(temporary, found, keep)
            os.replace(temporary, folder.at(self._name), src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            self._temporary = ""
        folder.copied.record(made)

    def _set(self, file: int | str, found: FileStat, keep: Keep) -> None:
        if self._mode is not None:
            os.chmod(file, self._mode)
        if keep.times or keep.owner:
            keep_attributes(file, found, keep)

    def discard(self) -> None:
        """Remove the temporary file if ``commit`` was not called. May be called at any time."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._folder.at(self._temporary), dir_fd=self._folder.fd)
            self._temporary = ""


class SpecialFile:
    """A device, FIFO or standard stream that the user named (``/dev/stdout``, a process
    substitution), written in place.
    """

    def __init__(self, path: str, fd: int) -> None:
        self._path = path
        self._fd = fd

    def write(self, data: bytes) -> None:
        """All of ``data``."""
        with _about(self._path):
            _write_all(self._fd, data)

    def commit(self, found: FileStat, keep: Keep) -> None:
        """Nothing to rename."""

    def discard(self) -> None:
        """Close it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


# -- what the user typed ---------------------------------------------------------------------------------------------------


def typed_target(path: str, copied: Copied | None = None, is_directory: bool = False) -> Target:
    """The target for a path that the user typed: its directory, which may be reached through links,
    and the last name in it.

    The path of a directory may end with a separator.
    """
    directory, name = os.path.split(path)
    if is_directory and not name and directory != path:
        directory, name = os.path.split(directory)
    if name in {"", os.curdir, os.pardir}:
        return Target(Destination(path, copied), "", typed=True)
    return Target(Destination(directory or os.curdir, copied), name, typed=True)


def directory_target(target: Target) -> Destination:
    """The directory that a tree is copied to, made if it does not exist. A link to a directory is
    accepted if the user typed it.
    """
    if target.name:
        with target.destination.folder() as folder:
            if not target.typed:
                folder.make_directory(target.name)
                return Destination.below(folder, target.name)
            with _about(target.path), suppress(FileExistsError):
                os.mkdir(folder.at(target.name), dir_fd=folder.fd)
    return Destination(target.path, target.destination.copied)


def file_target(target: Target, folder: Folder, mode: int) -> PartialFile | SpecialFile:
    """Start to write a file at a target. A path that the user typed may be a device or a pipe; a
    symbolic link to a file is replaced.
    """
    if not target.name:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target.path)
    if target.typed:
        stream = _stream(target.path)
        if stream is not None:
            return stream
    return folder.receive(target.name, mode)


def _own_descriptor(path: str) -> int | None:
    """The file descriptor of a path like ``/dev/stdout`` or ``/dev/fd/3`` (proc(5)). A file opened
    by such a path would be written from its start, over what was written through the descriptor.
    """
    for _ in range(8):
        directory, name = os.path.split(path)
        directory = os.path.realpath(directory or os.curdir)
        if directory == f"/proc/{os.getpid()}/fd" and name.isdigit():
            return int(name)
        if not directory.startswith(("/dev", "/proc")) or not os.path.islink(path):
            return None
        path = os.path.join(directory, os.readlink(path))
    return None


def _stream(path: str) -> SpecialFile | None:
    with suppress(FileNotFoundError), _about(path):
        own = _own_descriptor(path)
        if own is not None:
            return SpecialFile(path, os.dup(own))
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind not in _KINDS:
            return None
        try:
            fd = os.open(path, os.O_WRONLY | _BINARY | _NO_WAIT)
        except OSError as error:
            if error.errno == errno.ENXIO and kind == stat.S_IFIFO:
                error.strerror = "is a FIFO that no program reads"
            raise
        if _NO_WAIT:
            _wait_again(fd, True)
        return SpecialFile(path, fd)
    return None
