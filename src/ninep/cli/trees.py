"""The two sides of ``sync``: trees of this host and of servers, entry by entry.

Entries are addressed by their names below the top. A side that is written follows no link below its
top: on this host by handles (``client.destination``), on a server since a walk follows none.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ninep.client import local
from ninep.client.destination import Destination, Folder, Target, checked_name
from ninep.client.errors import ServerPath
from ninep.client.local import Keep
from ninep.client.overlap import mtime_of, set_mtime_of
from ninep.client.paths import from_host, join, to_host
from ninep.client.stat import FileStat, SetAttr

if TYPE_CHECKING:
    from ninep.client.blocking import Client
    from ninep.client.copied import Copied

Names: TypeAlias = tuple[str, ...]
"""As a server has them."""
Progress: TypeAlias = Callable[[str, int, int], object]
Problem: TypeAlias = Callable[[OSError], object]
_effective_user: Final = getattr(os, "geteuid", None)
POSIX: Final = _effective_user is not None
"""This host has owners and permission bits."""


class Item(NamedTuple):
    """What is compared of an entry."""

    mode: int
    size: int
    mtime_ns: int
    uid: int | None
    gid: int | None
    rdev: int
    found: FileStat | None = None
    """The attributes as the server sent them."""

    @property
    def kind(self) -> int:
        """The type bits of the mode."""
        return stat.S_IFMT(self.mode)


def of_server(found: FileStat) -> Item:
    """An entry of a server."""
    return Item(found.st_mode, found.st_size, found.st_mtime_ns, found.st_uid, found.st_gid, found.st_rdev, found)


def of_host(path: str) -> Item:
    """An entry of this host."""
    found = local.entry(path, dereference=False)
    return Item(found.mode, found.size, found.mtime_ns, found.uid, found.gid, found.rdev)


# -- what is read ---------------------------------------------------------------------------------


class Sender(ABC):
    """The side that is read."""

    @abstractmethod
    def list(self, names: Names, failed: Problem) -> dict[str, Item | None]:
        """The entries of a directory; None for one whose attributes cannot be read, which is told to
        ``failed``.
        """

    @abstractmethod
    def readlink(self, names: Names) -> str:
        """The target of a link."""

    @abstractmethod
    def shown(self, names: Names) -> str:
        """The path of an entry, for errors."""

    @abstractmethod
    def mtime(self, names: Names) -> int:
        """The time of the last change of an entry, in nanoseconds."""

    @abstractmethod
    def to_server(self, names: Names, receiver: ServerReceiver, progress: Progress) -> None:
        """Copy a file."""


class HostSender(Sender):
    """A directory of this host."""

    def __init__(self, top: str) -> None:
        self._top = top

    def _path(self, names: Names) -> str:
        return os.path.join(self._top, *map(to_host, names))

    def list(self, names: Names, failed: Problem) -> dict[str, Item | None]:
        found: dict[str, Item | None] = {}
        for path in local.entries(self._path(names)):
            name = from_host(os.path.basename(path))
            try:
                found[name] = of_host(path)
            except OSError as error:
                found[name] = None
                failed(error)
        return found

    def readlink(self, names: Names) -> str:
        return from_host(os.readlink(self._path(names)))

    def shown(self, names: Names) -> str:
        return self._path(names)

    def mtime(self, names: Names) -> int:
        return os.stat(self._path(names), follow_symlinks=False).st_mtime_ns

    def to_server(self, names: Names, receiver: ServerReceiver, progress: Progress) -> None:
        receiver.client.put(
            self._path(names),
            receiver.path(names),
            follow=False,
            keep=receiver.keep,
            copied=receiver.copied,
            progress=progress,
        )


class ServerSender(Sender):
    """A directory of a server. ``shown``: how errors name a path of it."""

    def __init__(self, client: Client, top: str, shown: Callable[[str], str]) -> None:
        from ninep.client.blocking import sources  # noqa: PLC0415 - not for --help

        self.client = client
        self._top = top
        self._shown = shown
        self._naming = sources.ServerSource(client, shown).about

    def path(self, names: Names) -> str:
        """The path of an entry."""
        return join(self._top, "/".join(names)) if names else self._top

    def list(self, names: Names, failed: Problem) -> dict[str, Item | None]:
        from ninep.client.bounds import MemoryBudget  # noqa: PLC0415 - not for --help

        path = self.path(names)
        with self._naming(path):
            entries = MemoryBudget().collect(self.client.scandir(path, stat=True))
        found: dict[str, Item | None] = {}
        for entry in entries:
            found[entry.name] = None if entry.stat is None else of_server(entry.stat)
            if entry.stat is None:
                failed(OSError(errno.EIO, "its attributes cannot be read", self._shown(entry.path)))
        return found

    def readlink(self, names: Names) -> str:
        path = self.path(names)
        with self._naming(path):
            return self.client.readlink(path)

    def shown(self, names: Names) -> str:
        return self._shown(self.path(names))

    def mtime(self, names: Names) -> int:
        path = self.path(names)
        with self._naming(path):
            return self.client.stat(path).st_mtime_ns

    def to_server(self, names: Names, receiver: ServerReceiver, progress: Progress) -> None:
        receiver.client.copy_from(
            self.client,
            self.path(names),
            receiver.path(names),
            follow=False,
            keep=receiver.keep,
            copied=receiver.copied,
            progress=progress,
            shown=self._shown,
        )


# -- what is written ------------------------------------------------------------------------------


class Receiver(ABC):
    """The side that is written."""

    keep: Keep
    """What is set of a file's attributes."""
    bits: int
    """Those of a mode that can be set."""

    @abstractmethod
    def shown(self, names: Names) -> str:
        """The path of an entry, for errors."""

    @abstractmethod
    def list(self, names: Names) -> dict[str, Item]:
        """The entries of a directory."""

    @abstractmethod
    def readlink(self, names: Names) -> str:
        """The target of a link."""

    @abstractmethod
    def mtime(self) -> int:
        """The time of the last change of the top, in nanoseconds."""

    @abstractmethod
    def set_mtime(self, mtime: int) -> None:
        """Set it."""

    @abstractmethod
    def mkdir(self, names: Names) -> None:
        """Make a directory."""

    @abstractmethod
    def copy(self, names: Names, sender: Sender, progress: Progress) -> None:
        """Copy a file, in the place of one that is there."""

    @abstractmethod
    def symlink(self, names: Names, target: str, item: Item) -> None:
        """Make a link where there is nothing."""

    @abstractmethod
    def mknod(self, names: Names, item: Item) -> None:
        """Make a device, FIFO or socket where there is nothing."""

    @abstractmethod
    def remove(self, names: Names, item: Item, failed: Problem) -> None:
        """Remove an entry, of a directory everything below it."""

    @abstractmethod
    def set_attributes(self, names: Names, item: Item) -> None:
        """Give a file or directory the permissions, times and owners of ``item``."""


