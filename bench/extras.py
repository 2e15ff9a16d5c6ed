"""Figures that are not a ratio of two servers: memory, constant cost, scaling over workers, latency
beside a slow disk.

Each function measures one property of one server and returns checks.  A server without the feature
(too few file descriptors for that many fids, no such option) raises nothing: the check has an
infinite or zero value.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import subprocess
from collections.abc import Callable, Sequence

from bench.rounds import Bench, report
from bench.sample import Cores, Plan, Sample, command, cores_for, measure
from bench.servers import Running, Server, pinned, running
from bench.targets import Check
from bench.tree import DEEPEST, deep, directory, sweep
from bench.workloads import WORKLOADS, Load, Workload

BY_KEY = {w.key: w for w in WORKLOADS}
ONE = Load(1, 1)
HELD = Workload("held", "getattr of a random one of the held fids", "held")
FSYNC = Workload("fsync", "write 4 KiB, fsync", "fsync")
MB = 1024.0  # kB of /proc
FLAT = 1.10  # ten per cent
FIDS = (1, 10, 1_000, 100_000)
DEPTHS = (1, 4, 16, DEEPEST)
ENTRIES = (10, 1_000, 10_000, 100_000, 1_000_000)
SHORTEST = {
    "lsl": 1,
    "readdir": 10_000,
}  # minimum number of entries listed, so that the cost of a small listing exceeds the noise


def _median(bench: Bench, where: Running, cores: Cores, workload: Workload, options: Sequence[str]) -> Sample:
    """The median, by mean latency, of as many good samples as there are rounds; a bad one if all
    are bad.
    """
    got = [
        measure(bench.programs.p9load, where, workload, ONE, bench.tree, cores, bench.plan, n, options)
        for n in range(bench.rounds)
    ]
    sweep(bench.tree)
    good = sorted((s for s in got if not s.errors), key=lambda s: s.mean_us)
    sample = good[len(good) // 2] if good else got[0]
    report(sample)
    return sample


def _cheapest(
    bench: Bench,
    where: Running,
    cores: Cores,
    workload: Workload,
    variants: dict[int, list[str]],
    plan: Plan | None = None,
) -> dict[int, float]:
    """Microseconds per operation of each variant: the best of the rounds, each of which measures
    all variants.

    The best, not the median: the question is whether one variant costs more than another, and other
    load on the machine only adds.
    """
    best = dict.fromkeys(variants, math.inf)
    for number, (n, options) in itertools.product(range(bench.rounds), variants.items()):
        s = measure(bench.programs.p9load, where, workload, ONE, bench.tree, cores, plan or bench.plan, number, options)
        if s.errors or not s.mean_us:
            report(s)
        else:
            best[n] = min(best[n], s.mean_us)
    return best


def _flat(name: str, cost: dict[int, float]) -> list[Check]:
    """The cost of each size relative to that of the smallest."""
    first = next(iter(cost.values()))
    return [
        Check(f"{name} {n:,}", us / first if math.isfinite(first) else math.inf, f"x, {us:.2f} us", FLAT)
        for n, us in cost.items()
    ]


def memory(bench: Bench, server: Server) -> list[Check]:
    """Resident memory with one client, and what 100,000 fids add."""
    cores = cores_for(ONE, bench.cpus)
    name = directory(bench.tree, FIDS[-1])
    options = ["--dir", name, "--entries", str(FIDS[-1])]
    with running(server, bench.tree.root, bench.programs, cores.server) as where:
        small = _median(bench, where, cores, BY_KEY["statpath"], [])
        large = _median(bench, where, cores, HELD, [*options, "--hold", str(FIDS[-1])])
    per_fid = math.inf if large.errors else max(0.0, (large.rss_kb - small.rss_kb) * 1024 / FIDS[-1])
    return [
        Check(f"{server.title}: memory with one client", small.rss_kb / MB, "MB", 60),
        Check(f"{server.title}: memory per fid at 100,000 fids", per_fid, "bytes", 1024),
        Check(
            f"{server.title}: getattr of a random one of 100,000 fids",
            large.mean_us if not large.errors else math.inf,
            "us",
            None,
        ),
    ]


def flat_fids(bench: Bench, server: Server) -> list[Check]:
    """Getattr and walk while this number of fids exists."""
    cores = cores_for(ONE, bench.cpus)
    name = directory(bench.tree, FIDS[-1])
    variants = {n: ["--dir", name, "--entries", str(FIDS[-1]), "--hold", str(n)] for n in FIDS}
    checks = []
    with running(server, bench.tree.root, bench.programs, cores.server) as where:
        for key in ("getattr", "walk1"):
            checks += _flat(f"{server.title}: {key}, fids held", _cheapest(bench, where, cores, BY_KEY[key], variants))
    return checks


def flat_depth(bench: Bench, server: Server) -> list[Check]:
    """Getattr and walk from a directory this deep below the root."""
    cores = cores_for(ONE, bench.cpus)
    variants = {n: ["--start", deep(n)] for n in DEPTHS}
    checks = []
    with running(server, bench.tree.root, bench.programs, cores.server) as where:
        for key in ("getattr", "walk1"):
            checks += _flat(f"{server.title}: {key}, depth", _cheapest(bench, where, cores, BY_KEY[key], variants))
    return checks


def flat_entries(bench: Bench, server: Server) -> list[Check]:
    """The cost of one entry of a listing: the whole, less that of an empty directory, divided by
    the number of entries.

    Whole listings are counted, not seconds: the largest takes longer than a measurement should.
    Before each `readdir` the directory is changed; otherwise a server that caches small listings
    (this one does) would be compared with itself without the cache.
    """
    cores = cores_for(ONE, bench.cpus)
    checks = []
    with running(server, bench.tree.root, bench.programs, cores.server) as where:
        nothing = ["--dir", directory(bench.tree, 0), "--entries", "0"]
        empty = _cheapest(bench, where, cores, BY_KEY["readdir"], {0: nothing}, Plan(count=100))[0]
        for key, sizes in (("lsl", ENTRIES[:3]), ("readdir", ENTRIES[1:])):
            cost = dict.fromkeys(sizes, math.inf)
            for n in sizes:
                name = directory(bench.tree, n)
                options = ["--dir", name, "--entries", str(n)]
                listings = Plan(count=1 if key == "readdir" else max(1, 5_000 // n))
                for _ in range(bench.rounds * max(1, SHORTEST[key] // n)):
                    os.utime(os.path.join(bench.tree.root, name))
                    s = measure(
                        bench.programs.p9load, where, BY_KEY[key], ONE, bench.tree, cores, listings, extra=options
                    )
                    cost[n] = min(cost[n], math.inf if s.errors else s.mean_us)
            checks += _flat(f"{server.title}: {key}, entries", {n: (us - empty) / n for n, us in cost.items()})
    return checks


def scaling(bench: Bench, one: Server, two: Server) -> list[Check]:
    """Throughput of two workers relative to one, with eight connections. Servers and client may use
    all cores.
    """
    load, everywhere = Load(8, 1), Cores(bench.cpus, bench.cpus)
    ratios: dict[str, list[float]] = {}
    with (
        running(one, bench.tree.root, bench.programs, bench.cpus) as a,
        running(two, bench.tree.root, bench.programs, bench.cpus) as b,
    ):
        for key in ("getattr", "statpath", "orc"):
            for number in range(bench.rounds):
                x, y = (
                    measure(bench.programs.p9load, w, BY_KEY[key], load, bench.tree, everywhere, bench.plan, number)
                    for w in (a, b)
                )
                report(x)
                report(y)
                ratios.setdefault(key, []).append(y.value / x.value if x.value and not x.errors + y.errors else 0.0)
    return [
        Check(f"2 workers / 1 worker at 8 connections: {k}", statistics.median(v), "x", 1.6, at_most=False)
        for k, v in ratios.items()
    ]


def fsync_load(bench: Bench, server: Server) -> list[Check]:
    """The 99th percentile of getattr alone, and while two other connections write and fsync."""
    cores = cores_for(Load(1, 2), bench.cpus)
    plan = Plan(max(bench.plan.seconds, 0.5))
    alone, beside = [], []
    with running(server, bench.tree.root, bench.programs, cores.server) as where:
        disturb = command(bench.programs.p9load, where, FSYNC, Load(2, 2), bench.tree)
        for number in range(bench.rounds):
            alone.append(measure(bench.programs.p9load, where, BY_KEY["getattr"], ONE, bench.tree, cores, plan, number))
            argv = pinned([*disturb, "-t", str(plan.seconds + 1), "-W", "0"], cores.client)
            with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as noise:
                beside.append(
                    measure(bench.programs.p9load, where, BY_KEY["getattr"], ONE, bench.tree, cores, plan, number)
                )
                noise.wait(plan.timeout)
            sweep(bench.tree)
    p99 = [statistics.median(s.p99_us for s in each) for each in (alone, beside)]
    wrong = sum(s.errors for s in alone + beside)
    return [
        Check(f"{server.title}: p99 of getattr alone", p99[0], "us", None),
        Check(
            f"{server.title}: p99 of getattr under fsync, beyond alone",
            math.inf if wrong else p99[1] - p99[0],
            "us",
            2000,
        ),
    ]


PROPERTIES: dict[str, Callable[[Bench, Server], list[Check]]] = {
    "memory": memory,
    "flat-fids": flat_fids,
    "flat-depth": flat_depth,
    "flat-entries": flat_entries,
    "fsync": fsync_load,
}
