"""Copies of files and trees from the server to this host: ``get``.

With an ``onerror``, the copy of a tree continues after the error of an entry. A broken connection
always ends it. ``destination`` describes how a copy from a hostile server stays inside its
directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from typing import Final, NamedTuple, TypeAlias

from ninep.client import destination as local
from ninep.client.aio.attributes import AttributeCalls
from ninep.client.aio.file import AsyncFile
from ninep.client.aio.names import NameCalls
from ninep.client.aio.opener import Opener
from ninep.client.aio.tree import TreeWalk, check_depth
from ninep.client.bounds import ListingTooLarge, MemoryBudget, size_of
from ninep.client.copied import Copied
from ninep.client.destination import Destination, Folder, PartialFile, SpecialFile, Target
from ninep.client.errors import ServerPath, about, refusal
from ninep.client.local import NOTHING, Keep
from ninep.client.overlap import INTO_ITSELF, mtime_of, same_time, set_mtime_of
from ninep.client.paths import RemotePath, text_of
from ninep.client.stat import SECOND, DirEntry, FileStat
from ninep.linux import Errno

Problem: TypeAlias = Callable[[OSError], object]
Progress: TypeAlias = Callable[[str, int, int], object]
"""Called with the path of the source, the bytes copied, and its size in bytes."""

_WAITING: Final = 600
"""The estimated size, in bytes, of a directory in the queue."""


class _Job(NamedTuple):
    """The options of a copy."""

    keep: Keep
    onerror: Problem | None
    progress: Progress | None


class _Pending(NamedTuple):
    """A directory in the queue: its source, and its names below the destination."""

    source: str
    names: tuple[str, ...]

    def size(self) -> int:
        """The estimated size in memory, in bytes."""
        return _WAITING + len(self.source) + 8 * len(self.names)


class _Queue:
    """The queue of a tree copy, of bounded size."""

    def __init__(self, top: _Pending, found: FileStat, since: int) -> None:
        self.directories = [top]
        # Links are made last, followed by the attributes of directories, innermost first: a mode
        # without write permission would prevent making entries.
        self.links: list[tuple[DirEntry, tuple[str, ...]]] = []
        self.made: list[tuple[FileStat, tuple[str, ...]]] = [(found, top.names)]
        self.held = MemoryBudget()
        self.since = since


class Getting(Opener, NameCalls, AttributeCalls, TreeWalk):
    """Calls that copy to this host."""

    async def get(
        self,
        source: RemotePath,
        target: str | os.PathLike[str] | Target,
        *,
        recursive: bool = False,
        keep: Keep = NOTHING,
        onerror: Problem | None = None,
        progress: Progress | None = None,
        copied: Copied | None = None,
    ) -> None:
        """Copy a file, or with ``recursive`` a directory and everything below it, to the local path
        ``target`` (not into it).

        ``source`` may be a symbolic link; links below it are copied as links. Devices, FIFOs and
        sockets are not copied (EOPNOTSUPP). An existing local file or symbolic link is replaced
        when the new one is complete; below ``target`` no link is followed (ENOTDIR). ``target`` may
        be a ``Target`` of a ``Destination``. Calls with the same ``copied`` do not overwrite each
        other's files (EEXIST).
        """
        job = _Job(keep, onerror, progress)
        run = self.connection.run
        found = await self.stat(source, follow=True)
        path = await self.realpath(source)
        if found.is_dir() and not recursive:
            with about(text_of(source)):
                raise refusal(Errno.EISDIR)
        copy_target = (
            target
            if isinstance(target, Target)
            else await run(local.typed_target, os.fspath(target), copied, found.is_dir())
        )
        try:
            if found.is_dir():
                top = await run(local.directory_target, copy_target)
                try:
                    await self._get_tree(path, top, found, job)
                finally:
                    top.close()
            else:
                with copy_target.destination.folder() as folder:
                    await self._get_file(path, copy_target, folder, found, job)
        finally:
            if copy_target is not target:
                copy_target.destination.close()

    async def _get_tree(self, path: str, top: Destination, found: FileStat, job: _Job) -> None:
        run = self.connection.run
        queue = _Queue(_Pending(path, ()), found, await run(mtime_of, top) // SECOND)
        await self._refuse_destination(path, found, top, queue)
        while queue.directories:
            try:
                await self._get_directory(queue.directories.pop(), top, queue, job)
            except OSError as error:
                self._report(error, job)
        for entry, names in queue.links:
            try:
                await self._get_link(entry, top, names, job.keep)
            except OSError as error:
                self._report(error, job)
        if job.keep != NOTHING:
            for original, names in reversed(queue.made):
                try:
                    await run(_keep_directory, top, names, original, job.keep)
                except OSError as error:
                    self._report(error, job)

    async def _get_directory(self, directory: _Pending, top: Destination, queue: _Queue, job: _Job) -> None:
        """Copy the entries of one directory while they are listed: files at once, other entries go
        to the queue.
        """
        if directory.names:
            queue.held.free(directory.size())
        with about(directory.source):
            check_depth(len(directory.names))
        with await self.connection.run(top.folder, directory.names) as folder:
            scan = self.scandir(directory.source, stat=True)
            async with aclosing(scan):
                async for entry in scan:
                    try:
                        await self._get_entry(entry, directory, folder, top, queue, job)
                    except OSError as error:
                        self._report(error, job)

    async def _get_entry(
        self, entry: DirEntry, directory: _Pending, folder: Folder, top: Destination, queue: _Queue, job: _Job
    ) -> None:
        name = local.checked_name(entry.name, ServerPath(entry.path))
        below = _Pending(entry.path, (*directory.names, name))
        if entry.is_symlink():
            queue.held.reserve(size_of(entry) + below.size())
            queue.links.append((entry, below.names))
        elif entry.stat is None:
            await self.stat(entry.path)  # raises the error of the missing attributes
        elif entry.is_dir():
            await self._refuse_destination(entry.path, entry.stat, top, queue)
            queue.held.reserve(below.size())
            await self.connection.run(folder.make_directory, name)
            if job.keep != NOTHING:
                queue.held.reserve(size_of(entry))
                queue.made.append((entry.stat, below.names))
            queue.directories.append(below)
        else:
            await self._get_file(entry.path, Target(top, name), folder, entry.stat, job)

    async def _refuse_destination(self, path: str, found: FileStat, top: Destination, queue: _Queue) -> None:
        """EINVAL for the directory that is copied to, which may be served by this host, under another
        number, owner and mode: the copy would go on without end. Since the beginning its mtime has not
        become less; it is given another for a moment, and if the server shows that, they are one.
        """
        if found.st_mtime_ns // SECOND < queue.since:
            return
        run = self.connection.run
        mtime = await run(mtime_of, top)
        if not same_time((await self.stat(path)).st_mtime_ns, mtime):
            return
        try:
            await run(set_mtime_of, top, mtime + SECOND)
        except PermissionError:  # it is another user's, who may not be this server's
            return
        try:
            seen = (await self.stat(path)).st_mtime_ns
        finally:
            await run(set_mtime_of, top, mtime)
        if same_time(seen, mtime + SECOND):
            with about(path):
                raise refusal(Errno.EINVAL, f"is {top.path} of this host, where the copy goes: {INTO_ITSELF}")

    async def _get_file(self, path: str, copy_target: Target, folder: Folder, found: FileStat, job: _Job) -> None:
        if not found.is_file():
            with about(path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        run = self.connection.run
        async with await self.open(path) as file:
            output = await run(local.file_target, copy_target, folder, found.st_mode)
            try:
                await self._transfer(path, file, output, found, job)
                await run(output.commit, found, job.keep)
            finally:
                await run(output.discard)

    async def _transfer(
        self, path: str, file: AsyncFile, output: PartialFile | SpecialFile, found: FileStat, job: _Job
    ) -> None:
        done = 0
        if job.progress is not None:
            job.progress(path, 0, found.st_size)
        # a file that grows meanwhile is copied up to its size; files of /proc report 0 and are read
        # to their end
        pieces = file.chunks(count=found.st_size or -1)
        async with aclosing(pieces):
            async for piece in pieces:
                await self.connection.run(output.write, piece)
                done += len(piece)
                if job.progress is not None:
                    job.progress(path, done, found.st_size)

    async def _get_link(self, entry: DirEntry, top: Destination, names: tuple[str, ...], keep: Keep) -> None:
        target = await self.readlink(entry.path)
        await self.connection.run(_make_link, top, names, target, entry.stat, keep)

    def _report(self, error: OSError, job: _Job) -> None:
        """Report the error of an entry to ``onerror``, or raise it. Without a connection the copy
        ends.
        """
        if job.onerror is None or self.connection.closed or isinstance(error, ListingTooLarge):
            raise error
        job.onerror(error)


def _make_link(top: Destination, names: tuple[str, ...], target: str, found: FileStat | None, keep: Keep) -> None:
    with top.folder(names[:-1]) as folder:
        folder.make_link(names[-1], target)
        if found is not None and keep != NOTHING:
            folder.keep_link(names[-1], found, keep)


def _keep_directory(top: Destination, names: tuple[str, ...], found: FileStat, keep: Keep) -> None:
    with top.folder(names) as folder:
        folder.keep(found, keep)