class ServerReceiver(Receiver):
    """A directory of a server. ``owners``: also owners and groups are set."""

    def __init__(self, client: Client, top: str, copied: Copied, *, owners: bool) -> None:
        self.client = client
        self._top = top
        self.copied = copied
        self.keep = Keep(times=True, owner=owners, specials=True)
        self.bits = self.keep.mode(0o7777)

    def path(self, names: Names) -> str:
        """The path of an entry."""
        return join(self._top, "/".join(names)) if names else self._top

    def shown(self, names: Names) -> str:
        return ServerPath(self.path(names))

    def list(self, names: Names) -> dict[str, Item]:
        from ninep.client.bounds import MemoryBudget  # noqa: PLC0415 - not for --help

        entries = MemoryBudget().collect(self.client.scandir(self.path(names), stat=True))
        return {entry.name: of_server(entry.stat) for entry in entries if entry.stat is not None}

    def readlink(self, names: Names) -> str:
        return self.client.readlink(self.path(names))

    def mtime(self) -> int:
        return self.client.stat(self._top).st_mtime_ns

    def set_mtime(self, mtime: int) -> None:
        self.client.utime(self._top, atime=None, mtime=mtime)

    def mkdir(self, names: Names) -> None:
        self.client.mkdir(self.path(names), 0o700)

    def copy(self, names: Names, sender: Sender, progress: Progress) -> None:
        sender.to_server(names, self, progress)

    def symlink(self, names: Names, target: str, item: Item) -> None:
        self.client.symlink(target, self.path(names))
        try:
            self.client.setattr(self.path(names), self._changes(item)._replace(mode=None))
        except (ConnectionError, TimeoutError):
            raise
        except OSError:  # not every server can change a link
            pass

    def mknod(self, names: Names, item: Item) -> None:
        self.client.mknod(self.path(names), item.mode, item.rdev)
        self.set_attributes(names, item)

    def remove(self, names: Names, item: Item, failed: Problem) -> None:
        path = self.path(names)
        if item.kind == stat.S_IFDIR:
            self.client.rmtree(path, onerror=failed)
        else:
            self.client.remove(path)

    def set_attributes(self, names: Names, item: Item) -> None:
        self.client.setattr(self.path(names), self._changes(item))

    def _changes(self, item: Item) -> SetAttr:
        return SetAttr(
            mode=self.keep.mode(item.mode),
            uid=item.uid if self.keep.owner else None,
            gid=item.gid if self.keep.owner else None,
            mtime=item.mtime_ns,
        )


