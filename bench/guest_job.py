"""A real job through the kernel's 9p client: `python bench/guest_job.py`.

A guest unpacks a source tree (this benchmark's C sources and the headers they need, and a git
repository of them), runs `git status` twice, builds, builds again without changes, and removes the
tree: on this server and on diod over TCP, on QEMU's own 9pfs over virtio, and in its own memory as
the lower bound, alternately, in one guest.  The guest's own work is the same everywhere, so the
differences are those of the file servers.  Needs the same programs as tests/guest (QEMU, busybox,
apt).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from tests.guest.debs import Unavailable  # noqa: E402 - found by the line above
from tests.guest.qemu import Share  # noqa: E402
from tests.guest.vm import HOST, Guest, Lost  # noqa: E402

from bench import install, servers  # noqa: E402

HERE = os.path.join(ROOT, "bench")
MSIZE = 262144
# Made once in the guest's memory: the data that every server then stores.
PREPARE = r"""
set -e
mkdir -p /tmp/made/source && cd /tmp/made/source
cp /run/c/* .
gcc -M *.c > /tmp/needed
for header in $(tr ' ' '\n' < /tmp/needed | grep '^/usr/include/' | sort -u); do mkdir -p ".$(dirname $header)" && cp $header .$header; done
cat > Makefile <<'MAKE'
CC = gcc
OBJECTS = $(patsubst %.c,%.o,$(wildcard *.c))
BUILTIN := $(shell $(CC) -print-file-name=include)
all: $(OBJECTS)
%.o: %.c ; $(CC) -nostdinc -Iusr/include -Iusr/include/x86_64-linux-gnu -I$(BUILTIN) -O0 -w -c -o $@ $<
MAKE
echo '*.o' > .gitignore
git init -q . && git config user.name bench && git config user.email bench@localhost
git config gc.auto 0 && git config core.preloadIndex false
git add -A && git commit -q -m tree && git repack -a -d -q && git prune-packed -q && rm -f .git/hooks/*
cd .. && tar cf /tmp/source.tar source && rm -rf source
"""
# 1000 times walk, getattr and clunk: the cost of round trips on this transport
PROBE = "stat, 1000 times"
ROUND_TRIPS = """import os
for _ in range(1000): os.stat('probe')"""
STEPS = {
    PROBE: f'echo > probe; python3 -c "{ROUND_TRIPS}"',
    "unpack": "tar xf /tmp/source.tar",
    "git status, first": "cd source && git status --porcelain",
    "git status, again": "cd source && git status --porcelain",
    "build": "cd source && make -s -j2",
    "build, nothing to do": "cd source && make -s",
    "remove": "rm -rf source",
}
CPU = "processor time of the server"
LIMIT = 600.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class MountPoint:
    """Where the job runs: a name, and the mount command for `{at}` ("" for the guest's own
    memory).
    """

    key: str
    command: str
    steps: tuple[str, ...] = tuple(STEPS)
    pid: int = 0  # of a server in a process of its own

    def processor(self) -> float:
        """Seconds of processor time used by the server (proc(5): utime and stime)."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def tcp(port: int, aname: str = "") -> str:
    extra = f",aname={aname}" if aname else ""
    return f"mount -t 9p -o trans=tcp,port={port},version=9p2000.L,msize={MSIZE},access=any,uname=root{extra} {HOST} {{at}}"


def virtio(tag: str) -> str:
    return f"mount -t 9p -o trans=virtio,version=9p2000.L,msize={MSIZE},access=any {tag} {{at}}"


def job(guest: Guest, mount: MountPoint) -> dict[str, float]:
    """Run the job once. Returns the seconds of each step, and the server's processor time.

    Raises:
        AssertionError: a step failed; the text is its output.
    """
    at = f"/mnt/{mount.key}"
    guest.run(f"mkdir -p {at}").check()
    if mount.command:
        guest.run(mount.command.format(at=at)).check()
    times: dict[str, float] = {}
    used = mount.processor() if mount.pid else 0.0
    try:
        for step in mount.steps:
            command = STEPS[step]
            start = time.monotonic()
            done = guest.run(command, cwd=at, limit=LIMIT).check()
            times[step] = time.monotonic() - start
            # The tree is as it was packed; `make` may warn that the host's clock is a little ahead
            # of the guest's.
            assert "git" not in step or not done.output.strip(), f"{mount.key}: {step} said: {done.output}"
            print(f"  {mount.key:<20} {step:<20} {times[step]:7.2f} s", file=sys.stderr, flush=True)
        if mount.pid:
            times[CPU] = mount.processor() - used
    finally:
        if mount.command and guest.alive:
            guest.run(f"umount {at}").check()
    return times


@contextlib.contextmanager
def serving(keys: list[str], programs: servers.Programs, scratch: str) -> Iterator[list[MountPoint]]:
    """The servers of the table that are installed, each with its own directory."""
    every = tuple(sorted(os.sched_getaffinity(0)))
    with contextlib.ExitStack() as stack:
        mounts = []
        for key in keys:
            server = servers.BY_KEY[key]
            if reason := servers.missing(server, programs):
                print(f"left out: {key}: {reason}", file=sys.stderr)
                continue
            folder = os.path.join(scratch, key)
            os.mkdir(folder)
            up = stack.enter_context(servers.running(server, folder, programs, every))
            # The limit server implements too little for the job: it shows the cost of the round
            # trips alone.
            steps = (PROBE,) if server.kind == "limit" else tuple(STEPS)
            mounts.append(MountPoint(key, tcp(up.port, up.aname), steps, up.pid))
        yield mounts


def report(results: dict[str, list[dict[str, float]]], rounds: int) -> str:
    """Medians of each step and of the sum, in seconds, with a column for each mount."""
    head = ["seconds, medians of " + str(rounds), *results]
    rows = {step: [[t[step] for t in runs if step in t] for runs in results.values()] for step in STEPS}
    rows["whole"] = [
        [sum(t[step] for step in STEPS) for t in runs if STEPS.keys() <= t.keys()] for runs in results.values()
    ]
    rows[CPU] = [[t[CPU] for t in runs if CPU in t and STEPS.keys() <= t.keys()] for runs in results.values()]
    lines = ["| " + " | ".join(head) + " |", "|---" + "|--:" * len(results) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{statistics.median(x):.2f}" if x else "" for x in row) + " |"
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument(
        "--servers", default="ninep,ninep-mapped-xattr,diod-names,rawd", help="comma separated keys of bench/servers.py"
    )
    p.add_argument("--models", default="passthrough,mapped-xattr", help="security models of the hypervisor's own 9pfs")
    p.add_argument("--out", default=os.path.join(HERE, "out"))
    options = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also terminates guest and servers
    os.makedirs(options.out, exist_ok=True)
    programs = install.tools(HERE, os.path.abspath(options.out))
    scratch = tempfile.mkdtemp(prefix="bench-guest.", dir=options.out)
    try:
        shares = [Share(model, Path(scratch, model), model) for model in options.models.split(",") if model]
        for share in shares:
            share.folder.mkdir()
        with serving([k for k in options.servers.split(",") if k], programs, scratch) as served:
            mounts = [*served, *(MountPoint("9pfs-" + s.tag, virtio(s.tag)) for s in shares), MountPoint("memory", "")]
            results = measure(shares, mounts, options.rounds)
    except Unavailable as missing:
        print(f"no guest: {missing}", file=sys.stderr)
        return 2
    except Lost as lost:
        print(f"the guest was lost: {lost}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    with open(os.path.join(options.out, "guest.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
    text = report(results, options.rounds)
    with open(os.path.join(options.out, "guest.md"), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    print(text)
    return 0


def measure(shares: list[Share], mounts: list[MountPoint], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Run the job on every mount alternately, in one guest."""
    results: dict[str, list[dict[str, float]]] = {mount.key: [] for mount in mounts}
    with Guest(shares, "full", memory_mib=1536) as guest:
        guest.put(Path(HERE, "load"), "/run/c")
        guest.put(Path(HERE, "limit"), "/run/c")
        guest.run(PREPARE, limit=LIMIT).check()
        for number in range(rounds):
            for mount in mounts:
                times = job(guest, mount)
                results[mount.key].append(times)
                whole = sum(seconds for step, seconds in times.items() if step in STEPS)
                print(f"round {number + 1} {mount.key:<20} {whole:7.2f} s", file=sys.stderr)
    return results


if __name__ == "__main__":
    raise SystemExit(main())
