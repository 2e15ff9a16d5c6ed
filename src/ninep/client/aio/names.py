"""Making, moving and removing entries, by path. The calls are those of ``os``; ``filename`` of an error is the path as given."""

from __future__ import annotations

from ninep.client.aio.export import Export
from ninep.client.errors import about, refusal
from ninep.client.paths import RemotePath, decode, encode, join_names, split, text_of
from ninep.linux import PERMISSIONS, S_IFIFO, S_IFMT, Errno


class Names(Export):
    """The calls that change directories. None of them follows a symbolic link."""

    async def mkdir(self, path: RemotePath, mode: int = 0o777) -> None:
        """Make a directory. ``FileExistsError`` if there is something."""
        with about(text_of(path)):
            names, name = self._entry(path)
            async with self.at(names) as parent:
                await self.verbs.mkdir(parent, name, mode & PERMISSIONS, self.gid)

    async def makedirs(self, path: RemotePath, mode: int = 0o777, exist_ok: bool = False) -> None:
        """Make a directory and those above it that are missing (with mode 0777). ``exist_ok``: a directory may be there already."""
        names = split(path)
        for depth in range(1, len(names) + 1):
            last = depth == len(names)
            try:
                await self.mkdir(join_names(names[:depth]), mode if last else 0o777)
            except (ConnectionError, TimeoutError):
                raise
            except OSError as error:  # EEXIST, or what a server says instead (EROFS, EACCES, words of its own)
                if last:
                    error.filename = text_of(path)
                if (last and not exist_ok) or not await self._is_directory(names[:depth]):
                    raise

    async def _is_directory(self, names: list[bytes]) -> bool:
        try:
            async with self.at(names) as fid:
                return (await self.verbs.stat(fid)).is_dir()
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            return False

    async def symlink(self, target: str | bytes, path: RemotePath) -> None:
        """Make ``path`` a symbolic link to ``target``, which is stored as it is."""
        with about(text_of(path)):
            names, name = self._entry(path)
            async with self.at(names) as parent:
                raw = target if isinstance(target, bytes) else encode(target)
                await self.verbs.symlink(parent, name, raw, self.gid)

    async def readlink(self, path: RemotePath) -> str:
        """The target of a symbolic link. EINVAL if it is none."""
        with about(text_of(path)):
            async with self.at(split(path)) as fid:
                return decode(await self.verbs.readlink(fid))

    async def realpath(self, path: RemotePath) -> str:
        """The path with every symbolic link resolved, inside the export. The last name need not exist."""
        with about(text_of(path)):
            return join_names(await self.names_of(path, follow=True))

    async def link(self, existing: RemotePath, path: RemotePath) -> None:
        """Make ``path`` another name of the file ``existing``."""
        with about(text_of(existing), text_of(path)):
            names, name = self._entry(path)
            async with self.at(split(existing)) as fid, self.at(names) as parent:
                await self.verbs.link(parent, fid, name)

    async def mknod(self, path: RemotePath, mode: int = S_IFIFO | 0o666, rdev: int = 0) -> None:
        """Make a FIFO, socket, device or file as the type bits of ``mode`` (Linux numbers) say; ``rdev`` in the Linux layout."""
        with about(text_of(path)):
            names, name = self._entry(path)
            async with self.at(names) as parent:
                await self.verbs.mknod(parent, name, mode & (S_IFMT | PERMISSIONS), rdev, self.gid)

    async def rename(self, old: RemotePath, new: RemotePath) -> None:
        """Move an entry, replacing what is at ``new`` the way that the system call does.

        EXDEV where the dialect cannot move into another directory (9P2000, 9P2000.u).
        """
        with about(text_of(old), text_of(new)):
            old_names, old_name = self._entry(old)
            new_names, new_name = self._entry(new)
            async with self.at(old_names) as olddir:
                if old_names == new_names:
                    await self.verbs.rename(olddir, old_name, None, new_name)
                    return
                async with self.at(new_names) as newdir:
                    await self.verbs.rename(olddir, old_name, newdir, new_name)

    async def remove(self, path: RemotePath) -> None:
        """Remove a file, link or device. ``IsADirectoryError`` for a directory."""
        await self._unlink(path, directory=False)

    async def rmdir(self, path: RemotePath) -> None:
        """Remove an empty directory."""
        await self._unlink(path, directory=True)

    async def _unlink(self, path: RemotePath, directory: bool) -> None:
        with about(text_of(path)):
            names, name = self._entry(path)
            async with self.at(names) as parent:
                await self.verbs.unlink(parent, name, directory)

    def _entry(self, path: RemotePath) -> tuple[list[bytes], bytes]:
        """The directory's names and the entry's, of a path that is to be made or removed. EBUSY for the root."""
        names = split(path)
        if not names:
            raise refusal(Errno.EBUSY)
        return names[:-1], names[-1]
