"""Where a copy to a server is read from: this host, or another server, or the same one.

``putting`` does the rest, with the same care for the destination.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import replace
from typing import Final

from ninep.client import local
from ninep.client.aio.connection import AsyncConnection, Stream
from ninep.client.aio.getting import Getting
from ninep.client.bounds import MemoryBudget, size_of
from ninep.client.errors import ServerPath, about_local
from ninep.client.local import Entry
from ninep.client.paths import base_name, from_host
from ninep.client.stat import FileStat

READ_AT_ONCE: Final = 4 << 20


class Source(ABC):
    """Files and directories to copy."""

    on_server = False
    """The destination may be the same server."""

    @abstractmethod
    async def entry(self, path: str, *, dereference: bool) -> Entry:
        """One file. A symbolic link at the end is followed if that is wanted."""

    @abstractmethod
    async def entries(self, path: str) -> list[str]:
        """The paths of a directory's entries, in order of their names."""

    @abstractmethod
    async def readlink(self, path: str) -> str:
        """The target of a symbolic link, as a server has it."""

    @abstractmethod
    def reading(self, entry: Entry) -> AbstractAsyncContextManager[Stream[bytes]]:
        """A context with the pieces of a file, which is open before anything is written."""

    @abstractmethod
    def about(self, path: str) -> AbstractContextManager[None]:
        """A context that gives errors this path."""

    def is_same(self, entry: Entry, found: FileStat) -> bool:
        """Whether a file of the destination is the one that is copied."""
        return False


class HostSource(Source):
    """Files of this host."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._run = connection.run

    async def entry(self, path: str, *, dereference: bool) -> Entry:
        return await self._run(local.entry, path, dereference=dereference)

    async def entries(self, path: str) -> list[str]:
        return await self._run(local.entries, path)

    async def readlink(self, path: str) -> str:
        return from_host(await self._run(os.readlink, path))

    @asynccontextmanager
    async def reading(self, entry: Entry) -> AsyncIterator[Stream[bytes]]:
        with await self._run(open, entry.path, "rb", 0) as file:

            async def pieces() -> Stream[bytes]:
                while data := await self._run(file.read, READ_AT_ONCE):
                    yield data

            async with aclosing(pieces()) as stream:
                yield stream

    @contextmanager
    def about(self, path: str) -> Iterator[None]:
        with about_local(path):
            yield


class ServerSource(Source):
    """Files of a server. ``shown``: how errors name one of its paths."""

    on_server = True

    def __init__(self, client: Getting, shown: Callable[[str], str]) -> None:
        self._client = client
        self._shown = shown
        self._listed: dict[str, FileStat] = {}

    @contextmanager
    def about(self, path: str) -> Iterator[None]:
        """Errors of this server name it, since those of the destination have names, too."""
        try:
            yield
        except OSError as error:
            if error.filename is None or isinstance(error.filename, ServerPath):
                error.filename = self._shown(error.filename or path)
            raise

    async def entry(self, path: str, *, dereference: bool) -> Entry:
        with self.about(path):
            found = self._listed.pop(path, None)
            if found is None or (dereference and found.is_symlink()):
                found = await self._client.stat(path, follow=dereference)
            return Entry(
                name=base_name(path),
                path=path,
                mode=found.st_mode,
                size=found.st_size,
                uid=found.st_uid,
                gid=found.st_gid,
                atime_ns=found.st_atime_ns,
                mtime_ns=found.st_mtime_ns,
                rdev=found.st_rdev,
                identity=_identity(found),
            )

    async def entries(self, path: str) -> list[str]:
        self._listed.clear()
        held = MemoryBudget()
        names = []
        with self.about(path):
            scan = self._client.scandir(path, stat=True)
            async with aclosing(scan):
                async for entry in scan:
                    held.reserve(size_of(entry))
                    names.append(entry.path)
                    if entry.stat is not None:
                        self._listed[entry.path] = entry.stat
        return sorted(names)

    async def readlink(self, path: str) -> str:
        with self.about(path):
            return await self._client.readlink(path)

    @asynccontextmanager
    async def reading(self, entry: Entry) -> AsyncIterator[Stream[bytes]]:
        with self.about(entry.path):
            file = await self._client.open(entry.path)

        async def pieces() -> Stream[bytes]:
            with self.about(entry.path):
                # a file that grows meanwhile, by this copy too, is copied up to its size
                chunks = file.chunks(count=entry.size or -1)
                async with aclosing(chunks):
                    async for piece in chunks:
                        yield piece

        async with file, aclosing(pieces()) as stream:
            yield stream

    def is_same(self, entry: Entry, found: FileStat) -> bool:
        """By the qid and all attributes: another address may lead to the same server."""
        return _identity(found) == entry.identity


def _identity(found: FileStat) -> FileStat:
    return replace(found, st_atime_ns=0)
