"""A genuine Windows CPython on this Debian machine, under Wine.

    with Lab() as lab:
        lab.python(["-m", "pytest", "..."], limit=600).check()

* python3xx.dll and the extension modules come from panda3d's wheel for Windows (its folder
  deploy_libs), the library in Python from the interpreter that runs this, which must be of the same
  minor version; python.exe is ten instructions that call Py_Main, put together with the GNU
  assembler for Windows. All is kept in the tests' cache (about 700 MB with Wine's prefix; set-up
  takes half a minute).
* Every process has a time limit. Wine's own server is started apart, since it would keep a pipe
  open, and ended with the lab.
* Under Wine Windows CPython dies at start if its standard output is a plain file: it gets a pipe.

Also a command for developers:  python -m tests.wine.lab [--ntfs] SCRIPT ARGUMENTS...
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guest.debs import Unavailable, appear_whole, cache_dir, need, system
from tests.wine.volume import ntfs_volume

REPOSITORY = Path(__file__).resolve().parents[2]
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
DEBIAN_PACKAGES = ("wine", "wine64", "binutils-mingw-w64-x86-64", "ntfs-3g", "attr")
PACKAGES = ("pytest", "pytest-timeout", "hypothesis", "click", "rich")
SETUP_LIMIT = 300.0
# What a program on Windows has no use for.
LEFT_OUT = {
    "__pycache__",
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "lib-dynload",
    "idlelib",
    "ensurepip",
    "tkinter",
}
START = """
        .intel_syntax noprefix
        .globl  start
start:  sub     rsp, 56
        call    GetCommandLineW
        mov     rcx, rax
        lea     rdx, [rsp+48]
        call    CommandLineToArgvW
        mov     ecx, dword ptr [rsp+48]
        mov     rdx, rax
        call    Py_Main
        mov     ecx, eax
        call    ExitProcess
