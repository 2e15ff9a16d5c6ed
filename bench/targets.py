"""The targets for the figures, as a table, and which of them are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.rounds import Ratio, ratio
from bench.sample import Sample
from bench.workloads import BIG_TRANSFERS, STAT_AND_LISTING, WORKLOADS

ALL = tuple(w.key for w in WORKLOADS)
REQUESTS = tuple(k for k in ALL if k not in BIG_TRANSFERS)
PIPELINED = ("1x1", "1x16", "1x64")
MANY = ("8x1", "100x1")
THROUGH_A_RING = ("getattr", "walk1", "read4k")
EVERY = PIPELINED + MANY


@dataclass(frozen=True)
class Target:
    """`ours` is at least `least` times as fast as `peer` for these workloads at these loads."""

    ours: str
    peer: str
    least: float
    loads: tuple[str, ...]
    workloads: tuple[str, ...] = ALL


TARGETS = (
    Target("ninep", "diod", 1.0, PIPELINED),
    Target("ninep", "diod", 1.6, MANY, REQUESTS),
    Target("ninep", "diod", 1.0, MANY, BIG_TRANSFERS),
    Target("ninep", "rawd", 0.5, ("1x1",), REQUESTS),
    Target("ninep", "rawd", 0.6, ("1x16",), REQUESTS),
    Target("ninep", "rawd", 0.8, PIPELINED, BIG_TRANSFERS),
    Target("ninep-9p2000", "p9fs", 3.0, EVERY),
    Target("ninep-9p2000", "pyroute2", 3.0, EVERY),
    Target("ninep-9p2000", "aio9p", 3.0, EVERY),
    # without a virtual machine: the driver's half of the virtqueue is in p9load
    Target("ninep-virtio", "ninep", 1.3, ("1x1",), THROUGH_A_RING),
    Target("ninep-virtio", "rawd", 1.0, ("1x1",), THROUGH_A_RING),
    # at most 1.3 times the cost
    Target("ninep-mapped-xattr", "ninep", 1 / 1.3, EVERY, STAT_AND_LISTING),
)


@dataclass(frozen=True)
class Verdict:
    """The result of a target for one cell."""

    target: Target
    ratio: Ratio

    @property
    def met(self) -> bool:
        """Rounded like the printed figure, so that the table is consistent."""
        return round(self.ratio.median, 2) >= round(self.target.least, 2)


def verdicts(samples: Sequence[Sample]) -> list[Verdict]:
    """The results for every cell with a target and good samples of both servers."""
    found = []
    for target in TARGETS:
        for load in target.loads:
            for workload in target.workloads:
                r = ratio(samples, target.ours, target.peer, workload, load)
                if r:
                    found.append(Verdict(target, r))
    return found


@dataclass(frozen=True)
class Check:
    """A figure that is not a ratio of two servers, and its bound; `bound` None: no bound."""

    name: str
    value: float
    unit: str
    bound: float | None
    at_most: bool = True

    @property
    def met(self) -> bool:
        """True also without a bound."""
        if self.bound is None:
            return True
        return self.value <= self.bound if self.at_most else self.value >= self.bound
