"""Windows' read-only attribute, where a security model keeps modes itself and the attribute must
not count.

The attribute forbids opening the file and its streams for writing, whatever rights a program has. A
model that keeps modes decides by those, so for the length of such an open the attribute is lifted
and then put back: a handle keeps the rights it was opened with. It goes for good only when a client
gives the file a mode with a write bit (``Mapped.chmod``).

Lifting and putting back are done by one handle to the file itself, whatever happens to its name,
and one at a time, or the second would find the attribute lifted and the first put it back under its
open. What fails in between puts it back too; only a server that is killed at that moment, or a
computer that is switched off, leaves it lifted.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from ninep.host._api import Handle, ObjectRef
from ninep.host.windows.api import Access, Attribute, NtCalls
from ninep.host.windows.open import scratch
from ninep.host.windows.remove import basic, set_attributes
from ninep.host.windows.status import NtError, Status
from ninep.node import WouldBlock, may_wait

T = TypeVar("T")

_RIGHTS = Access.READ_ATTRIBUTES | Access.WRITE_ATTRIBUTES


class ReadOnly:
    """The attributes of one system's files."""

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self._lock = threading.Lock()

    def lifted_for(self, place: ObjectRef, act: Callable[[], T], undo: Callable[[T], object]) -> T:
        """``act``, and once more without the attribute if that was in its way. ``undo``: if the
        attribute cannot be put back.
        """
        try:
            return act()
        except NtError as error:
            if (
                error.status != Status.ACCESS_DENIED
                or not place.ignores_read_only
                or not self._is_set(place.path_handle)
            ):
                raise
        with self.unchanged(), scratch(self._calls, place.path_handle, "", _RIGHTS) as own:
            return self._lifted(own, act, undo)

    def _is_set(self, path_handle: Handle) -> bool:
        # Another thread may have lifted it for a moment: that, too, is read under the lock.
        with self.unchanged():
            return bool(basic(self._calls, path_handle).attributes & Attribute.READONLY)

    def _lifted(self, own: Handle, act: Callable[[], T], undo: Callable[[T], object]) -> T:
        calls = self._calls
        before = basic(calls, own).attributes
        set_attributes(calls, own, before & ~Attribute.READONLY)
        try:
            done = act()
        except BaseException:
            self._put_back(own, before)
            raise
        try:
            self._put_back(own, before)
        except OSError:
            undo(done)
            raise
        return done

    def _put_back(self, own: Handle, before: int) -> None:
        """Beside what another program made of the other attributes meanwhile, if they can be asked
        for.
        """
        with contextlib.suppress(NtError):
            before = basic(self._calls, own).attributes | Attribute.READONLY
        set_attributes(self._calls, own, before)

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """No other thread of this server lifts the attribute for the length of a block."""
        if not self._lock.acquire(blocking=may_wait()):
            raise WouldBlock
        try:
            yield
        finally:
            self._lock.release()
