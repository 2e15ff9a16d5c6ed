"""A read-only export: every mutation is EROFS, before it reaches the driver.

Decided here once, for every dialect: the server translates 9P2000's mode bytes into Linux flags
before ``open`` (servers that tested the raw bytes let a read-and-truncate through). Reading,
listing and syncing go on as the driver has them.

A read lock goes on to the driver, too: programs of the host see it like that of any reader. A write
lock does not, since the host takes one only through a file that is open for writing, and such an
open alone keeps a program from being executed (ETXTBSY). It is refused here as fcntl(2) refuses it
(EBADF), so that the server keeps it among its clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NoReturn

from ninep.errors import Refused
from ninep.layers import LayerType
from ninep.layers.base import FileWrapper, Wrapper
from ninep.linux import LOCK_WRLCK, NO_ID, O_ACCMODE, O_CREAT, O_RDONLY, O_TRUNC, Errno
from ninep.node import Node, OpenFile, User
from ninep.options import FLAG, OptionSet, option


def _refuse(*_args: Any, **_named: Any) -> NoReturn:
    raise Refused(Errno.EROFS)


class ReadOnly(Wrapper):
    """A node that cannot be changed."""

    __slots__ = ()

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        if flags & O_ACCMODE != O_RDONLY or flags & (O_TRUNC | O_CREAT):
            raise Refused(Errno.EROFS)
        return super().open(flags, by)

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return ReadOnlyFile(file, self)

    setattr = create = tmpfile = mkdir = symlink = mknod = link = unlink = rename = remove = check_remove = move = (
        _refuse
    )
    setxattr = removexattr = _refuse


class ReadOnlyFile(FileWrapper):
    """A file that is read."""

    __slots__ = ()

    write = write_from = truncate = allocate = copy_file_range = _refuse

    def lock(self, kind: int, start: int, length: int) -> None:
        if kind == LOCK_WRLCK:
            raise Refused(Errno.EBADF, "a read-only export takes no write lock on the host")
        self.inner.lock(kind, start, length)


def read_only(root: Node, user: User) -> Node:  # noqa: ARG001 - the same for all users
    """The layer."""
    return ReadOnly(root, read_only)


@dataclass(frozen=True, kw_only=True)
class ReadOnlyOptions(OptionSet):
    """Whether an export has the layer."""

    read_only: bool = option(
        False, FLAG, "Refuse every change.", group="Exports", short="r", words={"ro": True, "rw": False}
    )


LAYER: Final = LayerType(900, ReadOnlyOptions, lambda options, _export: read_only if options.read_only else None)
