"""How long an event loop is kept from looking at its sockets, in time of its processor and not of
the clock.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from typing import Any


class Measured(selectors.DefaultSelector):
    """A selector that measures what its thread computes between two looks, in system calls too."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        """Seconds of the longest iteration. What is set is where the next ones begin."""
        self._began: float | None = None

    def select(self, timeout: float | None = None) -> Any:
        """As usual."""
        if self._began is not None:
            self.longest = max(self.longest, time.thread_time() - self._began)
        found = super().select(timeout)
        self._began = time.thread_time()
        return found

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop that is measured."""
        return asyncio.SelectorEventLoop(self)
