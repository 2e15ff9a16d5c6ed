"""Limits of bytes and operations per second: the leaky bucket of QEMU's throttle groups
(docs/throttle.txt there), over a clock that is given.

A bucket leaks at the rate. What a request counts is put in at once, whenever it may be served:
at the time when what was in the bucket before has leaked to its size. So requests are served in the
order in which they came, from all clients, and what has been served by a time is never more than
the size of the bucket, the rate times that time, and one request.

=====================  ============  =====================================================
limit                  size          second bucket
=====================  ============  =====================================================
RATE                   RATE / 10     none
RATE:MAX               MAX           none
RATE:MAX:SECONDS       MAX * SECONDS leaks at MAX, size MAX / 10: nothing is faster than MAX
=====================  ============  =====================================================

Knows no event loop, connection or message.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from ninep.options import BadOption, did_you_mean, read_amount, show_amount

UNTHROTTLED_SHARE: Final = 10
"""A bucket without bursts holds the tenth part of a second: otherwise every other request would
wait (as QEMU has it).
"""
MAX_RATE: Final = 1 << 50
"""Bytes or operations per second, as QEMU's THROTTLE_VALUE_MAX in size."""
LONGEST: Final = 86400.0
"""Seconds of a burst."""


class Counted(NamedTuple):
    """What a limit counts."""

    reads: bool
    writes: bool
    octets: bool
    """Bytes of data; otherwise operations."""


LIMITS: Final = {
    "bps-total": Counted(reads=True, writes=True, octets=True),
    "bps-read": Counted(reads=True, writes=False, octets=True),
    "bps-write": Counted(reads=False, writes=True, octets=True),
    "iops-total": Counted(reads=True, writes=True, octets=False),
    "iops-read": Counted(reads=True, writes=False, octets=False),
    "iops-write": Counted(reads=False, writes=True, octets=False),
}
"""By QEMU's names."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: ``bps-read=10M:50M:60``."""

    name: str
    """A key of ``LIMITS``."""
    rate: float
    """Per second."""
    most: float = 0.0
    """In a burst, per second; 0: no bursts."""
    seconds: float = 1.0
    """How long a burst may last."""

    def __str__(self) -> str:
        words = [f"{self.name}={show_amount(self.rate)}"]
        if self.most:
            words.append(show_amount(self.most))
        if self.seconds != 1:
            words.append(f"{self.seconds:g}")
        return ":".join(words)

    def share(self, count: int) -> Limit:
        """The part of one of ``count`` processes."""
        return Limit(self.name, self.rate / count, self.most / count, self.seconds)


def parse_limit(text: str) -> Limit:
    """``LIMIT=RATE[:MAX[:SECONDS]]``. ``BadOption``."""
    name, equals, rest = text.partition("=")
    if not equals or name not in LIMITS:
        raise BadOption(
            f"{text!r}: write LIMIT=RATE, with LIMIT one of {', '.join(LIMITS)}{did_you_mean(name, LIMITS)}"
        )
    rate, *burst = rest.split(":")
    if len(burst) > len(("MAX", "SECONDS")):
        raise BadOption(f"{text!r}: write RATE, RATE:MAX or RATE:MAX:SECONDS")
    limit = Limit(name, read_amount(rate), *map(read_amount, burst))
    if not 0 < limit.rate <= MAX_RATE:
        raise BadOption(f"{text!r}: a rate is more than 0, and at most {show_amount(MAX_RATE)} per second")
    if burst and not limit.rate <= limit.most <= MAX_RATE:
        raise BadOption(
            f"{text!r}: in a burst no less than the rate is served, and at most {show_amount(MAX_RATE)} per second"
        )
    if not 1 <= limit.seconds <= LONGEST:
        raise BadOption(f"{text!r}: a burst lasts 1 to {LONGEST:g} seconds")
    return limit


