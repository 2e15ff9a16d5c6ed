"""The tables and the JSON."""

from __future__ import annotations

import datetime as dt
import gc
import json
import math
import os
import platform
import statistics
import subprocess
import timeit
from collections.abc import Callable, Sequence
from dataclasses import asdict

from bench.rounds import Bench, median_of, ratio
from bench.sample import Sample
from bench.servers import BY_KEY, Server, which
from bench.targets import Check, Verdict
from bench.workloads import Load, Workload


def _field(path: str, name: str, separator: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return next((line.partition(separator)[2].strip().strip('"') for line in f if line.startswith(name)), "")
    except OSError:
        return ""


def _version(command: Sequence[str]) -> str:
    program = which(command[0])
    if not program:
        return ""
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def _nanoseconds(call: Callable[[], object]) -> float:
    """Nanoseconds per call: the best of several loops."""
    return min(timeit.repeat(call, number=20_000, repeat=7)) / 20_000 * 1e9


def system_call() -> str:
    """The cost of a system call (getppid(2)), without that of the Python function call.

    All ratios depend on it: where system calls are expensive, servers differ less from each other.
    """
    return f"{_nanoseconds(os.getppid) - _nanoseconds(gc.isenabled):.0f} ns"


def machine(bench: Bench) -> dict[str, object]:
    """The machine and the versions, for comparison with other figures."""
    return {
        "processor": _field("/proc/cpuinfo", "model name", ":"),
        "cores_used": list(bench.cpus),
        "kernel": platform.release(),
        "system": _field("/etc/os-release", "PRETTY_NAME", "=") or platform.platform(),
        "python": platform.python_version(),
        "file_system": _version(["stat", "-f", "-c", "%T", bench.tree.root]),
        "diod": _version(["dpkg-query", "-W", "-f", "${Version}", "diod"]),
        "when": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "a_system_call_costs": system_call(),
        "msize_asked_for": bench.plan.msize or 1 << 20,
        "load_average": [round(x, 2) for x in os.getloadavg()],
    }


def number(x: float) -> str:
    """Three significant figures, thousands as k."""
    if not math.isfinite(x):
        return "failed"
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if abs(x) >= limit:
            return f"{x / limit:.3g}{unit}" if abs(x) < 1000 * limit else f"{x / limit:.0f}{unit}"
    return f"{x:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * (len(head) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def rates(samples: Sequence[Sample], servers: Sequence[Server], workloads: Sequence[Workload], load: Load) -> str:
    """The figures of all servers at one load."""
    rows = []
    for w in workloads:
        values = [median_of(samples, s.key, w.key, load.key) for s in servers]
        if any(v is not None for v in values):
            rows.append([f"{w.title} ({w.unit})", *("" if v is None else number(v) for v in values)])
    return _table([load.key, *(s.title for s in servers)], rows)


def processor_time(
    samples: Sequence[Sample], servers: Sequence[Server], workloads: Sequence[Workload], load: Load
) -> str:
    """Microseconds of processor time of the server's processes per operation (entry); other load
    changes it little.
    """
    rows = []
    for w in workloads:
        cells = []
        for s in servers:
            found = [
                x.server_cpu_us
                for x in samples
                if (x.server, x.workload, x.load) == (s.key, w.key, load.key) and not x.errors
            ]
            cells.append(f"{statistics.median(found):.2f}" if found else "")
        if any(cells):
            rows.append([w.title, *cells])
    return _table([f"us, {load.key}", *(s.title for s in servers)], rows)


def ratios(
    samples: Sequence[Sample],
    ours: Server,
    peers: Sequence[Server],
    workloads: Sequence[Workload],
    loads: Sequence[Load],
) -> str:
    """The ratio to each other server, at each load: medians of the rounds."""
    head = [ours.title] + [f"{load.key} / {peer.title}" for peer in peers for load in loads]
    rows = []
    for w in workloads:
        cells = [ratio(samples, ours.key, peer.key, w.key, load.key) for peer in peers for load in loads]
        if any(cells):
            rows.append([w.title, *(f"{c.median:.2f}" if c else "" for c in cells)])
    return _table(head, rows) if rows else ""


def checks_table(checks: Sequence[Check]) -> str:
    """The properties, and whether they are within their bounds."""
    rows = [
        [c.name, f"{c.value:,.2f} {c.unit}" if math.isfinite(c.value) else "failed",
         "" if c.bound is None else f"{'<=' if c.at_most else '>='} {c.bound:g}", "" if c.bound is None else "yes" if c.met else "NO"]
        for c in checks
    ]  # fmt: skip
    return _table(["property", "measured", "bound", "kept"], rows)


def missed(verdicts: Sequence[Verdict]) -> str:
    """The number of targets met, and each cell that misses its target."""
    groups: dict[tuple[str, str, float], list[Verdict]] = {}
    for v in verdicts:
        groups.setdefault((v.target.ours, v.target.peer, v.target.least), []).append(v)
    lines = []
    for (ours, peer, least), members in groups.items():
        met = sum(v.met for v in members)
        lines.append(f"{ours} >= {least:.2f} x {peer}: {met} of {len(members)} cells")
        lines += [f"  missed: {v.ratio.workload} {v.ratio.load}: {v.ratio.median:.2f}" for v in members if not v.met]
    return "\n".join(lines)


def as_markdown(
    bench: Bench, samples: Sequence[Sample], servers: Sequence[Server], workloads: Sequence[Workload], loads: Sequence[Load],
    checks: Sequence[Check], verdicts: Sequence[Verdict],
) -> str:  # fmt: skip
    """The whole report as text."""
    parts = [f"* {k.replace('_', ' ')}: {v}" for k, v in machine(bench).items()]
    text = ["# Benchmark", "\n".join(parts)]
    measured = [s for s in servers if any(x.server == s.key for x in samples)]
    for ours in measured:
        peers = [p for p in measured if p is not ours and p.dialect == ours.dialect and p.kind != "ours"]
        if ours.kind == "ours" and peers:
            text.append(f"## Ratios: {ours.title}\n\n" + ratios(samples, ours, peers, workloads, loads))
    models = [s for s in measured if s.kind == "ours" and s.dialect == "L" and s.key != "ninep"]
    if "ninep" in {s.key for s in measured}:
        text += [
            f"## {m.title}, against passthrough\n\n" + ratios(samples, m, [BY_KEY["ninep"]], workloads, loads)
            for m in models
        ]
    text += (
        ["## Figures\n\n" + "\n\n".join(rates(samples, measured, workloads, load) for load in loads)] if samples else []
    )
    if samples:
        tables = [processor_time(samples, measured, workloads, load) for load in loads]
        text.append("## Processor time of the server per operation\n\n" + "\n\n".join(tables))
    text += ["## Properties\n\n" + checks_table(checks)] if checks else []
    text += ["## Targets\n\n" + missed(verdicts)] if verdicts else []
    return "\n\n".join(text) + "\n"


def as_json(bench: Bench, samples: Sequence[Sample], checks: Sequence[Check], verdicts: Sequence[Verdict]) -> str:
    """The whole report as JSON."""
    plan = {"seconds": bench.plan.seconds, "rounds": bench.rounds}
    return json.dumps(
        {
            "machine": machine(bench),
            "plan": plan,
            "targets": [{**asdict(v.ratio), "least": v.target.least, "met": v.met} for v in verdicts],
            "properties": [
                {**asdict(c), "value": c.value if math.isfinite(c.value) else None, "met": c.met} for c in checks
            ],
            "samples": [s.as_dict() for s in samples],
        },
        indent=1,
    )
