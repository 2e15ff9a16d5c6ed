"""The whole benchmark: `python bench/run.py`.

Builds the load generator and the limit server, makes the tree, starts the installed servers,
measures them alternately and writes results.md, results.json and results.svg in the output
directory.  `--install` installs the other servers first. `--short` is for continuous integration: a
few operations of each kind, every reply checked, without measuring time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import replace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import extras, install, plot, report, servers, tree
from bench.rounds import Bench, measure_all
from bench.sample import Plan, Sample
from bench.targets import Check, verdicts
from bench.workloads import LOADS, WORKLOADS, Load

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_SERVERS = "ninep,diod,rawd,ninep-mapped-xattr"
PROPERTIES = ("scaling", *extras.PROPERTIES)
SHORT_SIZE = {"files": 20, "entries": 50, "big": 4 << 20}
SHORT_LOADS = (Load(1, 1), Load(1, 16), Load(4, 2))


def parse(argv: list[str]) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--install",
        action="store_true",
        help="install diod and gcc with apt-get, Python peers into a private environment",
    )
    p.add_argument("--servers", default=DEFAULT_SERVERS, help=f"comma separated, or `all`: {', '.join(servers.BY_KEY)}")
    p.add_argument(
        "--against",
        default="",
        metavar="CHECKOUT",
        help="another checkout of ninep: what a change gained, in the same run",
    )
    p.add_argument("--only", default="", help=f"comma separated workloads: {', '.join(w.key for w in WORKLOADS)}")
    p.add_argument(
        "--loads",
        default="",
        help=f"connections x outstanding, comma separated (default {','.join(x.key for x in LOADS)})",
    )
    p.add_argument(
        "--properties",
        default="",
        help=f"comma separated, or `all`: {', '.join(PROPERTIES)}; measured beside the workloads",
    )
    p.add_argument("--no-workloads", action="store_true", help="measure the properties only")
    p.add_argument("--rounds", type=int, default=5, help="measurements of each cell (default 5)")
    p.add_argument("--seconds", type=float, default=0.4, help="length of each (default 0.4)")
    p.add_argument(
        "--msize",
        type=int,
        default=0,
        help="what the client asks for, in bytes (default 1 MiB); 65536 is the most that diod 1.0.24 agrees to",
    )
    p.add_argument(
        "--short", action="store_true", help="a few operations of each workload; fails if any reply was wrong"
    )
    p.add_argument(
        "--dir", default="", help="where the tree is made (default: below --out); its file system is what is measured"
    )
    p.add_argument("--out", default=os.path.join(HERE, "out"), help="where results and tools go (default bench/out)")
    return p.parse_args(argv)


def chosen(words: str, table: dict[str, object], default: list[str]) -> list[str]:
    """The keys a comma separated option names.

    Raises:
        SystemExit: one of them is not in the table.
    """
    keys = list(table) if words == "all" else [w for w in words.split(",") if w] or default
    unknown = [k for k in keys if k not in table]
    if unknown:
        raise SystemExit(f"unknown: {', '.join(unknown)}; known are {', '.join(table)}")
    return keys


def load_of(key: str) -> Load:
    conns, _, depth = key.partition("x")
    return Load(int(conns), int(depth or 1))


def available(options: argparse.Namespace, programs: servers.Programs) -> list[servers.Server]:
    """The requested servers that can be started here; the others are listed on stderr."""
    keys = chosen(options.servers, dict(servers.BY_KEY), [])
    if options.against and "against" not in keys:
        keys.append("against")
    found = []
    for key in keys:
        reason = servers.missing(servers.BY_KEY[key], programs)
        if reason:
            print(f"left out: {key}: {reason}", file=sys.stderr)
        else:
            found.append(servers.BY_KEY[key])
    return found


def properties(bench: Bench, keys: list[str], present: list[servers.Server]) -> list[Check]:
    """The properties of every requested 9P2000.L server."""
    singles = [s for s in present if s.dialect == "L" and s.cores == 1]
    checks: list[Check] = []
    for key in keys:
        print(f"property: {key}", file=sys.stderr)
        if key == "scaling":
            if servers.BY_KEY["ninep"] in singles:
                checks += extras.scaling(bench, servers.BY_KEY["ninep"], servers.BY_KEY["ninep-2"])
        else:
            for server in singles:
                checks += extras.PROPERTIES[key](bench, server)
    return checks


def write(out: str, name: str, text: str) -> None:
    if text:
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            f.write(text)


def main(argv: list[str]) -> int:
    options = parse(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates the servers
    out = os.path.abspath(options.out)
    os.makedirs(out, exist_ok=True)
    if options.install:
        install.install(HERE, out)
    programs = replace(install.tools(HERE, out), against=os.path.abspath(options.against) if options.against else "")
    size = SHORT_SIZE if options.short else {}
    data = tree.BenchTree(
        os.path.abspath(options.dir or os.path.join(out, "tree-short" if options.short else "tree")), **size
    )
    os.makedirs(data.root, exist_ok=True)
    tree.build(data)
    plan = replace(Plan(count=3) if options.short else Plan(seconds=options.seconds), msize=options.msize)
    bench = Bench(programs, data, tuple(sorted(os.sched_getaffinity(0))), plan, 1 if options.short else options.rounds)
    present = available(options, programs)
    table = {w.key: w for w in WORKLOADS}
    workloads = [table[k] for k in chosen(options.only, dict(table), list(table))]
    loads = [load_of(k) for k in options.loads.split(",") if k] or list(SHORT_LOADS if options.short else LOADS)
    samples: list[Sample] = [] if options.no_workloads else measure_all(bench, present, workloads, loads)
    checks = properties(bench, chosen(options.properties, dict.fromkeys(PROPERTIES), []), present)
    if options.short:
        return short_verdict(samples)
    judged = verdicts(samples)
    write(out, "results.json", report.as_json(bench, samples, checks, judged))
    text = report.as_markdown(bench, samples, present, workloads, loads, checks, judged)
    write(out, "results.md", text)
    write(out, "results.svg", plot.svg(samples, servers.BY_KEY["ninep"], servers.BY_KEY["diod"], workloads, loads))
    print(text)
    return 0


def short_verdict(samples: list[Sample]) -> int:
    """0 if there were replies and all of them were correct."""
    wrong = [s for s in samples if s.errors]
    for s in wrong:
        print(f"{s.server} {s.workload} {s.load}: {s.errors} wrong: {s.error}")
    print(f"{len(samples)} runs, {len(wrong)} with wrong replies")
    return 1 if wrong or not samples else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
