"""The servers to measure, one row each; starting, pinning to cores and stopping them.

A row's command contains {tree}, {port}, {socket} (a path for one), {rawd}, {python} (one with the other servers' packages),
{ninep} and {bench}.  A server whose program is missing is left out, with a message.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.workloads import WORKLOADS

START_TIMEOUT = 60.0  # servers in memory read the tree first
STOP_TIMEOUT = 5.0
# terminates the servers if the benchmark is killed
ORPHANS_END = ("setpriv", "--pdeathsig", "TERM")


@dataclass(frozen=True)
class Server:
    """A program that serves a directory on a loopback port."""

    key: str
    title: str
    command: str
    kind: str  # ours, limit, c, python, other
    dialect: str = "L"  # for p9load's -P
    attach_path: bool = False  # the attach has the directory, not the export's name
    lacks: frozenset[str] = field(default_factory=frozenset)  # workloads that it does not support
    cores: int = 1
    module: str = ""  # must be importable by {python}
    address: str = "127.0.0.1:{port}"  # where p9load connects


OURS = "{ninep} serve {tree} --listen 127.0.0.1:{port} --security-model "
DIOD = "diod -f -n -L stderr -c /dev/null -l 127.0.0.1:{port} -e {tree} "
LISTED_WHOLE = frozenset({"readdir", "readdircold", "lsl"})
LOSES_RENAMED_FIDS = frozenset({"rename"})  # it loses the fid of a renamed file
BARE = frozenset(w.key for w in WORKLOADS) - {"getattr", "walk1"}
READ_ONLY = frozenset({"create", "mkdir", "rename", "write4k", "write128k", "write1m"})

SERVERS = (
    Server("ninep", "ninep, passthrough", OURS + "passthrough", "ours"),
    Server("diod", "diod", DIOD + "-N", "c", attach_path=True),
    # The kernel's client attaches by name before it has a number; diod must look names up.
    Server("diod-names", "diod", DIOD, "c", attach_path=True),
    Server("rawd", "C limit", "{rawd} {tree} 127.0.0.1:{port}", "limit"),
    Server("bare-python", "Python limit", "{python} {bench}/limit/bare.py {tree} {port}", "limit", module="os", lacks=BARE),
    # --against: the commit to compare with
    Server("against", "ninep of the other checkout", "env PYTHONPATH={against}/src " + OURS + "passthrough", "other"),
    Server("ninep-none", "ninep, none", OURS + "none", "ours"),
    Server("ninep-mapped-owner", "ninep, mapped-owner", OURS + "mapped-owner", "ours"),
    Server("ninep-mapped-xattr", "ninep, mapped-xattr", OURS + "mapped-xattr", "ours"),
    Server("ninep-mapped-file", "ninep, mapped-file", OURS + "mapped-file", "ours"),
    Server("ninep-2", "ninep, passthrough, 2 workers", OURS + "passthrough --workers 2", "ours", cores=2),
    Server("diod-2", "diod, all cores", DIOD + "-N", "c", attach_path=True, cores=2),
    # TCP as well, where it is seen to be ready
    Server("ninep-virtio", "ninep over a virtqueue", OURS + "passthrough --listen vhost-user:{socket},tag=bench", "ours",
           address="vhost-user:{socket}"),
    Server("ninep-9p2000", "ninep, 9P2000", OURS + "passthrough", "ours", dialect="9"),
    Server("p9fs", "py9p of p9fs, 9P2000", "{python} -m py9p -w -r {tree} -a 127.0.0.1 -p {port}", "python", "9",
           module="py9p", lacks=LOSES_RENAMED_FIDS),
    Server("pyroute2", "pyroute2, 9P2000, files in memory", "{python} {bench}/peers/pyroute2_memory.py {tree} {port}",
           "python", "9", module="pyroute2", lacks=READ_ONLY),
    Server("aio9p", "aio9p, 9P2000, files in memory", "{python} {bench}/peers/aio9p_memory.py {tree} {port}",
           "python", "9", module="aio9p", lacks=READ_ONLY | LISTED_WHOLE),
)  # fmt: skip
BY_KEY = {s.key: s for s in SERVERS}


@dataclass(frozen=True)
class Programs:
    """The programs that the commands refer to."""

    bench: str
    p9load: str
    rawd: str
    ninep: tuple[str, ...]  # a program and its first arguments
    python: str
    against: str = ""  # a checkout of ninep to compare with


@dataclass(frozen=True)
class Running:
    """A server that accepts connections."""

    server: Server
    pid: int
    port: int
    aname: str
    address: str  # for p9load


def missing(server: Server, programs: Programs) -> str:
    """Why this server cannot be started here, or ""."""
    command = server.command
    if "{against}" in command:
        package = os.path.join(programs.against, "src", "ninep")
        return (
            ""
            if programs.against and os.path.isdir(package)
            else "there is no checkout to compare with (see --against)"
        )
    if command.startswith("{ninep}"):
        return "" if shutil.which(programs.ninep[0]) else "ninep is not installed (try --install)"
    if command.startswith("{python}"):
        done = subprocess.run([programs.python, "-c", f"import {server.module}"], capture_output=True, check=False)
        return "" if done.returncode == 0 else f"Python module {server.module} is not installed (try --install)"
    if command.startswith("{rawd}"):
        return "" if os.path.exists(programs.rawd) else "not built"
    program = command.split()[0]
    return "" if which(program) else f"{program} is not installed (try --install)"


def which(program: str) -> str | None:
    """Like shutil.which, but also in Debian's directories for servers."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def pinned(command: Sequence[str], cpus: Sequence[int]) -> list[str]:
    """The command, bound to these cores for its whole life."""
    return ["taskset", "-c", ",".join(map(str, cpus)), *command]


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: str) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    with open(log, encoding="utf-8", errors="replace") as f:
        words = f.read()[-2000:].strip()
    raise RuntimeError(f"{process.args!r} does not answer; output: {words}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Terminate a server and its children; it leads its own process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_TIMEOUT)


@contextlib.contextmanager
def running(server: Server, tree: str, programs: Programs, cpus: Sequence[int]) -> Iterator[Running]:
    """Start a server on these cores, wait until it accepts connections, and stop it at the end.

    Raises:
        RuntimeError: it did not start; the message is its stderr.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        words = {**vars(programs), "tree": tree, "port": str(port), "socket": os.path.join(scratch, "socket")}
        command: list[str] = []
        for word in server.command.split():
            command += programs.ninep if word == "{ninep}" else [word.format(**words)]
        command[0] = which(command[0]) or command[0]
        log = os.path.join(scratch, "stderr")
        with open(log, "wb") as err:
            process = subprocess.Popen(
                [*ORPHANS_END, *pinned(command, cpus)],
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                start_new_session=True,
            )
        try:
            _wait(process, port, log)
            address = server.address.format(**words)
            yield Running(server, process.pid, port, tree if server.attach_path else "", address)
        finally:
            stop(process)
