"""`ninep serve` as a gateway to a folder of a cluster: 9P on one port, health on another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.cluster.service import Service, answers, free_ports

NINEP = [sys.executable, "-m", "ninep"]


class Gateway(Service):
    """It listens at `port`, and says at `health` whether it is ready. `runtime`: a folder for its control
    socket.
    """

    def __init__(self, folder: Path, runtime: Path, *options: str) -> None:
        self.port, self.health = free_ports(2)
        runtime.mkdir(mode=0o700, exist_ok=True)
        self._environment = {"XDG_RUNTIME_DIR": str(runtime)}
        self.control = runtime / "control"
        argv = [
            *NINEP, "serve", str(folder), "--listen", f"127.0.0.1:{self.port}", "--metrics", str(self.health),
            "--control", str(self.control), *options,
        ]  # fmt: skip
        super().__init__(argv, ready=answers(f"http://127.0.0.1:{self.health}/readyz"), environment=self._environment)

    @property
    def ready(self) -> bool:
        """What a load balancer is told."""
        return answers(f"http://127.0.0.1:{self.health}/readyz")()

    def ctl(self, *command: str) -> str:
        """`ninep ctl`, and what it says."""
        argv = [*NINEP, "ctl", *command, "--control", str(self.control)]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
