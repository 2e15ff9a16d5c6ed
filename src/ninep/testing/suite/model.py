"""A model of a tree of files, as short as possible: the reference for random operations.

It has names, contents and link counts, but no times, owners or modes. Where POSIX and Linux leave
the order of errors open, each of the possible errnos is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypeAlias, TypeVar

from ninep.linux import Errno

Path: TypeAlias = Sequence[bytes]
S = TypeVar("S")
T = TypeVar("T")


@dataclass(eq=False)
class File:
    """A regular file."""

    content: bytes = b""
    links: int = 1


@dataclass(eq=False)
class Link:
    """A symbolic link."""

    target: bytes
    links: int = 1


@dataclass(eq=False)
class Folder:
    """A directory."""

    entries: dict[bytes, Thing] = field(default_factory=dict)


Thing: TypeAlias = File | Link | Folder


class ModelError(Exception):
    """Refused, with any of ``codes``."""

    def __init__(self, *codes: Errno) -> None:
        super().__init__(*codes)
        self.codes = codes


def _refuse(*codes: Errno) -> NoReturn:
    raise ModelError(*codes)


def _both(one: Callable[[], S], other: Callable[[], T]) -> tuple[S, T]:
    """Two paths of one request. If neither can be resolved, either error is right: which path is
    resolved first is open.
    """
    try:
        first = one()
    except ModelError as error:
        try:
            other()
        except ModelError as another:
            _refuse(*error.codes, *another.codes)
        raise
    return first, other()


class Model:
    """A tree. Every verb either succeeds or raises ``ModelError`` and changes nothing."""

    def __init__(self) -> None:
        self.root = Folder()

    def thing(self, path: Path) -> Thing:
        """The object at a path, without following links."""
        here: Thing = self.root
        for name in path:
            if isinstance(here, Link):
                _refuse(Errno.ENOTDIR, Errno.ELOOP)
            if isinstance(here, File):
                _refuse(Errno.ENOTDIR)
            if name not in here.entries:
                _refuse(Errno.ENOENT)
            here = here.entries[name]
        return here

    def folder(self, path: Path) -> dict[bytes, Thing]:
        """The entries of a directory."""
        here = self.thing(path)
        if not isinstance(here, Folder):
            _refuse(Errno.ENOTDIR)
        return here.entries

    def file(self, path: Path) -> File:
        """A regular file, to be opened for reading and writing."""
        here = self.thing(path)
        if not isinstance(here, File):
            _refuse(Errno.EISDIR if isinstance(here, Folder) else Errno.ELOOP)
        return here

    def _enter(self, where: Path, name: bytes, thing: Thing) -> None:
        entries = self.folder(where)
        if name in entries:
            _refuse(Errno.EEXIST)
        entries[name] = thing

    def create(self, where: Path, name: bytes, content: bytes) -> None:
        """Exclusively."""
        self._enter(where, name, File(content))

    def mkdir(self, where: Path, name: bytes) -> None:
        """A directory."""
        self._enter(where, name, Folder())

    def symlink(self, where: Path, name: bytes, target: bytes) -> None:
        """A symbolic link."""
        self._enter(where, name, Link(target))

    def link(self, source: Path, where: Path, name: bytes) -> None:
        """A second name. The order of two errors is open."""
        thing, entries = _both(lambda: self.thing(source), lambda: self.folder(where))
        faults = [Errno.EPERM] if isinstance(thing, Folder) else []
        faults += [Errno.EEXIST] if name in entries else []
        if faults or isinstance(thing, Folder):
            _refuse(*faults)
        thing.links += 1
        entries[name] = thing

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Some bytes."""
        file = self.file(path)
        if data:
            content = file.content.ljust(offset, b"\0")
            file.content = content[:offset] + data + content[offset + len(data) :]

    def truncate(self, path: Path, size: int) -> None:
        """By setattr."""
        thing = self.thing(path)
        if not isinstance(thing, File):
            _refuse(Errno.EISDIR, Errno.EINVAL, Errno.ELOOP, Errno.EPERM)
        thing.content = thing.content[:size].ljust(size, b"\0")

    def read(self, path: Path) -> bytes:
        """The whole content."""
        return self.file(path).content

    def list(self, path: Path) -> list[bytes]:
        """The names."""
        return sorted(self.folder(path))

    def unlink(self, where: Path, name: bytes, directory: bool) -> None:
        """Remove an entry."""
        entries = self.folder(where)
        if name not in entries:
            _refuse(Errno.ENOENT)
        thing = entries[name]
        if isinstance(thing, Folder):
            if not directory:
                _refuse(Errno.EISDIR)
            if thing.entries:
                _refuse(Errno.ENOTEMPTY)
        elif directory:
            _refuse(Errno.ENOTDIR)
        else:
            thing.links -= 1
        del entries[name]

    def rename(self, where: Path, name: bytes, there: Path, newname: bytes) -> None:
        """Move an entry and replace what is there."""
        source, target = _both(lambda: self.folder(where), lambda: self.folder(there))
        if name not in source:
            _refuse(Errno.ENOENT)
        thing = source[name]
        replaced = target.get(newname)
        if isinstance(thing, Folder) and any(self.thing(there[:i]) is thing for i in range(len(there) + 1)):
            _refuse(Errno.EINVAL)
        if replaced is thing:
            return
        if isinstance(replaced, Folder):
            faults = [] if isinstance(thing, Folder) else [Errno.EISDIR]
            faults += [Errno.ENOTEMPTY, Errno.EEXIST] if replaced.entries else []
            if faults:
                _refuse(*faults)
        elif replaced is not None:
            if isinstance(thing, Folder):
                _refuse(Errno.ENOTDIR)
            replaced.links -= 1
        del source[name]
        target[newname] = thing
