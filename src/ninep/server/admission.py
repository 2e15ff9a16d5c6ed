"""Which connections are admitted, how many, and how long they may take to negotiate and attach.

Rules

* The kernel's word decides (``access``): a peer that may not connect is closed before anything it
  sent is read.
* Connections are counted by owner, as far as the kernel tells (``Peer.account``), and one peer has
  ``peer_connections`` at most.
* ``reserved_connections`` (a sixteenth of all at most) are only for peers that have fewer than
  ``FEW``: peers that hold connections open in large numbers, from however many addresses, leave
  room for a client that wants its first one. No connection that has attached is ever closed to make
  room: it may be a mount, which does not come back.
* When the limit is reached, the connection that has been longest without attaching is closed for
  the new one: clients that use their connections attach within milliseconds. A peer that has
  ``FEW`` displaces none of a peer that has fewer. When all have attached, the new one is closed.
* A connection has to name its version and attach in time. Afterwards it may rest for ever, as a
  mount does, unless an idle time is set.

What is closed here is logged with peer and reason. Knows of a connection only how far it has got.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from ninep import audit
from ninep.server.access import Access
from ninep.server.counters import Counters
from ninep.server.limits import Limits
from ninep.transport.peers import Peer

log = logging.getLogger("ninep.server")

FEW: Final = 4
"""Connections of a peer from which on the reserved ones are not for it."""


class Candidate(Protocol):
    """What admission reads of a connection."""

    peer: Peer

    @property
    def negotiated(self) -> bool:
        """A version was agreed on."""

    @property
    def attached(self) -> bool:
        """A Tattach succeeded since the last version."""

    @property
    def progress(self) -> object:
        """Changes whenever a whole request arrived or a reply was taken; None while a request is in
        flight.
        """

    def abort(self) -> None:
        """Close at once."""


class Admission:
    """The connections of one server, as far as they are counted and timed."""

    def __init__(self, access: Access, limits: Limits, counters: Counters | None = None) -> None:
        self._counters = counters or Counters()
        self.change(access, limits)
        self._accounts: Counter[object] = Counter()
        self._account_of: dict[Candidate, object] = {}
        self._timers: dict[Candidate, asyncio.TimerHandle | None] = {}
        """All that are in, in the order in which they came."""
        self.refused = 0
        """How many were closed here."""

    def change(self, access: Access, limits: Limits) -> None:
        """Who may connect from now on, and how many. Who is in stays in."""
        self._access = access
        self._limits = limits
        self._reserved = min(limits.reserved_connections, limits.connections // 16)

    def __len__(self) -> int:
        return len(self._timers)

    def enter(self, candidate: Candidate) -> bool:
        """Admit a connection, or close it."""
        account = candidate.peer.account
        limit, why = self._refusal(candidate.peer, account)
        if why:
            self.close(candidate, limit, why)
            return False
        self._counters.admitted()
        self._accounts[account] += 1
        self._account_of[candidate] = account
        self._timers[candidate] = None
        self._wait(candidate, self._limits.version_within, self._version_due)
        return True

    def identified(self, candidate: Candidate) -> None:
        """More is known of a peer that is in: it may be one that is not to be."""
        why = self._access.refusal(candidate.peer)
        if why and candidate in self._timers:
            self.close(candidate, "access", why)

    def leave(self, candidate: Candidate) -> None:
        """A connection has ended, whether it was admitted or not."""
        if candidate not in self._timers:
            return
        timer = self._timers.pop(candidate)
        if timer is not None:
            timer.cancel()
        account = self._account_of.pop(candidate)
        self._accounts[account] -= 1
        if not self._accounts[account]:
            del self._accounts[account]

    def close(self, candidate: Candidate, limit: str, why: str) -> None:
        """Close a connection and say why."""
        self.refused += 1
        self._counters.beyond(limit)
        log.warning("closing %s: %s", candidate.peer, why)
        audit.record("connect", limit, peer=str(candidate.peer), why=why)
        candidate.abort()

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
        for candidate, account in self._account_of.items():
            if not candidate.attached and whose(account):
                self.close(candidate, limit, "it has not attached, and the limit is reached")
                self.leave(candidate)
                return True
        return False

    # -- time ----------------------------------------------------------------------------------------------------------

    def _wait(self, candidate: Candidate, seconds: float, then: Callable[..., None], *seen: object) -> None:
        if seconds > 0:
            self._timers[candidate] = asyncio.get_running_loop().call_later(seconds, then, candidate, *seen)
        else:
            then(candidate, *seen)

    def _version_due(self, candidate: Candidate) -> None:
        limits = self._limits
        if limits.version_within and not candidate.negotiated:
            self.close(candidate, "version_within", f"no Tversion within {limits.version_within:g} s")
            return
        rest = limits.attach_within - limits.version_within if limits.attach_within else 0
        self._wait(candidate, max(rest, 0), self._attach_due)

    def _attach_due(self, candidate: Candidate) -> None:
        limits = self._limits
        if limits.attach_within and not candidate.attached:
            self.close(candidate, "attach_within", f"no Tattach within {limits.attach_within:g} s")
        elif limits.idle:
            self._wait(candidate, limits.idle, self._idle_due, candidate.progress)

    def _idle_due(self, candidate: Candidate, before: object) -> None:
        now = candidate.progress
        if now is not None and now == before:
            self.close(candidate, "idle", f"nothing for {self._limits.idle:g} s")
        else:
            self._wait(candidate, self._limits.idle, self._idle_due, now)
