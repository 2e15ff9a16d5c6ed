"""The cost of a request inside the server: one process, no sockets, no client. `python
bench/inside.py [--profile]`.

Frames are written into a connection's buffer and its replies discarded, so the figures consist of
the framing, the decoding, the handler, the driver and the system calls of the file system.  The
rest of a round trip is the event loop and the sockets.  This is the only file here that imports the
package, because it measures its parts.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import math
import mmap
import os
import pstats
import struct
import sys
import time
import timeit
from collections.abc import Callable, Sequence
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench import ring, tree
from ninep.drivers.local import LocalDriver
from ninep.server import connection as connection_module
from ninep.server.connection import Connection
from ninep.server.context import Context
from ninep.server.counters import Counters
from ninep.server.exports import Export, Exports
from ninep.server.instrumented import CountingObserver
from ninep.server.observer import Observer
from ninep.server.offload import Offload
from ninep.server.slices import Slices
from ninep.server.transport import Transport
from ninep.wire.buffers import behind, scatter

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT, FILE, WORK, NEW, DIR, PLACED = 0, 1, 2, 16, 3, 6
NEW_FILE = struct.pack("<III", 0o101102, 0o100644, 0)  # Tlcreate, for reading and writing
MSIZE = 1 << 20


def message(number: int, body: bytes, tag: int = 1) -> bytes:
    return struct.pack("<IBH", 7 + len(body), number, tag) + body


def string(text: bytes) -> bytes:
    return struct.pack("<H", len(text)) + text


def walk(fid: int, new: int, *names: bytes) -> bytes:
    return message(110, struct.pack("<IIH", fid, new, len(names)) + b"".join(map(string, names)))


def of_fid(number: int, fid: int, rest: bytes = b"") -> bytes:
    return message(number, struct.pack("<I", fid) + rest)


CLUNK = of_fid(120, NEW)
LOCK = [of_fid(52, FILE, struct.pack("<BIQQI", kind, 0, 0, 0, 42) + string(b"localhost")) for kind in (1, 2)]
# the requests of one operation of the workload of the same name
SEQUENCES: dict[str, list[bytes]] = {
    "getattr": [of_fid(24, FILE, struct.pack("<Q", 0x7FF))],
    "setattr": [of_fid(26, FILE, struct.pack("<IIIIQQQQQ", 1, 0o644, 0, 0, 0, 0, 0, 0, 0))],
    "clone": [walk(FILE, NEW), CLUNK],
    "walk1": [walk(ROOT, NEW, b"f4k"), CLUNK],
    "walk4": [walk(ROOT, NEW, b"d1", b"d2", b"d3", b"f"), CLUNK],
    "statpath": [walk(ROOT, NEW, b"d1", b"d2", b"g"), of_fid(24, NEW, struct.pack("<Q", 0x7FF)), CLUNK],
    "orc": [
        walk(ROOT, NEW, b"files", b"f0001"),
        of_fid(12, NEW, struct.pack("<I", 0o100000)),
        of_fid(116, NEW, struct.pack("<QI", 0, 4096)),
        CLUNK,
    ],
    "create": [
        walk(WORK, NEW),
        of_fid(14, NEW, string(b"new") + struct.pack("<III", 0o101101, 0o100644, 0)),
        of_fid(118, NEW, struct.pack("<QI", 0, 4096) + bytes(4096)),
        CLUNK,
        of_fid(76, WORK, string(b"new") + struct.pack("<I", 0)),
    ],
    "symlink": [
        of_fid(16, WORK, string(b"link") + string(b"../d1/d2/g") + struct.pack("<I", 0)),
        walk(WORK, NEW, b"link"),
        of_fid(22, NEW),
        CLUNK,
        of_fid(76, WORK, string(b"link") + struct.pack("<I", 0)),
    ],
    "xattr": [of_fid(30, 4, struct.pack("<I", NEW) + string(b"user.test")), of_fid(116, NEW, struct.pack("<QI", 0, 64)), CLUNK],
    "lock": LOCK,
    "statfs": [of_fid(8, ROOT)],
    "attach": [message(104, struct.pack("<II", NEW, 0xFFFFFFFF) + string(b"root") + string(b"") + struct.pack("<I", 0)), CLUNK],
    "readdir": [walk(DIR, NEW), of_fid(12, NEW, struct.pack("<I", 0o300000)), of_fid(40, NEW, struct.pack("<QI", 0, MSIZE - 24)), CLUNK],
    "read4k": [of_fid(116, 5, struct.pack("<QI", 0, 4096))],
    "write4k": [of_fid(118, FILE, struct.pack("<QI", 0, 4096) + bytes(4096))],
}  # fmt: skip
SETUP = [
    message(100, struct.pack("<I", MSIZE) + string(b"9P2000.L"), 0xFFFF),
    message(104, struct.pack("<II", ROOT, 0xFFFFFFFF) + string(b"root") + string(b"") + struct.pack("<I", 0)),
    walk(ROOT, FILE, b"f4k"),
    of_fid(12, FILE, struct.pack("<I", 0o100002)),
    walk(ROOT, WORK, b"w"),
    walk(ROOT, 4, b"xa"),
    walk(ROOT, 5, b"big"),
    of_fid(12, 5, struct.pack("<I", 0o100000)),
    walk(ROOT, DIR, b"dirs", b"10000"),
]


class Sink:
    """A transport that checks the type of each reply and discards it."""

    def __init__(self) -> None:
        self.errors = 0
        self.replies = 0

    def write(self, buffer: bytes | bytearray | memoryview) -> None:
        """Type 7 is Rlerror."""
        self.replies += 1
        if buffer[4] == 7:
            self.errors += 1

    def write_all(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """The first buffer has the header."""
        self.write(buffers[0])

    def pause(self) -> None:
        """Never called: the sink is never full."""

    resume = close = abort = pause


class Guest(Sink):
    """A transport with a place for each reply, into which it copies what is not there already."""

    place: Sequence[memoryview] = ()

    def write_all(self, buffers: Sequence[bytes | bytearray | memoryview]) -> None:
        """The header and the data of an Rread."""
        super().write_all(buffers)
        if self.place:
            scatter(self.place, buffers[0])
            scatter(behind(self.place, len(buffers[0])), buffers[1])


Observe = Callable[[], Observer | None]


def connection(
    root: str, model: str, sink: Sink | None = None, observe: Observe = lambda: None
) -> tuple[Connection, Sink]:
    """A connection with a session on the benchmark's tree, after the requests of SETUP. ``observe``
    makes what looks at its messages.
    """
    sink = sink or Sink()
    made = bare(root, model, sink, observe)
    for frame in SETUP:
        feed(made, frame)
    if sink.errors:
        raise RuntimeError(f"{sink.errors} errors while setting up")
    return made, sink


def bare(root: str, model: str, transport: Transport, observe: Observe = lambda: None) -> Connection:
    """A connection that was asked nothing yet."""
    context = Context(
        exports=Exports([Export("", LocalDriver(root, security_model=model))]),
        workers=Offload(1, "worker"),
        slices=Slices(math.inf),
        observe=observe,
    )
    return Connection(transport, context=context, on_begin=lambda _: None, on_end=lambda _: None)


def feed(made: Connection, frame: bytes) -> None:
    """Write a frame into the connection's buffer, as a socket would."""
    made.space(len(frame))[: len(frame)] = frame
    made.received(len(frame))


