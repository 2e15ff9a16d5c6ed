"""Our server as a program of Windows: started under Wine on a free port, ended by Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
from types import TracebackType
from typing import Self

from tests.wine.lab import Lab

LISTENS = re.compile(r"listening on .*127\.0\.0\.1:(\d+)")
START_LIMIT = 60.0
STOP_LIMIT = 30.0
MAIN = "import sys; from ninep.cli.main import main; sys.exit(main())"


class WindowsServer:
    """``ninep serve FOLDER ...`` on 127.0.0.1, from ``with`` to its end. ``folder`` is a path of
    Windows; None: a configuration file says what is served.
    """

    port: int  # known once it listens

    def __init__(self, lab: Lab, folder: str | None, *options: str) -> None:
        self._lab = lab
        self._argv = ["-c", MAIN, "serve", *([folder] if folder else []), "--listen", "127.0.0.1:0", *options]

    def __enter__(self) -> Self:
        self._said: list[str] = []
        self._ready = threading.Event()
        self._process = self._lab.start(self._argv)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_LIMIT) or not hasattr(self, "port"):
            self._process.kill()
            raise AssertionError(f"the server did not say where it listens:\n{self.said()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = self.stop()
        if error is None:
            assert status == 0, f"the server ended with {status}:\n{self.said()}"
            assert "Traceback" not in self.said(), self.said()

    @property
    def address(self) -> str:
        """For a client on this machine."""
        return f"127.0.0.1:{self.port}"

    def stop(self) -> int:
        """Ctrl-C: Wine hands SIGINT to the program as the console's event."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        """The exit status of a server that has been told to end."""
        try:
            status = self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            status = -1
        self._reader.join(STOP_LIMIT)
        return status

    def said(self) -> str:
        """All it wrote so far."""
        return "".join(self._said)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.append(line)
                if found := LISTENS.search(line):
                    self.port = int(found[1])
                    self._ready.set()
        self._ready.set()
