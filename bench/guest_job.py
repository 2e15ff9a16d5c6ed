"""Real work through the kernel's 9p client: `python bench/guest_job.py`.

A guest unpacks a source tree, runs `git status` twice, builds, builds again without changes and
removes the tree; lists a large directory; writes and reads a large file, in order and at random
(bench/guest_rows.py has the rows): on this server over virtio, over TCP through QEMU's user network,
passt or a tap device, on diod over TCP, on QEMU's own 9pfs over virtio, as virtiofs and on virtiofsd,
and in its own memory as the lower bound (bench/guest_mounts.py), in turn, in one guest.  The guest's own work is the same
everywhere, so the differences are those of the file servers and of the way to them.  Needs the same
programs as tests/guest (QEMU, busybox, apt), and passt for that way.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from tests.guest.debs import Unavailable  # noqa: E402 - found by the line above
from tests.guest.qemu import qemu  # noqa: E402
from tests.guest.vm import Guest, Lost  # noqa: E402

from bench import install  # noqa: E402
from bench.guest_mounts import VIRTIOFSD, MountPoint, Setup, processor, set_up  # noqa: E402
from bench.guest_rows import JOB, PREPARE, STAGES, Row, Stage  # noqa: E402

HERE = os.path.join(ROOT, "bench")
LIMIT = 600.0
MODELS = ("mapped-xattr", "passthrough")
MOUNTS = (
    *(f"{transport}:{model}" for model in MODELS for transport in ("virtio", "9pfs")),
    *("tcp:mapped-xattr", "passt:mapped-xattr", "tap:mapped-xattr", "tcp:passthrough", "diod-names", "memory"),
    *("virtiofs:passthrough", "virtiofsd", "virtiofsd-c"),
)
ACCELERATORS = {"tcg": "tcg,thread=multi", "kvm": "kvm"}
COMPARED = (
    *(("virtio", other) for other in ("9pfs", "tcp")),
    *((other, "tcp") for other in ("passt", "tap")),
    *(("virtiofs", other) for other in VIRTIOFSD),
)
"""Whose ratios are told: of two transports with the same model, or of one to another server."""

# Of one row in one round: seconds by the clock; of processor time of the server; of that and of QEMU
# and what else carries the requests.
Figures = dict[str, float]
Results = dict[str, list[dict[str, Figures]]]
Cell = Callable[[dict[str, Figures], str], float | None]


def run_stage(guest: Guest, setup: Setup, mount: MountPoint, stage: Stage, found: dict[str, Figures]) -> None:
    """Run the rows once; their figures are added to `found`.

    Raises:
        AssertionError: a command failed; the text is its output.
    """
    at = f"/mnt/{mount.key.replace(':', '-')}"
    guest.run(f"mkdir -p {at}").check()
    if mount.source:
        guest.run(mount.command(stage.options, at)).check()
    server = [mount.pid] if mount.pid else []
    everything = [*server, guest.pid, *setup.processes]
    try:
        for row in mount.of(stage):
            guest.run(row.before, cwd=at).check()
            used, used_by_all, start = processor(server), processor(everything), time.monotonic()
            done = guest.run(row.command, cwd=at, limit=LIMIT).check()
            taken = time.monotonic() - start
            # The tree is as it was packed.
            assert not (row.silent and done.output.strip()), f"{mount.key}: {row.title} said: {done.output}"
            found[row.key] = {
                "seconds": row.seconds(taken, done.output),
                "server": processor(server) - used,
                "all": processor(everything) - used_by_all,
            }
            print(f"  {mount.key:<20} {row.title:<28} {taken:7.2f} s", file=sys.stderr, flush=True)
    finally:
        if mount.source and guest.alive:
            guest.run(f"umount {at}").check()


def measure(results: Results, setup: Setup, stages: Sequence[Stage], rounds: int, accelerator: str) -> None:
    """All stages on every mount in turn, in one guest; `results` has at any time what was measured."""
    results |= {mount.key: [] for mount in setup.mounts}
    newer = qemu(generic_device=True)
    with Guest(
        setup.shares, "bench", memory_mib=2048, vhost_user=setup.devices, networks=setup.networks,
        accelerator=ACCELERATORS[accelerator], program=newer,
    ) as guest:  # fmt: skip
        setup.up(guest)
        guest.put(Path(HERE, "load"), "/run/c")
        guest.put(Path(HERE, "limit"), "/run/c")
        guest.run(PREPARE, limit=LIMIT).check()
        for number in range(rounds):
            for mount in setup.mounts:
                results[mount.key].append({})
            for stage in stages:
                for mount in setup.mounts:
                    if mount.of(stage):
                        run_stage(guest, setup, mount, stage, results[mount.key][number])
            print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)


def whole(figures: dict[str, Figures], kind: str) -> float | None:
    """The sum over the job, where all of it was run."""
    return sum(figures[row.key][kind] for row in JOB) if all(row.key in figures for row in JOB) else None


def cells(stages: Sequence[Stage]) -> dict[str, Cell]:
    """The rows of the tables: a title, and how the figure comes of one round and kind."""

    def of(row: Row) -> Cell:
        return lambda figures, kind: figures[row.key][kind] if row.key in figures else None

    found: dict[str, Cell] = {}
    for stage in stages:
        mark = f", {stage.key}" if "=" in stage.key else ""
        found |= {row.title + mark: of(row) for row in stage.rows}
        if stage.key == "job":
            found["the whole job"] = whole
    return found


def table(results: Results, stages: Sequence[Stage], kind: str, title: str) -> str:
    """Medians of the rounds, with a column for each mount."""
    lines = ["| " + " | ".join([title, *results]) + " |", "|---" + "|--:" * len(results) + "|"]
    for name, figure in cells(stages).items():
        row = [[x for x in (figure(one, kind) for one in rounds) if x is not None] for rounds in results.values()]
        if any(row):
            lines.append(f"| {name} | " + " | ".join(f"{statistics.median(x):.2f}" if x else "" for x in row) + " |")
    return "\n".join(lines)


def ratios(results: Results, stages: Sequence[Stage], kind: str, title: str) -> str:
    """Medians of the ratios within each round, of one transport to another with the same model."""
    pairs = [
        (f"{ours}:{model}", theirs if theirs in VIRTIOFSD else f"{theirs}:{model}")
        for model in MODELS
        for ours, theirs in COMPARED
    ]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours in results and theirs in results]
    if not pairs:
        return ""
    lines = ["| " + " | ".join([title, *(f"{a} / {b}" for a, b in pairs)]) + " |", "|---" + "|--:" * len(pairs) + "|"]
    for name, figure in cells(stages).items():
        row = []
        for ours, theirs in pairs:
            both = [(figure(a, kind), figure(b, kind)) for a, b in zip(results[ours], results[theirs], strict=True)]
            found = [a / b for a, b in both if a is not None and b]
            row.append(f"{statistics.median(found):.2f}" if found else "")
        if any(row):
            lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def report(results: Results, stages: Sequence[Stage], rounds: int, accelerator: str) -> str:
    """All tables."""
    version = ".".join(map(str, qemu(generic_device=True).version))
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    parts = [
        f"QEMU {version}, {accelerator}, one virtual processor; load average at the end: {load}.",
        table(results, stages, "seconds", f"seconds, medians of {rounds}"),
        ratios(results, stages, "seconds", "ratio of seconds"),
        table(results, stages, "all", "processor time: QEMU, server, passt"),
        table(results, stages, "server", "processor time: the server alone"),
    ]
    return "\n\n".join(part for part in parts if part)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--mounts", default=",".join(MOUNTS), help="comma separated, see bench/guest_mounts.py")
    p.add_argument("--rows", default="", help="comma separated keys of bench/guest_rows.py; all unless given")
    p.add_argument("--accel", choices=tuple(ACCELERATORS), default="tcg", help="software emulation unless kvm")
    p.add_argument("--out", default=os.path.join(HERE, "out"))
    options = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates guest and servers
    os.makedirs(options.out, exist_ok=True)
    programs = install.tools(HERE, os.path.abspath(options.out))
    stages = chosen(options.rows)
    scratch = tempfile.mkdtemp(prefix="bench-guest.", dir=options.out)
    results: Results = {}
    try:
        with set_up([k for k in options.mounts.split(",") if k], scratch, programs) as setup:
            measure(results, setup, stages, options.rounds, options.accel)
    except Unavailable as missing:
        print(f"no guest: {missing}", file=sys.stderr)
        return 2
    except Lost as lost:
        print(f"the guest was lost: {lost}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if any(any(rounds) for rounds in results.values()):  # also of a measurement that was ended
            write(options.out, results, report(results, stages, options.rounds, options.accel))
    return 0


def write(out: str, results: Results, text: str) -> None:
    """The figures as JSON, and the tables, which are printed too."""
    with open(os.path.join(out, "guest.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    with open(os.path.join(out, "guest.md"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    print(text)


def chosen(keys: str) -> list[Stage]:
    """The stages with only the rows asked for."""
    wanted = set(filter(None, keys.split(",")))
    known = {row.key for stage in STAGES for row in stage.rows}
    if wanted - known:
        raise SystemExit(f"no such row: {', '.join(sorted(wanted - known))}; there are {', '.join(sorted(known))}")
    kept = [Stage(s.key, s.options, tuple(r for r in s.rows if not wanted or r.key in wanted)) for s in STAGES]
    return [stage for stage in kept if stage.rows]


if __name__ == "__main__":
    raise SystemExit(main())
