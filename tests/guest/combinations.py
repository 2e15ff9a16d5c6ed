"""Ways to serve a folder and to mount it, and the scenario on what is mounted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.guest.machine import MAPPED, Machine, Mount
from tests.serving import ORDINARY_USER, Server, may_become_another_user

MODELS = ("passthrough", "none", *MAPPED)


@dataclass(frozen=True)
class Combination:
    """One way to serve and to mount."""

    model: str
    mount: Mount
    ordinary_user: bool = False
    bulk: bool = False
    storage: str = "host"

    def __str__(self) -> str:
        words = [self.model, self.mount.dialect, self.mount.cache]
        return "-".join(
            words
            + ["acl"] * self.mount.acl
            + ["user"] * self.ordinary_user
            + ["bulk"] * self.bulk
            + [self.storage] * (self.storage != "host")
        )

    def scenario_arguments(self, *, root: bool) -> list[str]:
        words = ["--dialect", self.mount.dialect, "--cache", self.mount.cache, "--model", self.model]
        words += ["--storage", self.storage]
        words += ["--server", "root" if root else "user"]
        return words + ["--acl"] * self.mount.acl + ["--bulk"] * self.bulk


def served_as(model: str) -> tuple[str, ...]:
    """The server's options. Devices of the mapped models are files, which need no leave."""
    return ("--security-model", model, *(() if model == "mapped-owner" or model in MAPPED else ("--devices",)))


def server_user(combination: Combination, export: Path) -> int | None:
    """The uid to serve as, when it is another one; the export becomes that user's."""
    if not combination.ordinary_user:
        return None
    if not may_become_another_user():
        return None  # the server is an ordinary user's anyway
    os.chown(export, ORDINARY_USER, ORDINARY_USER)
    return ORDINARY_USER


def check_scenario(
    guest: Machine, server: Server, combination: Combination, folders: Sequence[str], *, root: bool
) -> None:
    """Run it on the first of these mounts of one export; the others see what happens there."""
    seconds = [word for folder in folders[1:] for word in ("--second", folder)]
    done = guest.scenario(folders[0], *seconds, *combination.scenario_arguments(root=root))
    lines = done.output.splitlines()
    failures = [line for line in lines if not line.startswith(("ok ", "na "))]
    assert not failures, "\n".join(failures) + f"\n--- the server\n{server.said()}"
    assert done.status == 0
    assert sum(line.startswith("ok ") for line in lines) > 20, done.output
