"""The local side of a copy: files that appear whole or not at all, directories that are no links, attributes.

What comes from a server is not trusted with paths. A tree is written so that no entry of it can lead another one out of the folder: an
existing symbolic link is never gone through (``make_directory``) or written through (files arrive under a temporary name and are moved
into place), and the links of the tree itself are made after everything else. Everything here blocks; the asyncio face calls it in threads.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ninep.client.paths import local_name
from ninep.client.stat import FileStat

_BINARY: Final = getattr(os, "O_BINARY", 0)
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0)
_LINK_TIMES: Final = os.utime in os.supports_follow_symlinks


@dataclass(frozen=True, slots=True)
class Keep:
    """What a copy keeps of the original besides its content and the permissions of new files."""

    times: bool = False
    """Times and exact permissions, whatever the umask."""
    owner: bool = False
    """Owner, group, and with them SUID, SGID and sticky. Where the host does not let this user give files away, they stay this user's."""

    def mode(self, mode: int) -> int:
        """The permissions to set. SUID and SGID mean nothing good on a file of another owner."""
        return mode & (0o7777 if self.owner else 0o777)


NOTHING: Final = Keep()


def child(directory: str, name: str, shown: str) -> str:
    """The local path of an entry. EINVAL, with the remote path, for names that lead elsewhere or that this host cannot have."""
    try:
        return os.path.join(directory, local_name(name))
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), shown) from None


def make_directory(path: str) -> None:
    """Make a directory, or find that it is one already. A symbolic link is none."""
    try:
        os.mkdir(path)
    except FileExistsError:
        found = os.lstat(path).st_mode
        if not stat.S_ISDIR(found):
            raise OSError(
                errno.ENOTDIR, "is a symbolic link" if stat.S_ISLNK(found) else "is not a directory", path
            ) from None


def make_link(path: str, target: str) -> None:
    """Make a symbolic link, in place of another one if there is one. EINVAL for a target that no host can have."""
    if "\0" in target:
        raise OSError(errno.EINVAL, "a link target with NUL in it", path)
    try:
        os.symlink(target, path)
    except FileExistsError:
        if not os.path.islink(path):
            raise
        os.unlink(path)
        os.symlink(target, path)


def keep_attributes(path: str, found: FileStat, keep: Keep) -> None:
    """Give a local file or directory what ``keep`` says of the original's."""
    mode = keep.mode(found.st_mode)
    chown = getattr(os, "chown", None)
    if keep.owner and chown is not None and found.st_uid is not None and found.st_gid is not None:
        try:
            chown(path, found.st_uid, found.st_gid, follow_symlinks=False)
        except PermissionError:
            mode &= 0o777
    if not found.is_symlink():
        os.chmod(path, mode)
    if not found.is_symlink():
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    elif _LINK_TIMES:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


class Arriving:
    """A file that is being written. ``commit`` moves it into place; until then, and after ``discard``, nothing of it is there.

    ``mode`` is what a new file gets (less the umask); a file that is replaced keeps its permissions. A device, pipe or
    terminal in its place is written to as it is.
    """

    def __init__(self, path: str, mode: int) -> None:
        self._path = path
        self._temporary = ""
        self._mode: int | None = None
        with suppress(FileNotFoundError):
            found = os.lstat(path).st_mode
            if stat.S_ISDIR(found):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if stat.S_ISREG(found):
                self._mode = stat.S_IMODE(found)
            elif not stat.S_ISLNK(found):
                self._fd = os.open(path, os.O_WRONLY | _BINARY | _NO_FOLLOW)
                return
        directory, name = os.path.split(path)
        self._temporary = os.path.join(directory, f".{name[:64]}.{os.urandom(4).hex()}.part")
        self._fd = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_FOLLOW, mode & 0o777)

    def write(self, data: bytes) -> None:
        """All of ``data``, behind what was written before."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def commit(self, found: FileStat, keep: Keep) -> None:
        """Everything was written."""
        os.close(self._fd)
        self._fd = -1
        if not self._temporary:
            return
        if self._mode is not None:
            os.chmod(self._temporary, self._mode)
        if keep.times or keep.owner:
            keep_attributes(self._temporary, found, keep)
        os.replace(self._temporary, self._path)
        self._temporary = ""

    def discard(self) -> None:
        """Take back what is not committed. Fine to call in any case."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._temporary:
            with suppress(OSError):
                os.unlink(self._temporary)


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """A local file as ``put`` sees it."""

    name: str
    path: str
    stat: os.stat_result


def entry(path: str, *, dereference: bool) -> LocalEntry:
    """One local file."""
    return LocalEntry(os.path.basename(path), path, os.stat(path, follow_symlinks=dereference))


def entries(path: str) -> list[str]:
    """The paths of a directory's entries, in order of their names."""
    return [os.path.join(path, name) for name in sorted(os.listdir(path))]
