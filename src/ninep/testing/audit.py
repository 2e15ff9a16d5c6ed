"""A layer that checks its caller against the rules of references in ``node.py``.

Every node that was returned must be released exactly once, every open file and directory closed
exactly once, and none of them used after that. A violation raises ``AssertionError`` at once;
``Audit.check`` at the end reports what was not released.

    audit = Audit()
    root = audit(MemoryDriver().attach(User()), User())
    ...
    audit.check()
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ninep.layers.base import Around, AroundDir, AroundFile, Wrapper
from ninep.node import Node, OpenDir, OpenFile, User

_LAST = frozenset({"release", "file.close", "dir.close"})


class Audit:
    """The layer. Wraps any number of roots; each must be released like any node."""

    def __init__(self) -> None:
        self.open: dict[int, object] = {}
        """References that were not released, by ``id``."""

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - all users are audited
        """Wrap a root."""
        return AuditedNode(root, self)

    def track(self, ref: object) -> None:
        """Record a new reference."""
        self.open[id(ref)] = ref

    def check_open(self, ref: object, verb: str) -> None:
        """AssertionError if a reference is used after its release."""
        if id(ref) not in self.open:
            raise AssertionError(f"{verb} of {ref!r}, which was released or closed before")
        if verb in _LAST:
            del self.open[id(ref)]

    def check(self) -> None:
        """AssertionError if any reference was not released."""
        if self.open:
            raise AssertionError(f"never released or closed: {list(self.open.values())!r}")


class AuditedNode(Around):
    """One reference to a node."""

    __slots__ = ("_shown",)
    layer: Audit

    def __init__(self, inner: Node, layer: Audit) -> None:
        super().__init__(inner, layer)
        self._shown = f"<node {inner.name!r} of {type(inner).__name__}>"
        layer.track(self)

    def __repr__(self) -> str:
        return self._shown

    def wrap(self, inner: Node) -> AuditedNode:
        return AuditedNode(inner, self.layer)

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return AuditedFile(file, self)

    def wrap_dir(self, listing: OpenDir) -> OpenDir:
        return AuditedDir(listing, self)

    def unwrap(self, node: Node) -> Node:
        if isinstance(node, AuditedNode):
            self.layer.check_open(node, "use")
        return super().unwrap(node)

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002 - the arguments do not matter
        self.layer.check_open(self, verb)
        # a driver without state returns the same node, which is another reference
        if verb == "clone":
            return AuditedNode(self.inner.clone(), self.layer)
        return call()


class AuditedFile(AroundFile):
    """One open file."""

    __slots__ = ()

    def __init__(self, inner: OpenFile, node: Wrapper) -> None:
        super().__init__(inner, node)
        node.layer.track(self)  # type: ignore[attr-defined]

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002
        self.node.layer.check_open(self, verb)  # type: ignore[attr-defined]
        return call()


class AuditedDir(AroundDir):
    """One open directory."""

    __slots__ = ()

    def __init__(self, inner: OpenDir, node: Wrapper) -> None:
        super().__init__(inner, node)
        node.layer.track(self)  # type: ignore[attr-defined]

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002
        self.node.layer.check_open(self, verb)  # type: ignore[attr-defined]
        return call()
