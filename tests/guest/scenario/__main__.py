"""The command line: run the checks on a mounted folder, or make and describe a set of objects
there.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import shutil
import sys
import textwrap
import time
import traceback

from . import attributes, files, locks, names, nodes, ownership, ranges, trees  # noqa: F401  each registers its checks
from .expectations import excuse, failing
from .objects import describe, leave
from .registry import BULK, CHECKS, NEEDS_SECOND, Place, Setting


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scenario")
    parser.add_argument("folder")
    parser.add_argument("--second", metavar="FOLDER", help="the same export, mounted once more")
    parser.add_argument("--dialect", default="local", choices=["9P2000.L", "9P2000.u", "9P2000", "local"])
    parser.add_argument("--cache", default="none", choices=["none", "mmap", "loose"])
    parser.add_argument("--model", default="none")
    parser.add_argument("--server", default="root", choices=["root", "user"], help="who runs the server")
    parser.add_argument("--acl", action="store_true", help="mounted with posixacl")
    parser.add_argument("--bulk", action="store_true", help="also the checks that take long")
    parser.add_argument("--storage", default="host", help="what the served folder is on")
    parser.add_argument("--only", default="*", metavar="PATTERN")
    parser.add_argument("--leave", action="store_true", help="make the objects of objects.py and describe them")
    parser.add_argument("--describe", action="store_true", help="describe what --leave made")
    return parser


def reason_not_to(name: str, setting: Setting, second: str | None) -> str | None:
    if name in BULK and not setting.bulk:
        return "takes long and was not asked for"
    if name in NEEDS_SECOND and second is None:
        return "there is no second mount"
    return excuse(name, setting)


def run(name: str, top: str, second: str | None, setting: Setting) -> str | None:
    """Run one check in a folder of its own; None, or what went wrong."""
    here = os.path.join(top, name)
    os.mkdir(here)
    try:
        CHECKS[name](Place(here, os.path.join(second, name) if second else None, setting))
    except (OSError, AssertionError, ValueError) as error:
        where = traceback.extract_tb(error.__traceback__)
        line = next((frame for frame in reversed(where) if frame.name == name), where[-1])
        what = textwrap.shorten(str(error), 200) or type(error).__name__  # paths can be long
        return f"{what} ({os.path.basename(line.filename)}:{line.lineno}: {line.line})"
    try:
        shutil.rmtree(here)
    except OSError as error:
        return f"its folder cannot be removed: {error}"
    return None


def main() -> int:
    chosen = options().parse_args()
    os.umask(0o022)
    if chosen.leave or chosen.describe:
        if chosen.leave:
            leave(chosen.folder, acl=chosen.acl)
        print(json.dumps(describe(chosen.folder, acl=chosen.acl), indent=1, sort_keys=True))
        return 0
    setting = Setting(
        chosen.dialect, chosen.cache, chosen.model, chosen.server, chosen.acl, chosen.bulk, chosen.storage
    )
    failures = 0
    for name in CHECKS:
        if not fnmatch.fnmatchcase(name, chosen.only):
            continue
        reason = reason_not_to(name, setting, chosen.second)
        if reason is not None:
            print(f"na {name}: {reason}", flush=True)
            continue
        started = time.monotonic()
        why = run(name, chosen.folder, chosen.second, setting)
        took = time.monotonic() - started
        known = failing(name, setting)
        if known is not None and why is not None:
            print(f"na {name}: {known}: {why}", flush=True)
            continue
        if known is not None:
            why = f"it holds, though it is said that {known}"
        failures += why is not None
        print(f"FAIL {name}: {why}" if why is not None else f"ok {name} {took:.1f} s", flush=True)
    return min(failures, 100)


sys.exit(main())