def repeat(made: Connection, frames: list[bytes], seconds: float) -> tuple[int, float]:
    """The number of operations, and their processor time in seconds."""
    count, begin, end = 0, time.process_time(), time.perf_counter() + seconds
    space, received = made.space, made.received
    while time.perf_counter() < end:
        for _ in range(10):
            for frame in frames:
                size = len(frame)
                space(size)[:size] = frame
                received(size)
        count += 10
    return count, time.process_time() - begin


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default="")
    p.add_argument("--model", default="passthrough")
    p.add_argument("--seconds", type=float, default=0.3)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument(
        "--profile", action="store_true", help="also show where the time goes, by function (cProfile: inflated)"
    )
    p.add_argument(
        "--parts", action="store_true", help="the parts of a getattr instead; also written to bench/out/parts.md"
    )
    p.add_argument("--ring", action="store_true", help="through a virtio device (bench/ring.py) instead")
    p.add_argument("--outstanding", type=int, default=1, help="requests outstanding, with --ring and for one request")
    p.add_argument("--count", type=int, default=0, help="serve so many of each, and do not look at the clock")
    p.add_argument("--in-place", action="store_true", help="reads and writes in a transport's own memory instead")
    p.add_argument("--metrics", action="store_true", help="count as a server with --metrics does")
    p.add_argument("--dir", default=os.path.join(HERE, "out", "tree"))
    options = p.parse_args()
    # A tool that counts makes every request late, and so does a busy machine some: the connection
    # would watch itself for two seconds then, which costs 1 us each (``latency_guard``).
    connection_module.LATE = math.inf  # type: ignore[misc]
    data = tree.BenchTree(options.dir)
    tree.build(data)
    for program in (
        "read",
        "orc",
        # a read that waits for the disk would be passed to a thread, which this loop does not wait
        # for
    ):
        tree.warm(data, program)
    if options.ring:
        asyncio.run(through_ring(options))
    elif options.in_place:
        print(asyncio.run(in_place(options)))
    elif options.parts:
        table = asyncio.run(parts(options))
        with open(os.path.join(HERE, "out", "parts.md"), "w", encoding="utf-8") as f:
            f.write(table + "\n")
        print(table)
    else:
        asyncio.run(operations(options))


async def operations(options: argparse.Namespace) -> None:
    """A line for each kind of operation, and its profile with --profile."""
    observe: Observe = (lambda: CountingObserver(Counters())) if options.metrics else lambda: None
    made, sink = connection(options.dir, options.model, observe=observe)
    for key in [k for k in options.only.split(",") if k] or list(SEQUENCES):
        frames = SEQUENCES[key]
        best = min(cpu / n for n, cpu in (repeat(made, frames, options.seconds) for _ in range(options.rounds)))
        print(f"{key:<10} {best * 1e6:9.2f} us for {len(frames)} request(s), {sink.errors} errors")
        if options.profile:
            show(lambda frames=frames: repeat(made, frames, options.seconds))  # type: ignore[misc]


