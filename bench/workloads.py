"""The measurements: one row for each workload and one for each load.

A workload is a state machine of `load/ops.c` or `load/io.c` with options.  A load is a number of
connections and of outstanding requests of each.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
# The largest whole number of pages in a message of 1 MiB with its header: the block of "1 MiB"
# transfers.
MIB_OF_PAGES = 255 * 4096


@dataclass(frozen=True)
class Load:
    """A number of connections, each with a number of requests outstanding."""

    conns: int
    depth: int

    @property
    def key(self) -> str:
        """As written on the command line and in tables: `8x1` is eight connections with one request
        each.
        """
        return f"{self.conns}x{self.depth}"

    @property
    def single(self) -> bool:
        """One request in the whole system: client and server alternate and share a core."""
        return self.conns * self.depth == 1


@dataclass(frozen=True)
class Workload:
    """One repeated operation."""

    key: str
    title: str
    program: str  # p9load's name for it
    block: int = 0  # bytes moved by one operation of a transfer
    base: bool = False  # exists in 9P2000, too
    connects: bool = False  # one operation makes a connection: cannot be pipelined
    unit: str = "op/s"
    warmup: float = 0.1  # seconds before the measurement

    @property
    def transfer(self) -> bool:
        """Measured in bytes: servers with a smaller msize need more messages for one operation."""
        return self.unit == "MB/s"


LOADS = (Load(1, 1), Load(1, 16), Load(1, 64), Load(8, 1), Load(100, 1))

WORKLOADS = (
    Workload("getattr", "getattr of a fid", "getattr", base=True),
    Workload("setattr", "setattr of the mode", "setattr"),
    Workload("clone", "clone of a fid, clunk", "clone", base=True),
    Workload("walk1", "walk of 1 name, clunk", "walk1", base=True),
    Workload("walk4", "walk of 4 names, clunk", "walk4", base=True),
    Workload("statpath", "stat of a path of 3 (walk, getattr, clunk)", "statpath", base=True),
    Workload("orc", "open, read 4 KiB, close (walk, lopen, read, clunk)", "orc", base=True),
    Workload("create", "create, write 4 KiB, close, unlink", "create", base=True),
    Workload("mkdir", "mkdir, rmdir", "mkdir", base=True),
    Workload("rename", "rename", "rename", base=True),
    Workload("symlink", "symlink, readlink, unlink", "symlink"),
    Workload("xattr", "read an extended attribute", "xattr"),
    Workload("xattrset", "write an extended attribute", "xattrset"),
    Workload("lock", "lock, unlock", "lock"),
    Workload("statfs", "statfs", "statfs"),
    Workload("attach", "attach, clunk", "attach", base=True),
    Workload("connect", "connect, version, attach, close", "connect", base=True, connects=True),
    # The first pass of a hundred readers lists the directory a hundred times (2 s); it is not measured.
    Workload(
        "readdir", "readdir of 10,000, unchanged since the last", "readdir", base=True, unit="entries/s", warmup=3.0
    ),
    Workload("readdircold", "readdir of 10,000, changed before each", "readdircold", unit="entries/s"),
    Workload("lsl", "ls -l of 10,000 (walk, getattr, clunk each)", "lsl", base=True, unit="entries/s", warmup=0.8),
    Workload("read4k", "random read of 4 KiB", "randread", 4 * KIB, base=True, unit="MB/s"),
    Workload("read128k", "sequential read of 128 KiB", "read", 128 * KIB, base=True, unit="MB/s"),
    Workload("read1m", "sequential read of 1 MiB", "read", MIB_OF_PAGES, base=True, unit="MB/s"),
    Workload("write4k", "write of 4 KiB", "write", 4 * KIB, base=True, unit="MB/s"),
    Workload("write128k", "write of 128 KiB", "write", 128 * KIB, base=True, unit="MB/s"),
    Workload("write1m", "write of 1 MiB", "write", MIB_OF_PAGES, base=True, unit="MB/s"),
)

BIG_TRANSFERS = tuple(w.key for w in WORKLOADS if w.block > 4 * KIB)
STAT_AND_LISTING = ("getattr", "statpath", "readdir", "lsl")
