"""Nodes on filesystems whose every call may wait for a program or another computer, and what is
opened from them.

Below an export that is fast itself, a session goes on in the event loop, and only what is asked of
these goes to worker threads: each verb raises ``WouldBlock`` in a thread that must not wait, before
anything is done. ``close`` does not, because it is called once: the server sees to it
(``Node.inline``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, Final, TypeVar

from ninep.drivers.local.directory import LocalDir
from ninep.drivers.local.file import IdleFile, LocalFile
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.node_table import TableEntry
from ninep.host import Handle
from ninep.node import Buffer, check_may_wait

C = TypeVar("C", bound=type)

LARGE: Final = 1 << 16
"""Bytes of a read. A client that reads ahead has several such reads outstanding. From several
threads they reach the file system in any order, which ends its own read-ahead.
"""

NODE_VERBS = (
    "get_path_handle", "walk", "look_up", "getattr", "setattr", "statfs", "readlink", "fsync", "syncfs", "open",
    "opendir", "create", "tmpfile", "mkdir", "symlink", "mknod", "link", "unlink", "rename", "remove", "move",
    "getxattr", "listxattr", "setxattr", "removexattr",
)  # fmt: skip
FILE_VERBS = (
    "read", "read_now", "read_into", "write", "write_from", "truncate", "allocate", "seek", "copy_file_range", "fsync", "lock",
    "test_lock",
)  # fmt: skip
DIR_VERBS = ("read", "read_packed", "fsync")


def _check_first(verb: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(verb)
    def guarded(*args: Any, **named: Any) -> Any:
        check_may_wait()
        return verb(*args, **named)

    return guarded


def in_workers(*verbs: str) -> Callable[[C], C]:
    """Of a class: these verbs are called in threads that may wait."""

    def decorate(cls: C) -> C:
        for verb in verbs:
            setattr(cls, verb, _check_first(getattr(cls, verb)))
        return cls

    return decorate


class _InTurns(LocalFile):
    """Large reads of one open file take turns."""

    def __init__(self, node: TableEntry, handle: Handle, flags: int, by: int) -> None:
        super().__init__(node, handle, flags, by)
        self._turn = threading.Lock()

    def read(self, offset: int, count: int) -> Buffer:
        if count < LARGE:
            return super().read(offset, count)
        with self._turn:
            return super().read(offset, count)


@in_workers(*FILE_VERBS)
class SlowFile(_InTurns):
    """A file, open."""


@in_workers(*FILE_VERBS)
class SlowIdleFile(_InTurns, IdleFile):
    """A file, open for reading, likewise."""


@in_workers(*DIR_VERBS)
class SlowDir(LocalDir):
    """A directory, open."""

    __slots__ = ()


@in_workers(*NODE_VERBS)
class SlowNode(LocalNode):
    """The node."""

    __slots__ = ()

    inline = False
    never_checked: ClassVar[int] = -2
    file_type: ClassVar[type[LocalFile]] = SlowFile
    idle_type: ClassVar[type[IdleFile]] = SlowIdleFile
    dir_type: ClassVar[type[LocalDir]] = SlowDir

    @property
    def storage(self) -> str:  # type: ignore[override] # the device, whatever export it is reached through
        return f"device {self.dev:#x}"
