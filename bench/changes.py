"""The effect of single changes in this project's history: `python bench/changes.py`.

Each change is compared with the commit before it, alternately and in one run, as `run.py` compares
servers.  Writes changes.md in the output directory.  Needs the repository with its history.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from bench import install, tree  # noqa: E402 - found by the line above
from bench.rounds import Bench, measure_all, ratio  # noqa: E402
from bench.sample import Plan  # noqa: E402
from bench.servers import OURS, Server  # noqa: E402
from bench.workloads import LOADS, WORKLOADS  # noqa: E402

HERE = os.path.join(ROOT, "bench")
AFTER, BEFORE = (
    Server(key, key, "env PYTHONPATH={against}/" + key + "/src " + OURS + "passthrough", "ours")
    for key in ("after", "before")
)


@dataclass(frozen=True)
class Change:
    """A commit, its description, and the cells that should show its effect: workloads and loads."""

    commit: str
    what: str
    workloads: tuple[str, ...]
    loads: tuple[str, ...]


CHANGES = (
    Change("722814e", "directories stay open for a while after their last use", ("walk4", "statpath"), ("1x1",)),
    Change("d8c2b56", "turns with a client that is alone", ("getattr", "read4k"), ("1x1",)),
    Change("3ed3d69", "known directories with one lookup, fids that were never opened", ("walk4", "clone"), ("1x1",)),
    Change("fb620b4", "locks where there are none", ("lock",), ("1x1", "1x16")),
    Change("50afd7d", "replies of several connections together, batches in halves", ("getattr", "clone"), ("1x64", "8x1", "100x1")),
    Change("d87547b", "/proc/self/fd held", ("setattr", "orc"), ("1x1",)),
    Change("1d146e1", "a request that comes alone", ("getattr", "clone"), ("1x1", "8x1")),
    Change("d8eb459", "chmod of the path handle itself, whole unlocks, known directories", ("setattr", "lock", "walk4"), ("1x1",)),
)  # fmt: skip


def unpack(commit: str, into: str) -> None:
    """Extract the sources of a commit.

    Raises:
        SystemExit: this clone does not contain it.
    """
    os.makedirs(into)
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit, "src"], capture_output=True, check=False)
    if archive.returncode:
        raise SystemExit(f"{commit} is not in this clone (a shallow one?): {archive.stderr.decode().strip()}")
    subprocess.run(["tar", "-x", "-C", into], input=archive.stdout, check=True)


def rows(bench: Bench, change: Change) -> list[str]:
    """A line of the table for each workload."""
    unpack(change.commit, os.path.join(bench.programs.against, AFTER.key))
    unpack(change.commit + "^", os.path.join(bench.programs.against, BEFORE.key))
    workloads = [w for w in WORKLOADS if w.key in change.workloads]
    loads = [x for x in LOADS if x.key in change.loads]
    samples = measure_all(bench, (AFTER, BEFORE), workloads, loads)
    lines = []
    for w in workloads:
        found = {x.key: ratio(samples, AFTER.key, BEFORE.key, w.key, x.key) for x in LOADS}
        cells = [f"{cell.median:.2f}" if cell else "" for cell in found.values()]
        lines.append(f"| {change.what} ({change.commit}) | {w.title} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=9, help="measurements of each cell (default 9)")
    p.add_argument("--seconds", type=float, default=0.2, help="length of each (default 0.2)")
    p.add_argument("--out", default=os.path.join(HERE, "out"), help="where the table and tools go (default bench/out)")
    options = p.parse_args()
    out = os.path.abspath(options.out)
    data = tree.BenchTree(os.path.join(out, "tree"))
    os.makedirs(data.root, exist_ok=True)
    tree.build(data)
    lines = [
        "| times as fast as before | " + " | ".join(["", *(x.key for x in LOADS)]) + " |",
        "|---|---|" + "--:|" * len(LOADS),
    ]
    for change in CHANGES:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            programs = replace(install.tools(HERE, out), against=scratch)
            plan = Plan(seconds=options.seconds)
            lines += rows(Bench(programs, data, tuple(sorted(os.sched_getaffinity(0))), plan, options.rounds), change)
    text = "\n".join(lines)
    with open(os.path.join(out, "changes.md"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
