"""A log line for every verb of a driver: verb, file, result, microseconds.

    DEBUG ninep.verbs uid=1000 walk '/' ('etc') -> qid 80.0.17 'etc' (3 us)
    DEBUG ninep.verbs uid=1000 setattr 'passwd' (mode=0o600 by=1000) -> EROFS (1 us)

Names are client input: they are shown as Python shows bytes, so that no control character reaches a
terminal; data is shown by its size. The server's ``--trace`` shows messages; this shows the verbs
that they became.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from ninep.errors import linux_errno
from ninep.layers.base import Around
from ninep.linux import NO_ID
from ninep.node import NOW, Attributes, Changes, Node, OpenDir, OpenFile, Qid, Statfs, User, WouldBlock

log = logging.getLogger("ninep.verbs")
LONGEST: Final = 64


def _bytes(value: bytes | bytearray | memoryview) -> str:
    if len(value) > LONGEST or not isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    return repr(value)[1:]


def _changes(changes: Changes) -> str:
    shown = []
    for name, value in changes._asdict().items():
        if value is None or value is False or (name == "by" and value == NO_ID):
            continue
        shown.append(f"{name}=" + ("now" if value == NOW else oct(value) if name == "mode" else str(value)))
    return " ".join(shown)


def _many(values: Sequence[Any]) -> str:
    if values and isinstance(values[0], memoryview):
        return f"<{sum(map(len, values))} bytes>"
    return f"{len(values)} entries"


def _qid(qid: Qid) -> str:
    return f"qid {qid.type:02x}.{qid.version:x}.{qid.path:x}"


_WORDS: tuple[tuple[Any, Callable[[Any], str]], ...] = (  # the first that fits; records are tuples too
    (type(None), lambda _: "done"),
    ((bytes, bytearray, memoryview), _bytes),
    (Changes, _changes),
    (Attributes, lambda a: f"mode={a.mode:o} uid={a.uid} gid={a.gid} size={a.size} nlink={a.nlink}"),
    (Qid, _qid),
    (Statfs, lambda figures: f"{figures.bavail} of {figures.blocks} blocks free"),
    ((OpenFile, OpenDir), lambda _: "open"),
    (Node, lambda node: f"{_qid(node.qid)} {_bytes(node.name)}"),
    ((list, tuple), _many),
    ((int, str), str),
)


def show(value: object) -> str:
    """An argument or a result in a few words."""
    if isinstance(value, tuple) and value and isinstance(value[0], Node):
        return f"{show(value[0])}, open"  # what create returns
    return next((words(value) for kind, words in _WORDS if isinstance(value, kind)), type(value).__name__)


class Traced(Around):
    """A node whose verbs are logged."""

    __slots__ = ("by",)

    def __init__(self, inner: Node, layer: object, by: str) -> None:
        super().__init__(inner, layer)
        self.by = by

    def wrap(self, inner: Node) -> Traced:
        return Traced(inner, self.layer, self.by)

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:
        if not log.isEnabledFor(logging.DEBUG):
            return call()
        what = f"{self.by} {verb} {_bytes(self.inner.name)} ({', '.join(map(show, args))})"
        start = time.perf_counter_ns()
        try:
            result = call()
        except OSError as error:
            self._log_result(what, linux_errno(error).name, start)
            raise
        except WouldBlock:
            self._log_result(what, "would block", start)
            raise
        self._log_result(what, show(result), start)
        return result

    @staticmethod
    def _log_result(what: str, outcome: str, start: int) -> None:
        log.debug("%s -> %s (%d us)", what, outcome, (time.perf_counter_ns() - start) // 1000)


def trace(root: Node, user: User) -> Node:
    """The layer."""
    by = f"uid={user.uid}" if user.uid != NO_ID else f"uname={_bytes(user.uname)}"
    return Traced(root, trace, by)
