r"""Serve values as files: a dict is a folder, bytes are a file, a function is a file computed at
each access.

    tree = {
        "motd": "hello\n",
        "uptime": lambda: f"{time.monotonic():.0f}\n",
        "led": ComputedFile(read=led.state, write=led.set),
        "sensors": {"cpu": read_cpu},
    }
    driver = SyntheticDriver(tree)

Rules

* The tree is read at each request: entries that the program adds to or removes from its dicts
  appear and disappear for clients. Any ``Mapping`` is a folder, so entries may be computed on
  demand.
* A reader runs once when its file is opened (one open file shows one consistent value) and once for
  each getattr, which returns the size. A writer gets the bytes of each write separately, whatever
  their offset, like control files (sysfs, Plan 9's ctl): an ``OSError`` that it raises is returned
  to the writing program.
* Readers and writers run in worker threads, several at once, unless the tree is ``inline``.
* Clients change nothing except through writers: all other changes fail with EROFS. Truncation,
  which a shell does before it writes, succeeds.

qid.version of a computed file changes at every access, so that no client caches its content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import TypeAlias, Union

from ninep.errors import Refused
from ninep.linux import NO_ID, O_ACCMODE, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, S_IFDIR, S_IFREG, Errno
from ninep.node import Changes, Driver, Node, OpenDir, OpenFile, User
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.types import QT_DIR, Attributes, Buffer, Dirent, Qid

__all__ = ["ComputedFile", "SyntheticDriver", "SyntheticTree"]

Text: TypeAlias = bytes | str
"""The result of a reader; ``str`` is sent as UTF-8."""


@dataclass(slots=True)
class ComputedFile:
    """A file computed by functions: ``read`` returns its whole content, ``write`` is called with
    the bytes of each write.

    ``mode`` is the permissions shown to clients; default: according to which of the functions are
    set.
    """

    read: Callable[[], Text] | None = None
    write: Callable[[bytes], object] | None = None
    mode: int | None = None


SyntheticTree: TypeAlias = Mapping[str, Union[Text, Callable[[], Text], ComputedFile, "SyntheticTree"]]

_versions = count(1)
_EMPTY: SyntheticTree = {}
_DOTS = (".", "..")
NANO = 1_000_000_000


def _bytes(value: Text) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _key(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _check(value: object, path: str) -> None:
    """TypeError for a name or value that cannot be served, before a client requests it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or name in {"", ".", ".."} or "/" in name or "\0" in name:
                raise TypeError(f"{path}: {name!r} cannot be a name")
            _check(inner, f"{path.rstrip('/')}/{name}")
    elif not isinstance(value, bytes | str | ComputedFile | Mapping) and not callable(value):
        raise TypeError(f"{path}: {type(value).__name__} is neither bytes, str, a function, a ComputedFile nor a dict")


