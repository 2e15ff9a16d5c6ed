"""A B A B: every workload at every load on every server, in rounds.

Servers are measured directly after each other and compared within a round only, so that changes of
the machine's speed between rounds do not affect the ratios.  The result is the median of the
rounds' ratios.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bench.sample import Plan, Sample, cores_for, measure
from bench.servers import Programs, Running, Server, running
from bench.tree import BenchTree, sweep, warm
from bench.workloads import Load, Workload


@dataclass(frozen=True)
class Bench:
    """The parameters of all measurements."""

    programs: Programs
    tree: BenchTree
    cpus: tuple[int, ...]
    plan: Plan
    rounds: int


def runs(server: Server, workload: Workload, load: Load) -> bool:
    """Whether the server supports this workload and load."""
    if workload.connects and load.depth > 1:
        return False
    return workload.key not in server.lacks and (server.dialect == "L" or workload.base)


def report(sample: Sample) -> None:
    """One line of progress on stderr."""
    error = f"  {sample.errors} wrong: {sample.error}" if sample.errors else ""
    print(
        f"  {sample.load:>6} {sample.workload:<10} {sample.server:<20} {sample.value:>12,.0f} {sample.unit}{error}",
        file=sys.stderr,
    )


def measure_all(
    bench: Bench, servers: Sequence[Server], workloads: Sequence[Workload], loads: Sequence[Load],
    progress: Callable[[Sample], None] = report,
) -> list[Sample]:  # fmt: skip
    """All cells; the servers are started once for each load, on the cores for that load."""
    samples: list[Sample] = []
    for load in loads:
        with contextlib.ExitStack() as stack:
            up: list[Running] = []
            for server in servers:
                cpus = cores_for(load, bench.cpus, server.cores).server
                try:
                    up.append(stack.enter_context(running(server, bench.tree.root, bench.programs, cpus)))
                except RuntimeError as error:
                    if server.kind == "ours":
                        raise
                    print(f"left out: {error}", file=sys.stderr)
            for workload in workloads:
                for number in range(bench.rounds):
                    for where in up:
                        if runs(where.server, workload, load):
                            sample = _cell(bench, where, workload, load, number)
                            samples.append(sample)
                            progress(sample)
    return samples


def _cell(bench: Bench, where: Running, workload: Workload, load: Load, number: int) -> Sample:
    cores = cores_for(load, bench.cpus, where.server.cores)
    warm(bench.tree, workload.program)
    sample = measure(bench.programs.p9load, where, workload, load, bench.tree, cores, bench.plan, number)
    sweep(bench.tree)
    return sample


@dataclass(frozen=True)
class Ratio:
    """The speed of `ours` relative to `peer`: the median of the rounds, and the extremes."""

    ours: str
    peer: str
    workload: str
    load: str
    median: float
    low: float
    high: float
    ours_value: float
    peer_value: float
    unit: str


def _by_round(samples: Iterable[Sample], server: str, workload: str, load: str) -> dict[int, Sample]:
    return {
        s.round: s
        for s in samples
        if (s.server, s.workload, s.load) == (server, workload, load) and not s.errors and s.value > 0
    }


def ratio(samples: Sequence[Sample], ours: str, peer: str, workload: str, load: str) -> Ratio | None:
    """The ratio of one cell; None where one of the two has no good sample."""
    a, b = _by_round(samples, ours, workload, load), _by_round(samples, peer, workload, load)
    both = sorted(a.keys() & b.keys())
    if not both:
        return None
    each = [a[n].value / b[n].value for n in both]
    return Ratio(
        ours, peer, workload, load, statistics.median(each), min(each), max(each),
        statistics.median(a[n].value for n in both), statistics.median(b[n].value for n in both), a[both[0]].unit,
    )  # fmt: skip


def median_of(samples: Iterable[Sample], server: str, workload: str, load: str) -> float | None:
    """The median value of one cell, or None."""
    values = [s.value for s in _by_round(samples, server, workload, load).values()]
    return statistics.median(values) if values else None
