"""The requirements of the benchmark: the compiled tools, and with --install the other servers.

Debian packages are installed with apt-get; Python packages into a private environment in the output
directory, so that the project's environment and the system's are unchanged.
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys

from bench.servers import Programs

DEBIAN = ("diod", "gcc", "libc6-dev", "python3-venv")
PEERS = ("p9fs", "pyroute2", "aio9p")
CFLAGS = ("-O2", "-pthread", "-Wall", "-Wextra")


def _newer(target: str, sources: list[str]) -> bool:
    return os.path.exists(target) and os.path.getmtime(target) >= max(map(os.path.getmtime, sources))


def compile_c(sources: list[str], target: str) -> str:
    """Compile and link, if a source is newer than the program."""
    if not _newer(target, sources):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        units = [s for s in sources if s.endswith(".c")]
        subprocess.run(["gcc", *CFLAGS, "-o", target, *units], check=True)
    return target


def tools(bench: str, out: str) -> Programs:
    """Compile p9load and rawd, and find an interpreter with the other servers' packages and one
    with ninep.
    """
    p9load = compile_c(sorted(glob.glob(os.path.join(bench, "load", "*.[ch]"))), os.path.join(out, "bin", "p9load"))
    rawd = compile_c(sorted(glob.glob(os.path.join(bench, "limit", "*.c"))), os.path.join(out, "bin", "rawd"))
    private = os.path.join(out, "venv", "bin", "python")
    return Programs(bench, p9load, rawd, _ninep(private), private if os.path.exists(private) else sys.executable)


def _ninep(private: str) -> tuple[str, ...]:
    """The program under test: beside this interpreter, in the private environment, or on the PATH,
    in this order.
    """
    for python in (sys.executable, private):
        beside = os.path.join(os.path.dirname(python), "ninep")
        if os.path.exists(beside):
            return (beside,)
    return (shutil.which("ninep") or "ninep",)


def install(bench: str, out: str) -> None:
    """Install the other servers, and the project where this interpreter cannot import it."""
    admin = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*admin, "apt-get", "update"], check=True)
    subprocess.run([*admin, "apt-get", "install", "-y", "--no-install-recommends", *DEBIAN], check=True)
    # Debian starts diod as a service on installation; the benchmark starts its own.
    subprocess.run([*admin, "service", "diod", "stop"], check=False, capture_output=True)
    venv = os.path.join(out, "venv")
    if not os.path.exists(os.path.join(venv, "bin", "python")):
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    pip = [os.path.join(venv, "bin", "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, os.path.dirname(bench)], check=True)
    for peer in PEERS:
        if subprocess.run([*pip, peer], check=False).returncode != 0:
            print(f"{peer} cannot be installed here: left out", file=sys.stderr)
