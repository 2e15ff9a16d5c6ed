"""A tree under test: short names for common operations, and an audit of every reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TypeVar

from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, O_RDONLY, O_RDWR, O_TRUNC, S_IFMT, S_IFREG, Errno
from ninep.node import Attributes, Changes, Dirent, Node, OpenDir, OpenFile, Qid, User
from ninep.testing.audit import Audit
from ninep.testing.suite.capabilities import Capabilities

UID, GID = 1000, 1001
NON_ROOT = 1000
"""The uid of requests by a user other than root."""

T = TypeVar("T", Node, OpenFile, OpenDir)


@contextmanager
def refuses(*codes: Errno) -> Iterator[None]:
    """The block must fail with one of these errnos (any ``OSError`` if none is given)."""
    try:
        yield
    except OSError as error:
        code = linux_errno(error)
        if codes and code not in codes:
            raise AssertionError(f"refused with {code.name} ({error}) instead of {[c.name for c in codes]}") from error
    else:
        raise AssertionError(f"not refused with {[code.name for code in codes]}")


def in_buffers(data: bytes, sizes: Sequence[int]) -> tuple[bytearray, list[memoryview]]:
    """A copy of the data, and views of it of these sizes, one after the other."""
    memory = bytearray(data)
    ends = list(accumulate(sizes))
    return memory, [memoryview(memory)[end - size : end] for size, end in zip(sizes, ends, strict=True)]


class ScratchTree:
    """Helper around the root of a driver. The results of its methods are valid until ``finish``."""

    def __init__(self, root: Node, can: Capabilities) -> None:
        self.can = can
        self._audit = Audit()
        self._refs: list[Node | OpenFile | OpenDir] = []
        self.root = self._audit(root, User())
        self._scopes = 0

    def track(self, ref: T) -> T:
        """Release this reference at the end."""
        self._refs.append(ref)
        return ref

    def release(self, ref: Node | OpenFile | OpenDir) -> None:
        """Release this reference now."""
        if ref in self._refs:
            self._refs.remove(ref)
        ref.release() if isinstance(ref, Node) else ref.close()

    @contextmanager
    def scope(self) -> Iterator[Node]:
        """A new directory; references taken inside the block are released at its end."""
        before = len(self._refs)
        self._scopes += 1
        try:
            yield self.folder(b"scope %d" % self._scopes)
        finally:
            while len(self._refs) > before:
                self.release(self._refs[-1])

    def finish(self) -> None:
        """Release everything in reverse order, and check that nothing is left. The caller releases
        the root.
        """
        while self._refs:
            self.release(self._refs[-1])
        del self._audit.open[id(self.root)]
        self._audit.check()

    # -- nodes ---------------------------------------------------------------------------------------------------------

    def walk(self, *names: bytes, start: Node | None = None) -> Node:
        """Walk along names from the root."""
        node = start or self.root
        for name in names:
            node = self.track(node.walk(name))
        return node

    def has(self, name: bytes, within: Node | None = None) -> bool:
        """Whether the entry exists."""
        try:
            self.walk(name, start=within)
        except OSError as error:
            assert linux_errno(error) is Errno.ENOENT  # noqa: PT017 - any other error is a failure
            return False
        return True

    def file(self, name: bytes, content: bytes = b"", mode: int = 0o644, within: Node | None = None) -> Node:
        """A new file with this content."""
        node, file = (within or self.root).create(name, O_RDWR, mode, UID, GID)
        self.track(node)
        try:
            assert write_all(file, content) == len(content)
        finally:
            file.close()
        return node

    def folder(self, name: bytes, mode: int = 0o755, within: Node | None = None) -> Node:
        """A new directory."""
        (within or self.root).mkdir(name, mode, UID, GID)
        return self.walk(name, start=within)

    def link(self, name: bytes, target: bytes, within: Node | None = None) -> Node:
        """A new symbolic link."""
        (within or self.root).symlink(name, target, UID, GID)
        return self.walk(name, start=within)

    # -- contents ------------------------------------------------------------------------------------------------------

    def opened(self, node: Node, flags: int = O_RDWR, by: int = 0) -> OpenFile:
        """An open file."""
        return self.track(node.open(flags, by))

    def read(self, node: Node) -> bytes:
        """The whole content."""
        file = node.open(O_RDONLY)
        try:
            return read_all(file)
        finally:
            file.close()

    def rewrite(self, node: Node, content: bytes) -> None:
        """Other content."""
        file = node.open(O_RDWR | O_TRUNC, 0)
        try:
            write_all(file, content)
        finally:
            file.close()

    def entries(self, node: Node | None = None, room: int = 8192) -> list[Dirent]:
        """The whole listing, ``.`` and ``..`` included."""
        listing = (node or self.root).opendir()
        try:
            return read_entries(listing, room)
        finally:
            listing.close()

    def names(self, node: Node | None = None) -> list[bytes]:
        """The names in a directory, sorted, without ``.`` and ``..``."""
        return sorted(entry.name for entry in self.entries(node) if entry.name not in {b".", b".."})

    # -- attributes ----------------------------------------------------------------------------------------------------

    def change(self, node: Node, **changes: int) -> None:
        """``setattr`` by root, unless ``by`` is given."""
        node.setattr(Changes(**{"by": 0, **changes}))  # type: ignore[arg-type]


def attributes(node: Node) -> Attributes:
    """BASIC attributes."""
    return node.getattr(GETATTR_BASIC)


def owners_of(node: Node) -> tuple[int, int]:
    """Its uid and gid."""
    a = attributes(node)
    return a.uid, a.gid


def mode_of(node: Node) -> int:
    """The permission bits."""
    return attributes(node).mode & ~S_IFMT


def kind_of(node: Node) -> int:
    """The type bits."""
    return attributes(node).mode & S_IFMT


def qid_of(a: Attributes) -> Qid:
    """The qid in attributes."""
    return Qid(a.qid_type, a.qid_version, a.qid_path)


def mtime_of(node: Node) -> int:
    """In nanoseconds."""
    a = attributes(node)
    return a.mtime_sec * 1_000_000_000 + a.mtime_nsec


def atime_of(node: Node) -> int:
    """In nanoseconds."""
    a = attributes(node)
    return a.atime_sec * 1_000_000_000 + a.atime_nsec


def ctime_of(node: Node) -> int:
    """In nanoseconds."""
    a = attributes(node)
    return a.ctime_sec * 1_000_000_000 + a.ctime_nsec


def is_file(node: Node) -> bool:
    """Whether it is a regular file."""
    return kind_of(node) == S_IFREG


def write_all(file: OpenFile, content: bytes, offset: int = 0) -> int:
    """Write until all is written."""
    done = 0
    while done < len(content):
        count = file.write(offset + done, memoryview(content)[done : done + 65536], 0)
        assert count > 0, "a write of some bytes wrote none and did not fail"
        done += count
    return done


def read_all(file: OpenFile) -> bytes:
    """Read until the end."""
    content = b""
    while part := file.read(len(content), 65536):
        content += bytes(part)
    return content


def read_some(listing: OpenDir, cookie: int, room: int) -> list[Dirent]:
    """The result of one read. Fast drivers return plain tuples in the field order of Dirent."""
    return [Dirent(*entry) for entry in listing.read(cookie, room)]


def read_entries(listing: OpenDir, room: int = 8192, cookie: int = 0) -> list[Dirent]:
    """Read after ``cookie`` until the end, using as much of each result as the server would."""
    found: list[Dirent] = []
    while answer := read_some(listing, cookie, room):
        left = room
        for entry in answer:
            left -= 24 + len(entry.name)
            if left < 0:
                break
            found.append(entry)
        assert found, f"no entry fits in {room} bytes"
        assert found[-1].cookie != cookie, f"no entry fits in {room} bytes"
        cookie = found[-1].cookie
    return found