class SyntheticNode(Node):
    """One value of the tree. It has no state, so a clone is the node itself."""

    __slots__ = ("_name", "driver", "file", "folder", "inline", "number", "qid", "up")

    def __init__(self, driver: SyntheticDriver, up: SyntheticNode | None, name: bytes, value: object) -> None:
        self.driver = driver
        self.inline = driver.inline
        self.up = up or self
        self._name = name
        self.folder: SyntheticTree | None = None
        self.file = ComputedFile()
        if isinstance(value, Mapping):
            self.folder = value
        elif isinstance(value, bytes | str):
            self.file = ComputedFile(read=lambda: value)
        else:
            self.file = value if isinstance(value, ComputedFile) else ComputedFile(read=value)  # type: ignore[arg-type]
        above = up.number.to_bytes(8) if up else b""
        self.number: int = int.from_bytes(blake2b(above + name, digest_size=8).digest())
        computed = self.folder is None and not isinstance(value, bytes | str)
        self.qid = Qid(
            0 if self.folder is None else QT_DIR, next(_versions) & 0xFFFFFFFF if computed else 0, self.number
        )

    def _items(self) -> SyntheticTree:
        if self.folder is None:
            raise Refused(Errno.ENOTDIR)
        return self.folder

    def walk(self, name: bytes) -> SyntheticNode:
        try:
            value = self._items()[_key(name)]
        except KeyError:
            raise Refused(Errno.ENOENT) from None
        return SyntheticNode(self.driver, self, name, value)

    def parent(self) -> SyntheticNode:
        return self.up

    @property
    def name(self) -> bytes:
        return self._name

    def _refresh(self) -> None:
        """Change the qid's version, if this is a computed file."""
        if self.qid.version:
            self.qid = self.qid._replace(version=next(_versions) & 0xFFFFFFFF)

    def getattr(self, mask: int) -> Attributes:  # noqa: ARG002 - the driver has no attributes beyond BASIC
        self._refresh()
        driver, file = self.driver, self.file
        if self.folder is not None:
            mode, size = S_IFDIR | 0o555, 0
        else:
            allowed = (0o444 if file.read else 0) | (0o222 if file.write else 0)
            mode = S_IFREG | (allowed if file.mode is None else file.mode & 0o777)
            size = len(_bytes(file.read())) if file.read else 0
        when = time.time_ns() if self.qid.version else driver.started
        seconds, nanoseconds = divmod(when, NANO)
        return Attributes(
            qid_type=self.qid.type,
            qid_version=self.qid.version,
            qid_path=self.number,
            mode=mode,
            uid=driver.uid,
            gid=driver.gid,
            nlink=1 if self.folder is None else 2,
            size=size,
            blocks=-(-size // 512),
            atime_sec=seconds,
            atime_nsec=nanoseconds,
            mtime_sec=seconds,
            mtime_nsec=nanoseconds,
            ctime_sec=seconds,
            ctime_nsec=nanoseconds,
        )

    def setattr(self, changes: Changes) -> None:
        if not self.file.write:
            raise Refused(Errno.EROFS)
        if (changes.uid, changes.gid, changes.mode) != (None, None, None):
            raise Refused(Errno.EPERM)

    def open(self, flags: int, by: int = NO_ID) -> SyntheticFile:  # noqa: ARG002 - writers do not distinguish users
        if self.folder is not None:
            raise Refused(Errno.EISDIR)
        access = flags & O_ACCMODE
        file = self.file
        if (access != O_RDONLY or flags & O_TRUNC) and not file.write:
            raise Refused(Errno.EROFS)
        if access != O_WRONLY and not file.read:
            raise Refused(Errno.EACCES, "write-only file")
        self._refresh()
        content = _bytes(file.read()) if file.read and access in {O_RDONLY, O_RDWR} else None
        return SyntheticFile(content, file.write if access in {O_WRONLY, O_RDWR} else None)

    def opendir(self) -> SyntheticDir:
        self._items()
        return SyntheticDir(self)


class SyntheticFile(OpenFile):
    """A file with the value at the moment of the open."""

    __slots__ = ("content", "writer")

    def __init__(self, content: bytes | None, writer: Callable[[bytes], object] | None) -> None:
        self.content = content
        self.writer = writer

    def read(self, offset: int, count: int) -> Buffer:
        if self.content is None:
            raise Refused(Errno.EBADF, "not open for reading")
        return self.content[offset : offset + count]

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:  # noqa: ARG002 - writes are independent of each other
        if self.writer is None:
            raise Refused(Errno.EBADF, "not open for writing")
        self.writer(bytes(data))
        return len(data)

    def truncate(self, size: int, by: int = NO_ID) -> None:  # noqa: ARG002 - what a shell does before it writes
        if self.writer is None:
            raise Refused(Errno.EBADF, "not open for writing")


class SyntheticDir(OpenDir):
    """The names at the moment of the rewind; a cookie is an index into this list. What is under them
    is looked at when they are read, a reply at a time.
    """

    small_cookies = True
    __slots__ = ("names", "node")

    def __init__(self, node: SyntheticNode) -> None:
        self.node = node
        self.names: list[str] = []

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        if cookie == 0 or not self.names:
            self.names = [*_DOTS, *self._items()]
        found: list[Dirent] = []
        for index in range(cookie, len(self.names)):
            if room <= 0 and found:
                break
            name = self.names[index].encode("utf-8", "surrogateescape")
            there = self._there(index, name)
            if there is not None:
                kind = (S_IFREG if there.folder is None else S_IFDIR) >> 12
                found.append(Dirent(*there.qid, index + 1, kind, name))
                room -= DIRENT_SIZE + len(name)
        return found

    def _items(self) -> SyntheticTree:
        return self.node.folder if self.node.folder is not None else _EMPTY

    def _there(self, index: int, name: bytes) -> SyntheticNode | None:
        """None if it was removed since the rewind."""
        node = self.node
        if index < len(_DOTS):
            return (node, node.up)[index]
        try:
            return SyntheticNode(node.driver, node, name, self._items()[self.names[index]])
        except KeyError:
            return None


class SyntheticDriver(Driver):
    """Serves a tree of values.

    Args:
        tree: names to values; the values are bytes, str, functions that return either, ``ComputedFile``
            objects, or further trees.
        inline: every reader and writer returns at once. The server then calls them in its event
        loop.
        uid: the owner shown to clients.
        gid: the group shown to clients.

    Raises:
        TypeError: for a name or a value that cannot be served.
    """

    def __init__(self, tree: SyntheticTree, *, inline: bool = False, uid: int = 0, gid: int = 0) -> None:
        _check(tree, "/")
        self.tree = tree
        self.inline = inline
        self.uid = uid
        self.gid = gid
        self.started = time.time_ns()

    def attach(self, user: User) -> SyntheticNode:  # noqa: ARG002 - the same root for all users
        return SyntheticNode(self, None, b"/", self.tree)
