# Generated from ninep/client/aio/sources.py by tools/unasync.py. Do not edit.
"""Where a copy to a server is read from: this host, or another server, or the same one.

``putting`` does the rest, with the same care for the destination.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
)
from dataclasses import replace
from typing import Final

from ninep.client import local
from ninep.client.blocking.connection import Connection, Stream
from ninep.client.blocking.getting import Getting
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
    def entry(self, path: str, *, dereference: bool) -> Entry:
        """One file. A symbolic link at the end is followed if that is wanted."""

    @abstractmethod
    def entries(self, path: str) -> list[str]:
        """The paths of a directory's entries, in order of their names."""

    @abstractmethod
    def readlink(self, path: str) -> str:
        """The target of a symbolic link, as a server has it."""

    @abstractmethod
    def reading(self, entry: Entry) -> AbstractContextManager[Stream[bytes]]:
        """A context with the pieces of a file, which is open before anything is written."""

    @abstractmethod
    def about(self, path: str) -> AbstractContextManager[None]:
        """A context that gives errors this path."""

    def is_same(self, entry: Entry, found: FileStat) -> bool:
        """Whether a file of the destination is the one that is copied."""
        return False


class HostSource(Source):
    """Files of this host."""

    def __init__(self, connection: Connection) -> None:
        self._run = connection.run

    def entry(self, path: str, *, dereference: bool) -> Entry:
        return self._run(local.entry, path, dereference=dereference)

    def entries(self, path: str) -> list[str]:
        return self._run(local.entries, path)

    def readlink(self, path: str) -> str:
        return from_host(self._run(os.readlink, path))

    @contextmanager
    def reading(self, entry: Entry) -> Iterator[Stream[bytes]]:
        with self._run(open, entry.path, "rb", 0) as file:

            def pieces() -> Stream[bytes]:
                while data := self._run(file.read, READ_AT_ONCE):
                    yield data

            with closing(pieces()) as stream:
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

    def entry(self, path: str, *, dereference: bool) -> Entry:
        with self.about(path):
            found = self._listed.pop(path, None)
            if found is None or (dereference and found.is_symlink()):
                found = self._client.stat(path, follow=dereference)
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

    def entries(self, path: str) -> list[str]:
        self._listed.clear()
        held = MemoryBudget()
        names = []
        with self.about(path):
            scan = self._client.scandir(path, stat=True)
            with closing(scan):
                for entry in scan:
                    held.reserve(size_of(entry))
                    names.append(entry.path)
                    if entry.stat is not None:
                        self._listed[entry.path] = entry.stat
        return sorted(names)

    def readlink(self, path: str) -> str:
        with self.about(path):
            return self._client.readlink(path)

    @contextmanager
    def reading(self, entry: Entry) -> Iterator[Stream[bytes]]:
        with self.about(entry.path):
            file = self._client.open(entry.path)

        def pieces() -> Stream[bytes]:
            with self.about(entry.path):
                # a file that grows meanwhile, by this copy too, is copied up to its size
                chunks = file.chunks(count=entry.size or -1)
                with closing(chunks):
                    for piece in chunks:
                        yield piece

        with file, closing(pieces()) as stream:
            yield stream

    def is_same(self, entry: Entry, found: FileStat) -> bool:
        """By the qid and all attributes: another address may lead to the same server."""
        return _identity(found) == entry.identity


def _identity(found: FileStat) -> FileStat:
    return replace(found, st_atime_ns=0)
