# Generated from ninep/client/aio/putting.py by tools/unasync.py. Do not edit.
"""Copies of files and trees from this host to the server: ``put``. As with ``get``, the copy of a
tree can continue after the error of an entry.

The ``target`` may be a symbolic link on the server; below it no link is followed or written
through: a link at the path of a file is replaced, at the path of a directory refused. So neither
the server nor another client of it can redirect a copy by links.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Hashable
from functools import partial
from typing import Final, NamedTuple

from ninep.client.blocking.attributes import AttributeCalls
from ninep.client.blocking.getting import Getting, Problem, Progress
from ninep.client.blocking.names import NameCalls
from ninep.client.blocking.opener import Opener
from ninep.client.blocking.sources import HostSource, ServerSource, Source
from ninep.client.blocking.tree import MAX_DEPTH, TreeWalk
from ninep.client.copied import Copied
from ninep.client.errors import NotWritten, about, refusal
from ninep.client.local import NOTHING, Entry, Keep
from ninep.client.overlap import INTO_ITSELF, ONTO_ITSELF, same_time
from ninep.client.paths import RemotePath, join, join_names, split, text_of
from ninep.client.stat import SECOND, FileStat, SetAttr
from ninep.linux import Errno

_RESTARTS: Final = 5
"""How often one file is begun, at most, if connections are lost."""
_SPECIAL: Final = frozenset({stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK})


class _Job(NamedTuple):
    """The options of a copy."""

    keep: Keep
    onerror: Problem | None
    progress: Progress | None
    dereference: bool
    copied: Copied
    source: Source


class _Top(NamedTuple):
    """The directory that a tree is copied to: its path, and its mtime at the beginning, in seconds."""

    remote: str
    since: int


class _Pending(NamedTuple):
    """A directory in the queue: source, target, depth, and the directories above it."""

    source: str
    target: str
    depth: int
    above: tuple[Hashable, ...]


class Putting(Opener, NameCalls, AttributeCalls, TreeWalk):
    """Calls that copy to the server."""

    def put(
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
        """Copy a local file, or with ``recursive`` a directory and everything below it, to the path
        ``target`` (not into it).

        Symbolic links below ``source`` are copied as links, with ``dereference`` as the files they
        refer to. Devices, FIFOs and sockets are created with ``keep.specials`` and otherwise not
        copied (EOPNOTSUPP). New files get the permissions of the local ones. ``follow``: ``target``
        may contain symbolic links of the server. Calls with the same ``copied`` do not overwrite
        each other's files (EEXIST).
        """
        reader = HostSource(self.connection)
        job = _Job(keep, onerror, progress, dereference, Copied() if copied is None else copied, reader)
        self._put(os.fspath(source), self._target(target, follow), recursive, job)

    def copy_from(
        self,
        client: Getting,
        source: RemotePath,
        target: RemotePath,
        *,
        recursive: bool = False,
        follow: bool = True,
        keep: Keep = NOTHING,
        onerror: Problem | None = None,
        progress: Progress | None = None,
        copied: Copied | None = None,
        shown: Callable[[str], str] = str,
    ) -> None:
        """As ``put``, from the path ``source`` of a server, which may be this one: the content goes
        through this host, since 9P has no message that copies.

        A file is not copied onto itself, nor a directory into itself (EINVAL). ``shown``: the path
        of an error at the source, from the path there.
        """
        reader = ServerSource(client, shown)
        with reader.about(text_of(source)):
            path = client.realpath(source)
        job = _Job(keep, onerror, progress, False, Copied() if copied is None else copied, reader)
        self._put(path, self._target(target, follow), recursive, job)

    def _target(self, target: RemotePath, follow: bool) -> str:
        return self.realpath(target) if follow else join_names(split(target))

    def _put(self, path: str, remote: str, recursive: bool, job: _Job) -> None:
        entry = job.source.entry(path, dereference=True)
        if not stat.S_ISDIR(entry.mode):
            self._put_file(entry, remote, job)
        elif recursive:
            self._refuse_inside(entry, remote, job)
            self._put_tree(entry, remote, job)
        else:
            with job.source.about(path):
                raise refusal(Errno.EISDIR)

    def _refuse_inside(self, entry: Entry, remote: str, job: _Job) -> None:
        """EINVAL if a directory would be copied into itself, by whatever address."""
        names = split(remote)
        for depth in range(len(names) + 1):
            self._refuse_same(entry, join_names(names[:depth]), job, INTO_ITSELF)

    def _refuse_same(self, entry: Entry, remote: str, job: _Job, why: str) -> None:
        found = self._existing(remote)
        if found is not None and self._is_same(entry, remote, found, job):
            with about(remote):
                raise refusal(Errno.EINVAL, why)

    def _is_same(self, entry: Entry, remote: str, found: FileStat, job: _Job) -> bool:
        """Whether a file of the server is the one that is copied. A file of this host may be served to
        it, under another number, owner and mode. One of the same type, size and time is given another
        time for a moment: if this host sees that, they are one.
        """
        if job.source.on_server:
            return job.source.is_same(entry, found)
        mtime = found.st_mtime_ns
        kind = stat.S_IFMT(entry.mode)
        if (
            stat.S_IFMT(found.st_mode) != kind
            or (kind != stat.S_IFDIR and found.st_size != entry.size)
            or not same_time(mtime, entry.mtime_ns)
        ):
            return False
        other = mtime + SECOND
        self.utime(remote, atime=None, mtime=other)
        try:
            seen = job.source.entry(entry.path, dereference=True)
        finally:
            self.utime(remote, atime=None, mtime=mtime)
        return same_time(mtime, seen.mtime_ns - SECOND)

    def _put_tree(self, entry: Entry, remote: str, job: _Job) -> None:
        self._put_directory(entry, remote, job)
        found = self._existing(remote)
        top = None if found is None else _Top(remote, found.st_mtime_ns // SECOND)
        made = [(entry, remote)]
        pending = [_Pending(entry.path, remote, 0, (entry.identity,))]
        while pending:
            directory = pending.pop()
            try:
                paths = job.source.entries(directory.source)
            except OSError as error:
                self._put_failed(error, job)
                continue
            for path in paths:
                try:
                    self._put_child(path, directory, pending, made, top, job)
                except OSError as error:
                    self._put_failed(error, job)
        for original, copy in reversed(made):
            try:
                self._finish_directory(original, copy, job.keep)
            except OSError as error:
                self._put_failed(error, job)

    def _put_child(
        self,
        path: str,
        directory: _Pending,
        pending: list[_Pending],
        made: list[tuple[Entry, str]],
        top: _Top | None,
        job: _Job,
    ) -> None:
        entry = job.source.entry(path, dereference=job.dereference)
        remote = join(directory.target, entry.name)
        if not stat.S_ISDIR(entry.mode):
            self._put_entry(entry, remote, job)
            return
        if entry.identity in directory.above:
            with job.source.about(path):
                raise refusal(Errno.ELOOP, "leads to a directory it is in")
        if top is not None and self._is_target(entry, top, job):
            with job.source.about(path):
                raise refusal(Errno.EINVAL, f"is {top.remote} of the server, where the copy goes: {INTO_ITSELF}")
        if directory.depth > MAX_DEPTH:
            with job.source.about(path):
                raise refusal(Errno.ELOOP, f"more than {MAX_DEPTH} directories deep")
        self._put_directory(entry, remote, job)
        made.append((entry, remote))
        pending.append(_Pending(path, remote, directory.depth + 1, (*directory.above, entry.identity)))

    def _is_target(self, entry: Entry, top: _Top, job: _Job) -> bool:
        """Whether a directory to be copied is the one that is copied to, so that the copy would go on
        without end: its server's folder is below the source. Since the beginning that one's mtime has
        not become less.
        """
        if entry.mtime_ns // SECOND < top.since:
            return False
        found = self._existing(top.remote)
        now = job.source.entry(entry.path, dereference=job.dereference)
        return found is not None and self._is_same(now, top.remote, found, job)

    def _put_directory(self, entry: Entry, remote: str, job: _Job) -> None:
        """Make a directory, writable for now, or accept an existing one, unless this copy made it
        under another name.
        """
        try:
            self.mkdir(remote, entry.mode & 0o777 | 0o700)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            found = self._existing(remote)
            if found is None:
                raise
            if stat.S_ISLNK(found.st_mode):
                words = "is a symbolic link on the server, and a copy does not write through links: remove it or choose another destination"
                with about(remote):
                    raise refusal(Errno.ENOTDIR, words) from None
            if not stat.S_ISDIR(found.st_mode):
                raise
            if self._is_same(entry, remote, found, job):
                with about(remote):
                    raise refusal(Errno.EINVAL, INTO_ITSELF) from None
            if job.copied.remote_path(found.st_ino) != remote:
                self.refuse_if_made(remote, found.st_ino, job.copied)
            job.copied.record_remote(found.st_ino, remote)
            return
        self._record(remote, job)

    def _existing(self, remote: str) -> FileStat | None:
        """The attributes of the file that prevented a creation, or None."""
        try:
            return self.stat(remote)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            return None

    def _finish_directory(self, entry: Entry, remote: str, keep: Keep) -> None:
        if keep != NOTHING:
            self.setattr(remote, _kept(entry, keep))
        elif entry.mode & 0o700 != 0o700:
            self.chmod(remote, entry.mode & 0o777)

    def _put_entry(self, entry: Entry, remote: str, job: _Job) -> None:
        if not stat.S_ISLNK(entry.mode):
            self._put_file(entry, remote, job)
            return
        target = job.source.readlink(entry.path)
        try:
            self.symlink(target, remote)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            if not self._make_room(remote, {stat.S_IFLNK}, job):
                raise
            self.symlink(target, remote)
        self._record(remote, job)

    def _put_special(self, entry: Entry, remote: str, job: _Job) -> None:
        """Create a device, FIFO or socket."""
        mode = entry.mode
        try:
            self.mknod(remote, mode, entry.rdev)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            if not self._make_room(remote, {stat.S_IFLNK, *_SPECIAL}, job):
                raise
            self.mknod(remote, mode, entry.rdev)
        self._record(remote, job)
        self.setattr(remote, _kept(entry, job.keep))

    def _make_room(self, remote: str, kinds: set[int], job: _Job) -> bool:
        """Remove the file that prevented a creation, if it has one of these types. EEXIST if this
        copy made it.
        """
        found = self._existing(remote)
        if found is None or stat.S_IFMT(found.st_mode) not in kinds:
            return False
        self.refuse_if_made(remote, found.st_ino, job.copied)
        self.remove(remote)
        return True

    def _record(self, remote: str, job: _Job) -> None:
        """Record that this copy made the file."""
        found = self._existing(remote)
        if found is not None:
            job.copied.record_remote(found.st_ino, remote)

    def _put_file(self, entry: Entry, remote: str, job: _Job) -> None:
        kind = stat.S_IFMT(entry.mode)
        if job.keep.specials and kind in _SPECIAL:
            self._put_special(entry, remote, job)
            return
        if kind != stat.S_IFREG:
            with job.source.about(entry.path):
                raise refusal(Errno.EOPNOTSUPP, "special files are not copied")
        for left in reversed(range(_RESTARTS)):
            try:
                self._put_content(entry, remote, job)
                break
            except NotWritten:
                if not left:
                    raise
                job.copied.forget_remote(join_names(split(remote)))  # some of it may be missing: from the start
        if job.keep != NOTHING:
            self.setattr(remote, _kept(entry, job.keep))

    def _put_content(self, entry: Entry, remote: str, job: _Job) -> None:
        check = partial(self._refuse_same, entry, remote, job, ONTO_ITSELF)
        size = entry.size
        with (
            job.source.reading(entry) as pieces,
            self.open_copy(remote, entry.mode & 0o777, job.copied, check) as file,
        ):
            if job.progress is not None:
                job.progress(entry.path, 0, size)
            for data in pieces:
                file.write(data)
                if job.progress is not None:
                    job.progress(entry.path, file.tell(), size)

    def _put_failed(self, error: OSError, job: _Job) -> None:
        """Report the error of an entry to ``onerror``, or raise it. Without a connection the copy
        ends.
        """
        if job.onerror is None or self.connection.closed:
            raise error
        job.onerror(error)


def _kept(found: Entry, keep: Keep) -> SetAttr:
    return SetAttr(
        mode=keep.mode(found.mode),
        uid=found.uid if keep.owner else None,
        gid=found.gid if keep.owner else None,
        atime=found.atime_ns,
        mtime=found.mtime_ns,
    )
