"""An export that nobody changes: every mutation is EROFS before the driver hears of it.

Decided here once, for every dialect: the server translates 9P2000's mode bytes into Linux flags before ``open`` (servers that
tested the raw bytes let a read-and-truncate through). Reading, listing, locking and syncing go on as the driver has them.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ninep.errors import Refused
from ninep.layers.base import Wrapper
from ninep.linux import NO_ID, O_ACCMODE, O_CREAT, O_RDONLY, O_TRUNC, Errno
from ninep.node import Node, OpenFile, User


def _refuse(*_args: Any, **_named: Any) -> NoReturn:
    raise Refused(Errno.EROFS)


class ReadOnly(Wrapper):
    """A node that cannot be changed."""

    __slots__ = ()

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        if flags & O_ACCMODE != O_RDONLY or flags & (O_TRUNC | O_CREAT):
            raise Refused(Errno.EROFS)
        return super().open(flags, by)

    setattr = create = mkdir = symlink = mknod = link = unlink = rename = remove = may_remove = move = _refuse
    setxattr = removexattr = _refuse


def read_only(root: Node, user: User) -> Node:  # noqa: ARG001 - for everybody
    """The layer."""
    return ReadOnly(root, read_only)
