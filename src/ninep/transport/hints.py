"""What to type where an export can be reached: the parts that all transports have in common.

What the ways need: Linux's client takes ``trans=tcp`` with an IPv4 address in digits (it resolves
no names; IPv6 only in recent kernels), ``trans=unix`` with a path of the same machine, ``trans=fd``
with a descriptor that a program opened (net/9p/trans_fd.c).
"""

from __future__ import annotations

import shlex
from typing import Final, NamedTuple

GUEST: Final = "in a Linux guest"
HERE: Final = "on this computer"
BRIDGE: Final = "/run/ninep.sock"
LARGEST_MSIZE: Final = 1 << 20
"""What Linux's client takes over TCP and unix sockets."""


class Hint(NamedTuple):
    """Where something can be typed, and what."""

    where: str
    line: str


class Mount(NamedTuple):
    """The parts of a mount command that all ways have in common."""

    name: str
    msize: int
    windows: bool = False
    """The server is on Windows, where there are guests of WSL."""

    def line(self, transport: str, device: str) -> str:
        """The command; empty if mount(8) cannot say the name (a comma ends an option, and it knows
        no escape here).
        """
        if "," in self.name:
            return ""
        options = f"{transport},version=9p2000.L,msize={min(self.msize, LARGEST_MSIZE)}"
        options += f",aname={self.name}" if self.name else ""
        return shlex.join(["mount", "-t", "9p", "-o", options, device, "/mnt"])

    def tcp(self, host: str, port: int) -> str:
        """Over TCP."""
        return self.line(f"trans=tcp,port={port}", host)

    def unix(self, path: str) -> str:
        """Over a unix socket."""
        return self.line("trans=unix", path)


def bridge(mount: Mount, port: int) -> list[Hint]:
    """A kernel mounts a vsock connection that a program opened for it (``trans=fd``); socat does
    that behind a unix socket.
    """
    line = mount.unix(BRIDGE)
    socat = f"socat UNIX-LISTEN:{BRIDGE} VSOCK-CONNECT:2:{port} & sleep 1; "
    return [Hint(GUEST, line and socat + line), Hint(f"{GUEST}, without a mount", f"ninep ls vsock:2:{port}/")]
