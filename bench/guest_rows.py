"""What the guest does on each mount, one row of the tables each.

Rows are grouped by the mount options they run with.  The job works on a source tree that is made
once, in the guest's memory: this benchmark's C sources, the headers they need, and a git repository
of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

LISTED = 10_000  # entries of the directory that bench/tree.py makes
MIB = 256
OPERATIONS = {1: 2048, 16: 8192}  # of fio, by depth

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
ROUND_TRIPS = """import os
for _ in range(1000): os.stat('probe')"""


@dataclass(frozen=True)
class Row:
    """A command and what it is called in the tables; `before` runs first and is not measured.

    A silent one must say nothing.  With `operations` the command is fio's, and the seconds are what
    fio itself took for so many.
    """

    key: str
    title: str
    command: str
    before: str = "true"
    silent: bool = False
    operations: int = 0

    def seconds(self, taken: float, output: str) -> float:
        """What counts, of a command that took so many seconds from start to end."""
        if not self.operations:
            return taken
        (job,) = json.loads(output[output.index("{") :])["jobs"]
        return self.operations / float(job["read"]["iops"] + job["write"]["iops"])


@dataclass(frozen=True)
class Stage:
    """Rows that run on one mount, and its options."""

    key: str
    options: str
    rows: tuple[Row, ...]


def _fio(name: str, depth: int) -> Row:
    words = f"fio --name={name} --filename=data --rw={name} --bs=4k --size={MIB}M --ioengine=psync --direct=0"
    words += f" --numjobs={depth} --number_ios={OPERATIONS[depth] // depth} --group_reporting --output-format=json"
    words += " --overwrite=1 --end_fsync=0 --fallocate=none --randrepeat=1 --thread"
    kind = "read" if name == "randread" else "write"
    return Row(f"{name}{depth}", f"fio, 4 KiB random {kind}, depth {depth}", words, operations=OPERATIONS[depth])


FORGET = "echo 3 >/proc/sys/vm/drop_caches"
JOB = (
    Row("stat", "stat, 1000 times", f'python3 -c "{ROUND_TRIPS}"', "echo >probe"),
    Row("unpack", "unpack", "tar xf /tmp/source.tar"),
    Row("status", "git status, first", "cd source && git status --porcelain", silent=True),
    Row("status2", "git status, again", "cd source && git status --porcelain", silent=True),
    Row("build", "build", "cd source && make -s -j2"),
    Row("build2", "build, nothing to do", "cd source && make -s"),
    Row("remove", "remove", "rm -rf source"),
)
LISTING = Row("ls", f"ls -lR of {LISTED:,}", f"test $(ls -lR dirs | grep -c entry-) = {LISTED}")


def _data(suffix: str) -> tuple[Row, ...]:
    return (
        Row(f"write{suffix}", f"write {MIB} MiB", f"dd if=/dev/zero of=data bs=1M count={MIB} 2>&1", "rm -f data"),
        Row(f"read{suffix}", f"read {MIB} MiB", "dd if=data of=/dev/null bs=1M 2>&1", FORGET),
    )


RANDOM = tuple(_fio(name, depth) for name in ("randread", "randwrite") for depth in OPERATIONS)
STAGES = (
    Stage("job", "msize=262144", JOB),
    Stage("listing", "msize=262144", (LISTING,)),
    Stage("cache=none", "msize=512000,cache=none", (*_data(""), *RANDOM)),
    Stage("cache=mmap", "msize=512000,cache=mmap", _data("-mmap")),
)
