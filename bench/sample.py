"""One measurement: p9load with one running server, and its output as a typed row."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.servers import Running, pinned
from bench.tree import BenchTree
from bench.workloads import Load, Workload


@dataclass(frozen=True)
class Cores:
    """The cores for the client and the server."""

    client: tuple[int, ...]
    server: tuple[int, ...]


def cores_for(load: Load, available: Sequence[int], server_cores: int = 1) -> Cores:
    """With one request in flight: one core for both, as they alternate, and waking an idle core
    costs more than either does.

    Otherwise one each, so that pipelining has an effect; a server with several cores shares them
    with the client.
    """
    cpus = tuple(available)
    if load.single or len(cpus) == 1:
        return Cores(cpus[:1], cpus[:1])
    if server_cores > 1:
        return Cores(cpus, cpus)
    return Cores(cpus[:1], cpus[1:2])


@dataclass(frozen=True)
class Sample:
    """The result of one run.  `value` is in the workload's unit: operations, entries or megabytes
    per second.
    """

    server: str
    workload: str
    load: str
    round: int
    value: float
    unit: str
    mean_us: float
    p50_us: float
    p99_us: float
    max_us: float
    server_cpu_us: float
    server_cores: float
    client_cores: float
    rss_before_kb: int
    rss_kb: int
    msize: int
    errors: int
    error: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """The length of a measurement: seconds, or the number of operations of each slot if `count` is
    given; and the msize that the client requests (default 1 MiB).
    """

    seconds: float = 0.4
    count: int = 0
    msize: int = 0

    def options(self, warmup: float) -> list[str]:
        """The options for p9load."""
        duration = ["-n", str(self.count)] if self.count else ["-t", str(self.seconds), "-W", str(warmup)]
        return [*duration, *(["-m", str(self.msize)] if self.msize else [])]

    @property
    def timeout(self) -> float:
        """The maximum duration of a run, in seconds."""
        return 60.0 if self.count else self.seconds + 60.0


def command(
    p9load: str, where: Running, workload: Workload, load: Load, tree: BenchTree, extra: Sequence[str] = ()
) -> list[str]:
    """p9load's command line without its duration."""
    return [
        p9load, "-s", where.address, "-a", where.aname, "-P", where.server.dialect, "-w", workload.program,
        "-c", str(load.conns), "-q", str(load.depth), "--pid", str(where.pid), "--label", where.server.key,
        *(["-b", str(workload.block)] if workload.block else []), *tree.options(), *extra,
    ]  # fmt: skip


def run(argv: Sequence[str], cpus: Sequence[int], plan: Plan, warmup: float) -> dict[str, object]:
    """Run p9load. Returns its output, or {"fail": reason}."""
    try:
        done = subprocess.run(
            pinned([*argv, *plan.options(warmup)], cpus),
            capture_output=True,
            text=True,
            timeout=plan.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"fail": f"no end after {plan.timeout:.0f} s"}
    try:
        parsed = json.loads(done.stdout)
    except ValueError:
        return {"fail": f"exit {done.returncode}: {(done.stdout + done.stderr)[-200:].strip()}"}
    return dict(parsed)


def _float(row: dict[str, object], key: str) -> float:
    value = row.get(key, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def as_sample(row: dict[str, object], where: Running, workload: Workload, load: Load, number: int) -> Sample:
    """The typed row.  A failed run is a sample with value 0 and at least one error."""
    failed = str(row.get("fail", ""))
    return Sample(
        server=where.server.key, workload=workload.key, load=load.key, round=number,
        value=_float(row, "mb_s" if workload.transfer else "rate"), unit=workload.unit,
        mean_us=_float(row, "mean_us"), p50_us=_float(row, "p50_us"), p99_us=_float(row, "p99_us"), max_us=_float(row, "max_us"),
        server_cpu_us=_float(row, "server_cpu_us"), server_cores=_float(row, "server_cores"),
        client_cores=_float(row, "client_cores"), rss_before_kb=int(_float(row, "rss_before_kb")),
        rss_kb=int(_float(row, "rss_kb")), msize=int(_float(row, "msize")),
        errors=int(_float(row, "errors")) + bool(failed), error=failed or str(row.get("error", "")),
    )  # fmt: skip


def measure(
    p9load: str, where: Running, workload: Workload, load: Load, tree: BenchTree, cores: Cores, plan: Plan,
    number: int = 0, extra: Sequence[str] = (),
) -> Sample:  # fmt: skip
    """One measurement of one workload at one load."""
    argv = command(p9load, where, workload, load, tree, extra)
    return as_sample(
        run(argv, cores.client, plan, workload.warmup if load.conns * load.depth > 1 else 0.1),
        where,
        workload,
        load,
        number,
    )
