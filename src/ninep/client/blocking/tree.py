# Generated from ninep/client/aio/tree.py by tools/unasync.py. Do not edit.
"""Listings of directories and trees: ``scandir``, ``listdir``, ``walk``, ``rmtree``.

The server is not trusted: listings are bounded in entries and bytes, trees in depth, stored entries
in memory (``bounds``), and illegal names end the connection (``dotl``, ``base``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Final

from ninep.client.blocking.connection import Stream
from ninep.client.blocking.export import AttachedExport
from ninep.client.blocking.verbs import Listed
from ninep.client.bounds import MemoryBudget, size_of
from ninep.client.errors import about, refusal
from ninep.client.exchange import Call
from ninep.client.paths import RemotePath, decode, encode, join, text_of
from ninep.client.stat import DirEntry, FileStat, kind_of_mode
from ninep.linux import DT_UNKNOWN, O_DIRECTORY, O_RDONLY, Errno
from ninep.wire.messages import Runlinkat

MAX_ENTRIES: Final = 1 << 22
MAX_NAMES: Final = 1 << 28
"""Bytes of names in one directory."""
MAX_DEPTH: Final = 512


def check_depth(depth: int) -> None:
    """ELOOP if a directory is too deep: a server can present an infinitely deep tree."""
    if depth > MAX_DEPTH:
        raise refusal(Errno.ELOOP, f"more than {MAX_DEPTH} directories deep")


class TreeWalk(AttachedExport):
    """Calls for directories."""

    def scandir(self, path: RemotePath = "/", *, stat: bool = False, follow: bool = False) -> Stream[DirEntry]:
        """The entries of a directory, without ``.`` and ``..``, in the server's order, while they
        arrive.

        ``kind`` of each entry is set (by a request where the server does not list it). ``stat``:
        request the attributes as well, for many entries at a time. An entry that was removed
        meanwhile is left out; one whose attributes cannot be read has kind DT_UNKNOWN and no
        ``stat``.
        """
        shown = text_of(path)
        with about(shown):
            with self.at(self.names_of(path, follow)) as dirfid:
                batches = self._listing(dirfid)
                with closing(batches):
                    for batch in batches:
                        # one by one: a path can be long, and a message can list many names
                        for name, ino, kind, found in self._with_attributes(dirfid, batch, stat):
                            text = decode(name)
                            yield DirEntry(text, join(shown, text), kind, ino, found)

    def listdir(self, path: RemotePath = "/", *, follow: bool = False) -> list[str]:
        """The names in a directory, in the server's order, without ``.`` and ``..``."""
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as dirfid:
                batches = self._listing(dirfid)
                with closing(batches):
                    return [decode(entry.name) for batch in batches for entry in batch]

    def walk(
        self, top: RemotePath = "/", *, topdown: bool = True, onerror: Callable[[OSError], object] | None = None
    ) -> Stream[tuple[str, list[DirEntry], list[DirEntry]]]:
        """A tree, like ``os.walk``: (path, directories, other entries) for each directory. Links
        are not followed.

        With ``topdown`` the caller may remove directories from the list, to skip them. For a
        directory that cannot be listed, ``onerror`` is called with the error; without ``onerror``
        the error is raised.
        """
        held = MemoryBudget()
        # (path, depth, what to yield after everything below it, its size in ``held``): a stack
        stack: list[tuple[str, int, tuple[str, list[DirEntry], list[DirEntry]] | None, int]] = [
            (text_of(top), 0, None, 0)
        ]
        while stack:
            path, depth, ready, size = stack.pop()
            held.free(size)
            if ready is not None:
                yield ready
                continue
            try:
                entries, size = self._scan_directory(path, depth, held)
            except ConnectionError:
                raise
            except OSError as error:
                if onerror is None:
                    raise
                onerror(error)
                continue
            directories = [entry for entry in entries if entry.is_dir()]
            found = (path, directories, [entry for entry in entries if not entry.is_dir()])
            if topdown:
                yield found
                held.free(size)
            else:
                stack.append((path, depth, found, size))
            stack += [(entry.path, depth + 1, None, held.reserve(size_of(entry))) for entry in reversed(directories)]

    def rmtree(self, path: RemotePath, *, onerror: Callable[[OSError], object] | None = None) -> None:
        """Remove a directory and everything below it; links are removed, not followed.

        ``onerror`` is called with the error of each entry that cannot be removed; without it the
        first error is raised.
        """
        for directory, _, others in self.walk(path, topdown=False, onerror=onerror):
            self._remove_files(directory, others, onerror)
            try:
                with about(directory):
                    names = self.names_of(directory, follow=False)
                    if not names:
                        continue  # the root is emptied, not removed
                    with self.at(names[:-1]) as parent:
                        self.verbs.unlink(parent, names[-1], directory=True)
            except ConnectionError:
                raise
            except OSError as error:
                if onerror is None:
                    raise
                onerror(error)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _remove_files(
        self, directory: str, entries: list[DirEntry], onerror: Callable[[OSError], object] | None
    ) -> None:
        """Remove entries other than directories, with many requests in flight where one message
        removes one entry.
        """
        failures: list[OSError] = []
        with about(directory):
            with self.at(self.names_of(directory, follow=False)) as dirfid:
                pending: deque[tuple[Call, DirEntry]] = deque()
                try:
                    for entry in entries:
                        if len(pending) >= 32:
                            failures += self._removed(dirfid, *pending.popleft())
                        request = self.verbs.unlink_request(dirfid, encode(entry.name))
                        if request is None:
                            failures += self._remove_one(dirfid, entry)
                        else:
                            pending.append((self.connection.start(request), entry))
                    while pending:
                        failures += self._removed(dirfid, *pending.popleft())
                finally:
                    self.connection.abandon([call for call, _ in pending])
        for failure in failures:
            if onerror is None:
                raise failure
            onerror(failure)

    def _removed(self, dirfid: int, call: Call, entry: DirEntry) -> list[OSError]:
        try:
            with about(entry.path):
                self.connection.finish(call, Runlinkat)
        except (ConnectionError, TimeoutError):
            raise
        except FileNotFoundError:
            return []
        except OSError:
            # with more messages, for servers without this one
            return self._remove_one(dirfid, entry)
        return []

    def _remove_one(self, dirfid: int, entry: DirEntry) -> list[OSError]:
        try:
            with about(entry.path):
                self.verbs.unlink(dirfid, encode(entry.name), directory=False)
        except (ConnectionError, TimeoutError):
            raise
        except FileNotFoundError:
            return []
        except OSError as error:
            return [error]
        return []

    def _scan_directory(self, path: str, depth: int, held: MemoryBudget) -> tuple[list[DirEntry], int]:
        """The entries of a directory, and their size in ``held``."""
        size = 0
        with about(path):
            check_depth(depth)
            found = []
            entries = self.scandir(path)
            try:
                with closing(entries):
                    for entry in entries:
                        size += held.reserve(size_of(entry))
                        found.append(entry)
            except OSError:
                held.free(size)
                raise
        return found, size

    def _listing(self, dirfid: int) -> Stream[list[Listed]]:
        """The batches of a directory's listing, through a separate fid, within the bounds."""
        count = size = 0
        fid, _ = self.verbs.walk(dirfid, [])
        try:
            self.verbs.open(fid, O_RDONLY | O_DIRECTORY)
            batches = self.verbs.entries(fid)
            with closing(batches):
                for batch in batches:
                    count += len(batch)
                    size += sum([len(entry.name) for entry in batch])
                    if count > MAX_ENTRIES or size > MAX_NAMES:
                        raise self.connection.broken(f"the server's listing does not end: {count} entries so far")
                    yield batch
        finally:
            self.verbs.release(fid)

    def _with_attributes(self, dirfid: int, batch: list[Listed], stat: bool) -> list[Listed]:
        """The entries of a batch with their attributes, if requested or needed, without those
        removed meanwhile.
        """
        wanting = [entry.stat is None and (stat or entry.kind == DT_UNKNOWN) for entry in batch]
        names = [entry.name for entry, wants in zip(batch, wanting, strict=True) if wants]
        # paired by position: a server may list a name twice
        looked_up = iter(self.verbs.stat_many(dirfid, names))
        entries = []
        for (name, ino, kind, listed), wants in zip(batch, wanting, strict=True):
            found: FileStat | OSError | None = next(looked_up) if wants else listed
            if isinstance(found, FileNotFoundError):
                continue
            attributes = found if isinstance(found, FileStat) else None
            if attributes is not None:
                kind = kind_of_mode(attributes.st_mode)  # noqa: PLW2901 - the file's own type has priority
            entries.append(Listed(name, ino, kind, attributes))
        return entries
