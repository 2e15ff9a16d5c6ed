"""Files and trees from the server to this host: ``get``.

A tree goes on after an entry that failed, if there is an ``onerror`` to tell it to. A broken connection ends it in any case. How a tree
of a server that lies is kept inside its folder is told in ``destination``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import aclosing
from typing import Final, NamedTuple, TypeAlias

from ninep.client import destination as local
from ninep.client.aio.attributes import Attributes
from ninep.client.aio.file import AsyncFile
from ninep.client.aio.names import Names
from ninep.client.aio.opener import Opener
from ninep.client.aio.tree import Tree, check_depth
from ninep.client.bounds import Held, TooMuch, size_of
from ninep.client.copied import Copied
from ninep.client.destination import Arriving, Destination, Folder, Stream, Target
from ninep.client.errors import about, refusal
from ninep.client.local import NOTHING, Keep
from ninep.client.paths import RemotePath, text_of
from ninep.client.stat import DirEntry, FileStat
from ninep.linux import Errno

Problem: TypeAlias = Callable[[OSError], object]
Progress: TypeAlias = Callable[[str, int, int], object]
"""Called with a path (of the source), how many of its bytes were copied, and how many it has."""

_WAITING: Final = 600
"""About what a directory takes in memory that is still to be copied, or to get its attributes."""


class _Job(NamedTuple):
    """How a copy was asked for."""

    keep: Keep
    onerror: Problem | None
    progress: Progress | None


class _Pending(NamedTuple):
    """A directory still to be copied: from where, to where, how deep."""

    source: str
    names: tuple[str, ...]

    def size(self) -> int:
        """About what it takes in memory."""
        return _WAITING + len(self.source) + 8 * len(self.names)


class _Waiting:
    """What of a tree is still to be done, within bounds."""

    def __init__(self, top: _Pending, found: FileStat) -> None:
        self.directories = [top]
        # Links last, and then the directories' own attributes from the innermost on: a mode without write permission would be in the way.
        self.links: list[tuple[DirEntry, tuple[str, ...]]] = []
        self.made: list[tuple[FileStat, tuple[str, ...]]] = [(found, top.names)]
        self.held = Held()


class Getting(Opener, Names, Attributes, Tree):
    """The calls that copy to this host."""

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
        """Copy a file, or with ``recursive`` a directory and what is below it, to the local path ``target`` (not into it).

        ``source`` may be a symbolic link to what is meant; links below it are copied as links. Devices, FIFOs and sockets are
        not copied (EOPNOTSUPP). A local file, also a symbolic link, is replaced when the new one is complete; below ``target`` no link is gone
        through (ENOTDIR). ``target`` may be a ``Target`` of a ``Destination``. Calls that belong together share a ``copied``: what one has
        made is then not overwritten by another (EEXIST).
        """
        job = _Job(keep, onerror, progress)
        run = self.connection.run
        found = await self.stat(source, follow=True)
        path = await self.realpath(source)
        if found.is_dir() and not recursive:
            with about(text_of(source)):
                raise refusal(Errno.EISDIR)
        place = (
            target
            if isinstance(target, Target)
            else await run(local.typed_target, os.fspath(target), copied, found.is_dir())
        )
        try:
            if found.is_dir():
                top = await run(local.directory_target, place)
                try:
                    await self._get_tree(path, top, found, job)
                finally:
                    top.close()
            else:
                with place.destination.folder() as folder:
                    await self._get_file(path, place, folder, found, job)
        finally:
            if place is not target:
                place.destination.close()

    async def _get_tree(self, path: str, top: Destination, found: FileStat, job: _Job) -> None:
        waiting = _Waiting(_Pending(path, ()), found)
        while waiting.directories:
            try:
                await self._get_directory(waiting.directories.pop(), top, waiting, job)
            except OSError as error:
                self._report(error, job)
        for entry, names in waiting.links:
            try:
                await self._get_link(entry, top, names, job.keep)
            except OSError as error:
                self._report(error, job)
        if job.keep != NOTHING:
            for original, names in reversed(waiting.made):
                try:
                    await self.connection.run(_keep_directory, top, names, original, job.keep)
                except OSError as error:
                    self._report(error, job)

    async def _get_directory(self, directory: _Pending, top: Destination, waiting: _Waiting, job: _Job) -> None:
        """One directory's entries, while they are listed: files at once, the rest into the lists."""
        if directory.names:
            waiting.held.give(directory.size())
        with about(directory.source):
            check_depth(len(directory.names))
        with await self.connection.run(top.folder, directory.names) as folder:
            scan = self.scandir(directory.source, stat=True)
            async with aclosing(scan):
                async for entry in scan:
                    try:
                        await self._get_entry(entry, directory, folder, top, waiting, job)
                    except OSError as error:
                        self._report(error, job)

    async def _get_entry(
        self, entry: DirEntry, directory: _Pending, folder: Folder, top: Destination, waiting: _Waiting, job: _Job
    ) -> None:
        name = local.checked_name(entry.name, entry.path)
        below = _Pending(entry.path, (*directory.names, name))
        if entry.is_symlink():
            waiting.held.take(size_of(entry) + below.size())
            waiting.links.append((entry, below.names))
        elif entry.stat is None:
            await self.stat(entry.path)  # says why there are no attributes
        elif entry.is_dir():
            waiting.held.take(below.size())
            await self.connection.run(folder.make_directory, name)
            if job.keep != NOTHING:
                waiting.held.take(size_of(entry))
                waiting.made.append((entry.stat, below.names))
            waiting.directories.append(below)
        else:
            await self._get_file(entry.path, Target(top, name), folder, entry.stat, job)

    async def _get_file(self, path: str, place: Target, folder: Folder, found: FileStat, job: _Job) -> None:
        if not found.is_file():
            with about(path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        run = self.connection.run
        async with await self.open(path) as file:
            arriving = await run(local.file_target, place, folder, found.st_mode)
            try:
                await self._transfer(path, file, arriving, found, job)
                await run(arriving.commit, found, job.keep)
            finally:
                await run(arriving.discard)

    async def _transfer(
        self, path: str, file: AsyncFile, arriving: Arriving | Stream, found: FileStat, job: _Job
    ) -> None:
        done = 0
        if job.progress is not None:
            job.progress(path, 0, found.st_size)
        # a file that grows meanwhile is copied as long as it was; those of /proc say 0 and are read to their end
        pieces = file.chunks(count=found.st_size or -1)
        async with aclosing(pieces):
            async for piece in pieces:
                await self.connection.run(arriving.write, piece)
                done += len(piece)
                if job.progress is not None:
                    job.progress(path, done, found.st_size)

    async def _get_link(self, entry: DirEntry, top: Destination, names: tuple[str, ...], keep: Keep) -> None:
        target = await self.readlink(entry.path)
        await self.connection.run(_make_link, top, names, target, entry.stat, keep)

    def _report(self, error: OSError, job: _Job) -> None:
        """An entry failed: tell, or give up. Without a connection there is nothing to go on with."""
        if job.onerror is None or self.connection.closed or isinstance(error, TooMuch):
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
