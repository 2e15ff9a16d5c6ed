"""A layer right above the driver that notes what it is asked for: what a policy let through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ninep.layers.base import Around
from ninep.linux import O_ACCMODE, O_TRUNC
from ninep.node import Node, User

CHANGES = {
    "setattr", "create", "mkdir", "symlink", "mknod", "link", "unlink", "rename", "remove", "move", "setxattr", "removexattr",
    "file.write", "file.truncate",
}  # fmt: skip


class Spy:
    """The layer. ``changes`` are the verbs that change something, as they came."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, tuple[Any, ...]]] = []

    def __call__(self, root: Node, user: User) -> Node:
        return SpiedNode(root, self)


class SpiedNode(Around):
    """A node whose verbs are noted."""

    __slots__ = ()
    layer: Spy

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        writes = verb == "open" and bool(args[0] & (O_ACCMODE | O_TRUNC))
        if verb in CHANGES or writes:
            self.layer.changes.append((verb, args))
        return call()
