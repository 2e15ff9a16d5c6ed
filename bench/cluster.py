"""A mount of a cluster, by itself and through ninep: `python bench/cluster.py NAME=MOUNT ...`.

The same job on each, in turn: a file is written and read from one end to the other, a tree of 10,000 files is
listed with all attributes. Meanwhile another client asks for the attributes of a file of a local folder, an
export of the same server. Writes a table of ratios.

The client is a socket with several requests of 1 MiB outstanding, as the kernel's read-ahead has them. Before a
file is read, its pages are taken out of the kernel's cache; what the mount's program keeps is the same for both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 1 << 20
MSIZE = BLOCK + 24
DEPTH = 8
NOFID = 0xFFFFFFFF
DIRECTORIES = 100
FILES = 100  # in each
MODEL = "none"


class Client:
    """One connection."""

    def __init__(self, port: int, aname: bytes) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.room = bytearray(MSIZE)
        self.rpc(100, struct.pack("<IH8s", MSIZE, 8, b"9P2000.L"), tag=0xFFFF)
        self.rpc(104, struct.pack("<IIH4sH", 0, NOFID, 4, b"root", len(aname)) + aname + bytes(4))

    def send(self, kind: int, body: bytes, tag: int = 1, data: bytes = b"") -> None:
        """One request."""
        head = struct.pack("<IBH", 7 + len(body) + len(data), kind, tag)
        self.sock.sendall(head + body + data)

    def receive(self) -> memoryview:
        """The body of the next reply."""
        self._into(memoryview(self.room)[:7])
        size, kind, _ = struct.unpack_from("<IBH", self.room)
        body = memoryview(self.room)[7:size]
        self._into(body)
        if kind == 7:
            raise OSError(struct.unpack_from("<I", body)[0], "error reply")
        return body

    def _into(self, room: memoryview) -> None:
        while room:
            room = room[self.sock.recv_into(room) :]

    def rpc(self, kind: int, body: bytes, tag: int = 1) -> memoryview:
        """One request and its reply."""
        self.send(kind, body, tag)
        return self.receive()

    def walk(self, newfid: int, *names: bytes) -> None:
        """From the root."""
        parts = b"".join(struct.pack("<H", len(name)) + name for name in names)
        self.rpc(110, struct.pack("<IIH", 0, newfid, len(names)) + parts)

    def many(self, kind: int, bodies: Iterator[tuple[bytes, bytes]], depth: int = DEPTH) -> Iterator[memoryview]:
        """Requests with so many outstanding; the bodies of their replies."""
        out = 0
        for tag, (body, data) in enumerate(bodies):
            self.send(kind, body, tag % 60000, data)
            out += 1
            if out == depth:
                yield self.receive()
                out -= 1
        for _ in range(out):
            yield self.receive()


def write_by_9p(client: Client, folder: bytes, name: bytes, size: int) -> None:
    """In a folder of the export."""
    client.rpc(110, struct.pack("<IIH", 0, 1, 1) + struct.pack("<H", len(folder)) + folder)
    client.rpc(14, struct.pack("<IH", 1, len(name)) + name + struct.pack("<III", 2 | 0o1000, 0o644, 0))
    data = os.urandom(BLOCK)
    bodies = ((struct.pack("<IQI", 1, at, BLOCK), data) for at in range(0, size, BLOCK))
    for reply in client.many(118, bodies):
        if struct.unpack_from("<I", reply)[0] != BLOCK:
            raise OSError("short write")
    client.rpc(50, struct.pack("<II", 1, 0))
    client.rpc(120, struct.pack("<I", 1))


def read_by_9p(client: Client, folder: bytes, name: bytes, size: int) -> None:
    """In a folder of the export."""
    client.walk(1, folder, name)
    client.rpc(12, struct.pack("<II", 1, 0))
    bodies = ((struct.pack("<IQI", 1, at, BLOCK), b"") for at in range(0, size, BLOCK))
    total = sum(struct.unpack_from("<I", reply)[0] for reply in client.many(116, bodies))
    if total != size:
        raise OSError(f"{total} bytes instead of {size}")
    client.rpc(120, struct.pack("<I", 1))


def write_here(path: Path, size: int) -> None:
    """The same on the mount."""
    data = os.urandom(BLOCK)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for _ in range(0, size, BLOCK):
        os.write(handle, data)
    os.fsync(handle)
    os.close(handle)


def read_here(path: Path) -> None:
    """The same on the mount."""
    room = bytearray(BLOCK)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(room):
            pass


def forget_pages(path: Path) -> None:
    """Take a file out of the page cache."""
    handle = os.open(path, os.O_RDONLY)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(handle)


@contextlib.contextmanager
def served(local: Path, mount: Path, options: list[str]) -> Iterator[int]:
    """A server of both folders; its port."""
    ninep = Path(sys.executable).with_name("ninep")
    argv = [
        str(ninep),
        "serve",
        str(local),
        "-s",
        MODEL,
        "--export",
        f"cluster={mount},model={MODEL}",
        "--listen",
        "127.0.0.1:0",
    ]
    with subprocess.Popen([*argv, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "listening on 127.0.0.1" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield int(line.rsplit(":", 1)[1])
        finally:
            process.terminate()


class Others:
    """getattr of a file of the local export, one after the other, in a process of its own."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--getattr", str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def p99(self) -> tuple[float, int]:
        """End it: milliseconds, and how many there were."""
        out, _ = self._process.communicate("\n")
        found = json.loads(out)
        return found["p99"], found["count"]


