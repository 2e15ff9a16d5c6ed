# Generated from ninep/client/aio/names.py by tools/unasync.py. Do not edit.
"""Creating, renaming and removing entries, by path. The calls are those of ``os``; ``filename`` of
an error is the path as passed.
"""

from __future__ import annotations

from ninep.client.blocking.export import AttachedExport
from ninep.client.errors import ServerPath, about, refusal
from ninep.client.paths import RemotePath, decode, encode, join_names, split, text_of
from ninep.linux import PERMISSIONS, S_IFIFO, S_IFMT, Errno


class NameCalls(AttachedExport):
    """Calls that change directories. None of them follows a symbolic link at the end of a path."""

    def mkdir(self, path: RemotePath, mode: int = 0o777) -> None:
        """Make a directory. ``FileExistsError`` if the name exists."""
        with about(text_of(path)):
            names, name = self._entry(path)
            with self.at(names) as parent:
                self.verbs.mkdir(parent, name, mode & PERMISSIONS, self.gid)

    def makedirs(self, path: RemotePath, mode: int = 0o777, exist_ok: bool = False) -> None:
        """Make a directory and its missing parents (with mode 0777). ``exist_ok``: accept an
        existing directory.
        """
        names = split(path)
        for depth in range(1, len(names) + 1):
            last = depth == len(names)
            try:
                self.mkdir(join_names(names[:depth]), mode if last else 0o777)
            except (ConnectionError, TimeoutError):
                raise
            # EEXIST, or another error of the server (EROFS, EACCES, a text)
            except OSError as error:
                if last:
                    error.filename = ServerPath(text_of(path))
                if (last and not exist_ok) or not self._is_directory(names[:depth]):
                    raise

    def _is_directory(self, names: list[bytes]) -> bool:
        try:
            with self.at(names) as fid:
                return (self.verbs.stat(fid)).is_dir()
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            return False

    def symlink(self, target: str | bytes, path: RemotePath) -> None:
        """Make ``path`` a symbolic link to ``target``, which is stored unchanged."""
        with about(text_of(path)):
            names, name = self._entry(path)
            with self.at(names) as parent:
                raw = target if isinstance(target, bytes) else encode(target)
                self.verbs.symlink(parent, name, raw, self.gid)

    def readlink(self, path: RemotePath) -> str:
        """The target of a symbolic link. EINVAL for other files."""
        with about(text_of(path)):
            with self.at(split(path)) as fid:
                return decode(self.verbs.readlink(fid))

    def realpath(self, path: RemotePath) -> str:
        """The path with every symbolic link resolved, inside the export. The last name need not
        exist.
        """
        with about(text_of(path)):
            return join_names(self.names_of(path, follow=True))

    def link(self, existing: RemotePath, path: RemotePath) -> None:
        """Make ``path`` a hard link to the file ``existing``."""
        with about(text_of(existing), text_of(path)):
            names, name = self._entry(path)
            with self.at(split(existing)) as fid, self.at(names) as parent:
                self.verbs.link(parent, fid, name)

    def mknod(self, path: RemotePath, mode: int = S_IFIFO | 0o666, rdev: int = 0) -> None:
        """Make a FIFO, socket, device or file according to the type bits of ``mode`` (Linux
        numbers); ``rdev`` in the Linux layout.
        """
        with about(text_of(path)):
            names, name = self._entry(path)
            with self.at(names) as parent:
                self.verbs.mknod(parent, name, mode & (S_IFMT | PERMISSIONS), rdev, self.gid)

    def rename(self, old: RemotePath, new: RemotePath) -> None:
        """Move an entry to another name, replacing an existing one.

        Same semantics as rename(2). EXDEV for another directory in dialects without such a rename
        (9P2000, 9P2000.u).
        """
        with about(text_of(old), text_of(new)):
            old_names, old_name = self._entry(old)
            new_names, new_name = self._entry(new)
            with self.at(old_names) as olddir:
                if old_names == new_names:
                    self.verbs.rename(olddir, old_name, None, new_name)
                    return
                with self.at(new_names) as newdir:
                    self.verbs.rename(olddir, old_name, newdir, new_name)

    def remove(self, path: RemotePath) -> None:
        """Remove a file, link or device. ``IsADirectoryError`` for a directory."""
        self._unlink(path, directory=False)

    def rmdir(self, path: RemotePath) -> None:
        """Remove an empty directory."""
        self._unlink(path, directory=True)

    def _unlink(self, path: RemotePath, directory: bool) -> None:
        with about(text_of(path)):
            names, name = self._entry(path)
            with self.at(names) as parent:
                self.verbs.unlink(parent, name, directory)

    def _entry(self, path: RemotePath) -> tuple[list[bytes], bytes]:
        """The names of the directory, and of the entry that is to be made or removed. EBUSY for the
        root.
        """
        names = split(path)
        if not names:
            raise refusal(Errno.EBUSY)
        return names[:-1], names[-1]