async def through_ring(options: argparse.Namespace) -> None:
    """A line for each kind of operation, by requests on a ring. With --count, for counting the
    instructions or system calls of the process: what N requests take more than none.
    """
    made: list[Connection] = []

    def make(transport: Any) -> Connection:
        made.append(bare(options.dir, options.model, transport))
        return made[-1]

    for key in [k for k in options.only.split(",") if k] or list(SEQUENCES):
        frames = SEQUENCES[key]
        driver = ring.Driver(make, options.outstanding if len(frames) == 1 else 1)
        for frame in SETUP:
            await driver.run([frame], 1)
        if options.count:
            await driver.run(frames, options.count)
            print(f"{key:<10} {options.count} times {len(frames)} request(s), {driver.errors} errors")
        else:
            best = await ring.measure(driver, frames, options.seconds * options.rounds)
            print(f"{key:<10} {best * 1e6:9.2f} us for {len(frames)} request(s), {driver.errors} errors")
        driver.close()


async def in_place(options: argparse.Namespace) -> str:
    """A table of reads and writes with the data in pages of 4 KiB: in place, and copied."""
    rows = ["| data in pages of 4 KiB | in place, us | copied, us |", "|---|--:|--:|"]
    memory = memoryview(mmap.mmap(-1, 1 << 20))
    for size in (4096, 131_072):
        pages = [memory[start : start + 4096] for start in range(4096, 4096 + size, 4096)]
        asked = {
            "Tread": (of_fid(116, 5, struct.pack("<QI", 0, size)), None, [memory[:11], *pages]),
            "Twrite": (
                struct.pack("<IBHIQI", 23 + size, 118, 1, PLACED, 0, size),
                pages,
                [memory[:11]],
            ),
        }
        for name, (frame, data, place) in asked.items():
            costs = []
            observers: tuple[Observe, ...] = (lambda: None, Observer)  # what is looked at is not served in place
            for observe in observers:
                guest = Guest()
                made, _ = connection(options.dir, options.model, guest, observe)
                for each in (walk(WORK, PLACED), of_fid(14, PLACED, string(b"placed") + NEW_FILE)):
                    feed(made, each)
                guest.place = place
                costs.append(bursts(lambda: made.message(frame, data, place), options))  # noqa: B023 - called at once
                feed(made, of_fid(76, WORK, string(b"placed") + struct.pack("<I", 0)))
                if guest.errors or place[0][4] != frame[4] + 1:
                    raise RuntimeError(f"{name} failed")
            rows.append(f"| {name} of {size:,} bytes | {costs[0]:.2f} | {costs[1]:.2f} |")
    return "\n".join(rows)


def bursts(call: Callable[[], object], options: argparse.Namespace) -> float:
    """Microseconds of processor time per call: the best of many short series, between two of which
    others may have the processor.
    """
    best, until = math.inf, time.perf_counter() + options.seconds * options.rounds
    while time.perf_counter() < until:
        begin = time.process_time_ns()
        for _ in range(50):
            call()
        best = min(best, (time.process_time_ns() - begin) / 50)
    return best / 1000


async def parts(options: argparse.Namespace) -> str:
    """A table of the cost of the parts of a getattr, each measured separately with warm caches. The
    whole costs more than the sum, because each system call leaves caches and branch predictors
    cold.
    """
    made, _ = connection(options.dir, options.model)
    frame = SEQUENCES["getattr"][0]
    space, received, receiver, session = made.space, made.received, made._receiver, made.session  # noqa: SLF001 - measures the parts
    entry = made._dispatcher.table[frame[4]]  # noqa: SLF001
    fields = entry.fixed(frame, 7)
    reply = entry.inline(session, *fields)
    path_handle = session.fids[FILE].node.get_path_handle()

    def whole() -> None:
        space(len(frame))
        received(len(frame))

    rows = {
        "a whole getattr, without sockets and event loop": whole,
        "framing": lambda: receiver.lone(len(frame)),
        "unpacking the request": lambda: entry.fixed(frame, 7),
        "fstat, and the object Python makes of it": lambda: os.fstat(path_handle),
        "the handler: fid, node, security model, fields, with that fstat": lambda: entry.inline(session, *fields),
        "packing the reply": lambda: entry.pack(1, *reply),
    }
    feed(made, frame)  # leaves the frame in the buffer
    lines = ["| part of a getattr | us |", "|---|--:|"]
    lines += [f"| {name} | {alone(call, options.seconds, options.rounds):.2f} |" for name, call in rows.items()]
    return "\n".join(lines)


def alone(call: Callable[[], object], seconds: float, rounds: int) -> float:
    """Microseconds per call: the best of several rounds, because other load on the machine only
    adds.
    """
    timer = timeit.Timer(call)
    count, took = timer.autorange()
    count = max(1, int(count * seconds / took))
    return min(timer.repeat(rounds, count)) / count * 1e6


def show(call: Callable[[], object]) -> None:
    profile = cProfile.Profile()
    profile.runcall(call)
    pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