class Bucket:
    """Of one limit. ``now`` is the time in seconds, and never less than the last time."""

    __slots__ = ("_at", "_burst_level", "_burst_size", "_level", "_limit", "_size")

    def __init__(self, limit: Limit, now: float) -> None:
        self._limit = limit
        self._size = limit.most * limit.seconds if limit.most else limit.rate / UNTHROTTLED_SHARE
        self._burst_size = limit.most / UNTHROTTLED_SHARE
        self._level = self._burst_level = 0.0
        self._at = now

    def put(self, units: float, now: float) -> float:
        """Put in what a request counts. In how many seconds it may be served."""
        limit = self._limit
        self._leak(now)
        wait = (self._level - self._size) / limit.rate
        self._level += units
        if limit.seconds > 1:
            wait = max(wait, (self._burst_level - self._burst_size) / limit.most)
            self._burst_level += units
        return max(wait, 0.0)

    def take_back(self, units: float) -> None:
        """Some of what was put in does not count."""
        self._level = max(self._level - units, 0.0)
        self._burst_level = max(self._burst_level - units, 0.0)

    def empty(self, now: float) -> bool:
        """It is as if it were new."""
        self._leak(now)
        return not (self._level or self._burst_level)

    def _leak(self, now: float) -> None:
        passed, self._at = now - self._at, now
        self._level = max(self._level - passed * self._limit.rate, 0.0)
        self._burst_level = max(self._burst_level - passed * self._limit.most, 0.0)


class Group:
    """Several limits that hold together: a request may be served at the latest of their times."""

    __slots__ = ("_buckets", "octets")

    def __init__(self, limits: Iterable[Limit], now: float) -> None:
        self._buckets = [(LIMITS[limit.name], Bucket(limit, now)) for limit in limits]
        self.octets = any(counted.octets for counted, _ in self._buckets)
        """Some limit counts bytes."""

    def put(self, octets: int, now: float, *, writes: bool) -> float:
        """An operation with so many bytes of data. In how many seconds it may be served."""
        wait = 0.0
        for counted, bucket in self._buckets:
            if counted.writes if writes else counted.reads:
                wait = max(wait, bucket.put(octets if counted.octets else 1, now))
        return wait

    def take_back(self, octets: int, operations: int = 0, *, writes: bool) -> None:
        """So many bytes, and so many operations, were not done."""
        for counted, bucket in self._buckets:
            if counted.writes if writes else counted.reads:
                bucket.take_back(octets if counted.octets else operations)

    def empty(self, now: float) -> bool:
        """Nothing that was counted counts any more."""
        return all(bucket.empty(now) for _, bucket in self._buckets)


class Rates(NamedTuple):
    """The limits of an export, by who shares one group."""

    export: tuple[Limit, ...] = ()
    """All its clients."""
    connection: tuple[Limit, ...] = ()
    """The requests of one connection."""
    user: tuple[Limit, ...] = ()
    """Those of one user, by whatever connections."""


MAX_USERS: Final = 1024
"""Groups of users that are kept: the names of users are the clients' own words on most exports."""


class Throttle:
    """The groups of one export."""

    __slots__ = ("_users", "_whole", "rates")

    def __init__(self, rates: Rates | None = None) -> None:
        self.change(rates or Rates())

    @property
    def active(self) -> bool:
        """There is a limit."""
        return any(self.rates)

    def change(self, rates: Rates) -> None:
        """Other limits from now on; nothing was counted yet."""
        self.rates = rates
        self._whole: Group | None = None
        self._users: dict[Hashable, Group] = {}

    def groups(self, own: dict[Throttle, Group], user: Hashable, now: float) -> list[Group]:
        """Those that a request of a connection and a user belongs to. ``own``: the groups of the
        connection, which are made here.
        """
        found: list[Group] = []
        export, connection, by_user = self.rates
        if export:
            if self._whole is None:
                self._whole = Group(export, now)
            found.append(self._whole)
        if connection:
            group = own.get(self)
            if group is None:
                group = own[self] = Group(connection, now)
            found.append(group)
        if by_user:
            found.append(self._users.get(user) or self._new_user(user, now))
        return found

    def _new_user(self, user: Hashable, now: float) -> Group:
        """Beyond ``MAX_USERS`` that were here lately, all others share one."""
        users = self._users
        if len(users) >= MAX_USERS:
            self._users = users = {key: group for key, group in users.items() if not group.empty(now)}
        if len(users) >= MAX_USERS:
            user = None
        return users.setdefault(user, Group(self.rates.user, now))
