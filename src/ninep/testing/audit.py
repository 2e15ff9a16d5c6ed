"""A layer that holds its user to the rules of life in ``node.py``.

Every node that was returned is released exactly once, everything that was opened is closed exactly once, and nothing is used after that.
Breaking a rule is an ``AssertionError`` on the spot; ``Audit.check`` at the end finds what was forgotten.

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
        """Claims not given back, by ``id``."""

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - watches everybody
        """Wrap a root."""
        return AuditedNode(root, self)

    def begin(self, claim: object) -> None:
        """Something was returned."""
        self.open[id(claim)] = claim

    def judge(self, claim: object, verb: str) -> None:
        """Something is used."""
        if id(claim) not in self.open:
            raise AssertionError(f"{verb} of {claim!r}, which was released or closed before")
        if verb in _LAST:
            del self.open[id(claim)]

    def check(self) -> None:
        """AssertionError if anything was not given back."""
        if self.open:
            raise AssertionError(f"never released or closed: {list(self.open.values())!r}")


class AuditedNode(Around):
    """One claim on a node."""

    __slots__ = ("_shown",)
    layer: Audit

    def __init__(self, inner: Node, layer: Audit) -> None:
        super().__init__(inner, layer)
        self._shown = f"<node {inner.name!r} of {type(inner).__name__}>"
        layer.begin(self)

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
            self.layer.judge(node, "use")
        return super().unwrap(node)

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002 - whatever they are
        self.layer.judge(self, verb)
        if verb == "clone":  # a driver without state returns itself; its claims are to be told apart all the same
            return AuditedNode(self.inner.clone(), self.layer)
        return call()


class AuditedFile(AroundFile):
    """One open file."""

    __slots__ = ()

    def __init__(self, inner: OpenFile, node: Wrapper) -> None:
        super().__init__(inner, node)
        node.layer.begin(self)  # type: ignore[attr-defined]

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002
        self.node.layer.judge(self, verb)  # type: ignore[attr-defined]
        return call()


class AuditedDir(AroundDir):
    """One open directory."""

    __slots__ = ()

    def __init__(self, inner: OpenDir, node: Wrapper) -> None:
        super().__init__(inner, node)
        node.layer.begin(self)  # type: ignore[attr-defined]

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002
        self.node.layer.judge(self, verb)  # type: ignore[attr-defined]
        return call()
