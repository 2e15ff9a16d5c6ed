"""Our server as a program of its own: started on a free port, known to listen, stopped by SIGTERM.

Tests of what the kernel or another peer sees of the server use this; tests of the server's parts do
not need a process.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

ORDINARY_USER = 65534  # nobody
LISTENS = re.compile(r"127\.0\.0\.1:(\d+)")
START_LIMIT = 120.0  # seconds until the first line that names the address
STOP_LIMIT = 120.0
DROP_RIGHTS = Path(__file__).with_name("drop_rights.py")


class Server:
    """`ninep serve FOLDER ...` on 127.0.0.1, from `with` to its end.

    `user` is the uid to run as: that needs a test run as root.  `descriptors`: no more than that many, soft and hard.
    `patch`: Python that is run in the process before the program. `keep`: descriptors that it
    inherits. What the program says is kept and told when it fails.
    """

    port: int  # known once it listens

    def __init__(
        self,
        folder: Path | str,
        *options: str,
        user: int | None = None,
        descriptors: int | None = None,
        patch: str = "",
        keep: tuple[int, ...] = (),
    ) -> None:
        self._argv = ["serve", str(folder), "--listen", "127.0.0.1:0", *options]
        self._user = user
        self._patch = patch
        self._keep = keep
        self._limit = ["sh", "-c", 'ulimit -n "$0" && exec "$@"', str(descriptors)] if descriptors else []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait for the line that names the address."""
        self._said: list[str] = []
        self._told = threading.Event()
        self._process = subprocess.Popen(
            self._limit + (patched(self._patch) if self._patch else program(self._user)) + self._argv,
            cwd="/",
            pass_fds=self._keep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._told.wait(START_LIMIT) or not hasattr(self, "port"):
            self._process.kill()
            self.stop(check=False)
            raise AssertionError(f"the server did not say where it listens:\n{self.said()}")

    def stop(self, *, check: bool = True) -> None:
        """SIGTERM, and the end is awaited; an AssertionError when the end is not a clean one."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._reader.join()
        if check:
            assert status == 0, f"the server ended with {status}:\n{self.said()}"
            assert "Traceback" not in self.said(), self.said()

    def said(self) -> str:
        """What the program wrote to stderr so far."""
        return "".join(self._said)

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr
        with self._process.stderr as lines:
            for line in lines:
                self._said.append(line)
                found = LISTENS.search(line)
                if found and not self._told.is_set():
                    self.port = int(found[1])
                    self._told.set()
        self._told.set()  # nothing more will come


def program(user: int | None = None) -> list[str]:
    """The argv that runs the installed `ninep`, as another user when asked."""
    if user is None:
        return [str(Path(sys.executable).with_name("ninep"))]
    return [sys.executable, str(DROP_RIGHTS), str(user)]


def patched(before: str) -> list[str]:
    """The argv that runs the program in a Python that has run something else before."""
    return [
        sys.executable,
        "-c",
        f"{before}\nimport sys\nfrom ninep.cli.main import main\nsys.exit(main(sys.argv[1:]))",
    ]


def may_become_another_user() -> bool:
    return os.geteuid() == 0


def keeps_user_attributes(folder: Path | str) -> bool:
    """Whether the filesystem below `folder` has `user.` extended attributes (tmpfs has since Linux
    6.6).
    """
    try:
        os.setxattr(folder, "user.ninep.probe", b"1")
        os.removexattr(folder, "user.ninep.probe")
    except OSError:
        return False
    return True
