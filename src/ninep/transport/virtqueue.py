"""A virtqueue in the event loop: woken by its kick descriptor, it serves the chains that the driver
made available, and signals the driver.

* While chains are served no kick is asked for. A driver whose next chain came promptly the last
  times is waited for without the event loop, as a socket is (``busy_poll``), if that has nothing
  else to do: first the ring is looked at for some microseconds, because a kick costs the guest an
  exit from the virtual machine, and waking costs the host more than a request; then epoll_wait(2)
  waits for the kick, at most ``KICK_TIMEOUT`` seconds: edge-triggered, so that it need not be read.
* Several chains are returned under one signal, but not all of a long batch: the guest can work on
  the first ones meanwhile.
* A turn ends after ``LONGEST`` seconds, whatever the driver does; the event loop runs, and the next
  turn follows.

What a chain means is for ``serve``. A chain that it does not answer at once is returned by ``push``.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from ninep.transport import nothing
from ninep.virtio.ring import Chain, RingError, SplitQueue

# Calls that other systems do not have.
_make_epoll: Any = getattr(select, "epoll", None)
_EDGE: Final = getattr(select, "EPOLLIN", 0) | getattr(select, "EPOLLET", 0)
CHAINS_A_SIGNAL: Final = 8
"""So many chains are returned under one signal at most."""
STRIDE: Final = 4
"""The clock is read after so many chains that took less than ``CHEAP`` seconds together, otherwise
after each.
"""
CHEAP: Final = 0.0002
COUNTED: Final = 0.0001
"""Seconds up to which what was served is not accounted for."""
LONGEST: Final = 0.002
"""Seconds until the event loop runs again."""
POLL: Final = 0.00005
"""Seconds for which the ring is looked at before the loop sleeps."""
KICK_TIMEOUT: Final = 0.005
"""Seconds for which a kick is waited for without the loop. Longer than a tick of most kernels: a
timer that is due before the next tick has to be set in the hardware, which costs a microsecond or
more (docs/performance-data.md).
"""
KICKS: Final = 4096
"""Bytes that are read of the kick descriptor: an eventfd has 8, a pipe in its place 8 for each."""
PROMPT: Final = 0.0005
"""Seconds from sleeping to the next kick: a driver that takes longer does not only wait for us."""
WARM_UP: Final = 8
"""Prompt kicks before the driver is waited for without the loop."""
LONGEST_PAUSE: Final = 1024
"""Waits without a look at the ring. Each look that finds nothing doubles their number up to this,
until one finds something: on a host that is busy, or where the guest has no core of its own
meanwhile, looking is all but off.
"""


class Virtqueue:
    """One ring, while it runs and between its runs.

    Args:
        serve: called with each chain. How many bytes it has written there, and the chain goes back;
            None: it comes back by ``push``. ``RingError`` if it cannot be a chain of this device.
        took: called with the seconds that chains took, when they are more than ``COUNTED``.
        broken: called when the driver broke the rules of the ring, which is stopped then.
        idle: whether the thread may wait here, because nothing else is to be expected of the loop.
    """

    __slots__ = (
        "_broken",
        "_call",
        "_epoll",
        "_idle",
        "_kick",
        "_loop",
        "_pause",
        "_paused",
        "_poll",
        "_prompt",
        "_queue",
        "_serve",
        "_serving",
        "_skip",
        "_slept",
        "_spent",
        "_took",
    )

    def __init__(
        self,
        serve: Callable[[Chain], int | None],
        took: Callable[[float], object],
        broken: Callable[[RingError], None],
        idle: Callable[[], bool],
    ) -> None:
        self._serve = serve
        self._took = took
        self._broken = broken
        self._idle = idle
        self._loop = asyncio.get_running_loop()
        self._queue: SplitQueue | None = None
        self._kick = -1
        self._call: Callable[[], None] = nothing
        self._serving = self._paused = False
        self._prompt = 0
        self._epoll: Any = None
        self._poll: Callable[[float, int], object] = _no_kick
        self._pause, self._skip = WARM_UP, 0
        """Waits without a look at the ring after the next that finds nothing; and now."""
        self._slept = self._spent = 0.0

    @property
    def running(self) -> bool:
        """Chains may be pushed."""
        return self._queue is not None

    def start(self, queue: SplitQueue, kick: int, call: Callable[[], None]) -> None:
        """The ring runs: wait on ``kick``; ``call`` signals the driver."""
        self._queue, self._kick, self._call = queue, kick, call
        self._epoll = _make_epoll()
        self._epoll.register(kick, _EDGE)
        self._poll = self._epoll.poll
        self._loop.add_reader(kick, self._kicked)
        self._loop.call_soon(self._run)

    def stop(self) -> None:
        """Touch the ring no more. What was pushed is returned."""
        queue = self._queue
        if queue is not None:
            if queue.pushed:
                self._publish(queue)
            self._queue = None
            queue.interrupt()
            self._loop.remove_reader(self._kick)
            self._epoll.close()

    def pause(self) -> None:
        """Serve no more chains until ``resume``."""
        self._paused = True
        if self._queue is not None:
            self._queue.interrupt()

    def resume(self) -> None:
        """Serve again."""
        self._paused = False
        self._loop.call_soon(self._run)

    def push(self, head: int, written: int) -> None:
        """Return a chain, with so many bytes written to it. It waits for ``flush``, or for the end
        of the turn.
        """
        if self._queue is not None:
            self._queue.push(head, written)

    def flush(self) -> None:
        """The chains that were pushed outside of ``serve`` go to the driver."""
        queue = self._queue
        if queue is not None and queue.pushed and not self._serving:
            self._publish(queue)

    def fail(self, error: RingError) -> None:
        """The driver broke a rule that ``serve`` or a reply found out about."""
        if self._queue is not None:
            self._end(self._queue, error)

    def _publish(self, queue: SplitQueue, *, kicks: bool = False) -> None:
        if queue.publish(kicks=kicks):
            self._call()

    def _kicked(self) -> None:
        try:
            os.read(self._kick, 8)
        except OSError:  # EAGAIN: the kick was read before
            return
        now = monotonic()
        self._prompt = self._prompt + 1 if now - self._slept < PROMPT else 0
        self._run(now)

    def _run(self, now: float = 0.0) -> None:
        """One turn. ``now``: when it begins, if that is known."""
        queue = self._queue
        if queue is None or self._paused or self._serving:
            return
        self._serving = True
        queue.go_on()
        failed: RingError | None = _FAILED
        try:
            queue.disable_kicks()
            if self._turn(queue, now or monotonic()):
                self._loop.call_soon(self._run)
            failed = None
        except RingError as error:
            failed = error
        finally:
            self._serving = False
            if failed is not None:
                self._end(queue, failed)

    def _turn(self, queue: SplitQueue, began: float) -> bool:
        """Serve until there is nothing more, or the time is over: then True."""
        until = began + LONGEST
        serve, run, most = self._serve, queue.serve, 1
        while True:
            more = run(serve, most)
            now = monotonic()
            self._spent += now - began
            if self._spent > COUNTED:
                self._took(self._spent)
                self._spent = 0.0
            if self._queue is not queue:
                return False
            if queue.interrupted:
                self._publish(queue)
                return False
            most = STRIDE if now - began < CHEAP else 1
            began = now
            if more:
                if queue.pushed >= CHAINS_A_SIGNAL or now >= until:
                    self._publish(queue)
            elif self._more(queue):
                began = monotonic()
            else:
                self._slept = monotonic()
                return False
            if began >= until:
                return True

    def _more(self, queue: SplitQueue) -> bool:
        """Publish, and ask for the next kick where there was nothing to pop: whether there is
        something now.
        """
        waits = self._prompt >= WARM_UP and self._idle()
        if waits and not self._skip:
            if queue.pushed:
                self._publish(queue)
            return self._look(queue) or queue.has_more() or self._wait(queue)
        if queue.publish(kicks=True):
            self._call()
        return queue.has_more() or (waits and self._wait(queue))

    def _look(self, queue: SplitQueue) -> bool:
        """Look at the ring for a while, and then ask for kicks: whether there is a chain."""
        more = queue.has_more
        end = monotonic() + POLL
        while monotonic() < end:
            if more():
                self._pause = WARM_UP
                return True
        self._skip = self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return not queue.enable_kicks()

    def _wait(self, queue: SplitQueue) -> bool:
        """Wait for the kick that was asked for: whether it came in time."""
        if self._skip:
            self._skip -= 1
        if not self._poll(KICK_TIMEOUT, 1):
            self._prompt = 0
            with suppress(OSError):  # EAGAIN: there is none
                os.read(self._kick, KICKS)  # those that were waited for, or the loop would be woken by them
            return queue.has_more()
        queue.disable_kicks()
        return True

    def _end(self, queue: SplitQueue, error: RingError) -> None:
        if self._queue is queue:
            queue.discard()  # nothing of this ring can be relied on
            self.stop()
            self._broken(error)


def _no_kick(_: float, __: int) -> None:
    """Before the first start."""


_FAILED: Final = RingError("it cannot be served")
"""What is said of a ring when the fault is this program's."""