"""
IMPORTS = {
    "kernel32.dll": ("GetCommandLineW", "ExitProcess"),
    "shell32.dll": ("CommandLineToArgvW",),
    f"python{VERSION.replace('.', '')}.dll": ("Py_Main",),
}


@dataclass(frozen=True)
class Ended:
    """A Windows program that came to its end."""

    arguments: Sequence[str]
    status: int
    output: str

    def check(self) -> Self:
        """Itself, or an AssertionError with what it said."""
        assert self.status == 0, f"{' '.join(self.arguments)} ended with {self.status}:\n{self.output[-8000:]}"
        return self


class Lab:
    """Wine with a Python in it, from ``with`` to its end. ``Unavailable`` when the machine lacks
    something.
    """

    def __init__(self) -> None:
        self._wine = need("wine")
        self._server = need("wineserver")
        self.home = cache_dir() / f"windows-python-{VERSION}"
        self.environment = os.environ | {
            "WINEPREFIX": str(cache_dir() / "wine-prefix"),
            "WINEARCH": "win64",
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
            "PYTHONUTF8": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "XDG_RUNTIME_DIR": os.environ.get("XDG_RUNTIME_DIR", tempfile.gettempdir()),
        }
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYTHONHOME", "PYTHONPATH"):
            self.environment.pop(name, None)

    def __enter__(self) -> Self:
        # Two runs would end each other's programs: they have one prefix, and its server.
        self._lock = (cache_dir() / "wine-prefix.lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        if not self.home.exists():
            with appear_whole(self.home) as made:
                _put_together(made)
        prefix = Path(self.environment["WINEPREFIX"])
        fresh = not (prefix / "system.reg").exists()
        prefix.mkdir(exist_ok=True)
        self._quietly([self._server, "-p30"], check=False)  # complains if it is there already
        self._quietly([self._wine, "wineboot", "-i"] if fresh else [self._wine, "wineboot"])
        if fresh:
            self._quietly([self._wine, "winecfg", "-v", "win10"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quietly([self._server, "-k"], check=False)
        self._lock.close()

    def _quietly(self, argv: list[str], *, check: bool = True) -> None:
        try:
            done = subprocess.run(
                argv,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SETUP_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{' '.join(argv)} did not end in {SETUP_LIMIT:.0f} s") from None
        if check and done.returncode:
            raise Unavailable(f"{' '.join(argv)} ended with {done.returncode}")

    def start(self, arguments: Sequence[str], program: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Windows Python (or another program) with these arguments, in the repository's folder, its
        package importable; output goes to a pipe.
        """
        return subprocess.Popen(
            [self._wine, str(program or self.home / "python.exe"), *arguments],
            env=self.environment
            | {"PYTHONPATH": f"{windows_path(REPOSITORY / 'src')};{windows_path(REPOSITORY)}"}
            | environment,
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def python(self, arguments: Sequence[str], limit: float, program: Path | None = None, **environment: str) -> Ended:
        """Run to the end; ``limit`` in seconds."""
        process = self.start(arguments, program, **environment)
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            self._quietly([self._server, "-k"], check=False)
            output, _ = process.communicate()
            return Ended(arguments, -1, f"{output}\n(not ended after {limit:.0f} s)")
        return Ended(arguments, process.returncode, output)


def windows_path(path: Path) -> str:
    """Wine's drive Z: is the machine's root."""
    return "Z:" + str(path.resolve()).replace("/", "\\")


# -- Windows CPython ---------------------------------------------------------------------------------------------------


def _pip(*words: str) -> None:
    platform = ("--only-binary=:all:", "--platform", "win_amd64", "--python-version", VERSION, "--implementation", "cp")
    system([sys.executable, "-m", "pip", "-q", *words[:1], "--disable-pip-version-check", *platform, *words[1:]])


def _put_together(home: Path) -> None:
    need("x86_64-w64-mingw32-ld")
    home.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        _pip("download", "--no-deps", "-d", scratch, "panda3d")
        with zipfile.ZipFile(next(Path(scratch).glob("*.whl"))) as wheel:
            for name in wheel.namelist():
                base = os.path.basename(name)
                if (
                    name.startswith("deploy_libs/")
                    and base
                    and not base.startswith(("api-ms-", "tcl", "tk", "_tkinter"))
                ):
                    (home / base).write_bytes(wheel.read(name))
        _assemble(Path(scratch), home / "python.exe")
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        home / "Lib",
        ignore=lambda _, names: [n for n in names if n in LEFT_OUT or n.startswith("config-") or n.endswith(".so")],
    )
    _pip("install", "--target", str(home / "Lib" / "site-packages"), *PACKAGES)


def _assemble(scratch: Path, program: Path) -> None:
    objects = [str(scratch / "start.o")]
    (scratch / "start.s").write_text(START)
    system(["x86_64-w64-mingw32-as", "-o", objects[0], str(scratch / "start.s")])
    for library, names in IMPORTS.items():
        definition, archive = scratch / f"{library}.def", scratch / f"{library}.a"
        definition.write_text("\n".join([f"LIBRARY {library}", "EXPORTS", *names, ""]))
        system(["x86_64-w64-mingw32-dlltool", "-d", str(definition), "-l", str(archive)])
        objects.append(str(archive))
    system(["x86_64-w64-mingw32-ld", "--subsystem", "console", "-e", "start", "-s", "-o", str(program), *objects])


def main() -> int:
    """Run a script."""
    parser = argparse.ArgumentParser(description="Run a Python script on Windows CPython under Wine.")
    parser.add_argument("--ntfs", action="store_true", help="make an NTFS volume; its folder is $NINEP_WINDOWS_DIR")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds (300)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    with Lab() as lab, contextlib.ExitStack() as stack:
        environment = {}
        if options.ntfs:
            environment["NINEP_WINDOWS_DIR"] = windows_path(stack.enter_context(ntfs_volume()).folder)
        arguments = [word for word in options.arguments if word != "--"]
        ended = lab.python(arguments, options.limit, **environment)
    sys.stdout.write(ended.output)
    return ended.status


if __name__ == "__main__":
    sys.exit(main())
