"""Creating files: what the host made becomes a node, or goes again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, Protocol, Self, TypeVar

from ninep import host
from ninep.drivers.local.file import LocalFile
from ninep.drivers.local.handle_cache import self_closing
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, Stat
from ninep.linux import DT_REG, O_EXCL, S_ISGID, S_ISUID, Errno

_ATTEMPTS: Final = 3

T = TypeVar("T")


class Creator(Protocol):
    """What creating needs of a node."""

    file_type: ClassVar[type[LocalFile]]

    @property
    def table(self) -> Any:
        """Its table."""

    def make(self, verb: Callable[..., T], *arguments: object) -> T:
        """A verb of the model in this directory."""

    def get_path_handle(self) -> Handle: ...
    def walk(self, name: bytes) -> Self: ...
    def open(self, flags: int, by: int) -> LocalFile: ...
    def update_qid(self, found: Stat, kind: int | None = None) -> Self: ...
    def release(self) -> None: ...


N = TypeVar("N", bound=Creator)


def create(directory: N, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[N, LocalFile]:
    """``Node.create``."""
    model = directory.table.model
    model.check_name(name)
    for attempt in range(_ATTEMPTS):
        try:
            handle, made = directory.make(model.make_file, name, flags, mode, uid, gid)
        except OSError as error:
            if linux_errno(error) is not Errno.EEXIST or flags & O_EXCL:
                raise
        else:
            # No path handle yet: while it is open the handle identifies it (0.8 us of every create).
            return _opened(partial(directory.table.add, directory, name, made, None), handle, made, flags, uid)
        try:
            return _open_existing(directory, name, flags, uid)
        except OSError as error:
            if linux_errno(error) is not Errno.ENOENT or attempt == _ATTEMPTS - 1:
                raise  # else it went away between the two looks: try to make it once more
    raise Refused(Errno.EAGAIN)


def create_unnamed(directory: N, flags: int, mode: int, uid: int, gid: int) -> tuple[N, LocalFile]:
    """``Node.tmpfile``. The node has no name: ``link`` makes one, by which another node is found."""
    table = directory.table
    if table.model.filesystems.unnamed(directory.get_path_handle()) is False:
        raise Refused(Errno.EOPNOTSUPP, "a name that is given to such a file there may not stay")
    handle, made = directory.make(table.model.make_unnamed, flags, mode, uid, gid)
    return _opened(lambda: table.add_unnamed(made, self_closing(host.reopen_path(handle))), handle, made, flags, uid)


def _opened(make_node: Callable[[], Any], handle: Handle, made: Stat, flags: int, by: int) -> tuple[N, LocalFile]:
    """A file that was made just now, with its node: a regular file, so that no model is asked what
    it is.
    """
    try:
        node = make_node()
    except OSError:
        host.close(handle)
        raise
    file = node.file_type(node, handle, flags, by)
    if not made.st_mode & (S_ISUID | S_ISGID):
        file.skip_first_look()
    node.table.handles.add_file(node, file)
    return node.update_qid(made, DT_REG), file


def _open_existing(directory: N, name: bytes, flags: int, by: int) -> tuple[N, LocalFile]:
    node = directory.walk(name)
    try:
        return node, node.open(flags, by)
    except OSError:
        node.release()
        raise
