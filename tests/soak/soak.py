"""A soak: clients of all kinds for a long time, and in the end every file as it must be, and a
server that holds no more than at the start.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.guest.machine import Machine, Mount
from tests.guest.vm import HOST, Finished
from tests.soak.figures import Sample, Sampler, growth
from tests.soak.load import Load
from tests.support.client import TIMEOUT
from tests.threats.process import Program

import ninep

CLIENTS = 8
GUEST = Path(__file__).with_name("guest_load.py")
GROWTH = 8 << 20
"""Bytes that the server may have more in its last quarter than in its second."""


@dataclass
class Report:
    """What a soak did."""

    seconds: float
    operations: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    rude: int = 0
    compared: int = 0
    files: int = 0
    verified: int = 0
    guest: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        first, last = self.samples[0], self.samples[-1]
        most = max(one.memory for one in self.samples)
        return [
            f"{self.seconds:.0f} s, {CLIENTS} clients" + (f" and a kernel client {self.guest}" if self.guest else ""),
            f"{self.operations.total()} operations: {dict(self.operations.most_common())}",
            f"{self.cut} connections cut in the middle of an operation, {self.rude} more that ended badly",
            f"{self.compared / 2**20:.0f} MiB compared on the way; {self.files} files, {self.verified / 2**20:.1f} MiB verified in the end",
            (
                f"memory {first.memory / 2**20:.1f} MiB at first, {last.memory / 2**20:.1f} at last, {most / 2**20:.1f} at most;"
                f" growth {growth(self.samples) / 2**20:+.1f} MiB"
            ),
            (
                f"handles {first.handles} at first, {last.handles} at last, {max(one.handles for one in self.samples)} at most;"
                f" threads {max(one.threads for one in self.samples)} at most"
            ),
        ]


def soak(folder: Path, seconds: float, *, guest: bool, seed: int, model: str) -> Report:
    """Serve ``folder`` for so long to everybody; an AssertionError is a defect."""
    report = Report(seconds)
    with Program(folder, "--security-model", model) as server:
        server.client().close()
        before = set(threading.enumerate())
        rest = server.handles

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", server.port))

        sampler = Sampler(lambda: (server.memory, server.handles, server.threads))
        loads = [Load(number, seed, connect) for number in range(CLIENTS)]
        for load in loads:
            load.start(seconds)
        sums = _guest(server.port, seconds, seed, report) if guest else {}
        for load in loads:
            load.join(seconds + TIMEOUT)
            sums |= load.sums()
            report.operations.update({name.strip("_"): count for name, count in load.done.items()})
            report.cut += load.cut
            report.rude += load.rude
            report.compared += load.read
        report.samples = sampler.stop()
        _verify(server.port, folder, sums, report)
        for thread in set(threading.enumerate()) - before:
            thread.join(TIMEOUT)
            assert not thread.is_alive(), f"a client's {thread} goes on"
        server.settles(lambda: server.handles, rest + 2)
        assert growth(report.samples) < GROWTH, f"the server's memory grew by {growth(report.samples)} bytes"
        server.alive()
    return report


def _guest(port: int, seconds: float, seed: int, report: Report) -> dict[str, str]:
    """The kernel client in a virtual machine, meanwhile; the checksums it left."""
    options = f"trans=tcp,port={port},{Mount().options()}"
    began = time.monotonic()
    with Machine({}) as machine:
        machine.kernel_complaints()
        machine.put(GUEST, "/run/guest_load.py")
        left = seconds - (time.monotonic() - began)
        done: Finished = machine.run(
            ["/usr/bin/python3", "/run/guest_load.py", f"{left:.0f}", str(seed), options, HOST],
            limit=seconds + TIMEOUT,
        ).check()
        complaints = machine.kernel_complaints()
    assert not complaints, complaints
    result = json.loads(done.output.partition("RESULT ")[2])
    sums: dict[str, str] = result.pop("sums")
    report.guest = result
    return sums


def _verify(port: int, folder: Path, sums: dict[str, str], report: Report) -> None:
    """Every file: through a new connection, and on disk."""
    with ninep.connect(f"127.0.0.1:{port}") as client:
        for name, expected in sums.items():
            content = client.read_bytes(name)
            assert hashlib.sha256(content).hexdigest() == expected, f"{name} is not what was written"
            assert (folder / name).read_bytes() == content
            report.files += 1
            report.verified += len(content)
        for top in client.listdir("/"):
            found = {f"{top}/{name}" for name in client.listdir(top)} - {f"{top}/rude", f"{top}/folder"}
            assert found == {name for name in sums if name.startswith(top + "/")}, f"in {top}: {found ^ set(sums)}"
