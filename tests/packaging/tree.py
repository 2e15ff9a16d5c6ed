"""A Debian tree to build, install and run packages in: made by mmdebstrap(1) once, kept as a tar
file below the user's cache, unpacked for the tests.

Needs root (mount(2), chroot(2)), mmdebstrap and a mirror of Debian.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

SUITE = "trixie"  # the first with rich 13.7 and uvloop 0.19
MIRROR = os.environ.get("NINEP_DEBIAN_MIRROR", "http://deb.debian.org/debian")
BUILD = (
    "debhelper",
    "dh-python",
    "help2man",
    "lintian",
    "pybuild-plugin-pyproject",
    "python3-all",
    "python3-hatchling",
)
RUN = ("python3", "python3-click", "python3-rich", "python3-uvloop", "systemd", "systemd-sysv", "iproute2")
TOP = Path(__file__).parents[2]
BOOT = Path(__file__).with_name("boot.sh")
SOURCES = ("src", "packaging", "debian", "pyproject.toml", "README.md", "LICENSE")
NOT_STARTED = "#!/bin/sh\nexit 101\n"  # policy-rc.d: packages start nothing in a chroot
LIMIT = 900  # seconds of a command


def why_not() -> str | None:
    """Why there can be no tree; None if there can."""
    if os.geteuid() != 0:
        return "needs root, for chroot(2) and mount(2)"
    missing = [name for name in ("mmdebstrap", "unshare") if shutil.which(name) is None]
    return f"{', '.join(missing)}: not installed" if missing else None


def cached() -> Path:
    """The tar file of a tree with what builds and runs the packages. AssertionError: no mirror."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ninep-tests"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{SUITE}.tar"
    if not path.exists():
        made = path.with_name(f"{SUITE}.{os.getpid()}.tar")
        run(["mmdebstrap", "--variant=minbase", f"--include={','.join(BUILD + RUN)}", SUITE, str(made), MIRROR])
        made.rename(path)
    return path


class Tree:
    """A tree, unpacked."""

    def __init__(self, root: Path, tar: Path) -> None:
        self.root = root
        root.mkdir()
        run(["tar", "-xf", str(tar), "-C", str(root), "--exclude=./dev/*", "--exclude=./var/cache/apt/*"])
        (root / "usr/sbin/policy-rc.d").write_text(NOT_STARTED)
        (root / "usr/sbin/policy-rc.d").chmod(0o755)

    def inside(self, command: str) -> str:
        """What a shell command in the tree says. CalledProcessError: it failed."""
        mounts = f"mount --bind {self.root} {self.root} && cd {self.root} && mount -t proc proc proc"
        device = "mount -t tmpfs tmpfs dev && mknod -m 666 dev/null c 1 3 && ln -s /proc/self/fd dev/fd"
        script = f'{mounts} && {device} && exec chroot . /bin/sh -ec "$0"'
        return run(["unshare", "--mount", "--pid", "--fork", "--net", "sh", "-ec", script, command])

    def boot(self, unit: str) -> int:
        """systemd as process 1, until it exits: its status."""
        return subprocess.run([str(BOOT), str(self.root), unit], timeout=LIMIT, check=False).returncode

    def copy_sources(self) -> None:
        """The parts of the project that the packages are built from, to /build/ninep."""
        for name in SOURCES:
            there = self.root / "build/ninep" / name
            there.parent.mkdir(parents=True, exist_ok=True)
            if (TOP / name).is_dir():
                shutil.copytree(TOP / name, there, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(TOP / name, there)


def run(argv: Sequence[str]) -> str:
    done = subprocess.run(
        argv,
        check=False,
        timeout=LIMIT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
    )
    assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout}"
    return done.stdout
