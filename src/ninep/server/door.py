"""Who is let in, how many, and how long they may take to say what they want.

Rules

* The kernel's word decides (``access``): a peer that may not connect is closed before anything it sent is read.
* Connections are counted by whom they belong to, as far as the kernel tells (``Peer.account``), and one peer has ``peer_connections`` at most.
* ``reserved_connections`` (a sixteenth of all at most) are only for peers that have fewer than ``FEW``: those who hold connections open in large
  numbers, from however many addresses, leave room for a client that wants its first one. No connection on which somebody attached is
  ever closed to make room: it may be a mount, which does not come back.
* When its places are taken, the connection that has been longest without attaching loses its own to the new one: a client that means it attaches
  within milliseconds, so those who only hold places are the ones that go. A peer that has ``FEW`` takes no place from one that has not. When all
  have attached, the new one is closed.
* A connection has to name its version and attach in time. Afterwards it may rest for ever, as a mount does, unless an idle time is set.

Whatever is closed here is logged with who and why. Knows of a connection only how far it has got.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from ninep.server.access import Access
from ninep.server.counts import Counts
from ninep.server.limits import Limits
from ninep.transport.peers import Peer

log = logging.getLogger("ninep.server")

FEW: Final = 4
"""Connections of a peer from which on the reserved ones are not for it."""


class Visitor(Protocol):
    """What the door sees of a connection."""

    peer: Peer

    @property
    def negotiated(self) -> bool:
        """A version was agreed on."""

    @property
    def attached(self) -> bool:
        """Somebody attached, since the last version."""

    @property
    def progress(self) -> object:
        """Changes whenever a whole request arrived or a reply was taken; None while a request is in flight."""

    def abort(self) -> None:
        """Close at once."""


class Door:
    """The connections of one server, as far as they are counted and timed."""

    def __init__(self, access: Access, limits: Limits, counts: Counts | None = None) -> None:
        self._access = access
        self._limits = limits
        self._counts = counts or Counts()
        self._reserved = min(limits.reserved_connections, limits.connections // 16)
        self._accounts: Counter[object] = Counter()
        self._account_of: dict[Visitor, object] = {}
        self._timers: dict[Visitor, asyncio.TimerHandle | None] = {}
        """All that are in, in the order in which they came."""
        self.refused = 0
        """How many were closed here."""

    def __len__(self) -> int:
        return len(self._timers)

    def enter(self, visitor: Visitor) -> bool:
        """Let a connection in, or close it."""
        account = visitor.peer.account
        limit, why = self._refusal(visitor.peer, account)
        if why:
            self.close(visitor, limit, why)
            return False
        self._counts.connections += 1
        self._accounts[account] += 1
        self._account_of[visitor] = account
        self._timers[visitor] = None
        self._wait(visitor, self._limits.version_within, self._version_due)
        return True

    def leave(self, visitor: Visitor) -> None:
        """A connection has ended, whether it was in or not."""
        if visitor not in self._timers:
            return
        timer = self._timers.pop(visitor)
        if timer is not None:
            timer.cancel()
        account = self._account_of.pop(visitor)
        self._accounts[account] -= 1
        if not self._accounts[account]:
            del self._accounts[account]

    def close(self, visitor: Visitor, limit: str, why: str) -> None:
        """Close a connection and say why."""
        self.refused += 1
        self._counts.beyond(limit)
        log.warning("closing %s: %s", visitor.peer, why)
        visitor.abort()

    def _refusal(self, peer: Peer, account: object) -> tuple[str, str]:
        """The name of the limit and the words; no words if the peer may come in."""
        why = self._access.refusal(peer)
        if why:
            return "access", why
        count, most = self._accounts[account], self._limits.peer_connections
        if count >= most and not self._evict("peer_connections", lambda other: other == account):
            return "peer_connections", f"{most} connections of one peer are the limit"
        if self._accounts[account] < FEW:
            most, whose = self._limits.connections, lambda _: True
        else:
            most = self._limits.connections - self._reserved
            whose = lambda other: self._accounts[other] >= FEW  # noqa: E731 - one of two
        if len(self._timers) >= most and not self._evict("connections", whose):
            rest = (
                f", and {self._reserved} more for peers that have fewer than {FEW}"
                if most < self._limits.connections
                else ""
            )
            return "connections", f"{most} connections are the limit{rest}"
        return "", ""

    def _evict(self, limit: str, whose: Callable[[object], bool]) -> bool:
        """Close the oldest that has not attached, of certain accounts."""
        for visitor, account in self._account_of.items():
            if not visitor.attached and whose(account):
                self.close(visitor, limit, "it has not attached, and its place is needed")
                self.leave(visitor)
                return True
        return False

    # -- time ----------------------------------------------------------------------------------------------------------

    def _wait(self, visitor: Visitor, seconds: float, then: Callable[..., None], *seen: object) -> None:
        if seconds > 0:
            self._timers[visitor] = asyncio.get_running_loop().call_later(seconds, then, visitor, *seen)
        else:
            then(visitor, *seen)

    def _version_due(self, visitor: Visitor) -> None:
        limits = self._limits
        if limits.version_within and not visitor.negotiated:
            self.close(visitor, "version_within", f"no Tversion within {limits.version_within:g} s")
            return
        rest = limits.attach_within - limits.version_within if limits.attach_within else 0
        self._wait(visitor, max(rest, 0), self._attach_due)

    def _attach_due(self, visitor: Visitor) -> None:
        limits = self._limits
        if limits.attach_within and not visitor.attached:
            self.close(visitor, "attach_within", f"no Tattach within {limits.attach_within:g} s")
        elif limits.idle:
            self._wait(visitor, limits.idle, self._idle_due, visitor.progress)

    def _idle_due(self, visitor: Visitor, before: object) -> None:
        now = visitor.progress
        if now is not None and now == before:
            self.close(visitor, "idle", f"nothing for {self._limits.idle:g} s")
        else:
            self._wait(visitor, self._limits.idle, self._idle_due, now)