def ask_attributes(port: int) -> None:
    """What `Others` runs."""
    client, took = Client(port, b""), []
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    while not ended.is_set():
        began = time.perf_counter()
        client.rpc(24, struct.pack("<IQ", 0, 0x7FF))
        took.append(time.perf_counter() - began)
        time.sleep(0.001)
    took.sort()
    print(json.dumps({"p99": took[len(took) * 99 // 100] * 1000, "count": len(took)}))


def timed(job: Callable[[], object]) -> float:
    """Seconds."""
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def make_tree(folder: Path) -> None:
    """Of 10,000 empty files."""
    for directory in range(DIRECTORIES):
        (folder / f"d{directory}").mkdir(parents=True)
        for file in range(FILES):
            (folder / f"d{directory}" / f"file{file}").touch()


def list_here(folder: Path) -> None:
    """Ls -lR."""
    subprocess.run(["ls", "-lR", str(folder)], check=True, stdout=subprocess.DEVNULL)


def list_by_9p(port: int, name: str) -> None:
    """Ninep ls -lR."""
    ninep = Path(sys.executable).with_name("ninep")
    argv = [str(ninep), "ls", "-lR", "--aname", "cluster", f"127.0.0.1:{port}/{name}/tree"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def measure(mount: Path, options: argparse.Namespace) -> dict[str, float]:
    """Ratios: throughput through ninep to that of the mount, time of a listing to that of the mount."""
    size = options.mib << 20
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=mount))
    jobs: dict[str, list[float]] = {}
    try:
        make_tree(folder / "tree")
        with tempfile.TemporaryDirectory() as local, served(Path(local), mount, options.serve) as port:
            client, others = Client(port, b"cluster"), Others(port)
            for turn in range(options.rounds):
                _round(jobs, client, folder, size, turn, port)
            p99, count = others.p99()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    middle = {name: statistics.median(took) for name, took in jobs.items()}
    return {
        "read": middle["read here"] / middle["read 9p"],
        "write": middle["write here"] / middle["write 9p"],
        "ls -lR": middle["list 9p"] / middle["list here"],
        "p99 ms": p99,
        "getattrs": count,
        "read here MB/s": size / middle["read here"] / 1e6,
        "write here MB/s": size / middle["write here"] / 1e6,
        "list here s": middle["list here"],
    }


def _round(jobs: dict[str, list[float]], client: Client, folder: Path, size: int, turn: int, port: int) -> None:
    here, there = folder / f"here{turn}", f"there{turn}"

    def take(name: str, job: Callable[[], object]) -> None:
        jobs.setdefault(name, []).append(timed(job))

    take("write here", lambda: write_here(here, size))
    take("write 9p", lambda: write_by_9p(client, folder.name.encode(), there.encode(), size))
    for name, path, job in (
        ("read here", here, lambda: read_here(here)),
        ("read 9p", folder / there, lambda: read_by_9p(client, folder.name.encode(), there.encode(), size)),
        ("read here", here, lambda: read_here(here)),
        ("read 9p", folder / there, lambda: read_by_9p(client, folder.name.encode(), there.encode(), size)),
    ):
        forget_pages(path)
        take(name, job)
    take("list here", lambda: list_here(folder / "tree"))
    take("list 9p", lambda: list_by_9p(port, folder.name))


def table(found: dict[str, dict[str, float]]) -> str:
    """Markdown."""
    lines = ["| | read | write | `ls -lR` of 10,000 | others' getattr, p99 |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {one['read']:.2f} | {one['write']:.2f} | {one['ls -lR']:.2f} | {one['p99 ms']:.1f} ms |"
        for name, one in found.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mounts", nargs="*", metavar="NAME=MOUNT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mib", type=int, default=128, help="size of the file (default 128)")
    parser.add_argument("--serve", nargs="*", default=[], metavar="OPTION", help="options of `ninep serve`, last")
    parser.add_argument("--getattr", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.getattr:
        ask_attributes(options.getattr)
        return
    found = {}
    for one in options.mounts:
        name, _, mount = one.partition("=")
        found[name] = measure(Path(mount), options)
        print(name, json.dumps({key: round(value, 3) for key, value in found[name].items()}), flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