class HostReceiver(Receiver):
    """A directory of this host, of which only the top may be reached through links."""

    keep = Keep(times=True, owner=_effective_user is not None and _effective_user() == 0)
    bits = keep.mode(0o1777) if POSIX else 0  # SUID and SGID are not set: the server chooses them

    def __init__(self, top: Destination) -> None:
        self._top = top

    def shown(self, names: Names) -> str:
        return os.path.join(self._top.path, *names)

    def _host(self, names: Names) -> Names:
        return tuple(checked_name(name, self.shown(names)) for name in names)

    def _folder(self, names: Names) -> Folder:
        return self._top.folder(self._host(names))

    def list(self, names: Names) -> dict[str, Item]:
        with self._folder(names) as folder:
            found = {}
            for name in _names_in(folder):
                entry = folder.lstat(name)
                if entry is not None:
                    found[from_host(name)] = Item(
                        entry.st_mode, entry.st_size, entry.st_mtime_ns, entry.st_uid, entry.st_gid, 0
                    )
            return found

    def readlink(self, names: Names) -> str:
        with self._folder(names[:-1]) as folder:
            return from_host(os.readlink(folder.at(to_host(names[-1])), dir_fd=folder.fd))

    def mtime(self) -> int:
        return mtime_of(self._top)

    def set_mtime(self, mtime: int) -> None:
        set_mtime_of(self._top, mtime)

    def mkdir(self, names: Names) -> None:
        with self._folder(names[:-1]) as folder:
            folder.make_directory(self._host(names)[-1])

    def copy(self, names: Names, sender: Sender, progress: Progress) -> None:
        """As declared above. Sources on this host have no business here."""
        if not isinstance(sender, ServerSender):
            raise TypeError(sender)
        *above, name = self._host(names)
        if not above:
            self._get(sender, names, self._top, name, progress)
            return
        with (
            self._top.folder(tuple(above[:-1])) as parent,
            Destination.below(parent, above[-1]) as destination,
        ):
            self._get(sender, names, destination, name, progress)

    def _get(self, sender: ServerSender, names: Names, destination: Destination, name: str, progress: Progress) -> None:
        sender.client.get(sender.path(names), Target(destination, name), keep=self.keep, progress=progress)

    def symlink(self, names: Names, target: str, item: Item) -> None:
        name = self._host(names)[-1]
        with self._folder(names[:-1]) as folder:
            folder.make_link(name, target)
            if item.found is not None:
                folder.keep_link(name, item.found, self.keep)

    def mknod(self, names: Names, item: Item) -> None:
        """As declared above: a server makes no devices on this host."""
        raise OSError(errno.EOPNOTSUPP, "is a device, FIFO or socket, and none is made on this host", self.shown(names))

    def remove(self, names: Names, item: Item, failed: Problem) -> None:
        with self._folder(names[:-1]) as folder:
            path = folder.at(to_host(names[-1]))
            if item.kind == stat.S_IFDIR:
                shutil.rmtree(path, dir_fd=folder.fd)
            else:
                os.unlink(path, dir_fd=folder.fd)

    def set_attributes(self, names: Names, item: Item) -> None:
        if item.found is None:
            raise TypeError(item)
        if item.kind == stat.S_IFDIR:
            with self._folder(names) as folder:
                folder.keep(item.found, self.keep)
            return
        with self._folder(names[:-1]) as folder:
            folder.keep_file(self._host(names)[-1], item.found, self.keep)


def _names_in(folder: Folder) -> list[str]:
    if folder.fd is None:
        return sorted(os.listdir(folder.at("")))
    fd = os.open(".", os.O_RDONLY | getattr(os, "O_DIRECTORY", 0), dir_fd=folder.fd)
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)
