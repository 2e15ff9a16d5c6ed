"""A layer that makes the n-th call of a verb fail or wait.

    faults = Faults()
    root = faults(MemoryDriver().attach(User()), User())
    faults.fail("file.write", Errno.ENOSPC, at=3)      # the third write from now
    faults.fail("setattr", Errno.EIO, times=ALWAYS)
    hold = faults.hold("file.fsync")                   # the next fsync waits ...
    hold.reached.wait(); hold.go.set()                 # ... until go is set

Verbs are those of ``node.py``; the verbs of open files and directories are called ``file.read``,
``dir.close`` and so on. A fault occurs *before* the driver is called, or (``after=True``) when the
driver has returned: the caller gets an error although the change was made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event, Lock
from typing import Any, Final

from ninep.errors import Refused
from ninep.layers.base import DIR_VERBS, FILE_VERBS, NODE_VERBS, Around
from ninep.linux import Errno
from ninep.node import Node, User

ALWAYS: Final = sys.maxsize
VERBS = frozenset(NODE_VERBS) | {f"file.{verb}" for verb in FILE_VERBS} | {f"dir.{verb}" for verb in DIR_VERBS}


class Hold:
    """A call that waits: ``reached`` is set when it starts waiting, ``go`` makes it continue."""

    def __init__(self, timeout: float) -> None:
        self.reached = Event()
        self.go = Event()
        self._timeout = timeout

    def wait(self) -> None:
        """Called instead of the driver."""
        self.reached.set()
        if not self.go.wait(self._timeout):
            raise AssertionError("a call was held and never let go")


class _Fault:
    def __init__(self, at: int, times: int, *, after: bool, act: Callable[[], object]) -> None:
        self.skip = at - 1
        self.times = times
        self.after = after
        self.act = act

    def due(self) -> bool:
        """Whether the fault applies to this call."""
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return self.times >= 0


class Faults:
    """The layer, and its list of planned faults."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._plan: dict[str, list[_Fault]] = {}
        self.calls: dict[str, int] = dict.fromkeys(sorted(VERBS), 0)
        """The number of calls of each verb."""

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - the same for all users
        """Wrap a root."""
        return FaultyNode(root, self)

    def fail(self, verb: str, code: Errno, *, at: int = 1, times: int = 1, after: bool = False) -> None:
        """From the ``at``-th call of ``verb`` from now on, ``times`` calls fail with ``code``."""

        def act() -> None:
            raise Refused(code, "a fault by order")

        self._order(verb, _Fault(at, times, after=after, act=act))

    def crash(self, verb: str, error: Exception, *, at: int = 1) -> None:
        """As ``fail``, with an exception that no driver may raise."""

        def act() -> None:
            raise error

        self._order(verb, _Fault(at, 1, after=False, act=act))

    def hold(self, verb: str, *, at: int = 1, after: bool = False, timeout: float = 60) -> Hold:
        """Make the ``at``-th call of ``verb`` from now on wait. It raises AssertionError if ``go``
        is not set within ``timeout`` seconds.
        """
        hold = Hold(timeout)
        self._order(verb, _Fault(at, 1, after=after, act=hold.wait))
        return hold

    def clear(self) -> None:
        """Remove all planned faults. Calls that wait continue to wait."""
        with self._lock:
            self._plan.clear()

    def _order(self, verb: str, fault: _Fault) -> None:
        if verb not in VERBS:
            raise ValueError(f"{verb!r} is no verb of a driver")
        with self._lock:
            self._plan.setdefault(verb, []).append(fault)

    def strike(self, verb: str) -> list[_Fault]:
        """The faults that apply to this call."""
        with self._lock:
            self.calls[verb] += 1
            return [fault for fault in self._plan.get(verb, ()) if fault.due()]


class FaultyNode(Around):
    """A node with injected faults."""

    __slots__ = ()
    layer: Faults

    def around(self, verb: str, args: tuple[Any, ...], call: Callable[[], Any]) -> Any:  # noqa: ARG002 - the arguments do not matter
        due = self.layer.strike(verb)
        for fault in due:
            if not fault.after:
                fault.act()
        result = call()
        for fault in due:
            if fault.after:
                fault.act()
        return result
