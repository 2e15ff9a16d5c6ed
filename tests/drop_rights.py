"""Run the program as an ordinary user:  python drop_rights.py UID ARGUMENTS OF ninep

Everything is imported before the rights go: the user may have no way into the folder where the
interpreter and the
environment are, root's home for one.  Nothing else differs from a program that user started.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pkgutil
import sys
from types import ModuleType

PR_SET_DUMPABLE = 4  # linux/prctl.h
LAZY = ("asyncio", "concurrent.futures.thread", "encodings.idna", "traceback", "uvloop")


def import_all(package: str) -> ModuleType:
    """The package with all its modules, and what the standard library would import late."""
    top = importlib.import_module(package)
    modules = [found.name for found in pkgutil.walk_packages(top.__path__, f"{package}.")]
    for name in (*LAZY, *modules):
        if not name.endswith("__main__"):
            with contextlib.suppress(ImportError, OSError):  # a module for another operating system
                importlib.import_module(name)
    return importlib.import_module(f"{package}.cli.main")


def drop(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # a process that changed its user has a /proc/self that belongs to root; one the user starts has
    # not
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


if __name__ == "__main__":
    program = import_all("ninep")
    drop(int(sys.argv[1]))
    sys.argv[:2] = ["ninep"]
    sys.exit(program.main())
