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
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

ORDINARY_USER = 65534  # nobody
LISTENS = re.compile(r"listening on (\S+)")
PORT = re.compile(r"127\.0\.0\.1:(\d+)")
ANY_PORT = "127.0.0.1:0"
START_LIMIT = 120.0  # seconds until the first line that names the address
STOP_LIMIT = 120.0
SAY_LIMIT = 60.0  # seconds until a line that is waited for
DROP_RIGHTS = Path(__file__).with_name("drop_rights.py")


class Server:
    """`ninep serve FOLDER ...` on 127.0.0.1, from `with` to its end.

    `listen` names other addresses to listen at, or more than one.  `user` is the uid to run as: that
    needs a test run as root.  `descriptors`: no more than that many, soft and hard.  `patch`: Python
    that is run in the process before the program.  `keep`: descriptors that it inherits.
    `environment`: variables beside the test's own.  `addresses`: how many it listens at, if they are
    not all of `listen` (those of a configuration file).  What the program says is kept and told when it
    fails.
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
        listen: tuple[str, ...] = (ANY_PORT,),
        environment: Mapping[str, str] | None = None,
        addresses: int | None = None,
    ) -> None:
        self._argv = ["serve", str(folder), *(word for address in listen for word in ("--listen", address)), *options]
        self._listen = listen
        self._addresses = len(listen) if addresses is None else addresses
        self._environment = environment or {}
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
        self.stop(check=not self._killed)

    def start(self) -> None:
        """Start and wait for the lines that name the addresses."""
        self._killed = False
        self._said: list[str] = []
        self._more = threading.Condition()  # of what was said
        self._told = threading.Event()
        self._listens: list[str] = []
        self._process = subprocess.Popen(
            self._limit + (patched(self._patch) if self._patch else program(self._user)) + self._argv,
            cwd="/",
            env={**os.environ, **self._environment},
            pass_fds=self._keep,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._told.wait(START_LIMIT) or len(self._listens) < self._addresses:
            self._process.kill()
            self.stop(check=False)
            raise AssertionError(f"the server did not say where it listens:\n{self.said()}")

    def stop(self, *, check: bool = True) -> None:
        """SIGTERM, and the end is awaited; an AssertionError when the end is not a clean one.

        A test that does not check it here has ended the server in its own way.
        """
        self._killed = not check
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

    def kill(self) -> None:
        """SIGKILL: nothing is ended in order."""
        self._process.kill()
        self.stop(check=False)

    def said(self) -> str:
        """What the program wrote to stderr so far."""
        return "".join(self._said)

    def wait_for(self, words: str, after: int = 0) -> None:
        """Wait until it has written these words, beyond so many characters of what it said."""
        with self._more:
            found = self._more.wait_for(lambda: words in self.said()[after:], SAY_LIMIT)
        assert found, f"{words!r} was not said:\n{self.said()}"

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return hasattr(self, "_process") and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def _read(self) -> None:
        assert self._process.stderr
        with self._process.stderr as lines:
            for line in lines:
                with self._more:
                    self._said.append(line)
                    self._more.notify_all()
                found = LISTENS.search(line)
                if found and not self._told.is_set():
                    self._listens.append(found[1])
                    port = PORT.match(found[1])
                    if port:
                        self.port = int(port[1])
                    if len(self._listens) == self._addresses:
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
