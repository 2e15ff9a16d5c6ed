#!/usr/bin/env python3
"""Check the project: style, types on three platforms, layers, all tests.  Runs on any Python >=
3.11 without other packages.

    python3 tools/check.py --install    install what is missing (root or sudo); every test must run
    python3 tools/check.py              install nothing outside .venv; tests that cannot run are
                                        skipped, with the reason

Makes the virtual environment `.venv` if there is none.  Uses the standard library only: it runs
before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
VENV = TOP / ".venv"

# Debian and Ubuntu packages, by the pytest marker of the tests that need them, if they have one.
PACKAGES = {
    "venv": ("python3-venv",),
    "guest": ("qemu-system-x86", "busybox-static", "kmod", "e2fsprogs", "zstd", "debian-archive-keyring"),
    "peer": ("diod", "attr", "acl"),
    "wine": ("wine", "wine64", "binutils-mingw-w64-x86-64", "ntfs-3g"),
    "debian": ("mmdebstrap", "systemd"),
    "": ("openssl", "socat", "stunnel4", "tshark"),
    "cluster": ("redis-server", "haproxy", "fuse3"),
}

CHECKS: dict[str, Sequence[str]] = {
    "ruff": ("ruff", "check", "."),
    "format": ("ruff", "format", "--check", "."),
    "mypy linux": ("mypy", "--platform", "linux"),
    "mypy darwin": ("mypy", "--platform", "darwin"),
    "mypy win32": ("mypy", "--platform", "win32"),
    "layers": ("lint-imports",),
    "docs": ("sphinx-build", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"),
    "pytest": ("pytest", "-q", "--durations=15", "-m", "not guest and not wine and not cluster", "-n", "2"),
    # there is one Wine
    "pytest under Wine": ("pytest", "-q", "--durations=5", "-m", "wine and not guest"),
    "pytest over clusters": ("pytest", "-q", "--durations=15", "-m", "cluster and not guest", "-n", "2"),
    "pytest in a guest": ("pytest", "-q", "--durations=15", "-m", "guest", "-n", "2", "--dist", "worksteal"),
}
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
# The markers whose tests must run after --install: see tests/conftest.py.
REQUIRED = {
    "pytest": "peer,fuzz,debian" if ROOT else "peer,fuzz",  # a tree of Debian needs chroot(2)
    "pytest under Wine": "wine",
    "pytest over clusters": "cluster",
    "pytest in a guest": "guest,peer,wine",
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--install", action="store_true", help="apt-get install what the tests need")
    chosen = options.parse_args()
    if sys.version_info < (3, 11):
        return refuse("Python 3.11 or newer is needed; this is " + sys.version.split()[0])
    os.chdir(TOP)
    try:
        if chosen.install:
            install()
        make_environment()
        if chosen.install:
            step("guest", ("python", "-m", "tests.guest.vm", "echo the guest boots: $(uname -r)"))
    except (OSError, subprocess.CalledProcessError) as error:
        return refuse(f"cannot make things ready: {error}")
    if not chosen.install:
        print("Nothing is installed outside .venv: tests that miss something are skipped, each with its reason.")
        REQUIRED.clear()
    failed = [name for name, argv in CHECKS.items() if not passes(name, argv)]
    print(f"\nFAILED: {', '.join(failed)}" if failed else "\nAll checks passed.")
    return 1 if failed else 0


def install() -> None:
    """Install the tests' requirements from Debian or Ubuntu; the guest tests download their kernel
    themselves.
    """
    if shutil.which("apt-get") is None:
        raise OSError("--install supports Debian and Ubuntu (apt-get) only")
    rights = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    packages = [name for names in PACKAGES.values() for name in names]
    run([*apt, "update"])
    run([*apt, "install", "-y", "--no-install-recommends", *packages])


def make_environment() -> None:
    """Make `.venv` with the project and its development tools."""
    if not (VENV / "bin" / "python").exists():
        run([sys.executable, "-m", "venv", str(VENV)])
    step(
        "pip", ("python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[dev,fuzz,docs,engines]")
    )


def passes(name: str, argv: Sequence[str]) -> bool:
    try:
        step(name, argv)
    except subprocess.CalledProcessError:
        print(f"--- {name}: FAILED", flush=True)
        return False
    return True


def step(name: str, argv: Sequence[str]) -> None:
    """Run a program of the environment and print its duration."""
    print(f"--- {name}", flush=True)
    started = time.monotonic()
    os.environ["NINEP_REQUIRE"] = REQUIRED.get(name, "")
    run([str(VENV / "bin" / argv[0]), *argv[1:]])
    print(f"--- {name}: {time.monotonic() - started:.0f} s", flush=True)


def run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True)


def refuse(why: str) -> int:
    print(f"check: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
