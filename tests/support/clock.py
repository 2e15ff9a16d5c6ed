"""An event loop whose time stands still until a test moves it: timers of seconds are tested in no
time, and a busy machine trips none.
"""

from __future__ import annotations

import asyncio


class SettableLoop(asyncio.SelectorEventLoop):
    """``call_later`` counts in ``now``. Sockets, threads and ``call_soon`` are as usual."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()

    def time(self) -> float:
        return self.now

    async def pass_time(self, seconds: float) -> None:
        """Call, in this loop, what is due within so many seconds, one whole second (or what is left
        of it) after the other.
        """
        while seconds > 0:
            step = min(seconds, 1.0)
            seconds -= step
            self.now += step
            for _ in range(3):  # a timer that is due is found in one iteration, and called in it or the next
                await asyncio.sleep(0)
