"""The guest as the tests of this folder see it: it mounts 9P servers and runs the scenario on what
it mounted.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.guest.qemu import Share, VhostUser
from tests.guest.vm import HOST, Finished, Guest
from tests.support.leftovers import leftovers

SCENARIO = Path(__file__).with_name("scenario")
MAPPED = ("mapped-xattr", "mapped-file")
KERNEL_COMPLAINS = re.compile(
    r"^.*(?:WARNING:|BUG:|Oops|bogus|[Mm]alformed|Protocol error|unknown error|blocked for more).*$", re.MULTILINE
)


@dataclass(frozen=True)
class Mount:
    """How the guest mounts: the kernel's option words."""

    dialect: str = "9P2000.L"
    cache: str = "none"
    acl: bool = False
    msize: int = 262144

    def options(self) -> str:
        words = [f"version={self.dialect.replace('9P', '9p')}", f"cache={self.cache}", f"msize={self.msize}"]
        return ",".join(words + ["posixacl"] * self.acl)


class Machine(Guest):
    """A guest that knows the scenario and mounts 9P servers."""

    def __init__(self, shares: dict[str, Share], vhost_user: Sequence[VhostUser] = ()) -> None:
        super().__init__(list(shares.values()), vhost_user=vhost_user)
        self.shares = shares
        self._numbers = itertools.count()

    def start(self) -> None:
        """Boot. The machine may stay until the session ends: its owner stops it."""
        with leftovers.permitted():
            super().start()
        self.put(SCENARIO, "/run/scenario")

    def reset(self) -> None:
        super().reset()
        self.put(SCENARIO, "/run/scenario")

    @contextmanager
    def served(self, port: int, mount: Mount, times: int = 1) -> Iterator[list[str]]:
        """Our server's port on this machine, mounted so many times; yields the folders in the
        guest.
        """
        with self._mounted([f"trans=tcp,port={port},{mount.options()}"] * times, HOST) as folders:
            yield folders

    @contextmanager
    def attached(self, tag: str, mount: Mount) -> Iterator[str]:
        """A virtio device, mounted: a folder that QEMU's own 9pfs serves, or our server."""
        with self._mounted([f"trans=virtio,{mount.options()}"], tag) as folders:
            yield folders[0]

    @contextmanager
    def _mounted(self, options: list[str], source: str) -> Iterator[list[str]]:
        folders = [f"/mnt/{next(self._numbers)}" for _ in options]
        for folder, words in zip(folders, options, strict=True):
            self.run(f"mkdir -p {folder} && mount -t 9p -o {words} {source} {folder}").check()
        try:
            yield folders
        finally:
            if self.alive:
                self.run("cd / && umount " + " ".join(folders)).check()

    def mounted(self) -> list[str]:
        """The folders in which 9P servers and virtiofs are mounted now."""
        lines = self.run("cat /proc/mounts").check().output.splitlines()
        return [folder for _, folder, kind, *_ in map(str.split, lines) if kind in ("9p", "virtiofs")]

    def scenario(self, *arguments: str, limit: float = 500) -> Finished:
        """Run the scenario in the guest; see scenario/__main__.py for its arguments."""
        return self.run(["/usr/bin/python3", "-m", "scenario", *arguments], limit=limit, cwd="/run")

    def kernel_complaints(self) -> list[str]:
        """What the guest's kernel logged since the last call that it logs only when something is
        wrong.
        """
        return KERNEL_COMPLAINS.findall(self.run("dmesg -c").check().output)
