"""What all layers share: wrappers that delegate every verb and wrap again what comes back.

Rules

* A layer is a callable ``(root, user) -> root``. It *is* the identity of the trees it wraps:
  ``link``, ``rename`` and ``move`` take nodes of the same layer apart and answer EXDEV to others,
  so that nothing is linked past a policy from one export into another.
* A wrapper holds one reference to what it wraps and releases it when it is released: one to one,
  also through ``clone``.
* ``Wrapper`` costs one call and, where a node comes back, one small object. Files and listings are
  handed through as they are unless a layer overrides ``wrap_file`` or ``wrap_dir``.
* ``Around`` is for layers that do the same to every verb (log it, count it, run it as a user): each
  goes through ``around``.

No policy is implemented here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Self

from ninep.errors import Refused
from ninep.linux import NO_ID, Errno
from ninep.node import Attributes, Buffer, Changes, Dirent, Node, OpenDir, OpenFile, Qid, Statfs, User

Layer = Callable[[Node, User], Node]


class Wrapper(Node):
    """A node that does what the one inside does. ``layer`` is the layer that made it."""

    __slots__ = ("inline", "inner", "layer")

    def __init__(self, inner: Node, layer: object) -> None:
        self.inner = inner
        self.layer = layer
        self.inline = inner.inline

    # -- what comes back, what goes in ---------------------------------------------------------------------------------

    def wrap(self, inner: Node) -> Self:
        """Another node of the tree."""
        return type(self)(inner, self.layer)

    def wrap_file(self, file: OpenFile) -> OpenFile:
        """What ``open`` and ``create`` return."""
        return file

    def wrap_dir(self, listing: OpenDir) -> OpenDir:
        """What ``opendir`` returns."""
        return listing

    def unwrap(self, node: Node) -> Node:
        """The inside of another node of the same layer, EXDEV for any other node."""
        if isinstance(node, Wrapper) and node.layer is self.layer:
            return node.inner
        raise Refused(Errno.EXDEV, "another export")

    # -- the verbs -----------------------------------------------------------------------------------------------------

    @property
    def qid(self) -> Qid:  # type: ignore[override]  # that of the inside at any moment; mypy wants attributes writable
        return self.inner.qid

    @property
    def storage(self) -> Hashable | None:  # type: ignore[override]
        return self.inner.storage

    @property
    def name(self) -> bytes:
        return self.inner.name

    @property
    def pathname(self) -> bytes:
        return self.inner.pathname

    @property
    def bsd_groups(self) -> bool:
        return self.inner.bsd_groups

    def clone(self) -> Node:
        inner = self.inner.clone()
        return self if inner is self.inner else self.wrap(inner)

    def release(self) -> None:
        self.inner.release()

    def walk(self, name: bytes) -> Node:
        return self.wrap(self.inner.walk(name))

    def parent(self) -> Node:
        return self.wrap(self.inner.parent())

    def getattr(self, mask: int) -> Attributes:
        return self.inner.getattr(mask)

    def setattr(self, changes: Changes) -> None:
        self.inner.setattr(changes)

    def statfs(self) -> Statfs:
        return self.inner.statfs()

    def readlink(self) -> bytes:
        return self.inner.readlink()

    def fsync(self) -> None:
        self.inner.fsync()

    def syncfs(self) -> None:
        self.inner.syncfs()

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        return self.wrap_file(self.inner.open(flags, by))

    def opendir(self) -> OpenDir:
        return self.wrap_dir(self.inner.opendir())

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        node, file = self.inner.create(name, flags, mode, uid, gid)
        wrapped = self.wrap(node)
        return wrapped, wrapped.wrap_file(file)

    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        node, file = self.inner.tmpfile(flags, mode, uid, gid)
        wrapped = self.wrap(node)
        return wrapped, wrapped.wrap_file(file)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        return self.inner.mkdir(name, mode, uid, gid)

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        return self.inner.symlink(name, target, uid, gid)

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        return self.inner.mknod(name, mode, rdev, uid, gid)

    def link(self, target: Node, name: bytes) -> None:
        self.inner.link(self.unwrap(target), name)

    def unlink(self, name: bytes, directory: bool) -> None:
        self.inner.unlink(name, directory)

    def rename(self, name: bytes, newdir: Node, newname: bytes, flags: int = 0) -> None:
        self.inner.rename(name, self.unwrap(newdir), newname, flags)

    def remove(self) -> None:
        self.inner.remove()

    def check_remove(self) -> None:
        self.inner.check_remove()

    def move(self, newdir: Node | None, newname: bytes) -> None:
        self.inner.move(None if newdir is None else self.unwrap(newdir), newname)

    def getxattr(self, name: bytes) -> bytes:
        return self.inner.getxattr(name)

    def listxattr(self) -> Sequence[bytes]:
        return self.inner.listxattr()

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        self.inner.setxattr(name, value, flags)

    def removexattr(self, name: bytes) -> None:
        self.inner.removexattr(name)


class FileWrapper(OpenFile):
    """An open file that does what the one inside does.

    A subclass with a ``read_now`` or ``write`` of its own sees data in place too: without a
    ``read_into`` or ``write_from`` it has those of ``OpenFile``, which copy and call the first two.
    """

    __slots__ = ("idle", "inner", "node")

    def __init_subclass__(cls) -> None:
        own = vars(cls)
        if not own.keys().isdisjoint(("read", "read_now")):
            cls.read_into = own.get("read_into", OpenFile.read_into)  # type: ignore[method-assign]
        if "write" in own:
            cls.write_from = own.get("write_from", OpenFile.write_from)  # type: ignore[method-assign]

    def __init__(self, inner: OpenFile, node: Wrapper) -> None:
        self.idle = inner.idle
        self.inner = inner
        self.node = node
        """The node it was opened from: for its layer; it is no reference."""

    def read(self, offset: int, count: int) -> Buffer:
        return self.inner.read(offset, count)

    def read_now(self, offset: int, count: int) -> Buffer:
        return self.inner.read_now(offset, count)

    def read_into(self, offset: int, buffers: Sequence[memoryview]) -> int:
        return self.inner.read_into(offset, buffers)

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        return self.inner.write(offset, data, by)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        return self.inner.write_from(offset, buffers, by)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        self.inner.truncate(size, by)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:
        self.inner.allocate(mode, offset, length, by)

    def seek(self, offset: int, whence: int) -> int:
        return self.inner.seek(offset, whence)

    def copy_file_range(self, offset: int, target: OpenFile, target_offset: int, count: int, by: int = NO_ID) -> int:
        return self.inner.copy_file_range(offset, self.unwrap(target), target_offset, count, by)

    def unwrap(self, file: OpenFile) -> OpenFile:
        """The inside of another file of the same layer, EXDEV for any other file."""
        if isinstance(file, FileWrapper) and file.node.layer is self.node.layer:
            return file.inner
        raise Refused(Errno.EXDEV, "another export")

    def fsync(self, datasync: bool) -> None:
        self.inner.fsync(datasync)

    def lock(self, kind: int, start: int, length: int) -> None:
        self.inner.lock(kind, start, length)

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        return self.inner.test_lock(kind, start, length)

    def close(self) -> None:
        self.inner.close()


class DirWrapper(OpenDir):
    """An open directory that does what the one inside does."""

    __slots__ = ("inner", "node")

    def __init__(self, inner: OpenDir, node: Wrapper) -> None:
        self.inner = inner
        self.node = node

    @property
    def packs(self) -> bool:  # type: ignore[override] # what is asked of an instance
        return self.inner.packs

    @property
    def small_cookies(self) -> bool:  # type: ignore[override]
        return self.inner.small_cookies

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        return self.inner.read(cookie, room)

    def read_packed(self, cookie: int, room: int) -> Buffer | None:
        return self.inner.read_packed(cookie, room)

    def is_far(self, cookie: int) -> bool:
        return self.inner.is_far(cookie)

    def fsync(self, datasync: bool) -> None:
        self.inner.fsync(datasync)

    def close(self) -> None:
        self.inner.close()


# -- one hook for every verb -------------------------------------------------------------------------------------------

NODE_VERBS = (
    "clone", "release", "walk", "parent", "getattr", "setattr", "statfs", "readlink", "fsync", "syncfs", "open", "opendir",
    "create", "tmpfile", "mkdir", "symlink", "mknod", "link", "unlink", "rename", "remove", "check_remove", "move", "getxattr", "listxattr",
    "setxattr", "removexattr",
)  # fmt: skip
FILE_VERBS = (
    "read", "read_now", "read_into", "write", "write_from", "truncate", "allocate", "seek", "copy_file_range", "fsync", "lock",
    "test_lock", "close",
)  # fmt: skip
DIR_VERBS = ("read", "read_packed", "is_far", "fsync", "close")


class Around(Wrapper):
    """A node all of whose verbs go through ``around``, those of its files and listings too (as
    ``file.read``, ``dir.read``).
    """

    __slots__ = ()

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """Do a verb: ``call()`` does it and wraps the result."""
        raise NotImplementedError

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return AroundFile(file, self)

    def wrap_dir(self, listing: OpenDir) -> OpenDir:
        return AroundDir(listing, self)


class AroundFile(FileWrapper):
    """A file whose verbs go through ``around``: that of its node, unless overridden."""

    __slots__ = ()
    node: Around

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """As ``Around.around``."""
        return self.node.around(verb, args, call)


class AroundDir(DirWrapper):
    """A listing whose verbs go through ``around``: that of its node, unless overridden."""

    __slots__ = ()
    node: Around

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        """As ``Around.around``."""
        return self.node.around(verb, args, call)


def _node_verb(verb: str) -> Callable[..., Any]:
    plain = getattr(Wrapper, verb)

    def method(self: Around, *args: Any, **named: Any) -> Any:
        return self.around(verb, (*args, *named.values()), partial(plain, self, *args, **named))

    return method


def _opened_verb(cls: type[FileWrapper | DirWrapper], verb: str, shown: str) -> Callable[..., Any]:
    plain = getattr(cls, verb)

    def method(self: AroundFile | AroundDir, *args: Any, **named: Any) -> Any:
        return self.around(shown, (*args, *named.values()), partial(plain, self, *args, **named))

    return method


for _verb in NODE_VERBS:
    setattr(Around, _verb, _node_verb(_verb))
for _verb in FILE_VERBS:
    setattr(AroundFile, _verb, _opened_verb(FileWrapper, _verb, "file." + _verb))
for _verb in DIR_VERBS:
    setattr(AroundDir, _verb, _opened_verb(DirWrapper, _verb, "dir." + _verb))
