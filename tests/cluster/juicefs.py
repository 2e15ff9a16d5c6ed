"""JuiceFS: a file system over a folder of objects and a metadata engine, mounted by FUSE."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.mounts import is_mounted, unmounted
from tests.cluster.service import Service, free_ports, listens, program


class Redis(Service):
    """A metadata engine that writes each change to its log before it answers (appendfsync always)."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        folder.mkdir(exist_ok=True)
        argv = [
            program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always",
        ]  # fmt: skip
        super().__init__(argv, ready=listens(self.port))

    @property
    def url(self) -> str:
        """For `JuiceFS`."""
        return f"redis://127.0.0.1:{self.port}/1"


class JuiceFS:
    """A file system, formatted. Its objects are below `folder`; `metadata` is the address of the
    engine, a SQLite file below `folder` unless given.
    """

    def __init__(self, folder: Path, metadata: str = "") -> None:
        self._juicefs = program("juicefs")
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._metadata = metadata or f"sqlite3://{folder}/metadata.db"
        argv = [
            self._juicefs, "format", "--storage", "file", "--bucket", f"{folder}/objects/", "--trash-days", "0",
            self._metadata, "tests",
        ]  # fmt: skip
        subprocess.run(argv, check=True, capture_output=True)

    @contextmanager
    def mounted(self, at: Path, *options: str) -> Iterator[Service]:
        """Mount it; several at once are several clients of the cluster. Needs /dev/fuse."""
        at.mkdir(exist_ok=True)
        cache = at.with_name(at.name + ".cache")
        argv = [
            self._juicefs, "mount", "--no-usage-report", "--enable-xattr", "--log", f"{cache}.log", "--cache-dir", str(cache),
            *options, self._metadata, str(at),
        ]  # fmt: skip
        with Service(argv, ready=lambda: is_mounted(at), stop_by=signal.SIGINT) as service, unmounted(at):
            yield service
