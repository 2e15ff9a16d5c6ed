"""Files and trees from this host to the server: ``put``. As for ``get``, a tree goes on after an entry that failed.

What the caller names as ``target`` may be a symbolic link on the server; below it none is gone through or written through: a link in the place of
a file is replaced, in the place of a directory refused. So a server, or another client of it, cannot lead a copy elsewhere by links.
"""

from __future__ import annotations

import os
import stat
from typing import Final, NamedTuple

from ninep.client import local
from ninep.client.aio.attributes import Attributes
from ninep.client.aio.getting import Problem, Progress
from ninep.client.aio.names import Names
from ninep.client.aio.opener import Opener
from ninep.client.aio.tree import MAX_DEPTH, Tree
from ninep.client.copied import Copied
from ninep.client.errors import about, refusal
from ninep.client.local import NOTHING, Keep, LocalEntry
from ninep.client.paths import RemotePath, from_host, join, join_names, split
from ninep.client.stat import FileStat, SetAttr
from ninep.linux import Errno

READ_AT_ONCE: Final = 4 << 20
_SPECIAL: Final = frozenset({stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})


class _Job(NamedTuple):
    """How a copy was asked for."""

    keep: Keep
    onerror: Problem | None
    progress: Progress | None
    dereference: bool
    copied: Copied


class _Pending(NamedTuple):
    """A directory still to be copied: from where, to where, how deep, and the directories it is in."""

    source: str
    target: str
    depth: int
    above: tuple[tuple[int, int], ...]


