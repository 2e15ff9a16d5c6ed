"""What the connections of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ninep.server.budgets import Budgets
from ninep.server.exports import Exports
from ninep.server.limits import Limits
from ninep.server.observer import Observe
from ninep.server.offload import Workers
from ninep.server.slices import Slices
from ninep.server.write_coalescer import WriteCoalescer


def _no_observer() -> None:
    return None


def _ignore(connection: object) -> None:
    """It may stay."""


@dataclass(kw_only=True, slots=True)
class Context:
    """Made once by a server. What is left out is what a connection by itself needs."""

    exports: Exports
    workers: Workers
    budgets: Budgets = field(default_factory=lambda: Budgets(Limits()))
    coalescer: WriteCoalescer = field(default_factory=WriteCoalescer)
    slices: Slices = field(default_factory=Slices)
    alone: Callable[[], bool] = bool
    """Whether there is nothing else to do in this event loop at the moment
    (``transport.busy_poll``).
    """
    observe: Observe = _no_observer
    identified: Callable[[Any], None] = _ignore
    """Called with a connection of which the transport knows more than when it was made."""

    @property
    def limits(self) -> Limits:
        """The limits that the budgets were made from."""
        return self.budgets.limits
