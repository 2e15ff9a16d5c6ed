"""Our server as a process of its own, looked at from outside: memory, handles, threads."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.serving import Server
from tests.support.client import TIMEOUT, Failed, RawClient
from tests.threats.lab import Canary, codes

from ninep.linux import GETATTR_BASIC, Errno
from ninep.wire import messages as m


class Program(Server):
    """A server process and what it costs."""

    handles_at_rest: int

    @classmethod
    @contextmanager
    def beside_a_canary(cls, base: Path, *options: str, **more: Any) -> Iterator[Self]:
        """Serve ``base/export``; in the end the canary beside it is unchanged and another client is
        served at once: see ``alive``.
        """
        canary = Canary(base / "canary")
        (base / "export").mkdir()
        with cls(base / "export", *options, **more) as program:
            yield program
            program.alive()
            canary.check()

    def alive(self) -> None:
        """Another client is served, and the server does no more than a second's work before: in
        time of the processor, not of the clock.
        """
        before = self.processor
        with self.client() as other:
            other.rpc(m.Tgetattr(0, GETATTR_BASIC))
        took = self.processor - before
        assert took < 1.0, f"another client waited for {took:.1f} s of other work"

    @property
    def processor(self) -> float:
        """Seconds of a processor that it has used so far, its workers aside."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        super().start()
        self.handles_at_rest = self.handles + 1  # what is opened once

    def connect(self) -> RawClient:
        """A connection on which nothing was said yet."""
        return RawClient(socket.create_connection(("127.0.0.1", self.port)))

    def client(self, dialect: bytes = b"9P2000.L", msize: int = 8192 + 24, aname: bytes = b"") -> RawClient:
        """A session in which fid 0 is the root."""
        client = self.connect()
        client.version(dialect, msize)
        client.attach(aname=aname)
        return client

    def _status(self, key: str) -> int:
        with open(f"/proc/{self.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS") << 10

    @property
    def threads(self) -> int:
        return self._status("Threads")

    @property
    def handles(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def holds_its_memory(self, work: Callable[[], object], growth: int) -> None:
        """Do something until it is done once without growing by ``growth`` bytes. What leaks grows
        each time; what is needed once (a thread, a table that doubles) does not.
        """
        grown = []
        for _ in range(4):
            before = self.memory
            work()
            grown.append(self.memory - before)
            if grown[-1] < growth:
                return
        raise AssertionError(f"the server grew by {grown} bytes, and would go on")

    @contextmanager
    def peak(self, growth: int) -> Iterator[None]:
        """At no moment (of those 10 ms apart) does it take ``growth`` bytes more than now."""
        before = self.memory
        most = before
        stop = threading.Event()

        def look() -> None:
            nonlocal most
            while not stop.wait(0.01):
                most = max(most, self.memory)

        watch = threading.Thread(target=look)
        watch.start()
        try:
            yield
        finally:
            stop.set()
            watch.join()
        assert most - before < growth, f"it grew by {(most - before) / 2**20:.1f} MiB; {growth / 2**20:.1f} are allowed"

    def settles(self, figure: Callable[[], int], at_most: int) -> None:
        """Wait until a figure has come down; what a connection held is given back a moment after it
        ended.
        """
        until = time.monotonic() + TIMEOUT
        while figure() > at_most:
            assert time.monotonic() < until, f"{figure()} instead of {at_most}\n{self.said()}"
            time.sleep(0.01)


def answers(client: RawClient, messages: Sequence[m.Message], window: int = 500) -> list[set[Errno]]:
    """What the server says to each, some at a time: nothing if it did as asked, else the errno (see
    ``lab.codes``).
    """
    said: list[set[Errno]] = []
    for start in range(0, len(messages), window):
        tags = client.send_all(*messages[start : start + window])
        for tag in tags:
            try:
                client.reply(tag)
                said.append(set())
            except Failed as failure:
                said.append(codes(failure))
    return said


def forget(file: Path, stop: threading.Event) -> None:
    """Let the page cache have nothing of a file, so that reads of it wait for the disk: the server
    serves them in threads.
    """
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        while not stop.is_set():
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            stop.wait(0.001)


def pipelined(client: RawClient, messages: Sequence[m.Message], rounds: int, batch: int = 32) -> None:
    """Send the same messages again and again, some rounds at a time; whatever the answers are,
    there is one for each.
    """
    frames = b"".join(client.encode(message, tag) for tag, message in enumerate(messages, 1))
    data = frames * batch
    for _ in range(rounds // batch):
        client.sock.sendall(data)
        for _ in range(len(messages) * batch):
            client.receive_frame()