class Putting(Opener, Names, Attributes, Tree):
    """The calls that copy to the server."""

    async def put(
        self,
        source: str | os.PathLike[str],
        target: RemotePath,
        *,
        recursive: bool = False,
        dereference: bool = False,
        follow: bool = True,
        keep: Keep = NOTHING,
        onerror: Problem | None = None,
        progress: Progress | None = None,
        copied: Copied | None = None,
    ) -> None:
        """Copy a local file, or with ``recursive`` a directory and what is below it, to the path ``target`` (not into it).

        Symbolic links below ``source`` are copied as links, with ``dereference`` what they lead to. Devices, FIFOs and sockets are made with
        ``keep.specials`` and otherwise not copied (EOPNOTSUPP). New files get the permissions of the local ones. ``follow``: ``target``
        may be or lead through symbolic links of the server. Calls that belong together share a ``copied``: what one has made is then not
        overwritten by another (EEXIST).
        """
        job = _Job(keep, onerror, progress, dereference, Copied() if copied is None else copied)
        path = os.fspath(source)
        entry = await self.connection.run(local.entry, path, dereference=True)
        place = await self.realpath(target) if follow else join_names(split(target))
        if not stat.S_ISDIR(entry.stat.st_mode):
            await self._put_file(entry, place, job)
        elif recursive:
            await self._put_tree(entry, place, job)
        else:
            with about(path):
                raise refusal(Errno.EISDIR)

    async def _put_tree(self, entry: LocalEntry, place: str, job: _Job) -> None:
        await self._put_directory(entry, place, job)
        made = [(entry, place)]
        pending = [_Pending(entry.path, place, 0, (_identity(entry),))]
        while pending:
            directory = pending.pop()
            try:
                paths = await self.connection.run(local.entries, directory.source)
            except OSError as error:
                self._put_failed(error, job)
                continue
            for path in paths:
                try:
                    await self._put_child(path, directory, pending, made, job)
                except OSError as error:
                    self._put_failed(error, job)
        for original, copy in reversed(made):
            try:
                await self._finish_directory(original, copy, job.keep)
            except OSError as error:
                self._put_failed(error, job)

    async def _put_child(
        self,
        path: str,
        directory: _Pending,
        pending: list[_Pending],
        made: list[tuple[LocalEntry, str]],
        job: _Job,
    ) -> None:
        entry = await self.connection.run(local.entry, path, dereference=job.dereference)
        place = join(directory.target, entry.name)
        if not stat.S_ISDIR(entry.stat.st_mode):
            await self._put_entry(entry, place, job)
            return
        if _identity(entry) in directory.above:
            with about(path):
                raise refusal(Errno.ELOOP, "leads to a directory it is in")
        if directory.depth > MAX_DEPTH:
            with about(path):
                raise refusal(Errno.ELOOP, f"more than {MAX_DEPTH} directories deep")
        await self._put_directory(entry, place, job)
        made.append((entry, place))
        pending.append(_Pending(path, place, directory.depth + 1, (*directory.above, _identity(entry))))

    async def _put_directory(self, entry: LocalEntry, place: str, job: _Job) -> None:
        """Make a directory that can be written to, for now, or find it: one of this copy under another name is none."""
        try:
            await self.mkdir(place, entry.stat.st_mode & 0o777 | 0o700)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            found = await self._there(place)
            if found is None:
                raise
            if stat.S_ISLNK(found.st_mode):
                words = "is a symbolic link on the server, and a copy does not write through links: remove it or choose another destination"
                with about(place):
                    raise refusal(Errno.ENOTDIR, words) from None
            if not stat.S_ISDIR(found.st_mode):
                raise
            if job.copied.remote(found.st_ino) != place:
                await self.refuse_if_made(place, found.st_ino, job.copied)
            job.copied.made_remote(found.st_ino, place)
            return
        await self._note(place, job)

    async def _there(self, place: str) -> FileStat | None:
        """What is at a place after something could not be made there."""
        try:
            return await self.stat(place)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            return None

    async def _finish_directory(self, entry: LocalEntry, place: str, keep: Keep) -> None:
        if keep != NOTHING:
            await self.setattr(place, _kept(entry.stat, keep))
        elif entry.stat.st_mode & 0o700 != 0o700:
            await self.chmod(place, entry.stat.st_mode & 0o777)

    async def _put_entry(self, entry: LocalEntry, place: str, job: _Job) -> None:
        if not stat.S_ISLNK(entry.stat.st_mode):
            await self._put_file(entry, place, job)
            return
        target = from_host(await self.connection.run(os.readlink, entry.path))
        try:
            await self.symlink(target, place)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            if not await self._make_room(place, {stat.S_IFLNK}, job):
                raise
            await self.symlink(target, place)
        await self._note(place, job)

    async def _put_special(self, entry: LocalEntry, place: str, job: _Job) -> None:
        """A device, FIFO or socket."""
        mode = entry.stat.st_mode
        number = getattr(entry.stat, "st_rdev", 0) if stat.S_IFMT(mode) in {stat.S_IFCHR, stat.S_IFBLK} else 0
        rdev = local.linux_rdev(number) if number else 0
        try:
            await self.mknod(place, mode, rdev)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            if not await self._make_room(place, {stat.S_IFLNK, *_SPECIAL}, job):
                raise
            await self.mknod(place, mode, rdev)
        await self._note(place, job)
        await self.setattr(place, _kept(entry.stat, job.keep))

    async def _make_room(self, place: str, kinds: set[int], job: _Job) -> bool:
        """Remove what is in the place of something that could not be made, if it is of one of these kinds. EEXIST if this copy made it."""
        found = await self._there(place)
        if found is None or stat.S_IFMT(found.st_mode) not in kinds:
            return False
        await self.refuse_if_made(place, found.st_ino, job.copied)
        await self.remove(place)
        return True

    async def _note(self, place: str, job: _Job) -> None:
        """This copy has made what is there."""
        found = await self._there(place)
        if found is not None:
            job.copied.made_remote(found.st_ino, place)

    async def _put_file(self, entry: LocalEntry, place: str, job: _Job) -> None:
        kind = stat.S_IFMT(entry.stat.st_mode)
        if job.keep.specials and kind in _SPECIAL:
            await self._put_special(entry, place, job)
            return
        if kind != stat.S_IFREG:
            with about(entry.path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        run = self.connection.run
        size = entry.stat.st_size
        with await run(open, entry.path, "rb", 0) as source:
            async with await self.open_copy(place, entry.stat.st_mode & 0o777, job.copied) as file:
                if job.progress is not None:
                    job.progress(entry.path, 0, size)
                while data := await run(source.read, READ_AT_ONCE):
                    await file.write(data)
                    if job.progress is not None:
                        job.progress(entry.path, file.tell(), size)
        if job.keep != NOTHING:
            await self.setattr(place, _kept(entry.stat, job.keep))

    def _put_failed(self, error: OSError, job: _Job) -> None:
        """An entry failed: tell, or give up. Without a connection there is nothing to go on with."""
        if job.onerror is None or self.connection.closed:
            raise error
        job.onerror(error)


def _identity(entry: LocalEntry) -> tuple[int, int]:
    return entry.stat.st_dev, entry.stat.st_ino


def _kept(found: os.stat_result, keep: Keep) -> SetAttr:
    return SetAttr(
        mode=keep.mode(found.st_mode),
        uid=found.st_uid if keep.owner else None,
        gid=found.st_gid if keep.owner else None,
        atime=found.st_atime_ns,
        mtime=found.st_mtime_ns,
    )
