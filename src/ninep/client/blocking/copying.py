# Generated from ninep/client/aio/copying.py by tools/unasync.py. Do not edit.
"""Files and trees from the server to this host (``get``) and the other way round (``put``).

A tree goes on after an entry that failed, if there is an ``onerror`` to tell it to. A broken connection ends it in any case. How a tree
of a server that lies is kept inside its folder is told in ``local``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import closing
from typing import Final, NamedTuple

from ninep.client import local
from ninep.client.blocking.attributes import Attributes
from ninep.client.blocking.file import File
from ninep.client.blocking.names import Names
from ninep.client.blocking.tree import MAX_DEPTH, Tree
from ninep.client.errors import about, refusal
from ninep.client.local import NOTHING, Arriving, Keep, LocalEntry
from ninep.client.paths import RemotePath, join, text_of
from ninep.client.stat import DirEntry, FileStat, SetAttr
from ninep.linux import Errno

Problem = Callable[[OSError], object]
Progress = Callable[[str, int, int], object]
"""Called with a path (of the source), how many of its bytes were copied, and how many it has."""

READ_AT_ONCE: Final = 4 << 20


class _Job(NamedTuple):
    """How a copy was asked for."""

    keep: Keep
    onerror: Problem | None
    progress: Progress | None
    dereference: bool = False


class _Pending(NamedTuple):
    """A directory still to be copied: from where, to where, how deep, and the directories it is in (for ``put``)."""

    source: str
    target: str
    depth: int
    above: tuple[tuple[int, int], ...] = ()


class Copying(Names, Attributes, Tree):
    """The calls that copy between hosts."""

    def open(self, path: RemotePath, mode: str | int = "rb", *, permissions: int = 0o666, follow: bool = False) -> File:
        """See ``Client.open``."""
        raise NotImplementedError

    # -- from the server -----------------------------------------------------------------------------------------------

    def get(
        self,
        source: RemotePath,
        target: str | os.PathLike[str],
        *,
        recursive: bool = False,
        keep: Keep = NOTHING,
        onerror: Problem | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copy a file, or with ``recursive`` a directory and what is below it, to the local path ``target`` (not into it).

        ``source`` may be a symbolic link to what is meant; links below it are copied as links. Devices, FIFOs and sockets are
        not copied (EOPNOTSUPP). A local file is replaced when the new one is complete.
        """
        job = _Job(keep, onerror, progress)
        found = self.stat(source, follow=True)
        path = self.realpath(source)
        place = self.connection.run(os.path.realpath, target)
        if not found.is_dir():
            self._get_file(path, place, found, job)
        elif recursive:
            self._get_tree(path, place, found, job)
        else:
            with about(text_of(source)):
                raise refusal(Errno.EISDIR)

    def _get_tree(self, path: str, place: str, found: FileStat, job: _Job) -> None:
        self.connection.run(local.make_directory, place)
        # Links last, and then the directories' own attributes from the innermost on: a mode without write permission would be in the way.
        links: list[tuple[DirEntry, str]] = []
        made: list[tuple[FileStat, str]] = [(found, place)]
        pending = [_Pending(path, place, 0)]
        while pending:
            try:
                self._get_directory(pending.pop(), pending, links, made, job)
            except OSError as error:
                self._report(error, job)
        for entry, link in links:
            try:
                self._get_link(entry, link, job.keep)
            except OSError as error:
                self._report(error, job)
        if job.keep != NOTHING:
            for original, copy in reversed(made):
                try:
                    self.connection.run(local.keep_attributes, copy, original, job.keep)
                except OSError as error:
                    self._report(error, job)

    def _get_directory(
        self,
        directory: _Pending,
        pending: list[_Pending],
        links: list[tuple[DirEntry, str]],
        made: list[tuple[FileStat, str]],
        job: _Job,
    ) -> None:
        """One directory's entries: files at once, the rest into the lists."""
        if directory.depth > MAX_DEPTH:
            with about(directory.source):
                raise refusal(Errno.ELOOP, f"more than {MAX_DEPTH} directories deep")
        scan = self.scandir(directory.source, stat=True)
        with closing(scan):
            entries = [entry for entry in scan]
        for entry in entries:
            try:
                place = local.child(directory.target, entry.name, entry.path)
                if entry.is_symlink():
                    links.append((entry, place))
                elif entry.stat is None:
                    self.stat(entry.path)  # says why there are no attributes
                elif entry.is_dir():
                    self.connection.run(local.make_directory, place)
                    made.append((entry.stat, place))
                    pending.append(_Pending(entry.path, place, directory.depth + 1))
                else:
                    self._get_file(entry.path, place, entry.stat, job)
            except OSError as error:
                self._report(error, job)

    def _get_file(self, path: str, place: str, found: FileStat, job: _Job) -> None:
        if not found.is_file():
            with about(path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        run = self.connection.run
        with self.open(path) as file:
            arriving = run(Arriving, place, found.st_mode)
            try:
                done = 0
                if job.progress is not None:
                    job.progress(path, 0, found.st_size)
                # a file that grows meanwhile is copied as long as it was; those of /proc say 0 and are read to their end
                pieces = file.chunks(count=found.st_size or -1)
                with closing(pieces):
                    for piece in pieces:
                        run(arriving.write, piece)
                        done += len(piece)
                        if job.progress is not None:
                            job.progress(path, done, found.st_size)
                run(arriving.commit, found, job.keep)
            finally:
                run(arriving.discard)

    def _get_link(self, entry: DirEntry, place: str, keep: Keep) -> None:
        target = self.readlink(entry.path)
        self.connection.run(local.make_link, place, target)
        if entry.stat is not None and keep != NOTHING:
            self.connection.run(local.keep_attributes, place, entry.stat, keep)

    # -- to the server -------------------------------------------------------------------------------------------------

    def put(
        self,
        source: str | os.PathLike[str],
        target: RemotePath,
        *,
        recursive: bool = False,
        dereference: bool = False,
        keep: Keep = NOTHING,
        onerror: Problem | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copy a local file, or with ``recursive`` a directory and what is below it, to the path ``target`` (not into it).

        Symbolic links below ``source`` are copied as links, with ``dereference`` what they lead to. Devices, FIFOs and sockets are not
        copied (EOPNOTSUPP). New files get the permissions of the local ones.
        """
        job = _Job(keep, onerror, progress, dereference)
        path = os.fspath(source)
        entry = self.connection.run(local.entry, path, dereference=True)
        place = self.realpath(target)
        if not stat.S_ISDIR(entry.stat.st_mode):
            self._put_file(entry, place, job)
        elif recursive:
            self._put_tree(entry, place, job)
        else:
            with about(path):
                raise refusal(Errno.EISDIR)

    def _put_tree(self, entry: LocalEntry, place: str, job: _Job) -> None:
        self._put_directory(entry, place)
        made = [(entry, place)]
        pending = [_Pending(entry.path, place, 0, (_identity(entry),))]
        while pending:
            directory = pending.pop()
            try:
                paths = self.connection.run(local.entries, directory.source)
            except OSError as error:
                self._report(error, job)
                continue
            for path in paths:
                try:
                    self._put_child(path, directory, pending, made, job)
                except OSError as error:
                    self._report(error, job)
        for original, copy in reversed(made):
            try:
                self._finish_directory(original, copy, job.keep)
            except OSError as error:
                self._report(error, job)

    def _put_child(
        self,
        path: str,
        directory: _Pending,
        pending: list[_Pending],
        made: list[tuple[LocalEntry, str]],
        job: _Job,
    ) -> None:
        entry = self.connection.run(local.entry, path, dereference=job.dereference)
        place = join(directory.target, entry.name)
        if not stat.S_ISDIR(entry.stat.st_mode):
            self._put_entry(entry, place, job)
            return
        if _identity(entry) in directory.above or directory.depth > MAX_DEPTH:
            with about(path):
                raise refusal(Errno.ELOOP, "leads to a directory it is in")
        self._put_directory(entry, place)
        made.append((entry, place))
        pending.append(_Pending(path, place, directory.depth + 1, (*directory.above, _identity(entry))))

    def _put_directory(self, entry: LocalEntry, place: str) -> None:
        """Make a directory that can be written to, for now."""
        try:
            self.mkdir(place, entry.stat.st_mode & 0o777 | 0o700)
        except OSError:
            if not (self.stat(place)).is_dir():
                raise

    def _finish_directory(self, entry: LocalEntry, place: str, keep: Keep) -> None:
        if keep != NOTHING:
            self.setattr(place, _kept(entry.stat, keep))
        elif entry.stat.st_mode & 0o700 != 0o700:
            self.chmod(place, entry.stat.st_mode & 0o777)

    def _put_entry(self, entry: LocalEntry, place: str, job: _Job) -> None:
        if not stat.S_ISLNK(entry.stat.st_mode):
            self._put_file(entry, place, job)
            return
        target = self.connection.run(os.readlink, entry.path)
        try:
            self.symlink(target, place)
        except FileExistsError:
            if not (self.stat(place)).is_symlink():
                raise
            self.remove(place)
            self.symlink(target, place)

    def _put_file(self, entry: LocalEntry, place: str, job: _Job) -> None:
        if not stat.S_ISREG(entry.stat.st_mode):
            with about(entry.path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        run = self.connection.run
        size = entry.stat.st_size
        with run(open, entry.path, "rb", 0) as source:
            with self.open(place, "wb", permissions=entry.stat.st_mode & 0o777) as file:
                if job.progress is not None:
                    job.progress(entry.path, 0, size)
                while data := run(source.read, READ_AT_ONCE):
                    file.write(data)
                    if job.progress is not None:
                        job.progress(entry.path, file.tell(), size)
        if job.keep != NOTHING:
            self.setattr(place, _kept(entry.stat, job.keep))

    # -- both ----------------------------------------------------------------------------------------------------------

    def _report(self, error: OSError, job: _Job) -> None:
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
